"""A cine: frames, keypoints and header, rendered from a plan.

What a frame shows is the sum of three layers of attenuation: the chest (drawn once per cine), the contrast with the root, and the
devices. Keypoints come from the same geometry, and from the rendered layers where the rule asks what can be seen.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from monai_tavr.formats.root_masks import OUTSIDE, ROOT, UNKNOWN
from monai_tavr.keypoints import Keypoints
from monai_tavr.phantom.anatomy import Anatomy
from monai_tavr.phantom.background import Background, render_layers
from monai_tavr.phantom.backgrounds import RealBackground
from monai_tavr.phantom.camera import Camera
from monai_tavr.phantom.collimator import open_at
from monai_tavr.phantom.contrast import ContrastLayer, render_contrast
from monai_tavr.phantom.curves import draw_tubes
from monai_tavr.phantom.detector import expose
from monai_tavr.phantom.devices import PlacedDevices, place_devices
from monai_tavr.phantom.landmarks import CONTRAST_RISE, COVER, ROOT_POINTS, contrast_rise, keypoints_of_frame, root_ends
from monai_tavr.phantom.procedure import CinePlan
from monai_tavr.phantom.seeding import child_seed
from monai_tavr.phantom.shading import draw_shading

__all__ = ["FrameLayers", "RenderedCine", "frame_layers", "render_cine"]


@dataclass(frozen=True, eq=False)
class FrameLayers:
    """The layers of one frame and its keypoints.

    Attributes:
        camera: the view of this frame.
        contrast: (H, W) attenuation of contrast and calcium.
        devices: (H, W) attenuation of the devices.
        keypoints: visible points in pixels.
        rise: how much contrast darkens the inside of the root's outline.
        root_mask: (H, W) uint8 mask of the opacified root (see :mod:`monai_tavr.formats.root_masks`).
    """

    camera: Camera
    contrast: np.ndarray
    devices: np.ndarray
    keypoints: Keypoints
    rise: float
    root_mask: np.ndarray


@dataclass(frozen=True, eq=False)
class RenderedCine:
    """A cine as the display shows it.

    Attributes:
        frames: (F, H, W) grey levels, uint8, or uint16 with 12 bits.
        keypoints: those of each of the F frames.
        root_masks: (F, H, W) uint8 masks of the opacified root (see :mod:`monai_tavr.formats.root_masks`).
    """

    frames: np.ndarray
    keypoints: tuple[Keypoints, ...]
    root_masks: np.ndarray


def frame_layers(anatomy: Anatomy, plan: CinePlan) -> Iterator[FrameLayers]:
    """Contrast, devices and keypoints of every frame of a plan, without the chest and without noise."""
    contrast_seed = child_seed(plan.render_seed, 0)
    for i in range(len(plan.states)):
        camera = _panned(plan.camera, plan.pan[i])
        # streaks of contrast stay where they are from frame to frame: the same numbers again
        rng = np.random.default_rng(contrast_seed)
        layer = render_contrast(anatomy, camera, plan.contrast[i], rng, motion_offset=plan.motion.root[i])
        placed = place_devices(anatomy, plan.equipment, plan.states[i]).moved(partial(plan.motion.displacement, i))
        devices, tip = _draw_devices(camera, placed)
        ends = root_ends(anatomy, camera, motion_offset=plan.motion.root[i])
        rise = contrast_rise(layer.attenuation, camera, ends)
        keypoints = keypoints_of_frame(
            camera,
            root=ends if rise >= CONTRAST_RISE else None,
            catheter=placed.catheter,
            crowns=placed.crowns,
            pigtail_tip=tip,
            frame=i,
        )
        yield FrameLayers(camera, layer.attenuation, devices, keypoints, rise, _root_mask(layer, keypoints))


def _panned(camera: Camera, pan: np.ndarray) -> Camera:
    """The view after the table has moved the picture by ``pan`` (2,) pixels right and down."""
    if not pan.any():
        return camera
    shift = (-float(pan[0]) * camera.right + float(pan[1]) * camera.up) * camera.pixel_mm
    return replace(camera, centre=np.asarray(camera.centre) + shift)


def _root_mask(layer: ContrastLayer, keypoints: Keypoints) -> np.ndarray:
    """(H, W) uint8: the opacified root where its points say that its outline is seen; else nobody knows where it lies."""
    if not _root_points(keypoints).any():
        return np.full(layer.attenuation.shape, UNKNOWN, np.uint8)
    return np.asarray(layer.root_mask() * ROOT, np.uint8)


def _root_points(keypoints: Keypoints) -> np.ndarray:
    """(K,) bool: the visible points of the root."""
    return np.asarray(keypoints.visible & np.isin(keypoints.schema.names, ROOT_POINTS))


def _draw_devices(camera: Camera, placed: PlacedDevices) -> tuple[np.ndarray, np.ndarray | None]:
    """(H, W) attenuation, and the pigtail's tip unless other devices hide it."""
    layer = np.zeros((camera.size, camera.size))
    draw_tubes(layer, camera, placed.tubes)
    tip = placed.pigtail_tip
    if tip is not None:
        x, y = camera.project(tip)[0]
        reach = max(1, round(1.5 / camera.pixel_mm))
        row, column = round(float(y)), round(float(x))
        patch = layer[max(0, row - reach) : max(0, row + reach + 1), max(0, column - reach) : max(0, column + reach + 1)]
        if patch.size and float(patch.mean()) > COVER:
            tip = None
    draw_tubes(layer, camera, placed.pigtail)
    return layer, tip


