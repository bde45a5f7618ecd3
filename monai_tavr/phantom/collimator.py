"""The rectangular collimator of an X-ray machine, and the display's shutter beyond it.

Blades close the field from any side; between them the picture has straight edges with rounded corners, at times one cut off, a
bright zone along them where the dynamic range compression overshoots, and a dark surround that leaks a little scatter. Beyond the
shutter the display is black.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from monai_tavr.phantom.texture import Image

__all__ = ["Collimator", "open_at", "sample_collimator"]


@dataclass(frozen=True, eq=False)
class Collimator:
    """Where the field is closed. Lengths as a share of the image's side unless said otherwise.

    Attributes:
        blades: (4,) shares: how far the left, right, top and bottom blade reach in.
        corner: radius of the corners.
        cut: how much of the lower right corner is cut off.
        softness: pixels of 512 over which an edge opens.
        glow: grey levels of the bright zone inside the edges.
        glow_width: its width.
        surround: grey level behind the blades.
        leak: part of the picture's contrast that is seen through them.
        shutter: how far behind the blades the display is black.
    """

    blades: NDArray[np.float64]
    corner: float
    cut: float
    softness: float
    glow: float
    glow_width: float
    surround: float
    leak: float
    shutter: float

    def field(self, size: int) -> Image:
        """(size, size) float32, 1 where the field is open, 0 behind the blades."""
        return _maps(self, size)[0]

    def draw(self, grey: Image) -> Image:
        """The picture ``grey`` (H, H), grey levels of 0 to 255, as it is seen between the blades."""
        field, glow, surround = _maps(self, grey.shape[0])
        behind = surround * (1 + np.float32(self.leak / 128) * (grey - np.float32(128)))
        return np.asarray((grey + glow) * field + behind * (1 - field), dtype=np.float32)


@lru_cache(maxsize=2)
def _maps(collimator: Collimator, size: int) -> tuple[Image, Image, Image]:
    """(H, W) each: the open field, the bright zone and the grey level of the surround."""
    left, right, top, bottom = collimator.blades
    place = (np.arange(size) + 0.5) / size
    middle, half = np.array([left + 1 - right, top + 1 - bottom]) / 2, np.array([1 - right - left, 1 - bottom - top]) / 2
    across, down = (np.abs(place - m) - h + collimator.corner for m, h in zip(middle, half, strict=True))
    x, y = np.meshgrid(across, down)
    # distance to a rectangle with rounded corners, positive inside
    depth = collimator.corner - np.hypot(np.maximum(x, 0), np.maximum(y, 0)) - np.minimum(np.maximum(x, y), 0)
    to_corner = ((middle + half).sum() - np.add.outer(place, place)) / np.sqrt(2)
    depth = np.minimum(depth, to_corner - collimator.cut) if collimator.cut else depth
    field = 1 / (1 + np.exp(-np.clip(512 / collimator.softness * depth, -30, 30)))
    glow = collimator.glow * np.exp(-np.maximum(depth, 0) / collimator.glow_width)
    surround = collimator.surround * (0.75 + 0.6 * np.exp(np.minimum(depth, 0) / 0.02)) * (depth > -collimator.shutter)
    return field.astype(np.float32), glow.astype(np.float32), surround.astype(np.float32)


def sample_collimator(rng: np.random.Generator) -> Collimator:
    """Draw a collimator: a narrow frame around the whole picture, or blades that close in from some sides."""
    if rng.uniform() < 0.45:
        blades = rng.uniform(0.005, 0.09) + rng.uniform(0, 0.035, 4)
    else:
        blades = np.where(rng.uniform(size=4) < 0.6, rng.uniform(0.02, 0.24, 4), rng.uniform(-0.06, 0.03, 4))
    return Collimator(
        blades=blades,
        corner=rng.uniform(0, 0.03) if rng.uniform() < 0.6 else 0.0,
        cut=rng.uniform(0.02, 0.06) if rng.uniform() < 0.2 else 0.0,
        softness=rng.uniform(0.4, 4.0),
        glow=rng.uniform(-15, 75),
        glow_width=rng.uniform(0.008, 0.04),
        surround=rng.uniform(0, 48),
        leak=rng.uniform(0, 0.9),
        shutter=rng.uniform(0.005, 0.08) if rng.uniform() < 0.6 else 2.0,
    )


def open_at(field: Image, xy: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Whether points lie where the field is open.

    Args:
        field: (H, W), 1 open, 0 closed.
        xy: (K, 2) pixels, (x, y); NaN = not there.

    Returns:
        (K,) bool; False for what is not there.
    """
    size = np.array(field.shape[::-1]) - 1
    known = np.isfinite(xy).all(axis=1)
    columns, rows = np.clip(np.rint(np.where(known[:, None], xy, 0)), 0, size).astype(int).T
    return np.asarray(known & (field[rows, columns] > 0.5))
