"""The mask in a Supervisely annotation: all its bitmaps together, as BAMNet's data hold the aortic root.

A bitmap is a small PNG, packed by zlib and written in base64, with the place of its upper left pixel in the picture.
"""

from __future__ import annotations

import base64
import binascii
import glob
import io
import os
import zlib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from monai_tavr.formats.checks import listing, mapping, read_json, text, whole
from monai_tavr.formats.supervisely import BITMAP, size_of

__all__ = ["annotation_of", "read_supervisely_mask"]

_LARGEST_SIDE = 16384
_LARGEST_PNG = 1 << 26  # bytes of one bitmap when unpacked from zlib


def annotation_of(root: Path, picture: str) -> Path | None:
    """The annotation of a picture that :func:`monai_tavr.formats.supervisely.read_supervisely` found below ``root``, or None.

    Args:
        root: what was read.
        picture: ``CASE/img/NAME.png``, relative to it; the annotation may be called after another extension.
    """
    place = root / picture
    folder = place.parent.parent / "ann"
    if (folder / f"{place.name}.json").is_file():
        return folder / f"{place.name}.json"
    return next(iter(sorted(folder.glob(f"{glob.escape(place.stem)}.*.json"))), None)


def read_supervisely_mask(path: str | os.PathLike[str], *, classes: Collection[str] | None = None) -> np.ndarray | None:
    """The mask of a picture.

    Args:
        path: its annotation, ``ann/NAME.png.json``.
        classes: titles of the bitmaps to take; default: all.

    Returns:
        (H, W) bool, True where a bitmap lies; None where the picture has none of them, which is not the same as an empty mask.

    Raises:
        ValueError: a bitmap is damaged or lies outside the picture; says which.
    """
    content = mapping(read_json(path), str(path), required={"size", "objects"})
    rows, columns = size_of(content, str(path))
    if max(rows, columns) > _LARGEST_SIDE:
        raise ValueError(f"{path}: the picture is said to have {columns} x {rows} pixels; no side may exceed {_LARGEST_SIDE}")
    mask: np.ndarray | None = None
    for position, entry in enumerate(listing(content["objects"], f"{path}: objects")):
        place = f"{path}: objects[{position}]"
        entry = mapping(entry, place)
        if "bitmap" not in entry or entry.get("geometryType", BITMAP) != BITMAP:
            continue
        if classes is not None and entry.get("classTitle") not in classes:
            continue
        mask = np.zeros((rows, columns), bool) if mask is None else mask
        _draw(mask, mapping(entry["bitmap"], f"{place}.bitmap", required={"data", "origin"}), f"{place}.bitmap")
    return mask


def _draw(mask: np.ndarray, bitmap: Mapping[str, Any], place: str) -> None:
    """Set the pixels of a bitmap."""
    x, y = (whole(v, f"{place}.origin") for v in listing(bitmap["origin"], f"{place}.origin", length=2))
    rows, columns = mask.shape
    try:
        unpack = zlib.decompressobj()
        png = unpack.decompress(base64.b64decode(text(bitmap["data"], f"{place}.data"), validate=True), _LARGEST_PNG)
        with Image.open(io.BytesIO(png), formats=["PNG"]) as picture:
            width, height = picture.size
            if x + width > columns or y + height > rows:  # before anything of that size is allocated
                raise ValueError(f"{width} x {height} pixels at ({x}, {y}) reach beyond the picture of {columns} x {rows}")
            bands = picture.getbands()
            band = picture.getchannel("A") if "A" in bands else picture if len(bands) == 1 else picture.convert("L")
            mask[y : y + height, x : x + width] |= np.asarray(band) != 0
    except (binascii.Error, zlib.error, UnidentifiedImageError, OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"{place}: the bitmap is damaged ({type(error).__name__}: {error})") from error
    except ValueError as error:
        raise error if str(error).startswith(place) else ValueError(f"{place}: {error}") from error
