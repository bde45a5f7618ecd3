"""What makes one half of a chest picture bright and the other dark: spine beside lung, the domes of the diaphragm, a thick heart.

The display of one machine subtracts nearly all of it, that of another hardly any. It is drawn in the plane of the picture, not in
the patient: nothing is labelled there, and every grey level must occur beside every other.
"""

from __future__ import annotations

import numpy as np

from monai_tavr.phantom.texture import Image, power_noise, warp

__all__ = ["draw_shading"]


def draw_shading(size: int, strength: float, rng: np.random.Generator) -> Image:
    """(size, size) float32 attenuation, mean 0: gradient, vignette, spine, domes, heart, lung.

    Args:
        size: rows and columns.
        strength: 1 = as a display with little compression shows it.
        rng: draws place, size, sharpness and depth of each part.
    """
    uniform = rng.uniform
    place = ((np.arange(size) + 0.5) / size - 0.5).astype(np.float32)
    x, y = np.meshgrid(place, place)
    slope = rng.normal(0, 0.22, 2).astype(np.float32)
    out = slope[0] * x + slope[1] * y + np.float32(uniform(-0.1, 0.35)) * (x * x + y * y)
    if uniform() < 0.7:  # spine and mediastinum: a band with two borders of its own sharpness each
        across = x - uniform(-0.45, 0.6) - rng.normal(0, 0.12) * y - rng.normal(0, 0.15) * y * y
        half = uniform(0.07, 0.2)
        band = _step(across + half, uniform(0.003, 0.05)) * _step(half - across, uniform(0.003, 0.05))
        out += np.float32(uniform(0.08, 0.6)) * band
    for _ in range(int(rng.integers(0, 3))):  # domes of the diaphragm: a crisp upper border
        radius = uniform(0.35, 1.1)
        depth = radius - np.hypot(x - uniform(-0.6, 0.6), (y - uniform(-0.05, 0.5) - radius) * uniform(0.85, 1.2))
        fall = 0.5 + 0.5 * np.exp(-np.maximum(depth, 0) / np.float32(uniform(0.1, 0.6)))
        out += np.float32(uniform(0.08, 0.5)) * _step(depth, uniform(0.002, 0.012)) * fall
    if uniform() < 0.6:  # the heart
        a, b = uniform(0.2, 0.5, 2)
        depth = 1 - np.hypot((x - uniform(-0.25, 0.3)) / a, (y - uniform(-0.1, 0.35)) / b)
        out += np.float32(uniform(0.05, 0.4)) * _step(depth, uniform(0.015, 0.2))
    for _ in range(int(rng.integers(0, 3))):  # lung: a bright corner
        angle = uniform(-np.pi, np.pi)
        depth = x * np.cos(angle) + y * np.sin(angle) - uniform(0.05, 0.4)
        out -= np.float32(uniform(0.08, 0.55)) * _step(depth, uniform(0.004, 0.09))
    # no border of a body is a circle
    bend = [np.float32(size * 0.012) * power_noise(rng, size, slope=2.0, low=1.5, high=16) for _ in range(2)]
    out = warp(out.astype(np.float32), *bend)
    return np.asarray(np.float32(strength) * (out - out.mean()), dtype=np.float32)


def _step(depth: Image, width: float) -> Image:
    """0 outside, 1 inside, rising over ``width``."""
    return np.asarray(1 / (1 + np.exp(-np.clip(depth / np.float32(width), -30, 30))), dtype=np.float32)
