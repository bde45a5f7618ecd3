"""What BAMNet's authors published: the folds, and the errors of their landmarks.

Laptev, Gerget, Panteleeva, Chernyavsky, Danilov: Joint Aortic Root Segmentation and Landmark Localization on Intraoperative
Fluoroscopy for TAVI Guidance. Folds and figures are those of https://github.com/Nikita75699/BAMNet: ``dataset_metadata/
segpoint_folds_manifests/summary.json``, ``publication/evaluation/patient_folds_*.csv``, and the manuscript's tables.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

__all__ = ["BAMNET", "FOLDS", "LENGTH_PX", "POINTS", "Spread"]

POINTS = ("AA1", "AA2", "STJ1", "STJ2")
"""The labelled landmarks: the ends of the annulus line and of the sinotubular junction line."""
LENGTH_PX = 640
"""Side of BAMNet's input, in whose pixels its errors are given."""
FOLDS: tuple[tuple[int, ...], ...] = (
    (8, 9, *range(11, 17)),
    tuple(range(35, 43)),
    tuple(range(43, 55)),
    tuple(range(56, 68)),
    tuple(range(69, 82)),
)
"""Numbers of the patients whose frames are judged in each fold. All others are trained on, those that stand in no fold always."""


@dataclass(frozen=True)
class Spread:
    """A figure of several folds.

    Attributes:
        mean: over the folds.
        sd: standard deviation between them (of a sample); None where there is one fold, or nobody said.
    """

    mean: float
    sd: float | None = None


BAMNET: Mapping[str, Spread] = MappingProxyType(
    {
        "mean_error_px": Spread(10.02, 0.17),
        "median_error_px": Spread(7.64, 0.33),
        "AA1 mean_error_px": Spread(7.96, 0.73),
        "AA2 mean_error_px": Spread(11.89, 0.62),
        "STJ1 mean_error_px": Spread(10.20, 0.87),
        "STJ2 mean_error_px": Spread(10.02, 1.46),
        "mean_error_mm": Spread(2.66),
        "median_error_mm": Spread(2.03),
        "hold-out mean_error_mm": Spread(3.22),
    }
)
"""Five-fold means; the hold-out is the first fold."""
