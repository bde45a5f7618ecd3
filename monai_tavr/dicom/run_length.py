"""RLE frames (PS3.5 G): every segment must hold its byte of every pixel, and nothing beyond but padding.

pydicom's decoders take too many bytes without a word, as where the header states fewer rows than there are, and panic at others.
"""

from __future__ import annotations

import struct
from itertools import pairwise

import numpy as np

__all__ = ["decode_rle"]

_HEADER = 64


def decode_rle(data: bytes, *, rows: int, columns: int, samples: int) -> np.ndarray:
    """The pixels of an RLE frame.

    Args:
        data: the frame.
        rows, columns: H, W.
        samples: bytes per pixel, 1 or 2; each has a segment, the most significant first.

    Returns:
        (H, W) stored intensities, uint8 or uint16.

    Raises:
        ValueError: the frame does not hold these pixels.
    """
    if len(data) < _HEADER:
        raise ValueError("the RLE header ends too early")
    count, *offsets = struct.unpack_from("<16L", data)
    if count != samples:
        raise ValueError(f"the RLE header states {count} segments where the pixels have {samples} byte(s)")
    bounds = [*offsets[:count], len(data)]
    if bounds[0] != _HEADER or any(a >= b for a, b in pairwise(bounds)):
        raise ValueError("the RLE segments lie outside the data")
    planes = [_segment(data[a:b], rows, columns) for a, b in pairwise(bounds)]
    values = np.stack(planes[::-1], axis=1).reshape(-1)  # least significant byte first
    return values.view(f"<u{samples}").astype(f"u{samples}").reshape(rows, columns)


def _segment(data: bytes, rows: int, columns: int) -> np.ndarray:
    """(rows * columns,) uint8.

    Encoders pad a segment by some bytes, which may read as runs. A whole row is no padding: the header states too few.
    """
    from rle.rle import decode_segment

    pixels = rows * columns
    try:
        decoded = decode_segment(data)
    except ValueError:  # the padding ends within a run, or the pixels do
        decoded = b""
    if not pixels <= len(decoded) < pixels + columns:
        end, held = _end_of_pixels(data, pixels)
        if held >= pixels + columns or (data[end:].strip(b"\0") and len(decoded) >= pixels + columns):
            raise ValueError(f"an RLE segment holds {max(held, len(decoded))} of {pixels} pixels")
        decoded = decode_segment(data[:end])
    return np.frombuffer(decoded, np.uint8, pixels)


def _end_of_pixels(data: bytes, pixels: int) -> tuple[int, int]:
    """Offset behind the run that completes the pixels, and how many there are up to it; ValueError where the runs end before."""
    position, held = 0, 0
    while held < pixels:
        if position >= len(data):
            raise ValueError(f"an RLE segment holds {held} of {pixels} pixels")
        head = data[position]
        if head < 128:
            held += head + 1
            position += head + 2
        elif head > 128:
            held += 257 - head
            position += 2
        else:
            position += 1
    if position > len(data):
        raise ValueError(f"the last run of an RLE segment of {pixels} pixels is cut")
    return position, held
