"""Which device computes, and in which precision it does so natively."""

from __future__ import annotations

import torch

__all__ = ["bf16_is_fast", "fastest_precision", "select_device"]


def bf16_is_fast(device: str | torch.device) -> bool:
    """Whether the device computes in bfloat16 natively (elsewhere it is emulated, and slower than float32)."""
    if torch.device(device).type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def select_device(device: str | torch.device = "auto") -> torch.device:
    """``auto`` is a CUDA device where there is one, else the CPU. Raises ValueError for one that is not there."""
    if str(device) == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError as error:
        raise ValueError(f"no device {device!r}; give auto, cpu, cuda or cuda:0") from error
    if chosen.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device {device!r} asked for, but PyTorch finds no CUDA device; give auto or cpu")
    return chosen


def fastest_precision(device: torch.device) -> str:
    """bf16 where it is native; elsewhere a CPU would imitate it, slower than fp32."""
    if device.type == "cuda":
        return "bf16"
    native = (getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    return "bf16" if any(supported is not None and supported() for supported in native) else "fp32"
