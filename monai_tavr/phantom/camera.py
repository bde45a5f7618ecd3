"""Cone-beam geometry of a C-arm: where a world point falls on the image, and how much it is magnified.

Angles follow DICOM PS3.3 C.8.7.5 (XA Positioner): the primary angle is positive towards LAO, the secondary angle positive towards
cranial. The X-ray source lies behind the patient (under the table), the detector in front; the image is seen as if facing the
patient, so its right is the patient's left.
"""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Camera"]

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Camera:
    """A C-arm at rest.

    Attributes:
        primary_deg: LAO (+) / RAO (-) angle.
        secondary_deg: cranial (+) / caudal (-) angle.
        size: rows and columns of the square image.
        field_mm: width of the field of view in the plane through `centre`, parallel to the detector.
        centre: (3,) world point in mm seen at the centre of the image.
        source_object_mm: distance from the source to `centre`.
        source_detector_mm: distance from the source to the detector.

    Raises:
        ValueError: a size or a distance is not positive, or the detector lies before the patient.
    """

    _: KW_ONLY
    primary_deg: float
    secondary_deg: float
    size: int = 512
    field_mm: float
    centre: ArrayLike = (0.0, 0.0, 0.0)
    source_object_mm: float = 750.0
    source_detector_mm: float = 1100.0

    def __post_init__(self) -> None:
        if self.size < 8 or self.field_mm <= 0:
            raise ValueError(f"camera of size {self.size} and field {self.field_mm} mm: give a size >= 8 and a field > 0")
        if not 0 < self.source_object_mm < self.source_detector_mm:
            raise ValueError(
                f"source to object {self.source_object_mm} mm, to detector {self.source_detector_mm} mm: "
                "the object lies between the source and the detector"
            )
        if self._centre.shape != (3,):
            raise ValueError(f"camera centre has shape {self._centre.shape}: give one world point (x, y, z) in mm")

    @cached_property
    def _centre(self) -> Array:
        return np.asarray(self.centre, dtype=np.float64)

    @cached_property
    def direction(self) -> Array:
        """(3,) unit vector of the central ray, from the source to the detector."""
        a, b = np.radians(self.primary_deg), np.radians(self.secondary_deg)
        return np.array([np.sin(a) * np.cos(b), -np.cos(a) * np.cos(b), np.sin(b)])

    @cached_property
    def right(self) -> Array:
        """(3,) unit vector along image columns."""
        a = np.radians(self.primary_deg)
        return np.array([np.cos(a), np.sin(a), 0.0])

    @cached_property
    def up(self) -> Array:
        """(3,) unit vector against image rows."""
        a, b = np.radians(self.primary_deg), np.radians(self.secondary_deg)
        return np.array([-np.sin(a) * np.sin(b), np.cos(a) * np.sin(b), np.cos(b)])

    @property
    def source(self) -> Array:
        """(3,) mm: world position of the X-ray source."""
        return np.asarray(self._centre - self.source_object_mm * self.direction)

    @property
    def pixel_mm(self) -> float:
        """Size of a pixel in the plane through `centre`, in mm."""
        return self.field_mm / self.size

    @property
    def pixel_mm_at_detector(self) -> float:
        """Size of a pixel on the detector in mm: DICOM Imager Pixel Spacing (0018,1164)."""
        return self.pixel_mm * self.source_detector_mm / self.source_object_mm

    def project(self, points: ArrayLike) -> tuple[Array, Array]:
        """Project world points.

        Args:
            points: (N, 3) or (..., 3) world points in mm.

        Returns:
            (..., 2) pixels (x, y), 0 = centre of the first pixel, and (...,) magnification in pixels per mm at each point.
        """
        q = np.asarray(points, dtype=np.float64) - self._centre
        magnification = np.asarray(
            self.source_detector_mm / (self.source_object_mm + q @ self.direction) / self.pixel_mm_at_detector
        )
        middle = (self.size - 1) / 2
        xy = np.stack([middle + magnification * (q @ self.right), middle - magnification * (q @ self.up)], axis=-1)
        return xy, magnification

    def resized(self, size: int) -> Camera:
        """The same view on another pixel grid: pixel centres map as x' + 0.5 = (x + 0.5) * size' / size."""
        return replace(self, size=size)

    def rays(self) -> tuple[Array, Array]:
        """The source (3,) and the unit directions (H, W, 3) of the rays through all pixel centres."""
        offset = (np.arange(self.size) - (self.size - 1) / 2) * self.pixel_mm_at_detector
        across, down = np.meshgrid(offset, -offset)
        rays = self.source_detector_mm * self.direction + across[..., None] * self.right + down[..., None] * self.up
        return self.source, rays / np.linalg.norm(rays, axis=-1, keepdims=True)
