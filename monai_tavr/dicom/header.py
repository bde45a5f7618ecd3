"""The header of a DICOM file, up to its pixels, read by pydicom; deflated files (PS3.5 A.5) within limits.

pydicom inflates such a file whole, whatever its size becomes: 100 kB of zeros, well deflated, take 100 MB, and 100 MB all memory.
Files from before PS3.10 begin with their first attribute, without preamble and file meta information. And what the file meta
information says of the data set's encoding is sometimes wrong: the data set itself tells.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Sequence
from typing import BinaryIO

from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_dataset, read_preamble
from pydicom.tag import BaseTag, Tag
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from monai_tavr.dicom.limits import inflates_to

__all__ = ["enter_pixel_data", "read_header", "says_dicom"]

_PIXELS = (0x7FE00008, 0x7FE00009, 0x7FE00010)
_PIXEL_DATA = 0x7FE00010
_CHUNK = 1 << 16
# what a data set without preamble may begin with: the length of its first group, or the first attributes of group 0008
_FIRST_ELEMENTS = (0x0000, 0x0001, 0x0005, 0x0006, 0x0008, 0x0012, 0x0013, 0x0014, 0x0016, 0x0018, 0x0020)
_FIRST_VRS = (b"UL", b"CS", b"SQ", b"DA", b"TM", b"UI")
_LONGEST_FIRST = 1024  # bytes of a first attribute


def says_dicom(stream: BinaryIO) -> bool:
    """Whether a file is DICOM by its first bytes: a preamble (PS3.10 7.1), or an attribute that data sets begin with.

    Args:
        stream: the file, at its beginning; it is left there.
    """
    head = stream.read(132)
    stream.seek(0)
    if head[128:] == b"DICM":
        return True
    if len(head) < 12:
        return False
    return _begins_data_set(head, little_endian=True) or _begins_data_set(head, little_endian=False)


def _begins_data_set(head: bytes, *, little_endian: bool) -> bool:
    order = "<" if little_endian else ">"
    group, element, implicit_length = struct.unpack_from(f"{order}HHL", head)
    if (group, element) != (0x0002, 0x0000) and (group != 0x0008 or element not in _FIRST_ELEMENTS):
        return False
    return head[4:6] in _FIRST_VRS or (little_endian and implicit_length <= _LONGEST_FIRST)


def read_header(stream: BinaryIO, *, specific_tags: Sequence[str] | None = None) -> tuple[FileDataset, BinaryIO]:
    """Read a DICOM file up to its pixels.

    Args:
        stream: the file, at its beginning.
        specific_tags: keywords of the attributes to read; None for all.

    Returns:
        The header, whose file meta information states a transfer syntax in any case, and the stream that holds the pixel data
        element next: the given one, or the inflated data set.

    Raises:
        InvalidDicomError: not a DICOM file.
        ValueError: the file inflates to more than any X-ray does.
        zlib.error: the deflated data are damaged or truncated.
        Exception: whatever else pydicom raises for a damaged header.
    """
    if not says_dicom(stream):
        raise InvalidDicomError("neither a preamble nor a data set")
    preamble = read_preamble(stream, force=True)
    meta = FileMetaDataset(read_dataset(stream, False, True, stop_when=lambda tag, vr, length: tag.group != 2))
    syntax = meta.get("TransferSyntaxUID")
    body = _inflate(stream) if syntax == DeflatedExplicitVRLittleEndian else stream
    implicit, little = _encoding(body, syntax)
    if not syntax:
        meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian if little else ExplicitVRBigEndian
    tags: list[BaseTag | int] | None = None if specific_tags is None else [Tag(keyword) for keyword in specific_tags]
    dataset = read_dataset(body, implicit, little, stop_when=_at_pixels, specific_tags=tags)
    return FileDataset("", dataset, preamble, meta, is_implicit_VR=implicit, is_little_endian=little), body


def _at_pixels(tag: BaseTag, vr: str | None, length: int) -> bool:
    return tag in _PIXELS


def _encoding(stream: BinaryIO, syntax: UID | None) -> tuple[bool, bool]:
    """Whether the VRs are implicit, and the bytes little endian; the stream is left where it stands.

    Two capital letters after the first tag are a VR: as a length they would be 16 kB and more.
    """
    start = stream.read(6)
    stream.seek(-len(start), io.SEEK_CUR)
    if len(start) < 6:
        return syntax == ImplicitVRLittleEndian, syntax != ExplicitVRBigEndian
    implicit = not (start[4:6].isalpha() and start[4:6].isupper())
    if syntax:
        return implicit, syntax != ExplicitVRBigEndian
    return implicit, implicit or start[0] != 0  # big endian groups below 0100 begin with a zero


def enter_pixel_data(stream: BinaryIO, *, little_endian: bool) -> tuple[str, int | None]:
    """Go from where :func:`read_header` stopped to the first byte of the pixels.

    Args:
        stream: as :func:`read_header` returns it.
        little_endian: how numbers are written.

    Returns:
        Value representation, "" where there is no pixel data element, and bytes, None for encapsulated data.
    """
    order = "<" if little_endian else ">"
    head = stream.read(8)
    if len(head) < 8:
        return "", None
    group, element, length = struct.unpack(f"{order}HHL", head)
    if group << 16 | element != _PIXEL_DATA:
        return "", None
    vr = "OW"
    if head[4:] in (b"OB\0\0", b"OW\0\0", b"UN\0\0"):  # as a length of implicit VR they would be odd, and none is
        vr, raw = head[4:6].decode(), stream.read(4)
        if len(raw) < 4:
            return "", None
        (length,) = struct.unpack(f"{order}L", raw)
    return vr, None if length == 0xFFFFFFFF else length


def _inflate(stream: BinaryIO) -> io.BytesIO:
    inflater, inflated, taken = zlib.decompressobj(-zlib.MAX_WBITS), io.BytesIO(), 0
    while not inflater.eof and (chunk := stream.read(_CHUNK)):
        taken += len(chunk)
        limit = inflates_to(taken)
        inflated.write(inflater.decompress(chunk, limit + 1 - inflated.tell()))
        if inflated.tell() > limit:
            raise ValueError("the file inflates to more than any X-ray does")
    if not inflater.eof:
        raise zlib.error("incomplete")
    inflated.seek(0)
    return inflated
