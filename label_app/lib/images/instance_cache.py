"""Files of an archive on this machine's disk, as many as there is room for; the least recently used go first."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from monai_tavr.files import replacing

__all__ = ["InstanceCache"]

logger = logging.getLogger(__name__)

_IN_USE_SECONDS = 600  # whoever asked for a path opens the file soon


class InstanceCache:
    """A folder of DICOM files named by their SOP instance UID. Safe for several threads and processes.

    Args:
        folder: made if missing; nothing else may lie in it.
        limit_bytes: what the files may take together; those of the last ten minutes stay even beyond it.
    """

    def __init__(self, folder: Path, *, limit_bytes: int) -> None:
        self.folder = folder
        self.limit_bytes = limit_bytes
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)  # patients' images
        self._guard = threading.Lock()
        self._fetching: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    def path(self, sop_uid: str, fetch: Callable[[BinaryIO], object]) -> Path:
        """The file of an instance; ``fetch`` writes it where it is not there yet.

        Args:
            sop_uid: a valid UID.
            fetch: called once, however many ask at the same time.
        """
        path = self.folder / f"{sop_uid}.dcm"
        with self._guard:
            lock = self._fetching[sop_uid]
        try:
            with lock:
                if _used(path):
                    return path
                with replacing(path) as stream:
                    fetch(stream)
        finally:
            with self._guard:
                self._fetching.pop(sop_uid, None)
        with self._guard:
            self._make_room()
        return path

    def _make_room(self) -> None:
        files = []
        for path in self.folder.glob("*.dcm"):
            try:
                status = path.stat()
            except OSError:
                continue  # another process was faster
            files.append((status.st_atime, status.st_size, path))
        total = sum(size for _, size, _ in files)
        removed = 0
        for used, size, path in sorted(files):
            if total <= self.limit_bytes or time.time() - used < _IN_USE_SECONDS:
                break
            path.unlink(missing_ok=True)
            total, removed = total - size, removed + 1
        if removed:
            logger.info("cache: %d file(s) made room", removed)


def _used(path: Path) -> bool:
    """Note that a file is used now; False where it is not there.

    The time of change stays: what was predicted on the file is known by it (:func:`label_app.lib.infers.cache.prediction_key`).
    """
    try:
        os.utime(path, ns=(time.time_ns(), path.stat().st_mtime_ns))
    except FileNotFoundError:
        return False
    return True
