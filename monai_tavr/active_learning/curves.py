"""Learning curves of replays: error against labelled frames, and how many labels a strategy saves against random."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from scipy.stats import t as student_t

__all__ = ["LearningCurve", "Saving", "label_saving", "learning_curves", "write_curve_plot", "write_rounds_csv"]

_COLORS = {
    "random": "0.45",
    "hybrid": "#0072b2",
    "uncertainty": "#d55e00",
    "diversity": "#009e73",
    "disagreement": "#cc79a7",
    "sequential": "#e69f00",
}


@dataclass(frozen=True, eq=False)
class LearningCurve:
    """A strategy's error after each round.

    Attributes:
        labels: (R,) numbers of labelled frames.
        errors: (S, R) errors of each seed in pixels of 512.
    """

    labels: np.ndarray
    errors: np.ndarray

    @property
    def mean(self) -> np.ndarray:
        """(R,) error, the mean over seeds, in pixels of 512."""
        return np.asarray(self.errors.mean(axis=0))

    @property
    def half_interval(self) -> np.ndarray:
        """(R,) pixels of 512: half width of the 95 % interval of the mean over seeds; 0 for a single seed."""
        n = len(self.errors)
        if n < 2:
            return np.zeros(len(self.labels))
        return np.asarray(student_t.ppf(0.975, n - 1) * self.errors.std(axis=0, ddof=1) / np.sqrt(n))


def learning_curves(rounds: Sequence[Mapping[str, Any]], *, figure: str = "pool_error") -> dict[str, LearningCurve]:
    """Strategy -> curve over the seeds that finished all rounds with every strategy that finished any.

    Args:
        rounds: of :func:`monai_tavr.active_learning.simulation.run_replays`.
        figure: which figure of a round.
    """
    if not rounds:
        return {}
    last = max(r["round"] for r in rounds)
    values = {(r["strategy"], r["seed"], r["round"]): r for r in rounds}
    strategies = dict.fromkeys(r["strategy"] for r in rounds if r["round"] == last)
    seeds = [s for s in sorted({r["seed"] for r in rounds}) if all((n, s, last) in values for n in strategies)]
    curves = {}
    for name in strategies if seeds else ():
        table = [[values[name, s, k][figure] for k in range(last + 1)] for s in seeds]
        labels = np.mean([[values[name, s, k]["labels"] for k in range(last + 1)] for s in seeds], axis=0)
        curves[name] = LearningCurve(labels, np.array(table, float))
    return curves


@dataclass(frozen=True)
class Saving:
    """Labels that a strategy needs for random's final error, as a share of those that random needed.

    Attributes:
        ratio: of the mean curves; infinite where the strategy never gets there.
        low, high: 95 % interval of a bootstrap over the seeds, in pairs.
    """

    ratio: float
    low: float
    high: float


def _labels_to_reach(labels: np.ndarray, errors: np.ndarray, goal: float) -> float:
    """Where a curve first falls to the goal, between rounds by a straight line."""
    reached = np.flatnonzero(errors <= goal)
    if reached.size == 0:
        return float("inf")
    i = int(reached[0])
    if i == 0:
        return float(labels[0])
    share = (errors[i - 1] - goal) / (errors[i - 1] - errors[i])
    return float(labels[i - 1] + share * (labels[i] - labels[i - 1]))


def label_saving(curve: LearningCurve, random: LearningCurve, *, replicates: int = 2000, seed: int = 0) -> Saving:
    """How many labels a strategy needs for what random reaches with all its labels."""
    number = len(random.errors)
    draws = np.random.default_rng(seed).integers(0, number, (replicates, number))

    def ratio(which: np.ndarray) -> float:
        goal = float(random.errors[which].mean(axis=0)[-1])
        # random itself may have been as good earlier
        own = _labels_to_reach(random.labels, random.errors[which].mean(axis=0), goal)
        return _labels_to_reach(curve.labels, curve.errors[which].mean(axis=0), goal) / own if own else 1.0

    samples = np.sort([ratio(d) for d in draws])
    low, high = (float(samples[int(q * (replicates - 1))]) for q in (0.025, 0.975))  # infinite ones sort last
    return Saving(ratio(np.arange(number)), low, high)


def write_rounds_csv(path: str | os.PathLike[str], rounds: Sequence[Mapping[str, Any]]) -> None:
    """A row per round."""
    columns = [c for c in rounds[0] if c != "chosen"] if rounds else []
    with Path(path).open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rounds)


def write_curve_plot(path: str | os.PathLike[str], curves: Mapping[str, Mapping[str, LearningCurve]]) -> None:
    """Curves with their intervals as PNG, one panel per title.

    Args:
        path: of the picture.
        curves: title -> strategy -> curve.
    """
    figure = Figure(figsize=(5.6 * len(curves), 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, (title, by_strategy) in zip(figure.subplots(1, len(curves), squeeze=False)[0], curves.items(), strict=True):
        for name, curve in by_strategy.items():
            color = _COLORS.get(name)
            axes.plot(curve.labels, curve.mean, "o-", color=color, label=name, markersize=3)
            low, high = curve.mean - curve.half_interval, curve.mean + curve.half_interval
            axes.fill_between(curve.labels, low, high, color=color, alpha=0.15, linewidth=0)
        if "random" in by_strategy:
            axes.axhline(by_strategy["random"].mean[-1], color="0.6", linewidth=0.8, linestyle="--")
        axes.set(xlabel="labelled frames", ylabel="error per point (pixels of 512)", title=title)
        axes.legend()
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100, format="png")
