"""What a request may carry: limited size, a known type, and JSON without surprises."""

from __future__ import annotations

import json
from typing import NoReturn

__all__ = ["LARGEST_BYTES", "LARGEST_FORM_BYTES", "BadBody", "check_json", "check_type"]

LARGEST_BYTES = 4 << 20  # a cine of 2000 frames with 11 points each
LARGEST_FORM_BYTES = 64 << 10  # of a form without files: reading a million tiny fields would hold up everybody
_DEEPEST = 32  # the label JSON is 6 deep; Python's reader gives up at about 1000
_FORM = "application/x-www-form-urlencoded"
_TYPES = ("application/json", "multipart/form-data", _FORM)
_DIGITS = 18  # no integer of a request is longer; int() and float() have limits of their own


class BadBody(ValueError):
    """A body that is not accepted.

    Args:
        status: of HTTP.
        words: why.
    """

    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status, self.words = status, words


def check_type(content_type: str, encoding: str) -> tuple[str, int]:
    """The media type of a body, and how many bytes it may have.

    Raises:
        BadBody: 415, another type than JSON or a form, or a compressed body.
    """
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type not in _TYPES:
        raise BadBody(415, f"a body must be one of {', '.join(_TYPES)}; got {media_type[:80] or 'no content-type'!r}")
    if encoding.strip().lower() not in ("", "identity"):
        raise BadBody(415, "a body must not be compressed")
    return media_type, LARGEST_FORM_BYTES if media_type == _FORM else LARGEST_BYTES


def check_json(body: bytes) -> None:
    """Refuse what is no JSON by RFC 8259, or nested beyond sense, or holds numbers that nothing here can mean.

    Raises:
        BadBody: 400.
    """
    try:
        value = json.loads(body.decode("utf-8"), parse_constant=_refuse, parse_float=_finite, parse_int=_short)
    except UnicodeDecodeError as error:
        raise BadBody(400, "the JSON is not UTF-8") from error
    except RecursionError as error:
        raise BadBody(400, f"the JSON is nested more than {_DEEPEST} deep") from error
    except ValueError as error:
        raise BadBody(400, f"this is no JSON: {error}") from error
    level = [value]
    for _ in range(_DEEPEST):
        level = [child for v in level if isinstance(v, dict | list) for child in (v.values() if isinstance(v, dict) else v)]
        if not level:
            return
    raise BadBody(400, f"the JSON is nested more than {_DEEPEST} deep")


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


def _finite(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise ValueError("a number is too large")
    return number


def _short(text: str) -> int:
    if len(text) > _DIGITS:
        raise ValueError("a number is too large")
    return int(text)
