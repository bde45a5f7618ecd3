"""The folders that BAMNet trains on: ``train`` and ``val``, each with ``images``, ``masks`` and ``points/NAME.json``.

A points file is ``{"image_size": {"width", "height"}, "points": {"AA1": {"x", "y", "visible": 0 or 1}}}``, or has ``width`` and
``height`` at its top. A point with ``visible`` 0 was looked for and is absent, its place means nothing; one that is not in the
file is unlabelled.
https://github.com/Nikita75699/BAMNet
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from monai_tavr.formats.checks import mapping, number, read_json, shown, whole
from monai_tavr.formats.frames import LabelledFrame, is_wanted, labels_of_frames
from monai_tavr.formats.spacings import PixelSpacing, spacing_of
from monai_tavr.keypoints import TAVR11, KeypointSchema
from monai_tavr.label import CineLabel

__all__ = ["read_prepared", "read_prepared_mask"]


def read_prepared(
    path: str | os.PathLike[str],
    *,
    schema: KeypointSchema = TAVR11,
    ignore: Collection[str] = (),
    spacings: Mapping[str, PixelSpacing] | None = None,
) -> list[CineLabel]:
    """The cines of such a folder.

    Args:
        path: the folder that holds ``train`` and ``val``, or one of them.
        schema: what its points are called.
        ignore: points to pass over.
        spacings: of pictures (:func:`monai_tavr.formats.spacings.read_spacings`).

    Raises:
        ValueError: no such folder, a point that the schema does not know, a damaged file; says where.
    """
    root = Path(path)
    folders = [p for p in (root / "points", *sorted(root.glob("*/points"))) if p.is_dir()]
    if not folders:
        raise ValueError(
            f"{root}: no folder 'points' in it or in a folder of it; BAMNet's data are {{train,val}}/points/NAME.json"
        )
    frames = []
    for folder in folders:
        images = folder.with_name("images")
        pictures = {p.stem: p.name for p in sorted(images.iterdir(), reverse=True)} if images.is_dir() else {}
        for file in sorted(folder.glob("*.json")):
            picture = (images / pictures.get(file.stem, f"{file.stem}.png")).relative_to(root).as_posix()
            frames.append(_frame(read_json(file), str(file), picture, schema, ignore, spacings))
    return labels_of_frames(frames, schema=schema)


def _frame(
    content: Any,
    where: str,
    picture: str,
    schema: KeypointSchema,
    ignore: Collection[str],
    spacings: Mapping[str, PixelSpacing] | None,
) -> LabelledFrame:
    content = mapping(content, where, required={"points"})
    size, of = (content["image_size"], f"{where}: image_size") if "image_size" in content else (content, where)
    size = mapping(size, of, required={"width", "height"})
    rows, columns = (whole(size[key], f"{of}.{key}", minimum=1) for key in ("height", "width"))
    points: dict[str, tuple[float, float] | None] = {}
    for name, entry in mapping(content["points"], f"{where}: points").items():
        place = f"{where}: points, {shown(name)}"
        if not is_wanted(name, schema, ignore, place):
            continue
        entry = mapping(entry, place, required={"visible"})
        visible = whole(entry["visible"], f"{place}.visible")
        if visible > 1:
            raise ValueError(f"{place}.visible must be 0 or 1, got {visible}")
        points[name] = (number(entry.get("x"), f"{place}.x"), number(entry.get("y"), f"{place}.y")) if visible else None
    return LabelledFrame(
        place=where,
        rows=rows,
        columns=columns,
        points=points,
        picture=picture,
        spacing=None if spacings is None else spacing_of(picture, spacings, columns=columns, rows=rows),
    )


def read_prepared_mask(root: Path, picture: str) -> np.ndarray | None:
    """The mask of a picture that :func:`read_prepared` found: (H, W) bool, or None where there is no file ``masks/NAME.png``.

    Args:
        root: what was read.
        picture: ``train/images/NAME.png``, relative to it.

    Raises:
        ValueError: the mask cannot be read; names it.
    """
    place = root / picture
    file = place.parent.with_name("masks") / f"{place.stem}.png"
    if not file.is_file():
        return None
    try:
        with Image.open(file, formats=["PNG"]) as mask:
            return np.asarray(mask.convert("L")) != 0
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"{file}: the mask is damaged ({type(error).__name__}: {error})") from error
