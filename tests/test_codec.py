"""Encoding and decoding are inverse to each other, and heat maps are decoded without bias."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from monai_tavr import codec as codec_module
from monai_tavr.codec import NUM_COLUMNS, SPREAD, VISIBILITY, KeypointCodec, decode_heatmap, encode_heatmap
from monai_tavr.keypoints import TAVR11, Keypoints, KeypointSchema

K, G = 11, 3


def output_of(target: torch.Tensor) -> torch.Tensor:
    """The output of a network that is right: the target's points, and logits of 50 for what is there."""
    output = torch.zeros(1, target.shape[0], NUM_COLUMNS)
    output[0, :, :2] = target[:, :2]
    output[0, :, VISIBILITY] = torch.where(target[:, 2] == 1, 50.0, -50.0)
    return output


@pytest.mark.parametrize("size", [(256, 256), (255, 257), (513, 480), (31, 640)])
def test_round_trip_over_sizes_and_corners(size: tuple[int, int]) -> None:
    height, width = size
    codec = KeypointCodec(image_size=size)
    xy = np.random.default_rng(0).uniform([-0.5, -0.5], [width - 0.5, height - 0.5], (K, 2))
    xy[:4] = [(0, 0), (width - 1, 0), (0, height - 1), (width - 1, height - 1)]
    xy[4:6] = [(-0.5, -0.5), (width - 0.5, height - 0.5)]
    decoded = codec.decode(output_of(codec.encode(xy, np.ones(K))))
    np.testing.assert_allclose(decoded.xy[0].numpy(), xy, atol=1e-4)
    assert decoded.xy.shape == (1, K, 2)
    assert decoded.probability.tolist() == [[1.0] * K]
    assert decoded.group_probability.tolist() == [[1.0] * G]


def test_normalised_coordinates_by_hand() -> None:
    target = KeypointCodec(image_size=(100, 200)).encode(np.full((K, 2), [49.5, 49.5]), np.ones(K))
    assert target[0].tolist() == [0.25, 0.5, 1.0]  # (49.5 + 0.5) / 200, (49.5 + 0.5) / 100
    edge = KeypointCodec(image_size=(100, 200)).encode(np.full((K, 2), [-0.5, 99.5]), np.ones(K))
    assert edge[0].tolist() == [0.0, 1.0, 1.0]


def test_states_of_points_and_groups() -> None:
    xy = np.full((K, 2), 7.0)
    # anatomical: one visible; instrumental: all absent; contour: absent, absent, unlabelled
    state = np.array([1, 0, 0, -1, 0, 0, 0, 0, 0, 0, -1])
    xy[state != 1] = np.nan
    target = KeypointCodec().encode(xy, state)
    assert target[:, 2].tolist() == [*state.tolist(), 1, 0, -1]
    assert target[1:, :2].abs().sum() == 0
    assert torch.isfinite(target).all()


def test_coordinates_of_points_that_are_not_visible_do_not_leak() -> None:
    target = KeypointCodec().encode(np.full((K, 2), 123.0), np.zeros(K, int))
    assert target.abs().sum() == 0


@pytest.mark.parametrize("seed", range(20))
def test_group_states_are_those_of_keypoints(seed: int) -> None:
    rng = np.random.default_rng(seed)
    state = rng.integers(-1, 2, K)
    xy = np.where(state[:, None] == 1, [5.0, 6.0], np.nan)
    keypoints = Keypoints(TAVR11, xy, labelled=state >= 0)
    target = KeypointCodec().encode(keypoints.xy, keypoints.state)
    assert target[K:, 2].tolist() == keypoints.group_state.tolist()


def test_encode_says_what_is_wrong() -> None:
    codec = KeypointCodec()
    with pytest.raises(ValueError, match=r"needs xy \(11, 2\)"):
        codec.encode(np.zeros((10, 2)), np.ones(10))
    with pytest.raises(ValueError, match="states must be"):
        codec.encode(np.zeros((K, 2)), np.full(K, 2))
    xy = np.zeros((K, 2))
    xy[3] = np.nan
    with pytest.raises(ValueError, match="'STJ2' is visible but has no coordinates"):
        codec.encode(xy, np.ones(K))
    with pytest.raises(ValueError, match="image_size"):
        KeypointCodec(image_size=(0, 10))


def test_decode_ignores_heat_maps_and_checks_its_shape() -> None:
    codec = KeypointCodec(image_size=(64, 128))
    output = torch.zeros(2, K + G, NUM_COLUMNS + 5, requires_grad=True)
    with torch.no_grad():
        output[..., SPREAD] = 0.1
    decoded = codec.decode(output)
    assert decoded.xy[0, 0].tolist() == [-0.5, -0.5]
    assert decoded.probability.unique().tolist() == [0.5]
    # 0.1 of sqrt(64 * 128) = 90.5 px
    torch.testing.assert_close(decoded.spread, torch.full((2, K), 9.0510), atol=1e-3, rtol=0)
    assert not decoded.xy.requires_grad
    with pytest.raises(ValueError, match="needs an output of shape"):
        codec.decode(torch.zeros(2, K, NUM_COLUMNS))


