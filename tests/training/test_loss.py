"""Every term of the loss against numbers worked out by hand; masks; gradients."""

from __future__ import annotations

import math

import pytest
import torch

from monai_tavr.codec import NUM_COLUMNS, VISIBILITY
from monai_tavr.keypoints import KeypointSchema
from monai_tavr.training.loss import GroupedKeypointLoss, focal_loss, wing_loss

SCHEMA = KeypointSchema("three", {"a": ("p", "q"), "b": ("r",)})
K, G = 3, 2
TERMS = ("group", "keypoint", "regression", "heatmap", "root")


def only(term: str, **settings: object) -> GroupedKeypointLoss:
    """The loss with one term; 100 x 200 px input."""
    weights = {f"lambda_{name}": float(name == term) for name in TERMS}
    return GroupedKeypointLoss(SCHEMA, **{"image_size": (100, 200), **weights, **settings})  # type: ignore[arg-type]


def empty(batch: int = 1, columns: int = NUM_COLUMNS) -> tuple[torch.Tensor, torch.Tensor]:
    """Prediction of zeros, and a target where nothing is labelled."""
    target = torch.zeros(batch, K + G, 3)
    target[..., 2] = -1
    return torch.zeros(batch, K + G, columns), target


def test_wing_loss_by_hand() -> None:
    error = torch.tensor([0.0, 2.0, -2.0, 10.0, 15.0])
    bend = 10 - 10 * math.log(6)  # C = w - w ln(1 + w / eps)
    expected = torch.tensor([0.0, 10 * math.log(2), 10 * math.log(2), 10 - bend, 15 - bend])
    torch.testing.assert_close(wing_loss(error), expected)
    # continuous at the bend, from below and from above
    assert wing_loss(torch.tensor(10 - 1e-4)).item() == pytest.approx(10 * math.log(6), abs=1e-3)
    torch.testing.assert_close(wing_loss(torch.tensor([1.0]), w=5.0, eps=1.0), torch.tensor([5 * math.log(2)]))


def test_focal_loss_by_hand() -> None:
    logit = torch.tensor([math.log(3.0), math.log(3.0)])  # p = 0.75
    loss = focal_loss(logit, torch.tensor([1.0, 0.0]))
    expected = [0.25 * 0.25**2 * -math.log(0.75), 0.75 * 0.75**2 * -math.log(0.25)]
    torch.testing.assert_close(loss, torch.tensor(expected))
    plain = focal_loss(logit, torch.tensor([1.0, 0.0]), gamma=0.0)
    torch.testing.assert_close(plain, torch.tensor([0.25 * -math.log(0.75), 0.75 * -math.log(0.25)]))


def test_focal_loss_is_finite_and_has_gradients_at_extreme_logits() -> None:
    logit = torch.tensor([200.0, -200.0, 200.0, -200.0], requires_grad=True)
    label = torch.tensor([1.0, 1.0, 0.0, 0.0])
    loss = focal_loss(logit, label)
    loss.sum().backward()
    torch.testing.assert_close(loss, torch.tensor([0.0, 0.25 * 200, 0.75 * 200, 0.0]))
    torch.testing.assert_close(logit.grad, torch.tensor([0.0, -0.25, 0.75, 0.0]))


def test_group_term_is_summed_over_groups_and_averaged_over_the_batch() -> None:
    pred, target = empty(batch=2)
    pred[:, K:, VISIBILITY] = math.log(3.0)  # p = 0.75
    target[0, K:, 2] = torch.tensor([1.0, 0.0])
    target[1, K:, 2] = torch.tensor([1.0, -1.0])
    expected = (-math.log(0.75) - math.log(0.25) - math.log(0.75)) / 2
    assert only("group")(pred, target).item() == pytest.approx(expected, rel=1e-5)


def test_keypoint_term_is_summed_over_points_and_averaged_over_the_batch() -> None:
    pred, target = empty(batch=2)
    target[0, :K, 2] = torch.tensor([1.0, 0.0, -1.0])
    target[1, :K, 2] = torch.tensor([0.0, -1.0, -1.0])
    one, other = 0.25 * 0.25 * math.log(2), 0.75 * 0.25 * math.log(2)  # p = 0.5
    assert only("keypoint")(pred, target).item() == pytest.approx((one + 2 * other) / 2, rel=1e-5)
    assert only("keypoint", focal_gamma=0.0)(pred, target).item() == pytest.approx((0.25 + 1.5) * math.log(2) / 2, rel=1e-5)


