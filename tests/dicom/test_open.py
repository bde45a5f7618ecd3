"""Every syntax gives the same frames; what would give a wrong picture is an error that names file, reason and no patient."""

from __future__ import annotations

import logging
import pickle
import struct
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import (
    MPEG4HP41,
    BasicTextSRStorage,
    CTImageStorage,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    MultiFrameGrayscaleByteSecondaryCaptureImageStorage,
    RLELossless,
    XRayRadiofluoroscopicImageStorage,
)
from xa_files import asymmetric_frames, edit, group, item, run_tool, write_edited, write_enhanced_xa

from monai_tavr.dicom import CineError, find_cines, open_cine, open_series
from monai_tavr.dicom import file as dicom_file
from monai_tavr.dicom import frames as dicom_frames
from monai_tavr.dicom import open as dicom_open
from monai_tavr.dicom.file import read_dicom
from monai_tavr.dicom.frames import FrameDecoder
from monai_tavr.dicom.header import read_header
from monai_tavr.dicom.writer import SYNTAXES, XAHeader, write_xa

LOSSLESS = [s for s in SYNTAXES if s not in ("jpeg-ls-near", "jpeg2000", "jpeg-baseline")]
SECRET = XAHeader(patient_id="SECRET-ID", patient_name="Secret^Name", patient_birth_date="19330303")


# --- the same frames in every syntax ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
@pytest.mark.parametrize("syntax", LOSSLESS)
def test_lossless_syntaxes_give_the_frames_bit_by_bit(tmp_path: Path, syntax: str, bits: int) -> None:
    frames = asymmetric_frames(bits)
    write_xa(tmp_path / "a.dcm", frames, syntax=syntax, bits_stored=bits)
    cine = open_cine(tmp_path / "a.dcm")
    assert len(cine) == 5
    read = cine.frames()
    assert (read.dtype, read.shape) == (np.float32, (5, 37, 50))
    np.testing.assert_array_equal(read, frames)
    assert cine.info.transfer_syntax_uid == SYNTAXES[syntax]


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
def test_near_lossless_jpeg_ls_is_off_by_two_at_most(tmp_path: Path, bits: int) -> None:
    frames = asymmetric_frames(bits)
    write_xa(tmp_path / "a.dcm", frames, syntax="jpeg-ls-near", bits_stored=bits)
    assert 0 < np.abs(open_cine(tmp_path / "a.dcm").frames() - frames).max() <= 2


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
def test_lossy_jpeg_2000_keeps_48_db(tmp_path: Path, bits: int) -> None:
    frames = asymmetric_frames(bits, rows=120, columns=160)
    write_xa(tmp_path / "a.dcm", frames, syntax="jpeg2000", bits_stored=bits)
    error = open_cine(tmp_path / "a.dcm").frames() - frames
    decibel = 20 * np.log10((2**bits - 1) / np.sqrt(np.mean(error**2)))
    assert 48 < decibel < 60  # coded to 50 dB; whole grey levels cost a little


def test_jpeg_baseline_is_near(tmp_path: Path) -> None:
    frames = asymmetric_frames(rows=120, columns=160)
    write_xa(tmp_path / "a.dcm", frames, syntax="jpeg-baseline")
    error = open_cine(tmp_path / "a.dcm").frames() - frames
    assert 0 < np.sqrt(np.mean(error**2)) < 2.5
    assert np.abs(error).max() < 20


@pytest.mark.parametrize(
    ("options", "bound"),
    [
        (["+el", "+sv", "1", "+un"], 0),
        (["+el", "+sv", "4", "+un"], 0),
        (["+el", "+sv", "7", "+un"], 0),
        (["+e1", "+un"], 0),
        (["+ee", "+q", "95", "+un"], 80),  # JPEG Extended, 12 bits, which nothing in Python encodes
    ],
)
def test_streams_of_another_encoder(tmp_path: Path, options: list[str], bound: int) -> None:
    frames = asymmetric_frames(12, rows=64, columns=80)
    write_xa(tmp_path / "raw.dcm", frames, bits_stored=12)
    assert run_tool("dcmcjpeg", *options, tmp_path / "raw.dcm", tmp_path / "a.dcm") == ""
    error = np.abs(open_cine(tmp_path / "a.dcm", voi=False).frames() - frames)
    assert error.max() <= bound
    assert np.median(error) <= bound / 20


@pytest.mark.parametrize("syntax", ["jpeg-lossless", "jpeg-lossless-sv1"])
def test_our_jpeg_lossless_is_read_by_another_decoder(tmp_path: Path, syntax: str) -> None:
    frames = asymmetric_frames(12)
    write_xa(tmp_path / "a.dcm", frames, syntax=syntax, bits_stored=12)
    assert run_tool("dcmdjpeg", tmp_path / "a.dcm", tmp_path / "raw.dcm") == ""
    np.testing.assert_array_equal(pydicom.dcmread(tmp_path / "raw.dcm").pixel_array, frames)


