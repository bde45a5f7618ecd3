"""Keypoints <-> tensors: the target a network learns from, the output it gives, and the heat map between them.

Encoding and decoding live in this one file, for half-pixel errors are born where they are apart. One convention holds throughout:
a coordinate is normalised by ``x_norm = (x_pixel + 0.5) / W``, so 0 and 1 are the image's outer edges whatever its size, and the
cell ``j`` of a heat map of width ``w`` has its centre at ``x_norm = (j + 0.5) / w``.

Output of every network: (B, K+G, 4), rows = K points then G groups, columns ``X``, ``Y``, ``VISIBILITY`` (logit), ``SPREAD``
(standard deviation of the location in units of the image's side; 0 where there is no heat map). In training mode the network with
heat maps appends its h*w spatial logits to each row, and may append rows whose logits tell where the aortic root and its boundary
are. Target: (B, K+G, 3), columns ``X``, ``Y``, ``STATE``.

Sub-pixel decoding: the mean of a window around the peak (local soft-argmax: Nibali 2018, arXiv:1801.07372), made unbiased where
the window cuts the peak by one Newton step on the logarithm of the heat map (as in DARK: Zhang 2020, arXiv:1910.06278).
"""

from __future__ import annotations

import os
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from monai_tavr.keypoints import KeypointSchema, KeypointState, load_schema

__all__ = [
    "NUM_COLUMNS",
    "NUM_ROOT_MAPS",
    "SPREAD",
    "STATE",
    "VISIBILITY",
    "Decoded",
    "KeypointCodec",
    "X",
    "Y",
    "decode_heatmap",
    "encode_heatmap",
]

X, Y, VISIBILITY, SPREAD = 0, 1, 2, 3  # columns of a network's output
NUM_COLUMNS = 4
NUM_ROOT_MAPS = 2  # rows of the aortic root, in training only: its region, its boundary
STATE = 2  # column of a target that holds a KeypointState


class Decoded(NamedTuple):
    """What a network says of B frames.

    Attributes:
        xy: (B, K, 2) float32, (x, y) in pixels of the network's input, 0 = centre of the first pixel; given for every point,
            visible or not.
        probability: (B, K) float32 in [0, 1], that the point is visible.
        group_probability: (B, G) float32 in [0, 1], that the group is present.
        spread: (B, K) float32, standard deviation of the location in pixels of the network's input.
    """

    xy: Tensor
    probability: Tensor
    group_probability: Tensor
    spread: Tensor


