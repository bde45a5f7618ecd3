"""A network for a grown schema: what it says of the groups it had, to the digit, and what it refuses to carry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
import torch

from monai_tavr.codec import VISIBILITY
from monai_tavr.keypoints import TAVR11, KeypointSchema
from monai_tavr.networks import GroupedKeypointNet
from monai_tavr.networks.extension import added_groups, carry_heads

GROUPS = {g: tuple(points) for g, points in TAVR11.groups.items()}
# the groups in another order, those of one of them too, the new ones between and at the end
GROWN = KeypointSchema(
    "GROWN",
    {
        "contour": GROUPS["contour"],
        "guidewire": ("GW1", "GW2"),
        "anatomical": ("STJ2", "AA1", "STJ1", "AA2"),
        "instrumental": GROUPS["instrumental"],
        "mark": ("M",),
    },
)


def rows(schema: KeypointSchema) -> list[int]:
    """Of the network's output: where TAVR11's points and groups are."""
    groups = [schema.num_keypoints + schema.group_names.index(g) for g in TAVR11.group_names]
    return [schema.index(n) for n in TAVR11.names] + groups


@pytest.mark.parametrize("head", ["heatmap", "regression"])
def test_old_groups_say_what_they_said_and_new_ones_nothing(head: str) -> None:
    torch.manual_seed(0)
    old = GroupedKeypointNet(TAVR11, head=head, width=16).eval()
    with torch.no_grad():
        for value in old.head.parameters():  # every point and group says something of its own
            value.add_(0.1 * torch.randn_like(value))
        new = GroupedKeypointNet(GROWN, head=head, width=16).eval()
        kept = {name: value.clone() for name, value in new.state_dict().items()}
        new.load_state_dict(carry_heads(new, old.state_dict(), old=TAVR11, new=GROWN))
        frames = torch.randn(3, 1, 64, 64)
        before, after = old(frames), new(frames)
    assert before[:, :, VISIBILITY].flatten().unique().numel() > 3 * 10
    torch.testing.assert_close(after[:, rows(GROWN)], before, rtol=0, atol=1e-6)
    fresh = [GROWN.index(n) for n in ("GW1", "GW2", "M")] + [GROWN.num_keypoints + g for g in (1, 4)]
    torch.testing.assert_close(after[:, fresh, VISIBILITY].sigmoid(), torch.full((3, 5), 0.01))
    assert after.isfinite().all()
    changed = {n for n, v in new.state_dict().items() if n.startswith("head.groups.1.hidden") and not torch.equal(v, kept[n])}
    assert changed == set()


class TwoMaps(torch.nn.Module):
    """A backbone that is fast to train."""

    channels = (8, 16)

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = torch.nn.Conv2d(1, 8, kernel_size=4, stride=4), torch.nn.Conv2d(8, 16, kernel_size=2, stride=2)

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        fine = self.first(x)
        return [fine, self.second(fine)]


@pytest.mark.parametrize("head", ["heatmap", "regression"])
def test_a_new_group_learns(head: str) -> None:
    """Though it starts silent: after a few steps it is where it is taught to be."""
    torch.manual_seed(0)
    old, network = (GroupedKeypointNet(s, backbone=TwoMaps(), head=head, width=8) for s in (TAVR11, GROWN))
    network.load_state_dict(carry_heads(network, old.state_dict(), old=TAVR11, new=GROWN))
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.01)
    row = [GROWN.index("M"), GROWN.num_keypoints + 4]
    for _ in range(30):
        loss = torch.nn.functional.softplus(-network(torch.rand(4, 1, 32, 32))[:, row, VISIBILITY]).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) < 0.1


def changed(groups: Mapping[str, tuple[str, ...]]) -> KeypointSchema:
    return KeypointSchema("NEW", GROUPS | groups)


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        (KeypointSchema("NEW", {"contour": GROUPS["contour"], "more": ("M",)}), "group 'anatomical' is gone; keep it"),
        (changed({"contour": ("PT", "FE1"), "more": ("FE2",)}), "point 'FE2' moved from group 'contour' to 'more'; move it back"),
        (changed({"contour": ("PT", "FE1"), "more": ("M",)}), "point 'FE2' of group 'contour' is gone"),
        (
            changed({"contour": ("PT", "FE1", "FE2", "FE3")}),
            "group 'contour' has the new point 'FE3'; put new points in a group of",
        ),
        (replace(TAVR11, name="NEW"), "schema 'NEW' does not extend 'TAVR11': it has the same groups; add one"),
    ],
)
def test_what_cannot_be_carried_is_refused_in_words(schema: KeypointSchema, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        added_groups(TAVR11, schema)


def test_other_networks_are_refused_in_words() -> None:
    with pytest.raises(ValueError, match="Identity has no head per group"):
        carry_heads(torch.nn.Identity(), {}, old=TAVR11, new=GROWN)
    narrow, wide = GroupedKeypointNet(TAVR11, width=8).state_dict(), GroupedKeypointNet(GROWN, width=16)
    with pytest.raises(ValueError, match=r"the weights 'head\.\S+', .*, do not fit the network: give the bundle they belong to"):
        carry_heads(wide, narrow, old=TAVR11, new=GROWN)
