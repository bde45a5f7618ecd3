"""How the points of a group usually lie to one another, and how they move from frame to frame: data, as a small JSON file.

Everything is in shares of the image's size, the root of its area. A pose is what is left of a group's points when their mean
is taken away: framing says nothing. A step is the difference between a group's points and what the labelled frames around it let
one expect: the straight line between the one before and the one after, or the one of them that there is. Both are described by
a mean and a covariance, to which the scatter of a person's clicks is added, and by the largest distance of a point that is still
taken for usual. The distance is Mahalanobis', of one point given the others of its group.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from monai_tavr.keypoints import Keypoints
from monai_tavr.label import ImageInfo

__all__ = ["GAPS", "NO_STATISTICS", "ChainStatistics", "PoseStatistics", "SetStatistics", "Spread", "image_size"]

GAPS = (1.5, 2.5, 4.5, 8.5, 12.5)
"""Upper bounds, in frames, of the distances between labelled frames that are told apart; those beyond say nothing."""
_FREE = 3.0  # of the image's size: where a group lies is not judged
_UNKNOWN = 0.12  # of the image's size: how far from its group a point may be of which no statistics are known


def image_size(image: ImageInfo) -> float:
    """Root of the image's area, in pixels."""
    return float(np.sqrt(image.rows * image.columns))


@dataclass(frozen=True, eq=False)
class Spread:
    """A covariance of a set of points, and how far from usual one of them may be.

    Attributes:
        covariance: (2 * N, 2 * N) squared shares of the image's size; x and y of the first point, of the second, ...
        together: largest usual distance, in standard deviations, of a point given the others.
        alone: the same of a point by itself; None = not judged.
    """

    covariance: np.ndarray
    together: float
    alone: float | None = None

    def distances(self, residual: np.ndarray, *, noise: float, free: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """How far each point is from usual.

        Args:
            residual: (N, 2) shares of the image's size; NaN = not there.
            noise: standard deviation of a click, a share of the image's size.
            free: whether the place of the whole says nothing.

        Returns:
            (N,) standard deviations of each point given the others, and (N,) of each by itself; 0 where it is not there.
        """
        there = ~np.isnan(residual[:, 0])
        together, alone = np.zeros(len(there)), np.zeros(len(there))
        if there.any():
            precision, given_others, by_itself = _inverses(self, tuple(there.tolist()), noise, free)
            r = residual[there]
            z = (precision @ r.reshape(-1)).reshape(-1, 2)
            together[there] = np.sqrt(np.maximum(np.einsum("ki,kij,kj->k", z, given_others, z), 0))
            alone[there] = np.sqrt(np.maximum(np.einsum("ki,kij,kj->k", r, by_itself, r), 0))
        return together, alone


@lru_cache(maxsize=1024)
def _inverses(spread: Spread, there: tuple[bool, ...], noise: float, free: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of n points that are there: (2 n, 2 n) precision, (n, 2, 2) covariances given the others, (n, 2, 2) precisions alone."""
    rows, n = np.repeat(there, 2), sum(there)
    covariance = spread.covariance[np.ix_(rows, rows)] + noise**2 * np.eye(2 * n)
    if free:
        covariance = covariance + _FREE**2 * np.tile(np.eye(2), (n, n))
    precision = np.linalg.inv(covariance)
    own = [slice(2 * k, 2 * k + 2) for k in range(n)]
    given_others = np.array([np.linalg.inv(precision[o, o]) for o in own])
    return precision, given_others, np.array([np.linalg.inv(covariance[o, o]) for o in own])


@dataclass(frozen=True, eq=False)
class SetStatistics:
    """What is usual of one set of points.

    Attributes:
        points: the N names.
        mean: (N, 2) usual places about their mean, in shares of the image's size.
        pose: spread of these places.
        between: for each of :data:`GAPS` the spread of steps against the frames on both sides, or None.
        beside: the same against the frame on one side.
    """

    points: tuple[str, ...]
    mean: np.ndarray
    pose: Spread
    between: tuple[Spread | None, ...]
    beside: tuple[Spread | None, ...]

    def step(self, gap: float, *, both: bool) -> Spread | None:
        """Spread of steps over ``gap`` frames, against frames on ``both`` sides or one; None = not known."""
        place = next((n for n, limit in enumerate(GAPS) if gap <= limit), None)
        if place is None:
            return None
        # one neighbour says less than two do: its spread is wide enough for both
        return (self.between[place] if both else None) or self.beside[place]


@dataclass(frozen=True)
class ChainStatistics:
    """What is usual of points along a device.

    Attributes:
        points: the N names.
        parts: (least, largest) usual share of each of the N - 1 parts in the whole.
        direction: degrees from the image's right, clockwise on the screen, in which the last lies, seen from the first.
        within: largest usual deviation from that, in degrees; 180 says nothing.
    """

    points: tuple[str, ...]
    parts: tuple[tuple[float, float], ...]
    direction: float
    within: float


@dataclass(frozen=True, eq=False)
class PoseStatistics:
    """What is usual, and of which labels.

    Attributes:
        sets: by group.
        chains: of the schema's chains.
        noise: standard deviation of a person's click, a share of the image's size.
        model: largest usual distance of a point from where the model is sure to see it, a share of the image's size.
        fitted_on: which labels, in words.
    """

    sets: tuple[SetStatistics, ...] = ()
    chains: tuple[ChainStatistics, ...] = ()
    noise: float = 0.004
    model: float = 0.025
    fitted_on: str = ""

    def expected(self, keypoints: Keypoints, row: int, image: ImageInfo) -> tuple[np.ndarray, float]:
        """Where a point that is not there may be expected, given the others of its group.

        Args:
            keypoints: the frame, with at least one visible point of the group.
            row: index of the missing point.
            image: whose size is taken.

        Returns:
            (2,) pixels, and the larger standard deviation in pixels.
        """
        schema, size = keypoints.schema, image_size(image)
        name = schema.names[row]
        for known in self.sets:
            rows = [schema.index(n) if n in schema.names else -1 for n in known.points]
            if name in known.points and (there := [k for k, i in enumerate(rows) if i >= 0 and keypoints.visible[i]]):
                return _conditional(known, known.points.index(name), there, keypoints.xy[[rows[k] for k in there]] / size, size)
        members = [schema.index(n) for n in schema.groups[schema.group_of(name)]]
        return np.asarray(np.nanmean(keypoints.xy[members], axis=0)), _UNKNOWN * size


def _conditional(known: SetStatistics, k: int, there: list[int], xy: np.ndarray, size: float) -> tuple[np.ndarray, float]:
    full = known.pose.covariance + _FREE**2 * np.tile(np.eye(2), (len(known.points),) * 2)
    own = [2 * k, 2 * k + 1]
    others = [c for j in there for c in (2 * j, 2 * j + 1)]
    weights = np.linalg.solve(full[np.ix_(others, others)] + 1e-6 * np.eye(len(others)), full[np.ix_(others, own)]).T
    place = known.mean[k] + weights @ (xy - known.mean[there]).reshape(-1)
    left = full[np.ix_(own, own)] - weights @ full[np.ix_(others, own)]
    return place * size, float(np.sqrt(max(np.linalg.eigvalsh(left)[-1], 0))) * size


NO_STATISTICS = PoseStatistics()
"""Nothing is known of poses and steps: only the rules of the guide, and the model, are held against labels."""
