"""One labelled point of one frame as a measurement group of a report (TID 1501), there and back.

Reading goes through plain data sets, not highdicom's classes: it then takes what another writer encoded, and fails in words.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from highdicom.sr import (
    AlgorithmIdentification,
    CodeContentItem,
    ContainerContentItem,
    ContentItem,
    CoordinatesForMeasurement,
    FindingSite,
    Measurement,
    RelationshipTypeValues,
    SourceImageForMeasurementGroup,
    SourceImageForRegion,
    TextContentItem,
    TrackingIdentifier,
)
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from monai_tavr.formats.dicom_sr import codes as sr_codes
from monai_tavr.formats.dicom_sr.codes import children, code_of, number_of
from monai_tavr.formats.dicom_sr.image import FrameImage, frame_of
from monai_tavr.keypoints import KeypointSchema
from monai_tavr.label import PointEdit
from monai_tavr.uids import TRACKED_POINT, derived_uid

__all__ = [
    "Algorithm",
    "SRPoint",
    "children",
    "corner_to_centre",
    "from_dicom_time",
    "number_of",
    "point_from_group",
    "point_to_group",
    "to_dicom_time",
]

_TRACKING = "Cornerstone3DTools@^0.1.0:Probe:"  # OHIF then shows the point as a probe
_TIME = "%Y%m%d%H%M%S.%f%z"  # VR DT
_DECIMALS = 3  # of a coordinate in label files
_SOURCES = {"annotator": (codes.DCM.Person, sr_codes.LOGIN_NAME), "model": (codes.DCM.Device, sr_codes.DEVICE_NAME)}


@dataclass(frozen=True)
class Algorithm:
    """The model whose points a report holds (TID 4019)."""

    name: str
    version: str
    weights_sha256: str | None = None

    def content(self) -> AlgorithmIdentification:
        """As content items."""
        parameters = None if self.weights_sha256 is None else [f"weights_sha256={self.weights_sha256}"]
        return AlgorithmIdentification(name=self.name, version=self.version, parameters=parameters)


@dataclass(frozen=True)
class SRPoint:
    """One labelled point: ``xy`` is None where it was looked for and is not there."""

    name: str
    xy: tuple[float, float] | None
    score: float | None = None
    spread: float | None = None
    edit: PointEdit | None = None


def _centre_to_corner(xy: tuple[float, float]) -> np.ndarray:
    """(1, 2) graphic data of a point.

    SCOORD counts from the corner of the first pixel, everything else in this package from its centre. Coordinates are rounded as
    in label files; 32 bits hold them exactly up to 16384 pixels, so nothing is lost on the way.
    """
    return np.round(np.array([xy], np.float64), _DECIMALS) + 0.5


def corner_to_centre(graphic: tuple[float, float]) -> tuple[float, float]:
    """The inverse of the half pixel that writing adds."""
    x, y = (round(float(v) - 0.5, _DECIMALS) for v in graphic)
    return x, y


def to_dicom_time(iso: str) -> str:
    """ISO 8601 with a zone as DICOM's DT."""
    return datetime.fromisoformat(iso.replace("Z", "+00:00")).strftime(_TIME)


def from_dicom_time(text: str) -> str:
    """DT with fraction and zone, as :func:`to_dicom_time` writes it, as ISO 8601."""
    time = datetime.strptime(text, _TIME)
    precision = "microseconds" if time.microsecond % 1000 else "milliseconds" if time.microsecond else "seconds"
    return time.isoformat(timespec=precision)


