"""The grouped network: one tensor of the agreed shape in every variant, scriptable, of any schema, and able to learn."""

from __future__ import annotations

import warnings

import pytest
import torch
from monai.bundle import ConfigParser
from torch import Tensor

from monai_tavr.codec import NUM_COLUMNS, SPREAD, VISIBILITY, KeypointCodec
from monai_tavr.keypoints import KeypointSchema
from monai_tavr.networks import GroupedKeypointNet
from monai_tavr.networks.backbones import BACKBONES
from monai_tavr.training.loss import GroupedKeypointLoss

K, G = 11, 3
HEADS = ("heatmap", "regression")


def script(network: torch.nn.Module) -> torch.nn.Module:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r".*torch\.jit\.\w+.* is deprecated")
        return torch.jit.script(network)


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("backbone", BACKBONES)
def test_one_tensor_of_the_agreed_shape(backbone: str, head: str) -> None:
    network = GroupedKeypointNet(backbone=backbone, head=head)
    frames = torch.randn(2, 1, 64, 96)
    cells = 16 * 24 if head == "heatmap" else 0
    assert network.train()(frames).shape == (2, K + G, NUM_COLUMNS + cells)
    network.eval()
    with torch.no_grad():
        output = network(frames)
    assert output.shape == (2, K + G, NUM_COLUMNS)
    assert output.dtype == torch.float32
    assert torch.isfinite(output).all()
    assert output[:, K:, [0, 1, SPREAD]].abs().sum() == 0


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("backbone", ["resnet18", "resnet50", "vgg16", pytest.param("efficientnet-b7", marks=pytest.mark.slow)])
def test_torchscript_in_training_and_evaluation(backbone: str, head: str) -> None:
    network = GroupedKeypointNet(backbone=backbone, head=head)
    frames = torch.randn(2, 1, 64, 64)
    scripted = script(network)
    assert scripted(frames).shape == network(frames).shape
    network.eval()
    scripted.eval()
    with torch.no_grad():
        torch.testing.assert_close(scripted(frames), network(frames), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("head", HEADS)
def test_features_come_with_the_output_of_the_same_pass(head: str) -> None:
    network = GroupedKeypointNet(head=head).eval()
    frames = torch.randn(2, 1, 64, 96)
    with torch.no_grad():
        output, features = network.forward_with_features(frames)
        torch.testing.assert_close(output, network(frames))
        torch.testing.assert_close(features, network.backbone(frames)[-1].mean(dim=(2, 3)))
        scripted = script(network)
        torch.testing.assert_close(scripted.forward_with_features(frames)[1], features, rtol=1e-4, atol=1e-5)
    assert features.shape == (2, 512)


@pytest.mark.parametrize("head", HEADS)
def test_tracing_keeps_sizes_open(head: str) -> None:
    """A trace (TorchScript or ONNX) holds for other batches and image sizes than its example's."""
    network = GroupedKeypointNet(head=head).eval()
    other = torch.randn(2, 1, 96, 128)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.filterwarnings("ignore", message=r".*torch\.jit\.\w+.* is deprecated")
        traced = torch.jit.trace(network, torch.randn(1, 1, 64, 64))
        torch.testing.assert_close(traced(other), network(other), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("head", HEADS)
def test_bfloat16_autocast_gives_float32_and_nearly_the_same(head: str) -> None:
    torch.manual_seed(0)
    network = GroupedKeypointNet(head=head).eval()
    frames = torch.randn(2, 1, 64, 64)
    with torch.no_grad():
        exact = network(frames)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            output = network(frames)
    assert output.dtype == torch.float32
    torch.testing.assert_close(output[..., VISIBILITY], exact[..., VISIBILITY], rtol=0, atol=0.1)


@pytest.mark.parametrize("head", HEADS)
def test_channels_last_gives_the_same(head: str) -> None:
    network = GroupedKeypointNet(head=head).eval()
    frames = torch.randn(2, 1, 64, 64)
    with torch.no_grad():
        expected = network(frames)
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        actual = network(frames.to(memory_format=torch.channels_last))
    torch.testing.assert_close(actual, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("head", HEADS)
def test_same_seed_same_network(head: str) -> None:
    networks = []
    for _ in range(2):
        torch.manual_seed(7)
        networks.append(GroupedKeypointNet(head=head).state_dict())
    assert all(torch.equal(networks[0][name], networks[1][name]) for name in networks[0])


@pytest.mark.parametrize("head", HEADS)
def test_any_schema_decides_the_heads(head: str) -> None:
    frames = torch.zeros(1, 1, 32, 32)
    assert GroupedKeypointNet("authors10", head=head).eval()(frames).shape == (1, 13, NUM_COLUMNS)
    one = KeypointSchema("one", {"only": ("p",)})
    assert GroupedKeypointNet(one, head=head).eval()(frames).shape == (1, 2, NUM_COLUMNS)


def test_root_maps_serve_training_only() -> None:
    torch.manual_seed(0)
    plain, rooted = GroupedKeypointNet(), GroupedKeypointNet(root_maps=True)
    rooted.load_state_dict(plain.state_dict())  # what is missing stays fresh
    frames = torch.randn(2, 1, 64, 64)
    output = rooted.train()(frames)
    assert output.shape == (2, K + G + 2, NUM_COLUMNS + 256)
    assert output[:, K + G :, :NUM_COLUMNS].abs().sum() == 0
    assert output[:, K + G :, NUM_COLUMNS:].abs().sum() > 0
    assert script(rooted)(frames).shape == output.shape
    plain.load_state_dict(rooted.state_dict())  # what is not needed is left out
    with torch.no_grad():
        torch.testing.assert_close(rooted.eval()(frames), plain.eval()(frames), rtol=0, atol=0)


def test_context_starts_as_nothing_and_then_sees_the_whole_frame() -> None:
    torch.manual_seed(0)
    plain, wide = GroupedKeypointNet().eval(), GroupedKeypointNet(context=True).eval()
    wide.load_state_dict(plain.state_dict())
    frames = torch.randn(1, 1, 384, 384)
    with torch.no_grad():
        torch.testing.assert_close(wide(frames), plain(frames), rtol=0, atol=0)
    assert script(wide)(frames).shape == (1, K + G, NUM_COLUMNS)
    # a trained context is no thing to be left out
    with pytest.raises(RuntimeError, match="Unexpected key"):
        plain.load_state_dict(wide.state_dict())
    context = wide.head.pyramid.context
    torch.nn.init.normal_(context.narrow.weight)
    coarse = torch.zeros(1, 64, 12, 12, requires_grad=True)
    context(coarse)[0, :, 6, 6].sum().backward()
    assert coarse.grad is not None
    seen = coarse.grad.abs().sum(1)[0] > 0
    assert seen.all()  # 13 cells around the middle one are all 12 of 384 pixels


def test_every_weight_gets_a_gradient() -> None:
    """Distributed training waits for every weight; a head that is left out would stop it."""
    target = torch.rand(2, K + G, 3)
    target[..., 2] = 1
    for head in HEADS:
        network = GroupedKeypointNet(head=head)
        GroupedKeypointLoss(image_size=(64, 64))(network(torch.randn(2, 1, 64, 64)), target).backward()
        assert [name for name, p in network.named_parameters() if p.grad is None] == []


class ThreeMaps(torch.nn.Module):
    """A backbone of one's own: maps of stride 4, 8 and 16, and what it says of them."""

    def __init__(self, channels: object = (8, 12, 16)) -> None:
        super().__init__()
        self.channels = channels
        self.steps = torch.nn.ModuleList(
            torch.nn.Conv2d(i, o, kernel_size=s, stride=s) for i, o, s in ((1, 8, 4), (8, 12, 2), (12, 16, 2))
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        features: list[Tensor] = []
        for step in self.steps:
            x = step(x)
            features.append(x)
        return features


@pytest.mark.parametrize("head", HEADS)
def test_a_backbone_of_ones_own(head: str) -> None:
    network = GroupedKeypointNet(backbone=ThreeMaps(), head=head)
    frames = torch.randn(2, 1, 48, 64)  # multiples of 16, the deepest stride of three maps
    cells = 12 * 16 if head == "heatmap" else 0
    assert network(frames).shape == script(network)(frames).shape == (2, K + G, NUM_COLUMNS + cells)
    assert {name.split(".")[1] for name, _ in network.named_parameters() if name.startswith("backbone")} == {"steps"}


def test_a_backbone_by_target_in_a_configuration() -> None:
    timm = {"_target_": "timm.create_model", "model_name": "mobilenetv3_small_050", "features_only": True, "in_chans": 1}
    definition = {"_target_": "monai_tavr.networks.GroupedKeypointNet", "backbone": timm | {"out_indices": [1, 2, 3, 4]}}
    network = ConfigParser({"network_def": definition}).get_parsed_content("network_def").eval()
    frames = torch.randn(1, 1, 64, 96)
    with torch.no_grad():
        expected = network(frames)
        torch.testing.assert_close(script(network)(frames), expected, rtol=1e-4, atol=1e-5)
    assert (expected.shape, network.divisor) == ((1, K + G, NUM_COLUMNS), 32)
    with pytest.raises(ValueError, match="multiples of 32, got 64 x 80"):
        network(torch.randn(1, 1, 64, 80))


@pytest.mark.parametrize(
    ("backbone", "message"),
    [
        (torch.nn.Identity(), "Identity says None"),
        (ThreeMaps(channels=16), "ThreeMaps says 16"),
        (ThreeMaps(channels=[]), r"ThreeMaps says \[\]"),
        (ThreeMaps(channels=[8, 12.5]), r"says \[8, 12.5\] \(a timm model is made with features_only=True\)"),
    ],
)
def test_a_backbone_must_say_its_channels(backbone: torch.nn.Module, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GroupedKeypointNet(backbone=backbone)


def test_a_backbone_must_give_the_maps_it_says() -> None:
    with pytest.raises(ValueError, match="says channels of 2 feature maps, but gives 3"):
        GroupedKeypointNet(backbone=ThreeMaps(channels=(8, 12)))(torch.randn(1, 1, 32, 32))


def test_groups_do_not_share_their_heads() -> None:
    """The loss of one group reaches the backbone and its own head only."""
    network = GroupedKeypointNet(head="regression").eval()
    network(torch.randn(2, 1, 32, 32))[:, :4, :3].sum().backward()
    heads = [(name.split(".")[2], p.grad) for name, p in network.named_parameters() if name.startswith("head.groups.")]
    assert {group for group, gradient in heads if gradient is not None and gradient.abs().max() > 0} == {"0"}
    assert network.backbone.conv1.weight.grad.abs().sum() > 0


def test_visibility_does_not_move_the_heat_map() -> None:
    network = GroupedKeypointNet().eval()
    network(torch.randn(2, 1, 64, 64))[..., VISIBILITY].sum().backward()
    heat = [p.grad.abs().max().item() for name, p in network.named_parameters() if ".heat." in name and p.grad is not None]
    assert set(heat) <= {0.0}


def test_mean_shape_is_where_the_regression_head_starts() -> None:
    network = GroupedKeypointNet(head="regression").eval()
    shape = torch.rand(K, 2)
    shape[3] = float("nan")
    network.set_mean_shape(shape)
    with torch.no_grad():
        xy = network(torch.zeros(1, 1, 64, 64))[0, :K, :2]
    shape[3] = 0.5  # never seen in training: it stays at the centre
    torch.testing.assert_close(xy, shape, atol=0.02, rtol=0)
    with pytest.raises(ValueError, match=r"must be \(11, 2\)"):
        network.set_mean_shape(torch.zeros(3, 2))
    with pytest.raises(ValueError, match="has no mean shape"):
        GroupedKeypointNet().set_mean_shape(shape)


def test_errors() -> None:
    with pytest.raises(ValueError, match="no head 'boxes'"):
        GroupedKeypointNet(head="boxes")
    with pytest.raises(ValueError, match="width must be"):
        GroupedKeypointNet(width=0)
    with pytest.raises(ValueError, match="multiples of 32, got 100 x 64"):
        GroupedKeypointNet()(torch.zeros(1, 1, 100, 64))


def blobs(count: int, size: int, schema: KeypointSchema, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Frames with one bright and one dark blob per point at random places; the second group is there in half of the frames."""
    codec = KeypointCodec(schema, image_size=(size, size))
    grid = torch.arange(size, dtype=torch.float32)
    frames = 0.1 * torch.randn(count, 1, size, size, generator=generator)
    targets = []
    for frame in frames:
        xy = torch.rand(schema.num_keypoints, 2, generator=generator) * (size - 16) + 8
        state = torch.ones(schema.num_keypoints)
        state[1] = float(torch.rand((), generator=generator) < 0.5)
        for i, sign in enumerate((1.0, -1.0)):
            distance = (grid[None, :] - xy[i, 0]).square() + (grid[:, None] - xy[i, 1]).square()
            frame[0] += 2 * sign * state[i] * torch.exp(-distance / (2 * 2.0**2))
        targets.append(codec.encode(xy, state))
    return frames, torch.stack(targets)


@pytest.mark.slow
def test_the_heat_map_network_learns_where_and_whether() -> None:
    torch.manual_seed(0)
    schema = KeypointSchema("blobs", {"bright": ("p",), "dark": ("q",)})
    size, batch, steps, generator = 64, 8, 70, torch.Generator().manual_seed(3)
    network = GroupedKeypointNet(schema, width=32)
    loss = GroupedKeypointLoss(schema, image_size=(size, size), lambda_regression=0.3)
    optimiser = torch.optim.AdamW(network.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 2e-3, total_steps=steps)
    frames, targets = blobs(batch * steps, size, schema, generator)
    for x, y in zip(frames.split(batch), targets.split(batch), strict=True):
        optimiser.zero_grad()
        loss(network(x), y).backward()
        optimiser.step()
        schedule.step()
    network.eval()
    unseen, truth = blobs(64, size, schema, generator)
    with torch.no_grad():
        decoded = KeypointCodec(schema, image_size=(size, size)).decode(network(unseen))
    visible = truth[:, :2, 2] == 1
    error = (decoded.xy - (truth[:, :2, :2] * size - 0.5)).norm(dim=-1)[visible]
    assert error.mean() < 1.0
    assert ((decoded.probability > 0.5) == visible).float().mean() > 0.97
    assert ((decoded.group_probability > 0.5) == visible).float().mean() > 0.97
