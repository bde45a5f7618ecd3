"""MONAI's door to the reader of X-ray cines, for `LoadImaged(reader=XAReader)`. Import it from `monai_tavr.dicom`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from monai.config import PathLike
from monai.data import ImageReader
from monai.utils import MetaKeys, ensure_tuple

from monai_tavr.cine import Cine, CineError
from monai_tavr.dicom.open import open_cine

__all__ = ["XAReader"]


@dataclass(frozen=True)
class _Request:
    paths: tuple[Path, ...]


class XAReader(ImageReader):
    """Reads everything that `open_cine` opens as (F, H, W) float32, frames as channels; a still is (1, H, W).

    The affine is the identity over (row, column) indices, so it records what spatial transforms do in native pixels. Metadata:
    ``spacing`` (x, y) mm in the patient, ``detector_spacing`` (x, y) mm, ``frame_times`` (F,) ms, ``frames`` (F,) indices in the
    file, ``primary_angle``, ``secondary_angle`` degrees, ``shutter`` (left, top, right, bottom) pixels, ``bits_stored`` and
    ``photometric_interpretation``, the UIDs, ``number_of_frames`` of the file; NaN, 0 bits and "" stand for unknown, because
    MONAI's collation knows no None.

    Args:
        voi: apply the VOI LUT or window.
        frames: indices of the frames to read; None for all.
    """

    def __init__(self, *, voi: bool = True, frames: Sequence[int] | None = None) -> None:
        super().__init__()
        self.voi = voi
        self.frames = None if frames is None else tuple(frames)

    def verify_suffix(self, filename: Sequence[PathLike] | PathLike) -> bool:
        """Names say little about DICOM; the content decides."""
        return all(Path(name).exists() for name in ensure_tuple(filename))

    def read(self, data: Sequence[PathLike] | PathLike, **kwargs: Any) -> _Request:
        """Only takes the name. LoadImage tries its other readers when `read` fails, and some of them return a picture from a
        damaged or foreign file; an error in `get_data` reaches the caller.

        Raises:
            TypeError: options are given.
        """
        if kwargs:
            raise TypeError(f"XAReader.read takes no options, got {sorted(kwargs)}; give them to XAReader itself")
        return _Request(tuple(Path(name) for name in ensure_tuple(data)))

    def get_data(self, img: _Request) -> tuple[np.ndarray, dict[str, Any]]:
        """Frames (F, H, W) of float32 grey levels, and their metadata; several files follow one another along the frame axis.

        Raises:
            CineError: a file cannot be read, or the files differ in size.
        """
        cines = [open_cine(path, voi=self.voi) for path in img.paths]
        sizes = {(cine.info.rows, cine.info.columns) for cine in cines}
        if len(sizes) > 1:
            raise CineError(img.paths[0], f"differs in size from the other files of the list: {sorted(sizes)}")
        chosen = [list(range(len(cine))) if self.frames is None else list(self.frames) for cine in cines]
        array = np.concatenate([cine.frames(indices) for cine, indices in zip(cines, chosen, strict=True)])
        return array, _metadata(cines[0], chosen[0], array.shape)


def _metadata(cine: Cine, frames: list[int], shape: tuple[int, ...]) -> dict[str, Any]:
    info = cine.info
    unknown = float("nan")
    times = np.full(len(frames), unknown) if info.frame_times is None else info.frame_times[frames]
    return {
        MetaKeys.AFFINE: np.eye(4),
        MetaKeys.ORIGINAL_AFFINE: np.eye(4),
        MetaKeys.SPATIAL_SHAPE: np.array(shape[1:]),
        MetaKeys.ORIGINAL_CHANNEL_DIM: 0,
        "spacing": np.array(info.spacing or (unknown, unknown)),
        "detector_spacing": np.array(info.detector_spacing or (unknown, unknown)),
        "shutter": np.array(info.shutter or (unknown,) * 4, float),
        "bits_stored": info.bits_stored or 0,
        "photometric_interpretation": info.photometric_interpretation or "",
        "frames": np.array(frames),
        "frame_times": times,
        "number_of_frames": info.number_of_frames,
        "primary_angle": unknown if info.primary_angle is None else info.primary_angle,
        "secondary_angle": unknown if info.secondary_angle is None else info.secondary_angle,
        "modality": info.modality or "",
        "sop_class_uid": info.sop_class_uid or "",
        "sop_instance_uid": info.sop_instance_uid or "",
        "series_instance_uid": info.series_instance_uid or "",
        "study_instance_uid": info.study_instance_uid or "",
    }
