"""DeepLabCut tables: ``CollectedData_SCORER.csv`` of labelled pictures, and the predictions of ``analyze_videos``.

Three lines of header (scorer, bodyparts, coords), then a row per picture, ``labeled-data/CINE/img0003.png`` in one cell or
three, or per frame number. An empty cell is unlabelled: DeepLabCut does not tell absent from unlabelled. Predictions place
every point and say by a likelihood whether it is there; below 0.6, DeepLabCut's own limit, it counts as absent. Its HDF5 files
are the same tables with pickled headers, which nobody should open who did not write them; DeepLabCut writes the table beside
them, and ``deeplabcut.convertcsv2h5`` makes them of a table that is written here.

sleap-io reads such tables too, but passes over every row whose picture is not on the disk, so this module does it.
Format: https://deeplabcut.github.io/DeepLabCut/docs/standardDeepLabCut_UserGuide.html
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from PIL import Image, UnidentifiedImageError

from monai_tavr.cine import CineInfo
from monai_tavr.dicom.pictures import upright_size
from monai_tavr.files import replacing
from monai_tavr.formats.checks import number
from monai_tavr.formats.frames import (
    LabelledFrame,
    cine_names,
    each_frame,
    is_wanted,
    labels_of_frames,
    points_of,
    relative_picture,
    with_absent,
)
from monai_tavr.formats.table import warn_of_loss
from monai_tavr.keypoints import TAVR11, KeypointSchema
from monai_tavr.label import CineLabel

__all__ = ["read_deeplabcut", "write_deeplabcut"]

_FOLDER = "labeled-data"
_SCORER = "monai-tavr"
_LIKELIHOOD = 0.6  # DeepLabCut's pcutoff
_COORDS = ("x", "y", "likelihood")
_DIGITS = 8  # of a frame number


def read_deeplabcut(
    path: str | os.PathLike[str],
    *,
    schema: KeypointSchema = TAVR11,
    image: CineInfo | None = None,
    others_absent: bool = False,
    ignore: Collection[str] = (),
) -> list[CineLabel]:
    """The cines of a table.

    Args:
        path: the table.
        schema: what its bodyparts are called.
        image: what was labelled, if it is one cine; else the pictures must lie where the table says, for the table has no sizes.
        others_absent: on pictures with a point, take the table's bodyparts that have none for absent instead of unlabelled.
        ignore: bodyparts to pass over.

    Raises:
        ValueError: no such table, a bodypart that the schema does not know, no size; says the line.
    """
    rows = list(_cells(Path(path)))
    names = [cells[0].lower() for _, cells in rows[:3]]
    if names != ["scorer", "bodyparts", "coords"]:
        raise ValueError(f"{path}: no DeepLabCut table of one individual; it begins with the lines scorer, bodyparts, coords")
    parts, coords = rows[1][1], rows[2][1]
    columns = _columns(parts, coords, schema, ignore, str(path))
    index = next((i for i, cell in enumerate(coords) if cell in _COORDS), 1)  # cells of a row that name its picture
    frames = []
    for line, cells in rows[3:]:
        place = f"{path}: line {line}"
        if len(cells) != len(coords):
            raise ValueError(f"{place}: {len(cells)} cells under {len(coords)} columns")
        points, score = _points(cells, columns, place)
        name = "/".join(cell for cell in cells[:index] if cell)
        is_number = name.isdecimal() and len(name) <= _DIGITS
        picture = None if is_number else relative_picture(name)
        height, width = (image.rows, image.columns) if image else _size(picture, Path(path), place)
        frames.append(
            LabelledFrame(
                place=place,
                rows=height,
                columns=width,
                points=with_absent(points, columns, others_absent=others_absent),
                number=int(name) if is_number else None,
                picture=picture,
                score=score,
            )
        )
    return labels_of_frames(frames, schema=schema, image=None if image is None else image.image_info)


def _cells(path: Path) -> Iterator[tuple[int, list[str]]]:
    """(line, cells) of a table."""
    try:
        content = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not a text in UTF-8: {error}") from error
    reader = csv.reader(io.StringIO(content, newline=""), strict=True)
    try:
        for cells in reader:
            if cells:
                yield reader.line_num, cells
    except csv.Error as error:
        raise ValueError(f"{path}: line {reader.line_num}: {error}") from error


def _columns(
    parts: Sequence[str], coords: Sequence[str], schema: KeypointSchema, ignore: Collection[str], where: str
) -> dict[str, dict[str, int]]:
    """bodypart -> x, y, likelihood -> column."""
    if len(parts) != len(coords):
        raise ValueError(f"{where}: the lines 'bodyparts' and 'coords' differ in length")
    columns: dict[str, dict[str, int]] = {}
    for position, (part, coord) in enumerate(zip(parts, coords, strict=True)):
        if coord not in _COORDS or not is_wanted(part, schema, ignore, f"{where}: bodyparts"):
            continue
        if columns.setdefault(part, {}).setdefault(coord, position) != position:
            raise ValueError(f"{where}: bodypart {part!r} has two columns {coord!r}")
    for part, found in columns.items():
        if not {"x", "y"} <= set(found):
            raise ValueError(f"{where}: bodypart {part!r} needs columns x and y")
    return columns


def _points(
    cells: Sequence[str], columns: Mapping[str, Mapping[str, int]], place: str
) -> tuple[dict[str, tuple[float, float] | None], dict[str, float]]:
    """(points, scores) of a row."""
    points: dict[str, tuple[float, float] | None] = {}
    score: dict[str, float] = {}
    for part, column in columns.items():
        x, y, likelihood = (_number(cells[column[c]], f"{place}, {part} {c}") if c in column else None for c in _COORDS)
        if (x is None) != (y is None):
            raise ValueError(f"{place}, {part}: x or y is missing")
        if likelihood is not None:
            if not 0 <= likelihood <= 1:
                raise ValueError(f"{place}, {part}: likelihood must lie in [0, 1], got {likelihood}")
            score[part] = likelihood
        if x is not None and y is not None:
            points[part] = (x, y) if score.get(part, 1.0) >= _LIKELIHOOD else None
        elif likelihood is not None:
            points[part] = None
    return points, score


def _number(cell: str, place: str) -> float | None:
    """None where the cell is empty, as pandas writes what is missing."""
    if cell.strip().lower() in ("", "nan"):
        return None
    try:
        value: Any = float(cell)
    except ValueError:
        value = cell
    return number(value, place)


def _size(picture: str | None, path: Path, place: str) -> tuple[int, int]:
    """(rows, columns) of an upright picture on the disk, beside the table or below the project that the table is of."""
    candidates = [root / picture for root in (path.parent, *path.parent.parents[:2])] if picture else []
    if picture:
        candidates.append(path.parent / PurePosixPath(picture).name)
    try:
        found = next((p for p in candidates if p.is_file()), None)
        if found is None:
            raise ValueError(f"{place}: a table says no sizes and its picture is not there; give the image that was labelled")
        with Image.open(found) as opened:
            columns, rows = upright_size(opened)
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise ValueError(f"{place}: the picture cannot be read ({type(error).__name__})") from error
    return rows, columns


def write_deeplabcut(path: str | os.PathLike[str], labels: Sequence[CineLabel]) -> None:
    """Write a table of labelled pictures, ``labeled-data/CINE/img0003.png``.

    Raises:
        ValueError: labels of different schemas, or two cines of one name.
    """
    warn_of_loss("deeplabcut", labels)
    schema = next((k.schema for label in labels for k in label.frames), TAVR11)
    folders = [replace(label, name=name.replace("/", "_")) for label, name in zip(labels, cine_names(labels), strict=True)]
    names = [name for name in schema.names for _ in "xy"]
    with replacing(path) as stream:
        text = io.TextIOWrapper(stream, encoding="utf-8", newline="", write_through=True)
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["scorer", *([_SCORER] * len(names))])
        writer.writerow(["bodyparts", *names])
        writer.writerow(["coords", *(["x", "y"] * schema.num_keypoints)])
        for _, cine, keypoints in each_frame(folders):
            if keypoints.schema.names != schema.names:
                raise ValueError(f"{path}: labels of the schemas {schema.name!r} and {keypoints.schema.name!r} in one table")
            points = points_of(keypoints)
            cells = [v for name in schema.names for v in (points.get(name) or ("", ""))]
            writer.writerow([f"{_FOLDER}/{cine}/img{keypoints.frame:04d}.png", *cells])
        text.detach()
