"""Points follow the picture: blobs drawn at the points are found again where the transforms say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.data.utils import to_affine_nd
from monai.transforms import Compose, Flipd, RandAffined, Resized, Rotated, SpatialPadd, Transform, Zoomd

from monai_tavr.codec import KeypointCodec
from monai_tavr.dicom.writer import XAHeader, write_xa
from monai_tavr.formats.label_json import write_label_json
from monai_tavr.keypoints import TAVR11, Keypoints, KeypointState
from monai_tavr.label import CineLabel, ImageInfo
from monai_tavr.postprocess import KeypointPostprocess
from monai_tavr.transforms.appearance import RandCollimatord
from monai_tavr.transforms.framing import FrameFit, fit_frames, map_points, normalise, prepare_frames
from monai_tavr.transforms.points import (
    NATIVE_SIZE,
    DecodeKeypointsd,
    EncodeKeypointsd,
    FitFramesd,
    LoadFramed,
    NormaliseFramesd,
    points_to_network,
)

POINTS = np.array([[100.3, 120.7], [380.2, 200.1], [250.5, 400.25]])


def blobs(points: np.ndarray, height: int, width: int, sigma: float) -> torch.Tensor:
    """(N, H, W): one Gaussian per channel, so each has a centroid of its own."""
    rows, columns = np.mgrid[:height, :width]
    frames = [np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * sigma**2)) for x, y in points]
    return torch.from_numpy(np.stack(frames).astype(np.float32))


def centroids(frames: torch.Tensor) -> np.ndarray:
    """(N, 2) centres of mass (x, y)."""
    pixels = frames.numpy().astype(np.float64)
    rows, columns = np.mgrid[: pixels.shape[1], : pixels.shape[2]]
    return np.array([[(columns * p).sum(), (rows * p).sum()] for p in pixels]) / pixels.sum((1, 2))[:, None]


def loaded(frames: torch.Tensor) -> dict[str, Any]:
    return {"image": MetaTensor(frames, affine=torch.eye(3, dtype=torch.float64))}


@pytest.mark.parametrize(
    "spatial",
    [
        [],
        [Flipd("image", spatial_axis=1)],
        [Flipd("image", spatial_axis=0)],
        [Rotated("image", angle=0.25, keep_size=True)],
        [SpatialPadd("image", (300, 281))],
        [Zoomd("image", zoom=0.85, mode="bilinear")],
        [Resized("image", (190, 330), mode="bilinear")],
        [
            RandAffined(
                "image", prob=1, rotate_range=0.3, scale_range=(0.2, 0.2), translate_range=(9, 9), padding_mode="zeros"
            ).set_random_state(3)
        ],
    ],
    ids=["fit", "flip", "flip-rows", "rotate", "pad", "zoom", "resize", "affine"],
)
def test_points_lie_where_the_picture_shows_them(spatial: list[Transform]) -> None:
    height, width = 600, 480
    transforms = Compose([FitFramesd("image", image_size=(256, 256)), *spatial])
    image = transforms(loaded(blobs(POINTS, height, width, sigma=7)))["image"]
    moved = map_points(POINTS, np.linalg.inv(to_affine_nd(2, image.affine).numpy()))
    np.testing.assert_allclose(centroids(image), moved, atol=0.06)


def test_fit_halves_and_pads() -> None:
    # 4 rows x 8 columns to 4 x 4: two rows of content, one of padding above and below; pixel pairs merge
    frames, fit = fit_frames(torch.arange(32.0).reshape(1, 4, 8), image_size=(4, 4))
    assert frames.shape == (1, 4, 4)
    assert (frames[0, [0, 3]] == 0).all()
    assert fit == FrameFit(scale=(2.0, 2.0), offset=(0.5, -1.5))
    np.testing.assert_allclose(fit.to_network(np.array([[0.5, 0.5]])), [[0.0, 1.0]])
    np.testing.assert_allclose(fit.to_native(np.array([[0.0, 1.0]])), [[0.5, 0.5]])
    np.testing.assert_allclose(map_points(np.array([[3.0, 2.0]]), fit.affine), fit.to_native(np.array([[3.0, 2.0]])))


def test_fit_is_robust_to_hot_pixels_and_scale() -> None:
    frame = torch.rand(1, 64, 64, generator=torch.Generator().manual_seed(0))
    hot = frame.clone()
    hot[0, 10, 10] = 1000.0
    plain, spoilt = (fit_frames(f, image_size=(64, 64))[0] for f in (frame * 300 - 7, hot))
    other = torch.ones_like(frame, dtype=torch.bool)
    other[0, 10, 10] = False
    np.testing.assert_allclose(plain[other], spoilt[other], atol=0.02)


def test_flat_frames_stay_finite() -> None:
    network_input, _ = prepare_frames(np.full((2, 20, 30), 77, np.uint8), image_size=(32, 32))
    assert network_input.shape == (2, 1, 32, 32)
    assert (network_input == 0).all()


def test_frames_must_not_be_empty() -> None:
    with pytest.raises(ValueError, match=r"\(C, H, W\).*\(0, 5, 5\)"):
        prepare_frames(np.zeros((0, 5, 5)), image_size=(32, 32))


def test_normalise_gives_mean_0_and_deviation_1() -> None:
    image = normalise(torch.rand(2, 9, 9) * torch.tensor([3.0, 50.0])[:, None, None] + 4)
    np.testing.assert_allclose(image.mean((1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(image.std((1, 2), correction=0), 1, rtol=1e-5)


@pytest.mark.parametrize("size", [(512, 512), (300, 517), (90, 70)])
def test_fast_path_equals_the_transforms(size: tuple[int, int]) -> None:
    frames = np.random.default_rng(1).integers(0, 4096, (3, *size)).astype(np.float32)
    fast, fit = prepare_frames(frames, image_size=(256, 224))
    steps = Compose([FitFramesd("image", image_size=(256, 224)), NormaliseFramesd("image")])
    for i, frame in enumerate(frames):
        image = steps(loaded(torch.from_numpy(frame)[None]))["image"]
        np.testing.assert_allclose(image.numpy(), fast[i].numpy(), atol=1e-5)
        np.testing.assert_allclose(image.affine.numpy(), fit.affine)
        assert image.meta[NATIVE_SIZE].tolist() == list(size)


def states(**visible: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    xy = np.full((11, 2), np.nan, np.float32)
    state = np.full(11, KeypointState.ABSENT, np.int8)
    for name, point in visible.items():
        xy[TAVR11.index(name)], state[TAVR11.index(name)] = point, KeypointState.VISIBLE
    return xy, state


def test_a_mirror_exchanges_the_flip_pairs() -> None:
    # 10 columns: column c of the mirrored image is native column 9 - c
    mirror = np.array([[1.0, 0, 0], [0, -1, 9], [0, 0, 1]])
    xy, state = states(AA1=(1, 2), AA2=(7, 3), PT=(4, 5))
    state[TAVR11.index("FE1")] = KeypointState.UNLABELLED
    moved, kept = points_to_network(xy, state, affine=mirror, field=(0, 0, 10, 10), schema=TAVR11)
    np.testing.assert_allclose(moved[TAVR11.index("AA1")], (2, 3))
    np.testing.assert_allclose(moved[TAVR11.index("AA2")], (8, 2))
    np.testing.assert_allclose(moved[TAVR11.index("PT")], (5, 5))
    assert kept[TAVR11.index("FE2")] == KeypointState.UNLABELLED
    assert kept[TAVR11.index("FE1")] == KeypointState.ABSENT


def test_a_rotation_by_half_a_turn_exchanges_nothing() -> None:
    turned = np.array([[-1.0, 0, 9], [0, -1, 9], [0, 0, 1]])
    xy, state = states(AA1=(1, 2))
    moved, _ = points_to_network(xy, state, affine=turned, field=(0, 0, 10, 10), schema=TAVR11)
    np.testing.assert_allclose(moved[TAVR11.index("AA1")], (8, 7))


def test_points_outside_the_field_become_absent_and_unlabelled_ones_stay_so() -> None:
    xy, state = states(AA1=(-0.5, 0), AA2=(-0.6, 0), STJ1=(9.4, 4), STJ2=(9.6, 4), CP=(5, 5))
    state[TAVR11.index("CT")] = KeypointState.UNLABELLED
    moved, kept = points_to_network(xy, state, affine=np.eye(3), field=(0, 0, 10, 10), schema=TAVR11)
    visible = [TAVR11.names[i] for i in np.flatnonzero(kept == KeypointState.VISIBLE)]
    assert visible == ["AA1", "STJ1", "CP"]
    assert np.isnan(moved[TAVR11.index("AA2")]).all()
    assert kept[TAVR11.index("CT")] == KeypointState.UNLABELLED


def test_points_behind_a_collimator_become_absent() -> None:
    xy, state = states(AA1=(40, 32), AA2=(1, 32))
    item = loaded(torch.rand(1, 64, 64)) | {"keypoints": torch.tensor(xy), "state": torch.tensor(state)}
    blades = RandCollimatord("image", depth=(0.1, 0.1), prob=1).set_random_state(0)
    blades.randomize((64, 64))
    blades.drawn["field"] = (0, 6, 64, 64)
    target = EncodeKeypointsd("image")(blades(item, randomize=False))["target"]
    assert target[TAVR11.index("AA1"), 2] == KeypointState.VISIBLE
    assert target[TAVR11.index("AA2"), 2] == KeypointState.ABSENT


@pytest.fixture
def labelled_cine(tmp_path: Any) -> dict[str, Any]:
    """Three frames of 96 x 64 with a dark dot at CT, which moves by 5 pixels per frame; frame 2 has no label."""
    frames = np.full((3, 64, 96), 200, np.uint8)
    keypoints = []
    for f in range(3):
        frames[f, 20, 30 + 5 * f] = 10
        if f < 2:
            keypoints.append(Keypoints.from_points(TAVR11, {"CT": (30 + 5 * f, 20), "CP": None}, frame=f, spacing=(0.3, 0.2)))
    write_xa(tmp_path / "a.dcm", frames, header=XAHeader())
    write_label_json(tmp_path / "a.json", CineLabel(ImageInfo(64, 96, 3, (0.3, 0.2)), tuple(keypoints)))
    return {"image": str(tmp_path / "a.dcm"), "label": str(tmp_path / "a.json"), "patient": "P1"}


def test_load_one_frame_with_its_points(labelled_cine: dict[str, Any]) -> None:
    item = LoadFramed()(labelled_cine | {"frame": 1})
    image = item["image"]
    assert image.shape == (1, 64, 96)
    assert image[0, 20, 35] == image.min() < image[0, 20, 30]
    np.testing.assert_array_equal(image.affine, np.eye(3))
    assert image.meta["frames"].tolist() == [1]
    np.testing.assert_allclose(image.meta["spacing"], (0.3, 0.2))
    np.testing.assert_allclose(item["keypoints"][TAVR11.index("CT")], (35, 20))
    expected = {"CT": KeypointState.VISIBLE, "CP": KeypointState.ABSENT, "PT": KeypointState.UNLABELLED}
    assert {name: item["state"][TAVR11.index(name)] for name in expected} == expected
    assert (LoadFramed()(labelled_cine | {"frame": 2})["state"] == KeypointState.UNLABELLED).all()


def test_load_refuses_a_frame_that_is_not_there(labelled_cine: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"a\.dcm: frame 3 asked for, but the file has 3 frame\(s\)"):
        LoadFramed()(labelled_cine | {"frame": 3})


def test_encode_then_decode_returns_the_native_points(labelled_cine: dict[str, Any]) -> None:
    steps = [LoadFramed(), FitFramesd("image", image_size=(64, 64)), NormaliseFramesd("image"), EncodeKeypointsd("image")]
    item = Compose(steps)(labelled_cine | {"frame": 1})
    # a network that repeats its target: certain of what is visible
    output = torch.zeros(14, 4)
    output[:, :2] = item["target"][:, :2]
    output[:, 2] = torch.where(item["target"][:, 2] == KeypointState.VISIBLE, 8.0, -8.0)
    decoded = DecodeKeypointsd("pred", postprocess=KeypointPostprocess())(item | {"pred": output})
    prediction, truth = decoded["pred"], decoded["truth"]
    assert [TAVR11.names[i] for i in np.flatnonzero(prediction.visible)] == ["CT"]
    np.testing.assert_allclose(prediction.xy[TAVR11.index("CT")], (35, 20), atol=1e-3)
    assert (prediction.frame, truth.frame) == (1, 1)
    assert prediction.spacing == truth.spacing == pytest.approx((0.3, 0.2))
    np.testing.assert_array_equal(truth.state, item["state"])


def test_decode_a_whole_cine() -> None:
    item = FitFramesd("image", image_size=(32, 32))(loaded(torch.rand(2, 64, 64)))
    output = torch.zeros(2, 14, 4)
    output[1, :, 2] = 9.0
    output[1, :11, 0] = (8 + 0.5) / 32
    output[1, :11, 1] = (3 + 0.5) / 32
    first, second = DecodeKeypointsd("pred")(item | {"pred": output})["pred"]
    assert (first.frame, second.frame) == (0, 1)
    assert second.spacing is None
    # stride 2: the centre of network pixel 8 lies between native pixels 16 and 17
    np.testing.assert_allclose(second.xy, np.tile([16.5, 6.5], (11, 1)), atol=1e-4)


def test_target_of_an_odd_sized_native_frame_is_in_the_unit_square() -> None:
    xy, state = states(AA1=(516.4, 299.4), AA2=(0, 0))
    item = loaded(torch.rand(1, 300, 517)) | {"keypoints": torch.tensor(xy), "state": torch.tensor(state)}
    item = EncodeKeypointsd("image")(FitFramesd("image", image_size=(256, 256))(item))
    target = item["target"]
    assert target[TAVR11.index("AA1"), 2] == KeypointState.VISIBLE
    assert target[TAVR11.index("AA1"), 0] == pytest.approx(516.9 / 517, abs=1e-4)
    fitted_rows = 149  # 300 * 256 / 517, rounded; 53 rows of padding above
    assert target[TAVR11.index("AA2"), 1] == pytest.approx((53 + 0.5 * fitted_rows / 300) / 256, abs=1e-4)
    codec = KeypointCodec("tavr11", image_size=(256, 256))
    assert target.shape == codec.encode(xy * 0, state * 0).shape
