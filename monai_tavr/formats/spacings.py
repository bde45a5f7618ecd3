"""A table of pixel spacings for pictures that lost theirs, as BAMNet's data are published with.

The first column names a picture or a case; where there is a column ``image_name``, that one names the picture and the first
column its patient. ``pixel_spacing_row_mm`` is the distance between rows in millimetres, and ``pixel_spacing_column_mm`` or
``pixel_spacing_col_mm``, where there is one, that between columns; without it pixels are square. ``rows`` and ``cols`` (or
``columns``), where there are both, are the size of the image that the spacing is of: the pixels of a picture that was exported
twice as large are half as wide.
"""

from __future__ import annotations

import csv
import io
import os
import warnings
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from monai_tavr.formats.checks import number, shown
from monai_tavr.formats.table import LossWarning

__all__ = ["PixelSpacing", "read_spacings", "spacing_of"]

_ROW = "pixel_spacing_row_mm"
_COLUMN = ("pixel_spacing_column_mm", "pixel_spacing_col_mm")
_PICTURE = "image_name"
_HEIGHT, _WIDTH = "rows", ("cols", "columns")


@dataclass(frozen=True)
class PixelSpacing:
    """The distance of pixels, and in what size of the image.

    Attributes:
        x, y: millimetres per pixel.
        columns, rows: size of the image that this is of; None = that of the picture, whatever it is.
    """

    x: float
    y: float
    columns: float | None = None
    rows: float | None = None

    def at(self, columns: int, rows: int) -> tuple[float, float]:
        """(x, y) millimetres per pixel of the same image in another size."""
        return self.x * (self.columns or columns) / columns, self.y * (self.rows or rows) / rows


def read_spacings(path: str | os.PathLike[str]) -> dict[str, PixelSpacing]:
    """Name of a picture or case, or ``patient/picture`` -> its spacing, for :func:`spacing_of`.

    Rows that leave the spacing, or the size that it is of, empty say nothing; a warning counts them.

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
    width = next((name for name in _WIDTH if name in header), None)
    columns = [across, _ROW, *([width, _HEIGHT] if width is not None and _HEIGHT in header else [])]
    found: dict[str, PixelSpacing] = {}
    empty = 0
    try:
        for row in reader:
            place, name = f"{path}: line {reader.line_num}", _name(row, header)
            if not all((row[column] or "").strip() for column in columns):
                empty += 1
                continue
            spacing = PixelSpacing(*(_positive(row[column], f"{place}, {column}") for column in columns))
            if found.setdefault(name, spacing) != spacing:
                raise ValueError(f"{place}: {shown(name)} has another spacing further up")
    except csv.Error as error:
        raise ValueError(f"{path}: line {reader.line_num}: {error}") from error
    if empty:
        warnings.warn(f"{path}: {empty} rows name no spacing, or no size that it is of", LossWarning, stacklevel=2)
    return found | (_by_picture(found) if _PICTURE in header else {})


def _name(row: Mapping[str, str | None], header: list[str]) -> str:
    first = (row[header[0]] or "").strip()
    if _PICTURE not in header:
        return first
    return f"{_plain(first)}/{PurePosixPath((row[_PICTURE] or '').strip()).stem}"


def _plain(patient: str) -> str:
    """A patient's number without leading zeros: tables say 1 where the folder is called 001."""
    return patient.lstrip("0") if patient.isdecimal() else patient


def _by_picture(found: Mapping[str, PixelSpacing]) -> dict[str, PixelSpacing]:
    """Names of pictures alone, for layouts without folders of patients, as far as they mean one spacing."""
    spacings: dict[str, set[PixelSpacing]] = defaultdict(set)
    for name, spacing in found.items():
        spacings[name.partition("/")[2]].add(spacing)
    return {name: next(iter(values)) for name, values in spacings.items() if len(values) == 1}


def _positive(cell: str | None, place: str) -> float:
    try:
        value = float(cell or "")
    except ValueError as error:
        raise ValueError(f"{place}: {shown(cell)} is no number") from error
    return number(value, place, positive=True)


def spacing_of(picture: str, spacings: Mapping[str, PixelSpacing], *, columns: int, rows: int) -> tuple[float, float] | None:
    """(x, y) millimetres per pixel of a picture of that size, or None where the table does not know it.

    It is found by its path, by a folder of it with its name, by its name, with or without extension, else by one of its folders.
    """
    path = PurePosixPath(picture)
    folders = path.parts[-2::-1]
    owned = (f"{_plain(folder)}/{path.stem}" for folder in folders)
    names = (picture, *owned, path.name, path.stem, *(p.as_posix() for p in path.parents), *folders)
    known = next((spacings[name] for name in names if name in spacings), None)
    return None if known is None else known.at(columns, rows)
