"""``monai-tavr labels fit``: what is usual of poses and steps, by labels that are right."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from monai_tavr.commands.label_inputs import add_label_arguments, predicted_for, stored_predictions
from monai_tavr.commands.options import positive_number, share

if TYPE_CHECKING:
    from monai_tavr.label import CineLabel

__all__ = ["SUMMARY", "add_arguments", "run"]

SUMMARY = "work out what is usual"

_DESCRIPTION = """Work out what is usual from labels that are taken to be right, of at least five patients. Limits are chosen so
that each lets all but a share of the frames of other patients pass.
With --predictions the distance from the model is fitted, too."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.description = _DESCRIPTION
    words = "datalist JSON, or the folder that holds datalist.json; may be repeated"
    parser.add_argument("--data", type=Path, required=True, action="append", metavar="DATALIST", help=words)
    parser.add_argument("--split", choices=["train", "val", "test", "all"], default="train", help="patients (default: train)")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="where to write what is usual (JSON)")
    words = "largest share of frames beyond each limit (default: 0.002)"
    parser.add_argument("--max-flagged", type=share, default=0.002, metavar="SHARE", help=words)
    words = "scatter of a click in pixels of an image of 512 (default: 2)"
    parser.add_argument("--clicks", type=positive_number, default=2.0, metavar="PX", help=words)
    add_label_arguments(parser, statistics=False)


def run(args: argparse.Namespace) -> int:
    """Fit and write. Raises ValueError where there are too few labels."""
    from monai_tavr.evaluation.frames import group_by_cine
    from monai_tavr.keypoints import load_schema
    from monai_tavr.plausibility import write_statistics
    from monai_tavr.plausibility.fit import fit_model_limit, fit_statistics
    from monai_tavr.training.datasets import load_datalist

    schema, noise = load_schema(args.schema), args.clicks / 512
    sets = [group_by_cine(load_datalist(data, args.split), schema=schema) for data in args.data]
    labels: dict[str, list[CineLabel]] = {}
    for data, cines in zip(args.data, sets, strict=True):
        for cine in cines:
            labels.setdefault(f"{data}/{cine.patient}", []).append(cine.label)
    frames = sum(len(cine.frames) for cines in sets for cine in cines)
    words = f"{frames} frames of {', '.join(data.name for data in args.data)}, split {args.split}"
    fitted = fit_statistics(labels, schema=schema, flagged=args.max_flagged, noise=noise, fitted_on=words)
    predictions = stored_predictions(args, schema)
    if predictions is not None:
        pairs = [(c.label, found) for cines in sets for c in cines if (found := predicted_for(predictions, c.image, c.label))]
        fitted = replace(fitted, model=fit_model_limit(pairs, schema=schema, flagged=args.max_flagged, noise=noise))
    write_statistics(args.out, fitted)
    print(f"{args.out}: {args.out.stat().st_size / 1e3:.0f} kB, fitted on {words} of {len(labels)} patients")
    return 0
