"""Metrics against numbers worked out by hand on a schema of two groups with two and one points."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from ignite.engine import Engine
from monai.handlers import IgniteMetricHandler

from monai_tavr.evaluation.metrics import KeypointMetrics, evaluate_keypoints
from monai_tavr.keypoints import TAVR11, Keypoints, KeypointSchema

SCHEMA = KeypointSchema(name="TINY", groups={"line": ("A", "B"), "tip": ("C",)})


def points(spacing=None, score=None, frame=0, **given):
    k = Keypoints.from_points(SCHEMA, given, spacing=spacing, frame=frame)
    return k if score is None else replace(k, score=score)


# frame 0: A found 3-4-5 off, B missed, C rightly absent; frame 1: A found 30 off, B reported but absent, C reported but
# unlabelled; frame 2: nothing there, nothing reported
TRUTHS = [
    points(spacing=(0.2, 0.5), A=(10, 10), B=(50, 10), C=None),
    points(A=(10, 10), B=None),
    points(A=None, B=None, C=None),
]
PREDICTIONS = [
    points(A=(13, 14), B=None, C=None),
    points(A=(40, 10), B=(7, 7), C=(1, 1)),
    points(A=None, B=None, C=None),
]
PATIENTS = ["p1", "p1", "p2"]


@pytest.fixture(scope="module")
def report():
    return evaluate_keypoints(PREDICTIONS, TRUTHS, patients=PATIENTS, bootstrap=200)


def test_presence_is_pooled(report):
    # visible 3 (A, B, A), reported 3 (A, A, B; C of frame 1 is not judged), found 2
    assert (report["n_visible"], report["n_reported"], report["n_found"], report["n_points"]) == (3, 3, 2, 8)
    assert report["precision"] == report["recall"] == report["f1"] == pytest.approx(2 / 3)
    assert report["f1_within_20px"] == pytest.approx(2 * 1 / (3 + 3))
    assert (report["n_frames"], report["n_patients"]) == (3, 2)


def test_localisation_is_over_true_positives(report):
    assert report["mean_error_px"] == report["median_error_px"] == pytest.approx((5 + 30) / 2)
    assert report["p95_error_px"] == pytest.approx(5 + 0.95 * 25)
    assert report["max_error_px"] == pytest.approx(30)
    assert report["localisation_accuracy_20px"] == 0.5


def test_sdr_counts_misses_and_its_bound_is_inclusive(report):
    assert report["sdr_px"] == {"2.5": 0.0, "5": pytest.approx(1 / 3), "10": pytest.approx(1 / 3), "20": pytest.approx(1 / 3)}


def test_millimetres_use_both_spacings_and_only_where_known(report):
    # 3 columns of 0.2 mm and 4 rows of 0.5 mm; frame 1 has no spacing
    assert report["mean_error_mm"] == pytest.approx(math.hypot(0.6, 2.0), rel=1e-6)
    assert report["max_error_mm"] == report["mean_error_mm"]


def test_groups_are_judged_where_the_truth_is_known(report):
    # line: right, right, right; tip: right in 0 and 2, unlabelled in 1
    assert report["group_accuracy"] == 1.0
    wrong = evaluate_keypoints([points(A=None, B=None, C=(1, 1)), *PREDICTIONS[1:]], TRUTHS)
    assert wrong["group_accuracy"] == pytest.approx(3 / 5)
    assert wrong["per_group"]["tip"]["group_accuracy"] == 0.5


def test_per_point_and_per_group(report):
    assert report["per_point"]["A"]["f1"] == 1.0
    assert report["per_point"]["A"]["mean_error_px"] == pytest.approx(17.5)
    assert (report["per_point"]["B"]["precision"], report["per_point"]["B"]["recall"]) == (0.0, 0.0)
    assert report["per_point"]["C"]["f1"] is None
    assert report["per_point"]["C"]["n_frames"] == 2
    assert report["per_group"]["line"]["f1"] == pytest.approx(2 / 3)
    assert report["per_group"]["tip"]["n_visible"] == 0


def test_per_patient_and_its_mean(report):
    assert report["per_patient"]["p1"]["f1"] == pytest.approx(2 / 3)
    assert report["per_patient"]["p2"]["f1"] is None
    assert report["per_patient_mean"]["f1"] == pytest.approx(2 / 3)
    assert report["per_patient_mean"]["group_accuracy"] == 1.0


def test_mean_over_images_is_the_papers(report):
    # frame 0: P 1, R 1/2, F1 2/3; frame 1: P 1/2, R 1, F1 2/3; frame 2: agreed to be empty
    assert report["per_image"] == {
        "precision": pytest.approx(2.5 / 3),
        "recall": pytest.approx(2.5 / 3),
        "f1": pytest.approx((4 / 3 + 1) / 3),
    }
    only_reported = evaluate_keypoints([points(A=(1, 1), B=None)], [points(A=None, B=None)])
    assert only_reported["per_image"] == {"precision": 0.0, "recall": 0.0, "f1": 0.0}


def test_a_prediction_that_did_not_look_found_nothing():
    report = evaluate_keypoints([points()], [points(A=(1, 1))])
    assert (report["recall"], report["precision"], report["group_accuracy"]) == (0.0, None, 0.0)


def test_frames_without_a_label_do_not_count():
    report = evaluate_keypoints([*PREDICTIONS, points(A=(1, 1))], [*TRUTHS, points()], patients=[*PATIENTS, "p2"], bootstrap=0)
    expected = evaluate_keypoints(PREDICTIONS, TRUTHS, patients=PATIENTS, bootstrap=0)
    assert report == expected


def test_calibration_where_scores_are_given():
    predictions = [points(score=[0.9, 0.2, 0.7], A=(1, 1), B=None, C=(1, 1)), points(A=(1, 1), B=None, C=None)]
    truths = [points(A=(1, 1), B=None), points(A=(1, 1), B=None, C=None)]
    report = evaluate_keypoints(predictions, truths)["calibration"]
    assert report["n"] == 2  # C is unlabelled, the second frame has no scores
    assert report["brier"] == pytest.approx((0.1**2 + 0.2**2) / 2)
    assert report["average_precision"] == 1.0
    assert "calibration" not in evaluate_keypoints(PREDICTIONS, TRUTHS)


def test_intervals_draw_patients_and_repeat_with_the_seed(report):
    assert report["bootstrap"] == {"unit": "patient", "replicates": 200, "seed": 0}
    # p2 alone has no error and p1 always the same: the interval of the error has no width, though frames differ
    assert report["intervals_95"]["mean_error_px"] == [pytest.approx(17.5)] * 2
    assert report["intervals_95"]["median_error_px"] == [pytest.approx(17.5)] * 2
    again = evaluate_keypoints(PREDICTIONS, TRUTHS, patients=PATIENTS, bootstrap=200)
    assert again["intervals_95"] == report["intervals_95"]


def test_intervals_cover_as_a_binomial_of_patients_does():
    # 40 patients of one point each, half of them found: recall 0.5 with standard error sqrt(0.25 / 40) = 0.079
    truths = [points(A=(1, 1))] * 40
    predictions = [points(A=(1, 1) if i % 2 else None) for i in range(40)]
    result = evaluate_keypoints(predictions, truths, patients=[f"p{i}" for i in range(40)], bootstrap=4000)
    low, high = result["intervals_95"]["recall"]
    assert low == pytest.approx(0.5 - 1.96 * 0.079, abs=0.02)
    assert high == pytest.approx(0.5 + 1.96 * 0.079, abs=0.02)
    assert result["intervals_95"]["mean_error_px"] == [0.0, 0.0]


def test_one_patient_has_no_interval():
    assert "intervals_95" not in evaluate_keypoints(PREDICTIONS, TRUTHS, patients=["p"] * 3)


def test_nothing_found_at_all_leaves_errors_open():
    result = evaluate_keypoints([points(A=None)] * 2, [points(A=(1, 1))] * 2, patients=["a", "b"], bootstrap=10)
    assert result["mean_error_px"] is None
    assert result["intervals_95"]["median_error_px"] is None
    assert result["intervals_95"]["recall"] == [0.0, 0.0]


def test_the_report_is_json(report):
    assert json.loads(json.dumps(report, allow_nan=False)) == report


@pytest.mark.parametrize(
    ("predictions", "truths", "patients", "message"),
    [
        ([], [], None, "nothing to evaluate"),
        (PREDICTIONS[:1], TRUTHS, None, "1 predictions for 3 truths"),
        (PREDICTIONS, TRUTHS, ["p"], "1 patients for 3 frames"),
        (PREDICTIONS[:1], [points(frame=4, A=None)], None, "entry 0 pairs predicted frame 0 with true frame 4"),
        ([Keypoints.from_points(TAVR11, {})], TRUTHS[:1], None, r"entry 0 has points \('AA1'"),
    ],
)
def test_mismatched_input_is_refused(predictions, truths, patients, message):
    with pytest.raises(ValueError, match=message):
        evaluate_keypoints(predictions, truths, patients=patients)


def test_monai_metric_accumulates_batches_and_resets(report):
    metric = KeypointMetrics(SCHEMA, key="f1")
    metric(PREDICTIONS[:2], TRUTHS[:2])
    metric(PREDICTIONS[2:], TRUTHS[2:])
    assert metric.aggregate() == pytest.approx(2 / 3)
    same = {k: v for k, v in report.items() if k in metric.report()}
    assert metric.report() == same
    metric.reset()
    metric(PREDICTIONS[:1], TRUTHS[:1])
    assert metric.aggregate() == pytest.approx(2 * 1 / (1 + 2))


def test_monai_metric_keeps_scores():
    metric = KeypointMetrics(SCHEMA)
    metric([points(score=[0.9, 0.2, 0.7], A=(1, 1), B=None, C=None)], [points(A=(1, 1), B=None, C=None)])
    assert metric.report()["calibration"]["brier"] == pytest.approx((0.01 + 0.04 + 0.49) / 3)


def test_monai_metric_of_nothing_is_nan():
    metric = KeypointMetrics(SCHEMA, key="mean_error_px")
    metric([points(A=None)], [points(A=None)])
    assert math.isnan(metric.aggregate())


def test_monai_metric_serves_ignite():
    engine = Engine(lambda _, i: ([PREDICTIONS[i]], [TRUTHS[i]]))
    IgniteMetricHandler(metric_fn=KeypointMetrics(SCHEMA, key="localisation_accuracy_20px")).attach(engine, "accuracy")
    engine.run([0, 1, 2])
    assert engine.state.metrics["accuracy"] == 0.5


def test_monai_metric_says_what_it_takes():
    with pytest.raises(ValueError, match="no figure 'f2'"):
        KeypointMetrics(SCHEMA, key="f2")
    with pytest.raises(ValueError, match="takes lists of Keypoints"):
        KeypointMetrics(SCHEMA)(torch.zeros(1, 3, 4), torch.zeros(1, 3, 4))
    with pytest.raises(ValueError, match="schema 'TAVR11' in metrics of 'TINY'"):
        KeypointMetrics(SCHEMA)([Keypoints.from_points(TAVR11, {})], TRUTHS[:1])


def test_many_frames_stay_fast_and_finite():
    rng = np.random.default_rng(0)
    frames = [Keypoints(schema=TAVR11, xy=rng.uniform(0, 512, (11, 2))) for _ in range(200)]
    result = evaluate_keypoints(frames, frames, patients=[f"{i // 10}" for i in range(200)])
    assert result["f1"] == result["f1_within_20px"] == 1.0
    assert result["mean_error_px"] == 0.0