# --- kinds of pixels ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bits", [8, 12, 16])
@pytest.mark.parametrize("big_endian", [False, True])
def test_signed_pixels(tmp_path: Path, bits: int, big_endian: bool) -> None:
    frames = asymmetric_frames(bits).astype(np.int32) - (1 << (bits - 1))
    path = tmp_path / "a.dcm"
    write_xa(path, asymmetric_frames(bits), bits_stored=bits, syntax="explicit-be" if big_endian else "explicit-le")
    coded = (frames & ((1 << bits) - 1)).astype("u1" if bits == 8 else ">u2" if big_endian else "<u2").tobytes()
    edit(path, lambda ds: _set(ds, PixelRepresentation=1, PixelData=coded, WindowCenter=None, WindowWidth=None))
    np.testing.assert_array_equal(open_cine(path).frames(), frames)


@pytest.mark.parametrize("syntax", [JPEGLosslessSV1, JPEGLSLossless, JPEG2000Lossless, RLELossless])
def test_signed_pixels_compressed(tmp_path: Path, syntax: str) -> None:
    stored = asymmetric_frames(12, count=2)
    frames = stored.astype(np.int32)
    frames[frames >= 2048] -= 4096
    name = next(name for name, uid in SYNTAXES.items() if uid == syntax)
    write_xa(tmp_path / "a.dcm", stored, syntax=name, bits_stored=12)  # the same bits, read as two's complement
    edit(tmp_path / "a.dcm", lambda ds: _set(ds, PixelRepresentation=1, WindowCenter=None, WindowWidth=None))
    np.testing.assert_array_equal(open_cine(tmp_path / "a.dcm").frames(), frames)


def test_signed_jpeg_2000_stream_of_16_bits(tmp_path: Path) -> None:
    values = (asymmetric_frames(12, count=1).astype(np.int16) - 2048)[0]
    path = write_edited(
        tmp_path / "a.dcm",
        lambda ds: _set(ds, PixelRepresentation=1, PixelData=values.tobytes(), WindowCenter=None, WindowWidth=None),
        values[None].astype(np.uint16) & 0xFFF,
        bits=12,
    )
    edit(path, lambda ds: ds.compress(JPEG2000Lossless, generate_instance_uid=False))
    np.testing.assert_array_equal(open_cine(path).frame(0), values)


@pytest.mark.parametrize(("bits", "expected"), [(8, [255, 254, 55, 0]), (12, [4095, 4094, 3895, 3840])])
@pytest.mark.parametrize("syntax", ["explicit-le", "jpeg2000-lossless", "jpeg-lossless-sv1", "rle"])
def test_monochrome1_is_inverted_within_the_stored_bits(tmp_path: Path, syntax: str, bits: int, expected: list[int]) -> None:
    frames = np.tile(np.array([0, 1, 200, 255], np.uint8 if bits == 8 else np.uint16), (1, 32, 8))
    write_xa(tmp_path / "a.dcm", frames, syntax=syntax, bits_stored=bits)
    edit(tmp_path / "a.dcm", lambda ds: _set(ds, PhotometricInterpretation="MONOCHROME1"))
    for voi in (True, False):  # the writer's window spans all stored bits and changes nothing
        np.testing.assert_array_equal(open_cine(tmp_path / "a.dcm", voi=voi).frame(0)[0, :4], expected)


def test_lossy_overshoot_beyond_the_stored_bits_is_clipped(tmp_path: Path) -> None:
    """12-bit pixels coded as 16 bits overshoot 4095 at bright edges; without the clip they would turn black, or fail."""
    frames = asymmetric_frames(12, rows=64, columns=80)
    write_xa(tmp_path / "a.dcm", frames, syntax="jpeg2000", bits_stored=16)
    assert pydicom.dcmread(tmp_path / "a.dcm").pixel_array.max() > 4095
    edit(tmp_path / "a.dcm", lambda ds: _set(ds, BitsStored=12, HighBit=11, WindowCenter=None, WindowWidth=None))
    read = open_cine(tmp_path / "a.dcm").frames()
    assert read.max() == 4095
    assert read[:, 4:7, 6:11].min() > 3000  # within the bright mark


def test_overlays_in_unused_bits_are_removed(tmp_path: Path) -> None:
    frames = asymmetric_frames(12)
    with_overlay = (frames | np.uint16(0x8000)).tobytes()
    path = write_edited(tmp_path / "a.dcm", lambda ds: _set(ds, PixelData=with_overlay), frames, bits=12)
    np.testing.assert_array_equal(open_cine(path).frames(), frames)


def test_high_bit_above_the_stored_bits(tmp_path: Path) -> None:
    frames = asymmetric_frames(12)
    path = write_edited(tmp_path / "a.dcm", lambda ds: _set(ds, HighBit=15, PixelData=(frames << 4).tobytes()), frames, bits=12)
    np.testing.assert_array_equal(open_cine(path).frames(), frames)


