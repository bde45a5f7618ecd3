"""Real frames on which a group of points is known not to be: what a model must leave alone.

On a coronary angiogram there is neither a delivery catheter nor a valve, whoever took it; whether the root can be seen nobody has
looked. Such frames need no label file: the item says which groups are absent, all other points are unlabelled.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch.utils.data import Sampler

from monai_tavr.dicom import find_cines, open_cine
from monai_tavr.evaluation.frames import LabelledCine
from monai_tavr.keypoints import Keypoints, KeypointSchema, load_schema
from monai_tavr.label import CineLabel

__all__ = ["MixedBatches", "negative_cines", "negative_items"]


def negative_items(
    folder: str | os.PathLike[str],
    *,
    absent: Sequence[str] = ("instrumental", "contour"),
    schema: str | KeypointSchema = "tavr11",
    frames_per_cine: int = 4,
) -> list[dict[str, Any]]:
    """Items for :class:`monai_tavr.training.FrameDataset` of every cine and picture below a folder.

    Args:
        folder: of DICOM, PNG or JPEG files.
        absent: groups that none of them shows.
        schema: that has these groups.
        frames_per_cine: at most so many frames of a file, evenly spread.

    Raises:
        ValueError: there is nothing to read, or the schema has no such group.
    """
    unknown = sorted(set(absent) - set(load_schema(schema).groups))
    if unknown:
        raise ValueError(f"negatives: schema {load_schema(schema).name!r} has no group {unknown[0]!r}")
    items = []
    for path in find_cines(folder):
        count = len(open_cine(path))
        for frame in np.unique(np.linspace(0, count - 1, min(count, frames_per_cine)).round().astype(int)):
            items.append({"image": str(path), "frame": int(frame), "absent_groups": tuple(absent)})
    if not items:
        raise ValueError(f"{folder}: no frames there; give a folder of DICOM, PNG or JPEG files without catheter and valve")
    return items


def negative_cines(
    folder: str | os.PathLike[str],
    *,
    absent: Sequence[str] = ("instrumental", "contour"),
    schema: str | KeypointSchema = "tavr11",
    frames_per_cine: int = 4,
) -> list[LabelledCine]:
    """The frames of :func:`negative_items` with what is known of them as their label, for :mod:`monai_tavr.evaluation`.

    Raises:
        ValueError: as :func:`negative_items`, or a file cannot be read.
    """
    schema = load_schema(schema)
    frames: dict[str, list[int]] = {}
    for item in negative_items(folder, absent=absent, schema=schema, frames_per_cine=frames_per_cine):
        frames.setdefault(item["image"], []).append(item["frame"])
    nothing = {name: None for name in schema.names if schema.group_of(name) in absent}
    cines = []
    for image, numbers in frames.items():
        labels = tuple(Keypoints.from_points(schema, nothing, frame=f) for f in numbers)
        label = CineLabel(image=open_cine(image).info.image_info, frames=labels)
        cines.append(LabelledCine(Path(image), image, label, tuple(numbers)))
    return cines


class MixedBatches(Sampler[list[int]]):
    """Batches of a data set whose last items are extra ones, of which every batch has the same number.

    An epoch is every other item once, in random order; what does not fill a batch is left out (batch normalisation dislikes a
    last batch of one). The extra items come in an order of their own, again from the start when they run out.

    Args:
        size: items of the data set, the extra ones included.
        batch_size: items of a batch.
        extra: how many items at the end are extra ones.
        share: part of a batch that they make up; at least one where it is above 0.
        seed: of the order.
        rank: number of this process.
        replicas: how many processes there are; they share an epoch.

    Raises:
        ValueError: a number is out of its range, or there are fewer items than a batch takes.
    """

    def __init__(
        self,
        size: int,
        *,
        batch_size: int,
        extra: int = 0,
        share: float = 0.0,
        seed: int = 0,
        rank: int = 0,
        replicas: int = 1,
    ) -> None:
        if not 0 <= share < 1 or batch_size < 1 or not 0 <= extra <= size or not 0 <= rank < replicas:
            raise ValueError(
                f"share {share} of [0, 1), batch_size {batch_size}, extra {extra} of {size}, rank {rank} of {replicas}"
            )
        self._usual, self._extra = size - extra, extra
        self._of_extra = min(max(1, round(share * batch_size)), batch_size - 1) if extra and share > 0 and batch_size > 1 else 0
        self._of_usual = batch_size - self._of_extra
        self._seed, self._rank, self._replicas = seed, rank, replicas
        self._epoch = 0
        most = self._usual // replicas
        if most and not len(self):  # an epoch of no iterations would end as if it had been a training
            raise ValueError(
                f"{most} training frames do not fill a batch: batch_size {batch_size} takes {self._of_usual} of them; "
                "give more frames, or set a smaller batch_size"
            )

    def __len__(self) -> int:
        return self._usual // self._replicas // self._of_usual

    def __iter__(self) -> Iterator[list[int]]:
        rng = np.random.default_rng([self._seed, self._epoch])  # the same order in every process, of which each takes its part
        usual = rng.permutation(self._usual)[self._rank :: self._replicas]
        needed = len(self) * self._of_extra * self._replicas
        rounds = -(-needed // self._extra) if needed else 0
        extra = np.concatenate([self._usual + rng.permutation(self._extra) for _ in range(rounds)] or [np.zeros(0, int)])
        extra = extra[self._rank :: self._replicas]
        self._epoch += 1
        for i in range(len(self)):
            part = [*usual[i * self._of_usual :][: self._of_usual], *extra[i * self._of_extra :][: self._of_extra]]
            yield [int(index) for index in part]
