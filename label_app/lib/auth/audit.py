"""The audit log: who changed what, and when. One JSON object per line, only ever appended to.

A line holds the user's name and opaque ids (DICOM UIDs, hashes, versions), never a patient's name or number nor a file's name:
whoever calls this passes none, and values with the marks of a DICOM name or a path are refused.
"""

from __future__ import annotations

import json
import logging
import os
import re
import threading
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from label_app.lib.auth.user import User

__all__ = ["AuditLog"]

logger = logging.getLogger(__name__)

_ACTION = re.compile(r"[a-z]+(\.[a-z_]+)+")
_VALUE = re.compile(r"[A-Za-z0-9:-][A-Za-z0-9._:+-]{0,127}")  # ids, hashes, tags, times, addresses; not `A^B`, `A B` or a path


class AuditLog:
    """Appends lines to a file that only the server's user can read.

    Args:
        path: the file; made with its folder at the first line.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._lock = threading.Lock()

    def record(self, user: User | str, action: str, **what: str | int | float | bool | None) -> None:
        """Write one line, and return when it is on the disk.

        Args:
            user: who did it, or a name.
            action: ``label.submit``, ``label.delete``, ``label.recovered``, ``model.publish``, ``model.activate``,
                ``train.start``, ``train.stop``, ``login.accepted``, ``login.refused``, ...
            what: image, version, model, ...: numbers and opaque ids.

        Raises:
            ValueError: an action or a value does not look like one; nothing was written.
            OSError: the disk is full or the file cannot be written.
        """
        if not _ACTION.fullmatch(action):
            raise ValueError(f"{action!r} is no action: two or more words joined by dots")
        for key, value in what.items():
            if isinstance(value, str) and not _VALUE.fullmatch(value):
                raise ValueError(f"{key} of an audit line must be an id (letters, digits, '._:+-'), got {value[:40]!r}")
        time = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
        name = user.name if isinstance(user, User) else user
        line = json.dumps({"time": time, "user": name, "action": action, **what}, allow_nan=False) + "\n"
        with self._lock:
            self._append(line.encode())

    def note(self, user: User | str, action: str, **what: str | int | float | bool | None) -> None:
        """As :meth:`record`, of what has been done already: a full disk must not turn that into an error. It is logged then."""
        try:
            self.record(user, action, **what)
        except OSError as error:
            logger.error("the audit log cannot be written: %s", error.strerror)

    def lines(self) -> Iterator[dict[str, Any]]:
        """What was written, oldest first; a line that a full disk or a power cut left half-written is passed over.

        Raises:
            OSError: the file cannot be read.
        """
        try:
            with self.path.open("rb") as stream:
                for line in stream:
                    try:
                        content = json.loads(line)
                    except (ValueError, RecursionError):
                        continue
                    if isinstance(content, dict):
                        yield content
        except FileNotFoundError:
            return

    def _append(self, line: bytes) -> None:
        """One write to a file opened for appending: lines of two processes do not mix."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            # a full disk or a power cut may have left half a line: this one must not be lost with it
            size = os.fstat(descriptor).st_size
            if size and os.pread(descriptor, 1, size - 1) != b"\n":
                line = b"\n" + line
            view = memoryview(line)
            while view:
                view = view[os.write(descriptor, view) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
