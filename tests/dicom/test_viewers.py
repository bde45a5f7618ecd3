"""Frames are what viewers show: DCMTK's pictures over what decides about grey levels, and each decoder beside the other."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.uid import JPEGBaseline8Bit, JPEGExtended12Bit, XRayAngiographicImageStorage
from xa_files import asymmetric_frames, edit, item, run_tool, write_edited

from monai_tavr.dicom import frames as dicom_frames
from monai_tavr.dicom import open_cine
from monai_tavr.dicom.writer import SYNTAXES, write_xa

RAMP = np.tile(np.arange(256, dtype=np.uint8), (1, 4, 1))
FALLING = [int(4095 * (1 - i / 255) ** 2) for i in range(256)]


@pytest.mark.parametrize("shape", [None, "with the photometric interpretation"])
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("window", [None, (128, 256), (64, 64)])
@pytest.mark.parametrize("relationship", [None, "LOG", "DISP", "LIN", "no LUT"])
def test_grey_levels_are_those_of_dcmtk(
    tmp_path: Path, relationship: str | None, window: tuple[int, int] | None, photometric: str, shape: str | None
) -> None:
    """A falling modality LUT of 12 bits would turn the picture around; XA is shown without it.

    Where PresentationLUTShape contradicts the photometric interpretation DCMTK follows the one and OHIF the other: not compared.
    """

    def change(ds: Dataset) -> None:
        if relationship != "no LUT":
            ds.ModalityLUTSequence = [item(LUTDescriptor=[256, 0, 12], ModalityLUTType="US", LUTData=FALLING)]
            ds["ModalityLUTSequence"].value[0]["LUTData"].VR = "US"
        if relationship not in (None, "no LUT"):
            ds.PixelIntensityRelationship = relationship
        ds.PhotometricInterpretation = photometric
        ds.WindowCenter, ds.WindowWidth = window or (None, None)
        if shape:
            ds.PresentationLUTShape = "INVERSE" if photometric == "MONOCHROME1" else "IDENTITY"

    path = write_edited(tmp_path / "a.dcm", change, RAMP)
    assert run_tool("dcmj2pnm", *(["+Wi", "1"] if window else []), "+on", path, tmp_path / "a.png") == ""
    shown = np.asarray(Image.open(tmp_path / "a.png"), np.float32)
    np.testing.assert_allclose(open_cine(path).frame(0), shown, atol=2)


@pytest.mark.parametrize("bits", [8, 12])
@pytest.mark.parametrize("syntax", ["jpeg-ls", "jpeg-ls-near"])
def test_both_decoders_of_jpeg_ls_agree(tmp_path: Path, syntax: str, bits: int, monkeypatch: pytest.MonkeyPatch) -> None:
    write_xa(tmp_path / "a.dcm", asymmetric_frames(bits, count=2), syntax=syntax, bits_stored=bits)
    _compare(tmp_path / "a.dcm", SYNTAXES[syntax], monkeypatch, within=0)


@pytest.mark.parametrize(("option", "bits"), [("+eb", 8), ("+ee", 8), ("+ee", 12)])
def test_both_decoders_of_lossy_jpeg_agree(tmp_path: Path, option: str, bits: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Within what two roundings of the cosine transform may differ: of 256 grey levels, and of 4096."""
    write_xa(tmp_path / "raw.dcm", asymmetric_frames(bits, count=2, rows=61, columns=83), bits_stored=bits)
    assert run_tool("dcmcjpeg", option, "+q", "95", "+un", tmp_path / "raw.dcm", tmp_path / "a.dcm") == ""
    assert run_tool("dcmdjpeg", tmp_path / "a.dcm", tmp_path / "b.dcm") == ""
    syntax = JPEGBaseline8Bit if option == "+eb" else JPEGExtended12Bit
    _compare(tmp_path / "a.dcm", syntax, monkeypatch, within=1 if bits == 8 else 2)
    ours, theirs = (open_cine(tmp_path / name, voi=False).frames() for name in ("a.dcm", "b.dcm"))
    assert np.abs(ours - theirs).max() <= 2


def _compare(path: Path, syntax: str, monkeypatch: pytest.MonkeyPatch, *, within: int) -> None:
    """Each decoder alone; sequential JPEG has one of ours behind the named ones."""
    found, named = [], dicom_frames._PLUGINS[syntax]
    for plugin in [(name,) for name in named] + [()] * (2 - len(named)):
        monkeypatch.setitem(dicom_frames._PLUGINS, syntax, plugin)
        found.append(open_cine(path).frames())
    assert len(found) == 2
    assert np.abs(found[0] - found[1]).max() <= within
    assert np.ptp(found[0]) > 100


def test_a_scan_that_states_no_spectral_range_is_read_as_dcmtk_reads_it(tmp_path: Path) -> None:
    """pydicom's own file; the first decoder refuses it, as its like are refused by pydicom."""

    def as_xa(ds: Dataset) -> None:
        ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = XRayAngiographicImageStorage
        ds.Modality = "XA"

    frames, warning = {}, "W: Invalid SOS parameters for sequential JPEG\n"
    for name in ("JPEG-lossy.dcm", "JPGExtended.dcm"):
        shutil.copy(str(get_testdata_file(name)), tmp_path / name)
        assert run_tool("dcmdjpeg", edit(tmp_path / name, as_xa), tmp_path / "raw.dcm") in ("", warning)
        frames[name] = open_cine(tmp_path / name, voi=False).frames()
        np.testing.assert_allclose(frames[name], open_cine(tmp_path / "raw.dcm", voi=False).frames(), atol=1)
    np.testing.assert_allclose(frames["JPEG-lossy.dcm"], frames["JPGExtended.dcm"], atol=1)


@pytest.mark.parametrize("predictor", range(1, 8))
@pytest.mark.parametrize("transform", [0, 2])
def test_every_predictor_and_point_transform_of_another_encoder(tmp_path: Path, predictor: int, transform: int) -> None:
    """A point transform of 2 drops the two lowest bits; the decoder puts zeros in their place."""
    frames = asymmetric_frames(12, count=1, rows=40, columns=56)
    write_xa(tmp_path / "raw.dcm", frames, bits_stored=12)
    options = ["+el", "+sv", str(predictor), "+pt", str(transform), "+un"]
    assert run_tool("dcmcjpeg", *options, tmp_path / "raw.dcm", tmp_path / "a.dcm") == ""
    np.testing.assert_array_equal(open_cine(tmp_path / "a.dcm", voi=False).frames(), frames >> transform << transform)
