"""The exported file gives what the network gives, and a file that does not is never left behind."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from monai.data.torchscript_utils import load_net_with_metadata
from torch import nn

from monai_tavr.codec import NUM_COLUMNS
from monai_tavr.networks import GroupedKeypointNet
from monai_tavr.training.export import export_torchscript, largest_difference


@pytest.mark.filterwarnings("ignore:.*torch.jit.load.* is deprecated")
@pytest.mark.parametrize("head", ["heatmap", "regression"])
def test_exported_network_agrees_and_carries_its_metadata(head: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = GroupedKeypointNet(head=head).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    path = export_torchscript(
        network, tmp_path / "new" / "model.ts", example=torch.randn(2, 1, 64, 64), metadata={"schema": "TAVR11", "size": [64, 64]}
    )
    assert network.training
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    exported, metadata, _ = load_net_with_metadata(str(path))
    assert metadata["schema"] == "TAVR11"
    # another batch size and another image size than the example's
    frames = torch.randn(1, 1, 96, 128)
    assert exported(frames).shape == (1, 14, NUM_COLUMNS)
    assert largest_difference(network, exported, frames) < 1e-4
    assert [p.name for p in path.parent.iterdir()] == ["model.ts"]


def test_a_file_that_disagrees_is_not_written(tmp_path: Path) -> None:
    network = GroupedKeypointNet(head="regression")
    with pytest.raises(ValueError, match="differs by"):
        export_torchscript(network, tmp_path / "model.ts", example=torch.randn(1, 1, 64, 64), tolerance=-1.0)
    assert list(tmp_path.iterdir()) == []


def test_difference_of_other_shapes_is_infinite() -> None:
    assert largest_difference(nn.Identity(), nn.Flatten(), torch.zeros(1, 2, 2)) == float("inf")
