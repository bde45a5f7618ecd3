"""Frames of a DICOM file as a viewer wants them: as they are stored, decoded, or rendered.

Stored frames are sent unchanged with their transfer syntax, for the browser decodes them; only what HTTP has no name for becomes
Explicit VR Little Endian (PS3.18 8.7.3.5.2): implicit VR, big endian and deflated.
"""

from __future__ import annotations

import io
from functools import lru_cache
from typing import BinaryIO

import numpy as np
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ExplicitVRLittleEndian, RLELossless

from label_app.lib.images.cine_files import open_instances, samples_of
from label_app.lib.images.study_index import Instance, whole
from monai_tavr.dicom.file import DicomFile
from monai_tavr.dicom.fragments import Fragment, index_fragments
from monai_tavr.dicom.header import enter_pixel_data, read_header
from monai_tavr.files import FileStamp

__all__ = ["media_type", "rendered_frame", "stored_frame"]

_STRUCTURE = ("NumberOfFrames", "Rows", "Columns", "BitsAllocated", "ExtendedOffsetTable")  # what tells the frames apart
_MEDIA_TYPES = {  # PS3.18 table 8.7.3-5
    RLELossless: "image/dicom-rle",
    "1.2.840.10008.1.2.4.80": "image/jls",
    "1.2.840.10008.1.2.4.81": "image/jls",
    "1.2.840.10008.1.2.4.90": "image/jp2",
    "1.2.840.10008.1.2.4.91": "image/jp2",
    "1.2.840.10008.1.2.4.92": "image/jpx",
    "1.2.840.10008.1.2.4.93": "image/jpx",
    "1.2.840.10008.1.2.4.201": "image/jphc",
    "1.2.840.10008.1.2.4.202": "image/jphc",
    "1.2.840.10008.1.2.4.203": "image/jphc",
}


def media_type(transfer_syntax_uid: str) -> str:
    """The media type of a frame stored in that transfer syntax."""
    if not UID(transfer_syntax_uid).is_compressed or transfer_syntax_uid == DeflatedExplicitVRLittleEndian:
        return "application/octet-stream"
    return _MEDIA_TYPES.get(transfer_syntax_uid, "image/jpeg")


def stored_frame(instance: Instance, index: int) -> tuple[bytes, str]:
    """A frame's bytes and their transfer syntax.

    Args:
        instance: the file.
        index: 0-based frame.

    Raises:
        ValueError: the file's pixel data is damaged or ends before that frame.
    """
    syntax = UID(instance.transfer_syntax_uid)
    if syntax == ExplicitVRBigEndian:  # 8-bit samples may lie in swapped pairs, which pydicom knows
        return samples_of(instance, index), ExplicitVRLittleEndian
    if syntax == DeflatedExplicitVRLittleEndian:
        length = _native_length(instance)
        with instance.opened() as stream:
            stamp = FileStamp.of_stream(stream)
        return _complete(_inflated(instance, stamp)[index * length : (index + 1) * length], length), ExplicitVRLittleEndian
    with instance.opened() as stream:
        if syntax.is_encapsulated:
            fragments = _fragments(instance, FileStamp.of_stream(stream))
            return b"".join(_read(stream, *fragment) for fragment in fragments[index]), str(syntax)
        _enter(stream)
        length = _native_length(instance)
        stream.seek(index * length, io.SEEK_CUR)
        frame = _complete(stream.read(length), length)
    return frame, ExplicitVRLittleEndian


def rendered_frame(instance: Instance, index: int, *, image_format: str = "JPEG", size: int | None = None) -> bytes:
    """A frame as a picture of 8 bits, grey as a monitor shows it; ``size`` is the longest side for thumbnails."""
    cine = open_instances([instance])
    pixels = cine.frame(index)
    low, high = float(pixels.min()), float(pixels.max())
    if cine.info.bits_stored is not None and low >= 0 and high < 1 << cine.info.bits_stored:
        low, high = 0.0, float((1 << cine.info.bits_stored) - 1)  # the same for all frames, so that a cine does not flicker
    picture = Image.fromarray(np.uint8(np.round((pixels - low) * (255 / max(high - low, 1e-6)))))
    if size is not None:
        picture.thumbnail((size, size))
    stream = io.BytesIO()
    picture.save(stream, image_format)
    return stream.getvalue()


def _enter(stream: BinaryIO) -> tuple[Dataset, str, int | None, BinaryIO]:
    """What tells the frames apart, value representation and bytes of the pixel data, and a stream at their first byte."""
    dataset, pixels = read_header(stream, specific_tags=_STRUCTURE)
    vr, length = enter_pixel_data(pixels, little_endian=True)
    if not vr:
        raise ValueError("the file has no pixel data")
    return dataset, vr, length, pixels


@lru_cache(maxsize=8)  # a viewer asks for every frame of a few cines
def _fragments(instance: Instance, stamp: FileStamp) -> list[list[Fragment]]:
    """The fragments of each frame of encapsulated pixel data."""
    with instance.opened() as stream:
        dataset, vr, length, pixels = _enter(stream)
        syntax = UID(instance.transfer_syntax_uid)
        return index_fragments(DicomFile(instance.path, dataset, syntax, vr, pixels.tell(), length, stamp))


def _read(stream: BinaryIO, start: int, length: int) -> bytes:
    stream.seek(start)
    return stream.read(length)


def _native_length(instance: Instance) -> int:
    rows, columns, bits = (whole(instance.header, keyword) for keyword in ("Rows", "Columns", "BitsAllocated"))
    length = rows * columns * (whole(instance.header, "SamplesPerPixel") or 1) * bits // 8
    if length <= 0:
        raise ValueError("the header does not say how large a frame is")
    return length


def _complete(frame: bytes, length: int) -> bytes:
    if len(frame) != length:
        raise ValueError(f"the pixel data is truncated: a frame needs {length} bytes, {len(frame)} are left")
    return frame


@lru_cache(maxsize=2)  # a deflated file can only be read from its beginning
def _inflated(instance: Instance, stamp: FileStamp) -> bytes:
    """The pixel data of a deflated file."""
    with instance.opened() as stream:
        return _enter(stream)[-1].read()
