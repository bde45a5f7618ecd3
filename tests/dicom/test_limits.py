"""What a file may ask for is held against the bytes that are there."""

from __future__ import annotations

import struct
import tracemalloc
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image
from xa_files import asymmetric_frames, edit

from monai_tavr.cine import CineError
from monai_tavr.dicom import open_cine
from monai_tavr.dicom.door import refusing_damage
from monai_tavr.dicom.writer import SYNTAXES, write_xa

MEGABYTE = 1 << 20


@pytest.fixture(autouse=True)
def memory() -> Iterator[None]:
    """No attack of this module takes more than what is given to every deflated file."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < 700 * MEGABYTE
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("frames", [3, 999_999, 999_999_999])
def test_more_frames_than_there_are(tmp_path: Path, syntax: str, frames: int) -> None:
    write_xa(tmp_path / "a.dcm", asymmetric_frames(count=2, rows=40, columns=56), syntax=syntax)
    edit(tmp_path / "a.dcm", lambda ds: setattr(ds, "NumberOfFrames", frames))
    with pytest.raises(CineError, match=r"frame|truncated"):
        open_cine(tmp_path / "a.dcm")


def test_a_small_file_of_65535_x_65535_pixels(tmp_path: Path) -> None:
    def lie(ds: pydicom.Dataset) -> None:
        ds.Rows = ds.Columns = 65535
        at = ds.PixelData.index(b"\xff\xc0") + 5
        ds.PixelData = ds.PixelData[:at] + b"\xff" * 4 + ds.PixelData[at + 4 :]

    write_xa(tmp_path / "a.dcm", asymmetric_frames(count=1, rows=40, columns=56), syntax="jpeg-baseline")
    with pytest.raises(CineError, match="65535 x 65535 pixels in"):
        open_cine(edit(tmp_path / "a.dcm", lie))


def test_a_deflated_file_of_a_thousand_times_its_size(tmp_path: Path) -> None:
    path = tmp_path / "a.dcm"
    write_xa(path, asymmetric_frames(count=1, rows=40, columns=56), syntax="deflated")
    start = path.read_bytes()
    head = start[: 144 + struct.unpack_from("<L", start, 140)[0]]
    squeeze = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    body = b"".join(squeeze.compress(bytes(MEGABYTE)) for _ in range(400)) + squeeze.flush()
    assert len(body) < MEGABYTE
    path.write_bytes(head + body)
    with pytest.raises(CineError, match="header is damaged"):
        open_cine(path)


def test_a_picture_that_would_fill_the_memory(tmp_path: Path) -> None:
    Image.new("1", (9000, 9000)).save(tmp_path / "a.png")
    with pytest.raises(CineError, match="9000 x 9000 pixels in"):
        open_cine(tmp_path / "a.png")


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("dimensions", [(3, 30000, 30000, 30000), (3, -1, 50, 5), (2, 20000, 20000, 1)])
def test_a_nifti_array_that_is_not_there(tmp_path: Path, suffix: str, dimensions: tuple[int, ...]) -> None:
    import gzip

    import nibabel

    path = tmp_path / f"a{suffix}"
    nibabel.save(nibabel.Nifti1Image(np.zeros((50, 37, 5), np.uint8), np.eye(4)), path)
    content = gzip.decompress(path.read_bytes()) if suffix == ".nii.gz" else path.read_bytes()
    content = content[:40] + struct.pack("<4h", *dimensions) + content[48:]
    path.write_bytes(gzip.compress(content) if suffix == ".nii.gz" else content)
    with pytest.raises(CineError):
        open_cine(path)


@pytest.mark.parametrize("error", [RecursionError(), BaseException("a panic"), struct.error("x"), OverflowError("SECRET")])
def test_whatever_a_reader_raises_names_the_file_and_nothing_else(tmp_path: Path, error: BaseException) -> None:
    with pytest.raises(CineError, match="the header is damaged") as refusal, refusing_damage(tmp_path, "the header"):
        raise error
    assert "SECRET" not in str(refusal.value)
    with pytest.raises(CineError, match="more memory"), refusing_damage(tmp_path, "the header"):
        raise MemoryError
    with pytest.raises(KeyboardInterrupt), refusing_damage(tmp_path, "the header"):
        raise KeyboardInterrupt
