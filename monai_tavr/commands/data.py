"""Which labelled data a command works on, and what the model says of them."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from monai_tavr.evaluation.frames import EvaluatedFrame, LabelledCine
    from monai_tavr.keypoints import KeypointSchema

__all__ = ["add_data_arguments", "labelled_cines", "predict_all"]


def add_data_arguments(parser: argparse.ArgumentParser, *, split: str) -> None:
    """``--data --split``."""
    parser.add_argument(
        "--data", type=Path, required=True, metavar="DATALIST", help="datalist JSON, or the folder that holds datalist.json"
    )
    parser.add_argument(
        "--split", choices=["train", "val", "test", "all"], default=split, help=f"which patients (default: {split})"
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
