"""Huffman-coded JPEG of one component (ITU-T T.81), lossless and sequential: prove it complete, and decode it.

libjpeg and its kin fill what a damaged stream lacks with invented grey levels and report success. Walking through the codes shows
whether the stream holds exactly as many samples (or 8 x 8 blocks) as the picture has: one that was cut, lost a piece or was
overwritten runs out of codes, or mostly leaves some over. The lossless kind is reconstructed on the way: a grey level beyond the
precision tells of a wrong precision, predictor or point transform, which native decoders do not notice. The sequential kind is
left to faster decoders as long as they take it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
from numba import njit

from monai_tavr.dicom.code_stream import JPEG_LOSSLESS, JPEG_SEQUENTIAL, CodeStream, HuffmanTable

__all__ = ["decode_lossless_jpeg", "decode_sequential_jpeg", "is_complete_jpeg"]

_SURPLUS_BITS = 64  # some encoders end a scan with more padding than the seven bits of the standard
_PLACES = [(row, column) for row in range(8) for column in range(8)]
_ZIGZAG = sorted(range(64), key=lambda i: (sum(_PLACES[i]), _PLACES[i][sum(_PLACES[i]) % 2 - 1]))  # T.81 figure A.6
# (8, 8): the cosine of each frequency over the eight samples of a row or a column (T.81 A.3.3)
_COSINES = np.cos(np.outer(np.arange(8), 2 * np.arange(8) + 1) * np.pi / 16) * np.where(np.arange(8), 0.5, 8**-0.5)[:, None]


def decode_lossless_jpeg(stream: CodeStream, data: bytes) -> np.ndarray:
    """The samples of a lossless JPEG (T.81 H), whichever predictor and point transform it is coded with.

    Args:
        stream: the header of ``data``.
        data: the JPEG.

    Returns:
        (H, W) uint16, grey levels as coded.

    Raises:
        ValueError: it is no JPEG of this kind, lacks its table, or does not hold exactly its picture.
    """
    if stream.components != 1 or stream.kind not in JPEG_LOSSLESS:
        raise ValueError("no lossless JPEG of one component")
    tables, predictor, _, transform = stream.scan
    if stream.restart_interval % stream.columns:
        raise ValueError(f"restarts every {stream.restart_interval} samples do not fall on the rows of a lossless JPEG")
    samples = np.empty((stream.rows, stream.columns), np.uint16)
    scan = np.frombuffer(data, np.uint8)[stream.scan_start :]
    restart_rows, bits = stream.restart_interval // stream.columns, stream.precision - (transform & 15)
    if not _reconstruct(scan, samples, restart_rows, predictor, bits, _table(stream, tables >> 4)):
        raise ValueError("it does not hold its whole picture, or grey levels beyond its precision")
    return samples << (transform & 15)


def is_complete_jpeg(stream: CodeStream, data: bytes) -> bool:
    """Whether the one scan of a sequential JPEG holds exactly its picture.

    Args:
        stream: the header of ``data``.
        data: the JPEG.

    Raises:
        ValueError: it is no JPEG of this kind, or lacks the tables of its scan.
    """
    return _walks(stream, data, None)


def decode_sequential_jpeg(stream: CodeStream, data: bytes) -> np.ndarray:
    """The samples of a sequential JPEG of 8 or 12 bits.

    The scan's spectral range and point transform say nothing in a JPEG of this kind; some encoders leave zeros there, and some
    decoders refuse them.

    Args:
        stream: the header of ``data``.
        data: the JPEG.

    Returns:
        (H, W) uint16, grey levels; other decoders may be one level off by their rounding.

    Raises:
        ValueError: it is no JPEG of this kind, lacks a table, or does not hold exactly its picture.
    """
    rows, columns = -(-stream.rows // 8), -(-stream.columns // 8)  # of blocks
    coefficients = np.zeros((rows * columns, 64), np.int32)
    if not stream.quantisation or not _walks(stream, data, coefficients):
        raise ValueError("it does not hold its whole picture, or no quantisation table")
    blocks = np.empty(coefficients.shape, np.float32)
    blocks[:, _ZIGZAG] = coefficients * np.array(stream.quantisation, np.float32)
    cosines = _COSINES.astype(np.float32)
    samples = cosines.T @ blocks.reshape(rows, columns, 8, 8) @ cosines
    picture = samples.transpose(0, 2, 1, 3).reshape(8 * rows, 8 * columns)[: stream.rows, : stream.columns]
    middle = 1 << (stream.precision - 1)
    return np.clip(np.rint(picture) + middle, 0, 2 * middle - 1).astype(np.uint16)


def _walks(stream: CodeStream, data: bytes, coefficients: np.ndarray | None) -> bool:
    """Whether the scan holds exactly its picture; fills ``coefficients`` (blocks, 64) in zigzag order, unless None is given."""
    if stream.components != 1 or stream.kind not in JPEG_SEQUENTIAL:
        raise ValueError("no sequential JPEG of one component")
    tables = stream.scan[0]
    dc, ac = _table(stream, tables >> 4), _table(stream, 0x10 | (tables & 15))
    blocks = -(-stream.rows // 8) * -(-stream.columns // 8)
    scan = np.frombuffer(data, np.uint8)[stream.scan_start :]
    return bool(_walk(scan, blocks, stream.restart_interval, dc, ac, coefficients))


def _table(stream: CodeStream, number: int) -> np.ndarray:
    if number not in stream.tables:
        raise ValueError("the JPEG lacks a Huffman table")
    return _lookup(stream.tables[number])


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


def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    try:
        return njit(nogil=True, cache=True)(function)
    except RuntimeError:  # nowhere to keep the compiled code, as in a read-only container
        return njit(nogil=True)(function)


# Of the three names that travel together, `position` is that of the next byte, and `window` holds `have` bits at its low end.


@_compiled
def _fill(scan, position, window, have):  # type: ignore[no-untyped-def]
    """Take bytes until a code and its bits, 32 at most, are there, or a marker ends them."""
    while have <= 40 and position < scan.size:
        byte = scan[position]
        if byte == 0xFF:
            if position + 1 >= scan.size or scan[position + 1] != 0:
                break
            position += 1
        position += 1
        window = (window << np.uint64(8)) | np.uint64(byte)
        have += 8
    return position, window, have


@_compiled
def _look_up(window, have, table):  # type: ignore[no-untyped-def]
    """The entry of the next code, filled up with zeros where it is the last."""
    if have >= 16:
        return table[(window >> np.uint64(have - 16)) & np.uint64(0xFFFF)]
    return table[(window << np.uint64(16 - have)) & np.uint64(0xFFFF)]


@_compiled
def _after_restart(scan, position):  # type: ignore[no-untyped-def]
    """Position behind the next restart marker, -1 where another one comes first."""
    while position + 1 < scan.size and not (scan[position] == 0xFF and 0xD0 <= scan[position + 1] <= 0xD7):
        if scan[position] == 0xFF and scan[position + 1] != 0:
            return -1
        position += 1
    return position + 2


@_compiled
def _is_at_end(scan, position, have):  # type: ignore[no-untyped-def]
    """Whether nothing but padding is left before the next marker."""
    rest = have
    while position + 1 < scan.size and not (scan[position] == 0xFF and scan[position + 1] != 0):
        position += 1
        rest += 8
    return rest <= _SURPLUS_BITS and position + 1 < scan.size


@_compiled
def _reconstruct(scan, samples, restart_rows, predictor, bits, table):  # type: ignore[no-untyped-def]
    """Fill ``samples`` from ``scan`` (bytes after the scan header); False where they are not of ``bits`` or not all there."""
    rows, columns = samples.shape
    position, window, have = 0, np.uint64(0), 0
    first_row = 0  # of the restart interval
    for row in range(rows):
        if restart_rows > 0 and row > 0 and row % restart_rows == 0:
            position, window, have = _after_restart(scan, position), np.uint64(0), 0
            if position < 0:
                return False
            first_row = row
        for column in range(columns):
            position, window, have = _fill(scan, position, window, have)
            entry = _look_up(window, have, table)
            size = entry & 0xFF
            coded = 0 if size == 16 else size  # a difference of 32768 has no further bits
            have -= (entry >> 8) + coded
            if entry == 0 or size > 16 or have < 0:
                return False
            difference = (
                32768
                if size == 16
                else np.int64((window >> np.uint64(have)) & ((np.uint64(1) << np.uint64(size)) - np.uint64(1)))
            )
            if 0 < size < 16 and difference < 1 << (size - 1):
                difference -= (1 << size) - 1
            window &= (np.uint64(1) << np.uint64(have)) - np.uint64(1)
            if row == first_row:
                predicted = np.int64(samples[row, column - 1]) if column else 1 << (bits - 1)
            elif column == 0:
                predicted = np.int64(samples[row - 1, 0])
            else:
                left, above = np.int64(samples[row, column - 1]), np.int64(samples[row - 1, column])
                corner = np.int64(samples[row - 1, column - 1])
                if predictor == 1:
                    predicted = left
                elif predictor == 2:
                    predicted = above
                elif predictor == 3:
                    predicted = corner
                elif predictor == 4:
                    predicted = left + above - corner
                elif predictor == 5:
                    predicted = left + ((above - corner) >> 1)
                elif predictor == 6:
                    predicted = above + ((left - corner) >> 1)
                else:
                    predicted = (left + above) >> 1
            sample = (predicted + difference) & 0xFFFF
            if sample >> bits:
                return False
            samples[row, column] = sample
    return _is_at_end(scan, position, have)


@_compiled
def _walk(scan, blocks, restart_interval, dc, ac, coefficients):  # type: ignore[no-untyped-def]
    """Whether ``scan`` (bytes after the scan header) holds so many blocks, and then its end; fills ``coefficients``, if any.

    With None for these it is compiled without what they need.
    """
    position, window, have = 0, np.uint64(0), 0
    mean = np.int64(0)  # of the block before, which the next one's is coded from
    for block in range(blocks):
        if restart_interval > 0 and block > 0 and block % restart_interval == 0:
            position, window, have, mean = _after_restart(scan, position), np.uint64(0), 0, np.int64(0)
            if position < 0:
                return False
        index = 0
        while index < 64:
            position, window, have = _fill(scan, position, window, have)
            entry = _look_up(window, have, dc if index == 0 else ac)
            symbol = entry & 0xFF
            size = symbol if index == 0 else symbol & 15
            have -= (entry >> 8) + size
            if entry == 0 or have < 0 or size > 15:
                return False
            coded = (window >> np.uint64(have)) & ((np.uint64(1) << np.uint64(size)) - np.uint64(1))
            window &= (np.uint64(1) << np.uint64(have)) - np.uint64(1)
            if index > 0:
                if size == 0 and symbol != 0xF0:
                    break  # end of block
                index += symbol >> 4
                if index > 63:
                    return False
            if coefficients is not None:
                value = np.int64(coded)
                if size > 0 and value < 1 << (size - 1):
                    value -= (1 << size) - 1
                if index == 0:
                    mean += value
                    value = mean
                coefficients[block, index] = value
            index += 1
    return _is_at_end(scan, position, have)
