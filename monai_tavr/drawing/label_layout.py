"""Where to write names beside points so that they cover neither one another nor a point.

Greedy: the most crowded point goes first, and takes the place around it that overlaps least with what is already there.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

__all__ = ["place_labels"]

# directions in the order of preference: right, left, above, below, then the corners; a further ring where all are taken
_DIRECTIONS = np.array([(1, 0), (-1, 0), (0, -1), (0, 1), (1, -1), (1, 1), (-1, -1), (-1, 1)], float)
_RINGS = (1.0, 2.2, 3.6)


def _overlap(box: np.ndarray, others: np.ndarray) -> float:
    """Area that ``box`` (4,) x0, y0, x1, y1 shares with ``others`` (N, 4)."""
    if not len(others):
        return 0.0
    low, high = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:], others[:, 2:])
    return float(np.prod(np.clip(high - low, 0, None), axis=1).sum())


def place_labels(
    points: np.ndarray, sizes: Sequence[tuple[float, float]], *, area: tuple[float, float], radius: float
) -> np.ndarray:
    """Choose the place of every label.

    Args:
        points: (N, 2) what the labels name, (x, y) in pixels.
        sizes: N widths and heights of the labels in pixels.
        area: width and height of the picture in pixels; labels stay inside where it is large enough.
        radius: clear space around a point in pixels.

    Returns:
        (N, 2) top left corners, (x, y) in pixels.
    """
    points = np.asarray(points, float).reshape(-1, 2)
    marks = np.concatenate([points - radius, points + radius], axis=1)
    distance = np.linalg.norm(points[:, None] - points[None], axis=-1)
    order = np.argsort(np.sort(distance, axis=1)[:, 1] if len(points) > 1 else np.zeros(len(points)), kind="stable")
    corners, taken = np.zeros_like(points), np.empty((0, 4))
    for i in order:
        size = np.asarray(sizes[i], float)
        candidates = []
        for ring in _RINGS:
            centres = points[i] + _DIRECTIONS * (radius * ring + 2 + size / 2)
            candidates.append(np.clip(centres - size / 2, 0, np.maximum(np.asarray(area) - size, 0)))
        places = np.concatenate(candidates)
        boxes = np.concatenate([places, places + size], axis=1)
        # nearness only breaks ties: a label is to be read before it is to be near
        cost = [_overlap(b, taken) * 4 + _overlap(b, marks) + 0.01 * n for n, b in enumerate(boxes)]
        best = int(np.argmin(cost))
        corners[i], taken = places[best], np.vstack([taken, boxes[best]])
    return corners
