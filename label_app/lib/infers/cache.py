"""Predictions that were made before: in memory, and in files of a folder, so that a restarted server still has them.

One entry holds what one model says of one image at one stage of the procedure, frame by frame; its file is a label file. Its key
is made of everything that the answer depends on (:func:`prediction_key`): other weights, or a changed file, are another key, so
nothing is ever stale. Both the memory and the folder are bounded; what was not used for longest goes first.
"""

from __future__ import annotations

import hashlib
import json
import logging
import threading
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from dataclasses import astuple, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from label_app.lib.images.study_index import ImageEntry
from monai_tavr import __version__
from monai_tavr.files import FileStamp, keep_newest, note_use, write_json_atomically
from monai_tavr.formats.label_json import label_to_dict, read_label_json
from monai_tavr.keypoints import KeypointSchema
from monai_tavr.label import CineLabel, ImageInfo

if TYPE_CHECKING:
    from monai_tavr.predictor import KeypointPredictor

__all__ = ["CachedCine", "PredictionCache", "prediction_key"]

logger = logging.getLogger(__name__)

_RULES = ("thresholds", "group_thresholds", "group_calibration", "group_rule", "allowed_groups")


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
        getattr(getattr(predictor, "typicality", None), "fingerprint", None),
        None if rules is None else [vars(rules)[name] for name in _RULES],
    ]
    content = [entry.image_id, files, settings, None if allowed_groups is None else list(allowed_groups)]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


@dataclass(eq=False)
class CachedCine:
    """What is known of one image under one key. Change it under ``lock`` only.

    Attributes:
        image: what a label says of the image, once it is known.
        frames: frame -> its label.
        running: frames that somebody is predicting at this moment; done when they are in ``frames``, or have failed.
        kept: number of frames that are in the file.
    """

    image: ImageInfo | None = None
    frames: dict[int, CineLabel] = field(default_factory=dict)
    running: dict[int, Future[None]] = field(default_factory=dict)
    kept: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def label(self, frames: Iterable[int]) -> CineLabel:
        """The label of some frames, which must be there."""
        return CineLabel.joined([self.frames[f] for f in frames])


class PredictionCache:
    """Entries by key. Safe for use by several threads.

    Args:
        folder: of the files; None: in memory only.
        max_frames: frames of all entries in memory; one takes about 5 kB.
        max_bytes: of all files; a frame takes about 2 kB.
    """

    def __init__(self, folder: Path | None, *, max_frames: int = 6000, max_bytes: int = 256 << 20) -> None:
        self.folder = folder
        self._max_frames, self._max_bytes = max_frames, max_bytes
        self._lock = threading.Lock()
        self._entries: OrderedDict[str, CachedCine] = OrderedDict()

    def entry(self, key: str, *, schema: KeypointSchema) -> CachedCine:
        """The entry of a key: from memory, else from its file, else a new one.

        Args:
            key: see :func:`prediction_key`.
            schema: of the model's points.
        """
        with self._lock:
            if (found := self._entries.get(key)) is not None:
                self._entries.move_to_end(key)
                return found
        read = self._read(key, schema)
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
            label = entry.label(entry.frames)
        try:
            write_json_atomically(self.folder / f"{key}.json", label_to_dict(label), indent=None)
            keep_newest(self.folder, "*.json", limit_bytes=self._max_bytes)
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

    def _read(self, key: str, schema: KeypointSchema) -> CachedCine:
        if self.folder is None:
            return CachedCine()
        path = self.folder / f"{key}.json"
        try:
            label = read_label_json(path, schema=schema)
            note_use(path)
        except FileNotFoundError:
            return CachedCine()
        except (OSError, ValueError):
            logger.warning("predictions: left out 1 file that is damaged")
            return CachedCine()
        frames = {part.frames[0].frame: part for part in label.apart()}
        return CachedCine(label.image, frames, kept=len(frames))
