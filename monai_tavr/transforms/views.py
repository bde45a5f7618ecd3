"""Two looks at a frame: as it is, for a teacher, and changed at random, for a student; how a point gets from one to the other."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.config import KeysCollection
from monai.data.utils import to_affine_nd
from monai.transforms import MapTransform

from monai_tavr.transforms.points import FIELD

__all__ = ["RelateViewsd"]


class RelateViewsd(MapTransform):
    """Note how an image lies in the ``views`` of its frame, which random transforms of the image have left alone.

    It reads both MetaTensors and writes ``to_views`` (3, 3) float64 over (row, column), from pixels of the image to those of the
    views, and ``field`` (4,) float64: (row0, column0, row1, column1) of the image's pixels that show something, ends excluded.

    Args:
        keys: the image (C, h, w).
    """

    def __init__(self, keys: KeysCollection) -> None:
        super().__init__(keys)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        image, views = item[self.keys[0]], item["views"]
        affine, origin = (to_affine_nd(2, torch.as_tensor(t.affine, dtype=torch.float64)) for t in (image, views))
        height, width = image.shape[-2:]
        field = image.meta.get(FIELD, (0, 0, height, width))
        return item | {
            "to_views": torch.linalg.inv(origin) @ affine,
            "field": torch.as_tensor(field, dtype=torch.float64),
        }
