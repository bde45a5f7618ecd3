"""Predictions that were made before: in memory, and in files of a folder, so that a restarted server still has them.

One entry holds what one model says of one image at one stage of the procedure, frame by frame, as in the label JSON. Its key is
made of everything that the answer depends on (:func:`prediction_key`): other weights, or a changed file, are another key, so
nothing is ever stale. Both the memory and the folder are bounded; what was not used for longest goes first.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import astuple, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from label_app.lib.images.study_index import ImageEntry
from monai_tavr import __version__
from monai_tavr.files import FileStamp, replacing

if TYPE_CHECKING:
    from monai_tavr.predictor import KeypointPredictor

__all__ = ["CachedCine", "PredictionCache", "prediction_key"]

logger = logging.getLogger(__name__)

Points = Mapping[str, Any]  # point name -> its entry in the label JSON


def prediction_key(entry: ImageEntry, predictor: KeypointPredictor, allowed_groups: Sequence[str] | None) -> str:
    """Name of an entry: a hash of the image, what its files hold, the model, its settings and the stage of the procedure.

    Raises:
        OSError: a file of the image is gone.
    """
    files = [(i.sop_uid, str(path), *astuple(FileStamp.of(path))) for i, path in zip(entry.instances, entry.paths, strict=True)]
    rules = getattr(predictor, "postprocess", None)  # the thresholds lie beside the weights, not in their hash
    settings = [
        __version__,
        predictor.version,
        predictor.weights_sha256,
        getattr(predictor, "precision", None),
        getattr(predictor, "image_size", None),
        getattr(predictor, "spread_floor", None),
        None if rules is None else [rules.thresholds, rules.group_thresholds, rules.group_rule, rules.allowed_groups],
    ]
    content = [entry.image_id, files, settings, None if allowed_groups is None else list(allowed_groups)]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


@dataclass(eq=False)
class CachedCine:
    """What is known of one image under one key. Change it under ``lock`` only.

    Attributes:
        head: the label JSON without its frames, once it is known.
        frames: frame -> its points.
        running: frames that somebody is predicting at this moment; done when they are in ``frames``, or have failed.
        kept: number of frames that are in the file.
    """

    head: dict[str, Any] | None = None
    frames: dict[int, Points] = field(default_factory=dict)
    running: dict[int, Future[None]] = field(default_factory=dict)
    kept: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def label(self, frames: Iterable[int]) -> dict[str, Any]:
        """The label JSON of some frames, which must be there."""
        assert self.head is not None
        return {**self.head, "frames": [{"frame": f, "points": self.frames[f]} for f in frames]}


class PredictionCache:
    """Entries by key. Safe for use by several threads.

    Args:
        folder: of the files; None: in memory only.
        max_frames: frames of all entries in memory; one takes about 15 kB.
        max_bytes: of all files; a frame takes about 2 kB.
    """

    def __init__(self, folder: Path | None, *, max_frames: int = 6000, max_bytes: int = 256 << 20) -> None:
        self.folder = folder
        self._max_frames, self._max_bytes = max_frames, max_bytes
        self._lock = threading.Lock()
        self._entries: OrderedDict[str, CachedCine] = OrderedDict()

    def entry(self, key: str) -> CachedCine:
        """The entry of a key: from memory, else from its file, else a new one."""
        with self._lock:
            if (found := self._entries.get(key)) is not None:
                self._entries.move_to_end(key)
                return found
        read = self._read(key)
        with self._lock:
            return self._entries.setdefault(key, read)  # somebody else may have been faster

    def keep(self, key: str) -> None:
        """Write an entry's new frames to its file, and make room. Where the disk is full the memory must do."""
        with self._lock:
            entry = self._entries.get(key)
            self._forget()
        if entry is None or self.folder is None:
            return
        with entry.lock:
            if len(entry.frames) == entry.kept:
                return
            entry.kept = len(entry.frames)
            content = {"head": entry.head, "frames": {str(f): p for f, p in entry.frames.items()}}
        try:
            with replacing(self._path(key)) as stream:
                stream.write(json.dumps(content, separators=(",", ":"), allow_nan=False).encode())
            self._shrink()
        except OSError as error:
            logger.warning("predictions are kept in memory only: %s", error.strerror)

    def _forget(self) -> None:
        total = sum(len(e.frames) for e in self._entries.values())
        for key, entry in list(self._entries.items())[:-1]:  # the newest is in use
            if total <= self._max_frames:
                break
            if not entry.running:
                total -= len(entry.frames)
                del self._entries[key]

    def _path(self, key: str) -> Path:
        assert self.folder is not None
        return self.folder / f"{key}.json"

    def _read(self, key: str) -> CachedCine:
        if self.folder is None:
            return CachedCine()
        path = self._path(key)
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            frames: dict[int, Points] = {int(f): dict(points) for f, points in content["frames"].items()}
            entry = CachedCine(dict(content["head"]), frames, kept=len(frames))
            os.utime(path)  # the files used last stay longest
        except FileNotFoundError:
            return CachedCine()
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            logger.warning("predictions: left out 1 file that is damaged")
            return CachedCine()
        return entry

    def _shrink(self) -> None:
        assert self.folder is not None
        files = []
        for path in self.folder.glob("*.json"):
            try:
                status = path.stat()
            except FileNotFoundError:
                continue  # another thread was faster
            files.append((status.st_mtime_ns, status.st_size, path))
        total = sum(size for _, size, _ in files)
        for _, size, path in sorted(files)[:-1]:
            if total <= self._max_bytes:
                break
            path.unlink(missing_ok=True)
            total -= size
