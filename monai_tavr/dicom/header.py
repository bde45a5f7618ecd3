"""The header of a DICOM file, up to its pixels, read by pydicom; deflated files (PS3.5 A.5) within limits.

pydicom inflates such a file whole, whatever its size becomes: 100 kB of zeros, well deflated, take 100 MB, and 100 MB all memory.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Sequence
from typing import BinaryIO

import pydicom
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.filereader import read_dataset, read_preamble
from pydicom.tag import BaseTag
from pydicom.uid import DeflatedExplicitVRLittleEndian

from monai_tavr.dicom.limits import inflates_to

__all__ = ["read_header"]

_PIXELS = (0x7FE00008, 0x7FE00009, 0x7FE00010)
_CHUNK = 1 << 16


def read_header(stream: BinaryIO, *, specific_tags: Sequence[str] | None = None) -> tuple[FileDataset, BinaryIO]:
    """Read a PS3.10 file up to its pixels.

    Args:
        stream: the file, at its beginning.
        specific_tags: keywords of the attributes to read; None for all. A deflated file is read whole all the same.

    Returns:
        The header, and the stream that holds the pixel data element next: the given one, or the inflated data set.

    Raises:
        InvalidDicomError: not a DICOM file.
        ValueError: the file inflates to more than any X-ray does.
        zlib.error: the deflated data are damaged or truncated.
        Exception: whatever else pydicom raises for a damaged header.
    """
    preamble = read_preamble(stream, force=False)
    meta = FileMetaDataset(read_dataset(stream, False, True, stop_when=lambda tag, vr, length: tag.group != 2))
    if meta.get("TransferSyntaxUID") != DeflatedExplicitVRLittleEndian:
        stream.seek(0)
        tags = None if specific_tags is None else list(specific_tags)
        return pydicom.dcmread(stream, stop_before_pixels=True, specific_tags=tags), stream
    inflated = _inflate(stream)
    dataset = read_dataset(inflated, False, True, stop_when=_at_pixels)
    return FileDataset("", dataset, preamble, meta, is_implicit_VR=False, is_little_endian=True), inflated


def _at_pixels(tag: BaseTag, vr: str | None, length: int) -> bool:
    return tag in _PIXELS


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
