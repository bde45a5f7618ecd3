"""What a teacher is sure of, where its points lie in a changed image, and what a batch is made of; numbers by hand."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.transforms import Compose, RandAffined, RandFlipd
from PIL import Image
from torch import Tensor, nn

from monai_tavr.codec import encode_heatmap
from monai_tavr.dicom.writer import write_xa
from monai_tavr.keypoints import KeypointSchema
from monai_tavr.training import GroupedKeypointLoss, Teacher
from monai_tavr.training.consistency import ConsistencyLoss, TaughtLoss
from monai_tavr.training.teacher import Belief, Taught, carry_belief, unmirror, weigh_looks
from monai_tavr.transforms import FitFramesd, LoadFramed, RandCollimatord, RelateViewsd

SCHEMA = KeypointSchema("three", {"a": ("p", "q"), "b": ("r",)}, flip_pairs=(("p", "q"),))
K, G = 3, 2
SIZE = (100, 200)  # (h, w)
IDENTITY = np.eye(3)[None]
WHOLE = np.array([[0.0, 0.0, 100.0, 200.0]])


def logit(p: float) -> float:
    return math.log(p / (1 - p))


def look(probabilities: list[float], xy: list[tuple[float, float]]) -> Tensor:
    """(K + G, 4) output: probabilities of p, q, r, a, b; places of p, q, r in pixels of the input."""
    output = torch.zeros(K + G, 4)
    output[:, 2] = torch.tensor([logit(p) for p in probabilities])
    output[:K, 0] = torch.tensor([x / SIZE[1] for x, _ in xy])
    output[:K, 1] = torch.tensor([y / SIZE[0] for _, y in xy])
    return output


def weighed(*looks: Tensor) -> Belief:
    bounds = {"sure_present": 0.9, "sure_absent": 0.1, "agreement_px": 4.0}
    return weigh_looks(torch.stack(looks)[None], schema=SCHEMA, image_size=SIZE, **bounds)


PLACES = [(20.0, 30.0), (60.0, 30.0), (90.0, 50.0)]


def test_sure_where_all_looks_are_high_or_all_low() -> None:
    sure = look([0.95, 0.95, 0.05, 0.95, 0.05], PLACES)
    doubt_q = look([0.95, 0.85, 0.05, 0.95, 0.05], PLACES)
    doubt_r = look([0.95, 0.95, 0.12, 0.95, 0.2], PLACES)
    assert weighed(sure, sure, sure, sure).sure.tolist() == [[1, 1, 1, 1, 1]]
    assert weighed(sure, doubt_q, sure, sure).sure.tolist() == [[1, 0, 1, 1, 1]]  # the frame before
    assert weighed(sure, sure, doubt_q, doubt_r).sure.tolist() == [[1, 0, 0, 1, 0]]  # the one after, the mirror
    belief = weighed(sure, doubt_r, sure, doubt_q)
    torch.testing.assert_close(belief.probability, torch.tensor([[0.95, 0.95, 0.05, 0.95, 0.05]]))  # the frame's own look


def test_a_point_of_a_doubtful_group_is_not_taught_as_present_but_may_be_as_absent() -> None:
    one = look([0.95, 0.05, 0.95, 0.6, 0.95], PLACES)
    belief = weighed(one, one, one, one)
    assert belief.sure.tolist() == [[0, 1, 1, 0, 1]]
    assert belief.weight.tolist() == [[0, 0, 1]]


def test_a_place_weighs_by_the_larger_distance() -> None:
    def at(r: tuple[float, float]) -> Tensor:
        return look([0.95] * 5, [*PLACES[:2], r])

    # 3 px to the right and 4 down in the mirror's answer: 5 px
    belief = weighed(at((90, 50)), at((90, 50)), at((90, 50)), at((93, 54)))
    assert belief.weight[0, 2].item() == pytest.approx(math.exp(-25 / 32), rel=1e-4)
    # an even movement of 6 px a frame lies in the middle between the neighbours
    assert weighed(at((90, 50)), at((84, 50)), at((96, 50)), at((90, 50))).weight[0, 2].item() == pytest.approx(1)
    # out and back: the middle of the neighbours is 4 px off, the mirror 2 px
    belief = weighed(at((90, 50)), at((84, 50)), at((88, 50)), at((92, 50)))
    assert belief.weight[0].tolist() == pytest.approx([1, 1, math.exp(-0.5)], rel=1e-4)
    assert (belief.xy[0, 2] * torch.tensor([200, 100])).tolist() == pytest.approx([90, 50])


def test_a_mirrored_answer_is_turned_back_with_its_pairs() -> None:
    there = look([0.9, 0.8, 0.7, 0.6, 0.4], [(180.0, 30.0), (140.0, 31.0), (110.0, 50.0)])
    back = unmirror(there, SCHEMA)
    expected = look([0.8, 0.9, 0.7, 0.6, 0.4], [(60.0, 31.0), (20.0, 30.0), (90.0, 50.0)])
    torch.testing.assert_close(back[:K], expected[:K])
    torch.testing.assert_close(back[K:, 2], expected[K:, 2])  # groups have no place
    torch.testing.assert_close(unmirror(back, SCHEMA)[:K], there[:K])


def belief_of(probabilities: list[float], sure: list[float]) -> Belief:
    xy = torch.tensor([[(x + 0.5) / SIZE[1], (y + 0.5) / SIZE[0]] for x, y in PLACES])[None]
    return Belief(xy, torch.tensor([probabilities]), torch.tensor([sure], dtype=torch.float32), torch.tensor([[0.5, 0.75, 1.0]]))


def carried(belief: Belief, to_views: np.ndarray, field: np.ndarray = WHOLE) -> Belief:
    return carry_belief(belief, to_views=to_views, field=field, schema=SCHEMA, image_size=SIZE)


def pixels(belief: Belief) -> list[list[float]]:
    return (belief.xy[0] * torch.tensor([SIZE[1], SIZE[0]]) - 0.5).tolist()


def test_points_go_where_the_image_went_and_pairs_change_places_in_a_mirror() -> None:
    belief = belief_of([0.9, 0.95, 0.9, 0.9, 0.9], [1] * 5)
    same = carried(belief, IDENTITY)
    for a, b in zip(same, belief, strict=True):
        torch.testing.assert_close(a, b)
    # the image shows what lies 10 px further right: its column c is the frame's c + 10
    moved = carried(belief, np.array([[[1, 0, 0], [0, 1, 10], [0, 0, 1.0]]]))
    assert np.ravel(pixels(moved)) == pytest.approx(np.ravel([(10, 30), (50, 30), (80, 50)]), abs=1e-4)
    # column c is the frame's 199 - c: what was p is on the other side, and is q now
    turned = carried(belief, np.array([[[1, 0, 0], [0, -1, 199], [0, 0, 1.0]]]))
    assert np.ravel(pixels(turned)) == pytest.approx(np.ravel([(139, 30), (179, 30), (109, 50)]), abs=1e-4)
    assert turned.weight.tolist() == [[0.75, 0.5, 1.0]]
    assert turned.probability[0].tolist() == pytest.approx([0.95, 0.9, 0.9, 0.9, 0.9])


def test_what_left_the_image_is_absent_and_its_group_with_its_last_point() -> None:
    behind_blades = np.array([[0.0, 40.0, 100.0, 200.0]])  # p is hidden
    found = carried(belief_of([0.9, 0.95, 0.9, 0.9, 0.9], [1] * 5), IDENTITY, behind_blades)
    assert found.probability[0].tolist() == pytest.approx([0, 0.95, 0.9, 0.9, 0.9])
    assert found.sure.tolist() == [[1] * 5]
    assert found.weight.tolist() == [[0, 0.75, 1.0]]
    far = np.array([[0.0, 95.0, 100.0, 200.0]])  # all are
    found = carried(belief_of([0.9, 0.95, 0.9, 0.9, 0.9], [1] * 5), IDENTITY, far)
    assert found.probability.tolist() == [[0] * 5]
    assert found.sure.tolist() == [[1] * 5]
    # nobody knows of q: the group may be there still
    found = carried(belief_of([0.9, 0.6, 0.9, 0.9, 0.9], [1, 0, 1, 1, 1]), IDENTITY, far)
    assert found.sure.tolist() == [[1, 0, 1, 0, 1]]
    # an absence stays one wherever the image goes
    found = carried(belief_of([0.05] * 5, [1] * 5), IDENTITY, far)
    assert found.probability[0].tolist() == pytest.approx([0.05] * 5)
    assert found.sure.tolist() == [[1] * 5]
    assert found.weight.tolist() == [[0] * 3]


def test_nothing_is_said_of_what_is_not_sure() -> None:
    found = carried(belief_of([0.6] * 5, [0] * 5), IDENTITY)
    assert found.sure.tolist() == [[0] * 5]
    assert found.weight.tolist() == [[0] * 3]


class Brightest(nn.Module):
    """p and q are in the middle of what is bright, r in that of the frame; everything is surely there."""

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        light = (x[:, 0] > 0.5).float()
        output = x.new_full((len(x), K + G, 4), 0.5)
        output[..., 2] = 5.0
        for column, size, axis in ((0, width, 1), (1, height, 2)):
            place = (light.sum(dim=axis) * torch.arange(size)).sum(dim=1) / light.sum(dim=(1, 2))
            output[:, :2, column] = ((place + 0.5) / size)[:, None]
        return output


def test_transforms_and_teacher_agree_on_where_the_light_went(tmp_path: Path) -> None:
    """The teacher's point of the frame as it is lies on the light of the image that was flipped, turned and moved."""
    frames = np.zeros((3, 64, 64), np.uint8)
    for f in range(3):
        frames[f, 24:27, 40 + f : 43 + f] = 255
    write_xa(tmp_path / "a.dcm", frames)
    flip, affine = (
        RandFlipd("image", spatial_axis=1, prob=1.0),
        RandAffined("image", rotate_range=0.3, translate_range=8, prob=1.0),
    )
    affine.set_random_state(3)
    transforms = Compose(
        [
            LoadFramed(schema=SCHEMA, neighbours=True),
            FitFramesd(["image", "views"], image_size=(96, 96)),
            *[flip, affine, RandCollimatord("image", prob=1.0), RelateViewsd("image")],
        ]
    )
    item = transforms({"image": str(tmp_path / "a.dcm"), "frame": 1})
    assert item["views"].shape == (3, 96, 96)
    assert [int(np.argmax(v.sum(0))) for v in item["views"].numpy()] == pytest.approx(
        [62, 60, 63], abs=1
    )  # itself, before, after
    teacher = Teacher(Brightest(), schema=SCHEMA, image_size=(96, 96))
    image = torch.as_tensor(item["image"].as_tensor())[None]
    other = {
        "image": image,
        "views": item["views"].as_tensor()[None],
        "to_views": item["to_views"][None],
        "field": item["field"][None],
    }
    seen, taught = teacher({"image": torch.zeros(2, 1, 96, 96), "target": torch.zeros(2, K + G, 3), "unlabelled": other}, "cpu")
    assert seen.shape == (3, 1, 96, 96)
    assert taught.labels.shape == (2, K + G, 3)
    light = np.argwhere(image[0, 0].numpy() > 0.5).mean(axis=0)[::-1]
    said = taught.belief.xy[0, 0].numpy() * 96 - 0.5
    assert np.linalg.norm(said - light) < 0.5
    assert taught.belief.weight[0, 0] > 0.9


