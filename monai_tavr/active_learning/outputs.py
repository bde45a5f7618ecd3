"""What a network says of many frames, as arrays, with the backbone's features: what active learning looks at.

The predictor gives decisions for people; here the backbone runs once and its features are kept beside the points.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from monai_tavr.codec import KeypointCodec
from monai_tavr.postprocess import KeypointPostprocess
from monai_tavr.transforms.framing import FrameFit, prepare_frames

if TYPE_CHECKING:
    from monai_tavr.cine import Cine
    from monai_tavr.predictor import KeypointPredictor

__all__ = ["FrameOutputs", "cine_outputs", "network_outputs"]


@dataclass(frozen=True, eq=False)
class FrameOutputs:
    """N frames. Places are shares of the network input's side (root of its area), so that they compare between cines.

    Attributes:
        xy: (N, K, 2) float32, (x, y) as shares of the side, of every point, reported or not.
        spread: (N, K) float32 standard deviation of the heat map; 0 where there is none.
        probability: (N, K) float32 in [0, 1], that the point is visible.
        group_probability: (N, G) float32 in [0, 1].
        reported: (N, K) bool, the decision.
        features: (N, D) float32, features of the frame: the backbone's last map averaged over the frame.
    """

    xy: np.ndarray
    spread: np.ndarray
    probability: np.ndarray
    group_probability: np.ndarray
    reported: np.ndarray
    features: np.ndarray

    def __len__(self) -> int:
        return len(self.xy)

    @classmethod
    def join(cls, parts: Sequence[FrameOutputs]) -> FrameOutputs:
        """The frames of several parts, one after the other."""
        return cls(**{f.name: np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(cls)})

    def select(self, which: Any) -> FrameOutputs:
        """Some of the frames, by index or mask."""
        return FrameOutputs(**{f.name: getattr(self, f.name)[which] for f in fields(self)})


def network_outputs(network: Any, inputs: Tensor, *, codec: KeypointCodec, rules: KeypointPostprocess) -> FrameOutputs:
    """One forward pass of a network (a module; which parts it has is asked).

    Args:
        network: in evaluation mode. Where it has no ``forward_with_features``, the frame itself in 8 x 8 cells stands for its
            features.
        inputs: (N, 1, h, w) normalised frames.
        codec: for the network's schema and input size.
        rules: that decide which points are reported.
    """
    with torch.inference_mode():
        inputs = inputs.contiguous(memory_format=torch.channels_last)
        if hasattr(network, "forward_with_features"):
            output, features = network.forward_with_features(inputs)
        else:
            output, features = network(inputs), F.adaptive_avg_pool2d(inputs, 8).flatten(1)
        decoded = codec.decode(output.float())
    xy, probability, group_probability, spread = (t.cpu().numpy() for t in decoded)
    side = float(np.sqrt(np.prod(codec.image_size)))
    return FrameOutputs(
        xy=(xy / side).astype(np.float32),
        spread=(spread / side).astype(np.float32),
        probability=probability,
        group_probability=group_probability,
        reported=rules.decide(probability, group_probability),
        features=features.cpu().numpy(),
    )


def cine_outputs(predictor: KeypointPredictor, cine: Cine, frames: Sequence[int]) -> tuple[FrameOutputs, FrameFit]:
    """What the predictor's network says of some frames of a cine, in the order given, a batch at a time.

    Returns:
        The outputs, and where the native frame lies in the network's input.
    """
    codec = KeypointCodec(predictor.schema, image_size=predictor.image_size)
    parts = []
    for start in range(0, len(frames), predictor.batch_size):
        pixels = cine.frames(frames[start : start + predictor.batch_size])
        inputs, fit = prepare_frames(pixels, image_size=predictor.image_size, device=predictor.device)
        parts.append(network_outputs(predictor.network, inputs, codec=codec, rules=predictor.postprocess))
    return FrameOutputs.join(parts), fit
