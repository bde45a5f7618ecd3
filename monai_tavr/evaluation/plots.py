"""Plots of an evaluation: how far off the points are, which points, and how far their probabilities may be believed."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from monai_tavr.evaluation.calibration import calibration
from monai_tavr.keypoints import Keypoints, KeypointSchema, KeypointState

__all__ = ["write_error_plot"]

_FURTHEST_PX = 40.0


def _errors(predictions: Sequence[Keypoints], truths: Sequence[Keypoints]) -> np.ndarray:
    """(N, K) pixels over true positives; infinite where a visible point was missed, NaN where there was none to find."""
    errors = np.stack([np.linalg.norm(p.xy - t.xy, axis=1) for p, t in zip(predictions, truths, strict=True)])
    visible = np.stack([t.visible for t in truths])
    return np.where(visible, np.nan_to_num(errors, nan=np.inf), np.nan)


def _plot_cumulative(axes: Axes, errors: np.ndarray, schema: KeypointSchema) -> None:
    for g, name in enumerate(schema.group_names):
        values = np.sort(errors[:, schema.group_index == g].ravel())
        values = values[~np.isnan(values)]
        if values.size:
            share = np.arange(1, values.size + 1) / values.size
            found = values <= _FURTHEST_PX
            color = schema.colors.get(name)
            # the line ends below 1 by the share of points missed or further away
            x, y = np.append(values[found], _FURTHEST_PX), np.append(share[found], share[found][-1] if found.any() else 0)
            axes.step(np.append(0, x), np.append(0, y), where="post", color=color, label=schema.titles.get(name, name))
            axes.legend(loc="lower right")
    axes.axvline(20, color="0.6", linewidth=0.8)
    axes.set(xlim=(0, _FURTHEST_PX), ylim=(0, 1.02), xlabel="pixels", title="Share of visible points found within")


def _plot_points(axes: Axes, errors: np.ndarray, schema: KeypointSchema) -> None:
    found = [e[np.isfinite(e)] for e in errors.T]
    boxes = axes.boxplot(found, whis=(5, 95), showfliers=False, patch_artist=True, medianprops={"color": "black"})
    for box, name in zip(boxes["boxes"], schema.names, strict=True):
        box.set_facecolor(schema.color_of(name))
    axes.set_xticks(range(1, len(schema.names) + 1), schema.names, rotation=90)
    axes.set(ylabel="pixels", title="Error of found points (box: quartiles, whiskers: 5 to 95 %)", ylim=(0, None))


def _plot_reliability(axes: Axes, predictions: Sequence[Keypoints], truths: Sequence[Keypoints]) -> None:
    pairs = [(p.score, t.state) for p, t in zip(predictions, truths, strict=True) if p.score is not None]
    axes.plot([0, 1], [0, 1], color="0.6", linewidth=0.8)
    axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="predicted probability", title="Share of points that are visible")
    if not pairs:
        return
    score, state = (np.concatenate(column) for column in zip(*pairs, strict=True))
    labelled = state != KeypointState.UNLABELLED
    if labelled.any():
        measured = calibration(score[labelled], state[labelled] == KeypointState.VISIBLE)
        bins = measured["bins"]
        axes.plot([b["confidence"] for b in bins], [b["frequency"] for b in bins], "o-", color="black")
        axes.text(0.05, 0.93, f"calibration error {measured['ece']:.3f}")


def write_error_plot(path: str | os.PathLike[str], predictions: Sequence[Keypoints], truths: Sequence[Keypoints]) -> None:
    """Three plots side by side as PNG: cumulative errors by group (misses counted), errors by point, reliability.

    Args:
        path: of the picture.
        predictions: N frames.
        truths: N labels of the same frames.

    Raises:
        ValueError: there is no frame, or not one prediction per truth.
    """
    if not truths or len(predictions) != len(truths):
        raise ValueError(f"need one prediction per truth and at least one, got {len(predictions)} and {len(truths)}")
    schema, errors = truths[0].schema, _errors(predictions, truths)
    figure = Figure(figsize=(15, 4.6), layout="constrained")
    FigureCanvasAgg(figure)
    left, middle, right = figure.subplots(1, 3)
    _plot_cumulative(left, errors, schema)
    _plot_points(middle, errors, schema)
    _plot_reliability(right, predictions, truths)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110, format="png")
