"""How near phantom frames are to real ones: grey-level percentiles, energy per band of scales, slope of the spectrum.

The reference figures are means over real survey, positioning and follow-up frames at 512 x 512 pixels, 8 bits. They say nothing
of shapes: equal figures are necessary for realism, not enough. The spread from frame to frame counts as much as the mean: rooms,
machines and patients differ. ``python -m monai_tavr.phantom.realism DIR`` prints the figures of the cines in a folder beside
those references, and with ``--real FOLDER`` beside those of real frames of yours.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from monai_tavr.dicom import find_cines, open_cine
from monai_tavr.phantom.texture import blur

__all__ = [
    "BAND_SIGMAS",
    "PERCENTILES",
    "REAL",
    "FrameStatistics",
    "frame_statistics",
    "frames_of_folder",
    "summarise",
    "table",
]

PERCENTILES = (1, 5, 25, 50, 75, 95, 99)
BAND_SIGMAS = (1, 2, 4, 8, 16, 32)
_SIZE = 512
_BORDER = 48  # the collimator and the glow beside it are no tissue


@dataclass(frozen=True)
class FrameStatistics:
    """Figures of frames at 512 pixels, grey levels 0..255.

    Attributes:
        percentiles: grey levels at `PERCENTILES` of the whole frame.
        bands: standard deviation of the frame's inner part between Gaussian sigma s and 2 s, for s in `BAND_SIGMAS` pixels.
        spectrum_slope: exponent of power over frequency between 4 and 96 cycles per 384 pixels.
    """

    percentiles: tuple[float, ...]
    bands: tuple[float, ...]
    spectrum_slope: float


REAL = FrameStatistics(
    percentiles=(53.0, 75.0, 105.0, 132.0, 152.0, 194.0, 226.0), bands=(2.3, 3.3, 4.0, 4.3, 5.0, 6.8), spectrum_slope=-3.0
)


def frame_statistics(frame: NDArray[np.generic]) -> FrameStatistics:
    """Figures of one ``frame`` (H, W) of grey levels: uint8, or uint16 with 12 bits; other sizes are brought to 512."""
    grey = frame.astype(np.float32) * (255 / 4095 if frame.dtype == np.uint16 else 1)
    if grey.shape != (_SIZE, _SIZE):
        grey = cv2.resize(grey, (_SIZE, _SIZE), interpolation=cv2.INTER_AREA)
    inner = slice(_BORDER, _SIZE - _BORDER)
    bands = [float((blur(grey, s) - blur(grey, 2 * s))[inner, inner].std()) for s in BAND_SIGMAS]
    return FrameStatistics(
        percentiles=tuple(float(p) for p in np.percentile(grey, PERCENTILES)),
        bands=tuple(bands),
        spectrum_slope=_spectrum_slope(grey[64:448, 64:448]),
    )


def _spectrum_slope(patch: NDArray[np.float32]) -> float:
    """Slope of log power over log radial frequency of a square patch (N, N)."""
    n = len(patch)
    window = np.hanning(n)
    power = np.abs(np.fft.fft2((patch - patch.mean()) * window[:, None] * window)) ** 2
    frequency = np.fft.fftfreq(n, 1 / n)
    ring = np.hypot(frequency[:, None], frequency).astype(int).ravel()
    radial = np.bincount(ring, power.ravel()) / np.maximum(np.bincount(ring), 1)
    k = np.arange(4, 96)
    return float(np.polyfit(np.log(k), np.log(radial[k]), 1)[0])


def summarise(frames: Iterable[NDArray[np.generic]]) -> tuple[FrameStatistics, FrameStatistics]:
    """Mean and standard deviation of the figures over ``frames``, each (H, W) of grey levels. Raises ValueError without any."""
    all_statistics = [frame_statistics(frame) for frame in frames]
    if not all_statistics:
        raise ValueError("no frames to compute statistics of: give at least one")
    percentiles, bands, slopes = (
        np.array([getattr(s, name) for s in all_statistics]) for name in ("percentiles", "bands", "spectrum_slope")
    )

    def over_frames(how: Callable[..., Any]) -> FrameStatistics:
        return FrameStatistics(tuple(how(percentiles, axis=0).tolist()), tuple(how(bands, axis=0).tolist()), float(how(slopes)))

    return over_frames(np.mean), over_frames(np.std)


def frames_of_folder(folder: Path, *, cines: int = 40) -> Iterator[NDArray[np.generic]]:
    """The middle frame (H, W) of evenly chosen cines below a folder: grey levels as :func:`frame_statistics` takes them."""
    paths = find_cines([folder])
    for i in np.unique(np.linspace(0, len(paths) - 1, min(cines, len(paths))).astype(int)):
        cine = open_cine(paths[i], voi=False)
        full = 2.0 ** (cine.info.bits_stored or 8) - 1
        grey = cine.frame(len(cine) // 2) / full
        yield np.rint(grey * 4095).astype(np.uint16)


def table(found: FrameStatistics, real: FrameStatistics = REAL) -> str:
    """The figures of frames beside those of real ones, one per line."""
    lines = [f"{'':16}{'found':>8}{'real':>8}{'differs':>9}"]
    names = [f"percentile {p}" for p in PERCENTILES] + [f"band {s}-{2 * s} px" for s in BAND_SIGMAS]
    values = zip((*found.percentiles, *found.bands), (*real.percentiles, *real.bands), strict=True)
    lines += [
        f"{name:16}{a:8.1f}{b:8.1f}" + (f"{a / b - 1:+9.0%}" if b else f"{'':9}")
        for name, (a, b) in zip(names, values, strict=True)
    ]
    return "\n".join([*lines, f"{'spectrum slope':16}{found.spectrum_slope:8.2f}{real.spectrum_slope:8.2f}"])


def _compare(folder: Path, real: Path | None, cines: int) -> str:
    mean, spread = summarise(frames_of_folder(folder, cines=cines))
    if real is None:
        return table(mean)
    real_mean, real_spread = summarise(frames_of_folder(real, cines=cines))
    parts = ["mean over frames", table(mean, real_mean), "", "standard deviation from frame to frame", table(spread, real_spread)]
    return "\n".join(parts)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Compare the frames of a folder with real ones.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--real", type=Path, metavar="FOLDER", help="real frames to compare with (default: the built-in figures)")
    parser.add_argument("--cines", type=int, default=40, help="number of cines to look at per folder (default: %(default)s)")
    arguments = parser.parse_args()
    print(_compare(arguments.folder, arguments.real, arguments.cines))