class KeypointCodec:
    """Encodes the keypoints of a frame as a target tensor and decodes a network's output.

    Args:
        schema: packaged name, path of a YAML file, or a schema.
        image_size: (H, W) of the network's input in pixels.

    Raises:
        ValueError: the size is not two positive numbers.
    """

    def __init__(
        self, schema: str | os.PathLike[str] | KeypointSchema = "tavr11", *, image_size: tuple[int, int] = (256, 256)
    ) -> None:
        self.schema = load_schema(schema)
        if len(image_size) != 2 or min(image_size) < 1:
            raise ValueError(f"image_size must be (height, width) in pixels, got {image_size!r}")
        self.image_size = (int(image_size[0]), int(image_size[1]))

    def encode(self, xy: np.ndarray | Tensor, state: np.ndarray | Tensor) -> Tensor:
        """Target of one frame.

        Args:
            xy: (K, 2), (x, y) in pixels of the network's input; NaN or anything where the point is not visible.
            state: (K,) of :class:`KeypointState` values.

        Returns:
            (K+G, 3) float32: x_norm, y_norm, state; x and y are 0 where not visible. A group is visible if any of its points
            is, absent if all are absent, else unlabelled.

        Raises:
            ValueError: shapes do not fit the schema, a state is unknown, or a visible point has no coordinates.
        """
        k = self.schema.num_keypoints
        # copies: keypoints are read-only arrays, which tensors must not share
        points = torch.from_numpy(np.array(xy, dtype=np.float64))
        states = torch.from_numpy(np.array(state, dtype=np.int64))
        if points.shape != (k, 2) or states.shape != (k,):
            got = f"{tuple(points.shape)} and {tuple(states.shape)}"
            raise ValueError(f"schema {self.schema.name!r} needs xy ({k}, 2) and state ({k},), got {got}")
        if int(states.min()) < KeypointState.UNLABELLED or int(states.max()) > KeypointState.VISIBLE:
            raise ValueError(f"states must be -1 (unlabelled), 0 (absent) or 1 (visible), got {states.tolist()}")
        visible = states == KeypointState.VISIBLE
        lost = visible & ~torch.isfinite(points).all(dim=1)
        if bool(lost.any()):
            raise ValueError(f"point {self.schema.names[int(lost.int().argmax())]!r} is visible but has no coordinates")
        size = torch.tensor([self.image_size[1], self.image_size[0]], dtype=torch.float64)
        normalised = torch.where(visible[:, None], (points + 0.5) / size, torch.zeros_like(points))
        target = torch.zeros(k + self.schema.num_groups, 3, dtype=torch.float32)
        target[:k, :2] = normalised.float()
        target[:k, STATE] = states.float()
        target[k:, STATE] = self._group_state(states)
        return target

    def _group_state(self, states: Tensor) -> Tensor:
        index = self.schema.group_index
        members = [states[torch.as_tensor(index == g)] for g in range(self.schema.num_groups)]
        # the greatest state decides (visible > absent > unlabelled), except that one unlabelled point leaves an absence open
        decided = [m.max() if m.max() == KeypointState.VISIBLE else m.min() for m in members]
        return torch.stack(decided).float()

    def decode(self, output: Tensor) -> Decoded:
        """What the output says, in pixels of the network's input.

        Args:
            output: (B, K+G, 4) or, in training mode, (B, K+G, 4 + h*w): normalised x and y, logit of visibility, spread.

        Raises:
            ValueError: the number of rows or columns does not fit the schema.
        """
        k, rows = self.schema.num_keypoints, self.schema.num_keypoints + self.schema.num_groups
        if output.ndim != 3 or output.shape[1] != rows or output.shape[2] < NUM_COLUMNS:
            raise ValueError(
                f"schema {self.schema.name!r} needs an output of shape (B, {rows}, {NUM_COLUMNS}), got {tuple(output.shape)}"
            )
        output = output.detach().float()
        height, width = self.image_size
        size = output.new_tensor([width, height])
        probability = torch.sigmoid(output[..., VISIBILITY])
        return Decoded(
            xy=output[:, :k, X : Y + 1] * size - 0.5,
            probability=probability[:, :k],
            group_probability=probability[:, k:],
            spread=output[:, :k, SPREAD] * (height * width) ** 0.5,
        )


def encode_heatmap(xy: Tensor, size: tuple[int, int], sigma: float) -> Tensor:
    """Gaussians, sampled at the cells' centres at sub-cell positions, each summing to one.

    Args:
        xy: (N, 2) normalised (x, y).
        size: (h, w) of the heat map in cells.
        sigma: standard deviation in cells.

    Returns:
        (N, h, w) float32, shares of one.
    """
    h, w = size
    xy = xy.float()
    columns = torch.arange(w, device=xy.device, dtype=torch.float32)
    rows = torch.arange(h, device=xy.device, dtype=torch.float32)
    along_x = torch.softmax((columns - (xy[:, :1] * w - 0.5)).square() * (-0.5 / sigma**2), dim=-1)
    along_y = torch.softmax((rows - (xy[:, 1:] * h - 0.5)).square() * (-0.5 / sigma**2), dim=-1)
    return along_y[:, :, None] * along_x[:, None, :]


