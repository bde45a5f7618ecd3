"""Export of a trained network to TorchScript, checked against the network it came from.

The exported file needs neither this package nor MONAI: decoding to points is part of the graph, the output is the (B, K+G, 4)
tensor of :mod:`monai_tavr.codec`. It carries MONAI's ``metadata.json`` (schema, input size), readable with
``monai.data.torchscript_utils.load_net_with_metadata``.
"""

from __future__ import annotations

import copy
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from monai.data.torchscript_utils import save_net_with_metadata
from torch import Tensor, nn

from monai_tavr.files import replacing_path

__all__ = ["export_torchscript", "freeze_torchscript", "largest_difference"]


def export_torchscript(
    network: nn.Module,
    path: str | os.PathLike[str],
    *,
    example: Tensor,
    metadata: Mapping[str, Any] | None = None,
    tolerance: float = 1e-4,
) -> Path:
    """Write a frozen TorchScript file whose outputs agree with the network's.

    Args:
        network: e.g. :class:`monai_tavr.networks.GroupedKeypointNet`; it is not changed.
        path: file to write; it appears only once it is complete and checked.
        example: (B, C, H, W) normalised grey levels to compare outputs on; use real frames of the size to be served.
        metadata: JSON-ready values to store in the file, e.g. schema and image size.
        tolerance: largest allowed difference of any output.

    Returns:
        The path.

    Raises:
        ValueError: the exported network's outputs differ by more than ``tolerance``.
    """
    path = Path(path)
    with replacing_path(path) as temporary:
        with _quiet_torchscript():
            save_net_with_metadata(freeze_torchscript(network), str(temporary), meta_values=dict(metadata or {}))
            exported = torch.jit.load(str(temporary), map_location=example.device)
        difference = largest_difference(network, exported, example)
        if not difference <= tolerance:  # NaN is a difference too
            raise ValueError(f"{path}: the exported network's output differs by {difference:.3g}, allowed are {tolerance:.3g}")
    return path


def freeze_torchscript(network: nn.Module) -> torch.jit.ScriptModule:
    """Script a copy of the network in evaluation mode, with its weights as constants and batch normalisation folded."""
    with _quiet_torchscript(), torch.no_grad():
        return torch.jit.freeze(torch.jit.script(copy.deepcopy(network).eval()))


def largest_difference(network: nn.Module, exported: nn.Module, example: Tensor) -> float:
    """Largest difference of two networks' outputs on ``example`` (B, C, H, W), grey levels; infinite when shapes differ."""
    training = network.training
    network.eval()
    try:
        with torch.no_grad():
            expected, actual = network(example), exported(example)
    finally:
        network.train(training)
    if expected.shape != actual.shape:
        return float("inf")
    return float((expected.float() - actual.float()).abs().max())


@contextmanager
def _quiet_torchscript() -> Iterator[None]:
    # TorchScript works but is announced as deprecated; MONAI's bundles still require it
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r".*torch\.jit\.\w+.* is (deprecated|not supported)")
        yield
