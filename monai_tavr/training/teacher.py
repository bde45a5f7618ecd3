"""A mean teacher: what the running mean of a network says of frames without labels, as far as it agrees with itself.

Mean teachers are better targets (Tarvainen & Valpola 2017, arXiv:1703.01780). The teacher looks at the frame as it is, in the
mirror, and at its two neighbours in time; its student sees the frame changed in grey levels and geometry (as in FixMatch,
arXiv:2001.07685), and the teacher's points are carried there. What is taught is what the teacher says of the frame as it is; the
other looks decide whether it may be taught, for where they agree it is right (mirrored frames are placed worse, 2.9 instead of
1.7 px in the median of 422 phantom points, so that a mean of both looks would teach errors):

- **Presence** of a point or group is taught where every look says at least ``sure_present``, or every look at most
  ``sure_absent``; the teacher's own probability is the goal, so that nobody gets surer than the teacher is. In between, where
  contrast just arrives for example, nothing is taught: neither "there" nor "not there".
- **Place** is taught of points surely present in a group surely present, and weighs ``exp(-(d / agreement_px)^2 / 2)``: d is the
  larger of the distances from the mirror's answer and from the middle between the neighbours', where a point lies that moves
  evenly.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from monai_tavr.codec import NUM_COLUMNS, VISIBILITY, X, Y
from monai_tavr.keypoints import KeypointSchema, KeypointState, load_schema
from monai_tavr.training.handlers import prepare_batch
from monai_tavr.training.inferers import AutocastInferer
from monai_tavr.transforms.points import points_to_network

__all__ = ["Belief", "Taught", "Teacher", "carry_belief", "unmirror", "weigh_looks"]


class Belief(NamedTuple):
    """What a teacher says of B frames; what it is not sure of has weight 0.

    Attributes:
        xy: (B, K, 2) normalised (x, y).
        probability: (B, K + G) in [0, 1], of being visible, or present.
        sure: (B, K + G) weight of the presence: 1 where it is taught, else 0.
        weight: (B, K) in [0, 1], how much the place counts.
    """

    xy: Tensor
    probability: Tensor
    sure: Tensor
    weight: Tensor


class Taught(NamedTuple):
    """What a batch is learnt from: its first frames from labels, the others from a teacher.

    Attributes:
        labels: as :func:`monai_tavr.training.prepare_batch` gives them.
        belief: of the frames behind.
    """

    labels: Any
    belief: Belief


def unmirror(output: Tensor, schema: KeypointSchema) -> Tensor:
    """The output on a mirrored frame, as that of the frame: x turned round, flip pairs exchanged.

    Args:
        output: (..., K + G, 4): normalised x and y, logit, spread.
        schema: keypoint schema.

    Returns:
        (..., K + G, 4), the same columns, normalised as before.
    """
    order = [*schema.flip_permutation.tolist(), *range(schema.num_keypoints, schema.num_keypoints + schema.num_groups)]
    turned = output[..., order, :].clone()
    turned[..., X] = 1 - turned[..., X]
    return turned


def weigh_looks(
    looks: Tensor,
    *,
    schema: KeypointSchema,
    image_size: tuple[int, int],
    sure_present: float,
    sure_absent: float,
    agreement_px: float,
) -> Belief:
    """What four looks at a frame say together; see the module's docstring.

    Args:
        looks: (B, 4, K + G, 4) outputs, normalised x and y, logit, spread: of the frame, the one before, the one after, the frame
            in the mirror (turned back).
        schema: keypoint schema.
        image_size: (h, w) of the network's input in pixels.
        sure_present, sure_absent: bounds of the probability.
        agreement_px: distance in pixels of the network's input at which a place weighs exp(-1/2).
    """
    k = schema.num_keypoints
    probability = torch.sigmoid(looks[..., VISIBILITY])
    lowest, highest = probability.amin(dim=1), probability.amax(dim=1)
    present, absent = lowest >= sure_present, highest <= sure_absent
    group = torch.as_tensor(schema.group_index, device=looks.device) + k
    present[:, :k] &= present[:, group]
    size = looks.new_tensor([image_size[1], image_size[0]])
    here, before, after, mirror = (looks[:, i, :k, X : Y + 1] for i in range(4))
    gaps = [((here - other) * size).norm(dim=-1) for other in (mirror, (before + after) / 2)]
    weight = torch.exp(-0.5 * (torch.maximum(*gaps) / agreement_px).square())
    return Belief(
        xy=here,
        probability=probability[:, 0],
        sure=(present | absent).float(),
        weight=weight * present[:, :k],
    )


def carry_belief(
    belief: Belief, *, to_views: np.ndarray, field: np.ndarray, schema: KeypointSchema, image_size: tuple[int, int]
) -> Belief:
    """What is believed of frames, for the changed images of them that a student sees.

    A point that has left the image is absent there, and a group with it when none of its points is left; where some of them may
    be left, nothing is said of the group.

    Args:
        belief: in the frames' own pixels.
        to_views: (B, 3, 3) over (row, column), from pixels of the changed images to those of the frames.
        field: (B, 4) pixels (row0, column0, row1, column1) that the changed images show, ends excluded.
        schema: its flip pairs are exchanged where an image is mirrored.
        image_size: (h, w) of both in pixels.
    """
    size = np.array([image_size[1], image_size[0]], float)
    frames = zip(*(tensor.cpu().numpy() for tensor in belief), to_views, field, strict=True)
    carried = zip(*(_carry(*of_frame, schema=schema, size=size) for of_frame in frames), strict=True)
    stacked = zip((np.stack(part) for part in carried), belief, strict=True)
    return Belief(*(torch.as_tensor(part, dtype=old.dtype, device=old.device) for part, old in stacked))


def _carry(
    place: np.ndarray,
    said: np.ndarray,
    sure: np.ndarray,
    weight: np.ndarray,
    to_views: np.ndarray,
    field: np.ndarray,
    *,
    schema: KeypointSchema,
    size: np.ndarray,
) -> tuple[np.ndarray, ...]:
    """:func:`carry_belief` for one frame."""
    k = schema.num_keypoints
    order = schema.flip_permutation if np.linalg.det(to_views[:2, :2]) < 0 else np.arange(k)
    state = np.where(said[:k] >= 0.5, KeypointState.VISIBLE, KeypointState.ABSENT)
    state = np.where(sure[:k] > 0, state, KeypointState.UNLABELLED)
    xy, seen = points_to_network(place * size - 0.5, state, affine=to_views, field=field.tolist(), schema=schema)
    said, sure = np.append(said[:k][order], said[k:]), np.append(sure[:k][order], sure[k:])
    said[:k][(state[order] == KeypointState.VISIBLE) & (seen == KeypointState.ABSENT)] = 0
    for g in range(schema.num_groups):
        of_group = seen[schema.group_index == g]
        if said[k + g] >= 0.5 and not (of_group == KeypointState.VISIBLE).any():
            if (of_group == KeypointState.ABSENT).all():
                said[k + g] = 0
            else:
                sure[k + g] = 0
    weight = np.where(seen == KeypointState.VISIBLE, weight[order], 0)
    return np.where(weight[:, None] > 0, (xy + 0.5) / size, 0.5), said, sure, weight


class Teacher:
    """Makes the batches of a trainer: labelled frames as they are, and unlabelled ones with what the teacher says of them.

    It stands for :func:`monai_tavr.training.prepare_batch` before a :class:`monai_tavr.training.TaughtLoss`.

    Args:
        network: the running mean of the student, in evaluation mode.
        schema: keypoint schema.
        image_size: (h, w) of the network's input in pixels.
        inferer: of the forward pass; None = in full precision.
        sure_present, sure_absent: bounds of the probability; see the module's docstring.
        agreement_px: see there.

    Raises:
        ValueError: a setting is out of its range.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        schema: str | KeypointSchema = "tavr11",
        image_size: tuple[int, int],
        inferer: Callable[[Tensor, nn.Module], Tensor] | None = None,
        sure_present: float = 0.9,
        sure_absent: float = 0.1,
        agreement_px: float = 4.0,
    ) -> None:
        if not 0 < sure_absent < 0.5 < sure_present < 1:
            raise ValueError(f"sure_absent must lie below 0.5 and sure_present above, got {sure_absent} and {sure_present}")
        if not agreement_px > 0:
            raise ValueError(f"agreement_px must be positive, got {agreement_px}")
        self.network, self.schema = network, load_schema(schema)
        self.image_size = (int(image_size[0]), int(image_size[1]))
        self.inferer = AutocastInferer(enabled=False) if inferer is None else inferer
        self.bounds = {"sure_present": sure_present, "sure_absent": sure_absent, "agreement_px": agreement_px}

    def __call__(
        self, batch: Mapping[str, Any], device: str | torch.device | None = None, non_blocking: bool = False, **kwargs: Any
    ) -> tuple[Tensor, Taught]:
        """The frames of both kinds, one behind the other, and what they are learnt from.

        Args:
            batch: of :class:`monai_tavr.training.PairedBatches`; what is unlabelled has ``image`` (U, 1, h, w), ``views``
                (U, 3, h, w), ``to_views`` (U, 3, 3) and ``field`` (U, 4), see :class:`monai_tavr.transforms.RelateViewsd`.
            device: where to move them.
            non_blocking: see ``Tensor.to``.
            kwargs: for ``Tensor.to``.

        Returns:
            (B + U, 1, h, w) normalised grey levels, and what is said of the B and of the U frames.
        """
        image, labels = prepare_batch(batch, device, non_blocking, **kwargs)
        other = batch["unlabelled"]
        changed, views = (other[name].to(device=device, non_blocking=non_blocking, **kwargs) for name in ("image", "views"))
        belief = carry_belief(
            self.believe(views),
            to_views=other["to_views"].numpy(),
            field=other["field"].numpy(),
            schema=self.schema,
            image_size=self.image_size,
        )
        return torch.cat([image, changed]).contiguous(memory_format=torch.channels_last), Taught(labels, belief)

    def look(self, views: Tensor) -> Tensor:
        """The outputs (B, 4, K + G, 4) on ``views`` (B, 3, h, w), normalised grey levels: as :func:`weigh_looks` takes them."""
        frames = torch.cat([views, views[:, :1].flip(-1)], dim=1)
        self.network.eval()
        with torch.no_grad():
            flat = frames.flatten(0, 1)[:, None].contiguous(memory_format=torch.channels_last)
            looks = self.inferer(flat, self.network).unflatten(0, frames.shape[:2])[..., :NUM_COLUMNS]
        return torch.cat([looks[:, :3], unmirror(looks[:, 3:], self.schema)], dim=1)

    def believe(self, views: Tensor) -> Belief:
        """What the teacher says of the frames of ``views`` (B, 3, h, w): each with its two neighbours, normalised grey levels."""
        return weigh_looks(self.look(views), schema=self.schema, image_size=self.image_size, **self.bounds)
