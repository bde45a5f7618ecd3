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
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import numpy as np

from monai_tavr.files import write_json_atomically
from monai_tavr.keypoints import TAVR11, Keypoints, KeypointSchema, KeypointState
from monai_tavr.label import CineLabel, ImageInfo, PointEdit, Revision, whole_number

__all__ = [
    "SCHEMA_ID",
    "image_to_dict",
    "label_from_dict",
    "label_from_json",
    "label_to_dict",
    "read_label_json",
    "write_label_json",
]

SCHEMA_ID = "monai-tavr/keypoints/1"
_LARGEST = 1e9  # no coordinate, spacing or score is larger; NaN and infinity are not smaller
_POINT_KEYS = {"x", "y", "state", "score", "spread", "source", "author", "time"}
_IMAGE_KEYS = {"sop_instance_uid", "series_instance_uid", "study_instance_uid", "rows", "columns", "number_of_frames", "spacing"}


def label_to_dict(label: CineLabel) -> dict[str, Any]:
    """The label as JSON-ready containers (see the module's docstring)."""
    content: dict[str, Any] = {"schema": SCHEMA_ID}
    if label.frames:
        content["keypoints"] = label.frames[0].schema.name
    content["image"] = image_to_dict(label.image)
    content["frames"] = [{"frame": k.frame, "points": _points_to_dict(k, label)} for k in label.frames]
    if label.revision is not None:
        content["revision"] = {key: value for key, value in vars(label.revision).items() if value is not None}
    return content


def image_to_dict(info: ImageInfo) -> dict[str, Any]:
    """The block ``image`` of a label file."""
    image = {key: getattr(info, key) for key in sorted(_IMAGE_KEYS)}
    image["spacing"] = None if info.spacing is None else [float(s) for s in info.spacing]
    return {key: value for key, value in image.items() if value is not None}


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
    if not schema.reads(top.get("keypoints", schema.name)):
        raise ValueError(f"{where}: keypoints of schema {top['keypoints']!r}, expected {schema.name!r}")
    image = _image_from_dict(top["image"], f"{where}: image")
    if not isinstance(top["frames"], list):
        raise ValueError(f"{where}: 'frames' must be a list, got {type(top['frames']).__name__}")
    frames: list[Keypoints] = []
    edits: dict[tuple[int, str], PointEdit] = {}
    spread: dict[tuple[int, str], float] = {}
    for position, entry in enumerate(top["frames"]):
        entry = _mapping(entry, f"{where}: frames[{position}]", {"frame", "points"}, required={"frame", "points"})
        index = whole_number(entry["frame"], f"{where}: frames[{position}].frame", minimum=0)
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
            image[key] = whole_number(image[key], f"{where}.{key}", minimum=1)
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
