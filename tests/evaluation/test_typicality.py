"""Fitting what typical frames look like, on clouds of points whose answer is plain."""

from __future__ import annotations

import numpy as np
import pytest

from monai_tavr.evaluation.typicality import every_third, fit_typicality

RNG = np.random.default_rng(0)
D = 6


def cloud(n, *centre, spread=1.0):
    return RNG.normal(size=(n, D)) * spread + np.pad(np.array(centre, float), (0, D - len(centre)))


def fit(typical, near, foreign, **options):
    return fit_typicality(typical, near, foreign, held_out=np.arange(len(typical)) % 3 == 2, **options)


def test_every_third_name_is_held_out_whole():
    assert every_third(["c", "a", "b", "c", "f"]).tolist() == [True, False, False, True, False]  # a b c f: c is the third


def test_strangers_are_told_apart_and_few_of_the_own_kind_are_marked():
    typical, near, foreign = cloud(900), cloud(300, 0, 12), cloud(300, 30)
    found = fit(typical, near, foreign, max_flagged=0.02, weights_sha256="ab", fitted_on="clouds")
    assert (found.weights_sha256, found.fitted_on) == ("ab", "clouds")
    assert found.typical(cloud(600)).mean() > 0.97
    assert not found.typical(near).any()  # the second probe
    assert not found.typical(foreign).any()
    # on a side from which nothing foreign ever came only the distance can tell
    assert not found.typical(cloud(50, 0, 0, 60)).any()
    assert (found.logits(cloud(50, 0, 0, 60)) <= found.limits).all(axis=1).mean() > 0.5


def test_where_kinds_overlap_the_allowance_decides():
    typical = cloud(900)
    near, foreign = cloud(300, 0, 0.5), cloud(300, 30)
    strict, lenient = (fit(typical, near, foreign, max_flagged=share) for share in (0.0, 0.3))
    held_out = typical[2::3]
    assert strict.typical(held_out).all()
    assert 0.7 <= lenient.typical(held_out).mean() < 1
    assert lenient.typical(near).mean() < strict.typical(near).mean()


def test_half_way_to_what_lies_far_apart():
    """Frames of one value: the own kind at logits below 0, others above; the limit lies between, not at the own kind's edge."""
    found = fit(cloud(300), cloud(300, 0, 40), cloud(300, 80))
    own, other = found.logits(cloud(300))[:, 0].max(), np.quantile(found.logits(cloud(300, 80))[:, 0], 0.1)
    assert own + 0.3 * (other - own) < found.limits[0] < own + 0.7 * (other - own)


def test_a_figure_that_never_changes_does_not_divide_by_nothing():
    typical, near, foreign = (c * np.array([1, 1, 1, 1, 1, 0]) for c in (cloud(90), cloud(90, 0, 9), cloud(90, 20)))
    found = fit(typical, near, foreign)
    stranger = np.array([[0, 0, 0, 0, 0, 5.0]])
    assert not found.typical(stranger).any()


def test_too_few_frames_and_bad_shares_are_refused():
    with pytest.raises(ValueError, match="1 near frames are too few"):
        fit(cloud(9), cloud(1), cloud(9))
    with pytest.raises(ValueError, match=r"max_flagged must lie in \[0, 1\), got 1"):
        fit(cloud(9), cloud(9), cloud(9), max_flagged=1)
