"""Files of real machines that stray from the standard and that viewers show: they are read exactly, or refused with the numbers.

What users reported of other readers, one case of a kind; the grey scale's cases are in ``test_grey_scale.py``.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import jpeg_ls
import numpy as np
import pydicom
import pytest
from openjpeg.utils import encode_array
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.filewriter import write_file_meta_info
from pydicom.uid import ExplicitVRLittleEndian, JPEGBaseline8Bit, JPEGLSLossless
from xa_files import asymmetric_frames, edit

from monai_tavr.dicom import CineError, find_cines, open_cine
from monai_tavr.dicom.writer import XAHeader, write_xa

FRAMES = asymmetric_frames(8, count=4, rows=48, columns=64)
END = b"\xff\xd9"


def coded_file(path: Path, syntax: str, change: Callable[[bytes], bytes], *, has_bot: bool = True) -> Path:
    """A file each of whose coded frames was changed."""
    write_xa(path, FRAMES, syntax=syntax)
    data = [change(f) for f in generate_frames(pydicom.dcmread(path).PixelData, number_of_frames=4)]
    return set_pixels(path, encapsulate([d + b"\0" * (len(d) % 2) for d in data], has_bot=has_bot))


def set_pixels(path: Path, data: bytes) -> Path:
    return edit(path, lambda ds: setattr(ds, "PixelData", data))


def without_preamble(path: Path) -> bytes:
    """What follows preamble and file meta information."""
    file = path.read_bytes()
    return file[132 + 12 + int.from_bytes(file[140:144], "little") :]


def refusal(path: Path) -> str:
    with pytest.raises(CineError) as caught:
        open_cine(path).frames()
    return str(caught.value)


@pytest.mark.parametrize("rest", [b"\xff", b" ", b"\xc6\x17\x00"], ids=["fill", "space", "rest of a buffer"])
@pytest.mark.parametrize("syntax", ["jpeg-baseline", "jpeg-lossless-sv1", "jpeg-ls", "jpeg2000-lossless"])
def test_bytes_behind_a_frames_end_are_passed_over(tmp_path: Path, syntax: str, rest: bytes) -> None:
    write_xa(tmp_path / "whole.dcm", FRAMES, syntax=syntax)
    odd = coded_file(tmp_path / "odd.dcm", syntax, lambda f: f[: f.rindex(END) + 2] + rest)
    np.testing.assert_array_equal(open_cine(odd).frames(), open_cine(tmp_path / "whole.dcm").frames())


def test_a_spare_zero_before_the_end_of_jpeg_ls(tmp_path: Path) -> None:
    write_xa(tmp_path / "a.dcm", FRAMES, syntax="jpeg-ls")
    assert pydicom.dcmread(tmp_path / "a.dcm").file_meta.TransferSyntaxUID == JPEGLSLossless
    coded = [bytes(jpeg_ls.encode_array(f)) for f in FRAMES]
    coded = [c[: c.rindex(END)] + b"\0" + END for c in coded]
    set_pixels(tmp_path / "a.dcm", encapsulate([c + b"\0" * (len(c) % 2) for c in coded]))
    np.testing.assert_array_equal(open_cine(tmp_path / "a.dcm").frames(), FRAMES)


@pytest.mark.parametrize("syntax", ["jpeg-baseline", "rle", "jpeg-lossless-sv1", "jpeg-ls", "jpeg2000-lossless"])
@pytest.mark.parametrize("declared", [1, 3])
def test_frames_that_the_header_does_not_declare_are_never_dropped_in_silence(tmp_path: Path, syntax: str, declared: int) -> None:
    coded_file(tmp_path / "a.dcm", syntax, lambda f: f, has_bot=False)
    edit(tmp_path / "a.dcm", lambda ds: setattr(ds, "NumberOfFrames", declared))
    assert f"hold 4 frames and the header declares {declared}" in refusal(tmp_path / "a.dcm")


def test_raw_frames_that_the_header_does_not_declare_are_refused(tmp_path: Path) -> None:
    write_xa(tmp_path / "a.dcm", FRAMES)
    edit(tmp_path / "a.dcm", lambda ds: setattr(ds, "NumberOfFrames", 1))
    assert "12288 bytes of pixel data where 1 frame(s) of 48 x 64 need 3072" in refusal(tmp_path / "a.dcm")


def test_padding_behind_raw_pixels(tmp_path: Path) -> None:
    """PS3.5 8.1.1."""
    write_xa(tmp_path / "a.dcm", FRAMES)
    set_pixels(tmp_path / "a.dcm", FRAMES.tobytes() + b"\0" * 16)
    np.testing.assert_array_equal(open_cine(tmp_path / "a.dcm").frames(), FRAMES)


def test_rows_of_zeros_are_padding_behind_a_single_frame_only(tmp_path: Path) -> None:
    """Behind several they may be the header's fault: with 47 rows instead of 48 every frame but the first would be shifted."""
    write_xa(tmp_path / "a.dcm", FRAMES[:1])
    set_pixels(tmp_path / "a.dcm", FRAMES[:1].tobytes() + bytes(2 * 64))
    np.testing.assert_array_equal(open_cine(tmp_path / "a.dcm").frames(), FRAMES[:1])
    write_xa(tmp_path / "b.dcm", FRAMES)
    set_pixels(tmp_path / "b.dcm", FRAMES.tobytes() + bytes(4 * 64))
    assert "the header does not describe its pixels" in refusal(tmp_path / "b.dcm")


