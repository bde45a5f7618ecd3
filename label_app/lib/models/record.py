"""What is known of one model of the app's history."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["SHIPPED", "TASK", "ModelRecord"]

SHIPPED = "shipped"  # id of the model that came with the program


TASK = "tavr_keypoints"
"""What MONAI Label's clients call the app's one model, whichever weights are active."""


@dataclass(frozen=True)
class ModelRecord:
    """What is known of a model.

    Attributes:
        id: :data:`SHIPPED`, or number and hash.
        version: of the bundle, with ``+number`` for a model that was trained here.
        weights_sha256: of its weights.
        created: ISO 8601 time, None for the shipped model.
        parent: id of the model whose weights the training started from.
        labels: what it was trained on: numbers, and hashes of patients.
        scores: its figures and its parent's on the same validation labels.
        published: whether it was found good enough to be used.
        reason: why it was published or not, in words.
        author: who started the training.
    """

    id: str
    version: str
    weights_sha256: str
    created: str | None = None
    parent: str | None = None
    labels: Mapping[str, Any] = field(default_factory=dict)
    scores: Mapping[str, Any] = field(default_factory=dict)
    published: bool = True
    reason: str | None = None
    author: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """As in ``record.json`` and in ``GET /tavr/models``; the parent is called ``from``."""
        content = dict(vars(self))
        content["from"] = content.pop("parent")
        return content

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> ModelRecord:
        """The reverse. Raises TypeError or KeyError for what is no record."""
        values = dict(content)
        return cls(parent=values.pop("from"), **values)
