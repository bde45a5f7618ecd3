"""Cines that are read and decoded in processes of their own: a file that ends a decoder, or never ends, costs one request.

A server opens files that anybody may have made, and native decoders trust their input. The header checks of
:mod:`monai_tavr.dicom.code_stream` refuse the damage that is known; what is not known ends a process of this pool, which has
limits of memory and time and is replaced. Processes start with the first file, sleep while there is nothing to do, and end with
the program. They get paths and give JSON, which cannot harm whoever reads it, and pixels in shared memory, which costs well under
a millisecond per frame (``monai-tavr benchmark read``).
"""

from __future__ import annotations

import atexit
import json
import math
import mmap
import os
import select
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any, cast

import numpy as np

from monai_tavr.cine import Cine, CineError, CineInfo
from monai_tavr.dicom.limits import MOST_PIXELS
from monai_tavr.files import FileStamp

__all__ = ["SHARED_BYTES", "TABLE_BYTES", "Sandbox"]

TABLE_BYTES = 4 << 16  # a grey level for each of 16 bits; the pixels follow
SHARED_BYTES = TABLE_BYTES + 4 * MOST_PIXELS  # of address space; memory is taken as frames need it
_WORKER = (sys.executable, "-W", "ignore", "-m", "monai_tavr.dicom.sandbox_worker")
# glibc would give the memory of a frame back and take it again for the next: 5 ms of page faults
_KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(32 << 20), "MALLOC_TRIM_THRESHOLD_": str(256 << 20)}
_START_SECONDS = 60.0  # to import the reader on a busy machine
_REPLY_BYTES = 64 << 20  # a header with a time and a UID for each of a million frames


class Sandbox:
    """A pool of reading processes. Safe for use by several threads.

    Args:
        processes: so many files are read at once; whoever comes later waits.
        memory: bytes that a file may take, beside the process itself.
        seconds: that opening a file, or decoding a frame, may take.
    """

    def __init__(self, *, processes: int = 2, memory: int = 3 << 29, seconds: float = 20.0) -> None:
        self._memory, self._seconds = memory, seconds
        self._free = threading.Semaphore(processes)
        self._lock = threading.Lock()
        self._idle: list[_Worker] = []
        atexit.register(self.close)

    def open_series(self, paths: Sequence[str | os.PathLike[str]], *, voi: bool = True) -> Cine:
        """As :func:`monai_tavr.dicom.open_series`; also raises CineError where a file ends the process that reads it."""
        names = [str(Path(p).resolve()) for p in paths]
        reply, _ = self._ask(Path(names[0]), {"do": "open", "paths": names, "voi": voi})
        info = reply["info"]
        for key in ("spacing", "detector_spacing", "shutter"):
            info[key] = None if info[key] is None else tuple(info[key])
        times = info["frame_times"]
        info |= {
            "path": Path(info["path"]),
            "frame_times": None if times is None else np.array(times, np.float64),
            "frame_sop_instance_uids": tuple(info["frame_sop_instance_uids"]),
            "remarks": tuple(info["remarks"]),
        }
        opened = {"do": "frame", "paths": names, "voi": voi, "stamps": reply["stamps"]}

        def load(index: int) -> np.ndarray:
            return self._ask(Path(names[0]), opened | {"index": index})[1]

        return Cine(CineInfo(**info), load)

    def samples(self, path: Path, stamp: FileStamp, index: int) -> bytes:
        """The samples of a frame of any DICOM image, as Explicit VR Little Endian stores them.

        Args:
            path: the file.
            stamp: what its content must be known by.
            index: 0-based frame.

        Raises:
            CineError: the file is damaged, or another one by now.
        """
        name = str(path.resolve())
        _, samples = self._ask(path, {"do": "samples", "paths": [name], "stamps": [asdict(stamp)], "index": index})
        return samples.tobytes()

    def close(self) -> None:
        """End the processes that are idle; the next file starts new ones."""
        with self._lock:
            idle, self._idle = self._idle, []
        for worker in idle:
            worker.end()

    def _worker(self) -> _Worker:
        """An idle process, or a new one; those that ended meanwhile are forgotten."""
        with self._lock:
            while self._idle:
                worker = self._idle.pop()
                if worker.is_alive():
                    return worker
                worker.end()
        return _Worker(self._memory)

    def _ask(self, path: Path, request: dict[str, Any]) -> tuple[dict[str, Any], np.ndarray]:
        """The reply, and the pixels that came with it."""
        with self._free:
            worker = self._worker()
            try:
                reply = worker.ask(request, self._seconds)
                pixels = worker.pixels(**reply["pixels"]) if "pixels" in reply else np.empty(0)
            except BaseException as error:
                worker.end()
                if isinstance(error, TimeoutError):
                    raise CineError(path, f"not read within {self._seconds:.0f} seconds: it is damaged, fetch it again") from None
                if isinstance(error, OSError | ValueError | LookupError | TypeError):
                    raise CineError(path, "the process that read it ended: the file is damaged, fetch it again") from None
                raise
            with self._lock:
                self._idle.append(worker)
        if "error" in reply:
            where, reason = reply["error"]
            raise CineError(where, reason)
        return reply, pixels


