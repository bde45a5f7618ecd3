"""``monai-tavr thresholds``: choose the decision thresholds of a model on validation patients."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from monai_tavr.commands.evaluate import add_data_arguments, labelled_cines, predict_all
from monai_tavr.commands.options import add_model_arguments, build_predictor

if TYPE_CHECKING:
    from monai_tavr.evaluation import EvaluatedFrame

__all__ = ["add_arguments", "run"]

_EPILOG = """example:
  monai-tavr thresholds --data data --split val --out models/thresholds.json

For every point, and for every group, the threshold of highest F1 is chosen (the middle of the range that reaches it). The usual
spread of well located points is kept too, for overlays mark what is wider. Choose on validation patients, never on those who
test. The file belongs beside the weights, where the predictor looks for it."""

_WELL_LOCATED_PX = 10.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.epilog = _EPILOG
    add_data_arguments(parser, split="val")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="FILE", help="where to write them, e.g. models/thresholds.json"
    )
    add_model_arguments(parser)


def _spread_floor(frames: Sequence[EvaluatedFrame]) -> float:
    """Median spread of well located points, as a share of the network input's side; 0 if there are none."""
    import numpy as np

    spreads = [0.0]
    for f in frames:
        if f.model is not None:
            error = np.linalg.norm(f.model.located - f.truth.xy, axis=1)  # NaN where the truth is not visible
            spreads += (f.model.spread[error < _WELL_LOCATED_PX] / f.model.input_side).tolist()
    return round(float(np.median(spreads[1:] or spreads)), 5)


def run(args: argparse.Namespace) -> int:
    """Choose, print and write."""
    import numpy as np

    from monai_tavr.evaluation import model_predictions
    from monai_tavr.postprocess import Thresholds, select_thresholds, write_thresholds

    predictor = build_predictor(args)
    predictor.spread_floor = 0.0  # it is chosen here
    schema = predictor.schema
    frames, _ = predict_all(labelled_cines(args, schema), model_predictions(predictor), title="predict")
    states, group_states = np.stack([f.truth.state for f in frames]), np.stack([f.truth.group_state for f in frames])
    points = select_thresholds(np.array([f.prediction.score for f in frames]), states)
    groups = select_thresholds(np.array([f.model.group_probability for f in frames if f.model is not None]), group_states)
    patients = len({f.patient for f in frames})
    chosen = Thresholds(
        schema=schema.name,
        points=dict(zip(schema.names, np.round(points, 4).tolist(), strict=True)),
        groups=dict(zip(schema.group_names, np.round(groups, 4).tolist(), strict=True)),
        spread_floor=_spread_floor(frames),
        selected_on=f"split {args.split} of {args.data.name}: {len(frames)} frames of {patients} patients; "
        f"weights {predictor.weights_sha256[:12]}",
    )
    write_thresholds(args.out, chosen)
    for name, value in (*chosen.points.items(), *chosen.groups.items()):
        print(f"{name:16s}{value:.3f}")
    return 0
