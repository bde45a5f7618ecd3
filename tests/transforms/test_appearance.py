"""Random X-ray appearance: what each does, worked out by hand, and that a drawing can be replayed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from monai_tavr.transforms.appearance import (
    RandBackgroundd,
    RandCollimatord,
    RandQuantumNoised,
    RandWindowd,
    add_quantum_noise,
    collimate,
    subtract_background,
    window,
)
from monai_tavr.transforms.points import FIELD

ALL = (RandBackgroundd, RandCollimatord, RandQuantumNoised, RandWindowd)


def frame(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((64, 64)).astype(np.float32)


def test_noise_grows_with_the_root_of_the_grey_level() -> None:
    bright, dark = (add_quantum_noise(np.full((256, 256), v, np.float32), strength=0.05, blur=0, seed=1) for v in (1.0, 0.25))
    assert bright.std() == pytest.approx(0.05, rel=0.02)
    assert dark.std() == pytest.approx(0.025, rel=0.02)
    assert bright.mean() == pytest.approx(1, abs=0.001)


def test_blurred_noise_keeps_its_strength_and_is_correlated() -> None:
    noise = add_quantum_noise(np.ones((256, 256), np.float32), strength=0.1, blur=1.0, seed=2) - 1
    assert noise.std() == pytest.approx(0.1, rel=0.02)
    # neighbours of white noise blurred by sigma have correlation exp(-1 / (4 sigma^2))
    assert np.corrcoef(noise[:, :-1].ravel(), noise[:, 1:].ravel())[0, 1] == pytest.approx(np.exp(-0.25), abs=0.03)


def test_background_is_removed_and_detail_stays() -> None:
    _, columns = np.mgrid[:128, :128].astype(np.float32)
    slow, detail = columns / 128, 0.2 * np.sin(columns * np.pi / 2)
    flat = subtract_background(slow + detail, amount=1.0, sigma=8)
    inner = np.s_[32:96, 32:96]
    assert np.abs(flat - detail - slow.mean())[inner].max() < 0.03
    assert flat.mean() == pytest.approx((slow + detail).mean(), abs=1e-3)


def test_window() -> None:
    levels = np.array([[0.0, 0.2, 0.5, 0.8, 1.0]], np.float32)
    np.testing.assert_allclose(window(levels, low=0.2, high=0.8, soft=False), [[0, 0, 0.5, 1, 1]], atol=1e-6)
    # DICOM PS3.3 C.11.2.1.3.1: 1 / (1 + exp(-4 (x - centre) / width))
    expected = 1 / (1 + np.exp(-4 * (levels - 0.5) / 0.6))
    np.testing.assert_allclose(window(levels, low=0.2, high=0.8, soft=True), expected, rtol=1e-5)


def test_collimator_leaves_the_field_and_the_image_border_alone() -> None:
    image = np.ones((40, 40), np.float32)
    closed = collimate(image, field=(0, 10, 40, 40), level=0.1, blur=1.0)
    np.testing.assert_allclose(closed[:, :6], 0.1, atol=1e-3)
    np.testing.assert_allclose(closed[:, 15:], 1, atol=1e-3)
    # half way down at the blade's edge, which lies between columns 9 and 10
    assert closed[20, 9:11].mean() == pytest.approx(0.55, abs=1e-3)


@pytest.mark.parametrize("kind", ALL)
def test_a_drawing_is_replayed_and_seeds_matter(kind: type) -> None:
    item = {"image": MetaTensor(torch.from_numpy(frame())[None], affine=torch.eye(3))}
    transform = kind("image", prob=1.0).set_random_state(5)
    first = transform(item)["image"]
    assert torch.equal(transform(item, randomize=False)["image"], first)
    assert torch.equal(kind("image", prob=1.0).set_random_state(5)(item)["image"], first)
    assert not torch.equal(kind("image", prob=1.0).set_random_state(6)(item)["image"], first)
    assert first.dtype == torch.float32
    assert first.shape == (1, 64, 64)
    assert torch.isfinite(first).all()


@pytest.mark.parametrize("kind", ALL)
def test_probability_zero_changes_nothing_and_the_input_is_never_changed(kind: type) -> None:
    item = {"image": MetaTensor(torch.from_numpy(frame())[None], affine=torch.eye(3))}
    assert torch.equal(kind("image", prob=0.0)(item)["image"], item["image"])
    kind("image", prob=1.0)(item)
    np.testing.assert_array_equal(item["image"][0], frame())


def test_collimator_notes_its_field_on_a_copy_of_the_meta_data() -> None:
    item = {"image": MetaTensor(torch.from_numpy(frame())[None], affine=torch.eye(3))}
    image = RandCollimatord("image", depth=(0.1, 0.1), prob=1).set_random_state(0)(item)["image"]
    row0, column0, row1, column1 = image.meta[FIELD]
    assert {row0, column0} <= {0, 6}
    assert {row1, column1} <= {58, 64}
    assert FIELD not in item["image"].meta


def test_all_channels_get_the_same_drawing() -> None:
    image = RandWindowd("image", prob=1).set_random_state(1)({"image": torch.from_numpy(frame())[None].repeat(2, 1, 1)})["image"]
    assert torch.equal(image[0], image[1])


def test_window_ranges_must_not_overlap() -> None:
    with pytest.raises(ValueError, match="must lie below"):
        RandWindowd("image", low=(0, 0.6), high=(0.5, 1))
