"""A process of :class:`monai_tavr.dicom.sandbox.Sandbox`: reads requests line by line, and answers each by a line and pixels.

Never run by hand: ``python -m monai_tavr.dicom.sandbox_worker DESCRIPTOR MEMORY``.
"""

from __future__ import annotations

import json
import mmap
import sys
from dataclasses import asdict, fields
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.pixels import pixel_array

from monai_tavr.cine import Cine, CineError, CineInfo
from monai_tavr.dicom.door import refusing_damage
from monai_tavr.dicom.file import NotXRayError, read_dicom
from monai_tavr.dicom.frames import FrameDecoder
from monai_tavr.dicom.open import DicomFrames, open_series
from monai_tavr.dicom.sandbox import SHARED_BYTES, TABLE_BYTES
from monai_tavr.files import FileStamp

__all__ = ["main"]

_OPEN_CINES = 4
_CHANGED = "the file was changed after it was opened; open it again"


def main() -> None:
    """Answer until the requests end."""
    shared = mmap.mmap(int(sys.argv[1]), SHARED_BYTES)
    _limit_memory(int(sys.argv[2]))
    replies = sys.stdout.buffer
    sys.stdout = sys.stderr  # whatever else is written must not look like a reply
    _say(replies, {})
    for line in sys.stdin.buffer:
        request = json.loads(line)
        try:
            with refusing_damage(Path(request["paths"][0]), "the file"):
                reply = _answer(request, shared)
        except CineError as error:
            reply = {"error": [str(error.path), error.reason]}
        _say(replies, reply)


def _say(replies: Any, reply: dict[str, Any]) -> None:
    replies.write(json.dumps(reply).encode() + b"\n")
    replies.flush()


def _limit_memory(beyond: int) -> None:
    try:
        import resource
    except ImportError:  # Windows
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core file holds the patient
    status = Path("/proc/self/statm")
    if status.exists():  # elsewhere the operating system does not hold to the limit
        limit = int(status.read_text().split()[0]) * resource.getpagesize() + beyond
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _answer(request: dict[str, Any], shared: mmap.mmap) -> dict[str, Any]:
    paths = tuple(request["paths"])
    if request["do"] == "open":
        stamps = tuple(FileStamp.of(p) for p in paths)
        info = _cine(paths, stamps, request["voi"]).info
        return {"info": _plain(info), "stamps": [asdict(s) for s in stamps]}
    stamps = tuple(FileStamp(**s) for s in request["stamps"])
    if request["do"] == "samples":
        return _share(_samples(Path(paths[0]), stamps[0], request["index"]), shared=shared)
    load = _cine(paths, stamps, request["voi"]).load
    if isinstance(load, DicomFrames):
        return _share(*load.tabled(request["index"]), shared=shared)
    return _share(load(request["index"]), shared=shared)


@lru_cache(maxsize=_OPEN_CINES)
def _cine(paths: tuple[str, ...], stamps: tuple[FileStamp, ...], voi: bool) -> Cine:
    cine = open_series(paths, voi=voi)
    for path, stamp in zip(paths, stamps, strict=True):
        _check(Path(path), stamp)
    return cine


def _check(path: Path, stamp: FileStamp) -> None:
    if FileStamp.of(path) != stamp:
        raise CineError(path, _CHANGED)


def _plain(info: CineInfo) -> dict[str, Any]:
    """For JSON."""
    content = {f.name: getattr(info, f.name) for f in fields(info)}
    times = content["frame_times"]
    return content | {"path": str(content["path"]), "frame_times": None if times is None else times.tolist()}


def _samples(path: Path, stamp: FileStamp, index: int) -> np.ndarray:
    """The samples of a frame as they are stored, little endian; of an X-ray image without overlays in unused bits."""
    _check(path, stamp)
    try:
        file = read_dicom(path)
    except NotXRayError:
        file = None
    if file is None or file.whole("HighBit") not in (None, file.dataset.BitsStored - 1):  # the header will say how to shift
        samples = pixel_array(path, index=index, raw=True)
        return samples.astype(samples.dtype.newbyteorder("<"))
    samples = FrameDecoder(file)(index)
    return samples.astype(f"<{'i' if samples.dtype.kind == 'i' else 'u'}{file.dataset.BitsAllocated // 8}")


def _share(pixels: np.ndarray, table: np.ndarray | None = None, *, shared: mmap.mmap) -> dict[str, Any]:
    """Put samples, or places in a table of grey levels, into the shared memory."""
    if pixels.nbytes > SHARED_BYTES - TABLE_BYTES:
        raise ValueError("a frame is larger than any detector's")
    if table is not None:
        np.frombuffer(shared, np.float32, len(table))[:] = table
    np.frombuffer(shared, pixels.dtype, pixels.size, TABLE_BYTES).reshape(pixels.shape)[...] = pixels
    return {"pixels": {"dtype": pixels.dtype.str, "shape": pixels.shape, "table": 0 if table is None else len(table)}}


if __name__ == "__main__":
    main()
