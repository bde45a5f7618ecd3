from dataclasses import replace

import numpy as np
import pytest

from monai_tavr.phantom.anatomy import sample_anatomy
from monai_tavr.phantom.coronaries import coronary_tree, guiding_catheter, selective_tree


@pytest.fixture(scope="module")
def anatomy():
    return sample_anatomy(np.random.SeedSequence(5))


def ostium(anatomy, sinus):
    return anatomy.axis * anatomy.sinus_height * 0.7 + anatomy.sinus_direction(sinus) * anatomy.sinus_radius * 0.9


@pytest.mark.parametrize(("sinus", "trunks"), [(0, 2), (2, 1)])
def test_a_selective_tree_begins_in_its_sinus_and_has_more_branches(anatomy, sinus, trunks):
    tree = selective_tree(anatomy, sinus)
    from_ostium = [v for v in tree if np.allclose(v[0][0], ostium(anatomy, sinus))]
    assert len(from_ostium) == trunks
    assert len(tree) > len(coronary_tree(anatomy)) / 2
    for points, radius, start in tree:
        assert points.shape == (len(radius), 3)
        assert (radius > 0).all()
        assert 0 <= start < 1
    assert selective_tree(anatomy, sinus) is tree  # once per patient


def test_trees_are_of_every_calibre(anatomy):
    widest = [max(r.max() for _, r, _ in selective_tree(replace(anatomy, texture_seed=s), 2)) for s in range(40)]
    assert min(widest) < 1.4
    assert max(widest) > 2.2


@pytest.mark.parametrize("sinus", [0, 2])
def test_a_guiding_catheter_lies_in_the_ostium_and_never_in_the_ventricle(anatomy, sinus):
    for seed in range(12):
        shaft, *_ = guiding_catheter(anatomy, sinus, np.random.default_rng(seed))
        assert np.linalg.norm(shaft.points[-1] - ostium(anatomy, sinus)) <= 5.5
        assert (shaft.points[-80:] @ anatomy.axis).min() > -6  # its last 40 mm stay above the annulus
        assert np.linalg.norm(shaft.points[0]) > 90  # it comes from outside
