"""Cines from files that are not DICOM: PNG and JPEG pictures, and NIfTI.

A picture is a cine of one frame. Colour becomes luminance (ITU-R 601). In NIfTI the array axes are (x, y) for a still and
(x, y, frame) for a cine; (F, H, W) here is its plain transpose, nothing is flipped.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from monai_tavr.cine import Cine, CineError, CineInfo

__all__ = ["PICTURE_SUFFIXES", "is_nifti", "is_picture", "open_nifti", "open_pictures"]

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg")
_SIGNATURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")
_UNIT_MM = {"mm": 1.0, "meter": 1000.0, "micron": 0.001}
_UNIT_MS = {"msec": 1.0, "sec": 1000.0, "usec": 0.001}


def is_picture(path: Path) -> bool:
    """Whether the file begins like a PNG or a JPEG."""
    with path.open("rb") as stream:
        return stream.read(8).startswith(_SIGNATURES)


def is_nifti(path: Path) -> bool:
    """Whether the name ends like a NIfTI file's."""
    return re.search(r"\.nii(\.gz)?$", path.name.lower()) is not None


def open_pictures(paths: list[Path], *, path: Path) -> Cine:
    """One picture per frame, all of one size, else raises CineError; ``path`` is what the cine is called."""
    sizes = {p: _picture_size(p) for p in paths}
    (columns, rows), first = sizes[paths[0]], paths[0]
    for other, size in sizes.items():
        if size != (columns, rows):
            raise CineError(
                path,
                f"{first.name} has {columns} x {rows} pixels and {other.name} {size[0]} x {size[1]}: "
                "pictures of different sizes are no cine; open them one by one",
            )
    info = CineInfo(path=path, rows=rows, columns=columns, number_of_frames=len(paths))
    return Cine(info, _PictureFrames(paths))


def _picture_size(path: Path) -> tuple[int, int]:
    try:
        with Image.open(path) as picture:
            return picture.size
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise CineError(path, f"the picture cannot be read ({type(error).__name__}); it is damaged or truncated") from error


class _PictureFrames:
    def __init__(self, paths: list[Path]) -> None:
        self._paths = paths

    def __call__(self, index: int) -> np.ndarray:
        path = self._paths[index]
        try:
            with Image.open(path) as picture:
                picture.load()
                deep = picture.mode.startswith(("I", "F"))
                grey = picture if deep or picture.mode == "L" else picture.convert("L")
                return np.asarray(grey, np.float32)
        except (OSError, SyntaxError, ValueError) as error:
            raise CineError(path, "the picture is damaged or truncated; export it again") from error


def open_nifti(path: Path) -> Cine:
    """A still (x, y) or a cine (x, y, frame), also written as (x, y, 1, time).

    Raises:
        CineError: the file is damaged, is a volume, or holds no numbers.
    """
    import nibabel  # slow to import, and rarely needed

    try:
        image: Any = nibabel.load(path)
        shape = image.shape
        zooms, (space, time) = image.header.get_zooms(), image.header.get_xyzt_units()
        is_real = image.get_data_dtype().kind in "iuf"
    except Exception as error:  # nibabel has many ways to fail on a damaged file
        raise CineError(path, f"not a readable NIfTI file ({type(error).__name__}); it is damaged or truncated") from error
    if len(shape) == 4 and shape[2] == 1:
        frames_axis = 3
    elif len(shape) in (2, 3):
        frames_axis = 2
    else:
        raise CineError(path, f"the NIfTI array has shape {shape}; it must be (x, y) or (x, y, frame)")
    if not is_real or 0 in shape:
        raise CineError(path, "the NIfTI array must hold real grey levels, not colour or complex ones, and not be empty")
    count = shape[frames_axis] if len(shape) > 2 else 1
    scale = _UNIT_MM.get(space)
    spacing = None if scale is None else (float(zooms[0]) * scale, float(zooms[1]) * scale)
    step = float(zooms[3]) * _UNIT_MS[time] if frames_axis == 3 and time in _UNIT_MS else 0.0
    info = CineInfo(
        path=path,
        rows=shape[1],
        columns=shape[0],
        number_of_frames=count,
        spacing=spacing if spacing and all(math.isfinite(s) and s > 0 for s in spacing) else None,
        frame_times=np.arange(count) * step if step > 0 else None,
    )
    return Cine(info, _NiftiFrames(path, shape))


class _NiftiFrames:
    def __init__(self, path: Path, shape: tuple[int, ...]) -> None:
        self._path, self._shape = path, shape

    def __call__(self, index: int) -> np.ndarray:
        import nibabel

        try:
            proxy = nibabel.load(self._path).dataobj
            part = proxy if len(self._shape) == 2 else proxy[..., index]
            frame = np.asarray(part, np.float32).reshape(self._shape[:2]).T
        except Exception as error:  # nibabel has many ways to fail on a damaged file
            raise CineError(self._path, f"frame {index} cannot be read; the file is damaged or truncated") from error
        if not np.isfinite(frame).all():
            raise CineError(self._path, f"frame {index} holds values that are not finite; replace them first")
        return np.ascontiguousarray(frame)
