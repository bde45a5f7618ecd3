"""MONAI Label's description of the task ``tavr_keypoints``: which models it has and what it can do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from monailabel.interfaces.config import TaskConfig

from label_app.lib.infers.cache import PredictionCache
from label_app.lib.infers.tavr_keypoints import KeypointInferTask
from label_app.lib.models.registry import ModelRegistry

if TYPE_CHECKING:
    from monai_tavr.predictor import KeypointPredictor

__all__ = ["TavrKeypoints", "load_bundle_predictor"]


def load_bundle_predictor() -> KeypointPredictor:
    """The model of the bundle with its shipped weights."""
    from monai_tavr.predictor import KeypointPredictor

    return KeypointPredictor(precision="auto")  # people wait for it


class TavrKeypoints(TaskConfig):
    """The models, what they predicted, and the tasks that use them. Without weights the images are served all the same.

    Args:
        load_predictor: makes the predictor of the shipped weights.
        folder: of labels, models and cache; None: nothing is written.
    """

    def __init__(
        self, load_predictor: Callable[[], KeypointPredictor] = load_bundle_predictor, *, folder: Path | None = None
    ) -> None:
        super().__init__()
        self.models = ModelRegistry(folder and folder / "models", load_predictor)
        self._task = KeypointInferTask(self.models, PredictionCache(folder and folder / "cache" / "predictions"))

    def infer(self) -> KeypointInferTask:
        """The task that predicts."""
        return self._task

    def trainer(self) -> None:
        """None: the app makes the training itself, for it needs the labels."""
        return None
