"""Smooth random fields without a lattice, and chords through ellipsoids: what tissue is made of.

Fields are filtered white noise (in the Fourier domain), periodic over the image. Interpolated value noise would show its grid.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
import scipy.fft
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from monai_tavr.phantom.camera import Camera

__all__ = ["blur", "ellipsoid_axes", "ellipsoid_chord", "power_noise", "resize", "warp"]

Image = NDArray[np.float32]


def power_noise(rng: np.random.Generator, size: int, *, slope: float, low: float, high: float) -> Image:
    """A random field with amplitude ~ frequency^-slope between two frequencies, mean 0 and standard deviation 1.

    Args:
        size: rows and columns.
        slope: fall of the amplitude spectrum; 0 is white.
        low, high: cycles per image; below `low` nothing, above `high` a Gaussian end.

    Returns:
        (size, size) float32.
    """
    spectrum = scipy.fft.rfft2(rng.standard_normal((size, size), dtype=np.float32))
    down = np.fft.fftfreq(size, 1 / size)[:, None]
    across = np.fft.rfftfreq(size, 1 / size)[None]
    frequency = np.hypot(down, across).astype(np.float32)
    gain = np.maximum(frequency, 0.5) ** np.float32(-slope) * np.exp(-((frequency / np.float32(high)) ** 2))
    gain[frequency < low] = 0
    field: Image = scipy.fft.irfft2(spectrum * gain, s=(size, size))
    return np.asarray(field / max(float(field.std()), 1e-12), dtype=np.float32)


def blur(image: NDArray[np.floating], sigma: float) -> Image:
    """Gaussian blur of (H, W) by `sigma` pixels; the border is reflected."""
    source = np.ascontiguousarray(image, dtype=np.float32)
    return np.asarray(cv2.GaussianBlur(source, (0, 0), sigma, borderType=cv2.BORDER_REFLECT_101))


def resize(image: NDArray[np.floating], size: int, *, cubic: bool = False) -> Image:
    """(H, W) on another grid of the same field of view: the outer edges of the images coincide."""
    source = np.ascontiguousarray(image, dtype=np.float32)
    smaller = size < source.shape[0]
    how = cv2.INTER_AREA if smaller else cv2.INTER_CUBIC if cubic else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(source, (size, size), interpolation=how))


def warp(image: NDArray[np.floating], shift_x: NDArray[np.floating], shift_y: NDArray[np.floating]) -> Image:
    """(H, W) read at (x + shift_x, y + shift_y), shifts (H, W) in pixels; the border is repeated."""
    rows, columns = np.indices(image.shape, dtype=np.float32)
    source = np.ascontiguousarray(image, dtype=np.float32)
    at_x, at_y = (columns + shift_x).astype(np.float32), (rows + shift_y).astype(np.float32)
    return np.asarray(cv2.remap(source, at_x, at_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))


def ellipsoid_axes(directions: ArrayLike, half_axes: ArrayLike) -> NDArray[np.float64]:
    """(3, 3) matrix A such that the ellipsoid is |A (x - c)| <= 1, from three unit vectors and the half axes along them in mm."""
    return np.asarray(np.asarray(directions, dtype=np.float64) / np.asarray(half_axes, dtype=np.float64)[:, None])


def ellipsoid_chord(camera: Camera, centre: ArrayLike, axes: NDArray[np.float64]) -> Image:
    """(H, W) length in mm of each ray inside an ellipsoid at `centre` (3,) mm with `axes` from `ellipsoid_axes`."""
    source, rays = camera.rays()
    start = (axes @ (source - np.asarray(centre, dtype=np.float64))).astype(np.float32)
    along = rays.astype(np.float32) @ axes.T.astype(np.float32)
    square = (along * along).sum(axis=-1)
    middle = along @ start
    # Double precision where two large squares nearly cancel.
    inside = middle.astype(np.float64) ** 2 - square.astype(np.float64) * (float(start.astype(np.float64) @ start) - 1)
    return np.asarray(2 * np.sqrt(np.maximum(inside, 0)) / square, dtype=np.float32)
