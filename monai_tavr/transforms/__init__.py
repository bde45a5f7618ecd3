"""MONAI transforms: frames and keypoints in and out of pipelines, appearance as X-ray machines vary it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from monai_tavr.lazy import look_up_in

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
    from monai_tavr.transforms.root_mask import EncodeRootMaskd, LoadRootMaskd
    from monai_tavr.transforms.saving import SaveKeypointsd
    from monai_tavr.transforms.views import RelateViewsd

__all__ = [
    "DecodeKeypointsd",
    "EncodeKeypointsd",
    "EncodeRootMaskd",
    "FitFramesd",
    "LoadFramed",
    "LoadRootMaskd",
    "NormaliseFramesd",
    "RandBackgroundd",
    "RandCollimatord",
    "RandQuantumNoised",
    "RandWindowd",
    "RelateViewsd",
    "SaveKeypointsd",
    "points_to_network",
]

# the predictor needs framing only, and MONAI's transforms take seconds to import
__getattr__ = look_up_in(
    __name__,
    {
        "appearance": ["RandBackgroundd", "RandCollimatord", "RandQuantumNoised", "RandWindowd"],
        "points": [
            *["DecodeKeypointsd", "EncodeKeypointsd", "FitFramesd"],
            *["LoadFramed", "NormaliseFramesd", "points_to_network"],
        ],
        "root_mask": ["EncodeRootMaskd", "LoadRootMaskd"],
        "saving": ["SaveKeypointsd"],
        "views": ["RelateViewsd"],
    },
)
