"""RLE frames (PS3.5 G): every segment must hold exactly its byte of every pixel.

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
    planes = [_segment(data[a:b], rows * columns) for a, b in pairwise(bounds)]
    values = np.stack(planes[::-1], axis=1).reshape(-1)  # least significant byte first
    return values.view(f"<u{samples}").astype(f"u{samples}").reshape(rows, columns)


def _segment(data: bytes, pixels: int) -> np.ndarray:
    """(pixels,) uint8; a segment may end with a byte of padding, and code an odd number of pixels with one more."""
    from rle.rle import decode_segment

    try:
        decoded = decode_segment(data)
    except ValueError:
        if not data.endswith(b"\0"):
            raise
        decoded = decode_segment(data[:-1])
    if len(decoded) not in (pixels, pixels + pixels % 2):
        raise ValueError(f"an RLE segment holds {len(decoded)} of {pixels} pixels")
    return np.frombuffer(decoded, np.uint8, pixels)
