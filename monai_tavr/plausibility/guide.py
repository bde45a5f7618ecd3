"""The rules of docs/annotation-guide.md that one frame can break, whatever the patient: no statistics, only the schema.

Every point is looked at by its name; groups, pairs and chains are the schema's.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from monai_tavr.keypoints import Keypoints, KeypointState
from monai_tavr.label import ImageInfo
from monai_tavr.plausibility.finding import Finding
from monai_tavr.plausibility.statistics import PoseStatistics

__all__ = ["BORDER", "guide_findings"]

BORDER = 0.02
"""Part of the image's width along its border where nothing is marked: the collimator's edge lies there."""
_SAME = 0.002  # of the image's size: a pixel of 512; nobody clicks two points of the body that near to one another
_SIGMAS = 2.5  # how far from its expected place a missing point may well be


def guide_findings(keypoints: Keypoints, image: ImageInfo, *, statistics: PoseStatistics) -> Iterator[Finding]:
    """What of the guide a frame breaks.

    Args:
        keypoints: the labelled frame.
        image: whose size is taken.
        statistics: where a missing point may be expected: it is absent by right if that is outside the picture.
    """
    yield from _border(keypoints, image)
    yield from _duplicates(keypoints, image)
    yield from _swapped(keypoints)
    yield from _order(keypoints)
    yield from _incomplete(keypoints, image, statistics)


def _depth(xy: np.ndarray, image: ImageInfo) -> np.ndarray:
    """(N,) pixels from the nearest edge of the picture for ``xy`` (N, 2); negative outside."""
    far = np.array([image.columns, image.rows]) - 0.5
    return np.minimum(xy + 0.5, far - xy).min(axis=-1)


def _border(keypoints: Keypoints, image: ImageInfo) -> Iterator[Finding]:
    margin = BORDER * image.columns
    for i in np.flatnonzero(keypoints.visible):
        name, depth = keypoints.schema.names[i], float(_depth(keypoints.xy[i], image))
        if depth < 0:
            yield Finding(keypoints.frame, (name,), "outside", 10.0, f"{name} lies outside the picture: mark it absent")
        elif depth < margin:
            words = f"{name} lies {depth:.0f} px from the border; within {margin:.0f} px a point counts as absent"
            yield Finding(keypoints.frame, (name,), "border", 2 - depth / margin, words)


def _duplicates(keypoints: Keypoints, image: ImageInfo) -> Iterator[Finding]:
    names, seen = keypoints.schema.names, np.flatnonzero(keypoints.visible)
    for position, i in enumerate(seen):
        for j in seen[position + 1 :]:
            if np.linalg.norm(keypoints.xy[i] - keypoints.xy[j]) < _SAME * np.sqrt(image.rows * image.columns):
                words = f"{names[i]} and {names[j]} stand on one place"
                yield Finding(keypoints.frame, (names[j], names[i]), "duplicate", 8.0, words)


def _swapped(keypoints: Keypoints) -> Iterator[Finding]:
    """The first of a pair lies on the image's left; the nearer the line is to upright, the less it says."""
    schema, xy = keypoints.schema, keypoints.xy
    for left, right in schema.flip_pairs:
        across, along = (float(v) for v in xy[schema.index(right)] - xy[schema.index(left)])
        if across < 0:
            words = f"{left} lies to the right of {right}: {left} is the end on the image's left"
            yield Finding(keypoints.frame, (left, right), "swapped", 1 + 9 * -across / np.hypot(across, along), words)


def _order(keypoints: Keypoints) -> Iterator[Finding]:
    """A chain bends with the vessel, but no part of it turns back."""
    schema = keypoints.schema
    for chain in schema.chains:
        there = [n for n in chain if keypoints.visible[schema.index(n)]]
        steps = np.diff(keypoints.xy[[schema.index(n) for n in there]], axis=0)
        lengths = np.maximum(np.linalg.norm(steps, axis=1), 1e-6)
        cosines = (steps[1:] * steps[:-1]).sum(axis=1) / (lengths[1:] * lengths[:-1])
        for k in np.flatnonzero(cosines < 0):
            words = f"{', '.join(there[k : k + 3])} do not follow one another along the device"
            yield Finding(keypoints.frame, tuple(there[k + 1 : k + 3] + there[k : k + 1]), "order", 4 - 4 * cosines[k], words)


def _incomplete(keypoints: Keypoints, image: ImageInfo, statistics: PoseStatistics) -> Iterator[Finding]:
    schema, state = keypoints.schema, keypoints.state
    for group, members in schema.groups.items():
        rows = [schema.index(n) for n in members]
        if not (state[rows] == KeypointState.VISIBLE).any():
            continue
        missing = [i for i in rows if state[i] != KeypointState.VISIBLE and schema.names[i] not in schema.optional]
        unlabelled = [i for i in missing if state[i] == KeypointState.UNLABELLED]
        left_out = unlabelled or [i for i in missing if not _may_be_outside(keypoints, i, image, statistics)]
        if left_out:
            names = tuple(schema.names[i] for i in left_out)
            what = "not labelled" if unlabelled else "absent"
            title = schema.titles.get(group, group)
            words = f"{', '.join(names)} {what}, though other points of {title!r} are there: they go together"
            yield Finding(keypoints.frame, names, "incomplete", 2.0 + len(names), words)


def _may_be_outside(keypoints: Keypoints, row: int, image: ImageInfo, statistics: PoseStatistics) -> bool:
    """Whether a missing point can lie where nothing is marked, by the points of its group that are there."""
    place, sigma = statistics.expected(keypoints, row, image)
    return bool(_depth(place, image) < BORDER * image.columns + _SIGMAS * sigma)
