"""The decision rules, on probabilities chosen so that every rule decides one case."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest

from monai_tavr.evaluation.thresholds import select_thresholds
from monai_tavr.keypoints import KeypointSchema
from monai_tavr.postprocess import KeypointPostprocess, Thresholds, check_groups, read_thresholds, write_thresholds

SCHEMA = KeypointSchema(name="TINY", groups={"line": ("A", "B"), "tip": ("C",)})
XY = np.array([[1, 2], [3, 4], [5, 6]], float)


def decide(probability, groups=None, **options):
    return KeypointPostprocess(SCHEMA, **options).decide(np.array([probability]), None if groups is None else np.array([groups]))[
        0
    ]


def test_the_group_output_is_calibrated_before_it_is_held_against_its_threshold():
    # logit(0.9) = ln 9; half of it is ln 3: a probability of 3/4
    half = {"line": (0.5, 0.0)}
    rule = KeypointPostprocess(SCHEMA, group_calibration=half)
    assert rule.presence(np.array([0.9, 0.9])) == pytest.approx([0.75, 0.9])
    assert decide([0.8, 0.8, 0.8], [0.9, 0.9], group_thresholds=0.8).tolist() == [True, True, True]
    assert decide([0.8, 0.8, 0.8], [0.9, 0.9], group_thresholds=0.8, group_calibration=half).tolist() == [False, False, True]
    assert np.isfinite(rule.presence(np.array([[0.0, 0.0], [1.0, 1.0]]))).all()


def test_each_point_has_its_threshold_and_must_exceed_it():
    assert decide([0.5, 0.51, 0.3], thresholds={"C": 0.2}, group_rule=False).tolist() == [False, True, True]


def test_no_point_detected_means_the_group_is_absent():
    assert decide([0.5, 0.4, 0.1], [0.99, 0.99]).tolist() == [False, False, False]


def test_one_point_detected_lifts_its_siblings_by_the_doubt_about_the_group():
    # p(B | group) = 0.4 / 0.7 = 0.57 once A has settled that the group is there
    assert decide([0.6, 0.4, 0.1], [0.7, 0.1]).tolist() == [True, True, False]
    # a certain group does not lift: 0.4 / 1.0
    assert decide([0.6, 0.4, 0.1], [1.0, 0.1]).tolist() == [True, False, False]
    # without the rule each point stands alone
    assert decide([0.6, 0.4, 0.1], [0.7, 0.1], group_rule=False).tolist() == [True, False, False]


def test_a_point_that_left_the_field_is_not_forced():
    assert decide([0.9, 0.05, 0.1], [0.95, 0.1]).tolist() == [True, False, False]


def test_the_group_output_can_veto_a_stray_point():
    assert decide([0.1, 0.1, 0.8], [0.1, 0.3]).tolist() == [False, False, False]
    assert decide([0.1, 0.1, 0.8], [0.1, 0.3], group_thresholds={"tip": 0.2}).tolist() == [False, False, True]


def test_without_a_group_output_the_strongest_sibling_stands_for_the_group():
    # 0.3 / 0.55 = 0.545
    assert decide([0.55, 0.3, 0.0]).tolist() == [True, True, False]
    assert decide([0.55, 0.27, 0.0]).tolist() == [True, False, False]
    assert decide([0.0, 0.0, 0.0]).tolist() == [False, False, False]


def test_the_stage_prior_is_obeyed():
    certain = [0.99, 0.99, 0.99]
    assert decide(certain, [1, 1], allowed_groups=["tip"]).tolist() == [False, False, True]
    assert decide(certain, [1, 1], allowed_groups=[]).tolist() == [False, False, False]
    assert decide(certain, [1, 1], allowed_groups=["tip"], group_rule=False).tolist() == [False, False, True]
    everything = KeypointPostprocess(SCHEMA, allowed_groups=["tip"]).with_groups(None)
    assert everything.decide(np.array([certain])).all()


def test_an_unknown_group_is_an_error_that_names_the_known():
    with pytest.raises(ValueError, match=r"unknown group 'tips'; groups of TINY are \['line', 'tip'\]"):
        KeypointPostprocess(SCHEMA, allowed_groups=["tips"])
    with pytest.raises(ValueError, match="got the text 'tip'"):
        check_groups(SCHEMA, "tip")
    assert check_groups(SCHEMA, ["tip", "line"]) == ("line", "tip")


def test_one_frame_becomes_keypoints_with_untouched_scores():
    k = KeypointPostprocess(SCHEMA)(XY, np.array([0.9, 0.1, 0.8]), np.array([1, 1]), frame=7, spacing=(0.3, 0.3))
    assert k.visible.tolist() == [True, False, True]
    assert k.xy[2].tolist() == [5, 6]
    assert k.score.tolist() == pytest.approx([0.9, 0.1, 0.8])
    assert (k.frame, k.spacing, k.labelled.all()) == (7, (0.3, 0.3), True)


def test_points_outside_the_image_are_absent():
    # a 7 x 5 image reaches from -0.5 to 6.5 in y and to 4.5 in x; C at x = 5 is out
    k = KeypointPostprocess(SCHEMA)(XY, np.full(3, 0.9), image_shape=(7, 5))
    assert k.visible.tolist() == [True, True, False]
    edge = np.array([[-0.5, -0.5], [4.5, 6.5], [4.6, 0]])
    assert KeypointPostprocess(SCHEMA)(edge, np.full(3, 0.9), image_shape=(7, 5)).visible.tolist() == [True, True, False]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"thresholds": {"D": 0.5}}, "threshold names the unknown 'D'"),
        ({"thresholds": 1.5}, r"threshold of 'A' must be a number in \[0, 1\], got 1.5"),
        ({"thresholds": {"A": "0.5"}}, "threshold of 'A' must be a number"),
        ({"group_thresholds": {"A": 0.5}}, "group threshold names the unknown 'A'"),
    ],
)
def test_bad_settings_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        KeypointPostprocess(SCHEMA, **options)


def test_bad_shapes_are_refused():
    with pytest.raises(ValueError, match=r"probability has shape \(1, 2\); TINY needs \(N, 3\)"):
        KeypointPostprocess(SCHEMA).decide(np.zeros((1, 2)))
    with pytest.raises(ValueError, match=r"group_probability has shape \(1, 3\); expected \(1, 2\)"):
        KeypointPostprocess(SCHEMA).decide(np.zeros((1, 3)), np.zeros((1, 3)))


def test_it_travels_to_workers():
    rule = KeypointPostprocess(SCHEMA, thresholds={"A": 0.3}, allowed_groups=["line"])
    assert pickle.loads(pickle.dumps(rule)) == rule  # noqa: S301


def test_threshold_is_the_middle_of_the_widest_best_range():
    # perfect between 0.4 and 0.8
    column = np.array([0.1, 0.4, 0.8, 0.9])[:, None]
    assert select_thresholds(column, np.array([0, 0, 1, 1])[:, None]) == pytest.approx([0.6])
    # reporting 0.9 and 0.7 (F1 4/5) ties nowhere; below 0.2: F1 = 6/7 with all but the lowest -> the range 0.1 to 0.2
    column = np.array([0.9, 0.7, 0.5, 0.2, 0.1])[:, None]
    assert select_thresholds(column, np.array([1, 1, 0, 1, 0])[:, None]) == pytest.approx([0.15])


def test_beta_says_how_much_recall_counts():
    # above 0.6, 2 right of 2 reported; above 0.4, 3 of 5; 4 visible. F1: 4/6 and 6/9, equal; 0.6 to 0.9 is the wider range
    # F2: 5 * 2 / (2 + 4 * 4) = 0.556 against 5 * 3 / (5 + 16) = 0.714; all 9: 5 * 4 / (9 + 16) = 0.8
    column = np.array([0.95, 0.9, 0.6, 0.55, 0.5, 0.4, 0.3, 0.2, 0.1])[:, None]
    state = np.array([1, 1, 0, 0, 1, 0, 0, 0, 1])[:, None]
    assert select_thresholds(column, state) == pytest.approx([0.75])
    assert select_thresholds(column, state, beta=2) == pytest.approx([0.05])
    # a half: 1.25 * 2 / (2 + 1) = 0.833 against 1.25 * 3 / (5 + 1) = 0.625
    assert select_thresholds(column, state, beta=0.5) == pytest.approx([0.75])
    with pytest.raises(ValueError, match="beta must be positive, got 0"):
        select_thresholds(column, state, beta=0)


def test_unlabelled_frames_do_not_choose():
    column = np.array([0.1, 0.4, 0.8, 0.99, 0.45])[:, None]
    assert select_thresholds(column, np.array([0, 0, 1, -1, -1])[:, None]) == pytest.approx([0.6])


def test_nothing_to_learn_from_leaves_the_default():
    column = np.array([0.1, 0.9])[:, None]
    assert select_thresholds(column, np.array([1, 1])[:, None]).tolist() == [0.5]
    assert select_thresholds(column, np.array([0, 0])[:, None], default=0.4).tolist() == [0.4]
    assert select_thresholds(column, np.array([-1, -1])[:, None]).tolist() == [0.5]


def test_thresholds_stay_within_bounds():
    # best between 0.001 and 0.002, and between 0.998 and 0.999
    assert select_thresholds(np.array([[0.001], [0.002]]), np.array([[0], [1]])).tolist() == [0.05]
    assert select_thresholds(np.array([[0.998], [0.999]]), np.array([[0], [1]]), bounds=(0.1, 0.9)).tolist() == [0.9]


def test_selection_refuses_mismatched_shapes():
    with pytest.raises(ValueError, match=r"got shapes \(2, 1\) and \(1, 1\)"):
        select_thresholds(np.zeros((2, 1)), np.zeros((1, 1)))


def test_threshold_file_round_trip(tmp_path):
    path = tmp_path / "models" / "thresholds.json"
    written = Thresholds(
        "TINY", {"A": 0.3, "B": 0.5, "C": 0.7}, {"line": 0.4, "tip": 0.5}, "validation patients", 0.03, {"tip": (0.8, -1.5)}
    )
    write_thresholds(path, written)
    assert read_thresholds(path, schema=SCHEMA) == written
    assert json.loads(path.read_text())["thresholds"] == {"A": 0.3, "B": 0.5, "C": 0.7}
    assert json.loads(path.read_text())["group_calibration"] == {"tip": [0.8, -1.5]}
    rule = KeypointPostprocess.from_thresholds(written, schema=SCHEMA, allowed_groups=["line"])
    assert rule.group_calibration == {"tip": (0.8, -1.5)}
    assert (rule.thresholds["C"], rule.group_thresholds["line"], rule.allowed_groups) == (0.7, 0.4, ("line",))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not a JSON file"),
        ("[]", "expected an object"),
        ('{"schema": "TINY"}', "expected an object with 'schema', 'thresholds'"),
        ('{"schema": "TINY", "thresholds": {}, "more": 1}', "of .* only"),
        ('{"schema": "TAVR11", "thresholds": {}}', "schema 'TAVR11', but the model's schema is 'TINY'"),
        ('{"schema": "TINY", "thresholds": 0.5}', "must map names to numbers"),
        ('{"schema": "TINY", "thresholds": {"X": 0.5}}', "unknown 'X'"),
        ('{"schema": "TINY", "thresholds": {"A": true}}', "of 'A' must be a number"),
        ('{"schema": "TINY", "thresholds": {}, "group_calibration": 1}', "'group_calibration' must map groups"),
        ('{"schema": "TINY", "thresholds": {}, "group_calibration": {"A": [1, 0]}}', "group calibration names the unknown 'A'"),
        ('{"schema": "TINY", "thresholds": {}, "group_calibration": {"tip": [0, 0]}}', r"must be \[slope above 0, offset\]"),
        ('{"schema": "TINY", "thresholds": {}, "spread_floor": 1}', "'spread_floor' must be a number from 0 to 1, got 1"),
    ],
)
def test_a_bad_threshold_file_is_named(tmp_path, content, message):
    path = tmp_path / "t.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=message) as caught:
        read_thresholds(path, schema=SCHEMA)
    assert str(path) in str(caught.value)
