"""Which fragments of encapsulated pixel data make which frame (PS3.5 A.4).

The header says how many frames there are, an offset table where each begins, and each code stream begins with a marker of its
own. Where these disagree the frames are taken only if they are unambiguous: tables of zeros, or counted from another place, are
common and harmless; a frame more or less than the header declares is neither.
"""

from __future__ import annotations

import struct
from itertools import pairwise

import numpy as np
from pydicom.uid import RLELossless

from monai_tavr.dicom.code_stream import begins_code_stream
from monai_tavr.dicom.file import DicomFile
from monai_tavr.dicom.limits import plausible_frame

__all__ = ["Fragment", "index_fragments"]

Fragment = tuple[int, int]
"""Offset in the file, and bytes."""

_ITEM, _DELIMITER = 0xFFFEE000, 0xFFFEE0DD
_TRUNCATED = "the pixel data end too early: the file is truncated; fetch it again"
_HEAD = 8  # bytes of a fragment by which it is known


def index_fragments(file: DicomFile) -> list[list[Fragment]]:
    """The fragments of each frame, in order; of them only the first bytes are read.

    Raises:
        CineError: the pixel data are not whole, or hold another number of frames than the header declares; says both.
    """
    if file.pixel_length is not None:
        raise file.error(f"uncompressed pixel data in the compressed syntax {file.syntax.name}: the header is damaged")
    (table, _), *items = _items(file)
    fragments = [item for item, _ in items]
    frames = file.number_of_frames
    if not fragments:
        raise file.error("there are no frames in the pixel data; fetch the file again")
    if frames > len(fragments):
        raise file.error(
            f"{len(fragments)} fragment(s) of pixel data cannot hold the header's {frames} frame(s): it is damaged, or the file "
            "is truncated; fetch it again"
        )
    rows, columns, coded = int(file.dataset.Rows), int(file.dataset.Columns), sum(length for _, length in fragments)
    if not plausible_frame(rows, columns, coded):
        raise file.error(f"{rows} x {columns} pixels in {coded} bytes: the header is damaged; fetch the file again")
    beginning = [i for i, (_, head) in enumerate(items) if _begins_frame(file, head)]
    if len(beginning) > frames:
        raise file.error(
            f"the pixel data hold {len(beginning)} frames and the header declares {frames}: which of them belong to it is not "
            "known; correct NumberOfFrames, or export the file again"
        )
    firsts = beginning if len(beginning) == frames else _first_fragments(file, fragments, table)
    if firsts is None and len(fragments) == frames:
        firsts = list(range(frames))
    if firsts is None and frames == 1:
        firsts = [0]
    if firsts is None or firsts[0] != 0:
        raise file.error(
            f"{len(fragments)} fragment(s), of which {len(beginning)} begin a frame, do not make {frames} frame(s), nor does the "
            "offset table say how: the file is damaged or truncated; fetch it again"
        )
    return [fragments[a:b] for a, b in pairwise([*firsts, len(fragments)])]


def _items(file: DicomFile) -> list[tuple[Fragment, bytes]]:
    """Basic offset table and fragments up to the sequence delimiter, with their first bytes."""
    items: list[tuple[Fragment, bytes]] = []
    position = file.pixel_start
    with file.path.open("rb") as stream:
        while True:
            stream.seek(position)
            head = stream.read(8 + _HEAD)
            if len(head) < 8:
                raise file.error(_TRUNCATED)
            group, element, length = struct.unpack_from("<HHL", head)
            tag = group << 16 | element
            if tag == _DELIMITER and items:
                return items
            if tag != _ITEM or length == 0xFFFFFFFF:
                raise file.error("the pixel data are not a sequence of fragments: the file is damaged; fetch it again")
            if position + 8 + length > file.stamp.size:
                raise file.error(_TRUNCATED)
            items.append(((position + 8, length), head[8 : 8 + length]))
            position += 8 + length


def _begins_frame(file: DicomFile, head: bytes) -> bool:
    """Whether a fragment with these first bytes begins a code stream, or a table of RLE segments."""
    if file.syntax == RLELossless:
        return head == struct.pack("<LL", int(file.dataset.BitsAllocated) // 8, 64)
    return begins_code_stream(head)


def _first_fragments(file: DicomFile, fragments: list[Fragment], table: Fragment) -> list[int] | None:
    """The first fragment of each frame by the extended or the basic offset table; None where it does not fit."""
    extended = file.dataset.get("ExtendedOffsetTable")
    if extended:
        offsets = [int(v) for v in np.frombuffer(extended[: len(extended) // 8 * 8], "<u8")]
    else:
        offsets = [int(v) for v in np.frombuffer(file.read(*table)[: table[1] // 4 * 4], "<u4")]
    if len(offsets) != file.number_of_frames:
        return None
    places = {start - fragments[0][0]: i for i, (start, _) in enumerate(fragments)}
    # some count from another place than the first fragment's item
    firsts = [places.get(offset - offsets[0], -1) for offset in offsets]
    return firsts if all(a < b for a, b in pairwise(firsts)) else None
