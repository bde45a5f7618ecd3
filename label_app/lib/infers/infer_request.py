"""The parameters of an inference request, checked at the door."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["parse_frames", "parse_groups", "parse_params"]

_RANGE = re.compile(r"\s*([0-9]{1,6})(?:\s*-\s*([0-9]{1,6}))?\s*")
_LONGEST = 10_000  # characters of frames; thousands of overlapping ranges would take gigabytes
_KNOWN = ("frames", "allowed_groups")
# what MONAI Label's own clients add to every request; none of it concerns keypoints
_IGNORED = ("device", "result_extension", "result_dtype", "result_compress", "label_info", "client_id", "restore_label_idx")


def parse_params(text: str) -> dict[str, Any]:
    """The ``params`` form field of a request as a dictionary.

    Raises:
        ValueError: not a JSON object, or it names a parameter that this task does not have. A client that may set any key could
            replace the image by a path.
    """
    try:
        params = json.loads(text or "{}")
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f'params must be JSON, e.g. {{"frames": "0-9"}}: {error}') from error
    if not isinstance(params, Mapping):
        raise ValueError(f"params must be a JSON object, got {type(params).__name__}")
    unknown = sorted(set(params) - {*_KNOWN, *_IGNORED})
    if unknown:
        raise ValueError(f"unknown parameter {unknown[0][:40]!r}; known are {list(_KNOWN)}")
    return {key: params[key] for key in _KNOWN if params.get(key) is not None}


def parse_frames(value: Any, number_of_frames: int) -> list[int] | None:
    """0-based frames to predict: a list ``[0, 5]``, text such as ``"0-9"`` or ``"0-9, 15"``, or None for all.

    Raises:
        ValueError: not of that form, or outside the image.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, str | int | Sequence):
        raise ValueError(f"frames must be a list of whole numbers or text such as '0-9', got {value!r}")
    frames = _from_text(value, number_of_frames) if isinstance(value, str) else [value] if isinstance(value, int) else list(value)
    for frame in frames:
        if isinstance(frame, bool) or not isinstance(frame, int):
            raise ValueError(f"frames must be whole numbers counted from 0, got {frame!r}")
        if not 0 <= frame < number_of_frames:
            raise ValueError(f"there is no frame {frame}; the image has frames 0 to {number_of_frames - 1}")
    if not frames:
        raise ValueError("frames is empty; leave it out for all frames")
    return sorted(set(frames))


def _from_text(text: str, number_of_frames: int) -> list[int]:
    if len(text) > _LONGEST:
        raise ValueError(f"frames has {len(text)} characters; at most {_LONGEST} are read")
    frames: list[int] = []
    for part in text.split(","):
        match = _RANGE.fullmatch(part)
        if match is None:
            raise ValueError(f"frames must read like '0-9' or '3' or '0-9, 15', got {text[:80]!r}")
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first:
            raise ValueError(f"frames {part.strip()!r} runs backwards; give the smaller number first")
        frames.extend((first, last) if last >= number_of_frames else range(first, last + 1))  # what is outside is not counted out
    return frames


def parse_groups(value: Any, known: Sequence[str]) -> list[str] | None:
    """Groups that can be present at this stage of the procedure, or None for all; an empty list allows none.

    Raises:
        ValueError: not a list of the schema's groups.
    """
    if value is None:
        return None
    if isinstance(value, str) or not isinstance(value, Sequence) or not all(isinstance(g, str) for g in value):
        raise ValueError(f"allowed_groups must be a list of group names, got {value!r}")
    for group in value:
        if group not in known:
            raise ValueError(f"unknown group {group[:40]!r}; groups are {list(known)}")
    return [g for g in known if g in value]
