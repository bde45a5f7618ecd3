"""The files of a registered image as one cine."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pydicom.errors import InvalidDicomError

from monai_tavr.dicom import Cine, CineError, open_cine

__all__ = ["UNREADABLE", "open_files", "reason_of"]

UNREADABLE = (  # what reading and decoding raise for damaged files
    ArithmeticError,
    AttributeError,
    EOFError,
    InvalidDicomError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)


def open_files(paths: Sequence[str | Path]) -> Cine:
    """A multi-frame file, or the single-frame files of one series in the given order, which may share their folder with others.

    Raises:
        CineError: a file cannot be read as X-ray angiography.
        ValueError: the files differ in size.
    """
    cines = [open_cine(path) for path in paths]
    first = cines[0].info
    if len(cines) == 1:
        return cines[0]
    if any((c.info.rows, c.info.columns) != (first.rows, first.columns) for c in cines):
        raise ValueError("the frames of this series differ in size: they are no frames of one cine")
    info = replace(
        first,
        path=first.path.parent,
        number_of_frames=len(cines),
        frame_times=None,
        sop_instance_uid=None,
        frame_sop_instance_uids=tuple(c.info.sop_instance_uid or "" for c in cines),
        instance_number=None,
    )
    return Cine(info, lambda index: cines[index].frame(0))


def reason_of(error: Exception) -> str:
    """What is wrong with a file, without its path: file names of hospitals carry patients' names."""
    if isinstance(error, CineError):
        return error.reason
    return error.strerror or "it cannot be read" if isinstance(error, OSError) else str(error)
