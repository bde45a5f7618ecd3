"""Heads: from the features of a frame to the visibility, the place and the group presence of its keypoints.

Hard parameter sharing as in the paper: the backbone is common, every group of points has a head of its own with its own hidden
layer, so a group can be added without touching the others. ``GroupedRegressionHead`` is the paper's network: global average
pooling and fully connected layers. ``GroupedHeatmapHead`` keeps the spatial map, which places points several times more exactly:
a light feature pyramid (Lin 2017, arXiv:1612.03144) to stride 4, one convolutional head per group, one heat map per point. A heat
map's peak alone would confuse presence with localisation (ProbPose, arXiv:2412.02254), so visibility has its own branch. Two
more maps, in training only, may tell where the aortic root and its boundary are: what BAMNet calls boundary guidance.

Both give the output tensor of :mod:`monai_tavr.codec`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from monai_tavr.codec import NUM_ROOT_MAPS, decode_heatmap

__all__ = ["ROOT_HEAD", "FeaturePyramid", "GlobalContext", "GroupedHeatmapHead", "GroupedRegressionHead"]

ROOT_HEAD = "root."  # prefix, in the head, of what serves training only
_FRESH = (
    ROOT_HEAD,
    "pyramid.context.",
)  # may be missing in weights: the first serves training, the second starts by doing nothing


class GroupedRegressionHead(nn.Module):
    """The paper's head: pooled features -> per group one hidden layer -> visibility and normalised coordinates; group presence.

    Args:
        channels: channels of the backbone's last feature map.
        group_sizes: number of points of each group.
        hidden: width of each group's hidden layer.
    """

    def __init__(self, channels: int, group_sizes: Sequence[int], *, hidden: int = 256) -> None:
        super().__init__()
        self.group_sizes = [int(size) for size in group_sizes]
        self.groups = nn.ModuleList(_RegressionGroup(channels, size, hidden) for size in self.group_sizes)
        self.presence = nn.Linear(channels, len(group_sizes))

    def set_mean_shape(self, xy: Tensor) -> None:
        """Start from a mean shape: the coordinates' bias becomes ``xy``.

        Args:
            xy: (K, 2) normalised (x, y); a NaN row keeps its bias.

        Raises:
            ValueError: the shape does not fit the schema.
        """
        if xy.shape != (sum(self.group_sizes), 2):
            raise ValueError(f"the mean shape must be ({sum(self.group_sizes)}, 2), got {tuple(xy.shape)}")
        biases = [bias for name, bias in self.groups.named_parameters() if name.endswith("coordinates.bias")]
        with torch.no_grad():
            for bias, part in zip(biases, xy.split(self.group_sizes), strict=True):
                new = part.reshape(-1).to(bias)
                bias.copy_(torch.where(new.isfinite(), new, bias))

    def forward(self, features: list[Tensor]) -> Tensor:
        """Output of the network; see :mod:`monai_tavr.codec`.

        Args:
            features: [C2, C3, C4, C5], each (B, channels, h, w): the features that the backbone found.

        Returns:
            (B, K+G, 4): normalised x and y, logit of visibility, 0.
        """
        pooled = features[-1].mean(dim=(2, 3))
        rows = [group(pooled) for group in self.groups]
        presence = self.presence(pooled).float()
        rows.append(_group_rows(presence))
        return torch.cat(rows, dim=1)


class _RegressionGroup(nn.Module):
    def __init__(self, channels: int, num_keypoints: int, hidden: int) -> None:
        super().__init__()
        self.hidden = nn.Sequential(nn.Linear(channels, hidden), nn.ReLU(inplace=True))
        self.visibility = nn.Linear(hidden, num_keypoints)
        self.coordinates = nn.Linear(hidden, 2 * num_keypoints)
        # all points start at the image's centre, or at the mean shape once that is set
        nn.init.normal_(self.coordinates.weight, std=1e-3)
        nn.init.constant_(self.coordinates.bias, 0.5)

    def forward(self, pooled: Tensor) -> Tensor:
        hidden = self.hidden(pooled)
        visibility = self.visibility(hidden).float()[:, :, None]
        coordinates = self.coordinates(hidden).float().reshape(hidden.shape[0], -1, 2)
        return torch.cat([coordinates, visibility, torch.zeros_like(visibility)], dim=2)


def _group_rows(presence: Tensor) -> Tensor:
    """(B, G) logits -> (B, G, 4)."""
    zero = torch.zeros_like(presence)
    return torch.stack([zero, zero, presence, zero], dim=2)


def _conv_block(channels_in: int, channels_out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, kernel_size=3, padding=1, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(inplace=True),
    )


class GlobalContext(nn.Module):
    """What lies far away, added to a coarse map: at stride 32 a window of 13 cells spans 416 pixels, most of a frame.

    A depthwise convolution with a large window (as in ConvNeXt, arXiv:2201.03545) costs little there. The last layer starts at
    zero, so that a trained network does not change when it is given one.

    Args:
        width: channels of the map.
        window: side of the window in cells, odd.
    """

    def __init__(self, width: int, *, window: int = 13) -> None:
        super().__init__()
        self.gather = nn.Conv2d(width, width, kernel_size=window, padding=window // 2, groups=width, bias=False)
        self.norm = nn.BatchNorm2d(width)
        self.widen = nn.Conv2d(width, 2 * width, kernel_size=1)
        self.narrow = nn.Conv2d(2 * width, width, kernel_size=1)
        nn.init.zeros_(self.narrow.weight)
        nn.init.zeros_(self.narrow.bias)  # type: ignore[arg-type]

    def forward(self, features: Tensor) -> Tensor:
        """``features`` (B, width, h, w) to a map of features of the same shape."""
        return features + self.narrow(F.relu(self.widen(self.norm(self.gather(features)))))


class FeaturePyramid(nn.Module):
    """Top-down path from C5 to a map of stride 4; each level is merged by addition and smoothed.

    Args:
        channels: channels of C2, C3, C4, C5.
        width: channels of the result.
        context: look around with a :class:`GlobalContext` on the coarsest level.
    """

    def __init__(self, channels: Sequence[int], *, width: int = 64, context: bool = False) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(nn.Conv2d(c, width, kernel_size=1) for c in reversed(channels))
        self.smooth = nn.ModuleList(_conv_block(width, width) for _ in channels)
        self.context: nn.Module = GlobalContext(width) if context else nn.Identity()

    def forward(self, features: list[Tensor]) -> Tensor:
        """``features`` [C2, C3, C4, C5], each (B, channels, h, w), to a map of features (B, width, H/4, W/4)."""
        level = len(features) - 1
        merged = features[level]
        for i, (lateral, smooth) in enumerate(zip(self.lateral, self.smooth)):  # noqa: B905 - TorchScript knows no strict
            side = lateral(features[level - i])
            merged = smooth(self.context(side) if i == 0 else side + F.interpolate(merged, size=side.shape[-2:], mode="nearest"))
        return merged


class GroupedHeatmapHead(nn.Module):
    """Feature pyramid -> per group a convolution, K heat maps, visibility of the points and presence of the group.

    Args:
        channels: channels of C2, C3, C4, C5.
        group_sizes: number of points of each group.
        width: channels of the pyramid and of each group's map.
        context: see :class:`FeaturePyramid`.
        root_maps: tell in training where the aortic root and its boundary are. Weights with and without that fit either way.
    """

    def __init__(
        self,
        channels: Sequence[int],
        group_sizes: Sequence[int],
        *,
        width: int = 64,
        context: bool = False,
        root_maps: bool = False,
    ) -> None:
        super().__init__()
        self.pyramid = FeaturePyramid(channels, width=width, context=context)
        self.context = nn.Sequential(nn.Linear(channels[-1], width), nn.ReLU(inplace=True))
        self.groups = nn.ModuleList(_HeatmapGroup(width, size) for size in group_sizes)
        self.root = nn.Conv2d(width, NUM_ROOT_MAPS, kernel_size=1) if root_maps else None

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        own = self.state_dict(prefix=prefix)
        if self.root is None:
            for name in [name for name in state_dict if name.startswith(prefix + ROOT_HEAD)]:
                del state_dict[name]
        for name in own:
            if name.startswith(tuple(prefix + part for part in _FRESH)):
                state_dict.setdefault(name, own[name])
        super()._load_from_state_dict(state_dict, prefix, *args)

    def forward(self, features: list[Tensor]) -> Tensor:
        """Output of the network; see :mod:`monai_tavr.codec`.

        Args:
            features: [C2, C3, C4, C5], each (B, channels, h, w): the features that the backbone found.

        Returns:
            (B, K+G, 4), in training mode (B, K+G, 4 + h*w): normalised x and y, logit of visibility, spread, logits of the cells.
            With root maps there are two more rows in training mode, the root's and its boundary's logits of the cells.
        """
        fine = self.pyramid(features)
        context = self.context(features[-1].mean(dim=(2, 3)))
        rows: list[Tensor] = []
        maps: list[Tensor] = []
        presence: list[Tensor] = []
        for group in self.groups:
            row, present, logits = group(fine, context)
            rows.append(row)
            presence.append(present)
            maps.append(logits)
        groups = _group_rows(torch.cat(presence, dim=1))
        rows.append(groups)
        output = torch.cat(rows, dim=1)
        if self.training:
            heat = torch.cat(maps, dim=1).flatten(2)
            empty = torch.zeros(groups.shape[0], groups.shape[1], heat.shape[2], dtype=heat.dtype, device=heat.device)
            output = torch.cat([output, torch.cat([heat, empty], dim=1)], dim=2)
            if self.root is not None:
                root = self.root(fine).float().flatten(2)
                output = torch.cat([output, torch.cat([torch.zeros_like(root[:, :, :4]), root], dim=2)], dim=1)
        return output


class _HeatmapGroup(nn.Module):
    """One group: its own convolution, a heat map per point, and a visibility branch.

    Visibility sees the pooled map, the frame's context, the features under the heat map, and how sharp and how wide that is. No
    gradient flows back into the heat map from there, so that an absent point does not blur the location of a visible one.
    """

    def __init__(self, width: int, num_keypoints: int) -> None:
        super().__init__()
        self.hidden = _conv_block(width, width)
        self.heat = nn.Conv2d(width, num_keypoints, kernel_size=1)
        self.evidence = nn.Sequential(nn.Linear(4 * width + 2, width), nn.ReLU(inplace=True))
        self.visibility = nn.Parameter(torch.empty(num_keypoints, width))
        self.visibility_bias = nn.Parameter(torch.zeros(num_keypoints))
        self.presence = nn.Linear(4 * width, 1)
        nn.init.normal_(self.heat.weight, std=0.01)
        nn.init.zeros_(self.heat.bias)  # type: ignore[arg-type]
        nn.init.normal_(self.visibility, std=width**-0.5)

    def forward(self, fine: Tensor, context: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, C, h, w), (B, C) -> points (B, K, 4), presence (B, 1), heat-map logits (B, K, h, w)."""
        hidden = self.hidden(fine)
        logits = self.heat(hidden).float()
        xy, spread = decode_heatmap(logits)
        highest = F.adaptive_max_pool2d(hidden, 1).flatten(1)  # amax is as fast forwards and many times slower backwards
        shared = torch.cat([hidden.mean(dim=(2, 3)), highest, context], dim=1)
        evidence = self.evidence(self._look(hidden, shared, logits.detach(), spread))
        visibility = ((evidence * self.visibility).sum(dim=2) + self.visibility_bias).float()
        presence = self.presence(torch.cat([shared, evidence.amax(dim=1)], dim=1)).float()
        return torch.cat([xy, visibility[:, :, None], spread[:, :, None]], dim=2), presence, logits

    def _look(self, hidden: Tensor, shared: Tensor, logits: Tensor, spread: Tensor) -> Tensor:
        """(B, K, 4C + 2): what is known of each point's presence."""
        attention = torch.softmax(logits.flatten(2), dim=2)
        attended = attention.to(hidden.dtype) @ hidden.permute(0, 2, 3, 1).flatten(1, 2)
        height = attention.amax(dim=2).clamp(min=1e-6).log()
        shape = torch.stack([0.25 * height, 10.0 * spread], dim=2)
        common = shared[:, None, :].expand(-1, attended.shape[1], -1)
        return torch.cat([attended, common.to(attended.dtype), shape.to(attended.dtype)], dim=2)