def point_to_group(
    point: SRPoint, image: FrameImage, *, schema: KeypointSchema, algorithm: Algorithm | None = None
) -> ContainerContentItem:
    """The measurement group of a point.

    Args:
        point: the point.
        image: the frame that it lies on.
        schema: names and codes.
        algorithm: said of a model's point.
    """
    tracking_uid = derived_uid(TRACKED_POINT, f"{image.sop_uid} {point.name}")  # the same point on every frame of a file
    items: list[Dataset] = [
        *TrackingIdentifier(identifier=_TRACKING + point.name, uid=tracking_uid),
        *_observer(point.edit),
        _code(codes.DCM.Finding, sr_codes.finding_code(schema, point.name)),
    ]
    if (site := sr_codes.site_code(schema, point.name)) is not None:
        items.append(FindingSite(site))
    if algorithm is not None and point.edit is not None and point.edit.source == "model":
        items.extend(algorithm.content())
    if point.xy is None:
        items.append(_code(sr_codes.VISIBILITY, sr_codes.ABSENT))
        items.append(SourceImageForMeasurementGroup(image.sop_class_uid, image.sop_uid, image.numbers))
    else:
        items.append(_code(sr_codes.VISIBILITY, sr_codes.PRESENT))
        source = SourceImageForRegion(image.sop_class_uid, image.sop_uid, image.numbers)
        graphic = _centre_to_corner(point.xy)
        place = CoordinatesForMeasurement("POINT", graphic, source)
        items.extend(Measurement(sr_codes.COLUMN, float(graphic[0, 0]), sr_codes.PIXELS, referenced_coordinates=[place]))
    if point.score is not None:
        items.extend(Measurement(sr_codes.PROBABILITY, round(point.score, 4), sr_codes.NO_UNITS))
    if point.spread is not None:
        items.extend(Measurement(sr_codes.SPREAD, round(point.spread, 3), sr_codes.PIXELS))
    group = ContainerContentItem(
        codes.DCM.MeasurementGroup, template_id="1501", relationship_type=RelationshipTypeValues.CONTAINS
    )
    group.ContentSequence = Sequence(items)
    if point.edit is not None and point.edit.time is not None:
        group.add_new("ObservationDateTime", "DT", to_dicom_time(point.edit.time))
    return group


def _code(name: Code, value: Code) -> CodeContentItem:
    return CodeContentItem(name, value, RelationshipTypeValues.CONTAINS)


def _observer(edit: PointEdit | None) -> Iterator[ContentItem]:
    if edit is None:
        return
    kind, name = _SOURCES[edit.source]
    yield CodeContentItem(codes.DCM.ObserverType, kind, RelationshipTypeValues.HAS_OBS_CONTEXT)
    if edit.author is not None:
        yield TextContentItem(name, edit.author, RelationshipTypeValues.HAS_OBS_CONTEXT)


def point_from_group(group: Dataset, *, schema: KeypointSchema) -> tuple[SRPoint, FrameImage]:
    """The point of a measurement group and the frame that it lies on.

    Raises:
        ValueError: the group is not one of :func:`point_to_group`, or its point is not in the schema.
    """
    try:
        return _read_group(group, schema)
    except (AttributeError, IndexError, KeyError, TypeError) as error:
        raise ValueError(f"a measurement group is not whole: {error}") from error


def _read_group(group: Dataset, schema: KeypointSchema) -> tuple[SRPoint, FrameImage]:
    name, scheme = code_of(children(group, codes.DCM.Finding)[0].ConceptCodeSequence[0])
    if scheme != sr_codes.SCHEME or name not in schema.names:
        raise ValueError(f"the finding {name!r} of scheme {scheme!r} is no point of {schema.name}: {list(schema.names)}")
    visibility = code_of(children(group, sr_codes.VISIBILITY)[0].ConceptCodeSequence[0])
    if visibility == (sr_codes.PRESENT.value, sr_codes.PRESENT.scheme_designator):
        place = children(group, sr_codes.COLUMN)[0].ContentSequence[0]
        x, y = place.GraphicData
        xy, image = corner_to_centre((x, y)), place.ContentSequence[0]
    elif visibility == (sr_codes.ABSENT.value, sr_codes.ABSENT.scheme_designator):
        xy, image = None, children(group, codes.DCM.SourceOfMeasurement)[0]
    else:
        raise ValueError(f"point {name}: {visibility[0]!r} says neither present nor absent")
    numbers = {c: children(group, c) for c in (sr_codes.PROBABILITY, sr_codes.SPREAD)}
    score, spread = (number_of(found[0]) if found else None for found in numbers.values())
    return SRPoint(name, xy, score, spread, _edit(group)), frame_of(image)


def _edit(group: Dataset) -> PointEdit | None:
    observers = children(group, codes.DCM.ObserverType)
    if not observers:
        return None
    kind = code_of(observers[0].ConceptCodeSequence[0])[0]
    source, (_, concept) = next((s, v) for s, v in _SOURCES.items() if v[0].value == kind)
    authors = children(group, concept)
    time = group.get("ObservationDateTime")
    return PointEdit(source, str(authors[0].TextValue) if authors else None, from_dicom_time(str(time)) if time else None)
