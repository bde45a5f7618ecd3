"""Which device computes, and in which precision it does so natively."""

from __future__ import annotations

import torch

__all__ = ["bf16_is_fast", "fastest_precision", "select_device"]


def bf16_is_fast(device: str | torch.device) -> bool:
    """Whether the device computes in bfloat16 natively; elsewhere it is imitated, and slower than float32.

    CUDA cards do since Ampere (compute capability 8.0), Intel's and AMD's processors with AVX512-BF16 or AMX.
    """
    device = torch.device(device)
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type != "cpu":
        return False
    # oneDNN's own answer counts processors that convert to float32 and back
    native = (getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    return any(supported is not None and supported() for supported in native)


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


def fastest_precision(device: str | torch.device) -> str:
    """``bf16`` where it is native, else ``fp32``: what the precision ``auto`` means."""
    return "bf16" if bf16_is_fast(device) else "fp32"
