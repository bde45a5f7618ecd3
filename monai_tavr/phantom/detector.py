"""From attenuation to grey levels: exposure, quanta, blur, veil, and the display processing of an angiography system.

Beer-Lambert gives the primary beam; scatter and glare add a smooth veil; the detector blurs and counts quanta (noise grows with
the root of the signal and is correlated between neighbours). The display takes the logarithm, subtracts most of its low-pass
(dynamic range compression), sharpens a little, spreads the grey levels and shows the collimator's edges with the bright
overshoot zones beside them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monai_tavr.phantom.collimator import Collimator
from monai_tavr.phantom.texture import Image, blur, resize

__all__ = ["DetectorRanges", "DetectorSettings", "expose", "sample_detector"]

Range = tuple[float, float]


@dataclass(frozen=True)
class DetectorRanges:
    """From which (low, high) ranges the settings of a cine are drawn; a preset with another detector gives other ones."""

    photons: Range = (14000.0, 50000.0)
    veil: Range = (0.2, 0.34)
    blur: Range = (0.62, 0.95)
    compression: Range = (0.68, 0.9)
    compression_sigma: Range = (58.0, 92.0)
    sharpening: Range = (0.1, 0.55)
    spread: Range = (86.0, 106.0)
    brightness: Range = (125.0, 136.0)
    gamma: Range = (1.0, 1.0)
    side_glow: Range = (60.0, 135.0)
    gain: Range = (80.0, 240.0)


@dataclass(frozen=True, eq=False)
class DetectorSettings:
    """Settings of one cine. Lengths in pixels refer to 512 columns and scale with the image.

    Attributes:
        photons: quanta per pixel of a 512 image at mean exposure; less is noisier.
        veil: part of the signal that is a smooth veil of scatter and glare.
        blur: sigma of the detector's blur.
        compression, compression_sigma: part of the low-pass that the display subtracts, and its sigma.
        sharpening: strength of the unsharp mask.
        spread: grey levels (of 255) between the 5th and the 95th percentile of the field.
        brightness: grey level (of 255) of the median.
        gamma: exponent of the display curve; 1 is the plain one.
        glow: (4,) height in grey levels of the bright zone at the left, right, top and bottom edge.
        glow_width, edge, edge_softness: (4,) pixels: its width, the collimator's position and softness.
        glow_profile: (4, 10) its height along the edge, as a share of ``glow``.
        gain: least and most grey levels per unit of attenuation.
    """

    photons: float
    veil: float
    blur: float
    compression: float
    compression_sigma: float
    sharpening: float
    spread: float
    brightness: float
    gamma: float
    glow: NDArray[np.float64]
    glow_width: NDArray[np.float64]
    edge: NDArray[np.float64]
    edge_softness: NDArray[np.float64]
    glow_profile: NDArray[np.float64]
    gain: Range = (80.0, 240.0)


def sample_detector(rng: np.random.Generator, ranges: DetectorRanges | None = None) -> DetectorSettings:
    """Draw the settings of a cine."""
    r = ranges or DetectorRanges()
    sides = rng.uniform(*r.side_glow) * (rng.uniform() < 0.92)
    glow = np.concatenate([sides * rng.uniform(0.7, 1.2, 2), rng.uniform(-12, 18, 2)])
    return DetectorSettings(
        photons=float(np.exp(rng.uniform(*np.log(r.photons)))),
        veil=rng.uniform(*r.veil),
        blur=rng.uniform(*r.blur),
        compression=rng.uniform(*r.compression),
        compression_sigma=rng.uniform(*r.compression_sigma),
        sharpening=rng.uniform(*r.sharpening),
        spread=rng.uniform(*r.spread),
        brightness=rng.uniform(*r.brightness),
        gamma=rng.uniform(*r.gamma),
        glow=glow,
        glow_width=rng.uniform(6, 15, 4),
        edge=rng.uniform(4, 12, 4) + np.where(rng.uniform(size=4) < 0.8, 0, rng.uniform(0, 10, 4)),
        edge_softness=rng.uniform(1.6, 4, 4),
        glow_profile=np.clip(1 + 0.45 * rng.standard_normal((4, 10)), 0.1, 2.2),
        gain=r.gain,
    )


def expose(
    attenuation: NDArray[np.floating],
    settings: DetectorSettings,
    rng: np.random.Generator,
    *,
    bits: int = 8,
    collimator: Collimator | None = None,
) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """One frame as the display shows it.

    Args:
        attenuation: (H, W) line integrals of attenuation relative to the exposure control's reference.
        rng: draws the quantum noise of this frame.
        bits: 8 or 12.
        collimator: its blades and the display's shutter; None = open beyond the frame.

    Returns:
        (H, W) grey levels, uint8 for 8 bits, uint16 for 12.

    Raises:
        ValueError: bits is neither 8 nor 12.
    """
    if bits not in (8, 12):
        raise ValueError(f"bits = {bits}: give 8 or 12")
    scale = attenuation.shape[0] / 512
    signal = _detect(np.asarray(attenuation, dtype=np.float32), settings, rng, scale)
    grey = _display(signal, settings, scale)
    grey = _soft_clip(_collimate(grey, settings))
    grey = grey if collimator is None else collimator.draw(grey)
    top = 255 if bits == 8 else 4095
    levels = np.rint(np.clip(grey * np.float32(top / 255), 0, top))
    return levels.astype(np.uint8) if bits == 8 else levels.astype(np.uint16)


def _detect(attenuation: Image, settings: DetectorSettings, rng: np.random.Generator, scale: float) -> Image:
    """(H, W) detector signal, 1 at mean exposure."""
    size = attenuation.shape[0]
    primary = np.exp(-attenuation)
    primary /= primary.mean()
    small = resize(primary, max(16, size // 8))
    veil = resize(blur(small, 6 * small.shape[0] / 64), size)
    signal = np.float32(1 - settings.veil) * primary + np.float32(settings.veil) * veil
    signal = blur(signal, max(0.4, settings.blur * scale))
    white = rng.standard_normal(signal.shape, dtype=np.float32)
    # Quanta spread over neighbouring pixels (scintillator, zoom), electronic noise does not.
    correlated = blur(white, 0.75 * max(scale, 0.7))
    correlated /= correlated.std()
    quanta = np.float32(settings.photons / scale**2)
    signal += np.sqrt(np.maximum(signal, 1e-3) / quanta) * (correlated + np.float32(0.18) * white)
    return np.maximum(signal, np.float32(1e-3))


def _display(signal: Image, settings: DetectorSettings, scale: float) -> Image:
    """(H, W) grey levels on the scale of 255, not yet clipped."""
    size = signal.shape[0]
    picture = np.log(signal)
    low = resize(blur(resize(picture, 64), settings.compression_sigma / 8), size, cubic=True)
    picture -= np.float32(settings.compression) * low
    if settings.sharpening > 0.02:
        picture += np.float32(settings.sharpening) * (picture - blur(picture, 2.5 * scale))
    border = size // 16
    sample = picture[border : size - border : 4, border : size - border : 4]
    p5, p50, p95 = np.percentile(sample, [5, 50, 95])
    gain = np.clip(settings.spread / max(p95 - p5, 1e-6), *settings.gain)
    grey = (picture - np.float32(p50)) * np.float32(gain)
    grey *= np.where(grey > 0, np.float32(0.98), np.float32(1.12))
    grey += np.float32(settings.brightness)
    if settings.gamma != 1:
        grey = np.float32(255) * np.clip(grey / 255, 0, None) ** np.float32(settings.gamma)
    return np.asarray(grey, dtype=np.float32)


def _collimate(grey: Image, settings: DetectorSettings) -> Image:
    """Add the bright zones at the edges and cut the field off at the collimator."""
    size = grey.shape[0]
    distance = np.arange(size) * 512 / size
    glow = np.zeros((size, size), dtype=np.float32)
    field = np.ones((size, size), dtype=np.float32)
    for side in range(4):
        ramp = settings.glow[side] * np.exp(-np.clip(distance - settings.edge[side], 0, None) / settings.glow_width[side])
        open_part = 1 / (1 + np.exp(-(distance - 0.35 * settings.edge[side]) / settings.edge_softness[side]))
        along = np.interp(np.linspace(0, 9, size), np.arange(10), settings.glow_profile[side])
        along = blur(along[:, None], size / 40)[:, 0] if size > 40 else along
        ramp, open_part = (ramp[::-1], open_part[::-1]) if side % 2 else (ramp, open_part)
        if side < 2:
            glow += np.outer(along, ramp).astype(np.float32)
            field *= open_part[None].astype(np.float32)
        else:
            glow += np.outer(ramp, along).astype(np.float32)
            field *= open_part[:, None].astype(np.float32)
    return np.asarray((grey + glow) * field + 12 * (1 - field), dtype=np.float32)


def _soft_clip(grey: Image) -> Image:
    """Shoulder and toe: grey levels near white and black are compressed, not cut."""
    high, low = grey > 205, grey < 80
    grey[high] = 205 + 50 * np.tanh((grey[high] - 205) / 50)
    grey[low] = 80 - 56 * np.tanh((80 - grey[low]) / 56)
    return grey
