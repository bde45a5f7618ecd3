"""What a code stream states is refused before a native decoder sees it, where it cannot be."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.encaps import encapsulate, generate_frames
from xa_files import asymmetric_frames, edit

from monai_tavr.dicom import CineError, open_cine
from monai_tavr.dicom import frames as dicom_frames
from monai_tavr.dicom.code_stream import read_code_stream
from monai_tavr.dicom.writer import SYNTAXES, _encode, write_xa

FRAMES = asymmetric_frames(12, count=2, rows=40, columns=56)


def stream(syntax: str) -> bytes:
    return _encode(FRAMES[0], SYNTAXES[syntax], 12)


def replaced(data: bytes, at: int, new: bytes) -> bytes:
    return data[:at] + new + data[at + len(new) :]


def write(path: Path, change: Callable[[bytes], bytes], *, syntax: str = "jpeg-lossless-sv1") -> Path:
    """A cine of two frames whose second has a changed code stream."""

    def put(ds: pydicom.Dataset) -> None:
        first, second = generate_frames(ds.PixelData, number_of_frames=2)
        ds.PixelData = encapsulate([first, change(second)])

    write_xa(path, FRAMES, syntax=syntax, bits_stored=12)
    return edit(path, put)


@pytest.mark.parametrize(
    "syntax", ["jpeg-lossless", "jpeg-lossless-sv1", "jpeg-ls", "jpeg-ls-near", "jpeg2000", "jpeg2000-lossless"]
)
def test_what_a_stream_says_of_itself(syntax: str) -> None:
    found = read_code_stream(stream(syntax))
    precision = 16 if syntax.startswith("jpeg-lossless") else 12  # gdcm codes what is allocated
    assert (found.rows, found.columns, found.components, found.precision) == (40, 56, 1, precision)
    assert found.reversible == (syntax == "jpeg2000-lossless")


@pytest.mark.parametrize("syntax", ["jpeg-lossless-sv1", "jpeg-ls", "jpeg2000-lossless"])
@pytest.mark.parametrize("precision", [0, 1, 17, 32, 127])
def test_an_impossible_precision_reaches_no_decoder(
    tmp_path: Path, syntax: str, precision: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """JPEG Lossless of 127 bits ended the process that tried to decode it."""
    marker, offset = {"jpeg-lossless-sv1": (b"\xff\xc3", 4), "jpeg-ls": (b"\xff\xf7", 4), "jpeg2000-lossless": (b"\xff\x51", 40)}[
        syntax
    ]
    stated = bytes([(precision - 1) % 128 if syntax.startswith("jpeg2000") else precision])
    path = write(tmp_path / "a.dcm", lambda data: replaced(data, data.index(marker) + offset, stated), syntax=syntax)
    cine = open_cine(path)
    assert np.array_equal(cine.frame(0), FRAMES[0])
    monkeypatch.setattr(dicom_frames, "get_decoder", lambda syntax: pytest.fail("a decoder was asked"))
    with pytest.raises(CineError, match="frame 1"):
        cine.frame(1)


@pytest.mark.parametrize("precision", [2, 8, 9, 11, 12])  # of 16; the decoder takes 13 to 15 for the same
def test_a_wrong_precision_shows_no_wrong_picture(tmp_path: Path, precision: int) -> None:
    path = write(tmp_path / "a.dcm", lambda data: replaced(data, data.index(b"\xff\xc3") + 4, bytes([precision])))
    with pytest.raises(CineError, match="frame 1"):
        open_cine(path).frame(1)


@pytest.mark.parametrize(
    ("syntax", "marker", "offset", "new", "reason"),
    [
        ("jpeg-lossless-sv1", b"\xff\xc3", 5, b"\xff\xff\xff\xff", "coded as 65535 x 65535"),
        ("jpeg2000-lossless", b"\xff\x51", 6, b"\xff\xff\xff\xff" * 2, "impossible tiles|states .* tiles|tile"),
        ("jpeg-lossless-sv1", b"\xff\xda", 7, b"\x08", "no predictor 8"),
        ("jpeg-lossless-sv1", b"\xff\xda", 7, b"\x02", "beyond the 12 bits stored"),
        ("jpeg-lossless-sv1", b"\xff\xda", 9, b"\x03", "beyond its precision"),
        ("jpeg-lossless-sv1", b"\xff\xc3", 1, b"\xf0", "marker F0 has no place"),
        ("jpeg-lossless-sv1", b"\xff\xc4", 2, b"\xff\xff", "longer than the data"),
        ("jpeg-lossless-sv1", b"\xff\xc4", 5, b"\xff\xff", "Huffman table"),
        ("jpeg-ls", b"\xff\xda", 7, b"\x01", "cannot be decoded"),
        ("jpeg-ls", b"\xff\xda", 9, b"\x02", "lacks 2 bits"),
        ("jpeg2000-lossless", b"\xff\x52", 13, b"\x00", "quantisation that does not belong to its wavelet"),
        ("jpeg2000-lossless", b"\xff\x52", 9, b"\x40", "coding style"),
        ("jpeg2000-lossless", b"\xff\x90", 6, b"\x00\x00\x00\x20", "tile"),
        ("rle", b"\x02\0\0\0\x40\0\0\0", 0, b"\x01", "1 segments"),
        ("rle", b"\x02\0\0\0\x40\0\0\0", 8, b"\xff\xff\xff\x7f", "outside the data"),
    ],
)
def test_what_contradicts_itself_is_named(
    tmp_path: Path, syntax: str, marker: bytes, offset: int, new: bytes, reason: str
) -> None:
    path = write(tmp_path / "a.dcm", lambda data: replaced(data, data.index(marker) + offset, new), syntax=syntax)
    with pytest.raises(CineError, match=reason):
        open_cine(path).frame(1)


def test_a_segment_that_is_no_run_becomes_an_error(tmp_path: Path) -> None:
    """The decoder's answer to this is a panic, which is no `Exception`."""
    path = write(tmp_path / "a.dcm", lambda data: data[:64] + bytes(len(data) - 64), syntax="rle")
    with pytest.raises(CineError, match="frame 1"):
        open_cine(path).frame(1)


@pytest.mark.parametrize("rows", [16, 39])
def test_rle_of_more_rows_than_the_header_is_refused(tmp_path: Path, rows: int) -> None:
    write_xa(tmp_path / "a.dcm", FRAMES, syntax="rle", bits_stored=12)
    with pytest.raises(CineError, match="holds 2240 of"):
        open_cine(edit(tmp_path / "a.dcm", lambda ds: setattr(ds, "Rows", rows))).frame(0)


@pytest.mark.parametrize("data", [b"\xff\xd8", b"\xff\xd8\xff\xd9", b"", struct.pack(">8H", *[0xFFFF] * 8)])
def test_what_is_no_stream_is_an_error(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"code stream|JPEG"):
        read_code_stream(data)
