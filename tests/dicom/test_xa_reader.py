"""MONAI's LoadImaged through XAReader: no transposition, useful metadata, and errors that reach the caller."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.data import DataLoader, Dataset
from monai.transforms import Compose, EnsureChannelFirstd, Flipd, LoadImage, LoadImaged
from xa_files import asymmetric_frames

from monai_tavr.cine import CineError
from monai_tavr.dicom import XAReader
from monai_tavr.dicom.writer import XAHeader, write_xa

# MONAI makes all of its readers, and one misses NVIDIA's codec
pytestmark = pytest.mark.filterwarnings("ignore:NvImgCodecPydicomReader:UserWarning")

HEADER = XAHeader(imager_spacing=0.3, source_detector_mm=1200, source_patient_mm=800, primary_angle=20, frame_time_ms=40)


def test_frames_are_channels_and_nothing_is_turned(tmp_path: Path) -> None:
    frames = asymmetric_frames(12)
    write_xa(tmp_path / "a.dcm", frames, header=HEADER, syntax="jpeg-lossless-sv1", bits_stored=12)
    load = Compose([LoadImaged("image", reader=XAReader), EnsureChannelFirstd("image")])
    image = load({"image": tmp_path / "a.dcm"})["image"]
    assert (image.shape, image.dtype) == ((5, 37, 50), torch.float32)
    np.testing.assert_array_equal(image.numpy(), frames)
    np.testing.assert_array_equal(image.affine, np.eye(4))
    meta = image.meta
    np.testing.assert_allclose(meta["spacing"], [0.2, 0.2])
    np.testing.assert_allclose(meta["frame_times"], [0, 40, 80, 120, 160])
    assert (meta["primary_angle"], meta["secondary_angle"], meta["number_of_frames"]) == (20, 0, 5)
    np.testing.assert_allclose(meta["detector_spacing"], [0.3, 0.3])
    assert np.isnan(meta["shutter"]).all()
    assert (meta["bits_stored"], meta["photometric_interpretation"]) == (12, "MONOCHROME2")
    assert meta["sop_instance_uid"].startswith("2.25.")
    assert meta["filename_or_obj"] == str(tmp_path / "a.dcm")
    assert not any("ANONYMOUS" in str(value) for value in meta.values())


def test_the_affine_follows_rows_and_columns(tmp_path: Path) -> None:
    """A flip of the columns sends column 49 to 0: column = 49 - new, row unchanged."""
    write_xa(tmp_path / "a.dcm", asymmetric_frames())
    load = Compose([LoadImaged("image", reader=XAReader), EnsureChannelFirstd("image"), Flipd("image", spatial_axis=1)])
    affine = load({"image": tmp_path / "a.dcm"})["image"].affine
    np.testing.assert_allclose(affine[:2, [0, 1, 3]], [[1, 0, 0], [0, -1, 49]])


def test_a_still_has_one_channel_and_unknowns_are_nan(tmp_path: Path) -> None:
    write_xa(tmp_path / "a.dcm", asymmetric_frames(count=1), header=XAHeader(primary_angle=None))
    image = LoadImage(reader=XAReader, ensure_channel_first=True)(tmp_path / "a.dcm")
    assert image.shape == (1, 37, 50)
    assert np.isnan(image.meta["spacing"]).all()
    assert math.isnan(image.meta["primary_angle"])


def test_frames_can_be_chosen_and_options_given_by_name(tmp_path: Path) -> None:
    frames = asymmetric_frames()
    write_xa(tmp_path / "a.dcm", frames, header=XAHeader(window=(10, 5), frame_time_ms=40))
    load = LoadImage(reader="monai_tavr.dicom.XAReader", frames=[3, 1], voi=False)
    image = load(tmp_path / "a.dcm")
    np.testing.assert_array_equal(image.numpy(), frames[[3, 1]])
    np.testing.assert_array_equal(image.meta["frames"], [3, 1])
    np.testing.assert_allclose(image.meta["frame_times"], [120, 40])


def test_a_batch_is_collated(tmp_path: Path) -> None:
    for name, header in (("a.dcm", HEADER), ("b.dcm", XAHeader())):
        write_xa(tmp_path / name, asymmetric_frames(), header=header)
    items = [{"image": tmp_path / name} for name in ("a.dcm", "b.dcm")]
    batch = next(iter(DataLoader(Dataset(items, LoadImaged("image", reader=XAReader(frames=[0]))), batch_size=2)))
    assert batch["image"].shape == (2, 1, 37, 50)


def test_a_list_of_files_is_one_run(tmp_path: Path) -> None:
    frames = asymmetric_frames()
    for i in range(3):
        write_xa(tmp_path / f"{i}.dcm", frames[i : i + 1])
    image = LoadImage(reader=XAReader)([tmp_path / f"{i}.dcm" for i in range(3)])
    np.testing.assert_array_equal(image.numpy(), frames[:3])
    write_xa(tmp_path / "other.dcm", asymmetric_frames(rows=30))
    with pytest.raises(CineError, match="differs in size"):
        LoadImage(reader=XAReader)([tmp_path / "0.dcm", tmp_path / "other.dcm"])


def test_a_damaged_file_is_not_handed_to_monais_other_readers(tmp_path: Path) -> None:
    """ITK would open it and make up the rest of the picture."""
    write_xa(tmp_path / "a.dcm", asymmetric_frames())
    (tmp_path / "a.dcm").write_bytes((tmp_path / "a.dcm").read_bytes()[:-3000])
    with pytest.raises(CineError, match=r"a\.dcm: 6250 of 9250 bytes"):
        LoadImaged("image", reader=XAReader)({"image": tmp_path / "a.dcm"})


def test_options_of_read_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="takes no options"):
        XAReader().read(tmp_path / "a.dcm", voi=False)


@pytest.mark.slow
def test_the_core_reads_without_monai() -> None:
    """Opening a cine does not cost MONAI's import."""
    code = "import sys, monai_tavr.dicom; sys.exit('monai' in sys.modules or 'torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
