"""The network of the project: a shared backbone and one head per group of keypoints.

Paper: "Multilevel Visual Guidance Algorithm for TAVR Based on Grouped Keypoint Structure" (head ``regression``); ``heatmap`` is
this project's spatial variant of the same grouping. The output is ONE tensor: MONAI's bundle checks and TorchScript need that.
"""

from __future__ import annotations

import os

import torch
from torch import Tensor, nn

from monai_tavr.keypoints import KeypointSchema, load_schema
from monai_tavr.networks.backbones import build_backbone, channels_of, deepest_stride
from monai_tavr.networks.heads import GroupedHeatmapHead, GroupedRegressionHead

__all__ = ["GroupedKeypointNet"]


class GroupedKeypointNet(nn.Module):
    """Finds the keypoints of a schema on a frame.

    Args:
        schema: packaged name, path of a YAML file, or a schema: it decides the heads and their sizes.
        backbone: ``resnet18``, ``resnet34``, ``resnet50``, ``efficientnet-b7`` or ``vgg16``; or any module that gives feature
            maps and says their channels, by ``_target_`` in a configuration (see
            :func:`monai_tavr.networks.backbones.build_backbone`).
        head: ``heatmap`` or ``regression`` (the paper's).
        in_channels: channels of the image, for a backbone by name.
        backbone_weights: path of local ImageNet weights in torchvision's layout, or None to start from scratch.
        width: channels of the heat-map head's pyramid and groups, or of the regression head's hidden layers; None = 64 and 256.
        context: the heat-map head looks around on its coarsest map, see :class:`monai_tavr.networks.heads.GlobalContext`.
        root_maps: the heat-map head learns beside the points where the aortic root is; this changes nothing at inference.

    Raises:
        ValueError: unknown backbone or head, a module that does not say its channels, or weights that do not fit.

    Input: (B, in_channels, H, W); for the heat-map head H and W are multiples of the backbone's deepest stride, mostly 32.
    Output: (B, K+G, 4) as :mod:`monai_tavr.codec` says, float32 under autocast too; in training mode the heat-map head appends
    its spatial logits.
    """

    def __init__(
        self,
        schema: str | os.PathLike[str] | KeypointSchema = "tavr11",
        *,
        backbone: str | nn.Module = "resnet18",
        head: str = "heatmap",
        in_channels: int = 1,
        backbone_weights: str | os.PathLike[str] | None = None,
        width: int | None = None,
        context: bool = False,
        root_maps: bool = False,
    ) -> None:
        super().__init__()
        if head not in ("heatmap", "regression"):
            raise ValueError(f"no head {head!r}: give 'heatmap' or 'regression'")
        if width is not None and width < 1:
            raise ValueError(f"width must be a positive number of channels or None, got {width!r}")
        if head == "regression" and (context or root_maps):
            raise ValueError("context and root_maps belong to head='heatmap': the regression head has no maps")
        self.backbone = build_backbone(backbone, in_channels=in_channels, weights=backbone_weights)
        channels = channels_of(self.backbone)
        self.levels = len(channels)
        sizes = [len(points) for points in load_schema(schema).groups.values()]
        # the pyramid's levels must cover the same area
        self.divisor = deepest_stride(self.backbone) if head == "heatmap" else 1
        self.head: GroupedHeatmapHead | GroupedRegressionHead
        if head == "heatmap":
            self.head = GroupedHeatmapHead(channels, sizes, width=width or 64, context=context, root_maps=root_maps)
        else:
            self.head = GroupedRegressionHead(channels[-1], sizes, hidden=width or 256)

    def forward(self, x: Tensor) -> Tensor:
        """What the network says of B frames.

        Args:
            x: (B, in_channels, H, W) normalised grey levels.

        Returns:
            (B, K+G, 4), in training mode of the heat-map head (B, K+G, 4 + h*w), with root maps two rows more: normalised x and
            y, logit, spread; see :mod:`monai_tavr.codec`.

        Raises:
            ValueError: H or W is no multiple of what the head needs, or the backbone gives other maps than it says.
        """
        return self.forward_with_features(x)[0]

    def forward_with_features(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """As :meth:`forward`, with what the backbone found on the frames: its deepest map, averaged over the frame.

        Args:
            x: (B, in_channels, H, W) normalised grey levels.

        Returns:
            The output, and the features (B, C) float32, C the channels of the backbone's last map.

        Raises:
            ValueError: as :meth:`forward`.
        """
        if not torch.jit.is_tracing() and (x.shape[-2] % self.divisor != 0 or x.shape[-1] % self.divisor != 0):
            raise ValueError(
                f"height and width of the input must be multiples of {self.divisor}, got {x.shape[-2]} x {x.shape[-1]}"
            )
        features = self.backbone(x)
        if len(features) != self.levels:
            raise ValueError(f"the backbone says channels of {self.levels} feature maps, but gives {len(features)}")
        return self.head(features), features[-1].float().mean(dim=(2, 3))

    @torch.jit.unused
    def set_mean_shape(self, xy: Tensor) -> None:
        """Start the regression head from a mean shape; see :class:`GroupedRegressionHead`.

        Args:
            xy: (K, 2) normalised (x, y); NaN = unknown.

        Raises:
            ValueError: the head is another, or the shape does not fit the schema.
        """
        if not isinstance(self.head, GroupedRegressionHead):
            raise ValueError("a heat-map head has no mean shape: only head='regression' starts from one")
        self.head.set_mean_shape(xy)
