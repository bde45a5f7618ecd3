"""Convolutional backbones that give the feature pyramid C2..C5 (strides 4, 8, 16, 32) of a grey frame.

ResNet-18/34/50 and EfficientNet-B7 are MONAI's, VGG-16 is torchvision's: the five backbones of the paper. Two things are set here
that defaults get wrong: MONAI's ResNet has a stem of stride 1 unless told, which costs four times the arithmetic and does not fit
ImageNet weights, and ImageNet weights expect three channels. Since the three channels of a grey image are equal, summing the
stem's weights over RGB gives the same features from one channel.

Nothing is downloaded: weights come from a local file in torchvision's layout, or training starts from scratch.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from monai.networks.nets import EfficientNetBNFeatures, ResNet
from torch import Tensor, nn
from torchvision.models import vgg

from monai_tavr.weights import read_weights

__all__ = [
    "BACKBONES",
    "EfficientNetBackbone",
    "ResNetBackbone",
    "VGGBackbone",
    "build_backbone",
    "channels_of",
    "deepest_stride",
    "load_imagenet_weights",
]

_RESNETS: dict[str, tuple[str, list[int]]] = {
    "resnet18": ("basic", [2, 2, 2, 2]),
    "resnet34": ("basic", [3, 4, 6, 3]),
    "resnet50": ("bottleneck", [3, 4, 6, 3]),
}


class ResNetBackbone(ResNet):
    """MONAI's 2-D ResNet with torchvision's geometry, cut before global pooling.

    Attributes:
        channels: channels of C2, C3, C4, C5.
    """

    def __init__(self, name: str = "resnet18", *, in_channels: int = 1) -> None:
        block, layers = _RESNETS[name]
        super().__init__(
            block=block,
            layers=layers,
            block_inplanes=[64, 128, 256, 512],
            spatial_dims=2,
            n_input_channels=in_channels,
            conv1_t_stride=2,
            shortcut_type="B",
            bias_downsample=False,
            feed_forward=False,
        )
        expansion = 4 if block == "bottleneck" else 1
        self.channels = [64 * expansion, 128 * expansion, 256 * expansion, 512 * expansion]

    def forward(self, x: Tensor) -> list[Tensor]:
        """``x`` (B, in_channels, H, W), normalised grey levels, to the features [C2, C3, C4, C5], each (B, channels, h, w)."""
        c1 = self.act(self.bn1(self.conv1(x)))
        c2 = self.layer1(self.maxpool(c1))
        c3 = self.layer2(c2)
        c4 = self.layer3(c3)
        return [c2, c3, c4, self.layer4(c4)]


class EfficientNetBackbone(EfficientNetBNFeatures):
    """MONAI's 2-D EfficientNet; C5 is the last convolution before the classifier, as in the paper's cut.

    MONAI pads as TensorFlow does, and for one image size only; here every convolution is padded evenly as torchvision does, which
    fits its weights and any image size.

    Attributes:
        channels: channels of C2, C3, C4, C5.
    """

    def __init__(self, name: str = "efficientnet-b7", *, in_channels: int = 1) -> None:
        super().__init__(name, pretrained=False, in_channels=in_channels, spatial_dims=2)
        self.set_swish(memory_efficient=False)  # the memory-efficient one cannot be scripted
        self._fc = nn.Identity()  # unused weights would stop distributed training
        for module in self.modules():
            for name, convolution in list(module.named_children()):
                if isinstance(convolution, nn.Conv2d):
                    convolution.padding = (convolution.kernel_size[0] // 2, convolution.kernel_size[1] // 2)
                    setattr(module, f"{name}_padding", nn.Identity())
        ends = [list(stack.children())[-1] for stack in self._blocks.children()]
        self._pyramid = [self.extract_stacks[i] for i in (1, 2, 3)]
        self.channels = [ends[i - 1]._project_conv.out_channels for i in self._pyramid] + [self._conv_head.out_channels]

    def forward(self, inputs: Tensor) -> list[Tensor]:
        """``inputs`` (B, in_channels, H, W), normalised grey levels, to [C2, C3, C4, C5], each (B, channels, h, w)."""
        x = self._swish(self._bn0(self._conv_stem(self._conv_stem_padding(inputs))))
        features: list[Tensor] = []
        for i, stack in enumerate(self._blocks):
            x = stack(x)
            if i + 1 in self._pyramid:
                features.append(x)
        features.append(self._swish(self._bn1(self._conv_head(self._conv_head_padding(x)))))
        return features


class VGGBackbone(nn.Module):
    """torchvision's VGG-16 without its classifier.

    Attributes:
        channels: channels of C2, C3, C4, C5.
    """

    def __init__(self, *, in_channels: int = 1) -> None:
        super().__init__()
        self.features = vgg.make_layers(vgg.cfgs["D"], batch_norm=False)  # without the classifier's 120 million weights
        self.features[0] = nn.Conv2d(in_channels, 64, kernel_size=3, padding=1)
        for layer in self.features:
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        # the last rectified layer of stride 4, 8 and 16, and the last pooling layer
        self._pyramid = [15, 22, 29, 30]
        self.channels = [256, 512, 512, 512]

    def forward(self, x: Tensor) -> list[Tensor]:
        """``x`` (B, in_channels, H, W), normalised grey levels, to the features [C2, C3, C4, C5], each (B, channels, h, w)."""
        features: list[Tensor] = []
        for i, layer in enumerate(self.features):
            x = layer(x)
            if i in self._pyramid:
                features.append(x)
        return features


BACKBONES: Mapping[str, Callable[..., nn.Module]] = {
    **{name: partial(ResNetBackbone, name) for name in _RESNETS},
    "efficientnet-b7": EfficientNetBackbone,
    "vgg16": VGGBackbone,
}
"""Name of a backbone -> what makes it."""


def build_backbone(
    backbone: str | nn.Module = "resnet18", *, in_channels: int = 1, weights: str | os.PathLike[str] | None = None
) -> nn.Module:
    """A backbone by name, or one's own.

    Args:
        backbone: one of ``BACKBONES``, or a module (B, C, H, W) -> list of feature maps, finest first, each of half the size of
            the one before, that says their channels as ``channels`` or, like timm's ``features_only`` models, ``feature_info``.
        in_channels: channels of the image; a module of one's own has its own.
        weights: path of a state dict in torchvision's layout (three channels), or None to start from scratch.

    Raises:
        ValueError: unknown name, a module that does not say its channels, or weights that do not fit; says what to do.
    """
    if isinstance(backbone, str):
        if backbone not in BACKBONES:
            raise ValueError(f"no backbone {backbone!r}: give one of {list(BACKBONES)}, or a module by _target_")
        backbone = BACKBONES[backbone](in_channels=in_channels)
    channels_of(backbone)
    if weights is not None:
        load_imagenet_weights(backbone, weights)
    return backbone


def channels_of(backbone: nn.Module) -> list[int]:
    """Channels of the feature maps that a backbone gives, finest first.

    Raises:
        ValueError: it does not say them.
    """
    info: Any = getattr(backbone, "feature_info", None)  # timm's
    said = info.channels() if hasattr(info, "channels") else getattr(backbone, "channels", None)
    if not isinstance(said, Sequence) or not said or not all(isinstance(c, int) and c > 0 for c in said):
        raise ValueError(
            f"a backbone says the channels of its feature maps as a list 'channels', finest first; {type(backbone).__name__} "
            f"says {said!r} (a timm model is made with features_only=True)"
        )
    return list(said)


def deepest_stride(backbone: nn.Module) -> int:
    """Pixels of the image per cell of the last feature map; where a backbone does not say it, its first map has stride 4."""
    info: Any = getattr(backbone, "feature_info", None)
    return int(info.reduction()[-1]) if hasattr(info, "reduction") else 2 ** (len(channels_of(backbone)) + 1)


def load_imagenet_weights(backbone: nn.Module, path: str | os.PathLike[str]) -> None:
    """Fill a backbone from a local file of ImageNet weights in torchvision's layout.

    Args:
        backbone: what :func:`build_backbone` gave, of one or three input channels.
        path: ``.pth`` state dict, e.g. ``resnet18-f37072fd.pth``; its classifier is left out, and its stem is summed over RGB for
            one channel.

    Raises:
        ValueError: no such file, not a state dict, or its layers are not the backbone's.
    """
    source = _read_state_dict(Path(path))
    if isinstance(backbone, EfficientNetBackbone):
        source = _rename_efficientnet(source)
    source = {key: value for key, value in source.items() if not key.startswith(("fc.", "classifier.", "_fc."))}
    expected = backbone.state_dict()
    missing = sorted(key for key in set(expected) - set(source) if not key.endswith("num_batches_tracked"))
    unknown = sorted(set(source) - set(expected))
    if missing or unknown:
        raise ValueError(
            f"{path}: not the weights of this {type(backbone).__name__}: {len(missing)} tensors missing (first: {missing[:1]}), "
            f"{len(unknown)} unknown (first: {unknown[:1]}); the file must be torchvision's for the same architecture"
        )
    stem = next(iter(expected))
    source[stem] = _fold_stem(source[stem], channels=expected[stem].shape[1], where=f"{path}: {stem}")
    for key, value in source.items():
        if value.shape != expected[key].shape:
            raise ValueError(f"{path}: {key} has shape {tuple(value.shape)}, this backbone needs {tuple(expected[key].shape)}")
    backbone.load_state_dict(source, strict=False)


def _read_state_dict(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise ValueError(
            f"{path}: no such weights. Nothing is downloaded: give the path of a local file with torchvision's ImageNet weights, "
            "or leave backbone_weights empty to train from scratch"
        )
    return read_weights(path)


def _fold_stem(weight: Tensor, *, channels: int, where: str) -> Tensor:
    """(out, 3, k, k) -> (out, channels, k, k)."""
    if weight.ndim != 4 or weight.shape[1] != 3 or channels not in (1, 3):
        raise ValueError(
            f"{where}: cannot turn a stem of shape {tuple(weight.shape)} into one of {channels} channels: ImageNet weights have "
            "3 channels, the network may have 1 or 3"
        )
    return weight if channels == 3 else weight.sum(dim=1, keepdim=True)


def _rename_efficientnet(source: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """torchvision's EfficientNet names -> MONAI's. torchvision counts the blocks within a stage, MONAI through all stages."""
    order = sorted({(int(k.split(".")[1]), int(k.split(".")[2])) for k in source if ".block." in k})
    number = {place: i for i, place in enumerate(order)}
    last = {(s, b): max(int(k.split(".")[4]) for k in source if k.startswith(f"features.{s}.{b}.block.")) for s, b in order}
    head = max((int(k.split(".")[1]) for k in source if k.startswith("features.")), default=0)
    renamed: dict[str, Tensor] = {}
    for key, value in source.items():
        part = key.split(".")
        if part[0] != "features":
            renamed[key] = value
        elif ".block." in key:
            stage, block, layer = int(part[1]), int(part[2]), int(part[4])
            # without expansion (the first stage) a block has three layers instead of four
            layer += 3 - last[stage, block]
            name = {
                (0, "0"): "_expand_conv",
                (0, "1"): "_bn0",
                (1, "0"): "_depthwise_conv",
                (1, "1"): "_bn1",
                (2, "fc1"): "_se_reduce",
                (2, "fc2"): "_se_expand",
                (3, "0"): "_project_conv",
                (3, "1"): "_bn2",
            }.get((layer, part[5]), key)
            renamed[f"_blocks.{stage - 1}.{number[stage, block]}.{name}.{part[-1]}"] = value
        else:
            stem = {"0": "_conv_stem", "1": "_bn0"}
            top = {"0": "_conv_head", "1": "_bn1"}
            names = stem if part[1] == "0" else top if int(part[1]) == head else {}
            renamed[f"{names.get(part[2], key)}.{part[-1]}"] = value
    return renamed
