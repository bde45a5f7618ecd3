"""What readers of label files check, and how they say what is wrong.

Files come from other programs and other people. A reader takes nothing on trust: what it wants to use is checked here first, and
a fault is a ValueError that names file and place. Values are quoted shortened, for a damaged file may hold a megabyte in one.
"""

from __future__ import annotations

import json
import os
import reprlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["LARGEST", "listing", "mapping", "number", "parse_json", "read_json", "shown", "text", "whole"]

LARGEST = 1e9  # no coordinate, size, spacing or score is larger; NaN and infinity are not smaller
_WORDS = reprlib.Repr()
_WORDS.maxstring = _WORDS.maxother = _WORDS.maxlong = 80
_WORDS.maxlevel = 3


def shown(value: Any) -> str:
    """The value as a message quotes it, however large or deep it is."""
    return _WORDS.repr(value)


def parse_json(content: str | bytes, *, where: str) -> Any:
    """Parsed JSON.

    Raises:
        ValueError: not JSON, nested too deep, or a name stands twice in one object.
    """
    try:
        return json.loads(content, object_pairs_hook=_without_repeats)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{where}: not a JSON file: {error}") from error


def read_json(path: str | os.PathLike[str]) -> Any:
    """Parsed content of a JSON file. Raises ValueError naming it, or OSError."""
    return parse_json(Path(path).read_bytes(), where=str(path))


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Python keeps the last of two equal names and says nothing; a label must not lose a point that way."""
    content = dict(pairs)
    if len(content) != len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the name {next(n for n in names if names.count(n) > 1)!r} stands twice in one object")
    return content


def mapping(
    content: Any, where: str, *, known: set[str] | frozenset[str] | None = None, required: set[str] | frozenset[str] = frozenset()
) -> Mapping[str, Any]:
    """``content``, which must be an object with the ``required`` names and, where given, none but the ``known``.

    Raises:
        ValueError: it is none.
    """
    if not isinstance(content, Mapping):
        raise ValueError(f"{where}: expected an object, got {type(content).__name__}")
    unknown = [] if known is None else sorted(set(content) - known)
    if unknown:
        raise ValueError(f"{where}: unknown name {shown(unknown[0])}; known are {sorted(known or ())}")
    missing = sorted(required - set(content))
    if missing:
        raise ValueError(f"{where}: {missing[0]!r} is missing")
    return content


def listing(content: Any, where: str, *, length: int | None = None) -> list[Any]:
    """``content``, which must be a list, of ``length`` items if that is given. Raises ValueError."""
    if not isinstance(content, list):
        raise ValueError(f"{where} must be a list, got {type(content).__name__}")
    if length is not None and len(content) != length:
        raise ValueError(f"{where} must be a list of {length}, got {shown(content)}")
    return content


def number(value: Any, where: str, *, positive: bool = False) -> float:
    """A finite number of a sensible size. Raises ValueError."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= LARGEST:
        raise ValueError(f"{where} must be a finite number, got {shown(value)}")
    if positive and value <= 0:
        raise ValueError(f"{where} must be positive, got {shown(value)}")
    return float(value)


def whole(value: Any, where: str, *, minimum: int = 0) -> int:
    """A whole number of a sensible size; 3.0 is one too, for some programs write all numbers that way. Raises ValueError."""
    checked = number(value, where)
    if checked != int(checked) or checked < minimum:
        raise ValueError(f"{where} must be a whole number of at least {minimum}, got {shown(value)}")
    return int(checked)


def text(value: Any, where: str) -> str:
    """A text. Raises ValueError."""
    if not isinstance(value, str):
        raise ValueError(f"{where} must be text, got {shown(value)}")
    return value
