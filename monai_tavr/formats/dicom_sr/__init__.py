"""Keypoint labels as DICOM structured reports (PS3.16 TID 1500)."""

from __future__ import annotations

from monai_tavr.formats.dicom_sr.point import Algorithm
from monai_tavr.formats.dicom_sr.report import (
    SERIES_DESCRIPTION,
    is_keypoints_sr,
    keypoints_sr,
    read_keypoints_sr,
    write_dicom_sr,
    write_keypoints_sr,
)

__all__ = [
    "SERIES_DESCRIPTION",
    "Algorithm",
    "is_keypoints_sr",
    "keypoints_sr",
    "read_keypoints_sr",
    "write_dicom_sr",
    "write_keypoints_sr",
]