def test_eight_bit_words_in_big_endian(tmp_path: Path) -> None:
    """OW swaps pairs of bytes; frames of odd length begin within a pair."""
    frames = asymmetric_frames(rows=5, columns=7)
    write_xa(tmp_path / "a.dcm", frames, syntax="explicit-be")
    swapped = np.frombuffer(frames.tobytes() + b"\0", "u2").byteswap().tobytes()

    def change(ds: Dataset) -> None:
        ds.PixelData = swapped
        ds["PixelData"].VR = "OW"

    edit(tmp_path / "a.dcm", change)
    np.testing.assert_array_equal(open_cine(tmp_path / "a.dcm").frames(), frames)


def test_modality_and_voi_follow_each_other(tmp_path: Path) -> None:
    """Stored 100 -> 2 * 100 - 50 = 150; window 150 / 101 LINEAR -> ((150 - 149.5) / 100 + 0.5) * 510 - 50 = 207.55."""
    path = write_edited(
        tmp_path / "a.dcm",
        lambda ds: _set(ds, RescaleSlope=2, RescaleIntercept=-50, RescaleType="US", WindowCenter=150, WindowWidth=101),
        np.array([[[0, 100, 255, 90]]], np.uint8),
    )
    np.testing.assert_allclose(open_cine(path, voi=False).frame(0)[0], [-50, 150, 460, 130])
    np.testing.assert_allclose(open_cine(path).frame(0)[0], [-50, 207.55, 460, 105.55], rtol=1e-6)


def test_multiframe_without_offset_table_and_with_several_fragments_per_frame(tmp_path: Path) -> None:
    frames = asymmetric_frames(12)
    write_xa(tmp_path / "a.dcm", frames, syntax="jpeg-lossless-sv1", bits_stored=12)
    coded = list(generate_frames(pydicom.dcmread(tmp_path / "a.dcm").PixelData, number_of_frames=5))
    for has_table in (True, False):
        for pieces in (1, 3):
            data = encapsulate(coded, fragments_per_frame=pieces, has_bot=has_table)
            edit(tmp_path / "a.dcm", lambda ds, data=data: _set(ds, PixelData=data))
            np.testing.assert_array_equal(open_cine(tmp_path / "a.dcm").frames(), frames)


def test_extended_offset_table(tmp_path: Path) -> None:
    frames = asymmetric_frames()
    path = write_edited(
        tmp_path / "a.dcm", lambda ds: ds.compress(RLELossless, encapsulate_ext=True, generate_instance_uid=False)
    )
    assert "ExtendedOffsetTable" in pydicom.dcmread(path)
    np.testing.assert_array_equal(open_cine(path).frames(), frames)


def test_file_without_preamble(tmp_path: Path) -> None:
    write_xa(tmp_path / "a.dcm", asymmetric_frames(), syntax="implicit-le")
    ds = pydicom.dcmread(tmp_path / "a.dcm")
    meta = 144 + ds.file_meta.FileMetaInformationGroupLength
    (tmp_path / "old.ima").write_bytes((tmp_path / "a.dcm").read_bytes()[meta:])
    cine = open_cine(tmp_path / "old.ima")
    assert cine.info.transfer_syntax_uid == ImplicitVRLittleEndian
    np.testing.assert_array_equal(cine.frames(), asymmetric_frames())


@pytest.mark.parametrize("sop_class", [XRayRadiofluoroscopicImageStorage, MultiFrameGrayscaleByteSecondaryCaptureImageStorage])
def test_other_classes_that_hold_x_ray(tmp_path: Path, sop_class: str) -> None:
    modality = "RF" if sop_class == XRayRadiofluoroscopicImageStorage else "XA"
    path = write_edited(tmp_path / "a.dcm", lambda ds: _set_class(ds, sop_class, modality))
    assert open_cine(path).info.modality == modality
    np.testing.assert_array_equal(open_cine(path).frames(), asymmetric_frames())


# --- laziness and threads -----------------------------------------------------------------------------------------------------


