"""What no header may ask for: sizes and counts are held against the bytes that are there, before anything is made of them."""

from __future__ import annotations

__all__ = ["MOST_FRAMES", "MOST_PIXELS", "inflates_to", "plausible_frame"]

MOST_FRAMES = 1 << 20
"""Frames of a cine: nine hours at 30 per second."""
MOST_PIXELS = 1 << 26
"""Pixels of a coded frame, 8192 x 8192: no detector has more."""
_ALWAYS_PIXELS = 1 << 24  # 4096 x 4096: a blank frame compresses to next to nothing,
_PIXELS_PER_BYTE = 1000  # and a larger one is not blank
_ALWAYS_BYTES = 256 << 20  # that a file may inflate to, however small it is,
_BYTES_PER_BYTE = 100  # and beyond them so many for each of its bytes; those of X-ray frames become two or three


def plausible_frame(rows: int, columns: int, coded: int) -> bool:
    """Whether ``coded`` bytes may hold the pixels of a compressed frame."""
    return 0 < rows * columns <= min(MOST_PIXELS, max(_ALWAYS_PIXELS, _PIXELS_PER_BYTE * coded))


def inflates_to(deflated: int) -> int:
    """Bytes that so many deflated ones may become."""
    return max(_ALWAYS_BYTES, _BYTES_PER_BYTE * deflated)