def test_a_picture_stands_for_its_neighbours(tmp_path: Path) -> None:
    Image.fromarray(np.arange(64 * 64, dtype=np.uint8).reshape(64, 64)).save(tmp_path / "a.png")
    views = LoadFramed(neighbours=True)({"image": str(tmp_path / "a.png"), "frame": 0})["views"]
    assert torch.equal(views[0], views[1])
    assert torch.equal(views[0], views[2])


@pytest.mark.parametrize(
    ("settings", "words"),
    [({"sure_present": 0.4}, "sure_present above"), ({"sure_absent": 0.6}, "below 0.5"), ({"agreement_px": 0}, "agreement_px")],
)
def test_settings_out_of_range_are_refused(settings: dict[str, float], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Teacher(Brightest(), schema=SCHEMA, image_size=SIZE, **settings)


def test_presence_term_is_the_divergence_of_what_is_sure() -> None:
    loss = ConsistencyLoss(image_size=SIZE, lambda_presence=1, lambda_place=0, lambda_map=0)
    belief = belief_of([0.9, 0.9, 0.05, 0.9, 0.05], [1, 0, 1, 0, 0])
    pred = torch.zeros(1, K + G, 4)  # p = 0.5 everywhere
    by_hand = sum(q * math.log(q / 0.5) + (1 - q) * math.log((1 - q) / 0.5) for q in (0.9, 0.05))
    assert loss(pred, belief).item() == pytest.approx(by_hand, rel=1e-5)
    pred[0, [0, 2], 2] = torch.tensor([logit(0.9), logit(0.05)])
    assert loss(pred, belief).item() == pytest.approx(0, abs=1e-6)  # nobody gets surer than the teacher
    certain = belief_of([0.0] * 5, [1] * 5)  # left the image: a certainty, and finite
    assert loss(torch.zeros(1, K + G, 4), certain).item() == pytest.approx(5 * math.log(2))
    assert loss.terms["taught"].item() == 1


def test_place_and_map_terms_are_weighted_means() -> None:
    place = ConsistencyLoss(image_size=SIZE, lambda_presence=0, lambda_place=1, lambda_map=0)
    belief = belief_of([0.9] * 5, [1] * 5)
    pred = torch.zeros(1, K + G, 4)
    pred[:, :K, :2] = belief.xy
    pred[0, 0, 0] += 2 / 200  # p, weight 0.5: 2 px right of the teacher's
    pred[0, 2, 1] -= 4 / 100  # r, weight 1: 4 px above
    expected = (0.5 * 10 * math.log(2) + 10 * math.log(3)) / 2.25
    assert place(pred, belief).item() == pytest.approx(expected, rel=1e-5)
    little = belief._replace(weight=torch.tensor([[0.1, 0.0, 0.0]]))
    assert place(pred, little).item() == pytest.approx(0.1 * 10 * math.log(2), rel=1e-4)

    only_map = ConsistencyLoss(image_size=SIZE, lambda_presence=0, lambda_place=0, lambda_map=1)
    flat = torch.zeros(1, K + G, 4 + 25 * 50)
    assert only_map(flat, belief).item() == pytest.approx(math.log(25 * 50), rel=1e-5)  # whatever the teacher says
    alike = flat.clone()  # the very Gaussians that the teacher's places make: their entropy is left
    goal = encode_heatmap(belief.xy[0], (25, 50), 2.0).flatten(1).double()
    alike[0, :K, 4:] = goal.clamp(min=1e-30).log().float()
    entropy = -torch.xlogy(goal, goal).sum(dim=1)
    expected = float((entropy * belief.weight[0]).sum() / 2.25)
    assert only_map(alike, belief).item() == pytest.approx(expected, rel=1e-4)
    assert expected < math.log(25 * 50)
    assert only_map(torch.zeros(1, K + G, 4), belief).item() == 0  # a network without heat maps


def test_a_batch_is_learnt_from_labels_and_teacher() -> None:
    labelled, consistency = GroupedKeypointLoss(SCHEMA, image_size=SIZE), ConsistencyLoss(image_size=SIZE)
    both = TaughtLoss(labelled, consistency, weight=2.0)
    pred = torch.randn(3, K + G, 4, generator=torch.Generator().manual_seed(0), requires_grad=True)
    labels = torch.zeros(2, K + G, 3)
    belief = belief_of([0.9] * 5, [1] * 5)
    loss = both(pred, Taught(labels, belief))
    assert loss.item() == pytest.approx((labelled(pred[:2], labels) + 2 * consistency(pred[2:], belief)).item())
    loss.backward()
    assert set(both.terms) == {"group", "keypoint", "regression", "heatmap", "presence", "place", "map", "taught"}
    with pytest.raises(ValueError, match="must not be negative"):
        TaughtLoss(labelled, consistency, weight=-1)
    with pytest.raises(ValueError, match="must not be negative"):
        ConsistencyLoss(image_size=SIZE, lambda_map=-1)
