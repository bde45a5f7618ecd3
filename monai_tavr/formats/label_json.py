"""The project's own label file: the keypoints of one image series as JSON.

Shape::

    {
        "schema": "monai-tavr/keypoints/1",
        "keypoints": "TAVR11",
        "image": {
            "sop_instance_uid": "...",
            "series_instance_uid": "...",
            "study_instance_uid": "...",
            "rows": 512,
            "columns": 512,
            "number_of_frames": 60,
            "spacing": [0.3, 0.3],
        },
        "frames": [
            {
                "frame": 0,
                "points": {
                    "AA1": {
                        "x": 1.0,
                        "y": 2.0,
                        "state": "visible",
                        "score": 0.98,
                        "spread": 1.7,
                        "source": "model",
                        "author": "...",
                        "time": "2026-01-31T12:00:00+00:00",
                    }
                },
            }
        ],
        "revision": {"number": 3, "author": "...", "time": "2026-01-31T12:00:00+00:00", "base": 2, "model": "<sha256>"},
    }

A point that is missing from a frame, and a frame that is missing from the file, are unlabelled. An absent point has no x and y.
``revision`` says which of an image's versions a file is, where a store of labels keeps them all.
``spread`` is the model's doubt about the place of a visible point, in native pixels (a standard deviation; drawn as a circle).
Coordinates are native pixels, 0 = centre of the first pixel; spacing is (x, y) millimetres per pixel.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from monai_tavr.atomic_file import replacing
from monai_tavr.keypoints import TAVR11, Keypoints, KeypointSchema, KeypointState

__all__ = [
    "SCHEMA_ID",
    "CineLabel",
    "ImageInfo",
    "PointEdit",
    "Revision",
    "label_from_dict",
    "label_from_json",
    "label_to_dict",
    "read_label_json",
    "write_json_atomically",
    "write_label_json",
]

SCHEMA_ID = "monai-tavr/keypoints/1"
_SOURCES = ("model", "annotator")
_LARGEST = 1e9  # no coordinate, spacing or score is larger; NaN and infinity are not smaller
_POINT_KEYS = {"x", "y", "state", "score", "spread", "source", "author", "time"}
_IMAGE_KEYS = {"sop_instance_uid", "series_instance_uid", "study_instance_uid", "rows", "columns", "number_of_frames", "spacing"}


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


@dataclass(frozen=True)
class PointEdit:
    """Who put a point there: ``source`` is ``model`` or ``annotator``, ``time`` is ISO 8601 with a time zone."""

    source: str
    author: str | None = None
    time: str | None = None

    def __post_init__(self) -> None:
        if self.source not in _SOURCES:
            raise ValueError(f"source must be one of {list(_SOURCES)}, got {self.source!r}")
        for name in ("author", "time"):
            if not isinstance(getattr(self, name), str | None):
                raise ValueError(f"{name} must be text, got {getattr(self, name)!r}")
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
    """

    number: int
    author: str
    time: str
    base: int | None = None
    model: str | None = None

    def __post_init__(self) -> None:
        _integer(self.number, "number", minimum=1)
        if self.base is not None:
            _integer(self.base, "base", minimum=0)
        for name in ("author", "time"):
            if not isinstance(getattr(self, name), str):
                raise ValueError(f"{name} must be text, got {getattr(self, name)!r}")
        if not isinstance(self.model, str | None):
            raise ValueError(f"model must be text, got {self.model!r}")
        _check_time(self.time)


def _check_time(time: str) -> None:
    try:
        zone = datetime.fromisoformat(time.replace("Z", "+00:00")).tzinfo
    except ValueError as error:
        raise ValueError(f"time must be ISO 8601, got {time!r}") from error
    if zone is None:
        raise ValueError(f"time must state its zone, e.g. '+00:00', got {time!r}")