def test_regression_term_in_pixels_and_in_normalised_units() -> None:
    pred, target = empty(batch=2)
    target[:, :K, 2] = 0
    target[0, 0] = torch.tensor([0.50, 0.50, 1.0])
    target[1, 2] = torch.tensor([0.25, 0.25, 1.0])
    pred[0, 0, :2] = torch.tensor([0.51, 0.50])  # 2 px of 200 along x
    pred[1, 2, :2] = torch.tensor([0.25, 0.45])  # 20 px of 100 along y
    bend = 10 - 10 * math.log(6)
    pixels = (10 * math.log(2) + 20 - bend) / 2  # averaged over the two visible points
    assert only("regression")(pred, target).item() == pytest.approx(pixels, rel=1e-4)
    normalised = (10 * math.log1p(0.01 / 2) + 10 * math.log1p(0.2 / 2)) / 2
    assert only("regression", wing_unit="normalised")(pred, target).item() == pytest.approx(normalised, rel=1e-4)


def test_heatmap_term_by_hand() -> None:
    """Flat logits over 25 x 50 cells: the cross-entropy is ln(1250), whatever the target."""
    pred, target = empty(columns=NUM_COLUMNS + 25 * 50)
    target[0, 1] = torch.tensor([0.3, 0.7, 1.0])
    assert only("heatmap")(pred, target).item() == pytest.approx(math.log(1250), rel=1e-5)
    # all mass in the right cell costs -ln(1 - what the Gaussian keeps outside); sigma 0.1 keeps nothing
    pred[0, 1, NUM_COLUMNS + 17 * 50 + 15] = 100.0
    target[0, 1, :2] = torch.tensor([15.5 / 50, 17.5 / 25])
    assert only("heatmap", heatmap_sigma=0.1)(pred, target).item() == pytest.approx(0.0, abs=1e-5)


def test_heatmap_term_is_least_at_the_sub_cell_position() -> None:
    place = torch.tensor([15.8 / 50, 17.3 / 25])
    pred, target = empty(columns=NUM_COLUMNS + 25 * 50)
    target[0, 0] = torch.tensor([*place.tolist(), 1.0])
    rows, columns = torch.meshgrid(torch.arange(25.0), torch.arange(50.0), indexing="ij")

    def loss(dx: float, dy: float) -> float:
        square = (columns + 0.5 - 15.8 - dx).square() + (rows + 0.5 - 17.3 - dy).square()
        pred[0, 0, NUM_COLUMNS:] = (-square / (2 * 2.0**2)).flatten()
        return only("heatmap")(pred, target).item()

    best = loss(0, 0)
    assert best == pytest.approx(math.log(2 * math.pi * math.e * 4), abs=1e-2)  # entropy of a Gaussian of sigma 2 in the plane
    assert all(loss(dx, dy) > best for dx, dy in ((0.1, 0), (-0.1, 0), (0, 0.1), (0, -0.1)))


def test_terms_are_weighted_and_kept_for_logging() -> None:
    torch.manual_seed(0)
    pred, target = empty(batch=2, columns=NUM_COLUMNS + 25 * 50)
    pred = torch.randn_like(pred).requires_grad_()
    target[..., 2] = 1
    weights = {"group": 0.5, "keypoint": 2.0, "regression": 0.25, "heatmap": 3.0}
    loss = GroupedKeypointLoss(SCHEMA, image_size=(100, 200), **{f"lambda_{k}": v for k, v in weights.items()})
    total = loss(pred, target)
    assert set(loss.terms) == set(TERMS) - {"root"}  # of networks with root maps only
    assert all(not term.requires_grad for term in loss.terms.values())
    torch.testing.assert_close(total, torch.stack([weights[k] * v for k, v in loss.terms.items()]).sum())
    for name in loss.terms:
        torch.testing.assert_close(only(name)(pred, target).detach(), loss.terms[name])


def test_absent_points_teach_visibility_only_and_unlabelled_ones_nothing() -> None:
    torch.manual_seed(0)
    pred = torch.randn(1, K + G, NUM_COLUMNS + 25 * 50).requires_grad_()
    target = torch.zeros(1, K + G, 3)
    target[0, :, 2] = torch.tensor([1.0, 0.0, -1.0, 1.0, -1.0])
    GroupedKeypointLoss(SCHEMA, image_size=(100, 200))(pred, target).backward()
    assert pred.grad is not None
    taught = pred.grad[0].abs() > 0
    assert taught[0, [0, 1, VISIBILITY]].all()
    assert taught[0, NUM_COLUMNS:].any()
    assert taught[1].nonzero().flatten().tolist() == [VISIBILITY]
    assert not taught[2].any()
    assert taught[3].nonzero().flatten().tolist() == [VISIBILITY]
    assert not taught[4].any()


