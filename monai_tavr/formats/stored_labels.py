"""Label files of a folder: beside cines, where ``predict`` wrote them, or in the store of a server.

A server keeps every version of a label as ``labels/<image id>/<tag>.<number>.json`` and changes none. Of these the newest
``final`` one of each image counts: what the annotators submitted last.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from monai_tavr.formats.checks import read_json
from monai_tavr.formats.guess import NO_LABELS
from monai_tavr.formats.label_json import SCHEMA_ID

__all__ = ["FINAL", "TAG", "VERSION_FILE", "find_label_files"]

FINAL = "final"
"""Tag of what annotators submitted."""
TAG = re.compile(r"[a-z][a-z0-9_-]{0,31}")
"""Tags of labels."""
VERSION_FILE = re.compile(rf"({TAG.pattern})\.([0-9]{{4,9}})\.json")
"""Names of a store's files: tag and number."""


def find_label_files(path: str | os.PathLike[str]) -> tuple[list[Path], list[Path]]:
    """The label files (:mod:`monai_tavr.formats.label_json`) of a folder and those below it.

    Args:
        path: the folder, e.g. of a datalist, or the one that a server was given by ``--labels``; or one file.

    Returns:
        Label files, sorted, of a store's versions the newest only; and the JSON files that hold something else.

    Raises:
        ValueError: no such file or folder, a JSON file that is none, or no label in the folder.
        OSError: a file cannot be read.
    """
    root = Path(path)
    if root.is_file():
        return [root], []
    if not root.is_dir():
        raise ValueError(f"{root}: no such file or folder")
    store = root / "labels"
    top = store if any(VERSION_FILE.fullmatch(p.name) for p in store.glob("*/*.json")) else root
    found: list[Path] = []
    others: list[Path] = []
    newest: dict[Path, tuple[int, Path]] = {}
    for file in sorted(p for p in top.rglob("*.json") if p.is_file() and p.name not in NO_LABELS):
        version = VERSION_FILE.fullmatch(file.name)
        if version is None:
            content = read_json(file)
            is_label = isinstance(content, dict) and content.get("schema") == SCHEMA_ID
            (found if is_label else others).append(file)
        elif version[1] == FINAL:
            newest[file.parent] = max(newest.get(file.parent, (0, file)), (int(version[2]), file))
    found += [file for _, file in newest.values()]
    if not found:
        raise ValueError(f"{root}: no label file (*.json) in this folder")
    return sorted(found), others
