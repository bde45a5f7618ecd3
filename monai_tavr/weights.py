"""Files of weights: read without running code, and the one rule for which of a checkpoint's networks counts."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["load_weights", "read_weights"]

# in this order: of a training's checkpoint the running mean is what was validated, and what `model.pt` is a copy of
_NETWORKS = ("model", "ema", "network")


def read_weights(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """The state dict in a file: a plain one, or that of a checkpoint's ``model``, else its ``ema``, else its ``network``.

    Raises:
        ValueError: the file cannot be read safely, or holds no state dict; names it.
    """
    file = Path(path)
    try:
        content: Any = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for a file that is no checkpoint
        reason = str(error).partition("\n")[0]
        raise ValueError(f"{file}: not a file of weights that can be read safely: {type(error).__name__}: {reason}") from error
    if isinstance(content, Mapping):
        content = next((content[name] for name in _NETWORKS if isinstance(content.get(name), Mapping)), content)
    if not isinstance(content, Mapping) or not all(isinstance(v, Tensor) for v in content.values()):
        raise ValueError(
            f"{file}: expected a state dict (name -> tensor), or a checkpoint that holds one under {list(_NETWORKS)}, "
            f"got {type(content).__name__}"
        )
    return dict(content)


def load_weights(network: nn.Module, path: str | os.PathLike[str], *, defined_by: str = "network_def") -> None:
    """Give a network the weights of a file, see :func:`read_weights`.

    Args:
        network: changed in place.
        path: the file.
        defined_by: what to correct where they do not fit, for the message.

    Raises:
        ValueError: the file cannot be read, or its weights do not fit; names it.
    """
    state = read_weights(path)
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        words = " ".join(str(error).splitlines()[:2])
        raise ValueError(f"{path}: the weights do not fit the network of {defined_by}: {words}") from error