@pytest.mark.parametrize("columns", [NUM_COLUMNS, NUM_COLUMNS + 25 * 50])
@pytest.mark.parametrize("state", [0.0, -1.0])
def test_batch_without_visible_points_is_a_finite_zero_with_gradient(state: float, columns: int) -> None:
    pred, target = empty(batch=2, columns=columns)
    pred.requires_grad_()
    target[..., 2] = state
    loss = GroupedKeypointLoss(SCHEMA, image_size=(100, 200))
    loss(pred, target).backward()
    assert loss.terms["regression"] == 0
    assert loss.terms["heatmap"] == 0
    assert pred.grad is not None
    assert torch.isfinite(pred.grad).all()


def test_root_term_by_hand() -> None:
    """4 x 8 cells, the left half of which is root in the first frame, and half known; nothing is known of the second."""
    pred, target = empty(batch=2, columns=NUM_COLUMNS + 32)
    root = torch.zeros(2, 2, NUM_COLUMNS + 32)
    root[0, 0, NUM_COLUMNS:] = math.log(3.0)  # root: p = 0.75 everywhere
    root[1] = 5.0  # must not count
    root.requires_grad_()
    mask = torch.full((2, 4, 8), 255, dtype=torch.uint8)
    mask[0, :, :4] = 1
    mask[0, :2, 4:] = 0
    loss = only("root", image_size=(16, 32))
    value = loss(torch.cat([pred, root], dim=1), {"target": target, "root_mask": mask})
    # region: 16 cells of root, 8 outside are known; boundary: all cells whose 3 x 3 surroundings are known, at p = 0.5 each:
    # rows 0-3 x columns 0-2, and row 0 x columns 3-7; of row 1 the columns 3-7 touch what is unknown below
    cells = 24 + 4 * 3 + 5
    expected = (16 * -math.log(0.75) + 8 * -math.log(0.25) + (4 * 3 + 5) * math.log(2)) / cells
    assert value.item() == pytest.approx(expected, rel=1e-6)
    value.backward()
    assert root.grad is not None
    assert root.grad[1].abs().sum() == 0
    # the boundary lies on both sides of the edge between columns 3 and 4: there the gradient asks for more, elsewhere for less
    boundary = root.grad[0, 1, NUM_COLUMNS:].reshape(4, 8)
    assert (boundary[0, 3:5] < 0).all()
    assert (boundary[0, [0, 1, 2, 5, 6, 7]] > 0).all()


def test_without_a_mask_the_root_teaches_nothing() -> None:
    pred, target = empty(columns=NUM_COLUMNS + 32)
    rows = torch.cat([pred, torch.ones(1, 2, NUM_COLUMNS + 32)], dim=1).requires_grad_()
    loss = only("root", image_size=(16, 32))
    for given in (target, {"target": target, "root_mask": torch.full((1, 4, 8), 255, dtype=torch.uint8)}):
        value = loss(rows, given)
        value.backward()
        assert value.item() == 0
    assert rows.grad is not None
    assert rows.grad.abs().sum() == 0
    with pytest.raises(ValueError, match=r"root_mask must be \(1, 4, 8\), got \(1, 8, 8\)"):
        loss(rows, {"target": target, "root_mask": torch.zeros(1, 8, 8)})


def test_prediction_without_heat_maps_has_no_heat_map_term() -> None:
    pred, target = empty()
    target[...] = torch.tensor([0.5, 0.5, 1.0])
    loss = GroupedKeypointLoss(SCHEMA, image_size=(100, 200))
    loss(pred, target)
    assert loss.terms["heatmap"] == 0
    assert loss.terms["regression"] > 0


def test_bfloat16_predictions_are_summed_in_float32() -> None:
    pred, target = empty(columns=NUM_COLUMNS + 25 * 50)
    target[..., 2] = 1
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = GroupedKeypointLoss(SCHEMA, image_size=(100, 200))(pred.bfloat16(), target)
    assert loss.dtype == torch.float32


def test_errors() -> None:
    pred, target = empty()
    with pytest.raises(ValueError, match="wing_unit"):
        GroupedKeypointLoss(wing_unit="mm")
    with pytest.raises(ValueError, match="must be positive"):
        GroupedKeypointLoss(wing_eps=0)
    with pytest.raises(ValueError, match="focal_alpha"):
        GroupedKeypointLoss(focal_alpha=2)
    with pytest.raises(ValueError, match="not be negative"):
        GroupedKeypointLoss(lambda_group=-1)
    with pytest.raises(ValueError, match=r"needs a prediction \(B, 14, 4\+\)"):
        GroupedKeypointLoss()(pred, target)
    with pytest.raises(ValueError, match="needs a target"):
        only("group")(pred, target[:, :K])
    with pytest.raises(ValueError, match="1200 cells does not fit image_size"):
        only("heatmap")(*empty(columns=NUM_COLUMNS + 1200))
