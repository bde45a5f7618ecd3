"""Who lies on the table: one patient of a population, as numbers and a few curves.

The aortic root is a tube with three sinuses around a straight axis. The annulus is the ring at its lower end (the plane of the
three hinge points), the sinotubular junction (STJ) the ring where the sinuses end. Both rings lie exactly on the surface that is
drawn as contrast (`Anatomy.root_surface`), so that labels taken from them lie on the contour. Sizes follow the CT literature on
TAVR patients (annulus diameter 20-28 mm, sinus 27-38, STJ 23-33, sinus height 17-25) and are drawn a little wider.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from monai_tavr.phantom.vectors import Array, perpendicular_frame, resample, smooth_curve, unit

__all__ = ["Anatomy", "sample_anatomy"]


_ENTRY_MM = 14.0  # the centreline begins this far below the annulus, in the outflow tract


@dataclass(frozen=True, eq=False)
class Anatomy:
    """One patient. Lengths in mm, directions as unit vectors, angles in radians.

    Attributes:
        axis, normal, binormal: (3,) the root's axis (from the annulus towards the STJ) and two directions across it.
        annulus_radius, annulus_ratio, annulus_angle: mean radius of the annulus, ratio of its short to its long diameter, and the
            angle (from `normal` towards `binormal`) of the long one.
        sinus_radius, sinus_height, sinus_phase: largest radius at the sinuses, distance from annulus to STJ, and the angle of
            the middle of the left coronary sinus; the others follow at 120 degrees: non-coronary, right coronary.
        sinus_scale: (3,) bulge of the sinuses as a share of a typical one: left, non-coronary, right.
        stj_radius, ascending_radius: radius at the STJ and of the ascending aorta.
        centreline: (N, 3) points of the aorta's axis in steps of 1 mm, from the outflow tract over the arch to the descending
            aorta; straight from its start to the STJ.
        annulus_index: index of `centreline` at the annulus (the world's origin).
        lv_axis, lv_length, lv_radius: long axis (3,) of the left ventricle, a unit vector from the outflow tract to the apex; mm.
        heart_centre, heart_axes: (3,) mm: middle and half axes (long, across, across) of the heart's shadow; long is `lv_axis`.
        spine_x, spine_y: (lateral, posterior) position of the spine's axis at the annulus' height.
        spine_tilt, spine_bend: its lateral slope and curvature (per mm).
        vertebra_height, vertebra_radius: height with disc and half width of a vertebra.
        diaphragm_z: (2,) mm: height of the right and left dome.
        thorax_scale: size of the rib cage relative to a typical one.
        lung_density, bone_density, soft_density: strength of lung texture, bone and soft tissue.
        calcified: number of calcium grains in the root.
        sternal_wires: number of wire loops from an earlier operation.
        texture_seed: seed of what belongs to the patient but needs no name (vessel trees, bone details).
    """

    axis: Array
    normal: Array
    binormal: Array
    annulus_radius: float
    annulus_ratio: float
    annulus_angle: float
    sinus_radius: float
    sinus_height: float
    sinus_phase: float
    sinus_scale: Array
    stj_radius: float
    ascending_radius: float
    centreline: Array
    annulus_index: int
    lv_axis: Array
    lv_length: float
    lv_radius: float
    heart_centre: Array
    heart_axes: Array
    spine_x: float
    spine_y: float
    spine_tilt: float
    spine_bend: float
    vertebra_height: float
    vertebra_radius: float
    diaphragm_z: Array
    thorax_scale: float
    lung_density: float
    bone_density: float
    soft_density: float
    calcified: int
    sternal_wires: int
    texture_seed: int

    def sinus_direction(self, index: int) -> Array:
        """(3,) unit vector from the axis to the middle of a sinus: 0 left coronary, 1 non-coronary, 2 right coronary."""
        angle = self.sinus_phase + 2 * np.pi / 3 * index
        return np.asarray(np.cos(angle) * self.normal + np.sin(angle) * self.binormal)

    def annulus_ring(self, n: int = 180) -> Array:
        """(n, 3) mm: points of the annulus, on the surface of the root."""
        return self._ring(0.0, n)

    def stj_ring(self, n: int = 180) -> Array:
        """(n, 3) mm: points of the sinotubular junction, on the surface of the root."""
        return self._ring(self.sinus_height, n)

    def _ring(self, height: float, n: int) -> Array:
        angle = np.linspace(0, 2 * np.pi, n, endpoint=False)
        return self.axis * height + self.root_radius(np.array([height]), angle)[0, :, None] * self._around(angle)

    def _around(self, angle: Array) -> Array:
        return np.asarray(np.cos(angle)[..., None] * self.normal + np.sin(angle)[..., None] * self.binormal)

    def root_radius(self, height: ArrayLike, angle: ArrayLike) -> Array:
        """Radius of the root and the ascending aorta.

        Args:
            height: (U,) distance along the centreline from the annulus in mm, negative in the outflow tract.
            angle: (V,) radians from `normal` towards `binormal`.

        Returns:
            (U, V) radius in mm.
        """
        s = np.asarray(height, dtype=np.float64)[:, None]
        theta = np.asarray(angle, dtype=np.float64)[None]
        x = np.clip(s / self.sinus_height, 0, 1)
        oval = np.sqrt(self.annulus_ratio)
        across = theta - self.annulus_angle
        ellipse = self.annulus_radius / np.sqrt((np.cos(across) * oval) ** 2 + (np.sin(across) / oval) ** 2)
        wall = ellipse + (self.stj_radius - ellipse) * x * x * (3 - 2 * x)
        above = np.clip(s - self.sinus_height, 0, None)
        wall = wall + (self.ascending_radius - self.stj_radius) * (1 - np.exp(-above / 14))
        # The bulge begins at the annulus and ends at the STJ, where it vanishes: the labelled rings lie on the contour.
        bulge = np.sin(np.pi * x**0.75) ** 0.8
        lobes = np.zeros_like(theta)
        for j, scale in enumerate(self.sinus_scale):
            lobes = lobes + scale * np.clip(np.cos((theta - self.sinus_phase - 2 * np.pi / 3 * j) * 0.5), 0, None) ** 5
        return np.asarray(wall + (self.sinus_radius - 0.5 * (self.annulus_radius + self.stj_radius)) * bulge * lobes)

    def centreline_at(self, height: ArrayLike) -> Array:
        """Points (..., 3) in mm of the centreline, ``height`` (...) mm from the annulus along it."""
        index = np.asarray(height, dtype=np.float64) + self.annulus_index
        steps = np.arange(len(self.centreline))
        return np.stack([np.interp(index, steps, self.centreline[:, k]) for k in range(3)], axis=-1)

    def tube_surface(self, heights: ArrayLike, angles: ArrayLike, radius: ArrayLike) -> Array:
        """(U, V, 3) mm: points around the centreline.

        Args:
            heights: (U,) distance from the annulus in mm.
            angles: (V,) radians around the centreline.
            radius: (U, V) or broadcastable, mm.
        """
        s, theta = np.asarray(heights, dtype=np.float64), np.asarray(angles, dtype=np.float64)
        tangent = self.centreline_at(s + 0.5) - self.centreline_at(s - 0.5)
        tangent[s <= self.sinus_height] = self.axis
        tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
        normal = self.normal - (tangent @ self.normal)[:, None] * tangent
        normal /= np.linalg.norm(normal, axis=1, keepdims=True)
        binormal = np.cross(tangent, normal)
        around = np.cos(theta)[None, :, None] * normal[:, None] + np.sin(theta)[None, :, None] * binormal[:, None]
        return np.asarray(self.centreline_at(s)[:, None] + np.asarray(radius)[..., None] * around)

    def root_surface(self, top: float, *, step: float = 1.0, closed: float = 1.0) -> Array:
        """The blood above the valve as a closed surface for `raster.draw_surface`.

        Args:
            top: where the column ends, distance from the annulus in mm.
            step: size of the facets in mm.
            closed: 1 = the three cusps of the closed valve bound the blood below, 0 = flat at the annulus.

        Returns:
            (U, V, 3) points in mm; the ring of the annulus is among them.
        """
        angles = np.linspace(0, 2 * np.pi, max(12, int(2 * np.pi * self.sinus_radius / step)), endpoint=False)
        heights = np.linspace(0, top, max(6, int(top / step)))
        wall = self.tube_surface(heights, angles, self.root_radius(heights, angles))
        lid = np.linspace(1, 0, 6)[1:, None, None]
        centre = self.centreline_at(np.array([top]))[0]
        return np.concatenate([self._cusps(angles, wall[0], closed), wall, centre + lid * (wall[-1] - centre)])

    def _cusps(self, angles: Array, ring: Array, closed: float) -> Array:
        """(U, V, 3) the leaflets seen from the aorta: from where they meet, down into three pockets, to the ring."""
        q = np.linspace(0, 1, 12)[:-1, None]
        between = np.prod([np.sin((angles - self.sinus_phase - 2 * np.pi / 3 * j) / 2) ** 2 for j in range(3)], axis=0) * 16
        # Height from the axis (q = 0) to the wall (q = 1): a crest between two cusps, a dip inside one.
        crest = 0.36 * np.clip(1 - q**6, 0, 1)
        pocket = 0.36 * np.clip(1 - q / 0.55, 0, 1) ** 1.5 - 0.09 * np.sin(np.pi * np.clip((q - 0.35) / 0.65, 0, 1))
        mix = np.clip(between, 0, 1)[None] ** 2
        height = closed * self.sinus_height * (mix * crest + (1 - mix) * pocket)
        return np.asarray(q[..., None] * ring[None] + height[..., None] * self.axis)


def _sample_centreline(rng: np.random.Generator, axis: Array, sinus_height: float) -> tuple[Array, int]:
    """The aorta's axis: straight through the root, then over the arch and down, with steps of 1 mm."""
    size = rng.uniform(0.8, 1.12)
    up = unit(axis + np.array([0.15, 0.0, 0.75]))
    top = axis * sinus_height
    descending = np.array([rng.uniform(22, 48), rng.uniform(48, 62), 0.0]) + rng.normal(0, 3, 3)
    knots = [
        top,
        top + up * 22 * size + rng.normal(0, 1.5, 3),
        top + np.array([-16, -4, 66]) * size + rng.normal(0, 3, 3),
        top + np.array([4, 22, 112]) * size + rng.normal(0, 4, 3),
        top + np.array([38, 55, 84]) * size + rng.normal(0, 4, 3),
        descending + np.array([2, 0, 40]),
        descending + np.array([rng.uniform(-5, 3), 2, -40]),
        descending + np.array([-rng.uniform(2, 16), 0, -110]),
        descending + np.array([-rng.uniform(5, 30), -3, -190]),
    ]
    curve, _ = smooth_curve(knots, 1.0, start_direction=axis)
    # Whole millimetres below the STJ, so that the annulus is a point of the centreline and the root is exactly straight.
    below = np.arange(-_ENTRY_MM, 0.0)
    root = np.concatenate([below, np.arange(0.0, np.floor(sinus_height))])
    remainder = resample(np.concatenate([root[-1:, None] * axis, curve]), 1.0)[0]
    return np.concatenate([root[:-1, None] * axis, remainder]), int(_ENTRY_MM)


def sample_anatomy(seed: np.random.SeedSequence) -> Anatomy:
    """Draw one patient of the population.

    Args:
        seed: child of the data set's SeedSequence; the same seed gives the same patient.
    """
    rng = np.random.default_rng(seed)
    uniform = rng.uniform
    annulus_radius = uniform(10.3, 14.2)
    sinus_height = uniform(17, 25)
    stj_radius = annulus_radius * uniform(0.98, 1.2)
    axis = unit([-uniform(0.4, 0.75), -uniform(0.1, 0.45), uniform(0.6, 0.9)])
    normal, binormal = perpendicular_frame(axis)
    # Right coronary sinus to the front, left one to the left and back, non-coronary one to the right and back.
    front = np.array([0.1, -1.0, 0.0])
    phase = np.arctan2(front @ binormal, front @ normal) + 2 * np.pi / 3 + rng.normal(0, 0.35)
    centreline, annulus_index = _sample_centreline(rng, axis, sinus_height)
    lv_axis = unit([uniform(0.55, 0.8), -uniform(0.25, 0.6), -uniform(0.35, 0.7)])
    heart_size = uniform(46, 62)
    return Anatomy(
        axis=axis,
        normal=normal,
        binormal=binormal,
        annulus_radius=annulus_radius,
        annulus_ratio=uniform(0.78, 1.0),
        annulus_angle=uniform(0, np.pi),
        sinus_radius=max(annulus_radius, stj_radius) * uniform(1.32, 1.62),
        sinus_height=sinus_height,
        sinus_phase=float(phase),
        sinus_scale=uniform(0.85, 1.15, 3),
        stj_radius=stj_radius,
        ascending_radius=stj_radius * uniform(1.05, 1.35),
        centreline=centreline,
        annulus_index=annulus_index,
        lv_axis=lv_axis,
        lv_length=uniform(65, 90),
        lv_radius=uniform(20, 28),
        heart_centre=lv_axis * 34 + np.array([-6, -4, 4]) + rng.normal(0, 4, 3),
        heart_axes=heart_size * np.array([1.25, 0.95, 0.92]) * uniform(0.9, 1.1, 3),
        spine_x=uniform(-22, 8),
        spine_y=uniform(56, 68),
        spine_tilt=rng.normal(0, 0.05),
        spine_bend=rng.normal(0, 0.0003),
        vertebra_height=uniform(21, 27),
        vertebra_radius=uniform(17, 22),
        diaphragm_z=np.array([uniform(-95, -55), uniform(-100, -65)]),
        thorax_scale=uniform(0.88, 1.12),
        lung_density=uniform(0.6, 1.4),
        bone_density=uniform(0.6, 1.4),
        soft_density=uniform(0.75, 1.25),
        calcified=int(rng.integers(2, 14)) if uniform() < 0.65 else 0,
        sternal_wires=int(rng.integers(3, 7)) if uniform() < 0.13 else 0,
        texture_seed=int(rng.integers(2**31)),
    )
