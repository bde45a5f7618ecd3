"""A plausible label of five frames, as the phantom makes them, and changes to it; for tests of what finds errors in labels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from monai_tavr.keypoints import TAVR11, Keypoints
from monai_tavr.label import CineLabel, ImageInfo

__all__ = ["IMAGE", "PLACES", "changed", "frame_of", "label_of"]

IMAGE = ImageInfo(rows=512, columns=512, number_of_frames=60)
PLACES: dict[str, tuple[float, float] | None] = {
    "AA1": (256, 331),
    "AA2": (318, 264),
    "STJ1": (207, 288),
    "STJ2": (270, 219),
    "CP": (205, 165),
    "CM": (260, 255),
    "CD": (293, 290),
    "CT": (336, 336),
    "PT": (272, 283),
    "FE1": (280, 349),
    "FE2": (334, 284),
}


def frame_of(changes: dict[str, tuple[float, float] | None] | None = None, *, frame: int = 0, without: str = "") -> Keypoints:
    """The frame with other places; ``without`` names points that are unlabelled, None stands for an absent one."""
    points = {n: p for n, p in (PLACES | (changes or {})).items() if n not in without.split()}
    return Keypoints.from_points(TAVR11, points, frame=frame)


def label_of(*, step: int = 1, frames: int = 5) -> CineLabel:
    """The same points on every frame, two pixels further to the right each time."""
    drift = np.array([2.0, 0.0])
    return CineLabel(IMAGE, tuple(replace(frame_of(frame=t * step), xy=frame_of().xy + t * drift) for t in range(frames)))


def changed(label: CineLabel, position: int, moves: dict[str, tuple[float, float]]) -> CineLabel:
    """The label with points of a frame moved by (x, y) pixels."""
    frames = list(label.frames)
    xy = frames[position].xy.copy()
    for name, move in moves.items():
        xy[TAVR11.index(name)] += move
    frames[position] = replace(frames[position], xy=xy)
    return replace(label, frames=tuple(frames))
