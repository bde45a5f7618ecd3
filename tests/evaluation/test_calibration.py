"""Calibration figures against numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from monai_tavr.evaluation.calibration import average_precision, calibration, fit_logistic, fit_platt


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


def test_platt_says_how_often_a_probability_was_right():
    # 0.9 was right in 60 % and 0.1 in 40 %: the logit 2.197 must become ln(0.6 / 0.4) = 0.405
    probability = np.repeat([0.9, 0.1], 20000)
    outcome = np.tile(np.arange(20000) % 10, 2) < np.repeat([6, 4], 20000)
    assert fit_platt(probability, outcome) == pytest.approx((np.log(1.5) / np.log(9), 0.0), abs=1e-3)


def test_platt_keeps_what_cannot_be_fitted_and_never_turns_the_order_around():
    assert fit_platt(np.array([0.2, 0.9]), np.array([True, True])) == (1.0, 0.0)
    assert fit_platt(np.array([0.1, 0.9] * 100), np.array([True, False] * 100)) == (1.0, 0.0)
    slope, _ = fit_platt(np.array([0.1, 0.9]), np.array([False, True]))  # could be told apart exactly
    assert 1 < slope < 3


def test_logistic_regression_stays_at_its_prior_where_it_is_pulled():
    x = np.array([[1.0, 1.0], [2.0, 1.0]])
    found = fit_logistic(x, np.array([False, True]), prior=np.array([0.5, -0.5]), ridge=1e9)
    assert found == pytest.approx([0.5, -0.5], abs=1e-6)
    # one column pulled to 0, the other free: the offset alone says that half is true
    found = fit_logistic(x, np.array([False, True]), prior=np.zeros(2), ridge=np.array([1e9, 1e-9]))
    assert found == pytest.approx([0, 0], abs=1e-6)
