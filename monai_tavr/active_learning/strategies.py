"""Strategies that choose the next frames to label.

``hybrid`` chooses the frame that promises to mend most of the pool: every frame asks for help in proportion to the points it is
expected to get wrong (calibrated uncertainty), raised where it disagrees with its neighbours in time, and a labelled frame helps
those that look like it (facility location over the backbone's features; Wei 2015, "Submodularity in data subset selection and
active learning"). So it neither labels one kind of frame twice nor runs after outliers, as uncertainty alone does.
``diversity`` is the k-centre greedy of core-sets (Sener 2018, arXiv:1708.00489).

A gap between labelled frames of a cine, for neighbours hardly differ, and a cap that keeps one patient from running ahead of the
others hold for all but ``random`` and ``sequential``, which are as plain as their names.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass

import numpy as np

__all__ = ["STRATEGIES", "FramePool", "SpacingRules", "Strategy", "check_strategies", "choose_frames", "eligible_frames"]


@dataclass(frozen=True, eq=False)
class FramePool:
    """N frames that may be asked for.

    Attributes:
        cine: (N,) number of the cine.
        frame: (N,) int, 0-based place in it.
        patient: (N,) number of the patient.
        uncertainty: (N,) expected number of points to correct.
        disagreement: (N,) number of points that jump, see :func:`monai_tavr.active_learning.uncertainty.disagreement`.
        features: (N, D) features of what the frame looks like.

    Raises:
        ValueError: the arrays differ in length.
    """

    cine: np.ndarray
    frame: np.ndarray
    patient: np.ndarray
    uncertainty: np.ndarray
    disagreement: np.ndarray
    features: np.ndarray

    def __post_init__(self) -> None:
        lengths = {name: len(values) for name, values in vars(self).items()}
        if len(set(lengths.values())) != 1 or self.features.ndim != 2:
            raise ValueError(f"a pool needs arrays of one length and features (N, D), got {lengths}, {self.features.shape}")

    def __len__(self) -> int:
        return len(self.cine)


@dataclass(frozen=True)
class SpacingRules:
    """How labelled frames keep apart.

    Attributes:
        gap: least difference between the numbers of two labelled frames of a cine; 1 = none.
        patient_lead: a patient waits while this many labelled frames ahead of the patient with fewest; None = never.

    Raises:
        ValueError: a setting is below 1.
    """

    gap: int = 5
    patient_lead: int | None = 4

    def __post_init__(self) -> None:
        if self.gap < 1 or (self.patient_lead is not None and self.patient_lead < 1):
            raise ValueError(f"gap and patient_lead must be at least 1, got {self.gap} and {self.patient_lead}")


def check_strategies(names: Iterable[str]) -> None:
    """Raises ValueError for a name that is no strategy's."""
    for name in names:
        if name not in STRATEGIES:
            raise ValueError(f"no strategy {name!r}; there are {', '.join(STRATEGIES)}")


def eligible_frames(pool: FramePool, taken: Iterable[tuple[int, int]], *, rules: SpacingRules) -> np.ndarray:
    """(N,) bool: frames that may be asked for next to the ``taken`` ones, pairs (cine, frame); the cap is not looked at."""
    open_ = np.ones(len(pool), bool)
    for cine, frame in taken:
        open_ &= (pool.cine != cine) | (np.abs(pool.frame - frame) >= rules.gap)
    return open_


def choose_frames(
    pool: FramePool,
    strategy: str = "hybrid",
    *,
    count: int = 1,
    taken: Iterable[tuple[int, int]] = (),
    rules: SpacingRules | None = None,
    seed: int = 0,
) -> list[tuple[int, float]]:
    """Choose frames, best first. The same arguments give the same frames.

    Args:
        pool: the frames; a taken frame need not be among them.
        strategy: a name of :data:`STRATEGIES`.
        count: how many; fewer are returned where the rules leave no more.
        taken: (cine, frame) of frames that are labelled, or being labelled.
        rules: None = the default ones.
        seed: of ``random``.

    Returns:
        (index in the pool, score); scores of different strategies do not compare.

    Raises:
        ValueError: no such strategy.
    """
    check_strategies([strategy])
    taken = [(int(c), int(f)) for c, f in taken]
    rules = SpacingRules(gap=1, patient_lead=None) if STRATEGIES[strategy].plain else rules or SpacingRules()
    if len(pool) == 0:
        return []
    open_, labels = eligible_frames(pool, taken, rules=rules), _labels_per_patient(pool, taken)
    scores = STRATEGIES[strategy].scores(pool, taken, np.random.default_rng(seed))
    current = next(scores)
    chosen: list[tuple[int, float]] = []
    while len(chosen) < count and open_.any():
        allowed = _not_ahead(pool, open_, labels, rules)
        best = int(np.argmax(np.where(allowed, current, -np.inf)))
        chosen.append((best, float(current[best])))
        labels[pool.patient[best]] += 1
        open_ &= (pool.cine != pool.cine[best]) | (np.abs(pool.frame - pool.frame[best]) >= rules.gap)
        current = scores.send(best)
    return chosen


