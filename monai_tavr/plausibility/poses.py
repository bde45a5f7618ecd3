"""One frame against what is usual: the pose of a group, the parts and the direction of a chain, the model."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from monai_tavr.keypoints import Keypoints
from monai_tavr.label import CineLabel, ImageInfo
from monai_tavr.plausibility.finding import Finding
from monai_tavr.plausibility.statistics import PoseStatistics, image_size
from monai_tavr.plausibility.steps import places_of

__all__ = ["chain_findings", "model_findings", "pose_findings", "sure_distances"]

_SURE = 0.7  # probability from which on the model is sure that a point is there
_NARROW = 0.012  # of the image's size: spread up to which it is sure of the place


def pose_findings(keypoints: Keypoints, image: ImageInfo, *, statistics: PoseStatistics) -> Iterator[Finding]:
    """Groups whose points do not lie to one another as usual.

    Args:
        keypoints: the labelled frame.
        image: whose size is taken.
        statistics: what is usual.
    """
    for known in statistics.sets:
        residual = places_of([keypoints], known)[0] / image_size(image) - known.mean
        distance = known.pose.distances(residual, noise=statistics.noise, free=True)[0]
        worst = int(distance.argmax())
        if distance[worst] > known.pose.together:
            others = [
                n for n, d in zip(known.points, residual[:, 0], strict=True) if not np.isnan(d) and n != known.points[worst]
            ]
            words = f"{known.points[worst]} does not lie to {', '.join(others)} as it usually does"
            score = float(distance[worst] / known.pose.together)
            yield Finding(keypoints.frame, (known.points[worst], *others), "pose", score, words)


def chain_findings(keypoints: Keypoints, *, statistics: PoseStatistics) -> Iterator[Finding]:
    """Chains that are divided in unusual parts, or point the other way; see :func:`pose_findings` for the arguments."""
    schema = keypoints.schema
    for chain in statistics.chains:
        if not set(chain.points) <= set(schema.names):
            continue
        places = keypoints.xy[[schema.index(n) for n in chain.points]]
        first, last = chain.points[0], chain.points[-1]
        across, down = (float(v) for v in places[-1] - places[0])
        off = abs((np.degrees(np.arctan2(down, across)) - chain.direction + 180) % 360 - 180)
        if off > chain.within:
            words = f"{last}, seen from {first}, lies {off:.0f} degrees off the usual direction: is the order turned round?"
            yield Finding(keypoints.frame, chain.points, "direction", float(off / chain.within), words)
        lengths = np.linalg.norm(np.diff(places, axis=0), axis=1)
        shares = lengths / max(lengths.sum(), 1e-6)
        for k, (low, high) in enumerate(chain.parts):
            if shares[k] < low or shares[k] > high:  # NaN is neither
                times = low / max(shares[k], 1e-3) if shares[k] < low else (1 - high) / max(1 - shares[k], 1e-3)
                a, b = chain.points[k : k + 2]
                words = f"{a} to {b} is {shares[k]:.0%} of the device; {low:.0%} to {high:.0%} is usual"
                yield Finding(keypoints.frame, (a, b), "spacing", float(times), words)


def sure_distances(keypoints: Keypoints, predictions: CineLabel) -> np.ndarray:
    """How far the points of a frame lie from where a model is sure to see them.

    Args:
        keypoints: the labelled frame.
        predictions: what the model says of the same image, with scores and spreads.

    Returns:
        (K,) shares of the image's size; NaN where the point is not there, or the model does not see it or is not sure.
    """
    size = image_size(predictions.image)
    found = next((k for k in predictions.frames if k.frame == keypoints.frame), None)
    if found is None or found.score is None:
        return np.full(keypoints.schema.num_keypoints, np.nan)
    found = found.under(keypoints.schema)
    spread = np.array([predictions.spread.get((keypoints.frame, n), 0.0) for n in keypoints.schema.names])
    sure = (np.asarray(found.score) >= _SURE) & (spread <= _NARROW * size)
    return np.where(sure, np.linalg.norm(keypoints.xy - found.xy, axis=1) / size, np.nan)


def model_findings(keypoints: Keypoints, predictions: CineLabel, *, statistics: PoseStatistics) -> Iterator[Finding]:
    """Points far from where the model is sure to see them; see :func:`sure_distances` for the arguments."""
    distance = sure_distances(keypoints, predictions)
    for i in np.flatnonzero(distance > statistics.model):  # NaN is not
        name, pixels = keypoints.schema.names[i], distance[i] * image_size(predictions.image)
        words = f"{name} lies {pixels:.0f} px from where the model is sure to see it"
        yield Finding(keypoints.frame, (name,), "model", float(distance[i] / statistics.model), words)
