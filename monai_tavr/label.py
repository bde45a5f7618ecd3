"""Labels of a cine: which points stand where, who put them there, and which version of an image's label it is.

The currency between readers, writers, stores and measures; JSON, DICOM SR and other files are made from it in `formats`.
"""

from __future__ import annotations

import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any

from monai_tavr.keypoints import TAVR11, Keypoints, KeypointSchema

__all__ = ["CineLabel", "ImageInfo", "PointEdit", "Revision", "whole_number"]

_SOURCES = ("model", "annotator")


@dataclass(frozen=True)
class ImageInfo:
    """What a label must know of its image.

    Attributes:
        rows: image height in pixels.
        columns: image width in pixels.
        number_of_frames: frames of the cine, 1 for a still.
        spacing: (x, y) millimetres per pixel in the patient, or None when unknown.
        sop_instance_uid: DICOM UID of the (multi-frame) instance, None for other files.
        series_instance_uid: DICOM UID of its series.
        study_instance_uid: DICOM UID of its study.
    """

    rows: int
    columns: int
    number_of_frames: int = 1
    spacing: tuple[float, float] | None = None
    sop_instance_uid: str | None = None
    series_instance_uid: str | None = None
    study_instance_uid: str | None = None

    @property
    def uid(self) -> str | None:
        """By which the image is known: its instance's UID, or its series' where single frames make it; None for other files."""
        return self.sop_instance_uid or self.series_instance_uid


@dataclass(frozen=True)
class PointEdit:
    """Who put a point there.

    Attributes:
        source: ``model`` or ``annotator``.
        author: the model's or the person's name; None = not said.
        time: when, ISO 8601 with a time zone; None = not said.

    Raises:
        ValueError: the source is another, or a value is no text or no such time.
    """

    source: str
    author: str | None = None
    time: str | None = None

    def __post_init__(self) -> None:
        if self.source not in _SOURCES:
            raise ValueError(f"source must be one of {list(_SOURCES)}, got {reprlib.repr(self.source)}")
        for name in ("author", "time"):
            if not isinstance(getattr(self, name), str | None):
                raise ValueError(f"{name} must be text, got {reprlib.repr(getattr(self, name))}")
        if self.time is not None:
            _check_time(self.time)


@dataclass(frozen=True)
class Revision:
    """Which version of an image's label this is.

    Attributes:
        number: 1 for the first version.
        author: who submitted it.
        time: when, ISO 8601 with a time zone.
        base: number of the version it was made from, 0 where there was none; None = not said.
        model: SHA-256 of the weights whose prediction was corrected; None = not said.

    Raises:
        ValueError: a value is no text, no whole number, or no such time.
    """

    number: int
    author: str
    time: str
    base: int | None = None
    model: str | None = None

    def __post_init__(self) -> None:
        whole_number(self.number, "number", minimum=1)
        if self.base is not None:
            whole_number(self.base, "base", minimum=0)
        for name in ("author", "time"):
            if not isinstance(getattr(self, name), str):
                raise ValueError(f"{name} must be text, got {reprlib.repr(getattr(self, name))}")
        if not isinstance(self.model, str | None):
            raise ValueError(f"model must be text, got {reprlib.repr(self.model)}")
        _check_time(self.time)


def _check_time(time: str) -> None:
    try:
        zone = datetime.fromisoformat(time.replace("Z", "+00:00")).tzinfo
    except ValueError as error:
        raise ValueError(f"time must be ISO 8601, got {reprlib.repr(time)}") from error
    if zone is None:
        raise ValueError(f"time must state its zone, e.g. '+00:00', got {reprlib.repr(time)}")


@dataclass(frozen=True, eq=False)
class CineLabel:
    """The labelled frames of one image series.

    Attributes:
        image: size, spacing and identity of the image.
        frames: one :class:`Keypoints` per labelled frame, in frame order.
        edits: (frame, point name) -> who put the point there; a pair may be missing.
        spread: (frame, point name) -> doubt about the place of a predicted point, in native pixels; a pair may be missing.
        typical: frame -> whether the model takes it for a frame of the kind that it was made for; missing where it says nothing.
        revision: which of the image's versions this is, where a store keeps them.
        name: what a collection of files calls the cine, e.g. ``P001/run3``; None where its UIDs or its file say enough.
        pictures: frame -> the picture file that it is, as a collection names it (relative, with ``/``), where frames are files.

    Raises:
        ValueError: a frame stands twice, lies outside the image, or another schema is mixed in.
    """

    image: ImageInfo
    frames: tuple[Keypoints, ...]
    edits: Mapping[tuple[int, str], PointEdit] = field(default_factory=dict)
    spread: Mapping[tuple[int, str], float] = field(default_factory=dict)
    revision: Revision | None = None
    name: str | None = None
    pictures: Mapping[int, str] = field(default_factory=dict)
    typical: Mapping[int, bool] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "frames", tuple(sorted(self.frames, key=lambda k: k.frame)))
        object.__setattr__(self, "edits", MappingProxyType(dict(self.edits)))
        object.__setattr__(self, "spread", MappingProxyType(dict(self.spread)))
        object.__setattr__(self, "pictures", MappingProxyType(dict(self.pictures)))
        object.__setattr__(self, "typical", MappingProxyType(dict(self.typical)))
        indices = [k.frame for k in self.frames]
        if len(set(indices)) != len(indices):
            raise ValueError(f"frame {max(indices, key=indices.count)} stands more than once")
        if indices and indices[-1] >= self.image.number_of_frames:
            raise ValueError(f"frame {indices[-1]} is outside the image, which has {self.image.number_of_frames} frame(s)")
        if len({k.schema.names for k in self.frames}) > 1:
            raise ValueError("frames of different keypoint schemas do not belong in one label")

    @classmethod
    def joined(cls, parts: Sequence[CineLabel]) -> CineLabel:
        """One label of the frames of several labels of one image.

        Raises:
            ValueError: there is none, or a frame stands in two.
        """
        if not parts:
            raise ValueError("no labels to join")
        frames = tuple(k for part in parts for k in part.frames)
        edits = {place: edit for part in parts for place, edit in part.edits.items()}
        spread = {place: doubt for part in parts for place, doubt in part.spread.items()}
        typical = {frame: is_typical for part in parts for frame, is_typical in part.typical.items()}
        return cls(image=parts[0].image, frames=frames, edits=edits, spread=spread, typical=typical)

    def apart(self) -> list[CineLabel]:
        """A label of each frame; the revision stays with the whole."""
        names = [(k, [(k.frame, name) for name in k.schema.names]) for k in self.frames]
        return [
            CineLabel(
                image=self.image,
                frames=(k,),
                edits={place: self.edits[place] for place in places if place in self.edits},
                spread={place: self.spread[place] for place in places if place in self.spread},
                typical={k.frame: self.typical[k.frame]} if k.frame in self.typical else {},
            )
            for k, places in names
        ]

    def frame(self, index: int, *, schema: KeypointSchema = TAVR11) -> Keypoints:
        """The keypoints of a frame; a frame without a label is all unlabelled."""
        for keypoints in self.frames:
            if keypoints.frame == index:
                return keypoints
        return Keypoints.from_points(schema, {}, frame=index, spacing=self.image.spacing)


def whole_number(value: Any, where: str, *, minimum: int) -> int:
    """The value, if it is a whole number.

    Args:
        value: what was found.
        where: what the error calls it.
        minimum: smallest that is allowed.

    Raises:
        ValueError: it is something else, or smaller.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < minimum:
        raise ValueError(f"{where} must be a whole number of at least {minimum}, got {reprlib.repr(value)}")
    return value
