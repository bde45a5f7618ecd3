"""Jumps, poses, chains and the model, on a label that is plausible but for one thing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from plausibility_example import IMAGE, PLACES, changed, frame_of, label_of

from monai_tavr.keypoints import TAVR11, Keypoints, load_schema
from monai_tavr.label import CineLabel, ImageInfo
from monai_tavr.plausibility import NO_STATISTICS, RULES, check_label
from monai_tavr.plausibility.statistics import PoseStatistics, SetStatistics, Spread
from monai_tavr.plausibility.steps import steps_of

STILL = Spread(np.zeros((4, 4)), 4.3, 4.3)
ANY = Spread(np.eye(4), 4.3)
ONLY_CLICKS = PoseStatistics(sets=(SetStatistics(("AA1", "AA2"), np.zeros((2, 2)), ANY, (STILL,) * 5, (STILL,) * 5),))


def rules(findings):
    return [(f.frame, f.rule, f.points[0]) for f in findings]


def test_a_plausible_label_is_left_alone():
    assert check_label(label_of()) == []
    assert check_label(CineLabel(IMAGE, ())) == []
    assert check_label(CineLabel(IMAGE, (frame_of(),))) == []


def test_steps_are_against_the_line_between_neighbours():
    frames = np.array([0, 2, 6])
    xy = np.array([[[0.0, 0]], [[0.1, 0]], [[0.4, 0]]])
    (step,) = steps_of(frames, xy, 1)
    assert (step.both, step.gap) == (True, pytest.approx(2 * 2 * 4 / 6))
    assert step.residual == pytest.approx(np.array([[0.1 - 0.4 / 3, 0]]), abs=1e-9)
    (step,) = steps_of(frames, xy, 0)
    assert (step.both, step.gap, step.residual.tolist()) == (False, 2, [[-0.1, 0]])
    assert steps_of(frames[:1], xy[:1], 0) == []


def test_a_point_without_a_neighbour_on_one_side_takes_the_other():
    xy = np.array([[[0.0, 0], [0, 0]], [[0.1, 0], [0.2, 0]], [[0.2, 0], [np.nan, np.nan]]])
    both, one = steps_of(np.arange(3), xy, 1)
    assert both.residual[0] == pytest.approx([0, 0], abs=1e-9)
    assert np.isnan(both.residual[1]).all()
    assert (one.both, one.residual[1].tolist(), np.isnan(one.residual[0]).all()) == (False, [0.2, 0], True)


def test_a_slip_is_found_and_its_neighbours_are_not_blamed():
    still = replace(label_of(), frames=tuple(frame_of(frame=t) for t in range(5)))
    (finding,) = check_label(changed(still, 2, {"AA2": (0, 20)}), statistics=ONLY_CLICKS)
    assert (finding.frame, finding.rule, finding.points) == (2, "jump", ("AA2",))
    # one click here, half of one on either side: 2.048 px * sqrt(1.5); the limit is 4.3 of these
    assert finding.score == pytest.approx(20 / (0.004 * 512 * np.sqrt(1.5)) / 4.3)
    assert check_label(changed(still, 2, {"AA2": (0, 10)}), statistics=ONLY_CLICKS) == []


@pytest.mark.parametrize("name", ["AA1", "STJ2", "CP", "CT", "PT", "FE2"])
def test_a_slip_of_20_pixels_among_phantom_statistics(name):
    found = check_label(changed(label_of(), 2, {name: (12, -16)}))
    assert (2, "jump", name) in rules(found)
    assert {f.frame for f in found} == {2}


def test_a_whole_frame_that_moves_is_a_jump():
    found = check_label(changed(label_of(), 2, dict.fromkeys(PLACES, (40, 40))))
    assert {(f.frame, f.rule) for f in found} == {(2, "jump")}


def test_frames_too_far_apart_say_nothing_of_one_another():
    far = changed(label_of(step=13), 2, {"AA1": (-20, 20)})
    assert "jump" not in {f.rule for f in check_label(far)}


def test_swapped_ends_are_said_once():
    (finding,) = check_label(changed(label_of(), 2, {"AA1": (62, -67), "AA2": (-62, 67)}))
    assert (finding.frame, finding.rule, finding.points) == (2, "swapped", ("AA1", "AA2"))


def test_a_device_that_is_turned_round_on_every_frame():
    points = {"CP": PLACES["CT"], "CM": PLACES["CD"], "CD": PLACES["CM"], "CT": PLACES["CP"]}
    label = CineLabel(IMAGE, tuple(frame_of(points, frame=t) for t in range(3)))
    assert {f.frame for f in check_label(label) if f.rule == "direction"} == {0, 1, 2}


def test_unusual_parts_of_a_device():
    (finding,) = (f for f in check_label(CineLabel(IMAGE, (frame_of({"CM": (290, 287)}),))) if f.points == ("CM", "CD"))
    assert (finding.rule, finding.score > 1) == ("spacing", True)
    assert finding.message.startswith("CM to CD is 2% of the device")


def test_a_pose_that_is_unusual_on_a_single_frame():
    found = check_label(CineLabel(IMAGE, (frame_of({"STJ1": (130, 450)}),)))
    assert [(f.rule, f.points[0]) for f in found] == [("pose", "STJ1")]


def test_far_from_where_the_model_is_sure():
    label = CineLabel(IMAGE, (frame_of({"PT": (272, 303)}),))
    score = np.full(11, 0.9, np.float32)
    predicted = CineLabel(IMAGE, (replace(frame_of(), score=score),))
    (finding,) = check_label(label, predictions=predicted)
    assert (finding.rule, finding.points) == ("model", ("PT",))
    assert finding.score == pytest.approx(20 / (0.025 * 512))
    assert finding.message == "PT lies 20 px from where the model is sure to see it"
    unsure = replace(predicted, spread={(0, "PT"): 7.0})
    assert check_label(label, predictions=unsure) == []
    score[TAVR11.index("PT")] = 0.6
    assert check_label(label, predictions=CineLabel(IMAGE, (replace(frame_of(), score=score),))) == []
    elsewhere = CineLabel(IMAGE, (replace(frame_of(frame=1), score=score),))
    assert check_label(label, predictions=elsewhere) == []


def test_predictions_of_another_image_are_refused():
    with pytest.raises(ValueError, match="predictions of an image of 256 x 256 pixels, but the label is of one of 512 x 512"):
        check_label(label_of(), predictions=CineLabel(ImageInfo(256, 256), ()))


def test_the_worst_comes_first_and_rules_have_words():
    label = changed(changed(label_of(), 1, {"AA1": (62, -67), "AA2": (-62, 67)}), 3, {"PT": (300, 0)})
    scores = [f.score for f in check_label(label)]
    assert scores == sorted(scores, reverse=True)
    assert {f.rule for f in check_label(label)} <= set(RULES)


def test_another_schema_has_the_rules_that_it_states():
    schema = load_schema("authors10")
    label = CineLabel(IMAGE, (Keypoints.from_points(schema, {"CT1": (300, 300), "CT2": (200, 300)}),))
    found = check_label(label, schema=schema)
    assert rules(found) == [(0, "swapped", "CT1"), (0, "incomplete", "CD")]


def test_without_statistics_only_the_guide_speaks():
    assert check_label(changed(label_of(), 2, {"PT": (30, 0)}), statistics=NO_STATISTICS) == []
    assert [f.rule for f in check_label(changed(label_of(), 2, {"PT": (300, 0)}), statistics=NO_STATISTICS)] == ["outside"]
