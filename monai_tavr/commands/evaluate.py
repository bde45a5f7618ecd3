"""``monai-tavr evaluate``: the figures of the model, or of stored predictions, against labels."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monai_tavr.commands.data import (
    add_data_arguments,
    add_negatives_arguments,
    labelled_cines,
    predict_all,
    predict_negatives,
)
from monai_tavr.commands.options import add_model_arguments, build_predictor

if TYPE_CHECKING:
    from monai_tavr.evaluation.frames import LabelledCine
    from monai_tavr.predictor import KeypointPredictor

__all__ = ["add_arguments", "run"]

_EPILOG = """examples:
  monai-tavr evaluate --data data --split test --json scores.json
  monai-tavr evaluate --data data --split val --json scores.json --csv scores.csv --overlays worst --plot errors.png
  monai-tavr evaluate --data data --split test --predictions results --json scores.json
  monai-tavr evaluate --negatives coronaries --json scores.json --overlays worst

The JSON holds precision, recall, f1, mean_, median_ and p95_error_px (over points that are visible in truth and prediction),
localisation_accuracy_20px (share of those within 20 px), sdr_px (share of all visible points found within 2.5, 5, 10, 20 px,
misses counted), group_accuracy, n_frames, n_patients; the same under per_point, per_group and per_patient; means over images,
as in the paper, under per_image; 95 % intervals by drawing patients; calibration of the visibility. Figures on phantoms are
phantom figures, not clinical ones.

With --negatives, frames on which there is neither delivery catheter nor valve, the JSON holds under "negatives" the share of them
on which a device is reported, any and each group, with 95 % intervals (frames taken for independent); the overlays of the loudest
go to DIR/negatives. --data may then be left out. Where the model tells typical frames from others (`monai-tavr typical`), the
share of frames that it flags is there too, and of negatives those with no device or a flag."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.epilog = _EPILOG
    add_data_arguments(parser, split="test", required=False)
    add_negatives_arguments(parser)
    parser.add_argument("--json", type=Path, required=True, metavar="FILE", help="where to write the figures")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="also as a table: a row per point, group and patient")
    parser.add_argument("--overlays", type=Path, metavar="DIR", help="draw the worst frames, prediction against truth")
    parser.add_argument("--worst", type=int, default=12, metavar="N", help="how many frames to draw (default: 12)")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw the distribution of the errors (PNG)")
    parser.add_argument("--predictions", type=Path, metavar="DIR", help="judge these label files instead of the model")
    parser.add_argument("--no-group-rule", action="store_true", help="let every point be decided by itself")
    parser.add_argument(
        "--bootstrap", type=int, default=1000, metavar="N", help="draws behind the intervals (default: 1000; 0: none)"
    )
    add_model_arguments(parser, precision="fp32")


def run(args: argparse.Namespace) -> int:
    """Evaluate, print and write. Raises ValueError where the arguments do not go together."""
    from monai_tavr.files import write_json_atomically

    if args.data is None and (args.negatives is None or args.predictions is not None):
        raise ValueError("nothing to evaluate on: give --data, or --negatives for the model")
    if args.negatives is not None and args.predictions is not None:
        raise ValueError("--negatives judges the model: it does not go with --predictions")
    report: dict[str, Any] = {}
    predictor = None
    if args.predictions is None:
        predictor = build_predictor(args)
        if args.no_group_rule:
            predictor.postprocess = replace(predictor.postprocess, group_rule=False)
        report |= {"model": predictor.author, "weights_sha256": predictor.weights_sha256, "group_rule": not args.no_group_rule}
    if args.data is not None:
        report |= _on_labels(args, predictor)
    if args.negatives is not None and predictor is not None:
        report |= _on_negatives(args, predictor)
    write_json_atomically(args.json, report)
    return 0


def _on_labels(args: argparse.Namespace, predictor: KeypointPredictor | None) -> dict[str, Any]:
    """The figures against labels; printed, and drawn where that is asked for."""
    from monai_tavr.evaluation.false_alarms import flags, share_of
    from monai_tavr.evaluation.frames import StoredPredictions, model_predictions
    from monai_tavr.evaluation.metrics import evaluate_keypoints
    from monai_tavr.evaluation.report import figures_table, write_metrics_csv
    from monai_tavr.keypoints import load_schema

    about: dict[str, Any] = {"data": str(args.data), "split": args.split}
    predict: Callable[[LabelledCine], Any]
    if predictor is None:
        schema = load_schema(args.schema or "tavr11")
        predict = StoredPredictions(args.predictions, schema=schema)
        about["predictions"] = str(args.predictions)
    else:
        schema, predict = predictor.schema, model_predictions(predictor)
    frames, seconds = predict_all(labelled_cines(args, schema), predict, title="evaluate")
    predictions, truths = [f.prediction for f in frames], [f.truth for f in frames]
    report = evaluate_keypoints(predictions, truths, patients=[f.patient for f in frames], bootstrap=args.bootstrap)
    if args.csv is not None:
        write_metrics_csv(args.csv, report)
    if args.overlays is not None:
        from monai_tavr.evaluation.worst_frames import write_worst_frames

        write_worst_frames(args.overlays, frames, count=args.worst)
    if args.plot is not None:
        from monai_tavr.evaluation.plots import write_error_plot

        write_error_plot(args.plot, predictions, truths)
    print(figures_table(report))
    flagged = flags(frames)
    if flagged is not None:
        report["flagged"] = share_of(flagged)
        print(f"flagged as not typical: {flagged.sum()} frames, {flagged.mean():.2%}")
    if predictor is not None:
        print(f"{len(frames) / seconds:.1f} frames per second, reading included")
    return report | about


def _on_negatives(args: argparse.Namespace, predictor: KeypointPredictor) -> dict[str, Any]:
    """What the model invents where there is no device; printed, and drawn where that is asked for."""
    from monai_tavr.evaluation.false_alarms import alarm_report, alarm_table, loudness

    frames = predict_negatives(args, predictor)
    report = alarm_report(frames)
    if args.overlays is not None:
        from monai_tavr.evaluation.worst_frames import write_worst_frames

        words = "= groups invented + presence"
        write_worst_frames(args.overlays / "negatives", frames, count=args.worst, judge=loudness, unit=words)
    print(alarm_table(report))
    return {"negatives": report | {"data": str(args.negatives)}}
