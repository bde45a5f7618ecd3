"""A table of pixel spacings for pictures that lost theirs, as BAMNet's data are published with.

The first column names a picture or a case, ``pixel_spacing_row_mm`` is the distance between rows in millimetres, and
``pixel_spacing_column_mm`` or ``pixel_spacing_col_mm``, where there is one, that between columns; without it pixels are square.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from monai_tavr.formats.checks import number, shown

__all__ = ["read_spacings", "spacing_of"]

_ROW = "pixel_spacing_row_mm"
_COLUMN = ("pixel_spacing_column_mm", "pixel_spacing_col_mm")


def read_spacings(path: str | os.PathLike[str]) -> dict[str, tuple[float, float]]:
    """Name of a picture or case -> (x, y) millimetres per pixel.

    Raises:
        ValueError: no such table, a value that is no distance, a name that stands twice; says the line.
    """
    try:
        content = Path(path).read_text(encoding="utf-8-sig")
        dialect = csv.Sniffer().sniff(content.partition("\n")[0], delimiters=",;\t")
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path}: no table with columns: {error}") from error
    reader = csv.DictReader(io.StringIO(content, newline=""), dialect=dialect)
    header = list(reader.fieldnames or ())
    if _ROW not in header[1:]:
        raise ValueError(f"{path}: the table needs a column {_ROW!r} after one that names pictures or cases")
    across = next((name for name in _COLUMN if name in header), _ROW)
    found: dict[str, tuple[float, float]] = {}
    try:
        for row in reader:
            place, name = f"{path}: line {reader.line_num}", row[header[0]] or ""
            values = [_millimetres(row[column], f"{place}, {column}") for column in (across, _ROW)]
            if found.setdefault(name, (values[0], values[1])) != (values[0], values[1]):
                raise ValueError(f"{place}: {shown(name)} has another spacing further up")
    except csv.Error as error:
        raise ValueError(f"{path}: line {reader.line_num}: {error}") from error
    return found


def _millimetres(cell: str | None, place: str) -> float:
    try:
        value = float(cell or "")
    except ValueError as error:
        raise ValueError(f"{place}: {shown(cell)} is no number") from error
    return number(value, place, positive=True)


def spacing_of(picture: str, spacings: Mapping[str, tuple[float, float]]) -> tuple[float, float] | None:
    """The spacing of a picture: by its path, its name, its name without extension, else by one of its folders."""
    path = PurePosixPath(picture)
    names = (picture, path.name, path.stem, *(p.as_posix() for p in path.parents), *reversed(path.parts[:-1]))
    return next((spacings[name] for name in names if name in spacings), None)
