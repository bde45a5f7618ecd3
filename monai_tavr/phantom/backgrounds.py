"""Real X-ray frames as backgrounds: the phantom's devices and opacified root are drawn onto pictures that somebody took.

Angiography displays are close to logarithmic, so attenuation is added as grey levels: a grey value stands for the logarithm of a
signal, of which a part is a smooth veil of scatter that no device dims. How many grey levels a unit of attenuation is worth, how
blurred and how noisy the frame is, and where its collimator closes is estimated from the frame itself, so that what is drawn has
the contrast, the sharpness and the borders of what was there.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from monai_tavr.dicom import find_cines, open_cine
from monai_tavr.phantom.collimator import open_at
from monai_tavr.phantom.texture import Image, blur

__all__ = ["RealBackground", "list_backgrounds", "load_background"]

_CONTRAST_SIGMAS = (1.5, 6.0)  # pixels of 512: the scales of vessels and ribs
_USUAL_CONTRAST = 5.0  # grey levels of that band in a frame whose display gives about 150 per unit of attenuation
_USUAL_GAIN = 150.0
_GAINS = (60.0, 260.0)
_BLADE_REACH = 0.35  # a collimator closes at most this share of a side


@dataclass(frozen=True, eq=False)
class RealBackground:
    """One real frame, and what drawing onto it must know.

    Attributes:
        grey: (H, W) float32 grey levels of 0 to 255, bright where X-rays pass.
        field: (H, W) float32, 1 where the collimator is open, 0 behind its blades.
        gain: grey levels per unit of attenuation.
        noise: standard deviation of the frame's own noise, grey levels.
        blur: sigma in pixels by which a sharp edge is blurred here.
        veil: part of the signal that is scatter.
    """

    grey: Image
    field: Image
    gain: float
    noise: float
    blur: float
    veil: float

    def draw(self, attenuation: NDArray[np.floating], rng: np.random.Generator, *, bits: int = 8) -> NDArray[np.unsignedinteger]:
        """The frame with something in the beam.

        Args:
            attenuation: (H, W) line integrals of attenuation of what is added.
            rng: draws the noise that fewer quanta add.
            bits: 8 or 12.

        Returns:
            (H, W) grey levels, uint8 for 8 bits, uint16 for 12.
        """
        added = blur(np.asarray(attenuation, np.float32), self.blur) * self.field
        signal = np.exp((self.grey - np.float32(self.grey.mean())) / np.float32(self.gain))
        veil = np.float32(self.veil) * np.minimum(blur(signal, self.grey.shape[0] / 16), 1.6 * signal)
        dimmed = (signal - veil) * np.exp(-added) + veil
        grey = self.grey + np.float32(self.gain) * np.log(np.maximum(dimmed, 1e-4) / np.maximum(signal, 1e-4))
        # fewer quanta, more noise on a logarithmic scale; none where nothing was added
        grain = blur(rng.standard_normal(grey.shape, dtype=np.float32), 0.7)
        grey += np.float32(self.noise / max(float(grain.std()), 1e-6)) * np.clip(np.exp(0.5 * added) - 1, 0, 1.5) * grain
        floor = np.minimum(self.grey, 24)
        grey = floor + (grey - floor) * (grey > floor) + 8 * np.tanh(np.minimum(grey - floor, 0) / 8)
        top = 255 if bits == 8 else 4095
        levels = np.rint(np.clip(grey * np.float32(top / 255), 0, top))
        return levels.astype(np.uint8) if bits == 8 else levels.astype(np.uint16)

    def shows(self, xy: NDArray[np.floating]) -> NDArray[np.bool_]:
        """Whether points lie where the collimator is open.

        Args:
            xy: (K, 2) pixels, (x, y); NaN = not there.

        Returns:
            (K,) bool; False for what is not there.
        """
        return open_at(self.field, xy)


def list_backgrounds(folder: str | os.PathLike[str]) -> list[Path]:
    """All that can be opened below a folder, sorted. Raises ValueError where there is nothing."""
    found = find_cines(folder) if Path(folder).is_dir() else []
    if not found:
        raise ValueError(f"{folder}: no X-ray frames there; give a folder of DICOM, PNG or JPEG files to draw onto")
    return found


def load_background(paths: Sequence[Path], rng: np.random.Generator, *, size: int) -> RealBackground:
    """Choose a frame of the list, and a part of it.

    Args:
        paths: of :func:`list_backgrounds`.
        rng: draws file, frame, zoom, place, mirror and what an estimate leaves open.
        size: rows and columns of the result.

    Raises:
        monai_tavr.cine.CineError: the file cannot be read.
    """
    path = paths[int(rng.integers(len(paths)))]
    frame = _grey_levels(path, int(rng.integers(1 << 30)))
    part = _cut(frame, rng, size)
    field = _open_field(part)
    inside = field > 0.99
    if inside.mean() < 0.2:
        inside = np.ones_like(inside)
    scale = size / 512
    low, high = (blur(part, s * scale) for s in _CONTRAST_SIGMAS)
    band = float((low - high)[inside].std())
    gain = np.clip(_USUAL_GAIN * band / _USUAL_CONTRAST, *_GAINS) * np.exp(rng.normal(0, 0.2))
    fine = part - blur(part, 0.8)
    noise = 1.4826 * float(np.median(np.abs(fine[inside] - np.median(fine[inside]))))
    return RealBackground(
        grey=part,
        field=field,
        gain=float(gain),
        noise=noise,
        blur=float(rng.uniform(0.6, 1.2) * max(scale, 0.7)),
        veil=float(rng.uniform(0.15, 0.34)),
    )


def _grey_levels(path: Path, number: int) -> Image:
    """A frame of a file on the scale of 255; dark stays dark."""
    cine = open_cine(path)
    frame = cine.frame(number % len(cine))
    low, high = (float(v) for v in (frame.min(), frame.max()))
    if cine.info.bits_stored in (None, 8) and low >= 0 and high <= 255:
        return frame
    return ((frame - low) * np.float32(255 / max(high - low, 1e-6))).astype(np.float32)


def _cut(frame: Image, rng: np.random.Generator, size: int) -> Image:
    """(size, size) of a frame: the whole one, or a part at another zoom, at times mirrored."""
    rows, columns = frame.shape
    side = min(rows, columns) * (1.0 if rng.uniform() < 0.4 else rng.uniform(0.72, 1.0))
    top, left = rng.uniform(0, rows - side), rng.uniform(0, columns - side)
    if rng.uniform() < 0.25:
        frame, left = frame[:, ::-1], columns - side - left
    corners = np.array([[left, top], [left + side, top], [left, top + side]], np.float32) - 0.5
    target = np.array([[0, 0], [size, 0], [0, size]], np.float32) - 0.5
    how = cv2.INTER_AREA if side > 1.5 * size else cv2.INTER_CUBIC
    matrix = cv2.getAffineTransform(corners, target)
    out = cv2.warpAffine(np.ascontiguousarray(frame), matrix, (size, size), flags=how, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(np.clip(out, 0, 255), np.float32)


def _open_field(frame: Image) -> Image:
    """(H, W) float32, 0 behind the blades of a rectangular collimator or display shutter, softly 1 inside."""
    size = frame.shape[0]
    usual = float(np.median(frame[size // 4 : -size // 4, size // 4 : -size // 4]))
    open_ = np.ones_like(frame)
    for turn in range(4):
        lines = np.rot90(frame, turn)[: int(_BLADE_REACH * size), size // 8 : -size // 8]
        level, spread = np.median(lines, axis=1), lines.std(axis=1)
        blade = (level < 0.6 * usual) & (spread < np.maximum(6.0, 0.12 * level)) | (level < 0.25 * usual)
        depth = int(np.argmin(blade)) if not blade.all() else len(blade)
        np.rot90(open_, turn)[: depth + (2 if depth else 0)] = 0
    return blur(open_, 1.5)
