"""Forward passes for MONAI's engines: in bfloat16 on any device, and of a network of single frames over whole cines."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from monai.inferers import SimpleInferer
from torch import Tensor

__all__ = ["AutocastInferer", "CineInferer"]


class AutocastInferer(SimpleInferer):
    """Forward pass under autocast: ``inputs`` (B, C, h, w), normalised grey levels, to the network's (B, K + G, 4) float32.

    MONAI's trainers autocast on CUDA only.

    Args:
        device: where the network is.
        enabled: False = full precision.
        dtype: of the convolutions.
    """

    def __init__(self, device: str | torch.device = "cpu", *, enabled: bool = True, dtype: torch.dtype = torch.bfloat16) -> None:
        super().__init__()
        self.device_type, self.enabled, self.dtype = torch.device(device).type, enabled, dtype

    def __call__(self, inputs: Tensor, network: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Tensor:
        plain = inputs.as_subclass(Tensor)  # meta data would be carried through every layer
        with torch.autocast(self.device_type, dtype=self.dtype, enabled=self.enabled):
            output = network(plain, *args, **kwargs)
        return output.float()


class CineInferer(AutocastInferer):
    """Runs a network of single frames over cines: ``inputs`` (B, F, h, w), normalised grey levels, to (B, F, K + G, 4).

    Args:
        device: where the network is.
        batch_size: frames per forward pass.
        enabled: see :class:`AutocastInferer`.
        dtype: see :class:`AutocastInferer`.

    Raises:
        ValueError: ``batch_size`` is below 1.
    """

    def __init__(
        self,
        device: str | torch.device = "cpu",
        *,
        batch_size: int = 8,
        enabled: bool = False,
        dtype: torch.dtype = torch.bfloat16,
    ) -> None:
        super().__init__(device, enabled=enabled, dtype=dtype)
        if batch_size < 1:
            raise ValueError(f"batch_size is at least one frame, got {batch_size}")
        self.batch_size = batch_size

    def __call__(self, inputs: Tensor, network: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Tensor:
        batches = inputs.as_subclass(Tensor).flatten(0, 1)[:, None].split(self.batch_size)
        outputs = [super(CineInferer, self).__call__(b, network, *args, **kwargs) for b in batches]
        return torch.cat(outputs).unflatten(0, inputs.shape[:2])
