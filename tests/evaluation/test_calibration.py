"""Calibration figures against numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from monai_tavr.evaluation.calibration import average_precision, calibration


def test_average_precision_sums_the_steps():
    # by falling probability: hit (P 1/1), miss, hit (P 2/3) -> recall rises by 1/2 at each hit
    value = average_precision(np.array([0.2, 0.9, 0.5]), np.array([True, True, False]))
    assert value == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)


def test_average_precision_takes_equal_probabilities_as_one_step():
    # three of one probability, one of them true: the order inside the step must not matter
    for outcome in ([True, False, False], [False, False, True]):
        assert average_precision(np.full(3, 0.5), np.array(outcome)) == pytest.approx(1 / 3)


def test_average_precision_without_any_true_outcome_is_undefined():
    assert np.isnan(average_precision(np.array([0.3]), np.array([False])))


def test_calibration_by_hand():
    # bin 0.8-0.9: confidence 0.85, frequency 1/2 (n = 2); bin 0.1-0.2: confidence 0.1, frequency 0 (n = 2)
    report = calibration(np.array([0.85, 0.85, 0.1, 0.1]), np.array([True, False, False, False]))
    assert report["ece"] == pytest.approx(0.5 * 0.35 + 0.5 * 0.1)
    assert report["brier"] == pytest.approx((0.15**2 + 0.85**2 + 0.1**2 + 0.1**2) / 4)
    assert report["average_precision"] == pytest.approx(0.5)
    assert [(b["from"], b["to"], b["n"]) for b in report["bins"]] == [(0.1, 0.2, 2), (0.8, 0.9, 2)]
    assert report["bins"][1]["confidence"] == pytest.approx(0.85)
    assert report["bins"][1]["frequency"] == 0.5


def test_certainty_falls_into_the_last_bin():
    assert calibration(np.array([1.0]), np.array([True]))["bins"][0]["to"] == 1.0


@pytest.mark.parametrize(("probability", "outcome"), [([], []), ([0.5], [True, False]), ([[0.5]], [[True]])])
def test_calibration_refuses_other_shapes(probability, outcome):
    with pytest.raises(ValueError, match="two vectors of one length > 0"):
        calibration(np.array(probability), np.array(outcome))
