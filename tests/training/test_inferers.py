"""Precision and order of forward passes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from monai.data import MetaTensor

from monai_tavr.training.inferers import AutocastInferer, CineInferer


def test_autocast_computes_in_bfloat16_and_returns_float32() -> None:
    seen: list[Any] = []

    class Spy(torch.nn.Conv2d):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = super().forward(x)
            seen.append((type(x), y.dtype))
            return y

    x = MetaTensor(torch.rand(1, 1, 4, 4))
    assert AutocastInferer("cpu")(x, Spy(1, 1, 1)).dtype == torch.float32
    AutocastInferer("cpu", enabled=False)(x, Spy(1, 1, 1))
    assert seen == [(torch.Tensor, torch.bfloat16), (torch.Tensor, torch.float32)]


def test_cine_inferer_keeps_frames_apart_and_in_order() -> None:
    sizes = []

    def network(x: torch.Tensor) -> torch.Tensor:
        sizes.append(len(x))
        return x.mean((1, 2, 3))[:, None, None].expand(-1, 14, 4)

    cine = torch.arange(7.0).reshape(1, 7, 1, 1).expand(1, 7, 8, 8)
    output = CineInferer(batch_size=3)(cine, network)
    assert output.shape == (1, 7, 14, 4)
    assert output[0, :, 0, 0].tolist() == list(range(7))
    assert sizes == [3, 3, 1]
    with pytest.raises(ValueError, match="at least one frame, got 0"):
        CineInferer(batch_size=0)
