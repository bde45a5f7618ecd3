"""MONAI Label's description of the task ``tavr_keypoints``: which model it has and what it can do."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from monailabel.interfaces.config import TaskConfig

from label_app.lib.infers.tavr_keypoints import KeypointInferTask

if TYPE_CHECKING:
    from monai_tavr.predictor import KeypointPredictor

__all__ = ["TavrKeypoints", "load_bundle_predictor"]

logger = logging.getLogger(__name__)


def load_bundle_predictor() -> KeypointPredictor:
    """The model of the bundle with its shipped weights."""
    from monai_tavr.predictor import KeypointPredictor

    return KeypointPredictor()


class TavrKeypoints(TaskConfig):
    """The shipped model. It is loaded once; without weights the images are served all the same.

    Args:
        load_predictor: makes the predictor.
    """

    def __init__(self, load_predictor: Callable[[], KeypointPredictor] = load_bundle_predictor) -> None:
        super().__init__()
        try:
            self._task = KeypointInferTask(load_predictor())
        except (ValueError, OSError, RuntimeError) as error:
            logger.error("the model cannot be used: %s", error)
            self._task = KeypointInferTask(None, problem=f"the model cannot be used: {error}")

    def infer(self) -> KeypointInferTask:
        return self._task

    def trainer(self) -> None:
        return None
