"""Keypoints of a cine as a MONAI Label inference task: the project's predictor, asked through MONAI Label's request.

The answer is the label JSON (``monai_tavr.formats.label_json``), not a mask, so the task is a plain ``InferTask`` and not one of
MONAI Label's transform chains: the predictor has its own. What was predicted before is not predicted again, and requests for the
same frames at the same time share the work.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from functools import cache, partial
from itertools import islice
from typing import TYPE_CHECKING, Any

from monailabel.interfaces.exception import MONAILabelError, MONAILabelException
from monailabel.interfaces.tasks.infer_v2 import InferTask, InferType

from label_app.lib.images.cine_files import open_instances, reason_of
from label_app.lib.images.study_index import ImageEntry
from label_app.lib.infers.cache import CachedCine, PredictionCache, prediction_key
from label_app.lib.infers.infer_request import parse_frames, parse_groups
from label_app.lib.infers.turns import Turns
from label_app.lib.models.registry import ModelRegistry
from monai_tavr.cine import Cine
from monai_tavr.formats.label_json import label_to_dict
from monai_tavr.label import CineLabel

if TYPE_CHECKING:
    from monai_tavr.predictor import FramePrediction, KeypointPredictor

__all__ = ["KeypointInferTask"]


class KeypointInferTask(InferTask):
    """Predicts keypoints on the frames of one image with the active model.

    Args:
        models: which model that is.
        cache: what was predicted before.
    """

    def __init__(self, models: ModelRegistry, cache: PredictionCache) -> None:
        active = models.active
        super().__init__(
            type=InferType.DETECTION,  # of all types the only one of which 3D Slicer expects a file of markups
            labels=list(models.predictor().schema.names) if active else [],
            dimension=2,
            description="Grouped keypoints of TAVR angiography, per frame, as label JSON",
        )
        self.models = models
        self.cache = cache
        self.turns = Turns()  # two cines at once would only slow each other down

    def is_valid(self) -> bool:
        """Always: listed without weights too, so that a client is told what is missing."""
        return True

    def __call__(self, request: Mapping[str, Any]) -> tuple[None, dict[str, Any]]:
        """As MONAI Label asks: the label JSON, see :meth:`predict`.

        Args:
            request: ``image`` is a registered image; ``frames`` and ``allowed_groups`` narrow the question (see
                :mod:`label_app.lib.infers.infer_request`).

        Raises:
            MONAILabelException: see there.
        """
        asked = {name: request.get(name) for name in ("frames", "allowed_groups")}
        return None, label_to_dict(self.predict(request["image"], **asked))

    def predict(self, image: ImageEntry, *, frames: Any = None, allowed_groups: Any = None) -> CineLabel:
        """What the active model says of an image; what was predicted before is not predicted again.

        Args:
            image: a registered one.
            frames: see :func:`label_app.lib.infers.infer_request.parse_frames`.
            allowed_groups: see :func:`label_app.lib.infers.infer_request.parse_groups`.

        Raises:
            MONAILabelException: the request does not fit the image, the image cannot be read, or there is no model.
        """
        try:
            predictor = self.models.predictor()
        except ValueError as error:
            raise MONAILabelException(MONAILabelError.APP_INIT_ERROR, str(error)) from error
        try:
            groups = parse_groups(allowed_groups, predictor.schema.group_names)
            return self._label(predictor, image, frames, groups)
        except (ValueError, OSError) as error:
            raise MONAILabelException(MONAILabelError.INVALID_INPUT, reason_of(error)) from error

    def _label(self, predictor: KeypointPredictor, image: ImageEntry, asked: Any, groups: Sequence[str] | None) -> CineLabel:
        key = prediction_key(image, predictor, groups)
        entry = self.cache.entry(key, schema=predictor.schema)
        opened = cache(partial(_opened, image, key, predictor, groups))
        if entry.image is None:
            entry.image = opened().info.image_info
        number = entry.image.number_of_frames
        frames = parse_frames(asked, number) or list(range(number))
        mine, others = _claim(entry, frames)
        if mine:
            try:
                self._predict(predictor, opened, groups, entry, mine)
            finally:
                self.cache.keep(key)
        for running in others:
            running.result()
        return entry.label(frames)

    def _predict(
        self,
        predictor: KeypointPredictor,
        opened: Callable[[], Cine],
        groups: Sequence[str] | None,
        entry: CachedCine,
        mine: dict[int, Future[None]],
    ) -> None:
        """Predict the frames claimed, and hand them to whoever waits as they come."""
        try:
            cine = opened()
            stream = predictor.stream(cine, frames=sorted(mine), allowed_groups=groups)
            for predictions in self._batches(stream, predictor.batch_size):
                for prediction in predictions:
                    label = predictor.label(cine, [prediction])
                    frame = label.frames[0].frame
                    with entry.lock:
                        entry.frames[frame] = label
                        done = entry.running.pop(frame)
                    done.set_result(None)
        except BaseException as error:
            for frame, running in mine.items():
                if not running.done():
                    with entry.lock:
                        entry.running.pop(frame, None)
                    running.set_exception(error)
            raise

    def _batches(self, stream: Iterator[FramePrediction], size: int) -> Iterator[list[FramePrediction]]:
        """The stream in lists of one pass of the network each; between two of them other requests have their turn."""
        while True:
            with self.turns.turn():
                batch = list(islice(stream, size))
            if not batch:
                return
            yield batch


def _opened(image: ImageEntry, key: str, predictor: KeypointPredictor, groups: Sequence[str] | None) -> Cine:
    """The cine whose predictions go by that key. Raises ValueError where its files were replaced since the key was made."""
    cine = open_instances(image.instances)
    if prediction_key(image, predictor, groups) != key:
        raise ValueError("the image was replaced at this moment; ask again")
    return cine


def _claim(entry: CachedCine, frames: Sequence[int]) -> tuple[dict[int, Future[None]], list[Future[None]]]:
    """Of the frames that are not there yet: those to predict now, and those that somebody else is predicting."""
    with entry.lock:
        missing = [f for f in frames if f not in entry.frames]
        others = [entry.running[f] for f in missing if f in entry.running]
        mine: dict[int, Future[None]] = {f: Future() for f in missing if f not in entry.running}
        entry.running.update(mine)
    return mine, others