def test_an_offset_table_of_one_zero_beside_four_frames(tmp_path: Path) -> None:
    write_xa(tmp_path / "whole.dcm", FRAMES, syntax="jpeg-baseline")
    odd = coded_file(tmp_path / "odd.dcm", "jpeg-baseline", lambda f: f, has_bot=False)
    assert pydicom.dcmread(odd).file_meta.TransferSyntaxUID == JPEGBaseline8Bit
    table = pydicom.dcmread(odd).PixelData
    set_pixels(odd, table[:4] + (4).to_bytes(4, "little") + b"\0" * 4 + table[8:])
    np.testing.assert_array_equal(open_cine(odd).frames(), open_cine(tmp_path / "whole.dcm").frames())


def test_a_signed_jpeg_2000_stream_narrower_than_its_file_says(tmp_path: Path) -> None:
    """12 signed bits in a file of 16: -2048 stays -2048."""
    signed = asymmetric_frames(12, count=2, rows=48, columns=64).astype(np.int16) - 2048
    assert (signed.min(), signed.max()) == (-2048, 2047)
    write_xa(tmp_path / "a.dcm", signed.view(np.uint16), syntax="jpeg2000-lossless", bits_stored=16)
    coded = [encode_array(np.ascontiguousarray(f), bits_stored=12, photometric_interpretation=2) for f in signed]

    def change(ds: Dataset) -> None:
        ds.PixelRepresentation, ds.PixelData = 1, encapsulate([c + b"\0" * (len(c) % 2) for c in coded])

    edit(tmp_path / "a.dcm", change)
    np.testing.assert_array_equal(open_cine(tmp_path / "a.dcm", voi=False).frames(), signed)


def test_a_header_that_says_explicit_over_implicit_data(tmp_path: Path) -> None:
    frames = asymmetric_frames(12, count=2)
    write_xa(tmp_path / "a.dcm", frames, syntax="implicit-le", bits_stored=12)
    data, meta, stream = without_preamble(tmp_path / "a.dcm"), pydicom.dcmread(tmp_path / "a.dcm").file_meta, io.BytesIO()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    write_file_meta_info(stream, meta)
    (tmp_path / "a.dcm").write_bytes(b"\0" * 128 + b"DICM" + stream.getvalue() + data)
    np.testing.assert_array_equal(open_cine(tmp_path / "a.dcm").frames(), frames)


def test_the_retired_biplane_class_is_read(tmp_path: Path) -> None:
    write_xa(tmp_path / "a.dcm", FRAMES)
    edit(tmp_path / "a.dcm", lambda ds: setattr(ds, "SOPClassUID", "1.2.840.10008.5.1.4.1.1.12.3"))
    np.testing.assert_array_equal(open_cine(tmp_path / "a.dcm").frames(), FRAMES)
    assert find_cines(tmp_path) == [tmp_path / "a.dcm"]


def test_a_folder_of_files_without_preamble_is_read_like_the_files(tmp_path: Path) -> None:
    for number in range(3):
        header = XAHeader(study_uid="2.25.1", series_uid=f"2.25.1.{number}", sop_uid=f"2.25.1.{number}.1")
        write_xa(tmp_path / "with", FRAMES[number : number + 1], header=header, syntax="implicit-le")
        (tmp_path / "folder").mkdir(exist_ok=True)
        (tmp_path / "folder" / str(number)).write_bytes(without_preamble(tmp_path / "with"))
    found = find_cines(tmp_path / "folder")
    assert [p.name for p in found] == ["0", "1", "2"]
    for number, path in enumerate(found):
        np.testing.assert_array_equal(open_cine(path).frame(0), FRAMES[number])


def test_a_photograph_is_no_dicom_file(tmp_path: Path) -> None:
    """What begins like a file without preamble must still be one."""
    Image.fromarray(FRAMES[0]).save(tmp_path / "a.bmp")
    (tmp_path / "b").write_bytes(b"\x08\x00\x05\x00" + b"no DICOM" * 40)
    for name in ("a.bmp", "b"):
        assert "neither DICOM nor a picture" in refusal(tmp_path / name)