@dataclass(frozen=True, eq=False)
class CineLabel:
    """The labelled frames of one image series.

    Attributes:
        image: size, spacing and identity of the image.
        frames: one :class:`Keypoints` per labelled frame, in frame order.
        edits: (frame, point name) -> who put the point there; a pair may be missing.
        spread: (frame, point name) -> doubt about the place of a predicted point, in native pixels; a pair may be missing.
        revision: which of the image's versions this is, where a store keeps them.

    Raises:
        ValueError: a frame stands twice, lies outside the image, or another schema is mixed in.
    """

    image: ImageInfo
    frames: tuple[Keypoints, ...]
    edits: Mapping[tuple[int, str], PointEdit] = field(default_factory=dict)
    spread: Mapping[tuple[int, str], float] = field(default_factory=dict)
    revision: Revision | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "frames", tuple(sorted(self.frames, key=lambda k: k.frame)))
        object.__setattr__(self, "edits", MappingProxyType(dict(self.edits)))
        object.__setattr__(self, "spread", MappingProxyType(dict(self.spread)))
        indices = [k.frame for k in self.frames]
        if len(set(indices)) != len(indices):
            raise ValueError(f"frame {max(indices, key=indices.count)} stands more than once")
        if indices and indices[-1] >= self.image.number_of_frames:
            raise ValueError(f"frame {indices[-1]} is outside the image, which has {self.image.number_of_frames} frame(s)")
        if len({k.schema.names for k in self.frames}) > 1:
            raise ValueError("frames of different keypoint schemas do not belong in one label")

    def frame(self, index: int, *, schema: KeypointSchema = TAVR11) -> Keypoints:
        """The keypoints of a frame; a frame without a label is all unlabelled."""
        for keypoints in self.frames:
            if keypoints.frame == index:
                return keypoints
        return Keypoints.from_points(schema, {}, frame=index, spacing=self.image.spacing)


def label_to_dict(label: CineLabel) -> dict[str, Any]:
    """The label as JSON-ready containers (see the module's docstring)."""
    content: dict[str, Any] = {"schema": SCHEMA_ID}
    if label.frames:
        content["keypoints"] = label.frames[0].schema.name
    image = {key: getattr(label.image, key) for key in sorted(_IMAGE_KEYS)}
    image["spacing"] = None if label.image.spacing is None else [float(s) for s in label.image.spacing]
    content["image"] = {key: value for key, value in image.items() if value is not None}
    content["frames"] = [{"frame": k.frame, "points": _points_to_dict(k, label)} for k in label.frames]
    if label.revision is not None:
        content["revision"] = {key: value for key, value in vars(label.revision).items() if value is not None}
    return content


def _points_to_dict(keypoints: Keypoints, label: CineLabel) -> dict[str, dict[str, Any]]:
    points: dict[str, dict[str, Any]] = {}
    for i, (name, state) in enumerate(zip(keypoints.schema.names, keypoints.state, strict=True)):
        if state == KeypointState.UNLABELLED:
            continue
        point: dict[str, Any] = {}
        if state == KeypointState.VISIBLE:
            point |= {"x": round(float(keypoints.xy[i, 0]), 3), "y": round(float(keypoints.xy[i, 1]), 3)}
        point["state"] = KeypointState(int(state)).name.lower()
        if keypoints.score is not None:
            point["score"] = round(float(keypoints.score[i]), 4)
        spread = label.spread.get((keypoints.frame, name))
        if spread is not None and state == KeypointState.VISIBLE:
            point["spread"] = round(float(spread), 3)
        edit = label.edits.get((keypoints.frame, name))
        if edit is not None:
            point |= {key: value for key, value in vars(edit).items() if value is not None}
        points[name] = point
    return points


