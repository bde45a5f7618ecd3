"""Prove that a Huffman-coded JPEG is complete (ITU-T T.81), lossless or sequential, with one component.

libjpeg and its kin fill what a damaged stream lacks with invented grey levels and report success. Walking through the codes
without reconstructing pixels shows whether the stream holds exactly as many samples (or 8 x 8 blocks) as the picture has: one
that was cut, lost a piece or was overwritten runs out of codes, or mostly leaves some over.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numba import njit

__all__ = ["is_complete_jpeg"]

_LOSSLESS, _SEQUENTIAL = (0xC3,), (0xC0, 0xC1)
_SURPLUS_BITS = 64  # some encoders end a scan with more padding than the seven bits of the standard


@dataclass
class _Header:
    frame_type: int = 0
    rows: int = 0
    columns: int = 0
    components: int = 0
    restart_interval: int = 0
    tables: dict[int, np.ndarray] = field(default_factory=dict)  # class << 4 | identifier -> codes by their next 16 bits
    scan_tables: int = 0
    scan_start: int = 0


def is_complete_jpeg(data: bytes) -> bool:
    """Whether the one scan of the JPEG holds exactly its picture. Raises ValueError when it is no JPEG of this kind."""
    try:
        header = _read_header(data)
        lossless = header.frame_type in _LOSSLESS
        if header.components != 1 or header.frame_type not in (*_LOSSLESS, *_SEQUENTIAL):
            raise ValueError("neither a lossless nor a sequential JPEG of one component")
        dc = header.tables[header.scan_tables >> 4]
        ac = dc if lossless else header.tables[0x10 | (header.scan_tables & 15)]
    except (struct.error, IndexError, KeyError) as error:
        raise ValueError("the JPEG header is damaged") from error
    units = header.rows * header.columns if lossless else -(-header.rows // 8) * -(-header.columns // 8)
    scan = np.frombuffer(data, np.uint8)[header.scan_start :]
    return bool(_walk(scan, units, header.restart_interval, lossless, dc, ac))


def _read_header(data: bytes) -> _Header:
    header = _Header()
    position = 2
    while True:
        if data[position] != 0xFF:
            raise ValueError("the JPEG header is damaged")
        marker = data[position + 1]
        if marker == 0xFF:  # fill byte
            position += 1
            continue
        (length,) = struct.unpack_from(">H", data, position + 2)
        body = data[position + 4 : position + 2 + length]
        position += 2 + length
        if marker == 0xC4:
            _read_tables(body, header.tables)
        elif marker == 0xDD:
            (header.restart_interval,) = struct.unpack(">H", body)
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC8, 0xCC):
            header.frame_type = marker
            _, header.rows, header.columns, header.components = struct.unpack_from(">BHHB", body)
        elif marker == 0xDA:
            header.scan_tables, header.scan_start = body[2], position
            return header


def _read_tables(body: bytes, tables: dict[int, np.ndarray]) -> None:
    """Huffman tables as (65536,) int32: what the next 16 bits begin with, as length << 8 | symbol, 0 for no code."""
    while body:
        counts = body[1:17]
        symbols = iter(body[17 : 17 + sum(counts)])
        table = np.zeros(65536, np.int32)
        code = 0  # of the length at hand, moved to the top of 16 bits
        for length, count in enumerate(counts, start=1):
            for _ in range(count):
                table[code : code + (1 << (16 - length))] = length << 8 | next(symbols, 0)
                code += 1 << (16 - length)
        tables[body[0]] = table
        body = body[17 + sum(counts) :]


def _compiled(function: Callable[..., bool]) -> Callable[..., bool]:
    try:
        return njit(nogil=True, cache=True)(function)
    except RuntimeError:  # nowhere to keep the compiled code, as in a read-only container
        return njit(nogil=True)(function)


@_compiled
def _walk(scan, units, restart_interval, lossless, dc, ac):  # type: ignore[no-untyped-def]
    """Whether ``scan`` (bytes after the scan header) holds ``units`` samples or blocks, and then its end."""
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
