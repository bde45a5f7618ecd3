"""Lung markings: vessels that branch from the hila, their mottled overlap, fissures and other fine lines."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from monai_tavr.phantom.anatomy import Anatomy
from monai_tavr.phantom.camera import Camera
from monai_tavr.phantom.raster import draw_tube
from monai_tavr.phantom.texture import Image, blur, power_noise
from monai_tavr.phantom.vectors import unit

__all__ = ["draw_fine_vessels", "draw_lung_vessels", "draw_streaks", "lung_texture", "soften"]

Array = NDArray[np.float64]


def lung_texture(camera: Camera, aerated: Image, rng: np.random.Generator) -> Image:
    """(H, W) attenuation of the mottle of small vessels and air, strongest where `aerated` (0..1) lung is thick."""
    size = camera.size
    mottle = power_noise(rng, size, slope=1.5, low=9, high=0.25 * size)
    fine = power_noise(rng, size, slope=1.3, low=14, high=0.2 * size)
    # Ridges between two smooth fields look like threads; patches of them like crossing small vessels.
    threads = np.exp(-((power_noise(rng, size, slope=1.4, low=6, high=0.12 * size) / np.float32(0.12)) ** 2))
    patches = np.clip(0.8 + 0.8 * power_noise(rng, size, slope=1.0, low=3, high=24), 0, 2.4)
    return np.asarray((0.72 + 0.95 * aerated) * (0.017 * mottle + patches * (0.016 * fine + 0.026 * threads)), dtype=np.float32)


def draw_lung_vessels(density: Array, anatomy: Anatomy, camera: Camera, rng: np.random.Generator) -> None:
    """Add to ``density`` (H, W) attenuation, in place, both pulmonary trees, three generations deep; a few bronchi are air."""
    for side in (-1, 1):
        hilum = np.array([side * 34 + 3.0, 18.0, 14.0]) + rng.normal(0, [3, 8, 6])
        todo = []
        for _ in range(11):
            start = hilum + rng.normal(0, [9, 8, 16])
            heading = unit([side, rng.normal(0, 0.4), rng.normal(0, 0.5) - 0.2])
            todo.append((start, heading, rng.uniform(1.6, 2.9), 0))
        while todo:
            start, heading, radius, generation = todo.pop()
            bends = rng.normal((side * 0.03, 0.0, -0.03), 0.22, (6, 3))
            headings = heading + np.cumsum(bends, axis=0)
            headings /= np.linalg.norm(headings, axis=1, keepdims=True)
            points = np.vstack([start, start + np.cumsum(headings, axis=0) * radius * 2.1])
            strength = 0.0085 * np.linspace(0.2, 0.6, 7) if generation == 0 else np.full(7, 0.0075)
            mu = strength if rng.uniform() < 0.8 else -0.7 * strength
            draw_tube(density, camera, points, radius=np.linspace(radius, 0.85 * radius, 7), mu=mu)
            if generation < 3:
                for _ in range(2):
                    todo.append(
                        (points[-1], unit(headings[-1] + rng.normal(0, 0.55, 3)), radius * rng.uniform(0.6, 0.85), generation + 1)
                    )


def draw_fine_vessels(density: Array, camera: Camera, rng: np.random.Generator) -> None:
    """Add to ``density`` (H, W) attenuation, in place, many short threads that run away from the hila, as in the outer lung."""
    centre = np.asarray(camera.centre)
    s = np.linspace(0, 1, 10)
    for _ in range(280):
        at = rng.uniform(-0.52, 0.52, 2) * camera.field_mm
        angle = np.arctan2(at[1] - 8, at[0]) + rng.normal(0, 0.7)
        length = rng.uniform(5, 32)
        along, across = np.array([np.cos(angle), np.sin(angle)]), np.array([-np.sin(angle), np.cos(angle)])
        bend = np.interp(s, np.linspace(0, 1, 4), rng.normal(0, 0.05, 4)) * length
        plane = at + (s * length)[:, None] * along + bend[:, None] * across
        points = centre + plane[:, :1] * camera.right + plane[:, 1:] * camera.up
        mu = rng.choice([1.0, 1.0, -0.7]) * 0.032 * rng.uniform(0.15, 1.3) * np.sin(np.pi * (0.05 + 0.9 * s))
        draw_tube(density, camera, points, radius=rng.uniform(0.25, 0.9), mu=mu)


def draw_streaks(density: Array, camera: Camera, rng: np.random.Generator) -> None:
    """Add to ``density`` (H, W) attenuation, in place, faint curved lines: fissures, vessel walls, folds of skin and drapes."""
    reach = 0.6 * camera.field_mm
    centre = np.asarray(camera.centre)
    for _ in range(int(rng.integers(36, 70))):
        start, angle = rng.uniform(-reach, reach, 2), rng.uniform(0, np.pi)
        along, across = np.array([np.cos(angle), np.sin(angle)]), np.array([-np.sin(angle), np.cos(angle)])
        s = np.linspace(0, rng.uniform(15, 110), 24)
        bend = rng.normal(0, 0.004) * s * s + np.interp(s, np.linspace(0, s[-1], 6), rng.normal(0, 0.5, 6))
        plane = start + s[:, None] * along + bend[:, None] * across
        points = centre + plane[:, :1] * camera.right + plane[:, 1:] * camera.up
        fade = np.sin(np.linspace(0.15, np.pi - 0.15, 24)) * np.clip(0.8 + rng.normal(0, 0.4, 24), 0, 2)
        mu = rng.choice([1.0, 1.0, -0.8]) * 0.009 * rng.uniform(0.3, 1.3) * fade
        draw_tube(density, camera, points, radius=rng.uniform(0.4, 1.3), mu=mu)


def soften(density: Array, scale: float) -> Image:
    """``density`` (H, W) attenuation of vessels with the darkest overlaps held back, blurred by 0.7 ``scale`` pixels."""
    return blur(0.07 * np.tanh(density / 0.07), 0.7 * scale)
