"""The loss of frames without labels: how far a student is from what its teacher is sure of.

- ``presence``: cross-entropy of visibility and group presence against the teacher's probability, less the teacher's own entropy
  (Kullback-Leibler divergence: 0 where both say the same), summed over the rows that are taught, averaged over the frames.
- ``place``: wing loss of the decoded points, in pixels of the network's input, as a weighted mean over the points.
- ``map``: cross-entropy of the spatial softmax against a Gaussian at the teacher's point, as a weighted mean over the points.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from monai_tavr.codec import NUM_COLUMNS, VISIBILITY, X, Y, encode_heatmap
from monai_tavr.training.loss import wing_loss
from monai_tavr.training.teacher import Belief, Taught

__all__ = ["ConsistencyLoss", "TaughtLoss"]


class ConsistencyLoss(nn.Module):
    """Weighted sum of the three terms.

    Args:
        image_size: (H, W) of the network's input in pixels.
        lambda_presence: weight of the presence.
        lambda_place: weight of the coordinates.
        lambda_map: weight of the heat maps.
        heatmap_sigma: standard deviation of the Gaussian in heat-map cells; that of the labelled frames' loss.

    Attributes:
        terms: the unweighted terms of the last call, detached, and ``taught``: the share of rows whose presence is taught.

    Raises:
        ValueError: a setting is out of its range.
    """

    def __init__(
        self,
        *,
        image_size: tuple[int, int],
        lambda_presence: float = 0.5,
        lambda_place: float = 0.05,
        lambda_map: float = 1.0,
        heatmap_sigma: float = 2.0,
    ) -> None:
        super().__init__()
        self.weights = {"presence": lambda_presence, "place": lambda_place, "map": lambda_map}
        if min(self.weights.values()) < 0 or heatmap_sigma <= 0:
            raise ValueError(f"weights must not be negative and heatmap_sigma positive, got {self.weights} and {heatmap_sigma}")
        self.image_size, self.heatmap_sigma = (int(image_size[0]), int(image_size[1])), heatmap_sigma
        self.terms: dict[str, Tensor] = {}

    def forward(self, pred: Tensor, belief: Belief) -> Tensor:
        """Loss of a batch.

        Args:
            pred: (B, K+G, 4) or (B, K+G, 4 + h*w), the network's output: normalised x and y, logit, spread, logits of the cells;
                more rows are left alone.
            belief: of the same B frames.

        Returns:
            The loss, a scalar.
        """
        k, rows = belief.xy.shape[1], belief.probability.shape[1]
        pred = pred[:, :rows].float()
        terms = {
            "presence": self._presence_term(pred[..., VISIBILITY], belief),
            "place": self._place_term(pred[:, :k, X : Y + 1], belief),
            "map": self._map_term(pred[:, :k, NUM_COLUMNS:], belief),
        }
        self.terms = {name: term.detach() for name, term in terms.items()} | {"taught": belief.sure.mean()}
        return torch.stack([self.weights[name] * term for name, term in terms.items()]).sum()

    def _presence_term(self, logit: Tensor, belief: Belief) -> Tensor:
        said = belief.probability
        entropy = -(torch.xlogy(said, said) + torch.xlogy(1 - said, 1 - said))
        divergence = F.binary_cross_entropy_with_logits(logit, said, reduction="none") - entropy
        return (divergence * belief.sure).sum() / max(len(logit), 1)

    def _place_term(self, xy: Tensor, belief: Belief) -> Tensor:
        error = (xy - belief.xy) * xy.new_tensor([self.image_size[1], self.image_size[0]])
        return _weighted_mean(wing_loss(error).sum(dim=-1), belief.weight)

    def _map_term(self, logits: Tensor, belief: Belief) -> Tensor:
        cells = logits.shape[-1]
        if cells == 0:
            return logits.sum()  # a zero that belongs to the graph
        rows = round((cells * self.image_size[0] / self.image_size[1]) ** 0.5)
        goal = encode_heatmap(belief.xy.flatten(0, 1), (rows, cells // rows), self.heatmap_sigma).view_as(logits)
        return _weighted_mean(-(goal * torch.log_softmax(logits, dim=-1)).sum(dim=-1), belief.weight)


def _weighted_mean(loss: Tensor, weight: Tensor) -> Tensor:
    """Over the points; few points of little weight weigh little, as there is nothing to divide by."""
    return (loss * weight).sum() / weight.sum().clamp(min=1)


class TaughtLoss(nn.Module):
    """The loss of a batch whose first frames are labelled and whose others a teacher speaks of.

    Args:
        labelled: loss of the labelled frames, e.g. :class:`monai_tavr.training.GroupedKeypointLoss`.
        consistency: loss of the others.
        weight: of ``consistency``.

    Attributes:
        terms: those of both, for logging.

    Raises:
        ValueError: the weight is negative.
    """

    def __init__(self, labelled: nn.Module, consistency: ConsistencyLoss, *, weight: float = 1.0) -> None:
        super().__init__()
        if weight < 0:
            raise ValueError(f"weight must not be negative, got {weight}")
        self.labelled, self.consistency, self.weight = labelled, consistency, weight

    @property
    def terms(self) -> dict[str, Tensor]:
        """The unweighted terms of the last call, of both losses."""
        return {**getattr(self.labelled, "terms", {}), **self.consistency.terms}

    def forward(self, pred: Tensor, taught: Taught) -> Tensor:
        """Loss of a batch.

        Args:
            pred: (B, K+G, 4) or (B, K+G, 4 + h*w), the network's output, logits among it, on the frames of both kinds, one behind
                the other.
            taught: what they are learnt from.

        Returns:
            The loss, a scalar.
        """
        first = len(pred) - len(taught.belief.probability)
        return self.labelled(pred[:first], taught.labels) + self.weight * self.consistency(pred[first:], taught.belief)
