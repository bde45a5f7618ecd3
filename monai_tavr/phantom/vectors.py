"""Vectors and curves in space: unit vectors, frames across an axis, smooth curves through knots."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import CubicSpline

__all__ = ["Array", "perpendicular_frame", "resample", "smooth_curve", "unit"]

Array = NDArray[np.float64]


def unit(vector: ArrayLike) -> Array:
    """``vector`` (3,) of any unit as a unit vector (3,)."""
    v = np.asarray(vector, dtype=np.float64)
    return np.asarray(v / np.linalg.norm(v))


def perpendicular_frame(axis: ArrayLike, near: ArrayLike = (0.1, 0.9, 0.3)) -> tuple[Array, Array]:
    """Two directions across an axis.

    Args:
        axis: (3,) direction, of any length.
        near: (3,) direction that is not parallel to the axis.

    Returns:
        Two unit vectors n, b (3,); n, b and the axis are at right angles.
    """
    normal = unit(np.cross(unit(axis), np.asarray(near, dtype=np.float64)))
    return normal, np.cross(unit(axis), normal)


def resample(points: ArrayLike, step: float) -> tuple[Array, Array]:
    """A polyline at about equal steps.

    Args:
        points: (N, 3) mm.
        step: mm.

    Returns:
        Points (M, 3) in mm and their arc length (M,) in mm.
    """
    p = np.asarray(points, dtype=np.float64)
    length = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(p, axis=0), axis=1))])
    at = np.linspace(0, length[-1], max(2, int(length[-1] / step) + 1))
    return np.stack([np.interp(at, length, p[:, k]) for k in range(p.shape[1])], axis=1), at


def smooth_curve(knots: ArrayLike, step: float = 1.0, *, start_direction: ArrayLike | None = None) -> tuple[Array, Array]:
    """A smooth curve through knots, at about equal steps.

    Args:
        knots: (N, 3) mm.
        step: mm.
        start_direction: (3,) direction in which it starts; None = free.

    Returns:
        Points (M, 3) in mm and their arc length (M,) in mm.
    """
    k = np.asarray(knots, dtype=np.float64)
    chord = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(k, axis=0), axis=1) ** 0.6)])
    first = (2, np.zeros(k.shape[1])) if start_direction is None else (1, _start_slope(k, chord, start_direction))
    spline = CubicSpline(chord, k, bc_type=(first, (2, np.zeros(k.shape[1]))))
    return resample(spline(np.linspace(0, chord[-1], 40 * len(k))), step)


def _start_slope(knots: Array, chord: Array, direction: ArrayLike) -> Array:
    return unit(direction) * np.linalg.norm(knots[1] - knots[0]) / chord[1]
