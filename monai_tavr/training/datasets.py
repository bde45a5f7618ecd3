"""Datalists: which frames belong to which patient and to which split.

A datalist is MONAI's decathlon-like JSON (``DIR/datalist.json``) with the splits ``training``, ``validation`` and ``test``. An
item is ``{"image": path, "label": path, "frame": 3, "patient": "P000"}``, paths relative to ``DIR``; without ``frame`` it stands
for every labelled frame of its file. Frames of one patient never lie in two splits.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence, Sized
from pathlib import Path
from typing import Any

import numpy as np
from monai.data import CacheDataset

from monai_tavr.formats.checks import listing, mapping, read_json, text, whole
from monai_tavr.formats.label_json import read_label_json
from monai_tavr.keypoints import KeypointSchema, load_schema

__all__ = ["SPLITS", "FrameDataset", "expand_frames", "load_datalist", "load_datalists", "require_frames", "split_by_patient"]

SPLITS = ("training", "validation", "test")
_ALIASES = {"train": "training", "val": "validation"}


def load_datalist(source: str | os.PathLike[str], split: str = "training", *, missing_ok: bool = False) -> list[dict[str, Any]]:
    """The items of a split, with absolute paths.

    Args:
        source: a datalist, or the folder that holds ``datalist.json``.
        split: ``training`` (``train``), ``validation`` (``val``), ``test``, or ``all``.
        missing_ok: where there is no such file, warn and give no items: a bundle can be looked at without its data.

    Raises:
        ValueError: the file is no datalist, the split is not there, a patient lies in two splits; the message names the file.
    """
    path = Path(source)
    path = path / "datalist.json" if path.is_dir() else path
    if not path.is_file():
        message = f"{path}: no such datalist; give the folder that `monai-tavr phantom` wrote, or a datalist JSON file"
        if not missing_ok:
            raise ValueError(message)
        logging.getLogger(__name__).warning(message)
        return []
    content = read_json(path)
    known = [s for s in SPLITS if isinstance(content, dict) and s in content]
    wanted = known if split == "all" else [_ALIASES.get(split, split)]
    if not known or not set(wanted) <= set(known):
        raise ValueError(f"{path}: no split {split!r}; it holds {known or 'none'}")
    lists = {s: listing(content[s], f"{path}: {s}") for s in known}
    items = {s: [_checked(item, f"{path}: {s}[{n}]") for n, item in enumerate(found)] for s, found in lists.items()}
    _check_patients(path, items)
    return [_absolute(path, item) for s in wanted for item in items[s]]


def load_datalists(
    sources: Sequence[str | os.PathLike[str]], split: str = "training", *, missing_ok: bool = False
) -> list[dict[str, Any]]:
    """The items of a split from several datalists, one after the other; see :func:`load_datalist`."""
    return [item for source in sources for item in load_datalist(source, split, missing_ok=missing_ok)]


def _checked(item: Any, where: str) -> dict[str, Any]:
    """An item whose values are of the kinds that readers of it expect; what else stands in it stays."""
    found = dict(mapping(item, where, required={"image"}))
    text(found["image"], f"{where}.image")
    for name in ("label", "patient", "root_mask"):
        if found.get(name) is not None:
            text(found[name], f"{where}.{name}")
    if found.get("frame") is not None:
        found["frame"] = whole(found["frame"], f"{where}.frame")
    return found


def _absolute(path: Path, item: Mapping[str, Any]) -> dict[str, Any]:
    return {**item, **{key: str(path.parent / item[key]) for key in ("image", "label", "root_mask") if item.get(key) is not None}}


def _check_patients(path: Path, splits: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    owner: dict[str, str] = {}
    for split, items in splits.items():
        for item in items:
            patient = item.get("patient")
            if patient is not None and owner.setdefault(patient, split) != split:
                raise ValueError(
                    f"{path}: patient {patient!r} lies in {owner[patient]!r} and in {split!r}; a patient belongs to one split"
                )


def split_by_patient(
    items: Sequence[Mapping[str, Any]], *, fractions: Mapping[str, float], seed: int = 0
) -> dict[str, list[dict[str, Any]]]:
    """Deal patients out to splits; all frames of a patient go together.

    Args:
        items: each with ``patient``.
        fractions: split -> share of the patients, adding up to 1.
        seed: of the shuffle. The order of the items does not matter.

    Returns:
        split -> items, in the order given.

    Raises:
        ValueError: the fractions do not add up to 1, or an item names no patient.
    """
    if any(f < 0 for f in fractions.values()) or not np.isclose(sum(fractions.values()), 1):
        raise ValueError(f"fractions must add up to 1, got {dict(fractions)}")
    missing = [position for position, item in enumerate(items) if item.get("patient") is None]
    if missing:
        raise ValueError(f"items[{missing[0]}] has no 'patient': a split by patient needs to know whose frame it is")
    patients = sorted({str(item["patient"]) for item in items})
    np.random.default_rng(seed).shuffle(patients)
    stops = np.round(np.cumsum(list(fractions.values())) * len(patients)).astype(int)
    share = np.searchsorted(stops, np.arange(len(patients)), side="right")
    owner = {patient: list(fractions)[i] for patient, i in zip(patients, share, strict=True)}
    return {split: [dict(item) for item in items if owner[str(item["patient"])] == split] for split in fractions}


def expand_frames(items: Sequence[Mapping[str, Any]], *, schema: str | KeypointSchema = "tavr11") -> list[dict[str, Any]]:
    """One item per frame: an item without ``frame`` becomes one for each frame that its label file describes.

    Raises:
        ValueError: an item has neither frame nor label, or the label file cannot be read.
    """
    schema = load_schema(schema)
    expanded: list[dict[str, Any]] = []
    for item in items:
        if item.get("frame") is not None:
            expanded.append(dict(item))
        elif item.get("label") is None:
            raise ValueError(f"{item.get('image')}: no 'frame' and no 'label' to list its frames; give one of them")
        else:
            frames = read_label_json(item["label"], schema=schema).frames
            expanded += [dict(item) | {"frame": keypoints.frame} for keypoints in frames]
    return expanded


def require_frames(dataset: Sized, source: str | os.PathLike[str]) -> None:
    """Raises ValueError where a dataset made from ``source`` has no frames."""
    if len(dataset) == 0:
        raise ValueError(f"no frames in {source}: set dataset_dir to a folder with datalist.json, or to a datalist JSON file")


class FrameDataset(CacheDataset):
    """MONAI's CacheDataset over frames: decoding and resizing happen once, an epoch costs its augmentation only.

    2300 frames of 256 x 256 take 0.3 GB as float16.

    Args:
        data: items of a datalist; those without ``frame`` are expanded (MONAI Label names whole files).
        transform: deterministic transforms first; what comes before the first random one is cached.
        schema: keypoint schema of the labels.
        cache_rate: share of the frames to cache.
        progress: show a progress bar while caching.
    """

    def __init__(
        self,
        data: Sequence[Mapping[str, Any]],
        transform: Sequence[Callable[..., Any]] | Callable[..., Any],
        *,
        schema: str | KeypointSchema = "tavr11",
        cache_rate: float = 1.0,
        progress: bool = True,
    ) -> None:
        self.schema = load_schema(schema)
        # one thread: neighbouring items share an open cine, and decoding gains nothing from a second
        super().__init__(data=data, transform=transform, cache_rate=cache_rate, num_workers=1, progress=progress)

    def set_data(self, data: Sequence[Mapping[str, Any]]) -> None:
        """Take other items, as at the start; MONAI calls this."""
        super().set_data(expand_frames(data, schema=self.schema))
