"""Backbones: pyramid of features, and ImageNet weights folded to one channel, compared with torchvision's own networks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torchvision.models import vgg

from monai_tavr.networks.backbones import BACKBONES, build_backbone


class VGGFeatures(nn.Module):
    """torchvision's VGG-16 with a small classifier: the real one has 120 million weights."""

    def __init__(self) -> None:
        super().__init__()
        self.features = vgg.make_layers(vgg.cfgs["D"], batch_norm=False)
        self.classifier = nn.Linear(512, 10)


STRIDES = (4, 8, 16, 32)
TORCHVISION: dict[str, Callable[[], nn.Module]] = {
    "resnet18": torchvision.models.resnet18,
    "resnet34": torchvision.models.resnet34,
    "resnet50": torchvision.models.resnet50,
    "vgg16": VGGFeatures,
    "efficientnet-b7": torchvision.models.efficientnet_b7,
}


def torchvision_network(name: str) -> nn.Module:
    """A network with weights of its own in every layer, batch normalisation included."""
    torch.manual_seed(1)
    network = TORCHVISION[name]()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.2, 0.2)
            nn.init.uniform_(module.running_mean, -0.2, 0.2)  # type: ignore[arg-type]
            nn.init.uniform_(module.running_var, 0.5, 1.5)  # type: ignore[arg-type]
    return network.eval()


def torchvision_c5(name: str, network: nn.Module, image: Tensor) -> Tensor:
    if not name.startswith("resnet"):
        return network.features(image)  # type: ignore[operator]
    return nn.Sequential(*list(network.children())[:-2])(image)


@pytest.mark.parametrize("name", BACKBONES)
def test_pyramid_has_the_stated_channels_and_strides(name: str) -> None:
    backbone = build_backbone(name).eval()
    with torch.no_grad():
        features = backbone(torch.zeros(1, 1, 64, 96))
    assert [f.shape[1] for f in features] == backbone.channels
    assert [tuple(f.shape[2:]) for f in features] == [(64 // s, 96 // s) for s in STRIDES]


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow if n == "efficientnet-b7" else ()) for n in BACKBONES])
def test_imagenet_weights_folded_to_one_channel(name: str, tmp_path: Path) -> None:
    """On a grey image the folded network gives what the three-channel one gives, and what torchvision's own gives."""
    original = torchvision_network(name)
    torch.save(original.state_dict(), tmp_path / "weights.pth")
    grey = torch.rand(1, 1, 64, 75)
    with torch.no_grad():
        one = build_backbone(name, weights=tmp_path / "weights.pth").eval()(grey)
        three = build_backbone(name, in_channels=3, weights=tmp_path / "weights.pth").eval()(grey.expand(-1, 3, -1, -1))
        reference = torchvision_c5(name, original, grey.expand(-1, 3, -1, -1))
    for a, b in zip(one, three, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4 * float(b.abs().max()))
    torch.testing.assert_close(one[-1], reference, rtol=1e-3, atol=1e-4 * float(reference.abs().max()))
    assert reference.abs().max() > 0


def test_weights_without_counters_of_batches_are_accepted(tmp_path: Path) -> None:
    state = torchvision_network("resnet18").state_dict()
    torch.save({k: v for k, v in state.items() if not k.endswith("num_batches_tracked")}, tmp_path / "old.pth")
    backbone = build_backbone("resnet18", weights=tmp_path / "old.pth")
    torch.testing.assert_close(backbone.state_dict()["layer1.0.conv1.weight"], state["layer1.0.conv1.weight"])


def test_errors_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no backbone 'resnet19': give one of"):
        build_backbone("resnet19")
    with pytest.raises(ValueError, match="Nothing is downloaded: give the path"):
        build_backbone("resnet18", weights=tmp_path / "none.pth")
    state = torchvision_network("resnet18").state_dict()
    torch.save(state, tmp_path / "r18.pth")
    with pytest.raises(ValueError, match=r"tensors missing \(first: \['layer1.2.bn1.bias'\]\)"):
        build_backbone("resnet34", weights=tmp_path / "r18.pth")
    torch.save({**state, "surprise": torch.zeros(1)}, tmp_path / "more.pth")
    with pytest.raises(ValueError, match=r"1 unknown \(first: \['surprise'\]\)"):
        build_backbone("resnet18", weights=tmp_path / "more.pth")
    with pytest.raises(ValueError, match="the network may have 1 or 3"):
        build_backbone("resnet18", in_channels=2, weights=tmp_path / "r18.pth")
    torch.save({"state_dict": state, "epoch": 3}, tmp_path / "checkpoint.pth")
    with pytest.raises(ValueError, match=r"checkpoint\.pth: expected a state dict"):
        build_backbone("resnet18", weights=tmp_path / "checkpoint.pth")


def test_a_file_that_runs_code_is_refused(tmp_path: Path) -> None:
    torch.save(torchvision.models.resnet18(), tmp_path / "module.pth")
    with pytest.raises(ValueError, match="not a file of weights that can be read safely"):
        build_backbone("resnet18", weights=tmp_path / "module.pth")
    (tmp_path / "text.pth").write_text("hello")
    with pytest.raises(ValueError, match="not a file of weights"):
        build_backbone("resnet18", weights=tmp_path / "text.pth")
