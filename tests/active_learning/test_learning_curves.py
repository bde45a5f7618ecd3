import csv
import math

import numpy as np
import pytest

from monai_tavr.active_learning.curves import (
    LearningCurve,
    label_saving,
    learning_curves,
    write_curve_plot,
    write_rounds_csv,
)


def curve(*errors):
    return LearningCurve(np.array([0.0, 10, 20]), np.array(errors, float))


def make_rounds(errors):
    """(strategy, seed) -> errors of the rounds."""
    return [
        {"strategy": s, "seed": n, "round": k, "labels": 10 * k, "pool_error": e, "chosen": [[0, k]]}
        for (s, n), values in errors.items()
        for k, e in enumerate(values)
    ]


@pytest.mark.parametrize(
    ("errors", "ratio"),
    [((10, 6, 4), 0.5), ((10, 7, 5), 0.75), ((10, 9, 7), math.inf), ((5, 4, 3), 0.0), ((10, 2, 2), 0.25)],
)
def test_labels_needed_for_what_random_reaches(errors, ratio):
    saving = label_saving(curve(errors), curve((10, 8, 6)))
    assert saving.ratio == pytest.approx(ratio)
    assert (saving.low, saving.high) == pytest.approx((ratio, ratio))  # one seed: nothing to draw


def test_random_is_compared_with_where_it_got_there_itself():
    assert label_saving(curve((10, 6, 6)), curve((10, 6, 6))).ratio == 1


def test_the_interval_covers_the_seeds():
    random = curve((10, 8, 6), (10, 8, 6), (10, 8, 6))
    saving = label_saving(curve((10, 6, 4), (10, 7, 5), (10, 9, 7)), random)
    assert saving.low == pytest.approx(0.5)
    assert saving.high == math.inf
    # the mean curve is 10, 7.33, 5.33: 6 is reached at 10 + 10 * 1.33 / 2
    assert saving.ratio == pytest.approx((10 + 10 * (22 / 3 - 6) / 2) / 20)


def test_mean_and_interval():
    found = curve((1, 2, 3), (3, 2, 1))
    np.testing.assert_allclose(found.mean, [2, 2, 2])
    # standard deviation sqrt(2), standard error 1, t of one degree of freedom 12.706
    np.testing.assert_allclose(found.half_interval, [12.706, 0, 12.706], rtol=1e-4)
    assert curve((1, 2, 3)).half_interval.tolist() == [0, 0, 0]


def test_the_interval_of_eleven_seeds():
    # 0 to 10: standard deviation sqrt(11), so standard error 1; t of ten degrees of freedom is 2.228, not the normal's 1.960
    found = curve(*([seed] * 3 for seed in range(11)))
    np.testing.assert_allclose(found.half_interval, [2.228] * 3, atol=5e-4)


def test_only_seeds_that_all_strategies_have_finished_count():
    rounds = make_rounds({("random", 0): [4, 3], ("random", 1): [9, 9], ("hybrid", 0): [4, 2], ("hybrid", 1): [9]})
    curves = learning_curves(rounds)
    assert curves["random"].errors.tolist() == [[4, 3]]
    assert curves["hybrid"].errors.tolist() == [[4, 2]]
    assert curves["hybrid"].labels.tolist() == [0, 10]
    assert learning_curves([]) == {}


def test_table_and_plot(tmp_path):
    rounds = make_rounds({("random", 0): [4, 3], ("hybrid", 0): [4, 2]})
    write_rounds_csv(tmp_path / "rounds.csv", rounds)
    with (tmp_path / "rounds.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [r["pool_error"] for r in rows] == ["4", "3", "4", "2"]
    assert "chosen" not in rows[0]
    write_curve_plot(tmp_path / "plots" / "curves.png", {"pool": learning_curves(rounds)})
    assert (tmp_path / "plots" / "curves.png").read_bytes().startswith(b"\x89PNG")
