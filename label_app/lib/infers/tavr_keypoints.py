"""Keypoints of a cine as a MONAI Label inference task: the project's predictor, asked through MONAI Label's request.

The answer is the label JSON (``monai_tavr.formats.label_json``), not a mask, so the task is a plain ``InferTask`` and not one of
MONAI Label's transform chains: the predictor has its own.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from monailabel.interfaces.exception import MONAILabelError, MONAILabelException
from monailabel.interfaces.tasks.infer_v2 import InferTask, InferType

from label_app.lib.datastores.cine_files import open_files, reason_of
from label_app.lib.infers.request import parse_frames, parse_groups
from monai_tavr.formats.label_json import CineLabel, label_to_dict

if TYPE_CHECKING:
    from monai_tavr.predictor import KeypointPredictor

__all__ = ["KeypointInferTask"]


class KeypointInferTask(InferTask):
    """Predicts keypoints on the frames of one image.

    Args:
        predictor: the loaded model, or None when it could not be loaded.
        problem: why there is no predictor, in words for people.
    """

    def __init__(self, predictor: KeypointPredictor | None, problem: str | None = None) -> None:
        super().__init__(
            type=InferType.OTHERS,
            labels=list(predictor.schema.names) if predictor else [],
            dimension=2,
            description="Grouped keypoints of TAVR angiography, per frame, as label JSON",
        )
        self.predictor = predictor
        self.problem = problem
        self._one_at_a_time = threading.Lock()  # two cines at once would only slow each other down

    def is_valid(self) -> bool:
        return True  # listed without weights too, so that a client is told what is missing

    def __call__(self, request: Mapping[str, Any]) -> tuple[None, dict[str, Any]]:
        """Predict.

        Args:
            request: ``image`` holds the paths of a registered image; ``frames`` and ``allowed_groups`` narrow the question
                (see :mod:`label_app.lib.infers.request`).

        Raises:
            MONAILabelException: the request does not fit the image, the image cannot be read, or there is no model.
        """
        if self.predictor is None:
            raise MONAILabelException(MONAILabelError.APP_INIT_ERROR, self.problem or "the model is not loaded")
        try:
            return None, label_to_dict(self._label(self.predictor, request))
        except (ValueError, OSError) as error:
            raise MONAILabelException(MONAILabelError.INVALID_INPUT, reason_of(error)) from error

    def _label(self, predictor: KeypointPredictor, request: Mapping[str, Any]) -> CineLabel:
        cine = open_files(request["image"])
        frames = parse_frames(request.get("frames"), len(cine))
        groups = parse_groups(request.get("allowed_groups"), predictor.schema.group_names)
        with self._one_at_a_time:
            return predictor.label(cine, predictor.predict(cine, frames=frames, allowed_groups=groups))
