"""Space curves by arc length: the common ground of everything thin that lies in the body.

A device is a list of :class:`Tube`: a curve with a radius and an attenuation coefficient per point. Tubes are moved by the heart
beat and drawn by :func:`monai_tavr.phantom.raster.draw_tube`; nothing else about a device reaches the picture.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy.interpolate import CubicSpline

from monai_tavr.phantom.camera import Camera
from monai_tavr.phantom.raster import draw_tube
from monai_tavr.phantom.vectors import unit

__all__ = ["Curve", "Tube", "band", "draw_tubes", "move_tubes", "spline_curve"]

_HARDENING = 0.72  # a beam that has come through a chest is harder: metal attenuates it less than its nominal mu


@dataclass(frozen=True, eq=False)
class Curve:
    """A polyline addressed by arc length.

    Attributes:
        points: (N, 3) mm, world.
    """

    points: np.ndarray

    @cached_property
    def arc(self) -> np.ndarray:
        """(N,) mm from the first point."""
        return np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(self.points, axis=0), axis=1))])

    @property
    def length(self) -> float:
        """Length in mm."""
        return float(self.arc[-1])

    def at(self, arc: np.ndarray | float) -> np.ndarray:
        """Points (..., 3) in mm at the arc lengths ``arc`` (...) in mm; beyond an end the curve goes on straight."""
        s = np.asarray(arc, dtype=float)
        inside = np.stack([np.interp(s, self.arc, self.points[:, k]) for k in range(3)], axis=-1)
        before, after = np.minimum(s, 0.0), np.maximum(s - self.length, 0.0)
        first, last = unit(self.points[1] - self.points[0]), unit(self.points[-1] - self.points[-2])
        return inside + before[..., None] * first + after[..., None] * last

    def tangent(self, arc: np.ndarray | float, *, reach: float = 2.0) -> np.ndarray:
        """Tangents (..., 3), unit vectors, at the arc lengths ``arc`` (...) in mm, smoothed over ``2 * reach`` mm."""
        s = np.asarray(arc, dtype=float)
        chord = self.at(s + reach) - self.at(s - reach)
        return chord / np.linalg.norm(chord, axis=-1, keepdims=True)

    def span(self, start: float, stop: float, *, step: float = 0.5) -> np.ndarray:
        """Points (N, 3) from ``start`` to ``stop`` mm, at least two."""
        return self.at(np.linspace(start, stop, max(2, int(np.ceil(abs(stop - start) / step)) + 1)))

    def nearest(self, point: np.ndarray) -> float:
        """Arc length in mm of the vertex closest to ``point`` (3,) mm."""
        return float(self.arc[int(np.argmin(((self.points - point) ** 2).sum(axis=1)))])

    def resampled(self, step: float) -> Curve:
        """The same curve with vertices about ``step`` mm apart."""
        return Curve(self.span(0.0, self.length, step=step))


def spline_curve(knots: np.ndarray, *, step: float = 0.5, end_tangent: np.ndarray | None = None) -> Curve:
    """A smooth curve through ``knots`` (N, 3) mm, centripetal, with vertices ``step`` mm apart.

    ``end_tangent`` (3,) makes the last direction agree with what follows, so that two parts join without a kink.
    """
    knots = np.asarray(knots, dtype=float)
    chord = np.linalg.norm(np.diff(knots, axis=0), axis=1)
    t = np.concatenate([[0.0], np.cumsum(chord**0.6)])
    if end_tangent is None:
        spline = CubicSpline(t, knots)
    else:
        speed = chord[-1] / (t[-1] - t[-2])
        start = (knots[1] - knots[0]) / (t[1] - t[0])
        spline = CubicSpline(t, knots, bc_type=((1, start), (1, unit(end_tangent) * speed)))
    fine = spline(np.linspace(0.0, t[-1], 40 * len(knots)))
    return Curve(fine).resampled(step)


@dataclass(frozen=True, eq=False)
class Tube:
    """One drawn part of a device.

    Attributes:
        points: (N, 3) mm, world, the axis.
        radius: outer radius in mm, one number or (N,).
        mu: attenuation per mm, one number or (N,).
        hollow: inner divided by outer radius; 0 is solid.
        tether: how much of the heart's motion the part follows, 0 (fixed) to 1, on top of the place-dependent weight.
    """

    points: np.ndarray
    radius: np.ndarray | float
    mu: np.ndarray | float
    hollow: float = 0.0
    tether: float = 1.0


def band(curve: Curve, centre: float, *, width: float, radius: float, mu: float, hollow: float = 0.0) -> Tube:
    """A short piece of a curve around arc length ``centre``: a marker band, an electrode, a block."""
    return Tube(curve.span(centre - width / 2, centre + width / 2, step=0.25), radius, mu, hollow)


def move_tubes(tubes: Iterable[Tube], displacement: Callable[[np.ndarray], np.ndarray]) -> list[Tube]:
    """Tubes after ``displacement`` (N, 3) mm -> (N, 3) mm, scaled by each tube's tether."""
    return [replace(t, points=t.points + t.tether * displacement(t.points)) if t.tether else t for t in tubes]


def draw_tubes(density: np.ndarray, camera: Camera, tubes: Iterable[Tube]) -> None:
    """Add tubes to the attenuation ``density`` (H, W) float64, in place."""
    for tube in tubes:
        mu = np.asarray(tube.mu) * _HARDENING
        draw_tube(density, camera, tube.points, radius=tube.radius, mu=mu, hollow=tube.hollow)
