import numpy as np
import pytest

from monai_tavr.phantom.texture import power_noise, resize, warp


def test_noise_has_zero_mean_unit_deviation_and_its_band():
    field = power_noise(np.random.default_rng(0), 128, slope=0.0, low=8, high=20)
    assert field.mean() == pytest.approx(0, abs=1e-5)
    assert field.std() == pytest.approx(1, rel=1e-4)
    power = np.abs(np.fft.rfft2(field)) ** 2
    frequency = np.hypot(np.fft.fftfreq(128, 1 / 128)[:, None], np.fft.rfftfreq(128, 1 / 128))
    assert power[frequency < 7.9].sum() < 1e-6 * power.sum()
    assert power[frequency > 50].sum() < 1e-3 * power.sum()


def test_noise_falls_with_its_slope():
    field = power_noise(np.random.default_rng(0), 256, slope=1.5, low=1, high=1e6)
    power = np.abs(np.fft.rfft2(field)) ** 2
    frequency = np.hypot(np.fft.fftfreq(256, 1 / 256)[:, None], np.fft.rfftfreq(256, 1 / 256))
    low, high = (power[(frequency > f) & (frequency < 1.2 * f)].mean() for f in (10, 80))
    assert np.log(low / high) / np.log(8) == pytest.approx(3, abs=0.3)


def test_noise_shows_no_lattice():
    # Interpolated value noise repeats itself in rows; filtered noise is alike in all directions.
    field = power_noise(np.random.default_rng(1), 256, slope=1.0, low=4, high=64)
    power = np.abs(np.fft.fft2(field)) ** 2
    fx, fy = np.meshgrid(np.fft.fftfreq(256, 1 / 256), np.fft.fftfreq(256, 1 / 256))
    radius, angle = np.hypot(fx, fy), np.abs(np.arctan2(fy, fx)) % (np.pi / 2)
    band = (radius > 8) & (radius < 64)
    axial = power[band & ((angle < 0.2) | (angle > np.pi / 2 - 0.2))].mean()
    diagonal = power[band & (np.abs(angle - np.pi / 4) < 0.2)].mean()
    assert axial / diagonal == pytest.approx(1, abs=0.15)


def test_resize_keeps_the_edges_of_the_field():
    ramp = np.tile(np.arange(8, dtype=np.float32), (8, 1))
    np.testing.assert_allclose(resize(ramp, 4)[0], [0.5, 2.5, 4.5, 6.5])
    np.testing.assert_allclose(resize(ramp, 16)[0, 2:-2], (np.arange(16) / 2 - 0.25)[2:-2])


def test_warp_reads_at_the_shifted_place():
    ramp = np.tile(np.arange(8, dtype=np.float32), (8, 1))
    shift = np.full((8, 8), 1.5)
    np.testing.assert_allclose(warp(ramp, shift, 0 * shift)[0], [1.5, 2.5, 3.5, 4.5, 5.5, 6.5, 7, 7])
    np.testing.assert_allclose(warp(ramp.T, 0 * shift, shift)[:, 0], [1.5, 2.5, 3.5, 4.5, 5.5, 6.5, 7, 7])
