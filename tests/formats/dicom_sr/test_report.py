"""Reports there and back, against numbers worked out by hand, and against two validators that others wrote."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import DeflatedExplicitVRLittleEndian

from monai_tavr.dicom.writer import XAHeader, write_xa
from monai_tavr.formats.dicom_sr import Algorithm, is_keypoints_sr, keypoints_sr, read_keypoints_sr, write_keypoints_sr
from monai_tavr.formats.dicom_sr.codes import children
from monai_tavr.formats.label_json import label_to_dict
from monai_tavr.keypoints import TAVR11, Keypoints, load_schema
from monai_tavr.label import CineLabel, ImageInfo, PointEdit, Revision

MODEL, ANNOTATOR = "monai-tavr 0.1.0, weights 1234", "Müller, Änne"
TIME = "2026-01-31T12:00:00.250+00:00"
ALGORITHM = Algorithm("monai-tavr keypoints", "0.1.0", "ab" * 32)


def header_of(folder: Path, **header: object) -> Dataset:
    path = folder / "cine.dcm"
    fields = {"patient_name": "Müller^Änne", "patient_id": "P7", "patient_sex": "F", "patient_birth_date": "19400203"}
    write_xa(path, np.zeros((4, 40, 56), np.uint16), header=XAHeader(**{**fields, **header}), bits_stored=12)  # type: ignore[arg-type]
    return pydicom.dcmread(path, stop_before_pixels=True)


def label_of(image: Dataset, *, frames: int = 4) -> CineLabel:
    """Frame 0 predicted; frame 2 labelled by hand: two points visible, one absent, eight unlabelled."""
    predicted = Keypoints.from_points(TAVR11, {n: (3.25 + i, 7.125) for i, n in enumerate(TAVR11.names) if n != "CT"})
    predicted = Keypoints(schema=TAVR11, xy=predicted.xy, score=np.where(predicted.visible, 0.9876, 0.0321), spacing=(0.2, 0.25))
    by_hand = Keypoints.from_points(
        TAVR11, {"AA1": (0.0, 39.999), "FE2": (-0.5, 12.345), "PT": None}, frame=2, spacing=(0.2, 0.25)
    )
    edits = {(0, n): PointEdit("model", MODEL) for n in TAVR11.names}
    edits |= {(2, n): PointEdit("annotator", ANNOTATOR, TIME) for n in ("AA1", "PT")}
    info = ImageInfo(
        rows=40,
        columns=56,
        number_of_frames=frames,
        spacing=(0.2, 0.25),
        sop_instance_uid=str(image.SOPInstanceUID),
        series_instance_uid=str(image.SeriesInstanceUID),
        study_instance_uid=str(image.StudyInstanceUID),
    )
    revision = Revision(number=3, author=ANNOTATOR, time=TIME, base=2, model="ab" * 32)
    return CineLabel(info, (predicted, by_hand), edits, spread={(0, "AA1"): 1.5}, revision=revision, typical={0: False, 2: True})


def test_a_label_comes_back_as_it_went(tmp_path: Path) -> None:
    image = header_of(tmp_path)
    label = label_of(image)
    write_keypoints_sr(tmp_path / "sr.dcm", label, [image], algorithm=ALGORITHM)
    back = read_keypoints_sr(tmp_path / "sr.dcm")
    assert label_to_dict(back) == label_to_dict(label)
    for before, after in zip(label.frames, back.frames, strict=True):
        np.testing.assert_array_equal(after.state, before.state)
        np.testing.assert_array_equal(after.xy, before.xy)


def test_a_doubt_about_a_frame_is_a_qualitative_evaluation_of_it(tmp_path: Path) -> None:
    image = header_of(tmp_path)
    report = keypoints_sr(label_of(image), [image])
    [container] = children(report, Code("C0034375", "UMLS", "Qualitative Evaluations"))
    said = [(i.ConceptCodeSequence[0].CodeMeaning, i.ContentSequence[0].RelationshipType) for i in container.ContentSequence]
    assert said == [("No", "INFERRED FROM"), ("Yes", "INFERRED FROM")]
    frames = [i.ContentSequence[0].ReferencedSOPSequence[0].ReferencedFrameNumber for i in container.ContentSequence]
    assert frames == [1, 3]  # DICOM counts from 1
    assert dict(read_keypoints_sr(report).typical) == {0: False, 2: True}
    container.ContentSequence[0].ConceptCodeSequence[0].CodeValue = "maybe"
    with pytest.raises(ValueError, match="'maybe' of scheme 'SCT' says neither yes nor no"):
        read_keypoints_sr(report)
    quiet = keypoints_sr(replace(label_of(image), typical={}), [image])
    assert not children(quiet, Code("C0034375", "UMLS", "Qualitative Evaluations"))


def test_every_thousandth_of_a_pixel_survives_32_bits(tmp_path: Path) -> None:
    image = header_of(tmp_path)
    rng = np.random.default_rng(0)
    xy = np.round(rng.uniform(-0.5, 4096, (TAVR11.num_keypoints, 2)), 3)
    label = CineLabel(ImageInfo(rows=40, columns=56, number_of_frames=4), (Keypoints(schema=TAVR11, xy=xy),))
    write_keypoints_sr(tmp_path / "sr.dcm", label, [image])
    np.testing.assert_array_equal(read_keypoints_sr(tmp_path / "sr.dcm").frames[0].xy, xy.astype(np.float32))


def test_what_other_readers_find_in_a_report(tmp_path: Path) -> None:
    image = header_of(tmp_path)
    before = Dataset()
    before.StudyInstanceUID, before.SeriesInstanceUID = image.StudyInstanceUID, "2.25.8"
    before.SOPClassUID, before.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.88.33", "2.25.9"
    report = keypoints_sr(label_of(image), [image], algorithm=ALGORITHM, predecessor=before, device_uid="2.25.5")
    assert (report.Modality, report.PatientID, report.StudyInstanceUID) == ("SR", "P7", image.StudyInstanceUID)
    assert (report.CompletionFlag, report.VerificationFlag, report.PreliminaryFlag) == ("COMPLETE", "UNVERIFIED", "PRELIMINARY")
    assert (report.InstanceNumber, report.SeriesDescription, report.PatientName) == (3, "TAVR keypoints", "Müller^Änne")
    [study] = report.PredecessorDocumentsSequence
    assert study.ReferencedSeriesSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID == "2.25.9"
    text = str(report)
    groups = text.count("'Measurement Group'")
    assert groups == 11 + 3
    assert text.count("(0070,0022) Graphic Data") == 10 + 2  # absent points have none
    assert "FL: [3.75, 7.625]" in text  # (3.25, 7.125), from the pixel's corner
    assert "FL: [0.0, 12.845]" in text  # SCOORD begins at the corner of the picture
    values = {str(element.value) for element in report.iterall()}
    words = {"weights_sha256=" + "ab" * 32, "Cornerstone3DTools@^0.1.0:Probe:AA1", "443167003", "2.25.5", MODEL, ANNOTATOR}
    assert words <= values
    schemes = {item.CodingSchemeDesignator for item in report.CodingSchemeIdentificationSequence}
    assert "99TAVR" in schemes


def test_verified_reports_say_by_whom(tmp_path: Path) -> None:
    image = header_of(tmp_path)
    report = keypoints_sr(label_of(image), [image], verified_by=("Curie^Marie", "Cath lab"))
    assert (report.VerificationFlag, report.PreliminaryFlag) == ("VERIFIED", "FINAL")
    [observer] = report.VerifyingObserverSequence
    assert (observer.VerifyingObserverName, observer.VerifyingOrganization) == ("Curie^Marie", "Cath lab")


def test_a_stack_is_referred_to_file_by_file(tmp_path: Path) -> None:
    images = []
    for number in (1, 2, 3):
        image = header_of(tmp_path, series_uid="2.25.70", sop_uid=f"2.25.70.{number}", instance_number=number)
        del image.NumberOfFrames
        images.append(image)
    label = label_of(images[0], frames=3)
    label = replace(label, image=replace(label.image, sop_instance_uid=None))
    report = keypoints_sr(label, images)
    assert "Referenced Frame Number" not in str(report)
    assert label_to_dict(read_keypoints_sr(report)) == label_to_dict(label)
    places = [g for g in str(report).splitlines() if "2.25.70.3" in g]
    assert len(places) == 1 + 1 + 3 + 1  # evidence, library, the three points of the last frame, and that it is typical


def test_a_label_that_was_taken_back_is_a_report_without_points(tmp_path: Path) -> None:
    image = header_of(tmp_path)
    label = replace(label_of(image), frames=(), edits={}, spread={})
    write_keypoints_sr(tmp_path / "sr.dcm", label, [image])
    assert label_to_dict(read_keypoints_sr(tmp_path / "sr.dcm")) == label_to_dict(label)
    assert read_keypoints_sr(tmp_path / "sr.dcm").frames == ()


def test_headers_of_real_hospitals_are_carried_over(tmp_path: Path) -> None:
    image = header_of(tmp_path)
    del image.AccessionNumber, image.StudyID, image.PatientBirthDate
    image.PatientSex, image.PatientName = "X", "Bono"
    report = keypoints_sr(label_of(image), [image])
    assert (report.AccessionNumber, report.PatientSex or "", report.PatientName) == ("", "", "Bono")
    assert (image.PatientSex, image.PatientName) == ("X", "Bono")  # the header itself stays as it was
    assert read_keypoints_sr(report).revision == label_of(image).revision


def test_validators_find_no_error(tmp_path: Path) -> None:
    image = header_of(tmp_path)
    path = tmp_path / "sr.dcm"
    write_keypoints_sr(path, label_of(image), [image], algorithm=ALGORITHM)
    checked = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, timeout=120)
    assert "ComprehensiveSR" in checked.stderr, checked.stderr
    assert [line for line in checked.stderr.splitlines() if line.startswith("Error")] == []
    dumped = subprocess.run(["dsrdump", str(path)], capture_output=True, text=True, timeout=120)
    assert dumped.returncode == 0, dumped.stderr
    # dcmtk 3.6.7 checks no UTF-8, and takes the zone +0000 for a mistake, which PS3.5 6.2 names as valid
    known = ("does not support this Specific Character Set", "ObservationDateTime (0040,a032) violates VR definition")
    assert [line for line in dumped.stderr.splitlines() if not any(k in line for k in known)] == []
    assert "Imaging Measurement Report" in dumped.stdout
    shown = subprocess.run(["dsr2html", str(path), str(tmp_path / "sr.html")], capture_output=True, text=True, timeout=120)
    assert shown.returncode == 0, shown.stderr
    assert "Aortic valve annulus" in (tmp_path / "sr.html").read_text()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"Rows": 41}, "of an image of 40 rows, 56 columns"),
        ({"NumberOfFrames": 5}, r"of 4 frame\(s\); the image files have \[5\]"),
        ({"SOPInstanceUID": "2.25.1"}, "not 2.25.1"),
    ],
)
def test_the_label_of_another_image_is_refused(tmp_path: Path, change: dict[str, object], words: str) -> None:
    image = header_of(tmp_path)
    label = label_of(image)
    for keyword, value in change.items():
        setattr(image, keyword, value)
    with pytest.raises(ValueError, match=words):
        keypoints_sr(label, [image])


def test_what_is_not_ours_is_refused(tmp_path: Path) -> None:
    image = header_of(tmp_path)
    assert not is_keypoints_sr(image)
    with pytest.raises(ValueError, match="not a keypoint report"):
        read_keypoints_sr(tmp_path / "cine.dcm")
    (tmp_path / "text.dcm").write_text("no DICOM")
    with pytest.raises(ValueError, match="not a DICOM file"):
        read_keypoints_sr(tmp_path / "text.dcm")
    report = keypoints_sr(label_of(image), [image])
    assert is_keypoints_sr(report)
    with pytest.raises(ValueError, match="expected 'AUTHORS10'"):
        read_keypoints_sr(report, schema=load_schema("authors10"))
    grown = replace(TAVR11, name="GROWN", extends=("TAVR11",))
    assert {k.schema.name for k in read_keypoints_sr(report, schema=grown).frames} == {"GROWN"}
    [measurements] = children(report, codes.DCM.ImagingMeasurements)
    group = measurements.ContentSequence[0]
    group.ContentSequence = [item for item in group.ContentSequence if item not in children(group, codes.DCM.Finding)]
    with pytest.raises(ValueError, match="damaged"):
        read_keypoints_sr(report)


def test_a_deflated_report_is_read_within_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Deflated (PS3.5 A.5), 100 kB can stand for 100 MB; of a report nobody needs that."""
    image = header_of(tmp_path)
    report = keypoints_sr(label_of(image), [image])
    report.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    report.save_as(tmp_path / "deflated.dcm")
    assert len(read_keypoints_sr(tmp_path / "deflated.dcm").frames) == len(label_of(image).frames)
    monkeypatch.setattr("monai_tavr.dicom.header.inflates_to", lambda deflated: 2000)
    with pytest.raises(ValueError, match="inflates to more than"):
        read_keypoints_sr(tmp_path / "deflated.dcm")


def test_the_tools_are_there() -> None:
    """Validators that are missing must not pass for validators that agree."""
    assert all(shutil.which(tool) for tool in ("dciodvfy", "dsrdump", "dsr2html"))
