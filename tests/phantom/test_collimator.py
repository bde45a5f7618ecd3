from dataclasses import replace

import numpy as np
import pytest

from monai_tavr.phantom.collimator import Collimator, open_at, sample_collimator

FRAME = Collimator(
    blades=np.array([0.25, 0.125, 0.0, 0.5]),
    corner=0.0,
    cut=0.0,
    softness=0.5,
    glow=0.0,
    glow_width=0.02,
    surround=40.0,
    leak=0.0,
    shutter=2.0,
)


def test_blades_close_the_sides_that_they_are_of():
    field = FRAME.field(64)
    # left 16 columns, right 8, nothing above, the lower half
    np.testing.assert_allclose(field[:31, 17:55], 1, atol=1e-3)
    for closed in (field[:, :15], field[:, 57:], field[33:]):
        np.testing.assert_allclose(closed, 0, atol=1e-3)


def test_corners_are_round_or_cut_off():
    square = replace(FRAME, blades=np.full(4, 0.125))
    rounded, cut = replace(square, corner=0.125).field(64), replace(square, cut=0.125).field(64)
    for row, column in ((8, 8), (8, 55), (55, 8), (55, 55)):
        assert square.field(64)[row, column] > 0.99
        assert rounded[row, column] < 0.01  # 0.41 of the radius away from the arc
        assert (cut[row, column] < 0.01) == (row == column == 55)
    assert rounded[8, 32] > 0.99
    # the cut runs at 45 degrees: 0.125 of 64 pixels along the diagonal from the corner at (56, 56)
    assert cut[49, 49] > 0.99
    assert cut[52, 52] < 0.01


def test_the_picture_is_seen_between_the_blades_and_leaks_through_them():
    grey = np.full((64, 64), 200.0, np.float32)
    closed, leaking = FRAME.draw(grey), replace(FRAME, leak=0.5).draw(grey)
    np.testing.assert_allclose(closed[:30, 20:50], 200, atol=0.1)
    np.testing.assert_allclose(closed[60], 40 * 0.75, rtol=1e-2)  # far behind a blade
    np.testing.assert_allclose(leaking[60], 30 * (1 + 0.5 * 72 / 128), rtol=1e-2)
    # scatter beside the edge: 1.5 of 64 pixels behind it, 0.75 + 0.6 exp(-0.0234 / 0.02)
    assert closed[33, 32] == pytest.approx(37.4, abs=0.1)
    black = replace(FRAME, shutter=0.125).draw(grey)
    assert black[45:].max() < 1e-6
    assert black[33, 32] > 30
    bright = replace(FRAME, glow=50.0).draw(grey)
    assert bright[30, 32] == pytest.approx(200 + 50 * 0.31, abs=0.5)  # 1.5 of 64 pixels inside: exp(-0.0234 / 0.02)


def test_points_behind_a_blade_are_not_seen():
    xy = np.array([(32.0, 16.0), (10.0, 16.0), (32.0, 40.0), (np.nan, np.nan), (80.0, 16.0)])
    assert open_at(FRAME.field(64), xy).tolist() == [True, False, False, False, False]


def test_drawn_collimators_leave_most_of_the_picture_and_differ():
    fields = [sample_collimator(np.random.default_rng(seed)).field(64) for seed in range(60)]
    open_share = np.array([f.mean() for f in fields])
    assert open_share.min() > 0.25
    assert open_share.mean() == pytest.approx(0.75, abs=0.12)
    assert open_share.std() > 0.08
    assert all(f[32, 32] > 0.99 for f in fields)
