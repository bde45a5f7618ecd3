"""``monai-tavr labels measure``: how many planted errors the checks of labels find, and how often they cry wolf."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monai_tavr.commands.data import add_data_arguments, labelled_cines
from monai_tavr.commands.label_inputs import add_label_arguments, chosen_statistics, stored_predictions
from monai_tavr.commands.options import positive_number

if TYPE_CHECKING:
    from monai_tavr.evaluation.frames import LabelledCine, StoredPredictions
    from monai_tavr.label import CineLabel
    from monai_tavr.plausibility import Finding

__all__ = ["SUMMARY", "add_arguments", "run"]

SUMMARY = "count how many planted errors are found"

_DESCRIPTION = """Plant errors in good labels, one at a time, look for them, and count: the ends of a line exchanged, neighbours
along a device exchanged, a device turned round, and a point that slipped."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.description = _DESCRIPTION
    add_data_arguments(parser, split="test")
    words = "how far a point slips, in pixels of an image of 512 (default: 20)"
    parser.add_argument("--pixels", type=positive_number, default=20.0, metavar="PX", help=words)
    words = "move every point first by such a scatter, as people do (default: not)"
    parser.add_argument("--clicks", type=positive_number, default=0.0, metavar="PX", help=words)
    words = "only every N-th frame of a cine is labelled (default: 1)"
    parser.add_argument("--every", type=int, default=1, metavar="N", help=words)
    parser.add_argument("--cines", type=int, metavar="N", help="only N cines, spread over the split")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of what is planted (default: 0)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures there")
    add_label_arguments(parser, statistics=True)


def run(args: argparse.Namespace) -> int:
    """Plant, count, print and write. Raises ValueError where there is nothing to plant errors in."""
    from tqdm import tqdm

    from monai_tavr.evaluation.planted_errors import measure_checks
    from monai_tavr.files import write_json_atomically
    from monai_tavr.keypoints import load_schema
    from monai_tavr.plausibility import check_label

    if args.every < 1 or (args.cines is not None and args.cines < 1):
        raise ValueError("--every and --cines: give at least 1")
    schema, statistics = load_schema(args.schema), chosen_statistics(args)
    cines = labelled_cines(args, schema)
    number = len(cines) if args.cines is None else min(args.cines, len(cines))
    cines = [cines[i * len(cines) // number] for i in range(number)]
    predictions = stored_predictions(args, schema)
    chosen = [_with_predictions(cine, predictions, args.every) for cine in cines]
    predicted = {label.image: found for label, found in chosen}

    def check(label: CineLabel) -> list[Finding]:
        return check_label(label, schema=schema, predictions=predicted[label.image], statistics=statistics)

    with tqdm(
        total=sum(len(label.frames) for label, _ in chosen), desc="measure", unit="frame", leave=False, disable=None
    ) as bar:
        counts = measure_checks(
            [label for label, _ in chosen], check, pixels=args.pixels, clicks=args.clicks, seed=args.seed, progress=bar.update
        )
    report = counts.to_dict()
    _print_measured(report)
    if args.json is not None:
        options = {name: getattr(args, name) for name in ("split", "pixels", "clicks", "every", "seed")}
        about = {"data": str(args.data), "predictions": args.predictions and str(args.predictions)}
        write_json_atomically(args.json, report | about | options | {"statistics": statistics.fitted_on})
    return 0


def _with_predictions(
    cine: LabelledCine, predictions: StoredPredictions | None, every: int
) -> tuple[CineLabel, CineLabel | None]:
    """Every N-th labelled frame of a cine, and what was predicted for it. Raises ValueError where predictions are missing."""
    label = replace(cine.label, frames=cine.label.frames[::every])
    return label, None if predictions is None else predictions.find(cine)


def _print_measured(report: dict[str, Any]) -> None:
    print(f"clean frames reported: {report['false_alarms']} of {report['clean_frames']}, {report['false_alarm_share']:.2%}")
    for kind, figures in report["errors"].items():
        found = f"{figures['found']:5d} of {figures['planted']:5d} found, {figures['found_share']:.1%}"
        print(f"{kind:20s}{found}; the right point first in {figures['named_share']:.1%}")
