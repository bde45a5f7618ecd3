"""How a native frame lies in the network's input: resizing, padding, grey levels, and the way back for points.

Plain tensor functions, shared by the dictionary transforms of training and by the fast path of inference, so that both see one
picture.

Pixel centres lie on whole numbers: resizing by s maps x to (x + 0.5) * s - 0.5, as MONAI and torch (``align_corners=False``) do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

__all__ = ["FrameFit", "fit_frames", "map_points", "normalise", "prepare_frames"]

# grey levels darker and brighter than these quantiles are collimator, markers and hot pixels: they must not set the scale
_QUANTILES = (0.005, 0.995)


def map_points(xy: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """Map points by an image affine. The one place where (x, y) meets (row, column).

    Args:
        xy: (..., 2) points (x, y) in pixels.
        affine: (3, 3) over (row, column) in pixels.

    Returns:
        (..., 2) points (x, y) in pixels of the affine's target.
    """
    return (xy[..., ::-1] @ affine[:2, :2].T + affine[:2, 2])[..., ::-1]


@dataclass(frozen=True)
class FrameFit:
    """How a native frame lies in the network's input: native = network * scale + offset, per axis (x, y), in pixels."""

    scale: tuple[float, float]
    offset: tuple[float, float]

    @property
    def affine(self) -> np.ndarray:
        """(3, 3) float64 over (row, column) in pixels: network input to native."""
        (sx, sy), (ox, oy) = self.scale, self.offset
        return np.array([[sy, 0, oy], [0, sx, ox], [0, 0, 1]], dtype=np.float64)

    def to_native(self, xy: np.ndarray) -> np.ndarray:
        """Points ``xy`` (..., 2) from network-input pixels to native pixels."""
        return np.asarray(xy) * self.scale + self.offset

    def to_network(self, xy: np.ndarray) -> np.ndarray:
        """Points ``xy`` (..., 2) from native pixels to network-input pixels."""
        return (np.asarray(xy) - self.offset) / self.scale


def fit_frames(frames: torch.Tensor, *, image_size: Sequence[int]) -> tuple[torch.Tensor, FrameFit]:
    """Resize with anti-aliasing, keep the aspect, bring grey levels to [0, 1], pad with black.

    Args:
        frames: (C, H, W) float, any grey scale; every channel is a frame of its own.
        image_size: (h, w) of the network's input in pixels.

    Returns:
        (C, h, w) float32 grey levels in [0, 1], and where the native frame lies in it.

    Raises:
        ValueError: ``frames`` is empty or has other than three axes.
    """
    if frames.ndim != 3 or 0 in frames.shape:
        raise ValueError(f"frames must be (C, H, W) and not empty, got shape {tuple(frames.shape)}")
    (height, width), (h, w) = frames.shape[-2:], image_size
    ratio = min(h / height, w / width)
    rows, columns = max(1, round(height * ratio)), max(1, round(width * ratio))
    frames = frames.float()
    if (rows, columns) != (height, width):
        size = (rows, columns)
        frames = F.interpolate(frames[:, None], size=size, mode="bilinear", align_corners=False, antialias=True)[:, 0]
    frames = _unit_range(frames)
    top, left = (h - rows) // 2, (w - columns) // 2
    frames = F.pad(frames, (left, w - columns - left, top, h - rows - top))
    sx, sy = width / columns, height / rows
    return frames, FrameFit((sx, sy), ((0.5 - left) * sx - 0.5, (0.5 - top) * sy - 0.5))


def _unit_range(frames: torch.Tensor) -> torch.Tensor:
    """Robust linear scaling of each frame (C, H, W) to [0, 1]; a frame of one grey level becomes 0."""
    # every fifth pixel is enough for two quantiles, and five shares no factor with usual widths
    sample = frames.flatten(1)[:, :: 5 if frames[0].numel() > 20000 else 1]
    low, high = torch.quantile(sample, torch.tensor(_QUANTILES, device=frames.device), dim=1)[..., None, None]
    return ((frames - low) / (high - low).clamp_min(torch.finfo(torch.float32).tiny)).clamp_(0, 1)


def normalise(frames: torch.Tensor) -> torch.Tensor:
    """Z-score of each of ``frames`` (C, h, w), grey levels, over the whole network input; a frame of one grey level becomes 0."""
    std, mean = torch.std_mean(frames, dim=(-2, -1), keepdim=True, correction=0)
    return (frames - mean) / std.clamp_min(1e-6)


def prepare_frames(
    frames: np.ndarray | torch.Tensor, *, image_size: Sequence[int], device: str | torch.device = "cpu"
) -> tuple[torch.Tensor, FrameFit]:
    """The fast path of inference: the same as the deterministic transforms, for many frames at once and on any device.

    Args:
        frames: (F, H, W) native frames, any grey scale.
        image_size: (h, w) of the network's input in pixels.
        device: where to compute.

    Returns:
        (F, 1, h, w) float32 network input, normalised grey levels, and where the native frame lies in it.
    """
    fitted, fit = fit_frames(torch.as_tensor(frames).to(device), image_size=image_size)
    return normalise(fitted)[:, None], fit
