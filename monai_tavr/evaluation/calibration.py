"""How far a visibility probability may be believed: expected calibration error, Brier score, average precision.

Guo et al. 2017 (equal-width bins) for the calibration error, Brier 1950 for the score. Averages are over labelled points.
"""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["average_precision", "calibration"]


def average_precision(probability: np.ndarray, outcome: np.ndarray) -> float:
    """Area under the precision-recall steps, without interpolation; equal probabilities are one step.

    Args:
        probability: (N,) in [0, 1].
        outcome: (N,) bool, what was true.

    Returns:
        NaN if nothing was true.
    """
    probability, outcome = np.asarray(probability, float), np.asarray(outcome, bool)
    if not outcome.any():
        return float("nan")
    order = np.argsort(-probability, kind="stable")
    last_of_step = np.append(np.diff(probability[order]) != 0, True)
    hits = np.cumsum(outcome[order])[last_of_step]
    precision = hits / (np.flatnonzero(last_of_step) + 1)
    return float(np.sum(np.diff(hits, prepend=0) * precision) / outcome.sum())


def calibration(probability: np.ndarray, outcome: np.ndarray, *, bins: int = 10) -> dict[str, Any]:
    """Calibration of probabilities against what was true.

    Args:
        probability: (N,) in [0, 1], N > 0.
        outcome: (N,) bool.
        bins: number of equal-width bins of the reliability diagram.

    Returns:
        ``ece``, ``brier``, ``average_precision``, ``n`` and ``bins``, a list of
        ``{"from", "to", "n", "confidence", "frequency"}`` for the bins that hold something.

    Raises:
        ValueError: the two are empty, or no vectors of one length.
    """
    probability, outcome = np.asarray(probability, float), np.asarray(outcome, bool)
    if probability.ndim != 1 or probability.shape != outcome.shape or probability.size == 0:
        raise ValueError(f"need two vectors of one length > 0, got shapes {probability.shape} and {outcome.shape}")
    which = np.minimum((probability * bins).astype(int), bins - 1)
    diagram = []
    for b in np.unique(which):
        inside = which == b
        confidence, frequency = float(probability[inside].mean()), float(outcome[inside].mean())
        diagram.append(
            {"from": b / bins, "to": (b + 1) / bins, "n": int(inside.sum()), "confidence": confidence, "frequency": frequency}
        )
    return {
        "ece": sum(d["n"] * abs(d["confidence"] - d["frequency"]) for d in diagram) / probability.size,
        "brier": float(np.mean((probability - outcome) ** 2)),
        "average_precision": average_precision(probability, outcome),
        "n": int(probability.size),
        "bins": diagram,
    }
