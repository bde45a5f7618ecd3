"""The loss of the grouped keypoint network: presence of groups, visibility of points, their place, and their heat maps.

Paper: "Multilevel Visual Guidance Algorithm for TAVR Based on Grouped Keypoint Structure":
``L = l1 * L_group + l2 * L_keypoint + l3 * L_reg``, here with ``+ l4 * L_heatmap`` for networks that give heat maps.

- ``L_group``: binary cross-entropy, summed over groups, averaged over the batch.
- ``L_keypoint``: focal loss (Lin 2017, arXiv:1708.02002), summed over points, averaged over the batch.
- ``L_reg``: wing loss (Feng 2018, arXiv:1711.06753) of x plus that of y, averaged over visible points.
- ``L_heatmap``: cross-entropy of the spatial softmax against a Gaussian, averaged over visible points.
- ``L_root``, for networks with root maps: binary cross-entropy of the aortic root's mask and of its boundary, averaged over the
  cells where the mask is known. It teaches the shared features where the root ends, which is where its points lie (boundary
  guidance, github.com/Nikita75699/BAMNet), and serves training only.

The paper computes the wing loss in normalised units, where an error below 1 never reaches the bend at w = 10. Pixels of the
network's input, for which wing loss was designed, are the default here; ``wing_unit`` says which is used.

An absent point teaches visibility only; an unlabelled point or group teaches nothing.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from monai_tavr.codec import NUM_COLUMNS, NUM_ROOT_MAPS, STATE, VISIBILITY, X, Y, encode_heatmap
from monai_tavr.formats.root_masks import UNKNOWN
from monai_tavr.keypoints import KeypointSchema, KeypointState, load_schema

__all__ = ["GroupedKeypointLoss", "focal_loss", "wing_loss"]


def wing_loss(error: Tensor, *, w: float = 10.0, eps: float = 2.0) -> Tensor:
    """Wing loss: ``w * ln(1 + |e| / eps)`` below ``w``, ``|e| - C`` above, continuous at ``w``.

    Args:
        error: (...) errors, in pixels or normalised.
        w: where the logarithm ends, in the unit of the error.
        eps: curvature, in the unit of the error.

    Returns:
        (...) loss of each error.
    """
    magnitude = error.abs()
    offset = w - w * math.log1p(w / eps)
    return torch.where(magnitude < w, w * torch.log1p(magnitude / eps), magnitude - offset)


def focal_loss(logit: Tensor, label: Tensor, *, alpha: float = 0.25, gamma: float = 2.0) -> Tensor:
    """Focal loss, ``-a * y * (1-p)^g * ln p - (1-a) * (1-y) * p^g * ln(1-p)``; g = 0 is weighted cross-entropy.

    Args:
        logit: (...) logits of p.
        label: (...) y: 0 or 1, as probabilities.
        alpha: a.
        gamma: g.

    Returns:
        (...) loss of each logit.
    """
    entropy = F.binary_cross_entropy_with_logits(logit, label, reduction="none")
    # the probability of the wrong answer, from the logit: 1 - p loses all digits where p is near one
    wrong = torch.sigmoid(torch.where(label > 0.5, -logit, logit))
    weight = torch.where(label > 0.5, alpha, 1.0 - alpha)
    return weight * wrong.pow(gamma) * entropy


class GroupedKeypointLoss(nn.Module):
    """Weighted sum of the terms.

    Args:
        schema: packaged name, path of a YAML file, or a schema.
        image_size: (H, W) of the network's input in pixels.
        lambda_group: weight of the group presence (l1).
        lambda_keypoint: weight of the points' visibility (l2).
        lambda_regression: weight of the coordinates (l3).
        lambda_heatmap: weight of the heat maps (l4).
        lambda_root: weight of the aortic root's mask.
        wing_unit: unit of the coordinates' error, ``pixels`` of the network's input or ``normalised`` (the paper's).
        wing_w: bend of the wing loss, in that unit.
        wing_eps: curvature of the wing loss, in that unit.
        focal_alpha: weight of visible points in the focal loss; absent ones have 1 - alpha.
        focal_gamma: focus on hard points; 0 = weighted cross-entropy.
        heatmap_sigma: standard deviation of the Gaussian in heat-map cells.

    Attributes:
        terms: the unweighted terms of the last call, detached, for logging.

    Raises:
        ValueError: a setting is out of its range, or shapes do not fit the schema.
    """

    def __init__(
        self,
        schema: str | os.PathLike[str] | KeypointSchema = "tavr11",
        *,
        image_size: tuple[int, int] = (256, 256),
        lambda_group: float = 1.0,
        lambda_keypoint: float = 1.0,
        lambda_regression: float = 1.0,
        lambda_heatmap: float = 1.0,
        lambda_root: float = 1.0,
        wing_unit: str = "pixels",
        wing_w: float = 10.0,
        wing_eps: float = 2.0,
        focal_alpha: float = 0.25,
        focal_gamma: float = 2.0,
        heatmap_sigma: float = 2.0,
    ) -> None:
        super().__init__()
        if wing_unit not in ("pixels", "normalised"):
            raise ValueError(f"wing_unit must be 'pixels' or 'normalised', got {wing_unit!r}")
        if min(wing_w, wing_eps, heatmap_sigma) <= 0:
            raise ValueError(f"wing_w, wing_eps, heatmap_sigma must be positive, got {wing_w}, {wing_eps}, {heatmap_sigma}")
        if not 0 <= focal_alpha <= 1 or focal_gamma < 0:
            raise ValueError(f"focal_alpha must lie in [0, 1] and focal_gamma not below 0, got {focal_alpha}, {focal_gamma}")
        self.schema = load_schema(schema)
        self.image_size = (int(image_size[0]), int(image_size[1]))
        self.weights = {
            "group": lambda_group,
            "keypoint": lambda_keypoint,
            "regression": lambda_regression,
            "heatmap": lambda_heatmap,
            "root": lambda_root,
        }
        if min(self.weights.values()) < 0:
            raise ValueError(f"the weights of the terms must not be negative, got {self.weights}")
        self.wing_unit, self.wing_w, self.wing_eps = wing_unit, wing_w, wing_eps
        self.focal_alpha, self.focal_gamma, self.heatmap_sigma = focal_alpha, focal_gamma, heatmap_sigma
        self.terms: dict[str, Tensor] = {}

    def forward(self, pred: Tensor, target: Tensor | Mapping[str, Tensor]) -> Tensor:
        """Loss of a batch.

        Args:
            pred: (B, K+G, 4) or (B, K+G, 4 + h*w), the network's output: normalised x and y, logit, spread, logits of the cells;
                with root maps two rows more.
            target: (B, K+G, 3): normalised x and y, :class:`KeypointState`; see :meth:`monai_tavr.codec.KeypointCodec.encode`. Or
                a mapping with that as ``target``, and ``root_mask`` (B, h, w) uint8: 0 outside, 1 the root, 255 unknown.

        Returns:
            The loss, a scalar.
        """
        name, k, rows = self.schema.name, self.schema.num_keypoints, self.schema.num_keypoints + self.schema.num_groups
        mask: Tensor | None = None
        if not isinstance(target, Tensor):
            mask, target = target["root_mask"], target["target"]
        if pred.ndim != 3 or pred.shape[1] not in (rows, rows + NUM_ROOT_MAPS) or pred.shape[2] < NUM_COLUMNS:
            raise ValueError(f"schema {name!r} needs a prediction (B, {rows}, {NUM_COLUMNS}+), got {tuple(pred.shape)}")
        if target.shape != (pred.shape[0], rows, 3):
            raise ValueError(f"schema {name!r} needs a target ({pred.shape[0]}, {rows}, 3), got {tuple(target.shape)}")
        pred, target = pred.float(), target.float()
        state = target[..., STATE]
        visible = state[:, :k] == KeypointState.VISIBLE
        terms = {
            "group": self._group_term(pred[:, k:rows, VISIBILITY], state[:, k:]),
            "keypoint": self._keypoint_term(pred[:, :k, VISIBILITY], state[:, :k]),
            "regression": self._regression_term(pred[:, :k, X : Y + 1], target[:, :k, :2], visible),
            "heatmap": self._heatmap_term(pred[:, :k, NUM_COLUMNS:], target[:, :k, :2], visible),
        }
        if pred.shape[1] > rows:
            terms["root"] = self._root_term(pred[:, rows:, NUM_COLUMNS:], mask)
        self.terms = {name: term.detach() for name, term in terms.items()}
        return torch.stack([self.weights[name] * term for name, term in terms.items()]).sum()

    def _group_term(self, logit: Tensor, state: Tensor) -> Tensor:
        labelled = state != KeypointState.UNLABELLED
        loss = F.binary_cross_entropy_with_logits(logit, state.clamp(min=0), reduction="none")
        return (loss * labelled).sum() / logit.shape[0]

    def _keypoint_term(self, logit: Tensor, state: Tensor) -> Tensor:
        labelled = state != KeypointState.UNLABELLED
        loss = focal_loss(logit, state.clamp(min=0), alpha=self.focal_alpha, gamma=self.focal_gamma)
        return (loss * labelled).sum() / logit.shape[0]

    def _regression_term(self, xy: Tensor, true: Tensor, visible: Tensor) -> Tensor:
        error = xy - true
        if self.wing_unit == "pixels":
            error = error * error.new_tensor([self.image_size[1], self.image_size[0]])
        loss = wing_loss(error, w=self.wing_w, eps=self.wing_eps).sum(dim=-1)
        return (loss * visible).sum() / visible.sum().clamp(min=1)

    def _heatmap_term(self, logits: Tensor, true: Tensor, visible: Tensor) -> Tensor:
        if logits.shape[-1] == 0:
            return logits.sum()  # a zero that belongs to the graph
        h, w = self._map_size(logits.shape[-1])
        log_probability = torch.log_softmax(logits[visible], dim=-1)
        goal = encode_heatmap(true[visible], (h, w), self.heatmap_sigma).flatten(1)
        return -(goal * log_probability).sum() / visible.sum().clamp(min=1)

    def _root_term(self, logits: Tensor, mask: Tensor | None) -> Tensor:
        if mask is None:
            return 0.0 * logits.sum()  # a zero that belongs to the graph
        h, w = self._map_size(logits.shape[-1])
        if mask.shape != (logits.shape[0], h, w):
            raise ValueError(f"root_mask must be ({logits.shape[0]}, {h}, {w}), got {tuple(mask.shape)}")
        known = mask != UNKNOWN
        root = (mask == 1).float()[:, None]
        # a cell is on the boundary where a neighbour, or itself, differs; next to an unknown one that cannot be said
        grown, eroded = F.max_pool2d(root, 3, stride=1, padding=1), -F.max_pool2d(-root, 3, stride=1, padding=1)
        sure = -F.max_pool2d(-known.float()[:, None], 3, stride=1, padding=1)
        truth = torch.cat([root, grown - eroded], dim=1).flatten(2)
        weight = torch.cat([known.float()[:, None], sure], dim=1).flatten(2)
        loss = F.binary_cross_entropy_with_logits(logits, truth, reduction="none")
        return (loss * weight).sum() / weight.sum().clamp(min=1)

    def _map_size(self, cells: int) -> tuple[int, int]:
        """(h, w) of a flattened heat map, from its number of cells and the image's size."""
        height, width = self.image_size
        stride = max(1, round((height * width / cells) ** 0.5))
        if height % stride or width % stride or (height // stride) * (width // stride) != cells:
            raise ValueError(
                f"a heat map of {cells} cells does not fit image_size {self.image_size}: give the network's input size"
            )
        return height // stride, width // stride
