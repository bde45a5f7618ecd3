"""``monai-tavr thresholds``: choose the decision thresholds of a model on validation patients."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monai_tavr.commands.data import (
    add_data_arguments,
    add_negatives_arguments,
    labelled_cines,
    predict_all,
    predict_negatives,
)
from monai_tavr.commands.options import add_model_arguments, build_predictor, positive_number, share

__all__ = ["add_arguments", "run"]

_EPILOG = """examples:
  monai-tavr thresholds --data data --split val --negatives coronaries --out models/thresholds.json
  monai-tavr thresholds --data data --split val --negatives coronaries --max-false-alarms 0.005 --out models/thresholds.json

For every point, and for every group, the threshold of highest F1 is chosen (the middle of the range that reaches it); with
--beta 2 recall counts twice as much as precision, so that fewer points are missed and more are invented. The usual spread of
well located points is kept too, for overlays mark what is wider. No threshold is lower than --lowest.

Phantoms show little that looks like a device and is none, real frames do. With --negatives (frames without delivery catheter and
valve; whether their root can be seen is left open) the groups' presence is calibrated on both, and the thresholds are the best
among those that report a device, of whatever group, on at most --max-false-alarms of these frames. What they do is printed: F1,
false alarms with their interval, calibration error before and after.

Choose on validation patients, and on negatives that nobody trained on; never on those that test. The file belongs beside the
weights, where the predictor looks for it."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.epilog = _EPILOG
    add_data_arguments(parser, split="val")
    add_negatives_arguments(parser)
    parser.add_argument(
        "--max-false-alarms",
        type=share,
        default=0.01,
        metavar="SHARE",
        help="of the negatives, on which any device group may be reported (default: 0.01)",
    )
    parser.add_argument("--lowest", type=share, default=0.3, metavar="P", help="lower bound of any threshold (default: 0.3)")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="FILE", help="where to write them, e.g. models/thresholds.json"
    )
    parser.add_argument(
        "--beta",
        type=positive_number,
        default=1.0,
        metavar="B",
        help="how many times as much recall counts as precision (default: 1, which is F1)",
    )
    add_model_arguments(parser, precision="fp32")


def run(args: argparse.Namespace) -> int:
    """Choose, print and write."""
    from monai_tavr.evaluation.frames import model_predictions
    from monai_tavr.evaluation.thresholds import choose_thresholds, judge_thresholds
    from monai_tavr.postprocess import KeypointPostprocess, write_thresholds

    predictor = build_predictor(args)
    schema = predictor.schema
    # what is chosen here must not rest on what was chosen before
    predictor.spread_floor, predictor.postprocess = 0.0, KeypointPostprocess(schema=schema)
    frames, _ = predict_all(labelled_cines(args, schema), model_predictions(predictor), title="predict")
    negatives = [] if args.negatives is None else predict_negatives(args, predictor)
    words = f"split {args.split} of {args.data.name}: {len(frames)} frames of {len({f.patient for f in frames})} patients"
    if negatives:
        words += f"; {len(negatives)} frames without {' and '.join(args.absent)} of {args.negatives.name}"
        words += f", of which at most {args.max_false_alarms:g} give a false alarm"
    chosen = choose_thresholds(
        frames,
        schema=schema,
        beta=args.beta,
        lowest=args.lowest,
        negatives=negatives,
        max_false_alarms=args.max_false_alarms,
        selected_on=f"{words}; F{args.beta:g}; weights {predictor.weights_sha256[:12]}",
    )
    write_thresholds(args.out, chosen)
    for name, value in (*chosen.points.items(), *chosen.groups.items()):
        print(f"{name:16s}{value:.4f}")
    _say(judge_thresholds(chosen, frames, negatives, schema=schema))
    return 0


def _say(judged: Mapping[str, Any]) -> None:
    print(f"F1 on the labelled frames {judged['f1']:.4f}")
    if "false_alarms" in judged:
        alarms = judged["false_alarms"]
        low, high = alarms["interval_95"]
        print(f"false alarms on {alarms['frames']} of {alarms['n']} negatives: {alarms['share']:.2%}", end=" ")
        print(f"(95 % interval {low:.2%} to {high:.2%})")
        for name, ece in judged["ece"].items():
            print(f"calibration error of {name}: {ece['before']:.4f} before, {ece['after']:.4f} after")
