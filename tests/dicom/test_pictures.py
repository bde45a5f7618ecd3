"""PNG, JPEG and NIfTI: the same frames, the documented axis order, and no damaged picture."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image
from xa_files import asymmetric_frames

from monai_tavr.dicom import CineError, open_cine


@pytest.mark.parametrize("bits", [8, 16])
def test_png_is_a_cine_of_one_frame(tmp_path: Path, bits: int) -> None:
    frame = asymmetric_frames(bits)[2]
    Image.fromarray(frame).save(tmp_path / "a.png")
    cine = open_cine(tmp_path / "a.png")
    assert (len(cine), cine.info.rows, cine.info.columns) == (1, 37, 50)
    np.testing.assert_array_equal(cine.frames(), frame[None])
    assert (cine.info.spacing, cine.info.frame_times, cine.info.modality) == (None, None, None)


def test_jpeg_is_near_and_upright(tmp_path: Path) -> None:
    frame = asymmetric_frames()[0]
    Image.fromarray(frame).save(tmp_path / "a.jpg", quality=95)
    error = open_cine(tmp_path / "a.jpg").frame(0) - frame
    assert np.sqrt(np.mean(error**2)) < 3


@pytest.mark.parametrize("colour", [False, True])
def test_a_turned_picture_is_seen_as_people_see_it(tmp_path: Path, colour: bool) -> None:
    """EXIF orientation 6: what is stored on top is the right side."""
    stored = np.zeros((16, 24), np.uint8)
    stored[:8] = 200
    picture = Image.fromarray(np.repeat(stored[:, :, None], 3, axis=2) if colour else stored)
    exif = Image.Exif()
    exif[0x0112] = 6
    picture.save(tmp_path / "a.png", exif=exif)
    cine = open_cine(tmp_path / "a.png")
    assert (cine.info.rows, cine.info.columns) == (24, 16)
    np.testing.assert_array_equal(cine.frame(0), np.rot90(stored, -1))
    assert cine.frame(0)[12].tolist() == [0] * 8 + [200] * 8


def test_colour_becomes_luminance(tmp_path: Path) -> None:
    """ITU-R 601: 0.299 R + 0.587 G + 0.114 B, so 100, 150, 200 make 140.75; a grey picture saved in colour keeps its levels."""
    Image.new("RGB", (4, 3), (100, 150, 200)).save(tmp_path / "a.png")
    np.testing.assert_array_equal(open_cine(tmp_path / "a.png").frame(0), np.full((3, 4), 141))
    frame = asymmetric_frames()[0]
    for mode in ("RGB", "RGBA", "P", "LA"):
        Image.fromarray(frame).convert(mode).save(tmp_path / "b.png")
        np.testing.assert_array_equal(open_cine(tmp_path / "b.png").frame(0), frame)


def test_folder_of_pictures_is_put_in_natural_order(tmp_path: Path) -> None:
    frames = asymmetric_frames(count=12)
    for i, frame in enumerate(frames):
        Image.fromarray(frame).save(tmp_path / f"frame_{i}.png")
    np.testing.assert_array_equal(open_cine(tmp_path).frames(), frames)


def test_folder_of_pictures_of_different_sizes_is_refused(tmp_path: Path) -> None:
    Image.new("L", (4, 3)).save(tmp_path / "a.png")
    Image.new("L", (5, 3)).save(tmp_path / "b.png")
    with pytest.raises(CineError, match=r"a\.png has 4 x 3 pixels and b\.png 5 x 3"):
        open_cine(tmp_path)


@pytest.mark.parametrize("kind", ["png", "jpg"])
def test_a_cut_picture_is_refused(tmp_path: Path, kind: str) -> None:
    Image.fromarray(asymmetric_frames()[0]).save(tmp_path / f"whole.{kind}")
    whole = (tmp_path / f"whole.{kind}").read_bytes()
    path = tmp_path / f"cut.{kind}"
    for length in (10, len(whole) // 2, len(whole) - 40):
        path.write_bytes(whole[:length])
        with pytest.raises(CineError, match="damaged or truncated") as caught:
            open_cine(path).frames()
        assert str(path) in str(caught.value)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_nifti_axes_are_x_y_frame(tmp_path: Path, suffix: str) -> None:
    frames = asymmetric_frames(12)
    image = nibabel.Nifti1Image(frames.transpose(2, 1, 0).astype(np.int16), np.eye(4))
    image.header.set_zooms((0.2, 0.3, 1.0))
    image.header.set_xyzt_units("mm")
    nibabel.save(image, tmp_path / f"a{suffix}")
    cine = open_cine(tmp_path / f"a{suffix}")
    np.testing.assert_array_equal(cine.frames(), frames)
    np.testing.assert_array_equal(cine.frame(3), frames[3])
    assert (cine.info.rows, cine.info.columns, len(cine)) == (37, 50, 5)
    assert cine.info.spacing == pytest.approx((0.2, 0.3))
    assert cine.info.frame_times is None


def test_nifti_still_scaled_and_without_unit(tmp_path: Path) -> None:
    frame = asymmetric_frames()[0]
    image = nibabel.Nifti1Image(frame.T.astype(np.int16), np.eye(4))
    image.header.set_slope_inter(2.0, -5.0)
    nibabel.save(image, tmp_path / "a.nii")
    raw = nibabel.load(tmp_path / "a.nii").get_fdata()
    cine = open_cine(tmp_path / "a.nii")
    np.testing.assert_allclose(cine.frame(0), raw.T, rtol=1e-6)
    assert (len(cine), cine.info.spacing) == (1, None)


def test_nifti_with_time_as_fourth_axis(tmp_path: Path) -> None:
    frames = asymmetric_frames()
    image = nibabel.Nifti1Image(frames.transpose(2, 1, 0)[:, :, None, :], np.eye(4))
    image.header.set_zooms((0.2, 0.3, 1.0, 0.04))
    image.header.set_xyzt_units("mm", "sec")
    nibabel.save(image, tmp_path / "a.nii")
    cine = open_cine(tmp_path / "a.nii")
    np.testing.assert_array_equal(cine.frames(), frames)
    np.testing.assert_allclose(cine.info.frame_times, [0, 40, 80, 120, 160], rtol=1e-6)


def test_nifti_that_is_no_cine_is_refused(tmp_path: Path) -> None:
    nibabel.save(nibabel.Nifti1Image(np.zeros((4, 5, 6, 7), np.int16), np.eye(4)), tmp_path / "4d.nii")
    with pytest.raises(CineError, match=r"shape \(4, 5, 6, 7\); it must be"):
        open_cine(tmp_path / "4d.nii")
    colour = np.zeros((4, 5, 6), [("R", "u1"), ("G", "u1"), ("B", "u1")])
    nibabel.save(nibabel.Nifti1Image(colour, np.eye(4)), tmp_path / "rgb.nii")
    with pytest.raises(CineError, match="not colour"):
        open_cine(tmp_path / "rgb.nii")
    nibabel.save(nibabel.Nifti1Image(np.full((4, 5), np.nan, np.float32), np.eye(4)), tmp_path / "nan.nii")
    with pytest.raises(CineError, match="not finite"):
        open_cine(tmp_path / "nan.nii").frames()


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_a_cut_nifti_is_refused(tmp_path: Path, suffix: str) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (50, 37, 5)).astype(np.uint8)
    nibabel.save(nibabel.Nifti1Image(noise, np.eye(4)), tmp_path / f"whole{suffix}")
    whole = (tmp_path / f"whole{suffix}").read_bytes()
    path = tmp_path / f"cut{suffix}"
    for length in (20, len(whole) // 2, len(whole) - 100):
        path.write_bytes(whole[:length])
        with pytest.raises(CineError, match="damaged or truncated"):
            open_cine(path).frames()
