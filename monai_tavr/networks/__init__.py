"""Networks: backbones, heads, and the grouped keypoint network made of them."""

from __future__ import annotations

from monai_tavr.networks.grouped import GroupedKeypointNet

__all__ = ["GroupedKeypointNet"]
