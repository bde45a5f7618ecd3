"""``monai-tavr thresholds``: choose the decision thresholds of a model on validation patients."""

from __future__ import annotations

import argparse
from pathlib import Path

from monai_tavr.commands.data import add_data_arguments, labelled_cines, predict_all
from monai_tavr.commands.options import add_model_arguments, build_predictor, positive_number

__all__ = ["add_arguments", "run"]

_EPILOG = """example:
  monai-tavr thresholds --data data --split val --out models/thresholds.json

For every point, and for every group, the threshold of highest F1 is chosen (the middle of the range that reaches it); with
--beta 2 recall counts twice as much as precision, so that fewer points are missed and more are invented. The usual spread of
well located points is kept too, for overlays mark what is wider. Choose on validation patients, never on those who test. The
file belongs beside the weights, where the predictor looks for it."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.epilog = _EPILOG
    add_data_arguments(parser, split="val")
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
    from monai_tavr.evaluation.thresholds import choose_thresholds
    from monai_tavr.postprocess import write_thresholds

    predictor = build_predictor(args)
    predictor.spread_floor = 0.0  # it is chosen here
    schema = predictor.schema
    frames, _ = predict_all(labelled_cines(args, schema), model_predictions(predictor), title="predict")
    patients = len({f.patient for f in frames})
    chosen = choose_thresholds(
        frames,
        schema=schema,
        beta=args.beta,
        selected_on=f"split {args.split} of {args.data.name}: {len(frames)} frames of {patients} patients; "
        f"F{args.beta:g}; weights {predictor.weights_sha256[:12]}",
    )
    write_thresholds(args.out, chosen)
    for name, value in (*chosen.points.items(), *chosen.groups.items()):
        print(f"{name:16s}{value:.3f}")
    return 0
