"""How a network learns: datalists, loss, forward passes, and the handlers of MONAI's trainer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from monai_tavr.lazy import look_up_in

if TYPE_CHECKING:
    from monai_tavr.training.consistency import ConsistencyLoss, TaughtLoss
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
    from monai_tavr.training.teacher import Teacher
    from monai_tavr.training.unlabelled import PairedBatches, first_of_views, random_part, unlabelled_items

__all__ = [
    "AutocastInferer",
    "BestModelSaver",
    "CineInferer",
    "ConsistencyLoss",
    "FrameDataset",
    "GroupedKeypointLoss",
    "MixedBatches",
    "PairedBatches",
    "ProgressLog",
    "TaughtLoss",
    "Teacher",
    "TrainingCheckpoint",
    "ValidationScore",
    "first_of_views",
    "loss_terms",
    "negative_items",
    "prepare_batch",
    "random_part",
    "start_network",
    "unlabelled_items",
    "validation_metrics",
]

# who only lists frames must not wait for ignite
__getattr__ = look_up_in(
    __name__,
    {
        "consistency": ["ConsistencyLoss", "TaughtLoss"],
        "datasets": ["FrameDataset"],
        "handlers": [
            *["BestModelSaver", "ProgressLog", "TrainingCheckpoint", "ValidationScore"],
            *["loss_terms", "prepare_batch", "start_network", "validation_metrics"],
        ],
        "inferers": ["AutocastInferer", "CineInferer"],
        "loss": ["GroupedKeypointLoss"],
        "negatives": ["MixedBatches", "negative_items"],
        "teacher": ["Teacher"],
        "unlabelled": ["PairedBatches", "first_of_views", "random_part", "unlabelled_items"],
    },
)
