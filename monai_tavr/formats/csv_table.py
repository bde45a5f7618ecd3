"""A table for spreadsheets, R and pandas: one row for each frame and point, the state in words, unlabelled points included.

Columns that a table of somebody else need not have: all but ``rows, columns, frame, point, state, x, y``. Without ``cine`` and
``picture`` all rows are of one cine. Coordinates are native pixels, 0 = centre of the first pixel.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from monai_tavr.files import replacing
from monai_tavr.formats.checks import LARGEST, number, shown, whole
from monai_tavr.formats.frames import LabelledFrame, each_frame, frame_extra, is_wanted, labels_of_frames, points_of
from monai_tavr.formats.table import warn_of_loss
from monai_tavr.keypoints import TAVR11, Keypoints, KeypointSchema, KeypointState
from monai_tavr.label import CineLabel, PointEdit

__all__ = ["read_csv", "write_csv"]

_UIDS = ("sop_instance_uid", "series_instance_uid", "study_instance_uid")
_CINE = ("cine", "name", "rows", "columns", "number_of_frames", "spacing_x", "spacing_y", *_UIDS)
_COLUMNS = (*_CINE, "picture", "frame", "point", "state", "x", "y", "score", "spread", "source", "author", "time")
_REQUIRED = {"rows", "columns", "frame", "point", "state", "x", "y"}
_STATES = {state.name.lower(): state for state in KeypointState}
_FIELD = 1 << 17  # characters of the longest cell, csv's own limit


def read_csv(path: str | os.PathLike[str], *, schema: KeypointSchema = TAVR11) -> list[CineLabel]:
    """The cines of a table.

    Raises:
        ValueError: no such table, a value that is not one, a point that the schema does not know; says the line.
    """
    try:
        content = Path(path).read_text(encoding="utf-8-sig")  # spreadsheets put a mark before the text
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not a text in UTF-8: {error}") from error
    frames: dict[tuple[str, str, str], list[tuple[str, dict[str, str]]]] = {}
    for line, row in _rows(content, str(path)):
        frames.setdefault((row["cine"], row["picture"], row["frame"]), []).append((f"{path}: line {line}", row))
    counts: dict[str, int] = {}
    for place, row in (members[0] for members in frames.values()):
        counts[row["cine"]] = max(counts.get(row["cine"], 1), whole(_value(row["frame"]), f"{place}, frame") + 1)
    return labels_of_frames((_frame(members, counts, schema) for members in frames.values()), schema=schema)


def _rows(content: str, where: str) -> Iterator[tuple[int, dict[str, str]]]:
    """(line, cells by column), a missing column being empty."""
    reader = csv.reader(io.StringIO(content, newline=""), strict=True)
    try:
        header = next(reader, [])
        if not set(header) >= _REQUIRED or len(set(header)) < len(header):
            raise ValueError(
                f"{where}: no table of keypoints; its first line must hold {', '.join(sorted(_REQUIRED))}, once each"
            )
        unknown = sorted(set(header) - set(_COLUMNS))
        if unknown:
            raise ValueError(f"{where}: unknown column {shown(unknown[0])}; known are {', '.join(_COLUMNS)}")
        for cells in reader:
            if not cells:
                continue
            if len(cells) != len(header):
                raise ValueError(f"{where}: line {reader.line_num}: {len(cells)} cells under {len(header)} columns")
            yield reader.line_num, dict.fromkeys(_COLUMNS, "") | dict(zip(header, cells, strict=True))
    except csv.Error as error:
        raise ValueError(f"{where}: line {reader.line_num}: {error}") from error


def _value(cell: str) -> Any:
    """The number in a cell, or its text for the message of a check."""
    try:
        return float(cell)
    except ValueError:
        return cell


def _frame(members: Sequence[tuple[str, Mapping[str, str]]], counts: Mapping[str, int], schema: KeypointSchema) -> LabelledFrame:
    place, first = members[0]
    about = [first[column] for column in _CINE]
    points: dict[str, tuple[float, float] | None] = {}
    numbers: dict[str, dict[str, float]] = {"score": {}, "spread": {}}
    edits: dict[str, PointEdit] = {}
    seen: set[str] = set()
    for where, row in members:
        name = row["point"]
        if [row[column] for column in _CINE] != about:
            raise ValueError(f"{where}: it says something else of the image than {place}")
        is_wanted(name, schema, (), where)
        if name in seen:
            raise ValueError(f"{where}: {name} stands a second time on this frame")
        seen.add(name)
        state = _STATES.get(row["state"])
        if state is None:
            raise ValueError(f"{where}: state must be one of {', '.join(_STATES)}, got {shown(row['state'])}")
        if state == KeypointState.VISIBLE:
            points[name] = number(_value(row["x"]), f"{where}, x"), number(_value(row["y"]), f"{where}, y")
        elif row["x"] or row["y"] or row["spread"]:
            raise ValueError(f"{where}: {name} is {row['state']} and has x, y or spread")
        elif state == KeypointState.ABSENT:
            points[name] = None
        elif row["score"] or row["source"]:
            raise ValueError(f"{where}: {name} is unlabelled and has a score or source")
        for key, found in numbers.items():
            if row[key]:
                found[name] = number(_value(row[key]), f"{where}, {key}")
                if not 0 <= found[name] <= (1 if key == "score" else LARGEST):
                    raise ValueError(f"{where}: {key} is {row[key]}; it must not be negative, a score at most 1")
        if row["source"]:
            try:
                edits[name] = PointEdit(row["source"], author=row["author"] or None, time=row["time"] or None)
            except ValueError as error:
                raise ValueError(f"{where}: {error}") from error
        elif row["author"] or row["time"]:
            raise ValueError(f"{where}: 'author' and 'time' need a 'source'")
    image = _image(first, place, counts[first["cine"]])
    extra = {"cine": first["cine"], "frame": whole(_value(first["frame"]), f"{place}, frame"), "image": image}
    extra |= {key: first[key] for key in ("name", "picture") if first[key]}
    return LabelledFrame(
        place=place,
        rows=image["rows"],
        columns=image["columns"],
        points=points,
        extra=extra,
        score=numbers["score"],
        spread=numbers["spread"],
        edits=edits,
    )


def _image(row: Mapping[str, str], place: str, count: int) -> dict[str, Any]:
    image: dict[str, Any] = {key: whole(_value(row[key]), f"{place}, {key}", minimum=1) for key in ("rows", "columns")}
    image["number_of_frames"] = count
    if row["number_of_frames"]:
        image["number_of_frames"] = whole(_value(row["number_of_frames"]), f"{place}, number_of_frames", minimum=1)
    if row["spacing_x"] or row["spacing_y"]:
        image["spacing"] = [number(_value(row[key]), f"{place}, {key}", positive=True) for key in ("spacing_x", "spacing_y")]
    return image | {key: row[key] for key in _UIDS if row[key]}


def write_csv(path: str | os.PathLike[str], labels: Sequence[CineLabel]) -> None:
    """Write the cines as one table. Raises ValueError where two have one name, or a text is too long for a cell."""
    warn_of_loss("csv", labels)
    with replacing(path) as stream:
        text = io.TextIOWrapper(stream, encoding="utf-8", newline="", write_through=True)
        writer = csv.DictWriter(text, _COLUMNS, lineterminator="\n")
        writer.writeheader()
        for label, cine, keypoints in each_frame(labels):
            image = frame_extra(label, cine, keypoints.frame)
            about = {key: value for key, value in image["image"].items() if key != "spacing"} | {
                key: image[key] for key in ("cine", "name", "picture", "frame") if key in image
            }
            if label.image.spacing is not None:
                about |= dict(zip(("spacing_x", "spacing_y"), label.image.spacing, strict=True))
            for row in _points(label, keypoints):
                writer.writerow(about | row)
        text.detach()


def _points(label: CineLabel, keypoints: Keypoints) -> Iterator[dict[str, Any]]:
    points = points_of(keypoints)
    for i, name in enumerate(keypoints.schema.names):
        row: dict[str, Any] = {"point": name, "state": KeypointState(int(keypoints.state[i])).name.lower()}
        xy = points.get(name)
        if xy is not None:
            row |= {"x": xy[0], "y": xy[1], "spread": label.spread.get((keypoints.frame, name))}
        if name in points and keypoints.score is not None:
            row["score"] = round(float(keypoints.score[i]), 4)
        edit = label.edits.get((keypoints.frame, name))
        if name in points and edit is not None:
            row |= {"source": edit.source, "author": edit.author, "time": edit.time}
        for key, value in row.items():
            if isinstance(value, str) and len(value) >= _FIELD:
                raise ValueError(f"frame {keypoints.frame}, point {name}: {key} is too long for a table")
        yield row
