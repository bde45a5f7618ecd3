"""What the commands of ``monai-tavr labels`` share: the schema, what is usual, and stored predictions."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from monai_tavr.evaluation.frames import StoredPredictions
    from monai_tavr.keypoints import KeypointSchema
    from monai_tavr.label import CineLabel
    from monai_tavr.plausibility import PoseStatistics

__all__ = ["add_label_arguments", "chosen_statistics", "predicted_for", "stored_predictions"]


def add_label_arguments(parser: argparse.ArgumentParser, *, statistics: bool) -> None:
    """``--predictions --schema`` and, where they are read, ``--statistics``."""
    words = "label files of the model for the same cines, from `monai-tavr predict`"
    parser.add_argument("--predictions", type=Path, metavar="DIR", help=words)
    parser.add_argument("--schema", default="tavr11", metavar="NAME|FILE", help="keypoint schema (default: tavr11)")
    if statistics:
        words = "what is usual, from `labels fit` (default: that of phantoms)"
        parser.add_argument("--statistics", type=Path, metavar="FILE", help=words)


def chosen_statistics(args: argparse.Namespace) -> PoseStatistics:
    """Those of ``--statistics``, or the package's. Raises ValueError for a damaged file."""
    from monai_tavr.plausibility import read_statistics, shipped_statistics

    return shipped_statistics() if args.statistics is None else read_statistics(args.statistics)


def stored_predictions(args: argparse.Namespace, schema: KeypointSchema) -> StoredPredictions | None:
    """Those of ``--predictions``, or None. Raises ValueError where there are none."""
    from monai_tavr.evaluation.frames import StoredPredictions

    return None if args.predictions is None else StoredPredictions(args.predictions, schema=schema)


def predicted_for(predictions: StoredPredictions, file: Path, label: CineLabel) -> CineLabel | None:
    """What was predicted for the image of a label, by its UID or the name of ``file``; None where there is nothing."""
    from monai_tavr.evaluation.frames import LabelledCine

    try:
        return predictions.find(LabelledCine(file, "", label, ()))
    except ValueError:
        return None
