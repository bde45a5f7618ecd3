"""Iodine in the blood: the opacified root and ascending aorta, the three sinuses, the coronaries and the ventricle; and calcium.

How much of it is where at an instant is the `ContrastState`, given by whoever plays the procedure; this file only draws. Thick
columns saturate (beam hardening and scatter), which gives the crisp rims of real aortograms.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from monai_tavr.phantom.anatomy import Anatomy
from monai_tavr.phantom.camera import Camera
from monai_tavr.phantom.coronaries import coronary_tree, selective_tree
from monai_tavr.phantom.raster import draw_surface, draw_tube, ellipsoid_chord
from monai_tavr.phantom.texture import Image, blur, power_noise, resize
from monai_tavr.phantom.vectors import perpendicular_frame

__all__ = ["ContrastLayer", "ContrastState", "render_contrast"]

_IODINE_MU = 0.0120  # per mm of well filled blood, after the display's compression
_FULL_MM = 27.0  # thickness at which saturation is neutral
_CALCIUM_MU = 0.035
_WALL_MM = 0.2  # a thinner column is a rim that nobody sees


@dataclass(frozen=True)
class ContrastState:
    """Contrast at one instant.

    Attributes:
        filling: iodine in the root relative to a good injection; 0 none, about 1 full.
        fade_mm: how far above the STJ the column reaches.
        fade_width: softness of its upper end, relative to `fade_mm`.
        lv_filling: iodine in the ventricle (regurgitation), relative to the root's.
        coronary_filling: iodine in the coronaries, relative to the root's.
        coronary_reach: part of the coronary tree that the contrast has reached, 0..1.
        sinus_pooling: (3,) extra iodine at the bottom of each sinus: left, non-coronary, right.
        valve_closed: 1 = cusps closed under the column, 0 = open, flat at the annulus.
        mixing: unevenness of the column by streaming, 0..1.
        saturation_mm: path length over which thick columns saturate.
        root_share: iodine that reaches the root itself, as a share of the injection; a catheter in a coronary leaves it little.
        selective: sinus whose coronary a catheter fills, 0 left or 2 right, with all its branches; None = both, from the root.
    """

    filling: float = 1.0
    fade_mm: float = 50.0
    fade_width: float = 0.15
    lv_filling: float = 0.0
    coronary_filling: float = 1.0
    coronary_reach: float = 1.0
    sinus_pooling: tuple[float, float, float] = field(default=(0.0, 0.0, 0.0))
    valve_closed: float = 1.0
    mixing: float = 0.5
    saturation_mm: float = 24.0
    root_share: float = 1.0
    selective: int | None = None


@dataclass(frozen=True, eq=False)
class ContrastLayer:
    """What moves with the root in one frame.

    Attributes:
        attenuation: (H, W) float32 of contrast and calcium.
        filled: (h, w) float32, h = H // 2: how much of the contrast has come to a pixel of root and ascending aorta, 0..1;
            0 beside them. Ventricle and coronaries are no part of it.
    """

    attenuation: Image
    filled: Image

    def root_mask(self) -> NDArray[np.bool_]:
        """(H, W) bool, True where the opacified root and aorta are projected, up to where contrast has faded to a half."""
        return np.asarray(resize(self.filled, self.attenuation.shape[0]) > 0.5)


def render_contrast(
    anatomy: Anatomy,
    camera: Camera,
    state: ContrastState,
    rng: np.random.Generator,
    *,
    motion_offset: ArrayLike = (0.0, 0.0, 0.0),
) -> ContrastLayer:
    """Draw all that moves with the root: calcium always, contrast where there is some.

    Args:
        motion_offset: (3,) mm by which the beating heart has moved the root; add the same to the landmarks.
    """
    # Moving the patient by d is moving the camera by -d; all is drawn at half size, which the detector's blur hides.
    centre = np.asarray(camera.centre, dtype=np.float64) - np.asarray(motion_offset, dtype=np.float64)
    half = replace(camera, size=camera.size // 2, centre=centre)
    out = _render_calcium(anatomy, half)
    filled = np.zeros_like(out)
    if state.filling > 0.01:
        iodine, filled = _render_iodine(anatomy, half, state, rng)
        out = out + iodine
    return ContrastLayer(resize(out, camera.size, cubic=True), filled)


def _render_iodine(anatomy: Anatomy, camera: Camera, state: ContrastState, rng: np.random.Generator) -> tuple[Image, Image]:
    """(H, W) attenuation, and how far the filled root covers each pixel."""
    scale = camera.size / 256
    root, filled = _root_column(anatomy, camera, state, rng)
    ventricle = _ventricle(anatomy, camera, rng) * np.float32(0.35 * state.lv_filling)
    coronary = np.zeros((camera.size, camera.size))
    if state.coronary_filling > 0.01:
        tree = coronary_tree(anatomy) if state.selective is None else selective_tree(anatomy, state.selective)
        for vessel, radius, start in tree:
            n = int(np.ceil(len(vessel) * np.clip((state.coronary_reach - start) / 0.35, 0, 1)))
            draw_tube(coronary, camera, vessel[:n], radius=radius[:n], mu=1.0)
    total = root + ventricle + np.float32(state.coronary_filling * 1.2) * blur(coronary, 0.7 * scale)
    total = blur(total, 0.5 * scale)
    c = state.saturation_mm
    saturated = _FULL_MM * (1 - np.exp(-total / np.float32(c))) / (1 - np.exp(-_FULL_MM / c))
    return np.asarray(state.filling * _IODINE_MU * saturated, dtype=np.float32), filled


def _root_column(anatomy: Anatomy, camera: Camera, state: ContrastState, rng: np.random.Generator) -> tuple[Image, Image]:
    """(H, W) effective thickness in mm of the root and the ascending aorta, and how far they cover each pixel."""
    step = max(1.0, 1.1 * camera.pixel_mm)
    top = anatomy.sinus_height + state.fade_mm * 1.35
    top = min(top, len(anatomy.centreline) - anatomy.annulus_index - 3.0)
    thickness = np.zeros((camera.size, camera.size))
    draw_surface(thickness, camera, anatomy.root_surface(top, step=step, closed=state.valve_closed))
    column = thickness.astype(np.float32)

    flow = _flow_coordinate(anatomy, camera, state)
    ragged = power_noise(rng, camera.size, slope=1.3, low=2, high=24)
    end = anatomy.sinus_height + state.fade_mm * 0.8
    width = max(2.0, state.fade_mm * state.fade_width)
    fade = 1 / (1 + np.exp(np.clip((flow + 0.6 * width * ragged - end) / width, -30, 30)))
    thinning = np.interp(flow, [0, anatomy.sinus_height, anatomy.sinus_height + 40], [1.05, 1.0, 1.0 - 0.35 * state.mixing])
    streaks = power_noise(rng, camera.size, slope=1.1, low=3, high=30)
    column *= (fade * thinning * np.clip(1 + 0.22 * state.mixing * streaks, 0.3, 1.6)).astype(np.float32)
    if state.root_share != 1:
        column *= np.float32(state.root_share)
    for j, amount in enumerate(state.sinus_pooling):
        if amount > 0.01:
            # Never wider than the root itself: the contour is what the labels mark.
            column += np.float32(amount) * np.minimum(_sinus_pool(anatomy, camera, j), thickness.astype(np.float32))
    return column, np.asarray(fade * (thickness > _WALL_MM), dtype=np.float32)


def _flow_coordinate(anatomy: Anatomy, camera: Camera, state: ContrastState) -> Image:
    """(H, W) distance from the annulus in mm along the projected column."""
    length = anatomy.sinus_height + state.fade_mm
    (start, end), _ = camera.project(anatomy.centreline_at(np.array([0.0, length])))
    chord = end - start
    # A column seen end-on has no length on the image: then the coordinate stays bounded.
    gain = length / max(float(chord @ chord), (0.3 * length / camera.pixel_mm) ** 2)
    rows, columns = np.indices((camera.size, camera.size), dtype=np.float32)
    return np.asarray(((columns - start[0]) * chord[0] + (rows - start[1]) * chord[1]) * gain, dtype=np.float32)


def _sinus_pool(anatomy: Anatomy, camera: Camera, index: int) -> Image:
    out = anatomy.sinus_direction(index)
    centre = anatomy.axis * anatomy.sinus_height * 0.28 + out * anatomy.annulus_radius * 0.78
    half_axes = np.array([0.4 * anatomy.sinus_height, 0.6 * anatomy.annulus_radius, 0.7 * anatomy.annulus_radius])
    return ellipsoid_chord(camera, centre, half_axes, (anatomy.axis, out, np.cross(anatomy.axis, out)))


def _ventricle(anatomy: Anatomy, camera: Camera, rng: np.random.Generator) -> Image:
    """(H, W) thickness in mm of the ventricle, with the clouds of half-mixed contrast."""
    scale = camera.size / 256
    half_axes = np.array([0.52 * anatomy.lv_length, anatomy.lv_radius, 0.92 * anatomy.lv_radius])
    frame = (anatomy.lv_axis, *perpendicular_frame(anatomy.lv_axis))
    chord = ellipsoid_chord(camera, anatomy.lv_axis * anatomy.lv_length * 0.5, half_axes, frame)
    clouds = np.clip(0.55 + 0.5 * power_noise(rng, camera.size, slope=1.2, low=3, high=24), 0, 1.5)
    return blur(chord * clouds, 2.5 * scale)


@lru_cache(maxsize=8)
def _calcium_grains(anatomy: Anatomy) -> tuple[tuple[NDArray[np.float64], float], ...]:
    """Crooked grains on the leaflets and the annulus: (points (5, 3) mm, radius mm)."""
    rng = np.random.default_rng([anatomy.texture_seed, 2])
    grains = []
    for _ in range(anatomy.calcified):
        angle, radial = rng.uniform(0, 2 * np.pi), rng.uniform(0.3, 0.98) * anatomy.annulus_radius
        out = np.cos(angle) * anatomy.normal + np.sin(angle) * anatomy.binormal
        centre = anatomy.axis * rng.uniform(-1, 9) + radial * out
        grains.append((centre + rng.normal(0, 1.1, (5, 3)).cumsum(axis=0), float(rng.uniform(0.3, 1.1))))
    return tuple(grains)


def _render_calcium(anatomy: Anatomy, camera: Camera) -> Image:
    density = np.zeros((camera.size, camera.size))
    for points, radius in _calcium_grains(anatomy):
        draw_tube(density, camera, points, radius=radius, mu=_CALCIUM_MU)
    return density.astype(np.float32)
