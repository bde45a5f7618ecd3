"""What a code stream says of itself, checked before a decoder sees it: JPEG (ITU-T T.81), JPEG-LS (T.87), JPEG 2000 (T.800).

Native decoders trust their input: a precision of 127 bits crashes one, a size of 65535 x 65535 makes another ask for gigabytes, a
table that is too long is read beyond its end. Here what a header states is held against itself and the bytes that are there;
:mod:`monai_tavr.dicom.frames` holds it against the DICOM header and the transfer syntax (PS3.5 8.2, A.4).
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = [
    "JPEG_2000",
    "JPEG_LOSSLESS",
    "JPEG_LS",
    "JPEG_SEQUENTIAL",
    "CodeStream",
    "HuffmanTable",
    "begins_code_stream",
    "read_code_stream",
]

# kinds of streams, by the marker of the frame header
JPEG_SEQUENTIAL, JPEG_LOSSLESS, JPEG_LS, JPEG_2000 = (0xC0, 0xC1), (0xC3,), (0xF7,), (0xFF51,)
# comment, JPEG-LS presets, and what decoders pass over: conditioning of arithmetic codes, a number of lines
_WITHOUT_EFFECT = (0xFE, 0xF8, 0xCC, 0xDC)
_END = b"\xff\xd9"  # of JPEG, JPEG-LS and JPEG 2000; coded bytes never hold it
_FRAME_TYPES = (*(m for m in range(0xC0, 0xD0) if m not in (0xC4, 0xC8, 0xCC)), 0xF7)


@dataclass(frozen=True)
class HuffmanTable:
    """A Huffman table as the stream holds it: how many codes there are of 1 to 16 bits, and their symbols in order."""

    counts: bytes
    symbols: bytes


@dataclass(frozen=True, kw_only=True)
class CodeStream:
    """The header of a code stream.

    Attributes:
        kind: the marker that begins the frame header: 0xC0 to 0xCF for JPEG, 0xF7 for JPEG-LS, 0xFF51 for JPEG 2000.
        rows, columns, components: the size of the picture, and its samples per pixel.
        precision: bits per sample.
        restart_interval: of JPEG, 0 for none.
        tables: of JPEG: class << 4 | identifier -> table; class 0 codes differences, 1 the other coefficients of a block.
        quantisation: of JPEG: what the 64 coefficients of the first component were divided by, in zigzag order; empty where
            there is no such table.
        scan: of JPEG and JPEG-LS: table identifiers of the first component and the three parameters of the scan: predictor,
            spectral end and point transform, or tolerance, interleaving and point transform.
        scan_start: of JPEG and JPEG-LS: offset of the first coded byte.
        end: offset behind the end marker, 0 where there is none. Whatever follows (fill bytes, padding, the rest of a buffer) is
            not of the stream.
        reversible: of JPEG 2000: the wavelet that loses nothing.
        signed: of JPEG 2000: samples are two's complement of ``precision`` bits.
    """

    kind: int
    rows: int
    columns: int
    components: int
    precision: int
    restart_interval: int = 0
    tables: Mapping[int, HuffmanTable] = field(default_factory=dict)
    quantisation: tuple[int, ...] = ()
    scan: tuple[int, int, int, int] = (0, 0, 0, 0)
    scan_start: int = 0
    end: int = 0
    reversible: bool = False
    signed: bool = False


def begins_code_stream(data: bytes) -> bool:
    """Whether data begin like JPEG, JPEG-LS, or JPEG 2000, bare or in its file format. The first 8 bytes tell."""
    return data.startswith((b"\xff\xd8\xff", b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP  "))


def read_code_stream(data: bytes) -> CodeStream:
    """The checked header of a JPEG, JPEG-LS or JPEG 2000 stream.

    Raises:
        ValueError: it is none of these, or its header contradicts itself or the bytes that are there.
    """
    try:
        if data[:2] == b"\xff\xd8":
            return _read_jpeg(data)
        start = data.find(b"\xff\x4f\xff\x51")  # SOC and SIZ, perhaps within a JP2 box
        if start == 0 or (start > 0 and data[4:8] == b"jP  "):
            return _read_jpeg_2000(data, start)
    except (struct.error, IndexError) as error:
        raise ValueError("the header of the code stream ends too early") from error
    raise ValueError("the code stream is neither JPEG nor JPEG-LS nor JPEG 2000")


@dataclass
class _Jpeg:
    """What the marker segments have said so far."""

    frame: tuple[int, int, int, int, int] | None = None  # marker, precision, rows, columns, components
    component: int = 0
    quantised_by: int = 0
    restart_interval: int = 0
    tables: dict[int, HuffmanTable] = field(default_factory=dict)
    quantisation: dict[int, tuple[int, ...]] = field(default_factory=dict)


def _read_jpeg(data: bytes) -> CodeStream:
    found, position = _Jpeg(), 2
    while True:
        if data[position] != 0xFF:
            raise ValueError("the JPEG header is damaged")
        marker = data[position + 1]
        if marker in (0xFF, 0x01):  # a fill byte, a marker without content
            position += 1 if marker == 0xFF else 2
            continue
        (length,) = struct.unpack_from(">H", data, position + 2)
        body = data[position + 4 : position + 2 + length]
        if length < 2 or len(body) != length - 2:
            raise ValueError(f"segment {marker:02X} of the JPEG header is longer than the data")
        position += 2 + length
        if marker == 0xDA:
            return _begin_scan(found, body, position, data.find(_END, position) + len(_END))
        _take_segment(found, marker, body)


def _take_segment(found: _Jpeg, marker: int, body: bytes) -> None:
    if marker in _FRAME_TYPES:
        precision, rows, columns, components = struct.unpack_from(">BHHB", body)
        if found.frame is not None or len(body) != 6 + 3 * components or not components:
            raise ValueError("the JPEG has several frame headers, or one of the wrong length")
        found.frame, found.component, found.quantised_by = (marker, precision, rows, columns, components), body[6], body[8]
    elif marker == 0xC4:
        _read_tables(body, found.tables)
    elif marker == 0xDB:
        _read_quantisation(body, found.quantisation)
    elif marker == 0xDD:
        (found.restart_interval,) = struct.unpack(">H", body)
    elif not (0xE0 <= marker <= 0xEF or marker in _WITHOUT_EFFECT):
        raise ValueError(f"marker {marker:02X} has no place in a JPEG header")


def _read_tables(body: bytes, tables: dict[int, HuffmanTable]) -> None:
    while body:
        counts = body[1:17]
        table = HuffmanTable(counts, body[17 : 17 + sum(counts)])
        codes = sum(count << (16 - length) for length, count in enumerate(counts, start=1))
        if len(counts) != 16 or len(table.symbols) != sum(counts) or codes > 1 << 16 or body[0] & 0xEC:
            raise ValueError("a Huffman table of the JPEG is damaged")
        tables[body[0]] = table
        body = body[17 + sum(counts) :]


def _read_quantisation(body: bytes, tables: dict[int, tuple[int, ...]]) -> None:
    while body:
        wide = body[0] >> 4
        if wide > 1 or body[0] & 15 > 3 or len(body) < 1 + 64 * (1 + wide):
            raise ValueError("a quantisation table of the JPEG is damaged")
        tables[body[0] & 15] = struct.unpack_from(">64H" if wide else "64B", body, 1)
        body = body[1 + 64 * (1 + wide) :]


def _begin_scan(found: _Jpeg, body: bytes, start: int, end: int) -> CodeStream:
    if found.frame is None:
        raise ValueError("the JPEG has no frame header")
    kind, precision, rows, columns, components = found.frame
    in_scan = body[0]
    if not in_scan or len(body) != 4 + 2 * in_scan or (components == 1 and (in_scan, body[1]) != (1, found.component)):
        raise ValueError("the scan header of the JPEG does not fit its frame header")
    if not 2 <= precision <= 16 or not rows or not columns:
        raise ValueError(f"the JPEG states {rows} x {columns} pixels of {precision} bits")
    if kind in JPEG_SEQUENTIAL and precision not in ((8,) if kind == 0xC0 else (8, 12)):
        raise ValueError(f"a JPEG of this kind has no {precision} bits")
    first, second, last = body[-3:]
    if kind in JPEG_LOSSLESS and not (1 <= first <= 7 and last & 15 < precision):
        raise ValueError(f"a lossless JPEG has no predictor {first} with point transform {last & 15}")
    return CodeStream(
        kind=kind,
        rows=rows,
        columns=columns,
        components=components,
        precision=precision,
        restart_interval=found.restart_interval,
        tables=found.tables,
        quantisation=found.quantisation.get(found.quantised_by, ()),
        scan=(body[2], first, second, last),
        scan_start=start,
        end=end if end > start else 0,
    )


def _read_jpeg_2000(data: bytes, start: int) -> CodeStream:
    length, _, width, height, left, top, *tile, components = struct.unpack_from(">HH8LH", data, start + 4)
    tile_width, tile_height, tile_left, tile_top = tile
    if length != 38 + 3 * components or not components:
        raise ValueError("the size segment of the JPEG 2000 stream is damaged")
    samples = struct.unpack_from(f"{3 * components}B", data, start + 42)
    rows, columns, precision = height - top, width - left, (samples[0] & 0x7F) + 1
    covers = tile_left <= left < tile_left + tile_width and tile_top <= top < tile_top + tile_height
    if min(rows, columns) < 1 or precision > 16 or not covers or (components == 1 and samples[1:] != (1, 1)):
        raise ValueError(f"the JPEG 2000 stream states {rows} x {columns} pixels of {precision} bits in impossible tiles")
    tiles = -(-(width - tile_left) // tile_width) * -(-(height - tile_top) // tile_height)
    if tiles > 65535:
        raise ValueError(f"the JPEG 2000 stream states {tiles} tiles")
    position, reversible, quantised = start + 4 + length, None, None
    while (marker := struct.unpack_from(">H", data, position)[0]) != 0xFF90:  # start of the first tile-part
        (length,) = struct.unpack_from(">H", data, position + 2)
        body = data[position + 4 : position + 2 + length]
        if marker < 0xFF50 or length < 2 or len(body) != length - 2:
            raise ValueError("the main header of the JPEG 2000 stream is damaged")
        if marker == 0xFF52:
            reversible = _check_coding_style(body)
        elif marker == 0xFF5C:
            quantised = body[0] & 31 != 0
        position += 2 + length
    if reversible is None or quantised is None or reversible == quantised:  # T.800 A.6.4
        raise ValueError("the JPEG 2000 stream has no coding style, or a quantisation that does not belong to its wavelet")
    return CodeStream(
        kind=JPEG_2000[0],
        rows=rows,
        columns=columns,
        components=components,
        precision=precision,
        end=_end_of_tile_parts(data, position, tiles),
        reversible=reversible,
        signed=samples[0] > 0x7F,
    )


def _check_coding_style(body: bytes) -> bool:
    """Whether the wavelet is the reversible one."""
    style, order, layers, transform, levels, width, height, _, wavelet = struct.unpack_from(">BBHBBBBBB", body)
    precincts = levels + 1 if style & 1 else 0
    if order > 4 or not layers or transform > 1 or levels > 32 or wavelet > 1 or len(body) != 10 + precincts:
        raise ValueError("the coding style of the JPEG 2000 stream is damaged")
    if width > 8 or height > 8 or width + height > 8:  # exponents less two: a code block has 4096 samples at most
        raise ValueError("the JPEG 2000 stream states code blocks that are too large")
    return wavelet == 1


def _end_of_tile_parts(data: bytes, position: int, tiles: int) -> int:
    """Offset behind the end marker, 0 where the data end without; each tile must be there, tile-parts follow one another."""
    seen = set()
    while data[position : position + 2] == b"\xff\x90":
        length, tile, size = struct.unpack_from(">HHL", data, position + 2)
        end = data.find(_END, position + 12) if size == 0 else position + size
        if length != 10 or tile >= tiles or not position + 14 <= end <= len(data):
            raise ValueError("a tile of the JPEG 2000 stream is damaged or truncated")
        seen.add(tile)
        position = end
    marker = data[position : position + 2]
    if marker not in (_END, b"") or len(seen) != tiles:
        raise ValueError(f"the JPEG 2000 stream holds {len(seen)} of {tiles} tile(s), or does not end after them")
    return position + 2 if marker else 0
