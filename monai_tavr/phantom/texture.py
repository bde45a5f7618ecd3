"""Smooth random fields without a lattice, and the image operations of the phantom: blur, resize, warp.

Fields are filtered white noise (in the Fourier domain), periodic over the image. Interpolated value noise would show its grid.
"""

from __future__ import annotations

import cv2
import numpy as np
import scipy.fft
from numpy.typing import NDArray

__all__ = ["Image", "blur", "power_noise", "resize", "warp"]

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
    """Gaussian blur of ``image`` (H, W), of any unit such as grey levels, by ``sigma`` pixels; the border is reflected."""
    source = np.ascontiguousarray(image, dtype=np.float32)
    return np.asarray(cv2.GaussianBlur(source, (0, 0), sigma, borderType=cv2.BORDER_REFLECT_101))


def resize(image: NDArray[np.floating], size: int, *, cubic: bool = False) -> Image:
    """``image`` (H, W), of any unit such as grey levels, on another grid of the same field of view: the outer edges coincide."""
    source = np.ascontiguousarray(image, dtype=np.float32)
    smaller = size < source.shape[0]
    how = cv2.INTER_AREA if smaller else cv2.INTER_CUBIC if cubic else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(source, (size, size), interpolation=how))


def warp(image: NDArray[np.floating], shift_x: NDArray[np.floating], shift_y: NDArray[np.floating]) -> Image:
    """``image`` (H, W), of any unit such as grey levels, read at (x + ``shift_x``, y + ``shift_y``); the border is repeated.

    Args:
        image: (H, W), of any unit such as grey levels.
        shift_x: (H, W) pixels to the right.
        shift_y: (H, W) pixels down.

    Returns:
        (H, W) float32 of the unit of ``image``.
    """
    rows, columns = np.indices(image.shape, dtype=np.float32)
    source = np.ascontiguousarray(image, dtype=np.float32)
    at_x, at_y = (columns + shift_x).astype(np.float32), (rows + shift_y).astype(np.float32)
    return np.asarray(cv2.remap(source, at_x, at_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))
