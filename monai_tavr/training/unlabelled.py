"""Frames that nobody has labelled, for training beside those that somebody has: which there are, and batches of both."""

from __future__ import annotations

import logging
import os
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence, Sized
from pathlib import Path
from typing import Any

import numpy as np
from monai.transforms import Compose
from monai.transforms.traits import RandomizableTrait

from monai_tavr.cine import Cine, CineError
from monai_tavr.dicom import find_cines, open_cine

__all__ = ["PairedBatches", "first_of_views", "hold_out", "random_part", "unlabelled_items"]

_LOGGER = logging.getLogger(__name__)


def unlabelled_items(folder: str | os.PathLike[str], *, frames_per_cine: int = 8) -> list[dict[str, Any]]:
    """Items for :class:`monai_tavr.training.FrameDataset` of the cines and pictures below a folder.

    A file that cannot be read is left out with a line in the log: of a hospital's thousands some are damaged, and none is needed.

    Args:
        folder: of DICOM, PNG or JPEG files.
        frames_per_cine: at most so many frames of a file, evenly spread over those that have both neighbours.

    Returns:
        Items with ``image``, ``frame`` and ``unit``: what must not be torn apart where frames are held out. That is the study of
        a DICOM file, the folder of a picture that lies in one of several, or the picture.

    Raises:
        ValueError: there is nothing that can be read.
    """
    if frames_per_cine < 1:
        raise ValueError(f"frames_per_cine must be at least 1, got {frames_per_cine}")
    items, found = [], find_cines(folder)
    for path in found:
        try:
            cine = open_cine(path)
            chosen = _spread(len(cine), frames_per_cine)
            for frame in chosen:
                _read(cine, frame)
        except CineError as error:
            _LOGGER.warning("left out: %s", error)
            continue
        items += [{"image": str(path), "frame": frame, "unit": _unit(cine, path, Path(folder))} for frame in chosen]
    if not items:
        raise ValueError(
            f"{folder}: none of {len(found)} file(s) can be read as a cine; give a folder of DICOM, PNG or JPEG files"
        )
    return items


def _spread(count: int, wanted: int) -> list[int]:
    first, last = (1, count - 2) if count > 2 else (0, count - 1)
    return [int(f) for f in np.unique(np.linspace(first, last, min(last - first + 1, wanted)).round().astype(int))]


def _read(cine: Cine, frame: int) -> None:
    """Decode what a training will ask for. Raises CineError."""
    for index in range(max(0, frame - 1), min(len(cine), frame + 2)):
        cine.frame(index)


def _unit(cine: Cine, path: Path, folder: Path) -> str:
    return cine.info.study_instance_uid or str(path if path.parent == folder else path.parent)


def hold_out(items: Sequence[Mapping[str, Any]], *, share: float = 0.25) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Set the last units in the order of the items apart; neighbours in a folder may be of one patient, so they are not drawn.

    Args:
        items: with ``unit``.
        share: of the units to set apart; at least one, and at least one stays.

    Returns:
        The items that stay and those set apart, none where all are of one unit.
    """
    units = list(dict.fromkeys(item["unit"] for item in items))
    apart = set(units[len(units) - min(max(1, round(share * len(units))), len(units) - 1) :])
    return [dict(i) for i in items if i["unit"] not in apart], [dict(i) for i in items if i["unit"] in apart]


def first_of_views(item: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
    """The frame itself as ``image`` (1, h, w), to be changed; ``views`` (3, h, w) stay. No Transform: it is not cached."""
    return dict(item) | {"image": item["views"][:1].clone()}


def random_part(transforms: Compose) -> Compose:
    """The random transforms of a preprocessing: what a student of unlabelled frames sees is augmented as labelled frames are."""
    return Compose([t for t in transforms.flatten().transforms if isinstance(t, RandomizableTrait)])


class PairedBatches:
    """Batches of two loaders side by side: what the first gives, with a batch of the second under ``unlabelled``.

    Both go round without end, each in an order of its own; an epoch is a number of batches.

    Args:
        labelled: loader of mappings.
        unlabelled: loader of what joins them.
        length: batches of an epoch.

    Raises:
        ValueError: one of them has no batch.
    """

    def __init__(self, labelled: Iterable[Mapping[str, Any]], unlabelled: Iterable[Any], *, length: int) -> None:
        self._loaders = {"labelled": labelled, "unlabelled": unlabelled}
        self._length = length
        self._streams: tuple[Iterator[Mapping[str, Any]], Iterator[Any]] | None = None

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[dict[str, Any]]:
        if self._streams is None:
            for name, loader in self._loaders.items():
                if isinstance(loader, Sized) and len(loader) == 0:
                    raise ValueError(f"no batch of {name} frames: there are fewer of them than a batch holds, or none")
            self._streams = _endless(self._loaders["labelled"]), _endless(self._loaders["unlabelled"])
        labelled, unlabelled = self._streams
        for _ in range(self._length):
            yield dict(next(labelled)) | {"unlabelled": next(unlabelled)}


def _endless(loader: Iterable[Any]) -> Iterator[Any]:
    while True:
        yield from loader
