"""Valve frames: the metal mesh that is folded in the capsule and opens in the annulus, and its two keypoints.

A frame is a surface of revolution around a curved axis, radius = profile(f) * opening(f) with f = 0 at the inflow edge and 1 at
the outflow edge; struts are curves (f, angle) on it. Four makes: ``evolut`` (hourglass of diamonds, opens from the inflow),
``acurate`` (crowns and three stabilisation arches, opens from the outflow), ``sapien`` (short cylinder of cells, balloon),
``braided`` (wires wound both ways, opens from the inflow).
FE1 and FE2 are the inflow crowns that stick out farthest across the frame's axis on the image.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.interpolate import PchipInterpolator

from monai_tavr.phantom.anatomy import Anatomy
from monai_tavr.phantom.curves import Curve, Tube
from monai_tavr.phantom.vectors import unit

__all__ = ["MAKES", "ValveFrame", "frame_axis", "frame_tubes", "inflow_crowns", "opening_profile", "sample_valve"]

MAKES = ("evolut", "acurate", "sapien", "braided")
# make -> ranges of the length in mm and of the waist's and outflow's radius relative to the annulus
_RANGES = {
    "evolut": ((43.0, 53.0), (0.78, 0.95), (1.15, 1.5)),
    "acurate": ((42.0, 54.0), (0.85, 1.0), (1.1, 1.5)),
    "sapien": ((17.0, 25.0), (0.95, 1.0), (0.98, 1.08)),
    "braided": ((22.0, 34.0), (0.92, 1.0), (0.95, 1.15)),
}
_KNOTS = 12  # of the axis
_FRONT_WIDTH = 0.06  # of the frame's length, over which it goes from folded to open


@dataclass(frozen=True)
class ValveFrame:
    """One make and size of frame; lengths in mm.

    Attributes:
        make: one of :data:`MAKES`.
        length: inflow to outflow, open.
        cells: struts come in this many V around the circumference.
        rows: rows of cells.
        inflow_radius, waist_radius, outflow_radius: of the open frame.
        oval: ratio of the two radii across, about 1.
        rotation: radians, of the first crown.
        strut_radius, strut_mu: of the metal.
        folded_radius: of the frame inside the capsule or on the balloon.
        tilt, shift: (2,) radians and mm, how the open frame's axis leaves the annulus' axis.
    """

    make: str
    length: float
    cells: int
    rows: int
    inflow_radius: float
    waist_radius: float
    outflow_radius: float
    oval: float
    rotation: float
    strut_radius: float
    strut_mu: float
    folded_radius: float
    tilt: tuple[float, float]
    shift: tuple[float, float]


def sample_valve(anatomy: Anatomy, rng: np.random.Generator, *, make: str, folded_radius: float) -> ValveFrame:
    """Draw a frame that fits ``anatomy``, or does so badly.

    Raises:
        ValueError: no such make.
    """
    if make not in MAKES:
        raise ValueError(f"no valve of make {make!r}: give one of {list(MAKES)}")
    uniform = rng.uniform
    radius = anatomy.annulus_radius
    length, waist, outflow = _RANGES[make]
    return ValveFrame(
        make=make,
        length=uniform(*length),
        cells=int(rng.integers(11, 16) if make == "evolut" else rng.integers(9, 13)),
        rows=int(rng.integers(6, 9) if make == "evolut" else rng.integers(3, 5)),
        inflow_radius=radius * uniform(0.98, 1.14),
        waist_radius=radius * uniform(*waist),
        outflow_radius=radius * uniform(*outflow),
        oval=uniform(0.93, 1.07),
        rotation=uniform(0, 2 * np.pi),
        strut_radius=uniform(0.19, 0.25),
        strut_mu=uniform(0.36, 0.5),
        folded_radius=folded_radius,
        tilt=(rng.normal(0, 0.09), rng.normal(0, 0.09)),
        shift=(rng.normal(0, 1.0), rng.normal(0, 1.0)),
    )


def opening_profile(frame: ValveFrame, opening: float, f: np.ndarray | float) -> np.ndarray:
    """How far the frame is open along its length.

    Args:
        frame: the valve frame.
        opening: progress of the deployment, 0 to 1.
        f: (...) place along the frame as a fraction of its length, 0 at the inflow.

    Returns:
        (...) from 0 to 1: 0 folded, 1 open.
    """
    f = np.asarray(f, dtype=float)
    if frame.make == "sapien":
        return np.clip(opening * (1 + 0.3 * (1 - opening) * (2 * f - 1) ** 2), 0, 1)
    front = opening * 1.5 - 0.25
    behind = 1 - f if frame.make == "acurate" else f
    return np.asarray(1 / (1 + np.exp(np.clip((behind - front) / _FRONT_WIDTH, -40, 40))))


def frame_axis(frame: ValveFrame, anatomy: Anatomy, wire: Curve, *, inflow: float, depth: float, freedom: float) -> Curve:
    """The frame's axis from inflow to outflow.

    Args:
        frame: the make and size.
        anatomy: gives the annulus' axis.
        wire: the guide wire.
        inflow: arc length in mm of the inflow edge along the wire.
        depth: mm of the inflow edge below the annulus, negative above.
        freedom: 0 = held on the wire by the catheter, 1 = held by the tissue alone, nearly along the annulus' axis.
    """
    f = np.linspace(0, 1, _KNOTS)
    along = wire.at(inflow - f * frame.length * (1 + 0.14 * (1 - freedom)))
    direction = unit(anatomy.axis + frame.tilt[0] * anatomy.normal + frame.tilt[1] * anatomy.binormal)
    base = -depth * anatomy.axis + frame.shift[0] * anatomy.normal + frame.shift[1] * anatomy.binormal
    # the upper part leans on the aorta's wall and follows its bend
    heights = f * frame.length - depth
    bend = anatomy.centreline_at(heights) - heights[:, None] * anatomy.axis
    tissue = base + f[:, None] * frame.length * direction + 0.5 * np.where(heights[:, None] > 0, bend, 0.0)
    free = freedom * freedom * (3 - 2 * freedom)
    return Curve((1 - free) * along + free * tissue)


class _Surface:
    """Points on the frame: (f, angle) -> (3,)."""

    def __init__(self, frame: ValveFrame, axis: Curve, opening: float) -> None:
        self.frame, self.axis, self.opening = frame, axis, opening
        t = axis.tangent(np.linspace(0, 1, _KNOTS) * axis.length)
        reference = np.array([0.3, 0.2, 0.9])
        n = np.cross(t, reference)
        self.n = n / np.linalg.norm(n, axis=1, keepdims=True)
        self.b = np.cross(t, self.n)

    def radius(self, f: np.ndarray) -> np.ndarray:
        frame = self.frame
        full = PchipInterpolator(*_profile(frame))(np.clip(f, 0, 1))
        return frame.folded_radius + (full - frame.folded_radius) * opening_profile(frame, self.opening, f)

    def at(self, f: np.ndarray, angle: np.ndarray) -> np.ndarray:
        f = np.asarray(f, dtype=float)
        knots = np.linspace(0, 1, _KNOTS)
        n = np.stack([np.interp(f, knots, self.n[:, k]) for k in range(3)], axis=-1)
        b = np.stack([np.interp(f, knots, self.b[:, k]) for k in range(3)], axis=-1)
        across = np.cos(angle)[..., None] * self.frame.oval * n + np.sin(angle)[..., None] / self.frame.oval * b
        return self.axis.at(f * self.axis.length) + self.radius(f)[..., None] * across

    def strut(self, f: np.ndarray, angle: np.ndarray) -> Tube:
        """A wire along (f, angle). Where the frame is folded struts lie over each other and the beam is hardened already."""
        mu = self.frame.strut_mu * (0.45 + 0.55 * opening_profile(self.frame, self.opening, f))
        return Tube(self.at(f, angle), self.frame.strut_radius, mu)


def _profile(frame: ValveFrame) -> tuple[list[float], list[float]]:
    inflow, waist, outflow = frame.inflow_radius, frame.waist_radius, frame.outflow_radius
    if frame.make in ("sapien", "braided"):
        return [0.0, 0.5, 1.0], [inflow, waist, outflow]
    if frame.make == "evolut":
        return [0.0, 0.12, 0.40, 0.62, 1.0], [inflow, inflow * 0.97, waist, waist * 1.12, outflow]
    return [0.0, 0.2, 0.42, 0.55, 0.75, 1.0], [inflow, waist, inflow * 1.12, waist, outflow, outflow * 0.9]


def _zigzag(surface: _Surface, low: float, high: float, *, first_high: bool) -> Tube:
    """A closed row of V between two heights."""
    frame = surface.frame
    samples = 6
    t = np.arange(2 * frame.cells * samples + 1) / samples
    triangle = np.abs((t + first_high) % 2 - 1)  # 1 at even nodes unless first_high
    smooth = 0.6 * (1 - triangle) + 0.4 * (0.5 + 0.5 * np.cos(np.pi * triangle))
    return surface.strut(low + (high - low) * smooth, frame.rotation + t * np.pi / frame.cells)


def _levels(frame: ValveFrame) -> np.ndarray:
    """Heights (rows + 1,) of the nodes: cells grow towards the outflow of the self-expanding frame."""
    x = np.linspace(0, 1, frame.rows + 1)
    return x**1.15 if frame.make == "evolut" else x


def _acurate(surface: _Surface) -> list[Tube]:
    """Lower crown of two rows, a flaring upper crown, three tall stabilisation arches and three posts."""
    frame = surface.frame
    paths = [_zigzag(surface, 0.0, 0.16, first_high=False), _zigzag(surface, 0.16, 0.30, first_high=True)]
    paths.append(_zigzag(surface, 0.30, 0.46, first_high=False))
    q = np.linspace(0, 1, 40)
    for j in range(3):
        middle = frame.rotation + 2 * np.pi / 3 * j
        sweep = np.cos(np.pi * q) * (0.6 + 0.4 * np.sin(np.pi * q))
        paths.append(surface.strut(0.38 + 0.62 * np.sin(np.pi * q) ** 0.8, middle + 0.62 * sweep))
        paths.append(surface.strut(0.30 + 0.32 * np.sin(np.pi * q) ** 0.8, middle + np.pi / 3 + 0.3 * sweep))
    return paths


def _sapien(surface: _Surface) -> list[Tube]:
    """Rows of V, the upper ones joined by posts that make tall cells."""
    frame = surface.frame
    levels = np.linspace(0, 0.62, frame.rows + 1)
    paths = [_zigzag(surface, a, b, first_high=bool(i % 2)) for i, (a, b) in enumerate(pairwise(levels))]
    paths.append(_zigzag(surface, 0.82, 1.0, first_high=bool(frame.rows % 2)))
    for j in range(frame.cells):
        angle = frame.rotation + (2 * j + (frame.rows % 2)) * np.pi / frame.cells
        paths.append(surface.strut(np.linspace(levels[-1], 0.82, 4), np.full(4, angle)))
    return paths


def _evolut(surface: _Surface) -> list[Tube]:
    """Rows of diamonds and three tabs at the outflow."""
    frame, levels = surface.frame, _levels(surface.frame)
    paths = [_zigzag(surface, a, b, first_high=bool(i % 2)) for i, (a, b) in enumerate(pairwise(levels))]
    for j in range(3):
        paths.append(surface.strut(np.array([0.98, 1.0, 1.04]), np.full(3, frame.rotation + 2 * np.pi / 3 * j)))
    return paths


def _braided(surface: _Surface) -> list[Tube]:
    """Wires that wind both ways, and three posts."""
    frame, f = surface.frame, np.linspace(0, 1, 24)
    paths = []
    for j in range(frame.cells):
        start = frame.rotation + 2 * np.pi / frame.cells * j
        paths += [surface.strut(f, start + side * 2.2 * f) for side in (-1, 1)]
    paths += [surface.strut(np.linspace(0.35, 0.6, 4), np.full(4, frame.rotation + 2 * np.pi / 3 * j)) for j in range(3)]
    return paths


def frame_tubes(frame: ValveFrame, axis: Curve, *, opening: float) -> list[Tube]:
    """The struts as drawn; ``axis`` from :func:`frame_axis`."""
    draw = {"evolut": _evolut, "acurate": _acurate, "sapien": _sapien, "braided": _braided}[frame.make]
    return draw(_Surface(frame, axis, opening))


def inflow_crowns(frame: ValveFrame, axis: Curve, *, opening: float) -> np.ndarray:
    """(cells, 3) mm: the nodes at the frame's lower end, from which FE1 and FE2 are chosen."""
    angle = frame.rotation + 2 * np.pi / frame.cells * np.arange(frame.cells)
    return _Surface(frame, axis, opening).at(np.zeros(frame.cells), angle)
