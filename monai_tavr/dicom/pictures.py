"""Cines from files that are not DICOM: PNG and JPEG pictures, and NIfTI.

A picture is a cine of one frame, turned as its EXIF orientation says and every viewer shows it. Colour becomes luminance (ITU-R
601). In NIfTI the array axes are (x, y) for a still and (x, y, frame) for a cine; (F, H, W) here is its plain transpose, nothing
is flipped.
"""

from __future__ import annotations

import gzip
import math
import re
import struct
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ExifTags, Image, ImageOps

from monai_tavr.cine import Cine, CineError, CineInfo
from monai_tavr.dicom.door import refusing_damage
from monai_tavr.dicom.limits import MOST_FRAMES, MOST_PIXELS, inflates_to, plausible_frame

__all__ = ["PICTURE_SUFFIXES", "is_nifti", "is_picture", "open_nifti", "open_pictures", "upright_size"]

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg")
_TURNED = (5, 6, 7, 8)  # EXIF orientations that exchange rows and columns
_SIGNATURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")
_MOST_BEFORE_ARRAY = 16 << 20  # bytes of a NIfTI header with its extensions
_MOST_INFLATED = 1032  # bytes that a deflated one can become at all (RFC 1951)
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
    return Cine(info, _PictureFrames(paths, (columns, rows)))


def _picture_size(path: Path) -> tuple[int, int]:
    """(columns, rows)."""
    with refusing_damage(path, "the picture"), _opened(path) as picture:
        columns, rows = upright_size(picture)
        coded = path.stat().st_size
        if not plausible_frame(rows, columns, coded):
            raise CineError(path, f"{columns} x {rows} pixels in {coded} bytes: the picture is damaged; export it again")
        return columns, rows


def upright_size(picture: Image.Image) -> tuple[int, int]:
    """(columns, rows) of a picture as its EXIF orientation says and people see it."""
    columns, rows = picture.size
    return (rows, columns) if picture.getexif().get(ExifTags.Base.Orientation) in _TURNED else (columns, rows)


def _opened(path: Path) -> Image.Image:
    # no other formats: some are read by programs of their own
    return Image.open(path, formats=("PNG", "JPEG"))


class _PictureFrames:
    def __init__(self, paths: list[Path], size: tuple[int, int]) -> None:
        self._paths, self._size = paths, size

    def __call__(self, index: int) -> np.ndarray:
        path = self._paths[index]
        with refusing_damage(path, "the picture"), _opened(path) as picture:
            if upright_size(picture) != self._size:
                raise CineError(path, "the picture was changed after it was opened; open it again")
            picture.load()
            upright = ImageOps.exif_transpose(picture)
            deep = upright.mode.startswith(("I", "F"))
            grey = upright if deep or upright.mode == "L" else upright.convert("L")
            return np.asarray(grey, np.float32)


def open_nifti(path: Path) -> Cine:
    """A still (x, y) or a cine (x, y, frame), also written as (x, y, 1, time).

    Raises:
        CineError: the file is damaged, is a volume, or holds no numbers.
    """
    import nibabel  # slow to import, and rarely needed

    with refusing_damage(path, "the NIfTI file"):
        _check_nifti_offset(path)
        image: Any = nibabel.load(path)
        shape = tuple(int(n) for n in image.shape)
        zooms, (space, time) = image.header.get_zooms(), image.header.get_xyzt_units()
        is_real = image.get_data_dtype().kind in "iuf"
        expected = math.prod(shape) * image.get_data_dtype().itemsize
    if len(shape) == 4 and shape[2] == 1:
        frames_axis = 3
    elif len(shape) in (2, 3):
        frames_axis = 2
    else:
        raise CineError(path, f"the NIfTI array has shape {shape}; it must be (x, y) or (x, y, frame)")
    if not is_real or min(shape) < 1:
        raise CineError(path, "the NIfTI array must hold real grey levels, not colour or complex ones, and not be empty")
    count = shape[frames_axis] if len(shape) > 2 else 1
    there = path.stat().st_size
    if path.suffix.lower() == ".gz":
        there = min(inflates_to(there), _MOST_INFLATED * there)
    if expected > there or count > MOST_FRAMES or shape[0] * shape[1] > MOST_PIXELS:
        raise CineError(path, f"an array of shape {shape} does not fit into the file: it is damaged or truncated")
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


def _check_nifti_offset(path: Path) -> None:
    """nibabel reads everything before the array at once, of a compressed file whatever it inflates to."""
    with gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb") as stream:
        head = stream.read(176)
    for order in "<>":
        size = struct.unpack_from(f"{order}i", head)[0]
        if size == 348:
            offset = struct.unpack_from(f"{order}f", head, 108)[0]
        elif size == 540:
            offset = struct.unpack_from(f"{order}q", head, 168)[0]
        else:
            continue
        if not 0 <= offset <= _MOST_BEFORE_ARRAY:
            raise ValueError("the array begins too late")


class _NiftiFrames:
    def __init__(self, path: Path, shape: tuple[int, ...]) -> None:
        self._path, self._shape = path, shape

    def __call__(self, index: int) -> np.ndarray:
        import nibabel

        with refusing_damage(self._path, f"frame {index}"):
            _check_nifti_offset(self._path)
            image: Any = nibabel.load(self._path)
            if tuple(image.shape) != self._shape:
                raise CineError(self._path, "the file was changed after it was opened; open it again")
            part = image.dataobj if len(self._shape) == 2 else image.dataobj[..., index]
            frame = np.asarray(part, np.float32).reshape(self._shape[:2]).T
        if not np.isfinite(frame).all():
            raise CineError(self._path, f"frame {index} holds values that are not finite; replace them first")
        return np.ascontiguousarray(frame)
