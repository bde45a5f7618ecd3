"""MONAI transforms: frames and keypoints in and out of pipelines, appearance as X-ray machines vary it."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from monai_tavr.transforms.appearance import RandBackgroundd, RandCollimatord, RandQuantumNoised, RandWindowd
    from monai_tavr.transforms.points import (
        DecodeKeypointsd,
        EncodeKeypointsd,
        FitFramesd,
        LoadFramed,
        NormaliseFramesd,
        points_to_network,
    )
    from monai_tavr.transforms.saving import SaveKeypointsd

__all__ = [
    "DecodeKeypointsd",
    "EncodeKeypointsd",
    "FitFramesd",
    "LoadFramed",
    "NormaliseFramesd",
    "RandBackgroundd",
    "RandCollimatord",
    "RandQuantumNoised",
    "RandWindowd",
    "SaveKeypointsd",
    "points_to_network",
]

_ROOMS = ("points", "appearance", "saving")


def __getattr__(name: str) -> Any:
    # the predictor needs framing only, and MONAI's transforms take seconds to import
    if name in __all__:
        for room in _ROOMS:
            module = importlib.import_module(f"{__name__}.{room}")
            if name in module.__all__:
                return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
