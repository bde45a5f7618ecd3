import runpy
from dataclasses import replace

import cv2
import numpy as np
import pytest
from PIL import Image

from monai_tavr.dicom.writer import XAHeader, write_xa
from monai_tavr.phantom import realism
from monai_tavr.phantom.presets import preset_named
from monai_tavr.phantom.procedure import plan_cine, sample_patient
from monai_tavr.phantom.realism import PERCENTILES, REAL, frame_statistics, frames_of_folder, summarise, table
from monai_tavr.phantom.render import render_cine


def test_percentiles_of_a_ramp():
    ramp = np.tile(np.linspace(0, 255, 512), (512, 1)).astype(np.uint8)
    np.testing.assert_allclose(frame_statistics(ramp).percentiles, np.array(PERCENTILES) * 2.55, atol=1)


def test_twelve_bits_count_as_eight():
    frame = np.random.default_rng(0).integers(0, 256, (512, 512)).astype(np.uint8)
    eight, twelve = frame_statistics(frame), frame_statistics((frame.astype(np.uint32) * 4095 // 255).astype(np.uint16))
    np.testing.assert_allclose(eight.percentiles, twelve.percentiles, atol=0.1)
    np.testing.assert_allclose(eight.bands, twelve.bands, rtol=0.01)


def test_a_band_sees_its_own_scale():
    # A wave of period 24 pixels passes the band between sigma 4 and 8 with exp(-(2 pi 4 / 24)^2 / 2) - exp(-(2 pi 8 / 24)^2 / 2).
    wave = 128 + 40 * np.sin(2 * np.pi * np.arange(512) / 24)
    frame = np.tile(np.rint(wave), (512, 1)).astype(np.uint8)
    bands = frame_statistics(frame).bands
    k = 2 * np.pi / 24
    assert bands[2] == pytest.approx(40 / np.sqrt(2) * (np.exp(-((4 * k) ** 2) / 2) - np.exp(-((8 * k) ** 2) / 2)), rel=0.05)
    assert int(np.argmax(bands)) in (1, 2)


def test_white_noise_has_a_flat_spectrum_and_its_integral_a_steep_one():
    white = np.random.default_rng(0).normal(128, 20, (512, 512))
    assert frame_statistics(white.clip(0, 255).astype(np.uint8)).spectrum_slope == pytest.approx(0, abs=0.1)
    smooth = cv2.GaussianBlur(white, (0, 0), 3)
    smooth = 128 + 40 * (smooth - smooth.mean()) / smooth.std()
    assert frame_statistics(smooth.clip(0, 255).astype(np.uint8)).spectrum_slope < -2


def test_other_sizes_are_brought_to_512():
    frame = np.random.default_rng(0).integers(0, 256, (1024, 1024)).astype(np.uint8)
    shrunk = cv2.resize(frame, (512, 512), interpolation=cv2.INTER_AREA)
    np.testing.assert_allclose(frame_statistics(frame).bands, frame_statistics(shrunk).bands, rtol=0.02)


def test_no_frames_is_an_error():
    with pytest.raises(ValueError, match="no frames"):
        summarise([])


def test_mean_and_spread_over_two_frames_of_other_brightness():
    noise = np.random.default_rng(0).normal(80, 10, (512, 512)).clip(40, 120).astype(np.uint8)
    mean, spread = summarise([noise + np.uint8(20), noise + np.uint8(60)])
    assert mean.percentiles == pytest.approx(np.array(frame_statistics(noise).percentiles) + 40, abs=0.1)
    assert spread.percentiles == pytest.approx([20.0] * 7, abs=0.1)
    assert spread.bands == pytest.approx([0.0] * 6, abs=1e-3)  # the same grain in both


@pytest.mark.slow
def test_phantom_frames_are_within_a_quarter_of_real_ones():
    preset = replace(preset_named("tavr81"), frames=(3, 3))
    frames = []
    for index in range(18):
        patient = sample_patient(preset, seed=0, index=index)
        cine = render_cine(patient.anatomy, plan_cine(patient, index % len(patient.cines), preset=preset, size=512))
        frames.extend(cine.frames[1:])
    mean, _ = summarise(frames)
    np.testing.assert_allclose(mean.percentiles, REAL.percentiles, rtol=0.25)
    np.testing.assert_allclose(mean.bands, REAL.bands, rtol=0.25)
    assert mean.spectrum_slope == pytest.approx(REAL.spectrum_slope, abs=0.75)


def test_table_says_by_how_much_figures_differ():
    found = replace(REAL, percentiles=(106.0, *REAL.percentiles[1:]))
    rows = table(found).splitlines()
    assert rows[1].split() == ["percentile", "1", "106.0", "53.0", "+100%"]
    assert rows[8].split()[-1] == "+0%"


@pytest.mark.parametrize("bits", [8, 12])
def test_figures_of_a_folder_are_those_of_its_middle_frames(tmp_path, bits):
    top = 2**bits - 1
    frames = np.zeros((3, 512, 512), np.uint8 if bits == 8 else np.uint16)
    frames[1] = np.linspace(0, top, 512).astype(int)
    write_xa(tmp_path / "a.dcm", frames, header=XAHeader(), bits_stored=bits)
    (middle,) = frames_of_folder(tmp_path)
    np.testing.assert_allclose(frame_statistics(middle).percentiles, np.array(PERCENTILES) * 2.55, atol=1.5)


def test_figures_beside_those_of_a_folder_of_real_frames(tmp_path, capsys):
    for folder, low in (("phantom", 0), ("real", 128)):
        (tmp_path / folder).mkdir()
        for name, grey in (("a.png", low + 40), ("b.png", low + 80)):
            Image.fromarray(np.random.default_rng(0).normal(grey, 5, (64, 64)).clip(0, 255).astype(np.uint8)).save(
                tmp_path / folder / name
            )
    sys_argv = ["realism", str(tmp_path / "phantom"), "--real", str(tmp_path / "real")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", sys_argv)
        runpy.run_path(realism.__file__, run_name="__main__")
    lines = capsys.readouterr().out.splitlines()
    medians = [line.split() for line in lines if line.startswith("percentile 50")]
    assert [float(v) for v in medians[0][2:4]] == pytest.approx([60, 188], abs=1)  # the means of 40 and 80, of 168 and 208
    assert [float(v) for v in medians[1][2:4]] == pytest.approx([20, 20], abs=1)  # and their spread
