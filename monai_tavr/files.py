"""Files that are never half-written: written beside the target, flushed to disk, and renamed or linked into place.

And what a file's content is known by, for whoever keeps something that was made of it (:class:`FileStamp`).
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

__all__ = [
    "FileStamp",
    "creating",
    "creating_folder",
    "keep_newest",
    "note_use",
    "remove_leftovers",
    "replacing",
    "replacing_path",
    "write_json_atomically",
]

_ABANDONED_SECONDS = 600  # nothing was written to the temporary file since: it belongs to a process that was killed
_HEAD = 4096  # bytes; a DICOM file states its SOP instance UID within the first few hundred (PS3.10 7.1)


@dataclass(frozen=True)
class FileStamp:
    """What the content of a file is known by. Every cache of it is keyed by path and stamp, so that it never answers for another.

    Size and time alone are not enough: copies keep their time, and raw cines of one protocol have one size.

    Attributes:
        size: bytes.
        mtime_ns: time of change, nanoseconds since the epoch.
        head: SHA-256 of the first 4096 bytes, in which a DICOM file states its SOP instance UID.
    """

    size: int
    mtime_ns: int
    head: str

    @classmethod
    def of(cls, path: str | os.PathLike[str]) -> FileStamp:
        """Of the file that is there now. Raises OSError."""
        with Path(path).open("rb") as stream:
            return cls.of_stream(stream)

    @classmethod
    def of_stream(cls, stream: BinaryIO) -> FileStamp:
        """Of an open file; the stream stands where it stood."""
        status, position = os.fstat(stream.fileno()), stream.tell()
        stream.seek(0)
        head = hashlib.sha256(stream.read(_HEAD)).hexdigest()
        stream.seek(position)
        return cls(status.st_size, status.st_mtime_ns, head)


@contextmanager
def replacing(path: str | os.PathLike[str], *, mode: int = 0o644) -> Iterator[BinaryIO]:
    """A stream whose content becomes ``path`` when the block ends; after an error an older file is still there, whole.

    Args:
        path: the file.
        mode: its permissions from the first moment on, e.g. 0o600 for a secret.
    """
    with _beside(Path(path), lambda temporary: temporary.replace(path), mode=mode) as temporary, temporary.open("wb") as stream:
        yield stream


@contextmanager
def replacing_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """As :func:`replacing`, for writers that open a file themselves: the path of an empty one, with the suffix of ``path``."""
    with _beside(Path(path), lambda temporary: temporary.replace(path), suffix=Path(path).suffix) as temporary:
        yield temporary


@contextmanager
def creating(path: str | os.PathLike[str], *, mode: int = 0o644) -> Iterator[BinaryIO]:
    """As :func:`replacing`, but for a new file: one that is there already stays, even if it came while the block ran.

    Args:
        path: the file.
        mode: its permissions from the first moment on, e.g. 0o600 for a secret.

    Raises:
        FileExistsError: there is such a file.
        OSError: also where the file system has no hard links.
    """

    def publish(temporary: Path) -> None:
        os.link(temporary, path)  # unlike a rename it never takes the place of another file
        temporary.unlink()

    with _beside(Path(path), publish, mode=mode) as temporary, temporary.open("wb") as stream:
        yield stream


@contextmanager
def creating_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A folder to fill, which becomes ``path`` when the block ends; after an error nothing is there.

    Raises:
        FileExistsError: there is a file, or a folder with something in it.
    """
    path = Path(path)
    if path.exists() and not (path.is_dir() and not any(path.iterdir())):
        raise FileExistsError(errno.EEXIST, "is there already and not empty; give a new folder", str(path))
    _make_folder(path.parent)
    temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part"))
    try:
        yield temporary
        for folder, _, names in os.walk(temporary):
            for name in names:
                with (Path(folder) / name).open("r+b") as stream:
                    os.fsync(stream.fileno())
            _flush_folder(Path(folder))
        temporary.chmod(0o755)
        temporary.replace(path)
        _flush_folder(path.parent)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def remove_leftovers(folder: Path) -> None:
    """Remove what killed processes left half-written below a folder, once it is old enough to be nobody's."""
    for path in list(folder.rglob(".*.part*")):
        try:
            if time.time() - path.lstat().st_mtime > _ABANDONED_SECONDS:
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        except OSError:
            continue  # somebody else's, or gone


def note_use(path: Path) -> bool:
    """Note that a file is used now, for :func:`keep_newest`; False where it is not there.

    The time of change stays: what was made of the file is known by it (:class:`FileStamp`).
    """
    try:
        os.utime(path, ns=(time.time_ns(), path.stat().st_mtime_ns))
    except FileNotFoundError:
        return False
    return True


def keep_newest(folder: Path, pattern: str, *, limit_bytes: int, in_use_seconds: float = 0) -> int:
    """Remove the files of a folder that were not used for longest, until the others fit; safe beside other processes that do.

    Args:
        folder: whose files.
        pattern: which of them, e.g. ``*.json``.
        limit_bytes: what they may take together; the one used last stays even beyond it.
        in_use_seconds: files used since then stay too.

    Returns:
        How many were removed.
    """
    files = []
    for path in folder.glob(pattern):
        try:
            status = path.stat()
        except FileNotFoundError:
            continue  # somebody else was faster
        files.append((status.st_atime_ns, status.st_size, path))
    total, removed = sum(size for _, size, _ in files), 0
    for used, size, path in sorted(files)[:-1]:
        if total <= limit_bytes or time.time() - used / 1e9 < in_use_seconds:
            break
        path.unlink(missing_ok=True)
        total, removed = total - size, removed + 1
    return removed


@contextmanager
def _beside(path: Path, publish: Callable[[Path], object], *, suffix: str = "", mode: int = 0o644) -> Iterator[Path]:
    """An empty file in the folder of ``path``; when the block has written and closed it, it is flushed and published."""
    _make_folder(path.parent)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=f".part{suffix}")
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("r+b") as stream:
            os.fsync(stream.fileno())
        temporary.chmod(mode)
        publish(temporary)
        _flush_folder(path.parent)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _make_folder(folder: Path) -> None:
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    try:
        folder.mkdir()
    except FileExistsError as error:  # not left to the caller, to whom it stands for the file that was to be created
        if not folder.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder)) from error
    _flush_folder(folder.parent)


def _flush_folder(folder: Path) -> None:
    """A file's name lies in its folder: it survives a power cut once that is on disk too."""
    if os.name == "nt":  # cannot open folders
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_json_atomically(path: str | os.PathLike[str], content: Any, *, indent: int | None = 1, mode: int = 0o644) -> None:
    """Write JSON so that the file is never half-written; ``mode`` as for :func:`replacing`."""
    with replacing(path, mode=mode) as stream:
        stream.write((json.dumps(content, indent=indent, allow_nan=False) + "\n").encode())
