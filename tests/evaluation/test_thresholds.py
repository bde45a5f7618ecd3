"""Which thresholds are chosen, on frames whose probabilities are stated; the choice of one is tested beside the rules."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from monai_tavr.evaluation.frames import EvaluatedFrame
from monai_tavr.evaluation.thresholds import choose_thresholds, judge_thresholds
from monai_tavr.keypoints import TAVR11, Keypoints, KeypointSchema
from monai_tavr.predictor import FramePrediction

SCHEMA = KeypointSchema(name="TINY", groups={"root": ("R",), "tip": ("T",), "wire": ("W",)})


def frame(truth, points, groups):
    """A frame of which the model says these probabilities; truth: e.g. "RT-" has R and T and no W, "?" is unlabelled."""
    known = {n: (9.0, 9.0) if c == n else None for n, c in zip(SCHEMA.names, truth, strict=True) if c != "?"}
    found = Keypoints(schema=SCHEMA, xy=np.full((3, 2), 9, np.float32), score=np.array(points, np.float32))
    model = FramePrediction(found, found.xy, np.full(3, 2, np.float32), np.array(groups, np.float32), 100.0)
    return EvaluatedFrame(Path("a.png"), "P0", Keypoints.from_points(SCHEMA, known), found, model)


def labelled(tips, wires):
    """One frame for every pair of presences; a group that is not there is said so surely, and so is the root."""
    shown = [frame(f"R{'T' if t else '-'}{'W' if w else '-'}", [1, t, w], [1, t, w]) for t, w in zip(tips, wires, strict=True)]
    return [*shown, frame("---", [0.01] * 3, [0.01] * 3)]


def negative(tip, wire):
    return frame("?--", [0.9, tip, wire], [0.9, tip, wire])


def choose(frames, negatives=(), **options):
    return choose_thresholds(frames, schema=SCHEMA, selected_on="these", negatives=negatives, **options)


def test_frames_that_the_model_did_not_predict_choose_nothing():
    with pytest.raises(ValueError, match=r"no thresholds can be chosen: 0 frame\(s\)"):
        choose_thresholds([], schema=TAVR11, selected_on="nothing")
    label = Keypoints.from_points(TAVR11, {"AA1": (1, 1)})
    stored = EvaluatedFrame(Path("a.dcm"), "P0", label, label)
    with pytest.raises(ValueError, match=r"1 frame\(s\), and the model predicted none of them"):
        choose_thresholds([stored], schema=TAVR11, selected_on="stored predictions")


def test_no_threshold_is_lower_than_the_bound():
    # absent at 0.01, present at 0.2: the middle is 0.105
    frames = labelled([0.2, 0.9], [0.2, 0.9])
    assert choose(frames).groups["tip"] == 0.3
    free = choose(frames, lowest=0.0)
    assert (free.groups["tip"], free.points["T"]) == (pytest.approx(0.105, abs=1e-4), pytest.approx(0.105, abs=1e-4))
    with pytest.raises(ValueError, match=r"lowest 1\.2"):
        choose(frames, lowest=1.2)


def test_without_negatives_nothing_is_calibrated():
    assert choose(labelled([0.9], [0.9])).group_calibration == {}


def test_false_alarms_are_kept_down_and_as_much_as_possible_is_found():
    """A negative at 0.7 lies between the tips at 0.95, 0.9 and the one at 0.6, which is the price of silence."""
    frames = labelled([0.95, 0.9, 0.6], [0.99, 0.99, 0.99])
    negatives = [negative(0.7, 0.02), *[negative(0.05, 0.02)] * 3]
    silent = choose(frames, negatives, max_false_alarms=0.0)
    report = judge_thresholds(silent, frames, negatives, schema=SCHEMA)
    assert (report["false_alarms"]["frames"], report["false_alarms"]["n"]) == (0, 4)
    # all 3 roots, 2 of 3 tips, all 3 wires, nothing invented
    assert report["f1"] == pytest.approx(2 * 8 / (8 + 9))
    # one of four may give a false alarm: all nine are found
    lenient = choose(frames, negatives, max_false_alarms=0.25)
    report = judge_thresholds(lenient, frames, negatives, schema=SCHEMA)
    assert (report["false_alarms"]["share"], report["f1"]) == (0.25, 1.0)
    assert report["false_alarms"]["interval_95"] == pytest.approx((0.0456, 0.6994), abs=1e-4)
    assert silent.groups["tip"] > lenient.groups["tip"] >= 0.3


def test_all_groups_share_one_allowance():
    """Each of two frames of four lights up one group; one alarm is allowed, so the group whose silence costs less is silenced."""
    frames = labelled([0.95, 0.95, 0.6], [0.95, 0.6, 0.6])  # silence costs one tip, or two wires
    apart = [negative(0.7, 0.02), negative(0.02, 0.7), *[negative(0.02, 0.02)] * 2]
    report = judge_thresholds(choose(frames, apart, max_false_alarms=0.25), frames, apart, schema=SCHEMA)
    assert report["false_alarms"]["frames"] == 1
    assert report["f1"] == pytest.approx(2 * 8 / (8 + 9))
    # both on one frame are one false alarm: nothing need be lost
    together = [negative(0.7, 0.7), *[negative(0.02, 0.02)] * 3]
    report = judge_thresholds(choose(frames, together, max_false_alarms=0.25), frames, together, schema=SCHEMA)
    assert (report["false_alarms"]["frames"], report["f1"]) == (1, 1.0)


def test_a_group_that_nobody_looked_for_has_no_false_alarms():
    frames = labelled([0.95, 0.9], [0.95, 0.9])
    negatives = [negative(0.02, 0.02)] * 4  # a root of 0.9 is reported on each
    assert judge_thresholds(choose(frames, negatives), frames, negatives, schema=SCHEMA)["false_alarms"]["frames"] == 0


def test_presence_is_calibrated_on_both_kinds_of_frames():
    """On 1000 labelled frames a tip of 0.9 is always there; of 2000 of 0.9 in all it is on half: that is what 0.9 shall say."""
    frames = [frame("RT-", [1, 0.9, 0.01], [1, 0.9, 0.01])] * 1000 + [frame("---", [0.01] * 3, [0.01] * 3)] * 1000
    negatives = [negative(0.9, 0.01)] * 1000
    chosen = choose(frames, negatives, max_false_alarms=1.0)
    ece = judge_thresholds(chosen, frames, negatives, schema=SCHEMA)["ece"]["tip"]
    # before: 2000 of 3000 frames say 0.9 where 0.5 is true, 1000 say 0.01 where 0 is
    assert ece["before"] == pytest.approx((2000 * 0.4 + 1000 * 0.01) / 3000, abs=1e-4)
    assert ece["after"] < 0.005
    slope, offset = chosen.group_calibration["tip"]
    assert slope * np.log(9) + offset == pytest.approx(0, abs=0.02)
