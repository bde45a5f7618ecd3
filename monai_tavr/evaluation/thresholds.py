"""The decision thresholds of a model, chosen on validation patients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from monai_tavr.keypoints import KeypointSchema, KeypointState

if TYPE_CHECKING:
    from monai_tavr.evaluation.frames import EvaluatedFrame
    from monai_tavr.postprocess import Thresholds

__all__ = ["choose_thresholds", "select_thresholds"]

_WELL_LOCATED_PX = 10.0


def choose_thresholds(
    frames: Sequence[EvaluatedFrame],
    *,
    schema: KeypointSchema,
    selected_on: str,
    beta: float = 1.0,
    former: Thresholds | None = None,
    at_least: int = 1,
) -> Thresholds:
    """The decision thresholds of highest F-beta, and the usual spread of well located points, from validation frames.

    Args:
        frames: predicted by the model, with a ``spread_floor`` of 0.
        schema: the model's.
        selected_on: which data these are, in words.
        beta: how many times as much recall counts as precision; 1 = F1.
        former: whose values stay where ``frames`` have too little to learn from; None = 0.5.
        at_least: frames that must show a point, and that must lack it; for the spread, well located points.

    Raises:
        ValueError: the model predicted none of the frames.
    """
    from monai_tavr.postprocess import Thresholds

    predicted = [(f, f.model) for f in frames if f.model is not None]
    if not predicted:
        raise ValueError(f"no thresholds can be chosen: {len(frames)} frame(s), and the model predicted none of them")
    states = np.stack([f.truth.state for f, _ in predicted])
    group_states = np.stack([f.truth.group_state for f, _ in predicted])
    points = select_thresholds(np.array([f.prediction.score for f, _ in predicted]), states, beta=beta)
    groups = select_thresholds(np.array([m.group_probability for _, m in predicted]), group_states, beta=beta)

    def named(names: Sequence[str], values: np.ndarray, state: np.ndarray, kept: Mapping[str, float]) -> dict[str, float]:
        few = np.minimum((state == KeypointState.VISIBLE).sum(0), (state == KeypointState.ABSENT).sum(0)) < at_least
        return {n: kept.get(n, 0.5) if f else round(float(v), 4) for n, v, f in zip(names, values, few, strict=True)}

    spreads = []
    for f, model in predicted:
        error = np.linalg.norm(model.located - f.truth.xy, axis=1)  # NaN where the truth is not visible
        spreads += (model.spread[error < _WELL_LOCATED_PX] / model.input_side).tolist()
    floor = former.spread_floor if former else 0.0
    return Thresholds(
        schema=schema.name,
        points=named(schema.names, points, states, former.points if former else {}),
        groups=named(schema.group_names, groups, group_states, former.groups if former else {}),
        spread_floor=round(float(np.median(spreads)), 5) if len(spreads) >= at_least else floor,
        selected_on=selected_on,
    )


def _best_threshold(
    probability: np.ndarray, visible: np.ndarray, beta: float, default: float, bounds: tuple[float, float]
) -> float:
    """The threshold of highest F-beta: the middle of the widest range of thresholds that reach it.

    Args:
        probability: (N,) of labelled frames.
        visible: (N,) bool.
        beta: see :func:`select_thresholds`.
        default: what to return if no frame shows the point, or none lacks it: then there is nothing to learn from.
        bounds: thresholds outside say only that there were few frames.
    """
    if visible.all() or not visible.any():
        return default
    # F-beta is constant while the threshold lies in [edges[i], edges[i + 1]): what exceeds edges[i] is reported
    edges = np.unique(np.concatenate([[0.0], probability, [1.0]]))
    reported = (probability[:, None] > edges[None, :-1]).astype(float)
    f_beta = (1 + beta**2) * reported[visible].sum(0) / (reported.sum(0) + beta**2 * visible.sum())
    best = np.isclose(f_beta, f_beta.max(), rtol=0, atol=1e-12)
    starts = np.flatnonzero(best & ~np.append(False, best[:-1]))
    stops = np.flatnonzero(best & ~np.append(best[1:], False)) + 1
    widest = int(np.argmax(edges[stops] - edges[starts]))
    return float(np.clip((edges[starts[widest]] + edges[stops[widest]]) / 2, *bounds))


def select_thresholds(
    probability: np.ndarray,
    state: np.ndarray,
    *,
    beta: float = 1.0,
    default: float = 0.5,
    bounds: tuple[float, float] = (0.05, 0.95),
) -> np.ndarray:
    """Choose a threshold for every point, or for every group, on validation frames.

    Args:
        probability: (N, K) in [0, 1].
        state: (N, K) of :class:`KeypointState`; unlabelled entries are left out.
        beta: how many times as much recall counts as precision (van Rijsbergen 1979); 1 = F1.
        default: for a point that validation always, or never, shows.
        bounds: smallest and largest threshold.

    Returns:
        (K,) probabilities: the thresholds that maximise the F-beta of presence.

    Raises:
        ValueError: shapes do not match, or beta is not positive.
    """
    if not beta > 0:
        raise ValueError(f"beta must be positive, got {beta}")
    probability, state = np.asarray(probability, float), np.asarray(state)
    if probability.ndim != 2 or probability.shape != state.shape:
        raise ValueError(f"need (N, K) probabilities and states, got shapes {probability.shape} and {state.shape}")
    labelled = state != KeypointState.UNLABELLED
    columns = [(probability[m, i], state[m, i] == KeypointState.VISIBLE) for i, m in enumerate(labelled.T)]
    return np.array([_best_threshold(p, v, beta, default, bounds) for p, v in columns])
