"""Another backbone: any of timm's, in place of the five that have a name. Weights start at random; nothing is downloaded.

    python examples/timm_backbone.py

In a configuration (``configs/train.yaml``, ``inference.yaml``, ``evaluate.yaml``) the same is::

    network_def:
      _target_: monai_tavr.networks.GroupedKeypointNet
      schema: '@schema'
      backbone:
        _target_: timm.create_model
        model_name: convnext_atto
        features_only: true
        in_chans: 1

A module of your own says ``channels``, those of its feature maps, finest first.
"""

from __future__ import annotations

import timm
import torch

from monai_tavr.networks import GroupedKeypointNet


def main() -> torch.Tensor:
    """A frame through the network; returns its output (1, K+G, 4), see :mod:`monai_tavr.codec`."""
    backbone = timm.create_model("convnext_atto", features_only=True, in_chans=1)
    network = GroupedKeypointNet("tavr11", backbone=backbone).eval()
    with torch.inference_mode():
        output = network(torch.randn(1, 1, 384, 384))
    millions = sum(p.numel() for p in network.parameters()) / 1e6
    print(f"{millions:.1f} million weights; feature maps of {backbone.feature_info.channels()} channels; {tuple(output.shape)}")
    return output


if __name__ == "__main__":
    main()