class _Worker:
    """One process; asked by one thread at a time."""

    def __init__(self, memory: int) -> None:
        shared = _shared_memory()
        # the archive's password and its like are none of a decoder's business
        environment = {k: v for k, v in os.environ.items() if not k.startswith("MONAI_TAVR_")}
        environment |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", **_KEEP_MEMORY}
        try:
            self._shared = mmap.mmap(shared, SHARED_BYTES)
            self._process = subprocess.Popen(
                [*_WORKER, str(shared), str(memory)],
                stdin=subprocess.PIPE,  # whose end is the process's end
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,  # words of decoders may quote a header
                pass_fds=[shared],
                env=environment,
                start_new_session=True,  # Ctrl-C is for the program
                bufsize=0,
            )
        finally:
            os.close(shared)
        # Popen gives both where it is told PIPE, which a type checker cannot know
        self._requests, self._replies = cast(IO[bytes], self._process.stdin), cast(IO[bytes], self._process.stdout)
        try:
            self._reply(_START_SECONDS)
        except BaseException:
            self.end()
            raise

    def is_alive(self) -> bool:
        return self._process.poll() is None

    def ask(self, request: dict[str, Any], seconds: float) -> dict[str, Any]:
        """Raises TimeoutError, and OSError where the process ends."""
        self._requests.write(json.dumps(request).encode() + b"\n")
        return self._reply(seconds)

    def pixels(self, *, dtype: str, shape: Sequence[int], table: int) -> np.ndarray:
        """What lies in the shared memory, as an array of the caller's own: samples, or places in a table of grey levels."""
        values = np.frombuffer(self._shared, dtype, math.prod(shape), TABLE_BYTES).reshape(shape)
        return np.frombuffer(self._shared, np.float32, table).take(values) if table else values.copy()

    def _reply(self, seconds: float) -> dict[str, Any]:
        deadline = time.monotonic() + seconds
        line = bytearray()
        while b"\n" not in line[-1:]:
            ready, _, _ = select.select([self._replies], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                raise TimeoutError
            chunk = self._replies.read(1 << 20)
            if not chunk or len(line) > _REPLY_BYTES:
                raise ConnectionError
            line += chunk
        reply: dict[str, Any] = json.loads(line)
        return reply

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        self._requests.close()
        self._replies.close()
        self._shared.close()


def _shared_memory() -> int:
    """A file in memory, or one that nobody else can open, of :data:`SHARED_BYTES`."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("monai-tavr frame")
    else:
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    os.ftruncate(descriptor, SHARED_BYTES)
    return descriptor
