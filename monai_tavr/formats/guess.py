"""Which format a file or folder is in, by its name and, where that does not tell, by what it holds."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from monai_tavr.formats.checks import read_json
from monai_tavr.formats.label_json import SCHEMA_ID
from monai_tavr.formats.table import FORMATS, Format

__all__ = ["NO_LABELS", "format_of_name", "guess_format"]

NO_LABELS = ("datalist.json", "phantom.json")
"""Files that lie beside labels in the folder of a data set and hold none."""


def guess_format(path: str | os.PathLike[str]) -> Format:
    """The format of what lies there.

    Raises:
        ValueError: none of the table's; says which file, and that the format can be stated.
        OSError: the file cannot be read.
    """
    path = Path(path)
    name = _of_folder(path) if path.is_dir() else _of_file(path)
    if name is None:
        raise ValueError(f"{path}: of no known label format; state it with --from, one of {', '.join(_readable())}")
    return FORMATS[name]


def format_of_name(path: str | os.PathLike[str]) -> Format:
    """The format that a file of that name is to be written in: of several with its extension the first of the table, our own.

    Raises:
        ValueError: the name does not tell.
    """
    lower = Path(path).name.lower()
    ends = [(end, f) for f in FORMATS.values() if f.writer for end in f.extensions if lower.endswith(end)]
    if not ends:
        named = ", ".join(f.name for f in FORMATS.values() if f.writer)
        raise ValueError(f"{path}: the name does not tell the format; state it with --to, one of {named}")
    return max(ends, key=lambda pair: len(pair[0]))[1]  # the first of the longest


def _readable() -> list[str]:
    return [f.name for f in FORMATS.values() if f.reader]


def _of_folder(path: Path) -> str | None:
    if any(p.is_dir() for pattern in ("points", "*/points") for p in path.glob(pattern)):
        return "prepared"
    if any("ann" in folders for _, folders, _ in os.walk(path)):
        return "supervisely"
    found = (p for p in sorted(path.rglob("*.json")) if p.is_file() and p.name not in NO_LABELS)
    first = next(found, None)
    return None if first is None or guess_format(first).name != "json" else "json"  # what predict wrote


def _of_file(path: Path) -> str | None:
    lower = path.name.lower()
    if lower.endswith((".mrk.json", ".slp", ".dcm")):
        return {".json": "markups", ".slp": "sleap", ".dcm": "dicom-sr"}[path.suffix.lower()]
    if lower.endswith(".csv"):
        with path.open("rb") as stream:
            return "deeplabcut" if stream.read(64).lstrip(b"\xef\xbb\xbf").lower().startswith(b"scorer,") else "csv"
    if not lower.endswith(".json"):
        return None
    content = read_json(path)
    if isinstance(content, list):
        return "label-studio"
    if not isinstance(content, Mapping):
        return None
    if content.get("schema") == SCHEMA_ID:
        return "json"
    return "coco" if "annotations" in content else "markups" if "markups" in content else None
