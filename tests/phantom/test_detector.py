from dataclasses import replace

import numpy as np
import pytest

from monai_tavr.phantom.detector import DetectorRanges, expose, sample_detector

PLAIN = replace(sample_detector(np.random.default_rng(0)), glow=np.zeros(4), sharpening=0.0)


def chest(size=256):
    rows, columns = np.mgrid[:size, :size] / size
    return 0.4 * np.sin(5 * columns) * np.cos(4 * rows)


@pytest.mark.parametrize(("bits", "kind", "top"), [(8, np.uint8, 255), (12, np.uint16, 4095)])
def test_grey_levels_fit_the_bits(bits, kind, top):
    frame = expose(chest(), PLAIN, np.random.default_rng(1), bits=bits)
    assert frame.dtype == kind
    assert frame.shape == (256, 256)
    assert top * 0.6 < frame.max() <= top


def test_twelve_bits_are_the_same_picture_with_finer_steps():
    eight, twelve = (expose(chest(), PLAIN, np.random.default_rng(1), bits=b).astype(float) for b in (8, 12))
    np.testing.assert_allclose(twelve * 255 / 4095, eight, atol=0.54)  # half a step of either
    assert len(np.unique(twelve)) > 4 * len(np.unique(eight))


def test_other_bit_depths_are_refused():
    with pytest.raises(ValueError, match="bits = 10"):
        expose(chest(), PLAIN, np.random.default_rng(1), bits=10)


def test_deterministic_for_a_seed():
    first, again, other = (expose(chest(), PLAIN, np.random.default_rng(s)) for s in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).mean() > 0.3


def test_dense_things_are_dark():
    attenuation = chest()
    attenuation[100:110, 100:110] += 2.0
    frame = expose(attenuation, PLAIN, np.random.default_rng(1)).astype(float)
    assert frame[102:108, 102:108].mean() < 0.5 * frame[80:90, 80:90].mean()


def test_exposure_control_takes_away_what_is_common():
    thin, thick = (expose(chest() + add, PLAIN, np.random.default_rng(1)).astype(float) for add in (0.0, 1.5))
    np.testing.assert_allclose(thin, thick, atol=1.01)


def test_fewer_photons_more_noise():
    def noise(photons):
        settings = replace(PLAIN, photons=photons, spread=90.0)
        two = [expose(chest(), settings, np.random.default_rng(s), bits=12).astype(float) for s in (1, 2)]
        return (two[0] - two[1])[32:-32, 32:-32].std()

    # Poisson: a quarter of the quanta, twice the noise.
    assert noise(4000.0) / noise(16000.0) == pytest.approx(2, rel=0.1)


def test_collimator_is_dark_and_glow_is_bright_beside_it():
    glow = replace(PLAIN, glow=np.array([100.0, 0, 0, 0]), glow_width=np.full(4, 15.0), edge=np.full(4, 10.0))
    glow = replace(glow, glow_profile=np.ones((4, 10)))
    with_glow, without = (expose(chest(512), s, np.random.default_rng(1)).astype(float) for s in (glow, PLAIN))
    rise = (with_glow - without)[100:400].mean(axis=0)
    assert rise[12] > 40
    assert abs(rise[200]) < 1
    assert with_glow[100:400, 0].mean() < 60


def test_compression_flattens_slow_changes():
    rows = np.linspace(-1, 1, 256)[:, None] + np.zeros((256, 256))
    texture = rows + 0.1 * np.random.default_rng(3).standard_normal((256, 256))

    def trend(compression):
        frame = expose(texture, replace(PLAIN, compression=compression), np.random.default_rng(1)).astype(float)
        return abs(frame[40:80].mean() - frame[-80:-40].mean()) / frame[100:150].std()

    assert trend(0.95) < 0.5 * trend(0.2)


def test_settings_stay_in_their_ranges():
    ranges = DetectorRanges(photons=(100.0, 200.0), blur=(2.0, 2.5), gamma=(0.8, 0.9))
    for seed in range(10):
        settings = sample_detector(np.random.default_rng(seed), ranges)
        assert 100 <= settings.photons <= 200
        assert 2 <= settings.blur <= 2.5
        assert 0.8 <= settings.gamma <= 0.9
