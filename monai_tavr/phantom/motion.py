"""Heart beat, rapid pacing and breath: how far each point of the body has moved in each frame.

The aortic root moves as a whole; devices in the heart move with it, those in the arch and the great veins less, skin and bone not
at all. The background follows by its own two numbers (`Background.compose`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from monai_tavr.phantom.anatomy import Anatomy

__all__ = ["Motion", "follow_weight", "sample_motion"]

_HEART_MM = 60.0  # around the annulus everything follows the heart fully; beyond, less and less


@dataclass(frozen=True, eq=False)
class Motion:
    """Motion of F frames.

    Attributes:
        root: (F, 3) mm, displacement of the aortic root by heart and breath.
        beat: (F,) contraction of the heart's shadow, a fraction.
        breath: (F,) mm, descent of the diaphragm.
    """

    root: np.ndarray
    beat: np.ndarray
    breath: np.ndarray

    def displacement(self, frame: int, points: np.ndarray) -> np.ndarray:
        """Displacement (N, 3) in mm of the world points ``points`` (N, 3) mm in a frame."""
        return follow_weight(points)[:, None] * self.root[frame]


def follow_weight(points: np.ndarray) -> np.ndarray:
    """(N,) in [0, 1]: how much of the root's motion each of ``points`` (N, 3) mm has: 1 in the heart, less in arch and veins."""
    distance = np.linalg.norm(points, axis=1)
    far = np.clip((distance - _HEART_MM) / 70.0, 0, 1)
    behind = np.clip((45.0 - points[:, 1]) / 25.0, 0.15, 1)
    return np.asarray((1 - 0.85 * far * far * (3 - 2 * far)) * np.where(distance < _HEART_MM, 1.0, behind))


def sample_motion(anatomy: Anatomy, rng: np.random.Generator, *, frames: int, frame_time_ms: float, paced: bool) -> Motion:
    """Draw the motion of a cine; ``paced`` = rapid ventricular pacing, fast and shallow."""
    t = np.arange(frames) * frame_time_ms / 1000
    rate = rng.uniform(170, 210) / 60 if paced else rng.uniform(52, 95) / 60
    phase = rate * t + rng.uniform()
    # systole pulls the annulus towards the apex for a third of the cycle
    pull = np.exp(-(((phase % 1 - 0.25) / 0.16) ** 2))
    amplitude = rng.uniform(2.0, 6.0) * (0.25 if paced else 1.0)
    sway = rng.normal(0, 0.25, 3) * amplitude
    twist = np.sin(2 * np.pi * phase)[:, None] * sway * 0.5
    held = rng.uniform() < 0.6  # breath held for the injection
    breath = (
        rng.uniform(0.5, 1.5) * np.sin(2 * np.pi * t / rng.uniform(3, 6))
        if held
        else rng.uniform(2, 7) * np.sin(2 * np.pi * t / rng.uniform(2.5, 5) + rng.uniform(0, 6))
    )
    root = pull[:, None] * amplitude * (anatomy.lv_axis * 0.8 - anatomy.axis * 0.4) + twist
    root = root + np.stack([0.1 * breath, 0.1 * breath, -0.45 * breath], axis=1)
    return Motion(root=root, beat=0.035 * pull * (0.3 if paced else 1.0), breath=breath)