def decode_heatmap(logits: Tensor, radius: int = 4) -> tuple[Tensor, Tensor]:
    """Location and spread of each heat map; tensors only, so it works in TorchScript and ONNX.

    The mean over a window around the peak is pulled inwards where the window or the map's border cuts the peak. For a Gaussian
    the mean slope of the logits over the same window is ``(centre - mean) / sigma^2`` and their mean curvature ``1 / sigma^2``:
    slope over curvature is exactly what is missing. It vanishes where nothing is cut, and no gradient goes through it.

    Args:
        logits: (B, K, h, w) logits of a spatial softmax, h and w at least 3.
        radius: half size of the window in cells.

    Returns:
        xy (B, K, 2) normalised, within the image; spread (B, K), standard deviation of the whole map in units of the image's side
        (it contains the width of the Gaussians that the network was taught with, and grows when the map has a second peak).
    """
    logits = logits.float()
    h, w = logits.shape[-2], logits.shape[-1]
    peak = logits.detach().flatten(2).argmax(dim=-1)
    peak_row = torch.div(peak, w, rounding_mode="floor")
    peak_column = peak - peak_row * w
    # slope and curvature need both neighbours: the window lies on the inner cells
    rows = torch.arange(1, h - 1, device=logits.device)
    columns = torch.arange(1, w - 1, device=logits.device)
    inner = logits[:, :, 1:-1, 1:-1]
    # on a broad ridge noise decides which cell is the peak: the window moves to the mean around it, which hardly changes
    first = _window_weights(inner.detach(), rows - peak_row[:, :, None], columns - peak_column[:, :, None], radius)
    middle_column = (first.sum(dim=2) * columns).sum(dim=-1, keepdim=True).round()
    middle_row = (first.sum(dim=3) * rows).sum(dim=-1, keepdim=True).round()
    weight = _window_weights(inner, rows - middle_row, columns - middle_column, radius)
    x = (weight.sum(dim=2) * columns).sum(dim=-1)
    y = (weight.sum(dim=3) * rows).sum(dim=-1)

    fixed, sure = logits.detach(), weight.detach()
    x = x + _newton_step(fixed[:, :, 1:-1, :-2], inner.detach(), fixed[:, :, 1:-1, 2:], sure, radius)
    y = y + _newton_step(fixed[:, :, :-2, 1:-1], inner.detach(), fixed[:, :, 2:, 1:-1], sure, radius)
    xy = torch.stack([((x + 0.5) / w).clamp(0.0, 1.0), ((y + 0.5) / h).clamp(0.0, 1.0)], dim=-1)
    return xy, _spread(fixed)


def _window_weights(inner: Tensor, from_row: Tensor, from_column: Tensor, radius: int) -> Tensor:
    """(B, K, h, w) softmax over the cells at most ``radius`` from the middle; distances to it are (B, K, h) and (B, K, w)."""
    window = (from_row.abs() <= radius)[:, :, :, None] & (from_column.abs() <= radius)[:, :, None, :]
    return torch.softmax(inner.masked_fill(~window, -1e9).flatten(2), dim=-1).view_as(inner)


def _newton_step(before: Tensor, here: Tensor, after: Tensor, weight: Tensor, radius: int) -> Tensor:
    """(B, K) cells from the window's mean to the Gaussian's centre along one axis."""
    slope = (weight * (after - before)).sum(dim=(2, 3)) * 0.5
    curvature = (weight * (here + here - after - before)).sum(dim=(2, 3))
    # a map flatter than sigma = 6 cells has no peak to speak of: bound the step
    return (slope / curvature.clamp(min=0.03)).clamp(-float(radius), float(radius))


def _spread(logits: Tensor) -> Tensor:
    """(B, K) root mean square of the standard deviations along x and y, in units of sqrt(h * w) cells."""
    h, w = logits.shape[-2], logits.shape[-1]
    probability = torch.softmax(logits.flatten(2), dim=-1).view_as(logits)
    along_x, along_y = probability.sum(dim=2), probability.sum(dim=3)
    columns = torch.arange(w, device=logits.device, dtype=torch.float32)
    rows = torch.arange(h, device=logits.device, dtype=torch.float32)
    x = (along_x * columns).sum(dim=-1, keepdim=True)
    y = (along_y * rows).sum(dim=-1, keepdim=True)
    variance = (along_x * (columns - x).square()).sum(dim=-1) + (along_y * (rows - y).square()).sum(dim=-1)
    return (0.5 * variance / (h * w)).sqrt()
