"""Which labelled data a command works on, and what the model says of them."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monai_tavr.commands.options import parse_names

if TYPE_CHECKING:
    from monai_tavr.evaluation.frames import EvaluatedFrame, LabelledCine
    from monai_tavr.keypoints import KeypointSchema
    from monai_tavr.predictor import KeypointPredictor

__all__ = ["add_data_arguments", "add_negatives_arguments", "labelled_cines", "predict_all", "predict_negatives"]


def add_data_arguments(parser: argparse.ArgumentParser, *, split: str, required: bool = True) -> None:
    """``--data --split``."""
    parser.add_argument(
        "--data", type=Path, required=required, metavar="DATALIST", help="datalist JSON, or the folder that holds datalist.json"
    )
    parser.add_argument(
        "--split", choices=["train", "val", "test", "all"], default=split, help=f"which patients (default: {split})"
    )


def add_negatives_arguments(parser: argparse.ArgumentParser) -> None:
    """``--negatives --absent``."""
    parser.add_argument(
        "--negatives",
        type=Path,
        metavar="DIR",
        help="real frames (DICOM, PNG, JPEG) without delivery catheter and valve, e.g. coronary angiograms",
    )
    parser.add_argument(
        "--absent",
        type=parse_names,
        default=["instrumental", "contour"],
        metavar="NAMES",
        help="groups that none of them shows (default: instrumental,contour)",
    )


def labelled_cines(args: argparse.Namespace, schema: KeypointSchema) -> list[LabelledCine]:
    """The files of the split that the shared arguments ask for, with their labels. Raises ValueError if none is labelled."""
    from monai_tavr.evaluation.frames import group_by_cine
    from monai_tavr.training.datasets import load_datalist

    cines = group_by_cine(load_datalist(args.data, args.split), schema=schema)
    if not any(c.frames for c in cines):
        raise ValueError(f"{args.data}: split {args.split!r} has no labelled frame")
    return cines


def predict_all(
    cines: Sequence[LabelledCine], predict: Callable[[LabelledCine], Any], *, title: str
) -> tuple[list[EvaluatedFrame], float]:
    """Every frame with its prediction, and the seconds it took; with a progress bar."""
    from tqdm import tqdm

    from monai_tavr.evaluation.frames import evaluate_cines

    started = time.perf_counter()
    with tqdm(total=sum(len(c.frames) for c in cines), desc=title, unit="frame", leave=False, disable=None) as bar:
        frames = evaluate_cines(cines, predict, progress=bar.update)
    return frames, time.perf_counter() - started


def predict_negatives(args: argparse.Namespace, predictor: KeypointPredictor) -> list[EvaluatedFrame]:
    """What the model says of the frames that the shared arguments name; of a cine, four frames."""
    from monai_tavr.evaluation.frames import model_predictions
    from monai_tavr.training.negatives import negative_cines

    cines = negative_cines(args.negatives, absent=args.absent, schema=predictor.schema)
    return predict_all(cines, model_predictions(predictor), title="negatives")[0]
