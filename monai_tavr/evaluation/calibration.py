"""How far a probability may be believed, and how to make it believable: calibration error, Brier score, average precision; fits.

Guo et al. 2017 (equal-width bins) for the calibration error, Brier 1950 for the score, Platt 1999 for the calibration. Averages
are over labelled points.
"""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["average_precision", "calibration", "fit_logistic", "fit_platt", "sigmoid"]


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


def sigmoid(x: np.ndarray) -> np.ndarray:
    """Probabilities of ``x``, logits of any shape, without overflow."""
    return np.asarray(1 / (1 + np.exp(-np.clip(x, -40, 40))))


def fit_logistic(
    x: np.ndarray,
    outcome: np.ndarray,
    *,
    prior: np.ndarray,
    ridge: np.ndarray | float = 1.0,
    weight: np.ndarray | float = 1.0,
) -> np.ndarray:
    """Logistic regression by Newton's method, drawn towards a prior, so that it stays finite where the two could be told apart.

    Args:
        x: (N, D) features; a column of ones for the offset.
        outcome: (N,) bool.
        prior: (D,) weights of the features that it is drawn to.
        ridge: a number, how strongly, for all or (D,).
        weight: how many times each outcome counts, for all or (N,).

    Returns:
        (D,) weights of the features: ``x`` times them is a logit.
    """
    x, y = np.asarray(x, float), np.asarray(outcome, float)
    prior, pull = np.asarray(prior, float), np.broadcast_to(np.asarray(ridge, float), (x.shape[1],))
    coefficients, count = prior.copy(), np.broadcast_to(np.asarray(weight, float), y.shape)
    for _ in range(50):
        p = sigmoid(x @ coefficients)
        slope = x.T @ (count * (y - p)) - pull * (coefficients - prior)
        curvature = (x * (count * p * (1 - p))[:, None]).T @ x + np.diag(pull)
        step = np.linalg.solve(curvature, slope)
        coefficients = coefficients + step * min(1.0, 2.0 / max(float(np.abs(step).max()), 1e-12))  # far off, Newton overshoots
        if np.abs(step).max() < 1e-8:
            break
    return coefficients


def fit_platt(probability: np.ndarray, outcome: np.ndarray) -> tuple[float, float]:
    """Slope and offset of the logit with which a network's output becomes a calibrated probability (Platt 1999).

    Args:
        probability: (N,) in [0, 1].
        outcome: (N,) bool.

    Returns:
        The two; the slope is above 0, so that the order of the probabilities stays. (1, 0) where all outcomes are the same.
    """
    probability, outcome = np.asarray(probability, float), np.asarray(outcome, bool)
    if outcome.all() or not outcome.any():
        return 1.0, 0.0
    p = np.clip(probability, 1e-6, 1 - 1e-6)
    x = np.stack([np.log(p / (1 - p)), np.ones_like(p)], axis=1)
    slope, offset = fit_logistic(x, outcome, prior=np.array([1.0, 0.0]))
    return (float(slope), float(offset)) if slope > 0 else (1.0, 0.0)
