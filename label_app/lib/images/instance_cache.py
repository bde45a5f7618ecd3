"""Files of an archive on this machine's disk, as many as there is room for; the least recently used go first."""

from __future__ import annotations

import logging
import threading
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from monai_tavr.files import keep_newest, note_use, replacing

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
                if note_use(path):
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
        removed = keep_newest(self.folder, "*.dcm", limit_bytes=self.limit_bytes, in_use_seconds=_IN_USE_SECONDS)
        if removed:
            logger.info("cache: %d file(s) made room", removed)
