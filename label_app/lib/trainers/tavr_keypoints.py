"""The training as a MONAI Label train task: what clients read in ``/info/``. The work is done by :class:`Training`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from monailabel.interfaces.datastore import Datastore
from monailabel.interfaces.tasks.train import TrainTask

from label_app.lib.auth.user import local_user
from label_app.lib.trainers.train_request import TrainRequest
from label_app.lib.trainers.training import Training

__all__ = ["KeypointTrainTask"]


class KeypointTrainTask(TrainTask):
    """Fine-tunes the active model on the submitted labels.

    Args:
        training: of the app.
    """

    def __init__(self, training: Training) -> None:
        super().__init__("The active model goes on learning from the submitted labels; published only if it is not worse")
        self._training = training

    def config(self) -> dict[str, Any]:
        """The parameters that a client may change."""
        return vars(TrainRequest())

    def stats(self) -> dict[str, Any]:
        """Where the last training is, under the names that 3D Slicer's module reads."""
        state = self._training.status()
        if state is None:
            return {}
        progress = state["progress"]
        best = progress.get("best_score") or progress.get("score")
        return {"epoch": progress["epoch"], "total_epochs": progress["max_epochs"], "best_metric": best or 0}

    def __call__(self, request: Mapping[str, Any], datastore: Datastore | None = None) -> dict[str, Any]:
        """Start; does not wait for the end."""
        return self._training.start(TrainRequest.parse(request), local_user())
