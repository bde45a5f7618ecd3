"""The labels of all images, every version of them, as files.

One version is one label file (:mod:`monai_tavr.formats.label_json`) with its revision in it::

    FOLDER/labels/<image id>/<tag>.0001.json
                             <tag>.0002.json

A version is written once and never changed or removed: it is flushed to disk under another name and then linked to its own, which
fails if somebody has taken that number, be it another process. To remove a label is to add a version without frames. A file that
is damaged, or no version at all, is passed over and counted in the log; the others stay as good as they were.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import re
import stat
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from monai_tavr.files import creating
from monai_tavr.formats.label_json import label_to_dict, read_label_json
from monai_tavr.formats.stored_labels import FINAL, TAG, VERSION_FILE
from monai_tavr.keypoints import TAVR11, KeypointSchema
from monai_tavr.label import CineLabel, Revision

__all__ = ["FINAL", "PREDICTION", "TAG", "LabelConflict", "LabelStore", "LabelVersion"]

logger = logging.getLogger(__name__)

PREDICTION = "prediction"  # what the model said of the frames that a version labelled first
_IMAGE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_ATTEMPTS = 100  # each that fails is another one's success


@dataclass(frozen=True)
class LabelVersion:
    """What is known of one version without its points.

    Attributes:
        image_id: the image's id.
        tag: ``final``, or another kind of label.
        revision: number, author, time, base and model.
        frames: 0-based indices of the frames with at least one labelled point.
        path: the file.
    """

    image_id: str
    tag: str
    revision: Revision
    frames: tuple[int, ...]
    path: Path

    @property
    def number(self) -> int:
        """1 for the first version."""
        return self.revision.number

    @property
    def author(self) -> str:
        """Who submitted it."""
        return self.revision.author

    @property
    def time(self) -> str:
        """When, ISO 8601."""
        return self.revision.time

    @property
    def base(self) -> int | None:
        """The version it was made from; 0 = none, None = not said."""
        return self.revision.base

    @property
    def model(self) -> str | None:
        """Weights whose prediction was corrected."""
        return self.revision.model

    def described(self) -> dict[str, Any]:
        """What a client is told of it."""
        return {k: getattr(self, k) for k in ("number", "author", "time", "base", "model")}


class LabelConflict(Exception):
    """Somebody else submitted since the base of a submit.

    Attributes:
        current: the version that is there now; None where there is none.
    """

    def __init__(self, current: LabelVersion | None) -> None:
        there = f"version {current.number}, submitted by {current.author} at {current.time}" if current else "no version"
        super().__init__(f"the label has changed since: there is {there} now")
        self.current = current


class LabelStore:
    """Labels below ``root``/labels. Safe for several threads and processes; nothing is written before the first label is.

    Args:
        root: the folder given by ``--labels``; models, cache and audit log lie beside the labels.
        schema: of all labels; versions of another one are passed over like damaged ones.
    """

    def __init__(self, root: str | os.PathLike[str], *, schema: KeypointSchema = TAVR11) -> None:
        self.root = Path(root).resolve()
        self.schema = schema
        self.folder = self.root / "labels"
        self._lock = threading.Lock()
        self._seen: dict[Path, tuple[tuple[int, int], LabelVersion | None]] = {}

    def save(
        self,
        image_id: str,
        label: CineLabel,
        *,
        author: str,
        base: int | None,
        model: str | None = None,
        tag: str = FINAL,
        time: str | None = None,
    ) -> LabelVersion:
        """Add a version. When this returns it is on disk.

        Args:
            image_id: id of a registered image.
            label: the whole label of the image.
            author: who submits it.
            base: number of the version that the author began with, 0 for none; None = whatever is there.
            model: SHA-256 of the weights whose prediction was corrected.
            tag: kind of label.
            time: when it was made, ISO 8601 with a zone, for a label that comes from elsewhere; None = now.

        Raises:
            LabelConflict: ``base`` is not the current version.
            ValueError: the id or the tag is not a plain name.
            OSError: the disk is full, or the folder cannot be written.
        """
        for _ in range(_ATTEMPTS):
            numbers = self._numbers(image_id, tag)
            current = self._newest(image_id, tag, numbers)
            begun = current.number if current else 0
            if base is not None and base != begun:
                raise LabelConflict(current)
            number = max(numbers, default=0) + 1  # a damaged file keeps its number
            revision = Revision(number=number, author=author, time=time or _now(), base=begun, model=model)
            try:
                return self._write(image_id, tag, label, revision)
            except FileExistsError:
                continue  # somebody took the number since the folder was listed; look again
        raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), str(self.folder))

    def attach(self, image_id: str, number: int, label: CineLabel, *, author: str, model: str | None, tag: str) -> None:
        """Lay a label of another kind beside version ``number``, under the same number; one that is there already stays."""
        revision = Revision(number=number, author=author, time=_now(), model=model)
        try:
            self._write(image_id, tag, label, revision)
        except FileExistsError:
            logger.debug("a %s stands beside that version already", tag)

    def _write(self, image_id: str, tag: str, label: CineLabel, revision: Revision) -> LabelVersion:
        path = self._path(image_id, tag, revision.number)
        content = label_to_dict(replace(label, revision=revision))
        with creating(path) as stream:
            stream.write((json.dumps(content, indent=1, allow_nan=False) + "\n").encode())
        return _version(image_id, tag, path, label, revision)

    def current(self, image_id: str, tag: str = FINAL) -> LabelVersion | None:
        """The newest version that can be read, or None."""
        return self._newest(image_id, tag, self._numbers(image_id, tag))

    def _newest(self, image_id: str, tag: str, numbers: list[int]) -> LabelVersion | None:
        for number in reversed(numbers):
            if (version := self.version(image_id, tag, number)) is not None:
                return version
        return None

    def versions(self, image_id: str, tag: str = FINAL) -> list[LabelVersion]:
        """Every version that can be read, oldest first."""
        found = (self.version(image_id, tag, n) for n in self._numbers(image_id, tag))
        return [v for v in found if v is not None]

    def damaged(self, image_id: str, tag: str = FINAL) -> list[int]:
        """Numbers of the versions that cannot be read."""
        return [n for n in self._numbers(image_id, tag) if self.version(image_id, tag, n) is None]

    def read(self, image_id: str, tag: str = FINAL, version: int | None = None) -> CineLabel:
        """The label of a version; None = the current one.

        Raises:
            KeyError: there is no such version.
            ValueError: its file is damaged.
        """
        if version is None:
            current = self.current(image_id, tag)
            if current is None:
                raise KeyError(f"{image_id} has no {tag} label")
            version = current.number
        try:
            return _read(self._path(image_id, tag, version), version, self.schema)[0]
        except FileNotFoundError:
            raise KeyError(f"{image_id} has no version {version} of its {tag} label") from None

    def images(self, tag: str = FINAL) -> list[str]:
        """Ids of the images whose current label has a labelled frame, in alphabetical order."""
        return [n for n in self._image_ids() if (v := self.current(n, tag)) is not None and v.frames]

    def stored(self) -> list[tuple[str, str, int]]:
        """(image id, tag, number) of every version there is, read or not, in alphabetical order."""
        return [(image, *version) for image in self._image_ids() for version in sorted(self._files(image))]

    def tags(self, image_id: str) -> list[str]:
        """Kinds of label that an image has."""
        return sorted({tag for tag, _ in self._files(image_id)})

    def _image_ids(self) -> list[str]:
        try:
            with os.scandir(self.folder) as entries:
                return sorted(e.name for e in entries if _IMAGE_ID.fullmatch(e.name) and e.is_dir(follow_symlinks=False))
        except FileNotFoundError:
            return []

    def _path(self, image_id: str, tag: str, number: int) -> Path:
        _check(image_id, tag)
        return self.folder / image_id / f"{tag}.{number:04d}.json"

    def _numbers(self, image_id: str, tag: str) -> list[int]:
        _check(image_id, tag)
        return sorted(n for t, n in self._files(image_id) if t == tag)

    def _files(self, image_id: str) -> Iterator[tuple[str, int]]:
        _check(image_id, FINAL)
        try:
            with os.scandir(self.folder / image_id) as entries:
                names = [e.name for e in entries]
        except (FileNotFoundError, NotADirectoryError):
            return
        for name in names:
            match = VERSION_FILE.fullmatch(name)
            if match and int(match[2]) and name == f"{match[1]}.{int(match[2]):04d}.json":
                yield match[1], int(match[2])

    def version(self, image_id: str, tag: str, number: int) -> LabelVersion | None:
        """What is known of a version, read once as long as its file stays the same; None where it cannot be read."""
        path = self._path(image_id, tag, number)
        try:
            status = path.lstat()
        except FileNotFoundError:
            return None
        stamp = (status.st_mtime_ns, status.st_size)
        with self._lock:
            seen = self._seen.get(path)
        if seen and seen[0] == stamp:
            return seen[1]
        try:
            if not stat.S_ISREG(status.st_mode):
                raise ValueError("a link or a folder")
            version: LabelVersion | None = _version(image_id, tag, path, *_read(path, number, self.schema))
        except (ValueError, OSError):  # the words would hold the path
            logger.warning("labels folder: left out 1 file that is no version of a label")
            version = None
        with self._lock:
            self._seen[path] = (stamp, version)
        return version


def _check(image_id: str, tag: str) -> None:
    if not isinstance(image_id, str) or not _IMAGE_ID.fullmatch(image_id) or ".." in image_id:
        raise ValueError("the image is not an id: letters, digits, '.', '_' and '-' only")
    if not isinstance(tag, str) or not TAG.fullmatch(tag):
        raise ValueError("the tag is not a name: small letters, digits, '_' and '-' only, e.g. 'final'")


def _read(path: Path, number: int, schema: KeypointSchema) -> tuple[CineLabel, Revision]:
    label = read_label_json(path, schema=schema)
    if label.revision is None or label.revision.number != number:
        raise ValueError(f"{path}: the revision in the file is not {number}")
    return label, label.revision


def _version(image_id: str, tag: str, path: Path, label: CineLabel, revision: Revision) -> LabelVersion:
    labelled = tuple(k.frame for k in label.frames if k.labelled is not None and k.labelled.any())
    return LabelVersion(image_id=image_id, tag=tag, revision=revision, frames=labelled, path=path)


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")
