"""Files that stray from the standard: the server gives a viewer the frames that the reader reads, or none."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.encaps import encapsulate, generate_frames
from pydicom.filewriter import write_file_meta_info
from pydicom.uid import ExplicitVRLittleEndian
from xa_files import asymmetric_frames, edit

from label_app.lib.dicomweb.frames import stored_frame
from label_app.lib.images.study_index import Instance, StudyIndex
from monai_tavr.dicom.writer import write_xa

FRAMES = asymmetric_frames(count=4, rows=40, columns=56)


def data_set(path: Path) -> bytes:
    """What follows preamble and file meta information."""
    file = path.read_bytes()
    return file[132 + 12 + int.from_bytes(file[140:144], "little") :]


def test_a_file_without_preamble_is_listed_and_its_frames_are_given(tmp_path: Path) -> None:
    write_xa(tmp_path / "with.dcm", FRAMES, syntax="implicit-le")
    (tmp_path / "without.dcm").write_bytes(data_set(tmp_path / "with.dcm"))
    (tmp_path / "with.dcm").unlink()
    [instance] = StudyIndex(tmp_path).instances()
    assert instance.number_of_frames == 4
    assert stored_frame(instance, 2) == (FRAMES[2].tobytes(), ExplicitVRLittleEndian)


def test_a_header_that_says_explicit_over_implicit_data(tmp_path: Path) -> None:
    write_xa(tmp_path / "a.dcm", FRAMES, syntax="implicit-le")
    meta, stream = pydicom.dcmread(tmp_path / "a.dcm").file_meta, io.BytesIO()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    write_file_meta_info(stream, meta)
    (tmp_path / "a.dcm").write_bytes(b"\0" * 128 + b"DICM" + stream.getvalue() + data_set(tmp_path / "a.dcm"))
    assert stored_frame(Instance.from_file(tmp_path / "a.dcm"), 3)[0] == FRAMES[3].tobytes()


@pytest.mark.parametrize("syntax", ["jpeg-lossless-sv1", "rle"])
@pytest.mark.parametrize("offsets", [[0], [0, 0, 0, 0], [8, 8, 8, 8]])
def test_an_offset_table_that_says_nothing(tmp_path: Path, syntax: str, offsets: list[int]) -> None:
    write_xa(tmp_path / "a.dcm", FRAMES, syntax=syntax)
    coded = list(generate_frames(pydicom.dcmread(tmp_path / "a.dcm").PixelData, number_of_frames=4))
    table = np.array(offsets, "<u4").tobytes()
    data = b"\xfe\xff\x00\xe0" + len(table).to_bytes(4, "little") + table + encapsulate(coded, has_bot=False)[8:]
    edit(tmp_path / "a.dcm", lambda ds: setattr(ds, "PixelData", data))
    instance = Instance.from_file(tmp_path / "a.dcm")
    assert [stored_frame(instance, i)[0] for i in range(4)] == coded


def test_frames_that_the_header_does_not_declare_are_refused(tmp_path: Path) -> None:
    write_xa(tmp_path / "a.dcm", FRAMES, syntax="jpeg-ls")
    edit(tmp_path / "a.dcm", lambda ds: setattr(ds, "NumberOfFrames", 1))
    with pytest.raises(ValueError, match="hold 4 frames and the header declares 1"):
        stored_frame(Instance.from_file(tmp_path / "a.dcm"), 0)