def label_from_dict(content: Any, *, schema: KeypointSchema = TAVR11, where: str = "label") -> CineLabel:
    """Check parsed JSON and build the label.

    Raises:
        ValueError: says ``where`` (file), the frame, the point, and what is wrong.
    """
    known = {"schema", "keypoints", "image", "frames", "revision"}
    top = _mapping(content, where, known, required={"schema", "image", "frames"})
    if top["schema"] != SCHEMA_ID:
        raise ValueError(f"{where}: 'schema' is {top['schema']!r}; this version reads {SCHEMA_ID!r}")
    if top.get("keypoints", schema.name) != schema.name:
        raise ValueError(f"{where}: keypoints of schema {top['keypoints']!r}, expected {schema.name!r}")
    image = _image_from_dict(top["image"], f"{where}: image")
    if not isinstance(top["frames"], list):
        raise ValueError(f"{where}: 'frames' must be a list, got {type(top['frames']).__name__}")
    frames: list[Keypoints] = []
    edits: dict[tuple[int, str], PointEdit] = {}
    spread: dict[tuple[int, str], float] = {}
    for position, entry in enumerate(top["frames"]):
        entry = _mapping(entry, f"{where}: frames[{position}]", {"frame", "points"}, required={"frame", "points"})
        index = _integer(entry["frame"], f"{where}: frames[{position}].frame", minimum=0)
        keypoints, who = _frame_from_dict(entry["points"], schema, index, image, f"{where}: frame {index}")
        frames.append(keypoints)
        edits |= who
        spread |= _spread_from_dict(entry["points"], index, f"{where}: frame {index}")
    try:
        revision = _revision_from_dict(top["revision"]) if top.get("revision") is not None else None
        return CineLabel(image=image, frames=tuple(frames), edits=edits, spread=spread, revision=revision)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error


def _revision_from_dict(content: Any) -> Revision:
    known = {f.name for f in fields(Revision)}
    required = {f.name for f in fields(Revision) if f.default is MISSING}
    values = _mapping(content, "revision", known, required=required)
    try:
        return Revision(**values)
    except ValueError as error:
        raise ValueError(f"revision: {error}") from error


def _image_from_dict(content: Any, where: str) -> ImageInfo:
    image = dict(_mapping(content, where, _IMAGE_KEYS, required={"rows", "columns"}))
    for key in ("rows", "columns", "number_of_frames"):
        if key in image:
            image[key] = _integer(image[key], f"{where}.{key}", minimum=1)
    if image.get("spacing") is not None:
        spacing = image["spacing"]
        if not isinstance(spacing, list) or len(spacing) != 2:
            raise ValueError(f"{where}.spacing must be [x, y] millimetres per pixel or null, got {spacing!r}")
        x, y = (_number(s, f"{where}.spacing") for s in spacing)
        if x <= 0 or y <= 0:
            raise ValueError(f"{where}.spacing must be positive, got {spacing!r}; leave it out when it is unknown")
        image["spacing"] = (x, y)
    for key in ("sop_instance_uid", "series_instance_uid", "study_instance_uid"):
        if image.get(key) is not None and not isinstance(image[key], str):
            raise ValueError(f"{where}.{key} must be text, got {image[key]!r}")
    return ImageInfo(**image)


def _frame_from_dict(
    points: Any, schema: KeypointSchema, index: int, image: ImageInfo, where: str
) -> tuple[Keypoints, dict[tuple[int, str], PointEdit]]:
    points = _mapping(points, where, set(schema.names))
    xy = np.full((schema.num_keypoints, 2), np.nan, np.float32)
    score = np.full(schema.num_keypoints, np.nan, np.float32)
    labelled = np.zeros(schema.num_keypoints, bool)
    edits: dict[tuple[int, str], PointEdit] = {}
    for name, content in points.items():
        place = f"{where}, point {name}"
        point = _mapping(content, place, _POINT_KEYS, required={"state"})
        i = schema.index(name)
        labelled[i] = True
        states = (KeypointState.VISIBLE.name.lower(), KeypointState.ABSENT.name.lower())
        if point["state"] not in states:
            raise ValueError(
                f"{place}: 'state' must be one of {list(states)}, got {point['state']!r}; leave an unlabelled point out"
            )
        if point["state"] == states[0]:
            if "x" not in point or "y" not in point:
                raise ValueError(f"{place}: a visible point needs x and y")
            xy[i] = _number(point["x"], f"{place}: x"), _number(point["y"], f"{place}: y")
        elif {"x", "y", "spread"} & set(point):
            raise ValueError(f"{place}: an absent point has no x, y and spread")
        if point.get("score") is not None:
            score[i] = _number(point["score"], f"{place}: score")
            if not 0 <= score[i] <= 1:
                raise ValueError(f"{place}: score must lie in [0, 1], got {point['score']!r}")
        if "source" in point:
            try:
                edits[index, name] = PointEdit(point["source"], author=point.get("author"), time=point.get("time"))
            except ValueError as error:
                raise ValueError(f"{place}: {error}") from error
        elif "author" in point or "time" in point:
            raise ValueError(f"{place}: 'author' and 'time' need a 'source'")
    scored = np.isfinite(score)
    # a frame's scores are all there or count as not given: a half-scored frame is an edited prediction
    scores = np.where(scored, score, 0) if scored.any() and (scored | ~labelled).all() else None
    return Keypoints(schema=schema, xy=xy, score=scores, labelled=labelled, frame=index, spacing=image.spacing), edits


