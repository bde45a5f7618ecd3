"""The chest without devices and contrast: heart, great vessels, lungs, diaphragm, stomach gas, spine and ribs.

Drawn once per cine in two layers: soft tissue at half size, which breathes and beats, and bone and fine lines, which do not.
Soft organs are a saturating union of ellipsoids whose outline is displaced by smooth noise and blurred in parts: real borders
are uneven and incomplete.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from monai_tavr.phantom.anatomy import Anatomy
from monai_tavr.phantom.camera import Camera
from monai_tavr.phantom.lungs import draw_fine_vessels, draw_lung_vessels, draw_streaks, lung_texture, soften
from monai_tavr.phantom.raster import draw_tube, ellipsoid_chord
from monai_tavr.phantom.skeleton import draw_ribs, draw_spine, spine_axis
from monai_tavr.phantom.texture import Image, blur, power_noise, resize, warp
from monai_tavr.phantom.vectors import perpendicular_frame

__all__ = ["Background", "render_layers"]


@dataclass(frozen=True, eq=False)
class Background:
    """The layers of a cine's background.

    Attributes:
        soft: (h, w) attenuation of what breathes and beats.
        bone: (H, W) attenuation of what stays.
        size: size H = W of the frames; h = w = size // 2.
        heart_weight: (h, w) 0..1 how much a pixel follows the heart beat.
        breath_weight: (h, w) 0..1 how much a pixel follows the diaphragm.
        heart_xy: (x, y) of the heart's middle on the layers.
    """

    soft: Image
    bone: Image
    size: int
    heart_weight: Image
    breath_weight: Image
    heart_xy: tuple[float, float]

    def compose(self, *, breath_px: float = 0.0, beat: float = 0.0) -> Image:
        """The background at an instant.

        Args:
            breath_px: downward shift of the diaphragm in pixels of the frame.
            beat: contraction of the heart's border towards its middle, as a fraction of its distance (about 0..0.04).

        Returns:
            (H, W) float32 attenuation.
        """
        if not breath_px and not beat:
            return resize(self.soft, self.size) + self.bone
        rows, columns = np.indices(self.soft.shape, dtype=np.float32)
        toward_x = (columns - np.float32(self.heart_xy[0])) * self.heart_weight * np.float32(beat)
        toward_y = (rows - np.float32(self.heart_xy[1])) * self.heart_weight * np.float32(beat)
        down = self.breath_weight * np.float32(0.5 * breath_px)
        return resize(warp(self.soft, toward_x, toward_y - down), self.size) + self.bone


def render_layers(anatomy: Anatomy, camera: Camera, rng: np.random.Generator) -> Background:
    """Draw the layers once for a cine; `rng` decides on textures, `anatomy` on shapes."""
    half = camera.resized(camera.size // 2)
    scale = half.size / 256
    organs = _Organs(anatomy, half, rng)
    shift_x = 7.5 * scale * power_noise(rng, half.size, slope=2.1, low=2, high=24)
    shift_y = 7.5 * scale * power_noise(rng, half.size, slope=2.1, low=2, high=24)
    soft = warp(organs.attenuation(), shift_x, shift_y)
    soft = _partly_blurred(soft, rng, scale)
    aerated = blur(warp(np.clip(organs.lung / 80, 0, 1), shift_x, shift_y), 6 * scale)
    soft += np.float32(0.009) * power_noise(rng, half.size, slope=1.5, low=5, high=60)
    soft += np.float32(anatomy.lung_density) * lung_texture(half, aerated, rng)
    vessels = np.zeros((half.size, half.size))
    draw_lung_vessels(vessels, anatomy, half, rng)
    soft += soften(vessels, scale) * (0.45 + 1.5 * aerated) * np.float32(0.95 * anatomy.lung_density)

    (heart,), _ = half.project(anatomy.heart_centre[None])
    (dome,), _ = half.project(np.array([[0.0, 5.0, float(anatomy.diaphragm_z.mean())]]))
    rows, columns = np.indices((half.size, half.size), dtype=np.float32)
    radius = float(anatomy.heart_axes.mean()) * 1.5 / half.pixel_mm
    heart_weight = np.exp(-((((columns - heart[0]) ** 2 + (rows - heart[1]) ** 2) / radius**2) ** 2))
    breath_weight = 1 / (1 + np.exp(-(rows - dome[1] + 0.2 * half.size) / (0.12 * half.size)))
    return Background(
        soft=soft,
        bone=_bones(anatomy, camera, rng, 2 * scale),
        size=camera.size,
        heart_weight=heart_weight.astype(np.float32),
        breath_weight=breath_weight.astype(np.float32),
        heart_xy=(float(heart[0]), float(heart[1])),
    )


def _partly_blurred(image: Image, rng: np.random.Generator, scale: float) -> Image:
    """Edges sharp here, blurred a little or much there."""
    choice = power_noise(rng, image.shape[0], slope=1.5, low=2, high=10)
    little = np.clip(0.5 + 0.6 * choice, 0, 1)
    much = np.clip(0.55 * power_noise(rng, image.shape[0], slope=1.5, low=2, high=8), 0, 1)
    out = image * (1 - little) + blur(image, 3.0 * scale) * little
    return np.asarray(out * (1 - much) + blur(image, 9 * scale) * much, dtype=np.float32)


def _union(*chords: Image) -> Image:
    """(H, W) thickness of overlapping bodies: about the largest, smooth where they meet."""
    return np.asarray(sum(chord**4 for chord in chords) ** 0.25, dtype=np.float32)


class _Organs:
    """Thicknesses (H, W) in mm of the soft organs along each ray."""

    def __init__(self, anatomy: Anatomy, camera: Camera, rng: np.random.Generator) -> None:
        def body(centre: ArrayLike, half_axes: ArrayLike, directions: ArrayLike | None = None) -> Image:
            return ellipsoid_chord(camera, centre, half_axes, directions)

        size, (right_z, left_z) = anatomy.thorax_scale, anatomy.diaphragm_z
        self.anatomy, self.rng = anatomy, rng
        lv_frame = (anatomy.lv_axis, *perpendicular_frame(anatomy.lv_axis))
        main = body(anatomy.heart_centre, anatomy.heart_axes, lv_frame)
        atrium = body([-30 + rng.normal(0, 4), 4, -16 + rng.normal(0, 5)], [26, 28, 38])
        appendage = body(np.array([30, 12, 14]) + rng.normal(0, 6, 3), rng.uniform(16, 28, 3))
        self.heart = _union(main, 0.8 * atrium, 0.7 * appendage)
        self.mediastinum = body([0.5 * anatomy.spine_x + 4, 20, 10], [40 * size, 48, 230])
        left = body([92 * size, 12, 20], [62 * size, 95, 150])
        right = body([-92 * size, 12, 20], [66 * size, 95, 150])
        self.domes = body([-70, 5, right_z - 62], [88, 85, 82]) + body([82, 5, left_z - 75], [80, 85, 82])
        self.lung = np.clip(left + right - self.heart - 0.7 * self.mediastinum - 0.6 * self.domes, 0, None)
        self.gas = np.zeros_like(self.heart)
        for _ in range(int(rng.integers(1, 4))):
            middle = np.array([45 + rng.normal(0, 22), -15, left_z - 18 + rng.normal(0, 12)])
            self.gas += body(middle, [rng.uniform(12, 30), 25, rng.uniform(8, 18)])
        self.spine = body(spine_axis(anatomy, 0.0), [anatomy.vertebra_radius, 17, 4000])
        aorta = np.zeros((camera.size, camera.size))
        path = anatomy.centreline[anatomy.annulus_index + 20 :: 4]
        draw_tube(aorta, camera, path, radius=anatomy.ascending_radius * 1.1, mu=1.0)
        self.aorta = aorta.astype(np.float32)

    def attenuation(self) -> Image:
        """(H, W) relative attenuation, flat inside with visible edges, as dynamic range compression leaves it."""

        def edge(chord: Image, depth: float) -> Image:
            """Rises fast at the border, then slowly: what compression leaves of a thickness."""
            return np.asarray(60 * (1 - np.exp(-chord / np.float32(depth))), dtype=np.float32)

        a, rng = self.anatomy, self.rng
        size = self.heart.shape[0]
        chest = _union(self.heart, rng.uniform(0.3, 0.6) * self.mediastinum, rng.uniform(0.5, 0.85) * self.domes)
        behind = np.exp(-chest / np.float32(40 * rng.uniform(0.8, 1.3)))
        # A sharp border only where the heart stands still against air; noise says where.
        sharp = np.clip(0.25 + 0.45 * power_noise(rng, size, slope=1.5, low=1.5, high=8), 0, 1)
        out = a.soft_density * 0.0050 * (edge(chest, 18) * sharp + edge(chest, 60) * (1 - sharp))
        out += 0.0012 * edge(self.mediastinum, 50) + 0.0008 * edge(self.aorta, 10)
        out += 0.0013 * rng.uniform(0.2, 1.2) * edge(0.8 * self.domes, 18) * behind
        out -= 0.0042 * rng.uniform(0, 1) * edge(self.gas, 18)
        return np.asarray(out + 0.0034 * rng.uniform(0.3, 1.0) * self.spine, dtype=np.float32)


def _bones(anatomy: Anatomy, camera: Camera, rng: np.random.Generator, scale: float) -> Image:
    """(H, W) attenuation of spine, ribs, fine lines and the sharp edge beside the spine."""
    density = np.zeros((camera.size, camera.size))
    draw_spine(density, anatomy, camera, rng)
    draw_ribs(density, anatomy, camera, rng)
    draw_streaks(density, camera, rng)
    out = np.float32(4.6 * anatomy.bone_density) * blur(density, 0.5 * scale)
    threads = np.zeros_like(density)
    draw_fine_vessels(threads, camera, rng)
    out += np.float32(1.4 * anatomy.lung_density) * threads.astype(np.float32)
    if rng.uniform() < 0.8:
        out += _paraspinal_edge(camera, rng, scale)
    return out


def _paraspinal_edge(camera: Camera, rng: np.random.Generator, scale: float) -> Image:
    """A sharp, nearly vertical step in the lower half: inferior vena cava or the edge of the spine against lung."""
    size = camera.size
    rows, columns = np.indices((size, size), dtype=np.float32)
    middle = size * rng.uniform(0.27, 0.4)
    bend = rng.normal(0, 0.00025) * (rows - 0.6 * size) ** 2 / scale + rng.normal(0, 0.05) * (rows - size / 2)
    across = 1 / (1 + np.exp(np.clip(-(columns - middle - bend) / np.float32(scale), -30, 30)))
    down = 1 / (1 + np.exp(-(rows - size * rng.uniform(0.45, 0.6)) / np.float32(14 * scale)))
    ends = np.exp(-np.clip(columns - middle - bend, 0, None) / np.float32(rng.uniform(40, 160) * scale))
    return np.asarray(rng.uniform(0.05, 0.14) * across * down * ends, dtype=np.float32)
