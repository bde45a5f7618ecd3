"""Keypoint labels as DICOM structured reports: what a PACS keeps, and what another installation reads back.

A label of a cine becomes one Comprehensive SR with a Measurement Report (PS3.16 TID 1500): an image library that says which image
was labelled (:mod:`monai_tavr.formats.dicom_sr.image`), and one measurement group (TID 1501,
:mod:`monai_tavr.formats.dicom_sr.point`) for each labelled point of each frame, absent points included. A point without a group
is unlabelled. What the model says of a whole frame is a qualitative evaluation (:mod:`monai_tavr.formats.dicom_sr.typical`). The
observers are the annotator and the software. Only reports of this module are read back: they are known by their text item
``Schema`` of the scheme ``99TAVR`` (:mod:`monai_tavr.formats.dicom_sr.codes`).

Reports are complete but preliminary and unverified unless somebody verifies them: they are annotations, not findings for care.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Iterator, Sequence
from copy import copy
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
from highdicom.sr import (
    CodeContentItem,
    CodedConcept,
    ComprehensiveSR,
    ContainerContentItem,
    ContentItem,
    ContentSequence,
    DeviceObserverIdentifyingAttributes,
    LanguageOfContentItemAndDescendants,
    NumContentItem,
    ObserverContext,
    PersonObserverIdentifyingAttributes,
    RelationshipTypeValues,
    TextContentItem,
)
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.sr.codedict import codes
from pydicom.uid import ComprehensiveSRStorage, generate_uid
from pydicom.valuerep import DA, TM

from monai_tavr import __version__
from monai_tavr.cine import CineInfo
from monai_tavr.dicom.header import read_header
from monai_tavr.files import replacing
from monai_tavr.formats.dicom_sr import codes as sr_codes
from monai_tavr.formats.dicom_sr.image import (
    FrameImage,
    frame_images,
    image_from_library,
    image_headers,
    image_to_library,
)
from monai_tavr.formats.dicom_sr.point import (
    Algorithm,
    SRPoint,
    children,
    from_dicom_time,
    number_of,
    point_from_group,
    point_to_group,
    to_dicom_time,
)
from monai_tavr.formats.dicom_sr.typical import typical_from_report, typical_to_container
from monai_tavr.formats.table import warn_of_loss
from monai_tavr.keypoints import TAVR11, Keypoints, KeypointSchema
from monai_tavr.label import CineLabel, ImageInfo, Revision
from monai_tavr.uids import SOFTWARE, uid_of

__all__ = ["SERIES_DESCRIPTION", "is_keypoints_sr", "keypoints_sr", "read_keypoints_sr", "write_dicom_sr", "write_keypoints_sr"]

SERIES_DESCRIPTION = "TAVR keypoints"
_CONTAINS = RelationshipTypeValues.CONTAINS
_SERIES_NUMBER = 9911
_DEVICE = uid_of(SOFTWARE)
_PATIENT_AND_STUDY = (  # type 2 in the report: they may be empty, but must be there
    "PatientID",
    "PatientName",
    "PatientBirthDate",
    "PatientSex",
    "AccessionNumber",
    "StudyID",
    "StudyDate",
    "StudyTime",
    "ReferringPhysicianName",
)
_NAME_LENGTH = 64  # VR PN, one component group


def keypoints_sr(
    label: CineLabel,
    images: Sequence[Dataset],
    *,
    algorithm: Algorithm | None = None,
    sop_instance_uid: str | None = None,
    series_instance_uid: str | None = None,
    device_uid: str | None = None,
    predecessor: Dataset | None = None,
    verified_by: tuple[str, str] | None = None,
    schema: KeypointSchema = TAVR11,
) -> ComprehensiveSR:
    """A label as a report. Its number, author and time are those of ``label.revision``.

    Args:
        label: the label.
        images: header of the multi-frame file, or of every single-frame file in the order of the frames; without pixels.
        algorithm: the model behind the points whose source is a model.
        sop_instance_uid, series_instance_uid: made up where they are None.
        device_uid: of the installation that writes.
        predecessor: study, series, SOP class and SOP instance UID of the report that this one replaces.
        verified_by: (person as VR PN, e.g. ``Curie^Marie``, organization) who answers for the report.
        schema: said of a label without frames; others know theirs.

    Raises:
        ValueError: the images are not those of the label, or their header cannot be carried over.
    """
    frames = frame_images(label.image, images)
    revision = label.revision or Revision(number=1, author="", time=datetime.now(timezone.utc).isoformat())
    schema = label.frames[0].schema if label.frames else schema
    local = datetime.fromisoformat(revision.time.replace("Z", "+00:00")).astimezone()  # DA and TM have no zone
    root = _document(label, revision, schema, frames, algorithm, device_uid or _DEVICE)
    try:
        report = ComprehensiveSR(
            evidence=[_evidence(image) for image in images],
            content=root,
            series_instance_uid=series_instance_uid or generate_uid(None),
            series_number=_SERIES_NUMBER,
            sop_instance_uid=sop_instance_uid or generate_uid(None),
            instance_number=revision.number,
            manufacturer="monai-tavr",
            manufacturer_model_name="monai-tavr",
            software_versions=__version__,
            device_serial_number=device_uid or _DEVICE,
            series_description=SERIES_DESCRIPTION,
            is_complete=True,
            is_final=verified_by is not None,
            is_verified=verified_by is not None,
            verifying_observer_name=verified_by[0] if verified_by else None,
            verifying_organization=verified_by[1] if verified_by else None,
            previous_versions=None if predecessor is None else [predecessor],
            coding_schemes=[sr_codes.private_scheme()],
            content_date=DA(local.date()),
            content_time=TM(local.time()),
            specific_character_set="ISO_IR 192",
        )
    except (AttributeError, TypeError) as error:
        raise ValueError(f"the header of the image cannot be carried over into a report: {error}") from error
    report.PatientName = images[0].get("PatientName", "")
    report.ObservationDateTime = to_dicom_time(revision.time)
    return report


def write_keypoints_sr(
    path: str | os.PathLike[str], label: CineLabel, images: Sequence[Dataset], *, algorithm: Algorithm | None = None
) -> None:
    """Write a label as a file (see :func:`keypoints_sr`); it appears whole or not at all."""
    report = keypoints_sr(label, images, algorithm=algorithm)
    with replacing(path) as stream:
        report.save_as(stream, enforce_file_format=True)


def write_dicom_sr(path: str | os.PathLike[str], label: CineLabel, *, image: CineInfo) -> None:
    """Write a label as a report on the file or folder that ``image`` was opened from (see :func:`keypoints_sr`).

    Raises:
        ValueError: the image is no DICOM, or not that of the label.
    """
    warn_of_loss("dicom-sr", [label])
    write_keypoints_sr(path, label, image_headers(image))


def _evidence(image: Dataset) -> Dataset:
    """The header of an image with all that a report takes over, and without values that no report may hold."""
    known = Dataset()
    known.update({e.tag: copy(e) for e in image if e.tag.group in (0x0008, 0x0010, 0x0020)})
    for keyword in _PATIENT_AND_STUDY:
        if known.get(keyword) is None:
            setattr(known, keyword, "")
    known.PatientName = ""  # highdicom warns of unusual names, and quotes them
    if known.PatientSex not in ("M", "F", "O"):
        known.PatientSex = ""
    for keyword, convert in (("PatientBirthDate", DA), ("StudyDate", DA), ("StudyTime", TM)):
        try:
            convert(getattr(known, keyword))
        except ValueError:
            setattr(known, keyword, "")
    return known


def _document(
    label: CineLabel,
    revision: Revision,
    schema: KeypointSchema,
    frames: Sequence[FrameImage],
    algorithm: Algorithm | None,
    device_uid: str,
) -> ContainerContentItem:
    root = ContainerContentItem(codes.cid7021.ImagingMeasurementReport, template_id="1500")
    items: list[ContentItem] = [
        *LanguageOfContentItemAndDescendants(CodedConcept("en", "RFC5646", "English")),
        *_observers(revision.author, device_uid),
        CodeContentItem(codes.DCM.ProcedureReported, codes.cid100.Angiography, RelationshipTypeValues.HAS_CONCEPT_MOD),
    ]
    if algorithm is None and revision.model is not None:
        signatures = [e.author for e in label.edits.values() if e.source == "model" and e.author]
        algorithm = Algorithm("monai-tavr keypoints", signatures[0] if signatures else "unknown", revision.model)
    items.append(image_to_library(label.image, frames))
    measurements = ContainerContentItem(codes.DCM.ImagingMeasurements, relationship_type=_CONTAINS)
    groups = [point_to_group(p, frames[f], schema=schema, algorithm=algorithm) for f, points in _points(label) for p in points]
    if groups:  # a label that was taken back has none
        measurements.ContentSequence = ContentSequence(groups)
    items.append(measurements)
    if label.typical:
        items.append(typical_to_container(label.typical, frames))
    items.append(TextContentItem(sr_codes.SCHEMA, schema.name, _CONTAINS))
    if revision.base is not None:
        items.append(NumContentItem(sr_codes.BASE_REVISION, revision.base, sr_codes.NO_UNITS, relationship_type=_CONTAINS))
    if revision.model is not None:
        items.append(TextContentItem(sr_codes.MODEL, revision.model, _CONTAINS))
    root.ContentSequence = ContentSequence(items)
    return root


def _observers(author: str, device_uid: str) -> Iterator[ContentItem]:
    """TID 1001 twice: who labelled, and with what."""
    if author:
        person = PersonObserverIdentifyingAttributes(name=_person(author), login_name=author)
        yield from ObserverContext(observer_type=codes.DCM.Person, observer_identifying_attributes=person)
    device = DeviceObserverIdentifyingAttributes(
        uid=device_uid, name="monai-tavr", manufacturer_name="monai-tavr", model_name=__version__
    )
    yield from ObserverContext(observer_type=codes.DCM.Device, observer_identifying_attributes=device)


def _person(name: str) -> str:
    """A name as VR PN, with the delimiters of its parts taken out."""
    return "".join(" " if c in "\\^=" or not c.isprintable() else c for c in name)[: _NAME_LENGTH - 1] + "^"


def _points(label: CineLabel) -> Iterator[tuple[int, list[SRPoint]]]:
    """(frame, its labelled points)."""
    for keypoints in label.frames:
        f, points = keypoints.frame, []
        for i, name in enumerate(keypoints.schema.names):
            if keypoints.labelled is not None and not keypoints.labelled[i]:
                continue
            xy = (float(keypoints.xy[i, 0]), float(keypoints.xy[i, 1])) if keypoints.visible[i] else None
            score = None if keypoints.score is None else float(keypoints.score[i])
            spread = label.spread.get((f, name)) if xy is not None else None
            points.append(SRPoint(name, xy, score, spread, label.edits.get((f, name))))
        yield f, points


def is_keypoints_sr(dataset: Dataset) -> bool:
    """Whether a data set is a report of this module."""
    return dataset.get("SOPClassUID") == ComprehensiveSRStorage and bool(children(dataset, sr_codes.SCHEMA))


def read_keypoints_sr(source: str | os.PathLike[str] | Dataset, *, schema: KeypointSchema = TAVR11) -> CineLabel:
    """The label of a report that :func:`keypoints_sr` made, with its revision.

    Raises:
        ValueError: not DICOM, a report of another writer or schema, or damaged; says which.
        OSError: the file cannot be read.
    """
    where = "report" if isinstance(source, Dataset) else str(source)
    content = None if isinstance(source, Dataset) else Path(source).read_bytes()
    try:
        dataset = source if isinstance(source, Dataset) else read_header(io.BytesIO(content or b""))[0]
        is_ours = is_keypoints_sr(dataset)
        name = str(children(dataset, sr_codes.SCHEMA)[0].TextValue) if is_ours else ""
    except InvalidDicomError as error:
        raise ValueError(f"{where}: not a DICOM file") from error
    except Exception as error:  # pydicom decodes when it is asked, and has many ways to fail on a damaged file
        raise ValueError(f"{where}: the report is damaged: {type(error).__name__}: {error}") from error
    if not is_ours:
        raise ValueError(f"{where}: not a keypoint report of this project")
    if not schema.reads(name):
        raise ValueError(f"{where}: keypoints of schema {name!r}, expected {schema.name!r}")
    try:
        return _read(dataset, schema)
    except Exception as error:  # as above
        raise ValueError(f"{where}: the report is damaged: {type(error).__name__}: {error}") from error


def _read(dataset: Dataset, schema: KeypointSchema) -> CineLabel:
    image, index = image_from_library(dataset)
    groups = children(children(dataset, codes.DCM.ImagingMeasurements)[0], codes.DCM.MeasurementGroup)
    by_frame: dict[int, dict[str, SRPoint]] = {}
    for group in groups:
        point, place = point_from_group(group, schema=schema)
        points = by_frame.setdefault(index[place.sop_uid] + (place.number or 1) - 1, {})
        if point.name in points:
            raise ValueError(f"point {point.name} stands twice on one frame")
        points[point.name] = point
    frames = [_frame(f, points.values(), schema, image) for f, points in by_frame.items()]
    edits = {(f, p.name): p.edit for f, points in by_frame.items() for p in points.values() if p.edit is not None}
    spread = {(f, p.name): p.spread for f, points in by_frame.items() for p in points.values() if p.spread is not None}
    typical = {index[place.sop_uid] + (place.number or 1) - 1: is_typical for place, is_typical in typical_from_report(dataset)}
    return CineLabel(image=image, frames=tuple(frames), edits=edits, spread=spread, revision=_revision(dataset), typical=typical)


def _frame(index: int, points: Iterable[SRPoint], schema: KeypointSchema, image: ImageInfo) -> Keypoints:
    xy = np.full((schema.num_keypoints, 2), np.nan, np.float32)
    score = np.zeros(schema.num_keypoints, np.float32)
    labelled = np.zeros(schema.num_keypoints, bool)
    scored = True
    for point in points:
        i = schema.index(point.name)
        labelled[i] = True
        if point.xy is not None:
            xy[i] = point.xy
        scored &= point.score is not None
        score[i] = point.score or 0
    return Keypoints(schema=schema, xy=xy, score=score if scored else None, labelled=labelled, frame=index, spacing=image.spacing)


def _revision(dataset: Dataset) -> Revision:
    authors, bases = children(dataset, sr_codes.LOGIN_NAME), children(dataset, sr_codes.BASE_REVISION)
    models = children(dataset, sr_codes.MODEL)
    return Revision(
        number=int(dataset.InstanceNumber),
        author=str(authors[0].TextValue) if authors else "",
        time=from_dicom_time(str(dataset.ObservationDateTime)),
        base=int(number_of(bases[0])) if bases else None,
        model=str(models[0].TextValue) if models else None,
    )
