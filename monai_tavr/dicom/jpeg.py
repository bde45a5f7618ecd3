"""Prove that a Huffman-coded JPEG is complete (ITU-T T.81), lossless or sequential, with one component.

libjpeg and its kin fill what a damaged stream lacks with invented grey levels and report success. Walking through the codes
without reconstructing pixels shows whether the stream holds exactly as many samples (or 8 x 8 blocks) as the picture has: one
that was cut, lost a piece or was overwritten runs out of codes, or mostly leaves some over.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numba import njit

from monai_tavr.dicom.code_stream import JPEG_LOSSLESS, JPEG_SEQUENTIAL, CodeStream, HuffmanTable

__all__ = ["is_complete_jpeg"]

_SURPLUS_BITS = 64  # some encoders end a scan with more padding than the seven bits of the standard


def is_complete_jpeg(stream: CodeStream, data: bytes) -> bool:
    """Whether the one scan of a JPEG holds exactly its picture.

    Args:
        stream: the header of ``data``.
        data: the JPEG.

    Raises:
        ValueError: it is no JPEG of this kind, or lacks the tables of its scan.
    """
    lossless = stream.kind in JPEG_LOSSLESS
    if stream.components != 1 or not (lossless or stream.kind in JPEG_SEQUENTIAL):
        raise ValueError("neither a lossless nor a sequential JPEG of one component")
    selected = stream.scan[0]
    try:
        dc = _lookup(stream.tables[selected >> 4])
        ac = dc if lossless else _lookup(stream.tables[0x10 | (selected & 15)])
    except KeyError:
        raise ValueError("the JPEG lacks a Huffman table") from None
    units = stream.rows * stream.columns if lossless else -(-stream.rows // 8) * -(-stream.columns // 8)
    scan = np.frombuffer(data, np.uint8)[stream.scan_start :]
    return bool(_walk(scan, units, stream.restart_interval, stream.precision + 1 if lossless else 0, dc, ac))


@lru_cache(maxsize=16)  # the frames of a cine mostly share their tables
def _lookup(table: HuffmanTable) -> np.ndarray:
    """(65536,) int32: what the next 16 bits begin with, as length << 8 | symbol, 0 for no code."""
    found, symbols = np.zeros(65536, np.int32), iter(table.symbols)
    code = 0  # of the length at hand, moved to the top of 16 bits
    for length, count in enumerate(table.counts, start=1):
        for _ in range(count):
            found[code : code + (1 << (16 - length))] = length << 8 | next(symbols)
            code += 1 << (16 - length)
    return found


def _compiled(function: Callable[..., bool]) -> Callable[..., bool]:
    try:
        return njit(nogil=True, cache=True)(function)
    except RuntimeError:  # nowhere to keep the compiled code, as in a read-only container
        return njit(nogil=True)(function)


@_compiled
def _walk(scan, units, restart_interval, most_bits, dc, ac):  # type: ignore[no-untyped-def]
    """Whether ``scan`` (bytes after the scan header) holds ``units`` samples or blocks, and then its end.

    ``most_bits`` of a lossless difference; 0 for a sequential JPEG. More of them tell of samples of a higher precision.
    """
    lossless = most_bits > 0
    position, window, have = 0, np.uint64(0), 0  # `window` holds the next `have` bits at its low end
    for unit in range(units):
        if restart_interval > 0 and unit > 0 and unit % restart_interval == 0:
            have, window = 0, np.uint64(0)
            while position + 1 < scan.size and not (scan[position] == 0xFF and 0xD0 <= scan[position + 1] <= 0xD7):
                if scan[position] == 0xFF and scan[position + 1] != 0:
                    return False
                position += 1
            position += 2
        index = 0
        while index < 64:
            while have <= 40:  # a code and its bits take 32 at most
                if position >= scan.size:
                    break
                byte = scan[position]
                if byte == 0xFF:
                    if position + 1 >= scan.size or scan[position + 1] != 0:
                        break  # a marker ends the codes
                    position += 1
                position += 1
                window = (window << np.uint64(8)) | np.uint64(byte)
                have += 8
            if have >= 16:
                peek = (window >> np.uint64(have - 16)) & np.uint64(0xFFFF)
            else:
                peek = (window << np.uint64(16 - have)) & np.uint64(0xFFFF)
            entry = dc[peek] if index == 0 else ac[peek]
            symbol = entry & 0xFF
            size = symbol if index == 0 else symbol & 15
            if lossless and size > most_bits:
                return False
            if lossless and size == 16:
                size = 0  # a difference of 32768 has no further bits
            have -= (entry >> 8) + size
            if entry == 0 or have < 0:
                return False
            window &= (np.uint64(1) << np.uint64(have)) - np.uint64(1)
            if lossless:
                break
            if index == 0:
                index = 1
            elif size > 0:
                index += (symbol >> 4) + 1
            elif symbol == 0xF0:
                index += 16
            else:
                break  # end of block
        if index > 64:
            return False
    rest = 0
    while position + 1 < scan.size and not (scan[position] == 0xFF and scan[position + 1] != 0):
        position += 1
        rest += 8
    return have + rest <= _SURPLUS_BITS and position + 1 < scan.size