def render_cine(anatomy: Anatomy, plan: CinePlan, *, bits: int = 8, background: RealBackground | None = None) -> RenderedCine:
    """Render a plan.

    Args:
        anatomy: the patient.
        plan: everything decided about the cine.
        bits: 8 or 12.
        background: a real frame to draw contrast and devices onto, in the place of the chest and the detector. It stands still.
            Points behind its collimator are absent; the root, where none is drawn, is unlabelled, for the frame may show one.
    """
    if background is not None:
        return _render_onto(background, anatomy, plan, bits)
    margin = int(np.abs(plan.pan).max())
    chest = _chest(anatomy, plan, margin)
    frames, keypoints, masks = [], [], []
    noise = np.random.default_rng(child_seed(plan.render_seed, 2))
    for i, layers in enumerate(frame_layers(anatomy, plan)):
        breath = float(plan.motion.breath[i]) / plan.camera.pixel_mm
        whole = chest.compose(breath_px=breath, beat=float(plan.motion.beat[i]))
        left, top = margin - plan.pan[i]
        size = plan.camera.size
        behind = whole[top : top + size, left : left + size]
        picture = behind + layers.contrast + layers.devices
        frames.append(expose(picture, plan.detector, noise, bits=bits, collimator=plan.collimator))
        seen = _between_blades(layers, None if plan.collimator is None else plan.collimator.field(size))
        keypoints.append(seen[0])
        masks.append(seen[1])
    return RenderedCine(np.stack(frames), tuple(keypoints), np.stack(masks))


def _render_onto(background: RealBackground, anatomy: Anatomy, plan: CinePlan, bits: int) -> RenderedCine:
    noise = np.random.default_rng(child_seed(plan.render_seed, 2))
    frames, keypoints, masks = [], [], []
    for layers in frame_layers(anatomy, plan):
        frames.append(background.draw(layers.contrast + layers.devices, noise, bits=bits))
        found, mask = _between_blades(layers, background.field)
        root = np.isin(found.schema.names, ROOT_POINTS)
        hidden = root & ~_root_points(layers.keypoints).any()
        keypoints.append(replace(found, labelled=~hidden))
        masks.append(mask)
    return RenderedCine(np.stack(frames), tuple(keypoints), np.stack(masks))


def _between_blades(layers: FrameLayers, field: np.ndarray | None) -> tuple[Keypoints, np.ndarray]:
    """Keypoints and root's mask of a frame without what lies behind a collimator, whose open ``field`` (H, W) is 1."""
    found, mask = layers.keypoints, layers.root_mask
    if field is None:
        return found, mask
    return found.keep(open_at(field, found.xy)), np.where((mask == ROOT) & (field <= 0.5), np.uint8(OUTSIDE), mask)


def _chest(anatomy: Anatomy, plan: CinePlan, margin: int) -> Background:
    """The chest, wider than the frame by ``margin`` pixels on each side, so that the table can move."""
    size = plan.camera.size + 2 * margin
    camera = replace(plan.camera, size=size, field_mm=plan.camera.field_mm * size / plan.camera.size)
    chest = render_layers(anatomy, camera, np.random.default_rng(child_seed(plan.render_seed, 1)))
    if not plan.shading:
        return chest
    shading = draw_shading(len(chest.soft), plan.shading, np.random.default_rng(child_seed(plan.render_seed, 4)))
    return replace(chest, soft=chest.soft + shading)
