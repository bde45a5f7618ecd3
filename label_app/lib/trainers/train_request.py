"""The parameters of a training, checked at the door."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["TrainRequest"]

# what MONAI Label's own clients add to every request; none of it concerns this training
_IGNORED = ("client_id", "model", "name", "device", "pretrained")


@dataclass(frozen=True)
class TrainRequest:
    """What a training is asked to do.

    Attributes:
        max_epochs: passes over all labelled training frames.
        learning_rate: peak of AdamW's, for fine-tuning.

    Raises:
        ValueError: a value is out of bounds.
    """

    max_epochs: int = 20
    learning_rate: float = 2e-4

    def __post_init__(self) -> None:
        epochs, rate = self.max_epochs, self.learning_rate
        if isinstance(epochs, bool) or not isinstance(epochs, int) or not 1 <= epochs <= 500:
            raise ValueError(f"max_epochs must be a whole number from 1 to 500, got {epochs!r}")
        if isinstance(rate, bool) or not isinstance(rate, int | float) or not (math.isfinite(rate) and 1e-6 <= rate <= 1e-2):
            raise ValueError(f"learning_rate must be a number from 1e-6 to 1e-2, got {rate!r}")

    @classmethod
    def parse(cls, params: Any) -> TrainRequest:
        """From a request's JSON body.

        Raises:
            ValueError: not an object, an unknown parameter, or one out of bounds.
        """
        if params is None:
            return cls()
        if not isinstance(params, Mapping):
            raise ValueError(f"the body must be a JSON object, got {type(params).__name__}")
        known = list(cls.__dataclass_fields__)
        unknown = sorted(str(k) for k in set(params) - {*known, *_IGNORED})
        if unknown:
            raise ValueError(f"unknown parameter {unknown[0][:40]!r}; known are {known}")
        return cls(**{k: params[k] for k in known if params.get(k) is not None})
