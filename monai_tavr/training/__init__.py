"""How a network learns: datalists, loss, forward passes, and the handlers of MONAI's trainer."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from monai_tavr.training.datasets import FrameDataset
    from monai_tavr.training.handlers import (
        BestModelSaver,
        ProgressLog,
        TrainingCheckpoint,
        ValidationScore,
        loss_terms,
        prepare_batch,
        start_network,
        validation_metrics,
    )
    from monai_tavr.training.inferers import AutocastInferer, CineInferer
    from monai_tavr.training.loss import GroupedKeypointLoss
    from monai_tavr.training.negatives import MixedBatches, negative_items

__all__ = [
    "AutocastInferer",
    "BestModelSaver",
    "CineInferer",
    "FrameDataset",
    "GroupedKeypointLoss",
    "MixedBatches",
    "ProgressLog",
    "TrainingCheckpoint",
    "ValidationScore",
    "loss_terms",
    "negative_items",
    "prepare_batch",
    "start_network",
    "validation_metrics",
]

_ROOMS = ("handlers", "datasets", "loss", "inferers", "negatives")


def __getattr__(name: str) -> Any:
    # who only lists frames must not wait for ignite
    if name in __all__:
        for room in _ROOMS:
            module = importlib.import_module(f"{__name__}.{room}")
            if name in module.__all__:
                return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
