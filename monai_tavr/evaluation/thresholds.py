"""The decision thresholds of a model, chosen on validation patients, and on frames that are known to show no device.

Phantoms alone choose badly: where nothing looks like a valve frame, any threshold will do, and the lowest wins. So no threshold
is lower than a bound, and the groups that real frames without them are there to deny are reported on at most a given share of
those frames, all groups together; within that, what finds most on the labelled frames is chosen. The group output is calibrated
on both kinds of frames first (Platt), so that a threshold means what it says.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from monai_tavr.evaluation.calibration import calibration, fit_platt
from monai_tavr.evaluation.false_alarms import share_of
from monai_tavr.keypoints import KeypointSchema, KeypointState
from monai_tavr.postprocess import KeypointPostprocess, Thresholds

if TYPE_CHECKING:
    from monai_tavr.evaluation.frames import EvaluatedFrame

__all__ = ["LOWEST", "choose_thresholds", "judge_thresholds", "select_thresholds"]

LOWEST = 0.3
"""No threshold is lower unless that is asked for: on phantoms 0.12 did no harm, on real frames it invented valves."""
_HIGHEST = 0.95
_WELL_LOCATED_PX = 10.0
_GRID = np.round(np.concatenate([np.arange(0, 0.99, 0.0025), np.arange(0.99, 0.99995, 0.0001), [1.0]]), 4)  # as files round


@dataclass(frozen=True, eq=False)
class _Predicted:
    """N frames that the model predicted, as arrays; states are :class:`KeypointState`."""

    probability: np.ndarray  # (N, K)
    group_probability: np.ndarray  # (N, G), as the network says it
    state: np.ndarray  # (N, K)
    group_state: np.ndarray  # (N, G)

    @classmethod
    def of(cls, frames: Sequence[EvaluatedFrame]) -> _Predicted:
        models = [f.model for f in frames if f.model is not None]
        return cls(
            np.array([m.keypoints.score for m in models], float),
            np.array([m.group_probability for m in models], float),
            np.stack([f.truth.state for f in frames]),
            np.stack([f.truth.group_state for f in frames]),
        )

    def __len__(self) -> int:
        return len(self.state)

    def joined(self, other: _Predicted | None) -> _Predicted:
        return self if other is None else _Predicted(*(np.concatenate(p) for p in zip(*map(_arrays, (self, other)), strict=True)))


def _arrays(frames: _Predicted) -> list[np.ndarray]:
    return list(vars(frames).values())


def choose_thresholds(
    frames: Sequence[EvaluatedFrame],
    *,
    schema: KeypointSchema,
    selected_on: str,
    beta: float = 1.0,
    former: Thresholds | None = None,
    at_least: int = 1,
    lowest: float = LOWEST,
    negatives: Sequence[EvaluatedFrame] = (),
    max_false_alarms: float = 0.01,
) -> Thresholds:
    """The decision thresholds of highest F-beta, and the usual spread of well located points, from validation frames.

    Args:
        frames: predicted by the model, with rules that do not calibrate and a ``spread_floor`` of 0.
        schema: the model's.
        selected_on: which data these are, in words.
        beta: how many times as much recall counts as precision; 1 = F1.
        former: whose values stay where ``frames`` have too little to learn from; None = 0.5.
        at_least: frames that must show a point, and that must lack it; for the spread, well located points.
        lowest: lower bound of any threshold that is chosen.
        negatives: frames whose truth says that some groups are absent, predicted as ``frames`` were. With them the group output
            is calibrated, and those groups are reported on few of them.
        max_false_alarms: largest share of ``negatives`` on which any of those groups is reported.

    Raises:
        ValueError: the model predicted none of the frames, or a share is out of its range.
    """
    predicted = [(f, f.model) for f in frames if f.model is not None]
    if not predicted:
        raise ValueError(f"no thresholds can be chosen: {len(frames)} frame(s), and the model predicted none of them")
    if not 0 <= max_false_alarms <= 1 or not 0 <= lowest <= _HIGHEST:
        raise ValueError(f"max_false_alarms {max_false_alarms} must lie in [0, 1], and lowest {lowest} in [0, {_HIGHEST}]")
    shown = _Predicted.of([f for f, _ in predicted])
    denied = _Predicted.of(negatives) if negatives else None
    both = shown.joined(denied)
    calibrations = _calibrate_groups(both, schema, at_least) if denied is not None else {}
    presence = KeypointPostprocess(schema, group_calibration=calibrations).presence(both.group_probability)
    bounds = (lowest, _HIGHEST)
    points = select_thresholds(both.probability, both.state, beta=beta, bounds=bounds)
    groups = select_thresholds(presence, both.group_state, beta=beta, bounds=bounds)

    def named(names: Sequence[str], values: np.ndarray, state: np.ndarray, kept: Mapping[str, float]) -> dict[str, float]:
        few = np.minimum((state == KeypointState.VISIBLE).sum(0), (state == KeypointState.ABSENT).sum(0)) < at_least
        return {n: kept.get(n, 0.5) if f else round(float(v), 4) for n, v, f in zip(names, values, few, strict=True)}

    spreads = []
    for f, model in predicted:
        error = np.linalg.norm(model.located - f.truth.xy, axis=1)  # NaN where the truth is not visible
        spreads += (model.spread[error < _WELL_LOCATED_PX] / model.input_side).tolist()
    floor = former.spread_floor if former else 0.0
    chosen = Thresholds(
        schema=schema.name,
        points=named(schema.names, points, both.state, former.points if former else {}),
        groups=named(schema.group_names, groups, both.group_state, former.groups if former else {}),
        spread_floor=round(float(np.median(spreads)), 5) if len(spreads) >= at_least else floor,
        selected_on=selected_on,
        group_calibration=calibrations,
    )
    if denied is None:
        return chosen
    quiet = _quiet_groups(
        chosen, schema, shown, denied, beta=beta, lowest=lowest, budget=math.floor(max_false_alarms * len(denied))
    )
    return replace(chosen, groups={**chosen.groups, **quiet})


def _calibrate_groups(frames: _Predicted, schema: KeypointSchema, at_least: int) -> dict[str, tuple[float, float]]:
    """Slope and offset of every group that enough frames show, and enough lack."""
    found = {}
    for g, name in enumerate(schema.group_names):
        labelled = frames.group_state[:, g] != KeypointState.UNLABELLED
        visible = frames.group_state[labelled, g] == KeypointState.VISIBLE
        if min(visible.sum(), (~visible).sum()) >= at_least:
            slope, offset = fit_platt(frames.group_probability[labelled, g], visible)
            found[name] = (round(slope, 5), round(offset, 5))
    return found


@dataclass(frozen=True)
class _Choice:
    """A threshold of a group: points found and reported on the labelled frames, and which frames it is invented on."""

    threshold: float
    found: int
    reported: int
    alarms: frozenset[int]


def _quiet_groups(
    chosen: Thresholds,
    schema: KeypointSchema,
    shown: _Predicted,
    denied: _Predicted,
    *,
    beta: float,
    lowest: float,
    budget: int,
) -> dict[str, float]:
    """Thresholds of the groups that ``denied`` lacks: the best of those that report them on ``budget`` frames at most."""
    rules = KeypointPostprocess.from_thresholds(replace(chosen, groups=dict.fromkeys(schema.group_names, 0.0)), schema=schema)
    absent = [g for g in range(schema.num_groups) if (denied.group_state[:, g] == KeypointState.ABSENT).any()]
    options = [_options(g, rules, shown, denied, beta=beta, lowest=lowest, budget=budget) for g in absent]
    visible = sum(int((shown.state[:, schema.group_index == g] == KeypointState.VISIBLE).sum()) for g in absent)

    def worth(choice: tuple[_Choice, ...]) -> float:
        return _f_beta(sum(c.found for c in choice), sum(c.reported for c in choice), visible, beta)

    fitting = [c for c in itertools.product(*options) if len(frozenset().union(*(one.alarms for one in c))) <= budget]
    best = max(fitting, key=worth, default=())
    return {schema.group_names[g]: one.threshold for g, one in zip(absent, best, strict=True)}


def _options(
    g: int, rules: KeypointPostprocess, shown: _Predicted, denied: _Predicted, *, beta: float, lowest: float, budget: int
) -> list[_Choice]:
    """For every number of false alarms up to ``budget``, the threshold of group ``g`` that is worth most."""
    of_group = rules.schema.group_index == g
    # the group's threshold decides whether its points count, not which of them
    reported = rules.decide(shown.probability, shown.group_probability)[:, of_group]
    state = shown.state[:, of_group]
    right, judged = reported & (state == KeypointState.VISIBLE), reported & (state != KeypointState.UNLABELLED)
    invented = rules.decide(denied.probability, denied.group_probability)[:, of_group].any(axis=1)
    invented &= denied.group_state[:, g] == KeypointState.ABSENT
    grid = _GRID[lowest <= _GRID]
    passes = rules.presence(shown.group_probability)[:, g, None] > grid
    found, counted = (passes * right.sum(axis=1)[:, None]).sum(axis=0), (passes * judged.sum(axis=1)[:, None]).sum(axis=0)
    visible = int((state == KeypointState.VISIBLE).sum())
    worth = np.array([_f_beta(f, r, visible, beta) for f, r in zip(found, counted, strict=True)])
    loud = invented[:, None] & (rules.presence(denied.group_probability)[:, g, None] > grid)
    choices = []
    for number in sorted({n for n in loud.sum(axis=0).tolist() if n <= budget}):
        allowed = np.where(loud.sum(axis=0) <= number, worth, -1.0)
        best = np.flatnonzero(allowed >= allowed.max() - 1e-12)
        runs = np.split(best, np.flatnonzero(np.diff(best) > 1) + 1)
        widest = max(runs, key=lambda run: float(np.ptp(grid[run])))
        middle = widest[np.argmin(np.abs(grid[widest] - grid[widest[[0, -1]]].mean()))]
        alarms = frozenset(np.flatnonzero(loud[:, middle]).tolist())
        choices.append(_Choice(float(grid[middle]), int(found[middle]), int(counted[middle]), alarms))
    return choices


def _f_beta(found: int, reported: int, visible: int, beta: float) -> float:
    total = reported + beta**2 * visible
    return (1 + beta**2) * found / total if total else 1.0


def judge_thresholds(
    thresholds: Thresholds, frames: Sequence[EvaluatedFrame], negatives: Sequence[EvaluatedFrame], *, schema: KeypointSchema
) -> dict[str, Any]:
    """What thresholds do on the frames that chose them; predictions as for :func:`choose_thresholds`.

    Args:
        thresholds: what was chosen.
        frames: labelled.
        negatives: without some groups; none = nothing is said of them.
        schema: the model's.

    Returns:
        ``f1`` of the points; with negatives ``false_alarms`` (``n``, ``frames``, ``share``, ``interval_95`` of any absent group)
        and ``ece`` (group -> calibration error of its presence before and after, on all frames).
    """
    rules = KeypointPostprocess.from_thresholds(thresholds, schema=schema)
    shown = _Predicted.of(frames)
    reported = rules.decide(shown.probability, shown.group_probability) & (shown.state != KeypointState.UNLABELLED)
    visible = shown.state == KeypointState.VISIBLE
    report: dict[str, Any] = {"f1": _f_beta(int((reported & visible).sum()), int(reported.sum()), int(visible.sum()), 1.0)}
    if not negatives:
        return report
    denied = _Predicted.of(negatives)
    alarms = rules.decide(denied.probability, denied.group_probability) & (denied.state == KeypointState.ABSENT)
    report["false_alarms"] = {"n": len(denied)} | share_of(alarms.any(axis=1))
    both = shown.joined(denied)
    report["ece"] = {}
    for g, name in enumerate(schema.group_names):
        labelled = both.group_state[:, g] != KeypointState.UNLABELLED
        outcome = both.group_state[labelled, g] == KeypointState.VISIBLE
        if labelled.any():
            said = both.group_probability[labelled]
            pair = [calibration(p[:, g], outcome)["ece"] for p in (said, rules.presence(said))]
            report["ece"][name] = {"before": pair[0], "after": pair[1]}
    return report


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
