"""The aortic root's mask of a frame, as what a network learns beside the points.

Mask files are those of :mod:`monai_tavr.formats.root_masks`. `monai-tavr phantom --root-masks` writes them; a datalist's item
names its own under ``root_mask``.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from monai.data.utils import to_affine_nd
from monai.transforms import Transform

from monai_tavr.files import FileStamp
from monai_tavr.formats.root_masks import UNKNOWN, read_root_masks
from monai_tavr.transforms.points import FIELD

__all__ = ["EncodeRootMaskd", "LoadRootMaskd"]


@lru_cache(maxsize=2)
def _masks(path: str, stamp: FileStamp) -> np.ndarray:
    """(frames, rows, columns) uint8 of a file; frames of one file follow one another."""
    return read_root_masks(path)


class LoadRootMaskd(Transform):
    """Lay the root's mask under a frame that already lies in the network's input.

    It reads ``root_mask``, a path (missing: unknown everywhere), ``frame`` and the affine of ``image``, and writes ``root_mask``,
    a MetaTensor (1, h, w) uint8 with the image's affine; outside the native frame it is unknown.

    Raises:
        ValueError: the file is no such mask, or has no such frame.
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        image = item["image"]
        fitted = np.full(image.shape[-2:], UNKNOWN, np.uint8)
        if item.get("root_mask") is not None:
            self._lay(item["root_mask"], int(item.get("frame", 0)), to_affine_nd(2, image.affine).numpy(), fitted)
        return item | {"root_mask": MetaTensor(torch.from_numpy(fitted)[None], affine=image.affine.clone())}

    def _lay(self, path: Any, frame: int, affine: np.ndarray, fitted: np.ndarray) -> None:
        path = Path(path)
        if not path.is_file():
            raise ValueError(f"{path}: no such mask of the aortic root")
        masks = _masks(str(path), FileStamp.of(path))
        if not 0 <= frame < len(masks):
            raise ValueError(f"{path}: frame {frame} asked for, but the file has {len(masks)} frame(s)")
        native = masks[frame]
        # the fit resizes and shifts along the axes only: rows and columns are looked up one by one, the nearest pixel of each
        inside, source = [], []
        for axis, (length, size) in enumerate(zip(fitted.shape, native.shape, strict=True)):
            index = np.rint(affine[axis, axis] * np.arange(length) + affine[axis, 2]).astype(int)
            inside.append(np.flatnonzero((index >= 0) & (index < size)))
            source.append(index[inside[-1]])
        fitted[np.ix_(*inside)] = native[np.ix_(*source)]


class EncodeRootMaskd(Transform):
    """The mask of the network's input to the cells of a heat map: the middle of each cell decides.

    It reads ``root_mask`` (1, h, w) and writes it as (h / stride, w / stride) uint8; what a collimator hides of ``image`` becomes
    unknown.

    Args:
        stride: side of a cell in pixels.
    """

    def __init__(self, *, stride: int = 4) -> None:
        self.stride = stride

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        mask = torch.as_tensor(item["root_mask"]).as_subclass(torch.Tensor)[0]
        row0, column0, row1, column1 = item["image"].meta.get(FIELD, (0, 0, *mask.shape))
        known = torch.full_like(mask, UNKNOWN)
        known[row0:row1, column0:column1] = mask[row0:row1, column0:column1]
        middle = self.stride // 2
        return item | {"root_mask": known[middle :: self.stride, middle :: self.stride].round().to(torch.uint8)}
