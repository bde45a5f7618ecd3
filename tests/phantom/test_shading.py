import numpy as np

from monai_tavr.phantom.shading import draw_shading


def test_shading_is_centred_grows_with_its_strength_and_follows_its_numbers():
    one, twice = (draw_shading(128, s, np.random.default_rng(4)) for s in (1.0, 2.0))
    assert (one.shape, one.dtype) == ((128, 128), np.float32)
    assert abs(one.mean()) < 1e-4
    np.testing.assert_allclose(twice, 2 * one, atol=1e-5)
    assert not np.allclose(one, draw_shading(128, 1.0, np.random.default_rng(5)))


def test_one_part_of_the_chest_is_darker_than_another_and_borders_are_crisp_or_soft():
    pictures = [draw_shading(256, 1.0, np.random.default_rng(seed)) for seed in range(40)]
    spread = np.array([np.ptp(p) for p in pictures])
    assert 0.2 < spread.min() < 0.6 < spread.max() < 3
    steepest = np.array([np.abs(np.diff(p, axis=0)).max() / np.ptp(p) for p in pictures])
    assert (steepest > 0.15).any()  # a dome's edge within some pixels
    assert (steepest < 0.08).any()
