"""Spine and ribs as an angiogram shows them: rims and edges, uneven, mostly faint, never complete.

A bone is drawn by its cortex. Each rim gets its own strength and a strength that changes along it, because rotation, osteoporosis
and overlap hide most of it in a real frame.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from monai_tavr.phantom.anatomy import Anatomy
from monai_tavr.phantom.camera import Camera
from monai_tavr.phantom.raster import draw_tube

__all__ = ["draw_ribs", "draw_spine", "spine_axis"]

Array = NDArray[np.float64]
_RING = np.linspace(0, 2 * np.pi, 48)


def spine_axis(anatomy: Anatomy, z: Array | float) -> Array:
    """Middle (..., 3) of the spine in mm at the heights ``z`` (...) in mm."""
    height = np.asarray(z, dtype=np.float64)
    x = anatomy.spine_x + anatomy.spine_tilt * height + anatomy.spine_bend * height * height
    return np.stack([x, np.full_like(height, anatomy.spine_y), height], axis=-1)


def _wander(rng: np.random.Generator, n: int, amount: float, knots: int = 7) -> Array:
    """(n,) smooth random values around 0."""
    return np.asarray(np.interp(np.linspace(0, 1, n), np.linspace(0, 1, knots), rng.normal(0, amount, knots)))


def _patchy(rng: np.random.Generator, n: int) -> Array:
    """(n,) strength along a rim, 0..2, often nothing."""
    return np.clip(0.55 + _wander(rng, n, 0.8), 0, 1.8)


def _tapered(q: Array) -> Array:
    """(n,) 0 at both ends of a rib, so that none ends in a stump."""
    part = (q - q[0]) / (q[-1] - q[0])
    return np.clip(part / 0.2, 0, 1) * np.clip((1 - part) / 0.15, 0, 1)


def draw_spine(density: Array, anatomy: Anatomy, camera: Camera, rng: np.random.Generator) -> None:
    """Add to ``density`` (H, W) attenuation, in place, end plates, waists, pedicles and spinous processes in the field."""
    for i in range(-7, 8):
        _draw_vertebra(
            density, anatomy, camera, rng, spine_axis(anatomy, (i + 0.3) * anatomy.vertebra_height + rng.normal(0, 0.8))
        )


def _draw_vertebra(density: Array, anatomy: Anatomy, camera: Camera, rng: np.random.Generator, centre: Array) -> None:
    n = len(_RING)
    width = anatomy.vertebra_radius * rng.uniform(0.92, 1.08)
    half = anatomy.vertebra_height / 2 - rng.uniform(1.4, 2.8)
    tilt = rng.normal(0, 0.05) + anatomy.spine_tilt
    present = rng.uniform(0.1, 1.0) * rng.uniform(0.4, 1.0)
    for side in (-1, 1):  # end plates: rings seen edge-on
        x, y = width * np.cos(_RING), 0.8 * width * np.sin(_RING)
        z = side * half - side * 1.2 * np.sin(_RING) ** 2 + _wander(rng, n, 0.5) - tilt * x
        mu = 0.0075 * present * rng.uniform(0.2, 1.3) * _patchy(rng, n) * np.abs(np.sin(_RING))
        draw_tube(density, camera, centre + np.stack([x, y, z], axis=1), radius=rng.uniform(0.5, 1.2), mu=1.5 * mu)
    along = np.linspace(-1, 1, 24)
    for side in (-1, 1):  # waists
        x = side * width * (1 - rng.uniform(0.08, 0.2) * (1 - along**2)) + _wander(rng, 24, 0.5) + tilt * half * along
        line = centre + np.stack([x, np.zeros(24), along * half], axis=1)
        draw_tube(density, camera, line, radius=1.0, mu=0.009 * present * rng.uniform(0.2, 1.2) * _patchy(rng, 24))
    for side in (-1, 1):  # pedicles: open arcs
        _draw_arc(
            density,
            camera,
            rng,
            centre + np.array([side * 0.64 * width, 22, 4]),
            rng.uniform(2.2, 3.4),
            rng.uniform(3.6, 5.2),
            present,
        )
        _draw_arc(
            density,
            camera,
            rng,
            centre + np.array([side * 0.95 * width, 26, 2]),
            rng.uniform(3, 8),
            rng.uniform(3, 5),
            0.7 * present,
        )
    _draw_arc(density, camera, rng, centre + np.array([rng.normal(0, 2), 46, -8]), rng.uniform(2, 4), rng.uniform(6, 10), present)


def _draw_arc(
    density: Array, camera: Camera, rng: np.random.Generator, centre: Array, width: float, height: float, strength: float
) -> None:
    """An irregular oval rim in the frontal plane, dense only on one side."""
    n = len(_RING)
    x = width * np.cos(_RING) * (1 + _wander(rng, n, 0.15)) + _wander(rng, n, 0.4)
    z = height * np.sin(_RING) * (1 + _wander(rng, n, 0.15)) + _wander(rng, n, 0.4)
    lit = np.clip(0.5 + 0.9 * np.cos(_RING - rng.uniform(0, 2 * np.pi)), 0, 1)
    points = np.asarray(centre) + np.stack([x, np.zeros(n), z], axis=1)
    draw_tube(density, camera, points, radius=rng.uniform(0.5, 1.2), mu=0.018 * strength * rng.uniform(0.1, 1.2) * lit)


def draw_ribs(density: Array, anatomy: Anatomy, camera: Camera, rng: np.random.Generator) -> None:
    """Add to ``density`` (H, W) attenuation, in place, hollow posterior ribs and some anterior ends of the opposite slope."""
    q = np.linspace(0, 1.35, 40)
    scale = anatomy.thorax_scale
    slope = rng.uniform(0.75, 1.25)
    for side in (-1, 1):
        for i in range(-5, 7):
            start = spine_axis(anatomy, (i + 0.45) * anatomy.vertebra_height + rng.normal(0, 2.0))
            drop = slope * rng.uniform(0.85, 1.15)
            x = start[0] + side * (16 + 118 * scale * np.sin(q)) + _wander(rng, 40, 0.8)
            y = anatomy.spine_y + 18 * np.sin(2 * q) - 95 * scale * (q / 1.35) ** 3
            z = start[2] + 6 * np.sin(2 * q) - 62 * drop * (q / 1.35) ** 1.6 + _wander(rng, 40, 0.8)
            strength = 0.0038 * rng.uniform(0.1, 1.15) * _patchy(rng, 40) * _tapered(q)
            draw_tube(density, camera, np.stack([x, y, z], axis=1), radius=rng.uniform(4.5, 6.5), mu=strength, hollow=0.92)
            if rng.uniform() < 0.45:
                x = side * (40 + 85 * scale * np.sin(q)) + _wander(rng, 40, 1.0)
                z = start[2] + 20 - 34 * drop * np.cos(q) + _wander(rng, 40, 1.0)
                points = np.stack([x, -70 + 60 * (1 - np.cos(q)), z], axis=1)
                mu = 0.0030 * rng.uniform(0.1, 1.1) * _patchy(rng, 40) * _tapered(q)
                draw_tube(density, camera, points, radius=rng.uniform(5.0, 7.0), mu=mu, hollow=0.93)
