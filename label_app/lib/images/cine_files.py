"""The files of a registered image as one cine, read and decoded outside the server's own process."""

from __future__ import annotations

import logging
import struct
import zlib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from pydicom.errors import InvalidDicomError

from label_app.lib.images.study_index import REPLACED, Instance
from monai_tavr.dicom import Cine, CineError
from monai_tavr.dicom.sandbox import Sandbox
from monai_tavr.files import FileStamp

__all__ = ["UNREADABLE", "open_instances", "reason_of", "samples_of"]

logger = logging.getLogger(__name__)

_OPEN_CINES = 4  # each keeps its last frames: 32 MiB of 1024 x 1024 pixels
_SANDBOX = Sandbox()  # its processes start with the first image that somebody looks at

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


def open_instances(instances: Sequence[Instance]) -> Cine:
    """The files of instances as one cine: a multi-frame file, or single frames in the given order. The last few stay open.

    Raises:
        CineError: a file cannot be read as X-ray angiography, the frames differ in size, or it holds another instance.
        OSError: a file is gone.
    """
    files = []
    for instance in instances:
        path = instance.path
        stamp = FileStamp.of(path)
        if instance.stamp not in (None, stamp):
            raise CineError(path, REPLACED)
        files.append((path, stamp, instance.sop_uid))
    return _open(tuple(files))


@lru_cache(maxsize=_OPEN_CINES)
def _open(files: tuple[tuple[Path, FileStamp, str], ...]) -> Cine:
    cine = _SANDBOX.open_series([path for path, _, _ in files])
    info = cine.info
    for (path, stamp, sop_uid), found in zip(files, info.frame_sop_instance_uids or [info.sop_instance_uid], strict=True):
        if found != sop_uid or FileStamp.of(path) != stamp:
            raise CineError(path, REPLACED)
    for remark in info.remarks:
        logger.warning("an image: %s", remark)  # which one the page says, to who looks at it
    return cine


def samples_of(instance: Instance, index: int) -> bytes:
    """The samples of a frame (0-based) as Explicit VR Little Endian stores them, whatever the file's transfer syntax.

    Raises:
        CineError: the file is damaged, or was replaced.
    """
    path = instance.path
    return _SANDBOX.samples(path, instance.stamp or FileStamp.of(path), index)


def reason_of(error: Exception) -> str:
    """What is wrong with a file, without its path: file names of hospitals carry patients' names."""
    if isinstance(error, CineError):
        return error.reason
    return error.strerror or "it cannot be read" if isinstance(error, OSError) else str(error)
