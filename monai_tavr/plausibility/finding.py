"""What a check of labels says of a frame."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

__all__ = ["RULES", "Finding"]

RULES = MappingProxyType(
    {
        "outside": "a point lies outside the picture",
        "duplicate": "two names stand on one place",
        "swapped": "the two ends of a line are the wrong way round",
        "order": "points along a device are not in their order",
        "spacing": "points along a device divide it in unusual parts",
        "direction": "points along a device run another way than they usually do",
        "incomplete": "a point is missing from a group whose points go together",
        "border": "a point lies where the collimator's edge lies and nothing is marked",
        "jump": "a point stands elsewhere than on the labelled frames around",
        "pose": "the points of a group do not lie to one another as they usually do",
        "model": "a point lies far from where the model is sure to see it",
    }
)
"""Names of the rules -> what each finds, in words."""


@dataclass(frozen=True)
class Finding:
    """Something about a labelled frame that is probably wrong.

    Attributes:
        frame: 0-based index in the cine.
        points: names of the points concerned, the first is the most suspicious.
        rule: one of :data:`RULES`.
        score: how bad: 1 is just worth a look. Of what has a limit (``jump``, ``pose``, ``spacing``, ``direction``, ``model``)
            how many times the limit it is.
        message: one sentence for the annotator.
    """

    frame: int
    points: tuple[str, ...]
    rule: str
    score: float
    message: str

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {**vars(self), "points": list(self.points), "score": round(self.score, 2)}
