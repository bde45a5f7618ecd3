"""What a request for the next frame may say, checked at the door."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["NextRequest"]

_MOST_EXCLUDED = 10_000
# what MONAI Label and its clients add to every request; none of it concerns frames
_IGNORED = ("client_id", "label_tag", "labels", "session_id", "strategy", "user")


@dataclass(frozen=True)
class NextRequest:
    """A request for the next frame.

    Attributes:
        image: look in this image only; None = in all.
        exclude: (image id, frame) that are not to be proposed, e.g. skipped ones and drafts; frame None = the whole image.
    """

    image: str | None = None
    exclude: tuple[tuple[str, int | None], ...] = ()

    @classmethod
    def parse(cls, body: Any) -> NextRequest:
        """From ``{"image": "ID", "exclude": [{"id": "ID", "frame": 3}, ...]}``; both may be missing.

        Raises:
            ValueError: not of that form.
        """
        if body is None:
            return cls()
        if not isinstance(body, Mapping):
            raise ValueError(f'the body must be an object such as {{"exclude": []}}, got {type(body).__name__}')
        unknown = sorted(str(key) for key in set(body) - {"image", "exclude", *_IGNORED})
        if unknown:
            raise ValueError(f"unknown parameter {unknown[0][:40]!r}; known are 'image' and 'exclude'")
        image, listed = body.get("image"), body.get("exclude")
        if image is not None and not isinstance(image, str):
            raise ValueError(f"image must be the id of an image, got {str(image)[:40]!r}")
        if listed is not None and (not isinstance(listed, list) or len(listed) > _MOST_EXCLUDED):
            raise ValueError(f"exclude must be a list of at most {_MOST_EXCLUDED} frames")
        return cls(image, tuple(_excluded(item) for item in listed or ()))


def _excluded(item: Any) -> tuple[str, int | None]:
    image, frame = (item.get("id"), item.get("frame")) if isinstance(item, Mapping) else (None, None)
    whole = isinstance(frame, int) and not isinstance(frame, bool) and frame >= 0
    if not isinstance(image, str) or not (frame is None or whole):
        raise ValueError(f'exclude holds {str(item)[:60]!r}; write {{"id": "ID", "frame": 3}}, frames counted from 0')
    return image, frame
