"""A bundle whose network needs no training: every point lies at the centroid of what is bright, its probability is a weight.

So positions and decisions of a prediction can be worked out by hand.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch

from monai_tavr.bundle import sha256_of
from monai_tavr.keypoints import KeypointSchema, load_schema
from monai_tavr.typicality import Typicality

CONFIG = """
schema: tavr11
image_size: [64, 64]
network_def:
  _target_: tiny_bundle.{network}
  schema: '@schema'
"""


class CentroidNet(torch.nn.Module):
    """(B, 1, h, w) -> (B, K+G, 4): the centroid of the light, visibility logits from the weights, a spread of 0.1."""

    def __init__(self, schema: str | KeypointSchema = "tavr11") -> None:
        super().__init__()
        schema = load_schema(schema)
        self.num_keypoints = schema.num_keypoints
        self.visibility = torch.nn.Parameter(torch.zeros(schema.num_keypoints + schema.num_groups))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        height, width = x.shape[-2:]
        light = x[:, 0] - x.amin(dim=(1, 2, 3), keepdim=True)[:, 0]
        light = light / light.sum(dim=(1, 2), keepdim=True).clamp_min(1e-6)
        output = x.new_zeros(len(x), len(self.visibility), 4)
        output[..., 0] = ((light.sum(1) * torch.arange(width)).sum(1, keepdim=True) + 0.5) / width
        output[..., 1] = ((light.sum(2) * torch.arange(height)).sum(1, keepdim=True) + 0.5) / height
        output[..., 2] = self.visibility
        output[:, : self.num_keypoints, 3] = 0.1
        return output


class FeaturedNet(CentroidNet):
    """The same; what its backbone found is the centroid, (B, 2) in [0, 1]."""

    def forward_with_features(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        output = self(x)
        return output, output[:, 0, :2]


def write_typicality(root: Path) -> Path:
    """Beside the weights of a bundle of FeaturedNet: a frame is typical if its centroid lies in the left half."""
    figures = 2 + 10
    path = root / "models" / "typical.npz"
    Typicality(
        centre=np.zeros(figures),
        scale=np.ones(figures),
        axes=np.eye(1, figures),
        variances=np.ones(1),
        rest=1.0,
        furthest=1e6,
        probes=np.array([[1.0, *[0.0] * (figures - 1), -np.sqrt(0.5)]]),  # figures are square roots
        limits=np.zeros(1),
        weights_sha256=sha256_of(root / "models" / "model.pt"),
    ).write(path)
    return path


def write_bundle(
    root: Path,
    *,
    present: dict[str, float] | None = None,
    groups: dict[str, float] | None = None,
    thresholds: dict[str, float] | None = None,
    spread_floor: float = 0.0,
    schema: str = "tavr11",
    network: type[CentroidNet] = CentroidNet,
) -> Path:
    """A bundle with the given probabilities of points and groups; those not named have 0.99."""
    points = load_schema(schema)
    (root / "configs").mkdir(parents=True)
    (root / "models").mkdir()
    (root / "configs" / "inference.yaml").write_text(CONFIG.format(network=network.__name__))
    (root / "configs" / "metadata.json").write_text(json.dumps({"version": "9.8.7"}))
    made = network(points)
    values = [(present or {}).get(n, 0.99) for n in points.names] + [(groups or {}).get(g, 0.99) for g in points.group_names]
    with torch.no_grad():
        made.visibility.copy_(torch.logit(torch.tensor(values)))
    torch.save(made.state_dict(), root / "models" / "model.pt")
    if thresholds is not None:
        chosen = {"schema": points.name, "thresholds": thresholds, "spread_floor": spread_floor, "selected_on": "nothing"}
        (root / "models" / "thresholds.json").write_text(json.dumps(chosen))
    return root


def bright_square(shape: tuple[int, int], x: float, y: float, half: int = 16) -> np.ndarray:
    """(H, W) uint8, black with a white square centred on (x, y); x and y lie between pixels, e.g. 47.5."""
    frame = np.zeros(shape, np.uint8)
    frame[int(y + 0.5) - half : int(y + 0.5) + half, int(x + 0.5) - half : int(x + 0.5) + half] = 255
    return frame