def test_any_schema() -> None:
    schema = KeypointSchema("two", {"a": ("p",), "b": ("q", "r")})
    target = KeypointCodec(schema).encode(torch.tensor([[1.0, 2.0], [float("nan")] * 2, [3.0, 4.0]]), torch.tensor([1, 0, 1]))
    assert target[:, 2].tolist() == [1, 0, 1, 1, 1]
    assert KeypointCodec("authors10").encode(np.zeros((10, 2)), np.zeros(10)).shape == (13, 3)


def test_encoded_heat_map_by_hand() -> None:
    # centre of the cell (column 2, row 1) of a 4 x 8 map
    heat = encode_heatmap(torch.tensor([[2.5 / 8, 1.5 / 4]]), (4, 8), sigma=1.0)
    assert heat.shape == (1, 4, 8)
    assert heat.sum().item() == pytest.approx(1.0, abs=1e-6)
    assert int(heat.argmax()) == 1 * 8 + 2
    assert (heat[0, 1, 3] / heat[0, 1, 2]).item() == pytest.approx(np.exp(-0.5), rel=1e-5)
    assert (heat[0, 2, 4] / heat[0, 1, 2]).item() == pytest.approx(np.exp(-0.5 * (1 + 4)), rel=1e-5)


@pytest.mark.parametrize("sigma", [1.0, 1.5, 2.0, 3.0])
def test_decoded_heat_map_is_unbiased_everywhere(sigma: float) -> None:
    """Stride 4 at 256 px: sub-pixel positions in the middle, and every distance from the border, to 0.01 input px."""
    steps = torch.linspace(0, 1, 9)
    positions = torch.cat([steps * 6, 6 + steps * 2, 64 - steps * 6]) / 64  # cells from the left edge, normalised
    xy = torch.cartesian_prod(positions, positions)
    logits = encode_heatmap(xy, (64, 64), sigma).clamp(min=1e-37).log()[None] - 3.0
    decoded, spread = decode_heatmap(logits)
    assert ((decoded[0] - xy) * 256).abs().max() < 0.01
    inside = ((xy > 5 * sigma / 64) & (xy < 1 - 5 * sigma / 64)).all(dim=1)
    if inside.any():
        torch.testing.assert_close(spread[0][inside] * 64, torch.full_like(spread[0][inside], sigma), atol=0.01, rtol=0)


def test_decoding_is_local_and_not_square_only() -> None:
    """A second, lower peak far away does not drag the point, but it widens the spread."""
    places = torch.tensor([[10.3 / 48, 7.7 / 24], [40.5 / 48, 20.5 / 24]])
    heat = encode_heatmap(places, (24, 48), 1.5)
    both = (0.6 * heat[0] + 0.4 * heat[1]).clamp(min=1e-12).log()
    xy, spread = decode_heatmap(both[None, None])
    alone_xy, alone_spread = decode_heatmap(heat[0].clamp(min=1e-12).log()[None, None])
    torch.testing.assert_close(xy[0, 0] * torch.tensor([48.0, 24.0]), torch.tensor([10.3, 7.7]), atol=0.01, rtol=0)
    torch.testing.assert_close(alone_xy, xy, atol=1e-3, rtol=0)
    assert spread.item() > 5 * alone_spread.item()


@pytest.mark.parametrize(("half", "jump"), [(3, 0.25), (4, 1.0)])
def test_on_a_broad_peak_the_point_does_not_jump_with_the_highest_cell(half: int, jump: float) -> None:
    """A plateau around x = 24, whose highest cell lies at its left or right end by a hair: 6 or 8 cells between them.

    The mean of a window around the highest cell would jump by 1 or 3 cells: it loses as much of the plateau's other end.
    """
    y, x = torch.meshgrid(torch.arange(32.0), torch.arange(48.0), indexing="ij")
    found = []
    for highest in (24 - half, 24 + half):
        logits = -0.5 * (((x - 24).abs() - half).clamp(min=0) ** 2 + ((y - 16) / 1.5) ** 2)
        logits[16, highest] = 0.01
        xy, _ = decode_heatmap(logits[None, None])
        found.append(xy[0, 0] * torch.tensor([48.0, 32.0]) - 0.5)
    left, right = (f[0].item() for f in found)
    assert abs(right - left) < jump
    assert (left + right) / 2 == pytest.approx(24, abs=0.01)
    assert found[0][1].item() == pytest.approx(16, abs=0.01)


def test_decoding_noise_and_flat_maps_stays_in_the_image() -> None:
    torch.manual_seed(0)
    logits = torch.cat([torch.zeros(1, 4, 16, 16), torch.randn(1, 4, 16, 16) * 20, torch.randn(1, 4, 16, 16) * 0.01])
    xy, spread = decode_heatmap(logits)
    assert torch.isfinite(xy).all()
    assert torch.isfinite(spread).all()
    assert xy.min() >= 0
    assert xy.max() <= 1


def test_gradient_moves_the_point_and_is_finite() -> None:
    logits = encode_heatmap(torch.tensor([[0.5, 0.5]]), (16, 16), 2.0).log()[None].requires_grad_()
    xy, _ = decode_heatmap(logits)
    xy[0, 0, 0].backward()
    gradient = logits.grad
    assert gradient is not None
    assert torch.isfinite(gradient).all()
    # more logit right of the point moves it right, left moves it left
    assert gradient[0, 0, 8, 10] > 0 > gradient[0, 0, 8, 5]


def test_public_names() -> None:
    for name in codec_module.__all__:
        assert hasattr(codec_module, name)
