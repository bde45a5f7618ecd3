"""The files written are valid DICOM in every syntax, deterministic, and never half there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
from xa_files import asymmetric_frames, run_tool

from monai_tavr.dicom.writer import SYNTAXES, XAHeader, write_xa

HEADER = XAHeader(
    patient_id="P007",
    patient_name="Phantom^Seven",
    patient_sex="F",
    patient_birth_date="19400131",
    study_description="TAVR",
    series_description="positioning",
    study_date="20260102",
    study_time="101112",
    series_number=3,
    instance_number=2,
    primary_angle=-12.5,
    secondary_angle=8.0,
    imager_spacing=(0.2, 0.3),
    source_detector_mm=1100.0,
    source_patient_mm=760.0,
    frame_time_ms=66.7,
    contrast_agent="Iodine",
)
LOSSY = {"jpeg-ls-near": "ISO_14495_1", "jpeg2000": "ISO_15444_1", "jpeg-baseline": "ISO_10918_1"}


def _cases() -> list[tuple[str, int]]:
    return [(s, b) for s in SYNTAXES for b in (8, 10, 12, 16) if s != "jpeg-baseline" or b == 8]


def _errors(path: Path) -> list[str]:
    report = run_tool("dciodvfy", path)
    assert "XAImage" in report  # the object that it checked against
    return [line for line in report.splitlines() if "error" in line.lower()]


@pytest.mark.parametrize(("syntax", "bits"), _cases())
def test_dciodvfy_finds_no_error(tmp_path: Path, syntax: str, bits: int) -> None:
    path = tmp_path / "a.dcm"
    write_xa(path, asymmetric_frames(bits), header=HEADER, syntax=syntax, bits_stored=bits)
    if syntax == "deflated":  # dciodvfy cannot inflate; dcmtk can, which proves the deflation as well
        assert run_tool("dcmconv", "+te", path, tmp_path / "inflated.dcm") == ""
        path = tmp_path / "inflated.dcm"
    assert _errors(path) == []


@pytest.mark.parametrize("header", [XAHeader(), XAHeader(primary_angle=None, secondary_angle=None, window=(100, 50.5))])
def test_dciodvfy_finds_no_error_in_sparse_headers_and_stills(tmp_path: Path, header: XAHeader) -> None:
    write_xa(tmp_path / "a.dcm", asymmetric_frames(count=1), header=header)
    assert _errors(tmp_path / "a.dcm") == []


def test_header_is_written_in_dicom_order(tmp_path: Path) -> None:
    write_xa(tmp_path / "a.dcm", asymmetric_frames(12), header=HEADER, bits_stored=12)
    ds = pydicom.dcmread(tmp_path / "a.dcm")
    assert (ds.Rows, ds.Columns, ds.NumberOfFrames) == (37, 50, 5)
    assert (ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation) == (16, 12, 11, 0)
    assert ds.ImagerPixelSpacing == [0.3, 0.2]  # between rows first
    assert ds.EstimatedRadiographicMagnificationFactor == pytest.approx(1100 / 760)
    assert (ds.PositionerPrimaryAngle, ds.PositionerSecondaryAngle) == (-12.5, 8)
    assert (ds.FrameTime, ds.CineRate, ds.FrameIncrementPointer) == (66.7, 15, 0x00181063)
    assert (ds.PatientID, ds.SeriesNumber, ds.InstanceNumber, ds.ContrastBolusAgent) == ("P007", 3, 2, "Iodine")
    assert (ds.WindowCenter, ds.WindowWidth) == (2048, 4096)
    assert ds.LossyImageCompression == "00"


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_same_input_gives_same_bytes_and_the_uids_do_not_depend_on_the_syntax(tmp_path: Path, syntax: str) -> None:
    paths = [tmp_path / name for name in ("a.dcm", "b.dcm", "raw.dcm")]
    for path, s in zip(paths, (syntax, syntax, "explicit-le"), strict=True):
        write_xa(path, asymmetric_frames(), header=HEADER, syntax=s)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    a, raw = pydicom.dcmread(paths[0]), pydicom.dcmread(paths[2])
    assert a.file_meta.TransferSyntaxUID == SYNTAXES[syntax]
    assert a.file_meta.MediaStorageSOPInstanceUID == a.SOPInstanceUID == raw.SOPInstanceUID
    assert (a.StudyInstanceUID, a.SeriesInstanceUID) == (raw.StudyInstanceUID, raw.SeriesInstanceUID)


def test_derived_uids_differ_where_the_objects_do(tmp_path: Path) -> None:
    def uids(name: str, frames: np.ndarray, header: XAHeader) -> tuple[str, str, str]:
        write_xa(tmp_path / name, frames, header=header)
        ds = pydicom.dcmread(tmp_path / name)
        return ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID

    frames = asymmetric_frames()
    first = uids("a.dcm", frames, XAHeader(patient_id="A"))
    other_pixels = uids("b.dcm", frames[::-1].copy(), XAHeader(patient_id="A"))
    other_series = uids("c.dcm", frames, XAHeader(patient_id="A", series_number=2))
    other_patient = uids("d.dcm", frames, XAHeader(patient_id="B"))
    assert first[:2] == other_pixels[:2]
    assert first[2] != other_pixels[2]
    assert first[0] == other_series[0]
    assert first[1] != other_series[1]
    assert len({first[0], other_patient[0]}) == 2
    given = uids("e.dcm", frames, XAHeader(study_uid="1.2.3", series_uid="1.2.3.4", sop_uid="1.2.3.4.5"))
    assert given == ("1.2.3", "1.2.3.4", "1.2.3.4.5")
    assert all(len(uid) <= 64 for uid in first)


@pytest.mark.parametrize(("syntax", "method"), LOSSY.items())
def test_lossy_files_say_so(tmp_path: Path, syntax: str, method: str) -> None:
    frames = asymmetric_frames()
    write_xa(tmp_path / "a.dcm", frames, syntax=syntax)
    ds = pydicom.dcmread(tmp_path / "a.dcm")
    assert ds.LossyImageCompression == "01"
    assert ds.LossyImageCompressionMethod == method
    coded = sum(len(f) for f in pydicom.encaps.generate_frames(ds.PixelData, number_of_frames=5))
    assert ds.LossyImageCompressionRatio == pytest.approx(frames.nbytes / coded, rel=0.02)  # fragments are padded to even length


def test_a_failed_write_leaves_the_older_file_and_no_litter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.dcm"
    write_xa(path, asymmetric_frames())
    before = path.read_bytes()

    def full_disk(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("monai_tavr.dicom.writer.os.fsync", full_disk)
    with pytest.raises(OSError, match="No space left"):
        write_xa(path, asymmetric_frames(count=2))
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.dcm"]


@pytest.mark.parametrize(
    ("frames", "options", "reason"),
    [
        (np.zeros((1, 4, 4), np.uint8), {"syntax": "gif"}, "unknown syntax 'gif'"),
        (np.zeros((1, 4, 4), np.uint8), {"bits_stored": 9}, r"must be one of \[8, 10, 12, 16\].*got 9"),
        (np.zeros((1, 4, 4), np.uint16), {}, "8 bits must be uint8, got uint16"),
        (np.zeros((1, 4, 4), np.uint8), {"bits_stored": 12}, "12 bits must be uint16, got uint8"),
        (np.full((1, 4, 4), 1024, np.uint16), {"bits_stored": 10}, "grey level 1024 does not fit into 10 bits"),
        (np.zeros((4, 4), np.uint8), {}, r"shape \(4, 4\)"),
        (np.zeros((0, 4, 4), np.uint8), {}, r"shape \(0, 4, 4\)"),
        (np.zeros((1, 4, 4), np.uint16), {"bits_stored": 12, "syntax": "jpeg-baseline"}, "holds 8 bits, not 12"),
        (np.zeros((1, 4, 4), np.uint8), {"syntax": "jpeg2000"}, r"shape \(4, 4\) cannot be encoded as JPEG 2000"),
        (np.zeros((1, 3, 5), np.uint8), {"syntax": "jpeg-lossless"}, r"shape \(3, 5\).*make a side even"),
        (np.zeros((1, 4, 4), np.uint8), {"header": XAHeader(kvp=float("nan"))}, "nan; give a finite number"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path: Path, frames: np.ndarray, options: dict, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        write_xa(tmp_path / "a.dcm", frames, **options)
    assert list(tmp_path.iterdir()) == []


def test_a_big_endian_array_is_written_right(tmp_path: Path) -> None:
    frames = asymmetric_frames(12)
    write_xa(tmp_path / "a.dcm", frames, bits_stored=12)
    write_xa(tmp_path / "b.dcm", frames.astype(">u2"), bits_stored=12)
    assert (tmp_path / "a.dcm").read_bytes() == (tmp_path / "b.dcm").read_bytes()
