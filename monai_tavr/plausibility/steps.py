"""Points that have jumped: a frame against the labelled frames around it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from monai_tavr.keypoints import Keypoints
from monai_tavr.label import ImageInfo
from monai_tavr.plausibility.finding import Finding
from monai_tavr.plausibility.statistics import PoseStatistics, SetStatistics, image_size

__all__ = ["Step", "places_of", "step_findings", "steps_of"]


@dataclass(frozen=True, eq=False)
class Step:
    """What the labelled frames around a frame let one expect of it.

    Attributes:
        residual: (N, 2) shares of the image's size from the expected place; NaN = no such point here or there.
        both: whether there are frames on both sides.
        gap: frames to them: the harmonic mean of both distances, or the one.
    """

    residual: np.ndarray
    both: bool
    gap: float

    @property
    def clicks(self) -> float:
        """Standard deviation of the residual, where one click has 1: this frame's click, and those it is compared with."""
        return 1.5**0.5 if self.both else 2.0**0.5


def steps_of(frames: np.ndarray, xy: np.ndarray, t: int) -> list[Step]:
    """The frame ``t`` of a cine against the labelled frames around.

    Args:
        frames: (F,) indices of the labelled frames, ascending.
        xy: (F, N, 2) points in shares of the image's size; NaN = not there.
        t: position in ``frames``.

    Returns:
        Steps of disjoint points: of those that are there on both sides, before only, and after only. A frame without any of the
        points is passed over.
    """
    here = ~np.isnan(xy[t, :, 0])
    there = ~np.isnan(xy[:, :, 0])
    before = next((s for s in range(t - 1, -1, -1) if (there[s] & here).any()), None)
    after = next((s for s in range(t + 1, len(xy)) if (there[s] & here).any()), None)
    steps = []
    a = None if before is None else float(frames[t] - frames[before])
    b = None if after is None else float(frames[after] - frames[t])
    taken = np.zeros(len(here), bool)
    if a is not None and b is not None:
        line = (b * xy[before] + a * xy[after]) / (a + b)
        steps.append(Step(xy[t] - line, True, 2 * a * b / (a + b)))
        taken = ~np.isnan(steps[0].residual[:, 0])
    for gap, s in sorted((gap, s) for gap, s in ((a, before), (b, after)) if gap is not None and s is not None):
        residual = np.where(taken[:, None], np.nan, xy[t] - xy[s])
        steps.append(Step(residual, False, gap))
        taken = taken | ~np.isnan(residual[:, 0])
    return [step for step in steps if not np.isnan(step.residual).all()]


def step_findings(frames: Sequence[Keypoints], image: ImageInfo, *, statistics: PoseStatistics) -> Iterator[Finding]:
    """Points that have jumped, the worst first; a frame beside one that is wrong is judged without it.

    Args:
        frames: the labelled frames of a cine, by frame.
        image: whose size is taken.
        statistics: what is usual.
    """
    for known in statistics.sets:
        xy = places_of(frames, known) / image_size(image)
        numbers = np.array([k.frame for k in frames])
        scores = np.zeros(xy.shape[:2])
        todo = range(len(frames))
        while True:
            for t in todo:
                scores[t] = _step_scores(numbers, xy, t, known, statistics.noise)
            if scores.max(initial=0) <= 1:
                break
            t, k = (int(v) for v in np.unravel_index(scores.argmax(), scores.shape))
            name = known.points[k]
            words = f"{name} stands elsewhere than the labelled frames around let one expect"
            yield Finding(frames[t].frame, (name,), "jump", float(scores[t, k]), words)
            xy[t, k] = np.nan
            todo = _around(~np.isnan(xy[:, :, 0]).all(axis=1), t)


def _around(there: np.ndarray, t: int) -> range:
    """Positions whose neighbour ``t`` is."""
    before, after = np.flatnonzero(there[:t]), np.flatnonzero(there[t + 1 :]) + t + 1
    return range(int(before[-1]) if len(before) else t, (int(after[0]) if len(after) else t) + 1)


def _step_scores(frames: np.ndarray, xy: np.ndarray, t: int, known: SetStatistics, noise: float) -> np.ndarray:
    """(N,) how many times the limit."""
    scores = np.zeros(len(known.points))
    for step in steps_of(frames, xy, t):
        spread = known.step(step.gap, both=step.both)
        if spread is not None:
            together, alone = spread.distances(step.residual, noise=noise * step.clicks)
            scores = np.maximum(scores, together / spread.together)
            if spread.alone is not None:
                scores = np.maximum(scores, alone / spread.alone)
    return scores


def places_of(frames: Sequence[Keypoints], known: SetStatistics) -> np.ndarray:
    """Where the points of a set lie.

    Args:
        frames: F labelled frames.
        known: the N points.

    Returns:
        (F, N, 2) pixels; NaN where a point is not there.
    """
    found = np.full((len(frames), len(known.points), 2), np.nan)
    for t, k in enumerate(frames):
        for position, name in enumerate(known.points):
            if name in k.schema.names:
                found[t, position] = k.xy[k.schema.index(name)]
    return found
