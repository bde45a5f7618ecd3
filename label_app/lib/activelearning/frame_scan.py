"""The model looks through all images in the background, a few frames of each, so that the next frame can be named at once.

The scan begins with the first request for a scored frame, takes turns with predictions that somebody waits for, and rests as long
as it works. Every request pays for some images, so that an archive of thousands is not fetched for one frame. What the network
said is kept on disk by weights: a restart does not begin anew, and a new model does.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from label_app.lib.images.cine_files import open_instances
from label_app.lib.images.pacs_error import PacsError
from label_app.lib.images.study_index import ImageEntry, StudyIndex
from monai_tavr.active_learning.outputs import FrameOutputs, cine_outputs
from monai_tavr.files import FileStamp, replacing

if TYPE_CHECKING:
    from label_app.lib.models.registry import ModelRegistry
    from monai_tavr.cine import Cine
    from monai_tavr.predictor import KeypointPredictor

__all__ = ["FrameScan", "ScannedImage"]

logger = logging.getLogger(__name__)

_FRAMES_PER_IMAGE = 12
_FRAMES_PER_TURN = 4
_IMAGES_PER_REQUEST = 100
_LONGEST_REST = 2.0

_Content = tuple[tuple[str, FileStamp | None], ...]  # what the files of an image are known by
Look = Callable[["KeypointPredictor", "Cine", Sequence[int]], FrameOutputs]


@dataclass(frozen=True, eq=False)
class ScannedImage:
    """Some frames of an image and what the network says of them.

    Attributes:
        frames: (n,) int, 0-based, rising.
        outputs: of these frames.
    """

    frames: np.ndarray
    outputs: FrameOutputs


def _outputs_of(predictor: KeypointPredictor, cine: Cine, frames: Sequence[int]) -> FrameOutputs:
    return cine_outputs(predictor, cine, frames)[0]


class FrameScan:
    """Scans images for the active model. Safe for use by several threads.

    Args:
        index: the images.
        models: which model is active.
        folder: where results are kept; None: in memory only.
        turn: a context in which the network may be used; predictions that somebody waits for use the same.
        look: what the network says of frames.
    """

    def __init__(
        self,
        index: StudyIndex,
        models: ModelRegistry,
        folder: Path | None,
        *,
        turn: Callable[[], AbstractContextManager[None]] = nullcontext,
        look: Look = _outputs_of,
    ) -> None:
        self._index, self._models, self._folder, self._turn, self._look = index, models, folder, turn, look
        self._changed = threading.Condition()
        self._weights = ""
        self._known: dict[_Content, ScannedImage | None] = {}  # None: the image cannot be read
        self._first: list[str] = []
        self._running = False
        self._budget = 0  # images that may still be looked at

    def scanned(self, wanted: Sequence[str], *, wait: float = 0.0) -> dict[str, ScannedImage]:
        """What is known of the wanted images under the active weights; the others are looked at in the background.

        Args:
            wanted: ids of images; they come before all others.
            wait: seconds to wait for at least one of them.

        Raises:
            ValueError: there is no model.
        """
        predictor = self._models.predictor()
        deadline, images = time.monotonic() + wait, self._index.images
        contents = {i: _content(images[i]) for i in wanted if i in images}
        with self._changed:
            self._follow(predictor)
            self._first = [i for i in _mixed(contents) if contents[i] not in self._known]
            self._budget = _IMAGES_PER_REQUEST
            if self._first and not self._running:
                self._running = True
                threading.Thread(target=self._run, name="frame-scan", daemon=True).start()
            while not any(self._known.get(c) for c in contents.values()) and self._running:
                left = deadline - time.monotonic()
                if left <= 0:
                    break
                self._changed.wait(left)
            return {i: found for i, c in contents.items() if (found := self._known.get(c)) is not None}

    def _follow(self, predictor: KeypointPredictor) -> None:
        """What another model said is of no use."""
        if predictor.weights_sha256 != self._weights:
            self._weights, self._known = predictor.weights_sha256, {}

    def _run(self) -> None:
        """Until every image is known; the next request starts it again, whatever ended it."""
        try:
            self._scan_all()
        except BaseException as error:
            logger.warning("the scan stops (%s)", type(error).__name__)
            with self._changed:
                self._running = False
                self._changed.notify_all()

    def _scan_all(self) -> None:
        while (task := self._next()) is not None:
            (entry, predictor), began = task, time.monotonic()
            found: ScannedImage | None = None
            try:
                found = self._scan(entry, predictor)
            except PacsError as error:  # another time
                logger.warning("the scan stops: %s", error)
                self._budget = 0
                continue
            except BaseException as error:  # one damaged image must not end the scan; its name stays out of the log
                logger.warning("an image cannot be scored (%s)", type(error).__name__)
            with self._changed:
                if predictor.weights_sha256 == self._weights:
                    self._known[_content(entry)] = found
                self._changed.notify_all()
            time.sleep(min(time.monotonic() - began, _LONGEST_REST))

    def _next(self) -> tuple[ImageEntry, KeypointPredictor] | None:
        """An image that is not known yet and the active model; None ends the scan."""
        images = self._index.images
        with self._changed:
            try:
                predictor = self._models.predictor()
                self._follow(predictor)
                open_ = (i for i in (*self._first, *_mixed(images)) if i in images and _content(images[i]) not in self._known)
                image = next(open_, None) if self._budget > 0 else None
            except ValueError:  # the model has gone
                image = None
            if image is None:
                self._running = False
                self._changed.notify_all()
                return None
            return images[image], predictor

    def _scan(self, entry: ImageEntry, predictor: KeypointPredictor) -> ScannedImage:
        file = self._file(entry, predictor.weights_sha256)
        if file is not None and (kept := _read(file)) is not None:
            return kept
        self._budget -= 1
        cine = open_instances(entry.instances)
        frames = np.unique(np.linspace(0, len(cine) - 1, min(len(cine), _FRAMES_PER_IMAGE)).round().astype(int))
        parts = []
        for start in range(0, len(frames), _FRAMES_PER_TURN):
            with self._turn():
                parts.append(self._look(predictor, cine, frames[start : start + _FRAMES_PER_TURN].tolist()))
        found = ScannedImage(frames, FrameOutputs.join(parts))
        if file is not None:
            _write(file, found)
        return found

    def _file(self, entry: ImageEntry, weights: str) -> Path | None:
        """Where the result of an image is kept, by what its files hold: they may be replaced, and a series may grow."""
        if self._folder is None:
            return None
        digest = hashlib.sha256(repr(_content(entry)).encode()).hexdigest()[:32]
        return self._folder / weights[:16] / f"{digest}.npz"


def _content(entry: ImageEntry) -> _Content:
    return tuple((i.sop_uid, i.stamp) for i in entry.instances)


def _mixed(images: Iterable[str]) -> list[str]:
    """In an order that has nothing to do with patients, and is always the same: the first scores should be of many of them."""
    return sorted(images, key=lambda image: hashlib.sha256(image.encode()).digest())


def _read(file: Path) -> ScannedImage | None:
    try:
        with np.load(file, allow_pickle=False) as kept:
            return ScannedImage(kept["frames"], FrameOutputs(**{f.name: kept[f.name] for f in fields(FrameOutputs)}))
    except (OSError, ValueError, KeyError):
        return None  # not there, or damaged: look again


def _write(file: Path, scanned: ScannedImage) -> None:
    try:
        with replacing(file) as stream:
            np.savez(stream, frames=scanned.frames, **vars(scanned.outputs))
    except OSError as error:  # a full disk costs the cache, not the answer
        logger.warning("scores of an image cannot be kept: %s", error.strerror)
