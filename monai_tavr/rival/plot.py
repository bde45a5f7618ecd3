"""BAMNet's figures and ours in one picture: errors by landmark with every fold, and how the errors are distributed."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from monai_tavr.files import replacing
from monai_tavr.rival.errors import JudgedFrame
from monai_tavr.rival.published import BAMNET, POINTS

__all__ = ["write_comparison_plot"]

_PUBLISHED = "0.35"  # grey
_COLORS = ("#3d7fdc", "#e08a1e")
_FURTHEST_PX = 40.0


def write_comparison_plot(
    path: str | os.PathLike[str],
    folds: Mapping[str, Sequence[Mapping[str, Any]]],
    frames: Mapping[str, Sequence[Sequence[JudgedFrame]]],
) -> None:
    """Two plots side by side as PNG.

    Args:
        path: of the picture.
        folds: title of a model -> the figures of each fold, see :func:`monai_tavr.rival.errors.summarise`.
        frames: title of a model -> the frames of each fold.
    """
    figure = Figure(figsize=(12, 4.6), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    _plot_landmarks(left, folds)
    _plot_cumulative(right, frames)
    with replacing(path) as stream:
        figure.savefig(stream, dpi=110, format="png")


def _plot_landmarks(axes: Axes, models: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    names = ["all", *POINTS]
    width = 0.8 / (1 + len(models))
    places = np.arange(len(names))
    spreads = [BAMNET["mean_error_px" if n == "all" else f"{n} mean_error_px"] for n in names]
    first = places - width * len(models) / 2
    axes.bar(first, [s.mean for s in spreads], width, yerr=[s.sd or 0.0 for s in spreads], color=_PUBLISHED, capsize=3)
    axes.bar([0], [0], color=_PUBLISHED, label="BAMNet, published (± sd)")
    for k, (title, folds) in enumerate(models.items(), start=1):
        errors = np.array([[_error(fold, n) for n in names] for fold in folds])
        means = [np.mean(e[np.isfinite(e)]) if np.isfinite(e).any() else np.nan for e in errors.T]
        at = first + k * width
        axes.bar(at, means, width, color=_COLORS[(k - 1) % 2], alpha=0.75, label=f"{title} (dots: folds)")
        axes.plot(np.tile(at, (len(folds), 1)), errors, "o", color="black", markersize=3)
    axes.set_xticks(places, names)
    axes.set(ylabel="pixels of a 640-px picture", title="Mean error", ylim=(0, 1.25 * axes.get_ylim()[1]))  # room for the legend
    axes.legend(loc="upper left", ncols=2, fontsize=8)


def _error(fold: Mapping[str, Any], name: str) -> float:
    value = (fold if name == "all" else fold["per_point"][name])["mean_error_px"]
    return np.nan if value is None else float(value)


def _plot_cumulative(axes: Axes, models: Mapping[str, Sequence[Sequence[JudgedFrame]]]) -> None:
    for k, (title, folds) in enumerate(models.items()):
        offsets = [f.located.xy[f.truth.visible] - f.truth.xy[f.truth.visible] for frames in folds for f in frames]
        errors = np.sort(np.linalg.norm(np.concatenate(offsets), axis=1))
        share = np.arange(1, errors.size + 1) / errors.size
        axes.step(np.append(0, errors), np.append(0, share), where="post", color=_COLORS[k % 2], label=title)
    median, mean = BAMNET["median_error_px"].mean, BAMNET["mean_error_px"].mean
    axes.plot([median], [0.5], "D", color=_PUBLISHED, label=f"BAMNet's median, {median:.2f} px")
    axes.axvline(mean, color=_PUBLISHED, linewidth=0.8, linestyle="--", label=f"BAMNet's mean, {mean:.2f} px")
    axes.set(xlim=(0, _FURTHEST_PX), ylim=(0, 1.02), xlabel="pixels of a 640-px picture", title="Share of landmarks within")
    axes.legend(loc="lower right", fontsize=8)