def _spread_from_dict(points: Mapping[str, Any], index: int, where: str) -> dict[tuple[int, str], float]:
    """Of the points that have one; ``points`` are checked otherwise."""
    spread = {}
    for name, point in points.items():
        if point.get("spread") is not None:
            spread[index, name] = _number(point["spread"], f"{where}, point {name}: spread")
            if spread[index, name] < 0:
                raise ValueError(f"{where}, point {name}: spread must not be negative, got {point['spread']!r}")
    return spread


def _mapping(content: Any, where: str, known: set[str], required: set[str] | None = None) -> Mapping[str, Any]:
    if not isinstance(content, Mapping):
        raise ValueError(f"{where}: expected an object, got {type(content).__name__}")
    unknown = sorted(set(content) - known)
    if unknown:
        raise ValueError(f"{where}: unknown name {unknown[0]!r}; known are {sorted(known)}")
    missing = sorted((required or set()) - set(content))
    if missing:
        raise ValueError(f"{where}: {missing[0]!r} is missing")
    return content


def _number(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= _LARGEST:
        raise ValueError(f"{where} must be a finite number, got {value!r}")
    return float(value)


def _integer(value: Any, where: str, *, minimum: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < minimum:
        raise ValueError(f"{where} must be a whole number of at least {minimum}, got {value!r}")
    return value


def label_from_json(text: str | bytes, *, schema: KeypointSchema = TAVR11, where: str = "label") -> CineLabel:
    """Parse and check the text of a label file.

    Raises:
        ValueError: not JSON or not a label; the message names ``where``, the frame and the point.
    """
    try:
        content = json.loads(text, object_pairs_hook=_without_repeats)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{where}: not a JSON file: {error}") from error
    return label_from_dict(content, schema=schema, where=where)


def read_label_json(path: str | os.PathLike[str], *, schema: KeypointSchema = TAVR11) -> CineLabel:
    """Read and check a label file.

    Raises:
        ValueError: not JSON or not a label; the message names file, frame and point.
        OSError: the file cannot be read.
    """
    return label_from_json(Path(path).read_bytes(), schema=schema, where=str(path))


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Python keeps the last of two equal names and says nothing; a label must not lose a point that way."""
    content = dict(pairs)
    if len(content) != len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the name {next(n for n in names if names.count(n) > 1)!r} stands twice in one object")
    return content


def write_label_json(path: str | os.PathLike[str], label: CineLabel) -> None:
    """Write a label file; it is never half-written, and an older one stays until the new one is complete."""
    write_json_atomically(path, label_to_dict(label))


def write_json_atomically(path: str | os.PathLike[str], content: Any, *, indent: int | None = 1) -> None:
    """Write JSON so that the file is never half-written (see :func:`monai_tavr.atomic_file.replacing`)."""
    with replacing(path) as stream:
        stream.write((json.dumps(content, indent=indent, allow_nan=False) + "\n").encode())
