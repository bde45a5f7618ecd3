"""The project's own label file: the keypoints of one image series as JSON.

Shape::

    {
        "schema": "monai-tavr/keypoints/1",
        "keypoints": "TAVR11",
        "name": "P001/run3",
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
                "picture": "P001/img/run3_0000.png",
                "typical": True,
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
``typical`` is false where the model is not sure that this is a TAVR frame; it is missing where the model does not say.
``spread`` is the model's doubt about the place of a visible point, in native pixels (a standard deviation; drawn as a circle).
Coordinates are native pixels, 0 = centre of the first pixel; spacing is (x, y) millimetres per pixel.
``name`` and ``picture`` are there where the label came from pictures (:class:`monai_tavr.label.CineLabel`).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import numpy as np

from monai_tavr.files import write_json_atomically
from monai_tavr.formats.checks import listing, mapping, number, parse_json, shown, text
from monai_tavr.keypoints import TAVR11, Keypoints, KeypointSchema, KeypointState
from monai_tavr.label import CineLabel, ImageInfo, PointEdit, Revision, whole_number

__all__ = [
    "SCHEMA_ID",
    "image_from_dict",
    "image_to_dict",
    "label_from_dict",
    "label_from_json",
    "label_to_dict",
    "read_label_json",
    "write_label_json",
]

SCHEMA_ID = "monai-tavr/keypoints/1"
_POINT_KEYS = {"x", "y", "state", "score", "spread", "source", "author", "time"}
_IMAGE_KEYS = {"sop_instance_uid", "series_instance_uid", "study_instance_uid", "rows", "columns", "number_of_frames", "spacing"}


def label_to_dict(label: CineLabel) -> dict[str, Any]:
    """The label as JSON-ready containers (see the module's docstring)."""
    content: dict[str, Any] = {"schema": SCHEMA_ID}
    if label.frames:
        content["keypoints"] = label.frames[0].schema.name
    if label.name is not None:
        content["name"] = label.name
    content["image"] = image_to_dict(label.image)
    pictures = {frame: {"picture": picture} for frame, picture in label.pictures.items()}
    typical = {frame: {"typical": is_typical} for frame, is_typical in label.typical.items()}
    content["frames"] = [
        {"frame": k.frame} | pictures.get(k.frame, {}) | typical.get(k.frame, {}) | {"points": _points_to_dict(k, label)}
        for k in label.frames
    ]
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
    known = {"schema", "keypoints", "name", "image", "frames", "revision"}
    top = mapping(content, where, known=known, required={"schema", "image", "frames"})
    if top["schema"] != SCHEMA_ID:
        raise ValueError(f"{where}: 'schema' is {shown(top['schema'])}; this version reads {SCHEMA_ID!r}")
    if not schema.reads(top.get("keypoints", schema.name)):
        raise ValueError(f"{where}: keypoints of schema {shown(top['keypoints'])}, expected {schema.name!r}")
    image = image_from_dict(top["image"], where=f"{where}: image")
    frames: list[Keypoints] = []
    pictures: dict[int, str] = {}
    edits: dict[tuple[int, str], PointEdit] = {}
    spread: dict[tuple[int, str], float] = {}
    typical: dict[int, bool] = {}
    for position, entry in enumerate(listing(top["frames"], f"{where}: 'frames'")):
        place = f"{where}: frames[{position}]"
        entry = mapping(entry, place, known={"frame", "picture", "typical", "points"}, required={"frame", "points"})
        index = whole_number(entry["frame"], f"{place}.frame", minimum=0)
        if entry.get("picture") is not None:
            pictures[index] = text(entry["picture"], f"{place}.picture")
        if entry.get("typical") is not None:
            if not isinstance(entry["typical"], bool):
                raise ValueError(f"{place}.typical must be true or false, got {shown(entry['typical'])}")
            typical[index] = entry["typical"]
        keypoints, who = _frame_from_dict(entry["points"], schema, index, image, f"{where}: frame {index}")
        frames.append(keypoints)
        edits |= who
        spread |= _spread_from_dict(entry["points"], index, f"{where}: frame {index}")
    try:
        revision = _revision_from_dict(top["revision"]) if top.get("revision") is not None else None
        name = text(top["name"], "'name'") if top.get("name") is not None else None
        return CineLabel(
            image=image,
            frames=tuple(frames),
            edits=edits,
            spread=spread,
            revision=revision,
            name=name,
            pictures=pictures,
            typical=typical,
        )
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error


def _revision_from_dict(content: Any) -> Revision:
    known = {f.name for f in fields(Revision)}
    required = {f.name for f in fields(Revision) if f.default is MISSING}
    values = mapping(content, "revision", known=known, required=required)
    try:
        return Revision(**values)
    except ValueError as error:
        raise ValueError(f"revision: {error}") from error


def image_from_dict(content: Any, *, where: str) -> ImageInfo:
    """The inverse of :func:`image_to_dict`. Raises ValueError naming ``where`` and what is wrong."""
    image = dict(mapping(content, where, known=_IMAGE_KEYS, required={"rows", "columns"}))
    for key in ("rows", "columns", "number_of_frames"):
        if key in image:
            image[key] = whole_number(image[key], f"{where}.{key}", minimum=1)
    if image.get("spacing") is not None:
        if not isinstance(image["spacing"], list) or len(image["spacing"]) != 2:
            raise ValueError(f"{where}.spacing must be [x, y] millimetres per pixel or null, got {shown(image['spacing'])}")
        x, y = (number(s, f"{where}.spacing") for s in image["spacing"])
        if x <= 0 or y <= 0:
            raise ValueError(f"{where}.spacing must be positive, got {[x, y]}; leave it out when it is unknown")
        image["spacing"] = (x, y)
    for key in ("sop_instance_uid", "series_instance_uid", "study_instance_uid"):
        if image.get(key) is not None:
            image[key] = text(image[key], f"{where}.{key}")
    return ImageInfo(**image)


def _frame_from_dict(
    points: Any, schema: KeypointSchema, index: int, image: ImageInfo, where: str
) -> tuple[Keypoints, dict[tuple[int, str], PointEdit]]:
    points = mapping(points, where, known=set(schema.names))
    xy = np.full((schema.num_keypoints, 2), np.nan, np.float32)
    score = np.full(schema.num_keypoints, np.nan, np.float32)
    labelled = np.zeros(schema.num_keypoints, bool)
    edits: dict[tuple[int, str], PointEdit] = {}
    for name, content in points.items():
        place = f"{where}, point {name}"
        point = mapping(content, place, known=_POINT_KEYS, required={"state"})
        i = schema.index(name)
        labelled[i] = True
        states = (KeypointState.VISIBLE.name.lower(), KeypointState.ABSENT.name.lower())
        if point["state"] not in states:
            raise ValueError(
                f"{place}: 'state' must be one of {list(states)}, got {shown(point['state'])}; leave an unlabelled point out"
            )
        if point["state"] == states[0]:
            if "x" not in point or "y" not in point:
                raise ValueError(f"{place}: a visible point needs x and y")
            xy[i] = number(point["x"], f"{place}: x"), number(point["y"], f"{place}: y")
        elif {"x", "y", "spread"} & set(point):
            raise ValueError(f"{place}: an absent point has no x, y and spread")
        if point.get("score") is not None:
            score[i] = number(point["score"], f"{place}: score")
            if not 0 <= score[i] <= 1:
                raise ValueError(f"{place}: score must lie in [0, 1], got {shown(point['score'])}")
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
            spread[index, name] = number(point["spread"], f"{where}, point {name}: spread")
            if spread[index, name] < 0:
                raise ValueError(f"{where}, point {name}: spread must not be negative, got {shown(point['spread'])}")
    return spread


def label_from_json(content: str | bytes, *, schema: KeypointSchema = TAVR11, where: str = "label") -> CineLabel:
    """Parse and check the text of a label file.

    Raises:
        ValueError: not JSON or not a label; the message names ``where``, the frame and the point.
    """
    return label_from_dict(parse_json(content, where=where), schema=schema, where=where)


def read_label_json(path: str | os.PathLike[str], *, schema: KeypointSchema = TAVR11) -> CineLabel:
    """Read and check a label file.

    Raises:
        ValueError: not JSON or not a label; the message names file, frame and point.
        OSError: the file cannot be read.
    """
    return label_from_json(Path(path).read_bytes(), schema=schema, where=str(path))


def write_label_json(path: str | os.PathLike[str], label: CineLabel) -> None:
    """Write a label file; it is never half-written, and an older one stays until the new one is complete."""
    write_json_atomically(path, label_to_dict(label))
