"""A network for a schema that has grown: the heads of the groups it had are kept, those of new groups start fresh.

Paper, "Network": every group has a head of its own on a shared backbone, so that a group is added without relabelling other data.
Groups and points are matched by name, so that their order may change. What a group says of its points depends on all of them (its
presence on the strongest evidence among them), so a group is carried whole or not at all.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from monai_tavr.keypoints import KeypointSchema
from monai_tavr.networks.heads import ROOT_HEAD, GroupedHeatmapHead, GroupedRegressionHead

__all__ = ["added_groups", "carry_heads"]

_GROUP_KEY = re.compile(r"head\.groups\.(\d+)\.(.+)")
# tensors of a group's head with a row, or two, per point
_ROWS_PER_POINT = {
    "heat.weight": 1,
    "heat.bias": 1,
    "visibility": 1,
    "visibility_bias": 1,
    "visibility.weight": 1,
    "visibility.bias": 1,
    "coordinates.weight": 2,
    "coordinates.bias": 2,
}
_PRESENCE = ("head.presence.weight", "head.presence.bias")  # the regression head's, a row per group
# an untrained group is said to be absent, with this probability of being there (the prior of focal loss, arXiv:1708.02002)
_PRIOR = 0.01


def added_groups(old: KeypointSchema, new: KeypointSchema) -> tuple[str, ...]:
    """Names of the groups that ``new`` has and ``old`` has not, in the order of ``new``.

    Raises:
        ValueError: a group of ``old`` is gone or has other points, so that its head cannot be carried, or nothing is added; says
            which group or point, and what to do.
    """
    where = f"schema {new.name!r} does not extend {old.name!r}"
    for group, points in old.groups.items():
        if group not in new.groups:
            raise ValueError(f"{where}: group {group!r} is gone; keep it, a group that is not needed is ruled out by a stage")
        for point in points:
            if point in new.groups[group]:
                continue
            if point in new.names:
                raise ValueError(f"{where}: point {point!r} moved from group {group!r} to {new.group_of(point)!r}; move it back")
            raise ValueError(f"{where}: point {point!r} of group {group!r} is gone; keep it")
        more = [p for p in new.groups[group] if p not in points]
        if more:
            raise ValueError(f"{where}: group {group!r} has the new point {more[0]!r}; put new points in a group of their own")
    added = tuple(g for g in new.groups if g not in old.groups)
    if not added:
        raise ValueError(f"{where}: it has the same groups; add one")
    return added


def carry_heads(
    network: nn.Module, weights: Mapping[str, Tensor], *, old: KeypointSchema, new: KeypointSchema
) -> dict[str, Tensor]:
    """Weights for a network of the schema ``new``, made of those of the schema ``old``.

    Args:
        network: of ``new``; a :class:`monai_tavr.networks.GroupedKeypointNet` or another with one of its heads as ``head``. Its
            own weights are those of new groups; it is not changed.
        weights: state dict of the same network for ``old``.
        old: schema of ``weights``.
        new: schema of ``network``.

    Returns:
        A state dict for ``network``. Of the old groups it says what it said before, and of new ones that they are absent.

    Raises:
        ValueError: the new schema does not extend the old one, or the network is another one.
    """
    fresh_groups = [new.group_names.index(g) for g in added_groups(old, new)]
    head = getattr(network, "head", None)
    if not isinstance(head, GroupedHeatmapHead | GroupedRegressionHead):
        raise ValueError(f"{type(network).__name__} has no head per group; a GroupedKeypointNet is needed to add one")
    result = {name: value.clone() for name, value in network.state_dict().items()}
    for name, value in weights.items():
        if name.startswith(f"head.{ROOT_HEAD}") and name not in result:
            continue  # serves training only
        target, rows = _place(name, value, old, new)
        wanted = result.get(target)
        if wanted is None or wanted.shape[1:] != value.shape[1:] or (rows is None and wanted.shape != value.shape):
            raise ValueError(
                f"the weights {name!r}, {tuple(value.shape)}, do not fit the network: give the bundle they belong to"
            )
        if rows is None:
            result[target] = value.clone()
        else:
            result[target][rows] = value
    _silence(result, fresh_groups)
    return result


def _place(name: str, value: Tensor, old: KeypointSchema, new: KeypointSchema) -> tuple[str, Tensor | None]:
    """Name of a tensor in the new network, and which rows of that the old rows become; None = the whole tensor."""
    if name in _PRESENCE:
        return name, torch.tensor([new.group_names.index(g) for g in old.group_names])
    match = _GROUP_KEY.fullmatch(name)
    if match is None or int(match[1]) >= old.num_groups:
        return name, None
    group, part = old.group_names[int(match[1])], match[2]
    target = f"head.groups.{new.group_names.index(group)}.{part}"
    per_point = _ROWS_PER_POINT.get(part)
    if per_point is None:
        return target, None
    order = torch.tensor([new.groups[group].index(p) for p in old.groups[group]])
    return target, (order[:, None] * per_point + torch.arange(per_point)).flatten()


def _silence(weights: dict[str, Tensor], groups: list[int]) -> None:
    """Let untrained groups and their points be absent with certainty, whatever the picture; training undoes it at once."""
    logit = math.log(_PRIOR / (1 - _PRIOR))
    for group in groups:
        head = f"head.groups.{group}."
        for name in ("visibility", "visibility.weight", "presence.weight"):
            if head + name in weights:
                weights[head + name].zero_()
        for name in ("visibility_bias", "visibility.bias", "presence.bias"):
            if head + name in weights:
                weights[head + name].fill_(logit)
        if _PRESENCE[0] in weights:
            weights[_PRESENCE[0]][group].zero_()
            weights[_PRESENCE[1]][group] = logit