def _labels_per_patient(pool: FramePool, taken: list[tuple[int, int]]) -> np.ndarray:
    owner = dict(zip(pool.cine.tolist(), pool.patient.tolist(), strict=True))
    labels = np.zeros(int(pool.patient.max()) + 1, int)
    for cine, _ in taken:
        if cine in owner:
            labels[owner[cine]] += 1
    return labels


def _not_ahead(pool: FramePool, open_: np.ndarray, labels: np.ndarray, rules: SpacingRules) -> np.ndarray:
    if rules.patient_lead is None:
        return open_
    own = labels[pool.patient]
    return np.asarray(open_ & (own < own[open_].min() + rules.patient_lead))


# A strategy is a generator: it yields the (N,) scores, and is sent the index of the frame that was chosen by them.
_Scores = Generator[np.ndarray, int, None]


def _fixed(scores: np.ndarray) -> _Scores:
    while True:
        yield scores


def _standardised(features: np.ndarray) -> np.ndarray:
    """(N, D) of equal weight in every dimension, so that distances are about 1."""
    x = features.astype(np.float32)
    spread = x.std(axis=0)
    return np.asarray((x - x.mean(axis=0)) / np.where(spread > 1e-6, spread, 1) / np.sqrt(2 * x.shape[1]))


def _squared_distances(x: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(N, M)."""
    product = x @ others.T
    return np.maximum((x**2).sum(1)[:, None] + (others**2).sum(1)[None] - 2 * product, 0)


def _stand_ins(pool: FramePool, taken: list[tuple[int, int]]) -> list[int]:
    """Indices of the pool's frames nearest in time to the taken ones; cines that are not in the pool have none."""
    found = []
    for cine, frame in taken:
        same = np.flatnonzero(pool.cine == cine)
        if same.size:
            found.append(int(same[np.argmin(np.abs(pool.frame[same] - frame))]))
    return found


def _diversity(pool: FramePool, taken: list[tuple[int, int]], rng: np.random.Generator) -> _Scores:
    x = _standardised(pool.features)
    centres = _stand_ins(pool, taken)
    # with nothing labelled, the first centre is the frame nearest to the mean, not an outlier
    nearest = _squared_distances(x, x[centres]).min(axis=1) if centres else -(x**2).sum(axis=1)
    started = bool(centres)
    while True:
        chosen = yield nearest
        distance = _squared_distances(x, x[[chosen]])[:, 0]
        nearest, started = (np.minimum(nearest, distance) if started else distance), True


def _hybrid(pool: FramePool, taken: list[tuple[int, int]], rng: np.random.Generator) -> _Scores:
    need = pool.uncertainty * (1 + pool.disagreement / max(float(pool.disagreement.mean()), 1e-9))
    need = (need / max(float(need.sum()), 1e-9)).astype(np.float32)
    alike = _likeness(pool)
    covered = np.zeros(len(pool), np.float32)
    for index in _stand_ins(pool, taken):
        covered = np.maximum(covered, alike[index])
    while True:
        # what labelling frame i would add: need-weighted likeness beyond what is covered
        chosen = yield np.maximum(alike - covered[None], 0) @ need
        covered = np.maximum(covered, alike[chosen])


def _likeness(pool: FramePool) -> np.ndarray:
    """(N, N) in [0, 1]: 1 for the frame itself, 0.37 at the usual distance to the most similar frame of another cine."""
    x = _standardised(pool.features)
    squared = _squared_distances(x, x)
    other = pool.cine[:, None] != pool.cine[None]
    reach = np.where(other, squared, np.inf).min(axis=1) if other.any() else squared.max(axis=1)
    squared /= -max(float(np.median(reach)), 1e-6)  # frames that are all the same are no reason to divide by zero
    return np.exp(squared, out=squared)


@dataclass(frozen=True)
class Strategy:
    """A way to choose frames.

    Attributes:
        words: what it asks for.
        scores: (pool, taken, random numbers) -> the generator of its scores.
        plain: no rule holds for it.
    """

    words: str
    scores: Callable[[FramePool, list[tuple[int, int]], np.random.Generator], _Scores]
    plain: bool = False


STRATEGIES = {
    "hybrid": Strategy("the frame that helps most others: uncertain, unsteady, and like many that are not labelled", _hybrid),
    "uncertainty": Strategy(
        "the frame with most points that are likely wrong", lambda pool, taken, rng: _fixed(pool.uncertainty)
    ),
    "disagreement": Strategy(
        "the frame whose points jump most against its neighbours in time", lambda pool, taken, rng: _fixed(pool.disagreement)
    ),
    "diversity": Strategy("the frame that looks least like any labelled one", _diversity),
    "sequential": Strategy(
        "one frame after the other",
        lambda pool, taken, rng: _fixed(-np.argsort(np.argsort(pool.cine * (pool.frame.max() + 1.0) + pool.frame))),
        plain=True,
    ),
    "random": Strategy("any frame", lambda pool, taken, rng: _fixed(rng.random(len(pool))), plain=True),
}
"""Name -> strategy; there is no other list of them."""