def _count_decodings(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    decoded: list[int] = []
    original = dicom_frames.FrameDecoder._decode

    def counting(self: dicom_frames.FrameDecoder, index: int) -> np.ndarray:
        decoded.append(index)
        return original(self, index)

    monkeypatch.setattr(dicom_frames.FrameDecoder, "_decode", counting)
    return decoded


def test_a_frame_is_decoded_alone_and_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_xa(tmp_path / "a.dcm", asymmetric_frames(count=12), syntax="jpeg-ls")
    decoded = _count_decodings(monkeypatch)
    cine = open_cine(tmp_path / "a.dcm")
    assert decoded == []
    cine.frame(7)
    cine.frame(6)
    cine.frame(7)
    assert decoded == [7, 6]
    cine.frames()
    cine.frame(0)  # the last eight are kept
    assert decoded == [7, 6, 0, 1, 2, 3, 4, 5, 8, 9, 10, 11, 0]


def test_a_damaged_frame_harms_no_other(tmp_path: Path) -> None:
    frames = asymmetric_frames()
    write_xa(tmp_path / "a.dcm", frames, syntax="jpeg-ls")

    def damage(ds: Dataset) -> None:
        coded = list(generate_frames(ds.PixelData, number_of_frames=5))
        coded[3] = coded[3][: len(coded[3]) // 2]
        ds.PixelData = encapsulate(coded)

    edit(tmp_path / "a.dcm", damage)
    cine = open_cine(tmp_path / "a.dcm")
    np.testing.assert_array_equal(cine.frames([4, 0, 2]), frames[[4, 0, 2]])
    with pytest.raises(CineError, match=r"a\.dcm: frame 3 has no end marker"):
        cine.frame(3)


def test_frames_may_be_changed_by_the_caller(tmp_path: Path) -> None:
    write_xa(tmp_path / "a.dcm", asymmetric_frames())
    cine = open_cine(tmp_path / "a.dcm")
    cine.frame(1)[:] = -1
    np.testing.assert_array_equal(cine.frame(1), asymmetric_frames()[1])


def test_threads_get_the_right_frames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frames = asymmetric_frames(12, count=12)
    write_xa(tmp_path / "a.dcm", frames, syntax="jpeg2000-lossless", bits_stored=12)
    cine = open_cine(tmp_path / "a.dcm")
    wrong: list[int] = []

    def read(start: int) -> None:
        wrong.extend(i % 12 for i in range(start, start + 12) if not np.array_equal(cine.frame(i % 12), frames[i % 12]))

    threads = [threading.Thread(target=read, args=(3 * t,)) for t in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.parametrize("index", [-1, 5])
def test_there_is_no_such_frame(tmp_path: Path, index: int) -> None:
    write_xa(tmp_path / "a.dcm", asymmetric_frames())
    with pytest.raises(IndexError, match=f"there is no frame {index}; frames are 0 to 4"):
        open_cine(tmp_path / "a.dcm").frame(index)


# --- refusals -----------------------------------------------------------------------------------------------------------------


def _set(ds: Dataset, **attributes: object) -> None:
    for keyword, value in attributes.items():
        setattr(ds, keyword, value)


def _set_class(ds: Dataset, sop_class: str, modality: str) -> None:
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = sop_class
    ds.Modality = modality


def _refusal(path: Path) -> str:
    """The message of the error that opening the cine and reading all its frames gives."""
    with pytest.raises(CineError) as caught:
        open_cine(path).frames()
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    for identifier in ("SECRET", "Secret", "19330303"):
        assert identifier not in message
    return message


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_a_file_cut_anywhere_is_refused(tmp_path: Path, syntax: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    write_xa(tmp_path / "a.dcm", asymmetric_frames(), header=SECRET, syntax=syntax)
    whole = (tmp_path / "a.dcm").read_bytes()
    for length in (1, 100, 140, 400, 700, len(whole) // 2, len(whole) - 2000, len(whole) - 60, len(whole) - 9, len(whole) - 2):
        (tmp_path / "cut.dcm").write_bytes(whole[:length])
        _refusal(tmp_path / "cut.dcm")
    assert "SECRET" not in caplog.text
    assert "Secret" not in caplog.text


@pytest.mark.parametrize("bits", [8, 12])
@pytest.mark.parametrize("syntax", [s for s, uid in SYNTAXES.items() if uid.is_encapsulated])
def test_a_cut_code_stream_is_refused(tmp_path: Path, syntax: str, bits: int) -> None:
    """The fragments are in order, but a stream within them ends early: decoders would paint the rest."""
    if syntax == "jpeg-baseline" and bits == 12:
        bits = 8
    write_xa(tmp_path / "whole.dcm", asymmetric_frames(bits, rows=64, columns=80), syntax=syntax, bits_stored=bits)
    coded = list(generate_frames(pydicom.dcmread(tmp_path / "whole.dcm").PixelData, number_of_frames=5))
    for kept in (0.1, 0.5, 0.9, 0.99):
        cut = coded[2][: int(len(coded[2]) * kept)]
        (tmp_path / "a.dcm").write_bytes((tmp_path / "whole.dcm").read_bytes())
        edit(tmp_path / "a.dcm", lambda ds, cut=cut: _set(ds, PixelData=encapsulate([*coded[:2], cut, *coded[3:]])))
        assert "frame 2" in _refusal(tmp_path / "a.dcm")


@pytest.mark.parametrize("syntax", [s for s, uid in SYNTAXES.items() if uid.is_encapsulated and s != "rle"])
def test_a_cut_code_stream_with_an_end_marker_put_on_is_refused(tmp_path: Path, syntax: str) -> None:
    write_xa(tmp_path / "a.dcm", asymmetric_frames(rows=64, columns=80), syntax=syntax)
    coded = list(generate_frames(pydicom.dcmread(tmp_path / "a.dcm").PixelData, number_of_frames=5))
    cut = coded[2][: len(coded[2]) * 2 // 3] + b"\xff\xd9"
    edit(tmp_path / "a.dcm", lambda ds: _set(ds, PixelData=encapsulate([*coded[:2], cut, *coded[3:]])))
    assert "frame 2" in _refusal(tmp_path / "a.dcm")


@pytest.mark.parametrize("syntax", [s for s in SYNTAXES if "lossless" not in s or "2000" in s])
def test_frames_of_an_odd_number_of_pixels(tmp_path: Path, syntax: str) -> None:
    frames = asymmetric_frames(rows=35, columns=51)
    write_xa(tmp_path / "a.dcm", frames, syntax=syntax)
    bound = {"jpeg-ls-near": 2, "jpeg2000": 8, "jpeg-baseline": 25}.get(syntax, 0)
    assert np.abs(open_cine(tmp_path / "a.dcm").frames() - frames).max() <= bound


def test_odd_jpeg_lossless_of_another_encoder(tmp_path: Path) -> None:
    write_xa(tmp_path / "raw.dcm", asymmetric_frames(rows=35, columns=51))
    assert run_tool("dcmcjpeg", "+e1", "+un", tmp_path / "raw.dcm", tmp_path / "a.dcm") == ""
    np.testing.assert_array_equal(open_cine(tmp_path / "a.dcm").frames(), asymmetric_frames(rows=35, columns=51))


@pytest.mark.parametrize("syntax", ["rle", "jpeg-lossless-sv1", "jpeg2000-lossless"])
@pytest.mark.parametrize("has_table", [True, False])
def test_a_missing_frame_is_refused(tmp_path: Path, syntax: str, has_table: bool) -> None:
    write_xa(tmp_path / "a.dcm", asymmetric_frames(), syntax=syntax)
    coded = list(generate_frames(pydicom.dcmread(tmp_path / "a.dcm").PixelData, number_of_frames=5))
    edit(tmp_path / "a.dcm", lambda ds: _set(ds, PixelData=encapsulate(coded[:4], has_bot=has_table)))
    assert "5 frame(s)" in _refusal(tmp_path / "a.dcm")


def test_a_wrong_offset_table_beside_unambiguous_frames_is_passed_over(tmp_path: Path) -> None:
    """One fragment a frame, each beginning as RLE data do."""
    write_xa(tmp_path / "a.dcm", asymmetric_frames(), syntax="rle")

    def change(ds: Dataset) -> None:
        offsets = list(struct.unpack_from("<5L", ds.PixelData, 8))
        offsets[2] += 2
        ds.PixelData = ds.PixelData[:8] + struct.pack("<5L", *offsets) + ds.PixelData[28:]

    edit(tmp_path / "a.dcm", change)
    cine = open_cine(tmp_path / "a.dcm")
    np.testing.assert_array_equal(cine.frames(), asymmetric_frames())


@pytest.mark.parametrize("syntax", ["jpeg-lossless", "jpeg-ls", "jpeg2000-lossless", "jpeg-baseline"])
def test_header_and_stream_must_agree_on_the_size(tmp_path: Path, syntax: str) -> None:
    """Rows and columns exchanged need as many pixels; the picture would be sheared."""
    write_xa(tmp_path / "a.dcm", asymmetric_frames(), syntax=syntax)
    edit(tmp_path / "a.dcm", lambda ds: _set(ds, Rows=50, Columns=37))
    assert "coded as 37 x 50 pixels of 1 sample(s), the header says 50 x 37" in _refusal(tmp_path / "a.dcm")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda ds: _set_class(ds, BasicTextSRStorage, "SR"), "holds Basic Text SR Storage, modality SR, not X-ray angiography"),
        (lambda ds: _set_class(ds, CTImageStorage, "CT"), "holds CT Image Storage, modality CT, not X-ray angiography"),
        (lambda ds: _set_class(ds, MultiFrameGrayscaleByteSecondaryCaptureImageStorage, "MR"), "modality MR, not X-ray"),
        (lambda ds: _set(ds, Modality="US"), "modality US in an X-ray image class"),
        (lambda ds: ds.__delattr__("PixelData"), "there are no pixel data"),
        (lambda ds: _set(ds, PixelData=b""), "pixel data are empty"),
        (lambda ds: ds.__delattr__("Rows"), "Rows is missing"),
        (lambda ds: _set(ds, NumberOfFrames=6), "of 11100 bytes of pixel data: the file is truncated"),
        (lambda ds: _set(ds, NumberOfFrames=4), "9250 bytes of pixel data where 4 frame"),
        (lambda ds: _set(ds, NumberOfFrames=0), "NumberOfFrames is not a positive number"),
        (lambda ds: _set(ds, BitsStored=12), "12 bits stored in 8 allocated"),
        (lambda ds: _set(ds, BitsAllocated=32), "8 bits stored in 32 allocated are not supported"),
        (lambda ds: _set(ds, HighBit=9), "HighBit 9 does not fit 8 bits stored"),
        (lambda ds: _set(ds, SamplesPerPixel=3, PhotometricInterpretation="RGB"), r"in colour \(RGB\)"),
        (lambda ds: _set(ds, PhotometricInterpretation="PALETTE COLOR"), r"in colour \(PALETTE COLOR\)"),
        (lambda ds: _set(ds, PhotometricInterpretation="MONOCHROME3"), "MONOCHROME3 is unknown"),
        (lambda ds: _set(ds, RescaleSlope=0, RescaleIntercept=0), "RescaleSlope is 0"),
        (lambda ds: _set(ds, VOILUTFunction="CUBIC"), "'CUBIC' is unknown"),
    ],
)
def test_what_is_no_sound_cine_is_refused(tmp_path: Path, change: Callable[[Dataset], None], reason: str) -> None:
    write_xa(tmp_path / "a.dcm", asymmetric_frames(), header=SECRET)
    edit(tmp_path / "a.dcm", change)
    assert reason.replace("\\", "") in _refusal(tmp_path / "a.dcm")


def test_encrypted_files_are_refused(tmp_path: Path) -> None:
    def encrypt(ds: Dataset) -> None:
        del ds.PixelData
        ds.EncryptedAttributesSequence = [
            item(EncryptedContentTransferSyntaxUID=ImplicitVRLittleEndian, EncryptedContent=b"12345678")
        ]

    path = write_edited(tmp_path / "a.dcm", encrypt)
    assert "encrypted (EncryptedAttributesSequence); decrypt" in _refusal(path)
    secure = bytes.fromhex("3080 06092a864886f70d010703 a080 3080") + b"\0" * 200
    (tmp_path / "b.dcm").write_bytes(secure)
    assert "encrypted (a Secure DICOM File)" in _refusal(tmp_path / "b.dcm")


@pytest.mark.parametrize(
    ("uid", "reason"),
    [(MPEG4HP41, "is not supported; convert"), ("1.2.3.4.5", "transfer syntax 1.2.3.4.5 is unknown; convert")],
)
def test_syntaxes_without_a_decoder_are_refused(tmp_path: Path, uid: str, reason: str) -> None:
    write_xa(tmp_path / "a.dcm", asymmetric_frames(), syntax="rle")
    data = (tmp_path / "a.dcm").read_bytes()
    old = RLELossless.encode()  # the meta information's length counts the UID: keep it
    new = uid.encode()
    ds = pydicom.dcmread(tmp_path / "a.dcm")
    at = data.index(old + b"\0") - 8
    padded = new + b"\0" * (len(new) % 2)
    element = data[at : at + 6] + struct.pack("<H", len(padded)) + padded
    grown = len(element) - 8 - len(old) - len(old) % 2
    length = struct.pack("<L", ds.file_meta.FileMetaInformationGroupLength + grown)
    (tmp_path / "a.dcm").write_bytes(data[:140] + length + data[144:at] + element + data[at + 8 + len(old) + len(old) % 2 :])
    assert reason in _refusal(tmp_path / "a.dcm")


@pytest.mark.parametrize("uncompressed", [True, False])
def test_syntax_and_encapsulation_must_agree(tmp_path: Path, uncompressed: bool) -> None:
    write_xa(tmp_path / "a.dcm", asymmetric_frames(), syntax="explicit-le" if uncompressed else "rle")
    data = (tmp_path / "a.dcm").read_bytes()
    old, new = (b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.5\0")
    (tmp_path / "a.dcm").write_bytes(data.replace(old, new, 1) if uncompressed else data.replace(new, old, 1))
    words = "uncompressed pixel data in the compressed" if uncompressed else "compressed pixel data in the uncompressed"
    assert words in _refusal(tmp_path / "a.dcm")


def test_files_that_are_not_images_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.dcm").write_bytes(b"")
    assert "the file is empty" in _refusal(tmp_path / "empty.dcm")
    (tmp_path / "notes.txt").write_text("not an image")
    assert "neither DICOM nor a picture" in _refusal(tmp_path / "notes.txt")
    (tmp_path / "noise.dcm").write_bytes(np.random.default_rng(0).bytes(5000))
    assert "neither DICOM nor a picture" in _refusal(tmp_path / "noise.dcm")
    (tmp_path / "head.dcm").write_bytes(b"\0" * 128 + b"DICM" + np.random.default_rng(0).bytes(5000))
    _refusal(tmp_path / "head.dcm")
    assert "there is no such file" in _refusal(tmp_path / "missing.dcm")
    (tmp_path / "folder").mkdir()
    assert "the folder holds no X-ray frames" in _refusal(tmp_path / "folder")


def test_a_file_that_vanishes_is_an_error_of_its_frame(tmp_path: Path) -> None:
    write_xa(tmp_path / "a.dcm", asymmetric_frames())
    cine = open_cine(tmp_path / "a.dcm")
    (tmp_path / "a.dcm").unlink()
    with pytest.raises(CineError, match="moved or deleted"):
        cine.frame(0)


def test_a_file_that_changes_is_an_error_of_its_frame(tmp_path: Path) -> None:
    write_xa(tmp_path / "a.dcm", asymmetric_frames())
    cine = open_cine(tmp_path / "a.dcm")
    write_xa(tmp_path / "a.dcm", asymmetric_frames(rows=36))
    with pytest.raises(CineError, match="changed after it was opened; open it again"):
        cine.frame(0)


def test_an_unreadable_file_is_found_and_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_xa(tmp_path / "a.dcm", asymmetric_frames())

    def forbidden(stream: object) -> bool:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("monai_tavr.dicom.file.says_dicom", forbidden)
    assert find_cines(tmp_path) == [tmp_path / "a.dcm"]
    assert "cannot be read (Permission denied)" in _refusal(tmp_path / "a.dcm")


def test_an_icon_is_not_taken_for_the_image(tmp_path: Path) -> None:
    icon = item(SamplesPerPixel=1, PhotometricInterpretation="MONOCHROME2", Rows=2, Columns=2, BitsAllocated=8)
    icon.BitsStored, icon.HighBit, icon.PixelRepresentation, icon.PixelData = 8, 7, 0, b"\1\2\3\4"
    icon["PixelData"].VR = "OB"
    path = write_edited(tmp_path / "a.dcm", lambda ds: _set(ds, IconImageSequence=[icon]))
    np.testing.assert_array_equal(open_cine(path).frames(), asymmetric_frames())


# --- Enhanced XA --------------------------------------------------------------------------------------------------------------


def test_enhanced_xa_takes_each_frames_own_window(tmp_path: Path) -> None:
    frames = np.array([[[0, 1000, 4095]], [[0, 1000, 4095]]], np.uint16)
    own = group(FrameVOILUTSequence=item(WindowCenter=1000.5, WindowWidth=2001))
    shared = group(FrameVOILUTSequence=item(WindowCenter=2048, WindowWidth=4096))
    path = write_enhanced_xa(tmp_path / "a.dcm", frames, shared=shared, per_frame=[group(), own])
    cine = open_cine(path)
    np.testing.assert_array_equal(cine.frame(0), frames[0])
    # ((1000 - 1000) / 2000 + 0.5) * 4095 = 2047.5
    np.testing.assert_allclose(cine.frame(1), [[0, 2047.5, 4095]])


# --- folders ------------------------------------------------------------------------------------------------------------------


def _write_series(folder: Path, order: list[int], *, series: int = 1) -> np.ndarray:
    """One file per frame; the names say nothing about the order, InstanceNumber does."""
    folder.mkdir(exist_ok=True)
    frames = asymmetric_frames(count=len(order))
    for name, number in enumerate(order):
        header = XAHeader(series_number=series, instance_number=number, sop_uid=f"2.25.{series}.{number}")
        write_xa(folder / f"s{series}_{name}.dcm", frames[number - 1 : number], header=header)
    return frames


def test_folder_of_single_frames_is_put_in_order(tmp_path: Path) -> None:
    frames = _write_series(tmp_path / "run", [3, 1, 4, 2])
    (tmp_path / "run" / "notes.txt").write_text("left out")
    write_edited(tmp_path / "run" / "report.dcm", lambda ds: _set_class(ds, BasicTextSRStorage, "SR"))
    cine = open_cine(tmp_path / "run")
    np.testing.assert_array_equal(cine.frames(), frames)
    assert cine.info.path == tmp_path / "run"
    assert cine.info.sop_instance_uid is None
    assert cine.info.frame_sop_instance_uids == ("2.25.1.1", "2.25.1.2", "2.25.1.3", "2.25.1.4")
    np.testing.assert_allclose(cine.info.frame_times, [0, 66.667, 133.334, 200.001])
    assert find_cines(tmp_path) == [tmp_path / "run"]


def test_a_series_in_a_given_order_keeps_its_times_and_few_frames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _write_series(tmp_path / "run", list(range(1, 13)))
    paths = sorted((tmp_path / "run").iterdir(), key=lambda p: -pydicom.dcmread(p).InstanceNumber)
    decoded: list[int] = []
    decode = FrameDecoder.__call__
    monkeypatch.setattr(FrameDecoder, "__call__", lambda self, index: decoded.append(index) or decode(self, index))
    cine = open_series(paths)
    assert decoded == []
    assert np.array_equal(cine.info.frame_times, np.arange(12) * 66.667)
    forwards = open_cine(tmp_path / "run").frames()
    assert np.array_equal(cine.frames(), forwards[::-1])
    assert len(cine._cache) == 8  # of twelve
    again = pickle.loads(pickle.dumps(cine))  # noqa: S301
    assert np.array_equal(again.frame(11), forwards[0])
    assert again.info.frame_sop_instance_uids == cine.info.frame_sop_instance_uids


def test_a_header_of_a_folder_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _write_series(tmp_path / "run", [1, 2, 3])
    read: list[Path] = []
    monkeypatch.setattr(dicom_open, "read_dicom", lambda path: read.append(path) or read_dicom(path))
    assert len(open_cine(tmp_path / "run")) == 3
    assert sorted(read) == sorted((tmp_path / "run").iterdir())


def test_folder_of_two_series_is_refused_and_names_them(tmp_path: Path) -> None:
    _write_series(tmp_path / "run", [1, 2], series=1)
    _write_series(tmp_path / "run", [1, 2, 3], series=2)
    uids = [pydicom.dcmread(tmp_path / "run" / name).SeriesInstanceUID for name in ("s1_0.dcm", "s2_0.dcm")]
    message = _refusal(tmp_path / "run")
    assert f"mixes 2 series: {uids[0]} (2 file(s), s1_0.dcm ...); {uids[1]} (3 file(s), s2_0.dcm ...)" in message
    assert len(find_cines(tmp_path)) == 5  # each frame by itself


def test_folders_that_leave_the_order_open_are_refused(tmp_path: Path) -> None:
    _write_series(tmp_path / "run", [1, 2])
    edit(tmp_path / "run" / "s1_1.dcm", lambda ds: _set(ds, InstanceNumber=1))
    assert "not unique" in _refusal(tmp_path / "run")
    _write_series(tmp_path / "sizes", [1, 2])
    write_xa(tmp_path / "sizes" / "s1_1.dcm", asymmetric_frames(count=1, rows=30), header=XAHeader(instance_number=2))
    assert "differ in size" in _refusal(tmp_path / "sizes")
    for name in ("a.dcm", "b.dcm"):
        (tmp_path / "cines").mkdir(exist_ok=True)
        write_xa(tmp_path / "cines" / name, asymmetric_frames())
    assert "several files" in _refusal(tmp_path / "cines")


def test_a_damaged_file_in_a_folder_is_not_passed_over(tmp_path: Path) -> None:
    _write_series(tmp_path / "run", [1, 2, 3])
    whole = (tmp_path / "run" / "s1_1.dcm").read_bytes()
    (tmp_path / "run" / "s1_1.dcm").write_bytes(whole[:-500])
    with pytest.raises(CineError, match=r"s1_1\.dcm: .*truncated"):
        open_cine(tmp_path / "run")


def test_the_header_of_a_named_file_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Finding does not look into it: that is left to opening."""
    write_xa(tmp_path / "a.dcm", asymmetric_frames())
    reads = []
    monkeypatch.setattr(dicom_file, "read_header", lambda stream: (reads.append(stream), read_header(stream))[1])
    [path] = find_cines(tmp_path / "a.dcm")
    open_cine(path).frames()
    assert len(reads) == 1


def test_find_cines_takes_cines_pictures_and_what_is_named(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / ".hidden").mkdir()
    write_xa(tmp_path / "a" / "two.dcm", asymmetric_frames())
    write_xa(tmp_path / "a" / "b" / "one", asymmetric_frames())
    write_xa(tmp_path / "a" / ".hidden" / "cache.dcm", asymmetric_frames())
    (tmp_path / "a" / "cut.dcm").write_bytes((tmp_path / "a" / "two.dcm").read_bytes()[:900])
    (tmp_path / "a" / "label.json").write_text("{}")
    Image.fromarray(asymmetric_frames()[0]).save(tmp_path / "a" / "still.png")
    write_edited(tmp_path / "a" / "ct.dcm", lambda ds: _set_class(ds, CTImageStorage, "CT"))
    below = [tmp_path / "a" / name for name in ("b/one", "cut.dcm", "still.png", "two.dcm")]
    assert find_cines(tmp_path) == below
    assert find_cines([tmp_path / "missing.dcm", tmp_path / "a", tmp_path / "a" / "two.dcm"]) == [
        *below,
        tmp_path / "missing.dcm",
    ]


def test_big_endian_file_is_native_in_memory(tmp_path: Path) -> None:
    write_xa(tmp_path / "a.dcm", asymmetric_frames(12), syntax="explicit-be", bits_stored=12)
    cine = open_cine(tmp_path / "a.dcm")
    assert cine.info.transfer_syntax_uid == ExplicitVRBigEndian
    assert cine.frame(0).dtype.isnative
