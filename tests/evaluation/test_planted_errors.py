"""Errors are planted as they say, and counted against a check whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
from plausibility_example import IMAGE, PLACES, frame_of, label_of

from monai_tavr.evaluation.planted_errors import KINDS, measure_checks, plant_errors
from monai_tavr.keypoints import TAVR11
from monai_tavr.plausibility import Finding, check_label

START = np.array([PLACES[n] for n in TAVR11.names], float)


def planted(keypoints, seed=0):
    return {
        kind: (names, wrong) for kind, names, wrong in plant_errors(keypoints, IMAGE, pixels=20, rng=np.random.default_rng(seed))
    }


def test_each_kind_of_error_is_what_it_says():
    errors = planted(frame_of())
    assert set(errors) == set(KINDS)
    for kind in ("ends swapped", "neighbours swapped"):
        (a, b), wrong = errors[kind]
        i, j = TAVR11.index(a), TAVR11.index(b)
        assert (wrong.xy[i].tolist(), wrong.xy[j].tolist()) == (START[j].tolist(), START[i].tolist())
        assert ((a, b) in TAVR11.flip_pairs) is (kind == "ends swapped")
    names, wrong = errors["turned"]
    assert (names, wrong.xy[4:8].tolist()) == (("CP", "CM", "CD", "CT"), START[7:3:-1].tolist())
    (name,), wrong = errors["slip"]
    moved = np.linalg.norm(wrong.xy - START, axis=1)
    assert moved[TAVR11.index(name)] == pytest.approx(20, abs=1e-4)
    assert (moved > 0).sum() == 1


def test_a_slip_stays_in_the_picture():
    corner = frame_of(dict.fromkeys(TAVR11.names) | {"PT": (12, 12)})
    for seed in range(20):
        _, wrong = planted(corner, seed)["slip"]
        assert (wrong.xy[8] >= 9.74).all()  # 10.24 - 0.5


def test_a_frame_allows_the_errors_of_its_points():
    assert set(planted(frame_of({"CP": None}))) == {"ends swapped", "neighbours swapped", "slip"}
    assert set(planted(frame_of(dict.fromkeys(TAVR11.names)))) == set()


def test_counts_of_a_check_whose_answer_is_known():
    """It reports frame 1 always, and beside it whatever frame has its ends the wrong way round."""

    def check(label):
        wrong = [k.frame for k in label.frames for a, b in ((0, 1), (2, 3), (9, 10)) if k.xy[a, 0] > k.xy[b, 0]]
        return [Finding(1, ("PT",), "jump", 1.0, "")] + [Finding(t, ("AA1", "STJ1", "FE1"), "swapped", 1.0, "") for t in wrong]

    report = measure_checks([label_of(frames=4)], check).to_dict()
    assert (report["clean_frames"], report["false_alarms"], report["false_alarm_share"]) == (4, 1, 0.25)
    assert report["false_alarms_by_rule"] == {"jump": 1}
    assert report["alarms_beside_share"] == 0
    errors = report["errors"]
    assert {kind: (e["planted"], e["found"]) for kind, e in errors.items()} == {
        "ends swapped": (4, 4),
        "neighbours swapped": (4, 1),  # frame 1, by chance
        "turned": (4, 1),
        "slip": (4, 1),
    }
    assert sum(errors["turned"]["missed_by_point"].values()) == 3


def test_people_scatter_and_errors_are_still_found():
    report = measure_checks([label_of()], check_label, clicks=1.0).to_dict()
    assert report["false_alarms"] == 0
    assert all(e["found"] == e["planted"] == 5 for e in report["errors"].values())
