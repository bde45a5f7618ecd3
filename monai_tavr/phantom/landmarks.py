"""Where each keypoint lies, and when it counts as visible: the rules of docs/annotation-guide.md as code.

A point is a place in 3-D that is projected; the ends of a ring (annulus, sinotubular junction, inflow edge of the frame) are the
points of the ring that lie farthest to either side of its projected axis, so they lie on the outline that a person sees. 1 is the
end on the image's left, 2 the one on its right.

A group is there or not as a whole:

- anatomical: contrast makes the root's outline visible. Across each of the four ends the contrast layer must rise from outside
  to inside; the group is visible when the mean rise is at least :data:`CONTRAST_RISE`.
- instrumental: the delivery catheter is in the body.
- contour: the frame's inflow edge is open, at least :data:`OPEN_FRACTION` of the way from folded to full. Before that there is no
  contour, and the pigtail's tip is not marked although the pigtail may be seen.

A point of a visible group is absent only if it lies outside the field or within :data:`MARGIN` of its border, or, for PT, if
there is no pigtail or something dense (more than :data:`COVER` of attenuation) lies over its tip.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import map_coordinates

from monai_tavr.keypoints import TAVR11, Keypoints
from monai_tavr.phantom.anatomy import Anatomy
from monai_tavr.phantom.camera import Camera

__all__ = [
    "CONTRAST_RISE",
    "COVER",
    "MARGIN",
    "OPEN_FRACTION",
    "POINTS",
    "ROOT_POINTS",
    "contrast_rise",
    "keypoints_of_frame",
    "outline_ends",
    "root_ends",
]

ROOT_POINTS = ("AA1", "AA2", "STJ1", "STJ2")
"""The points that contrast makes visible, in the order of :func:`root_ends`."""
POINTS = (*ROOT_POINTS, "CP", "CM", "CD", "CT", "PT", "FE1", "FE2")
"""All points that the phantom draws: those of TAVR11. Other schemas take from them what they know, by name."""
CONTRAST_RISE = 0.07
"""Attenuation (natural logarithm) by which contrast must darken the inside of the root's outline."""
OPEN_FRACTION = 0.5
"""How far the inflow edge must be open."""
MARGIN = 0.02
"""Part of the image's width along its border where nothing is marked: the collimator's edge lies there."""
COVER = 0.5
"""Attenuation of devices over the pigtail's tip from which on it is hidden."""
_REACH_MM = 2.5  # on either side of the outline, where contrast is compared


def outline_ends(camera: Camera, ring: np.ndarray, axis: np.ndarray) -> np.ndarray:
    """The two ends of a ring as seen: (2, 2) pixels, left end first.

    Args:
        camera: the view.
        ring: (N, 3) mm.
        axis: (3,) direction through the ring; the ends lie farthest to either side of its projection.
    """
    xy, _ = camera.project(ring)
    centre = ring.mean(axis=0)
    line, _ = camera.project(np.stack([centre, centre + axis]))
    along = line[1] - line[0]
    across = (xy - xy.mean(axis=0)) @ np.array([-along[1], along[0]])
    ends = xy[[int(np.argmin(across)), int(np.argmax(across))]]
    return np.asarray(ends[np.argsort(ends[:, 0], kind="stable")])


def root_ends(anatomy: Anatomy, camera: Camera, *, motion_offset: np.ndarray) -> np.ndarray:
    """AA1, AA2, STJ1, STJ2 as (4, 2) pixels; ``motion_offset`` (3,) mm is where the heart has moved the root."""
    rings = (anatomy.annulus_ring(180), anatomy.stj_ring(180))
    return np.concatenate([outline_ends(camera, ring + motion_offset, anatomy.axis) for ring in rings])


def contrast_rise(layer: np.ndarray, camera: Camera, ends: np.ndarray) -> float:
    """How much darker contrast makes the inside of the root's outline: mean over the four ends.

    Args:
        layer: (H, W) attenuation of the contrast layer.
        camera: the view.
        ends: (4, 2) pixels from :func:`root_ends`.
    """
    pairs = ends.reshape(2, 2, 2)
    inward = pairs[:, ::-1] - pairs
    inward = inward / np.maximum(np.linalg.norm(inward, axis=-1, keepdims=True), 1e-6) * (_REACH_MM / camera.pixel_mm)
    inside, outside = (pairs + inward).reshape(4, 2), (pairs - inward).reshape(4, 2)
    rise = _sample(layer, inside) - _sample(layer, outside)
    seen = ((ends >= 0) & (ends <= camera.size - 1)).all(axis=1)
    return float(rise[seen].mean()) if seen.any() else 0.0


def _sample(layer: np.ndarray, xy: np.ndarray) -> np.ndarray:
    """Linear interpolation of (H, W) at (N, 2) pixels; outside is the border's value."""
    return np.asarray(map_coordinates(layer, xy[:, ::-1].T, order=1, mode="nearest"))


def keypoints_of_frame(
    camera: Camera,
    *,
    root: np.ndarray | None,
    catheter: dict[str, np.ndarray] | None,
    crowns: tuple[np.ndarray, np.ndarray] | None,
    pigtail_tip: np.ndarray | None,
    frame: int,
) -> Keypoints:
    """The keypoints of one frame; None says that a group (or the pigtail's tip) is not visible.

    Args:
        camera: the view.
        root: (4, 2) pixels from :func:`root_ends`.
        catheter: CP, CM, CD, CT -> (3,) mm.
        crowns: (N, 3) mm of the inflow edge and (3,) direction of the frame's axis.
        pigtail_tip: (3,) mm.
        frame: 0-based index.
    """
    points: dict[str, tuple[float, float] | None] = dict.fromkeys(POINTS)

    def put(name: str, xy: np.ndarray) -> None:
        low, high = MARGIN * camera.size - 0.5, (1 - MARGIN) * camera.size - 0.5
        if (xy >= low).all() and (xy <= high).all():
            points[name] = (float(xy[0]), float(xy[1]))

    if root is not None:
        for name, xy in zip(ROOT_POINTS, root, strict=True):
            put(name, xy)
    if catheter is not None:
        for name, place in catheter.items():
            put(name, camera.project(place)[0])
    if crowns is not None:
        for name, xy in zip(("FE1", "FE2"), outline_ends(camera, *crowns), strict=True):
            put(name, xy)
        if pigtail_tip is not None:
            put("PT", camera.project(pigtail_tip)[0])
    return Keypoints.from_points(TAVR11, points, frame=frame, spacing=(camera.pixel_mm, camera.pixel_mm))
