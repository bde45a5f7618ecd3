"""Labelled pictures, as annotation programs keep them, as a datalist to train on.

Every picture becomes an item of its own: the picture where it lies, and a label file of one frame. The split is the folder's own
where it states one (``train/``, ``val/``, ``test/``), else patients are dealt out. A patient is the outermost folder of a picture
that is neither a split nor called ``img`` or ``images``; where folders are not patients, a regular expression says who is.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from monai_tavr.dicom.pictures import upright_size
from monai_tavr.files import creating_folder, write_json_atomically
from monai_tavr.formats.frames import IMAGE_FOLDERS
from monai_tavr.formats.label_json import write_label_json
from monai_tavr.formats.root_masks import write_root_masks
from monai_tavr.keypoints import Keypoints
from monai_tavr.label import CineLabel
from monai_tavr.training.datasets import SPLITS, split_by_patient

__all__ = ["FRACTIONS", "WrittenDatalist", "write_datalist"]

FRACTIONS = {"training": 0.7, "validation": 0.15, "test": 0.15}
_STATED = {"train": "training", "val": "validation", "valid": "validation", "validation": "validation", "training": "training"}
_STATED |= {"test": "test", "testing": "test"}
# where a picture lies: below the folder, or where CVAT and the COCO sets put them beside `annotations/`
_ROOTS = ("", "images", "images/default", "../images", "../images/default", "..")


@dataclass(frozen=True)
class WrittenDatalist:
    """What became of the pictures.

    Attributes:
        pictures: split -> number of its pictures.
        patients: split -> its patients; pictures of nobody known do not count.
        stated: the folder stated the split itself.
        unlabelled: pictures without a labelled point, left out.
        failed: (picture, why it could not be used).
    """

    pictures: Mapping[str, int]
    patients: Mapping[str, tuple[str, ...]]
    stated: bool
    unlabelled: int
    failed: tuple[tuple[str, str], ...]


def write_datalist(
    out: str | os.PathLike[str],
    sources: Sequence[tuple[Path, Sequence[CineLabel]]],
    *,
    fractions: Mapping[str, float] | None = None,
    seed: int = 0,
    patient: str | None = None,
    mask: Callable[[Path, str], np.ndarray | None] | None = None,
    progress: Callable[[int], Any] | None = None,
) -> WrittenDatalist:
    """Write ``OUT/datalist.json`` and ``OUT/labels``; pictures stay where they are, and their paths are relative to ``OUT``.

    Masks of the aortic root become ``OUT/masks/NAME.nii.gz``, arrays (columns, rows, 1) uint8, 1 in the root and 0 outside, which
    items name as ``root_mask``.

    Args:
        out: a new or empty folder.
        sources: (folder below which the pictures lie, labels whose ``pictures`` name them).
        fractions: split -> share of the patients, where the folders state no split; default: :data:`FRACTIONS`.
        seed: of the deal.
        patient: regular expression that finds the patient in a picture's path: its first group, or the whole match.
        mask: (folder, picture) -> the mask of its root, (H, W) bool, or None where it has none.
        progress: called with the number of pictures done since the last call.

    Raises:
        ValueError: no usable picture, a split for some pictures only, a patient in two splits, nobody knows whose a picture is.
        FileExistsError: the folder is there and not empty.
    """
    finder = _patients(patient)
    failed: list[tuple[str, str]] = []
    unlabelled = 0
    items: list[dict[str, Any]] = []
    with creating_folder(out) as folder:
        for root, label, keypoints in _each(sources):
            picture = label.pictures.get(keypoints.frame)
            if not np.asarray(keypoints.labelled).any():
                unlabelled += 1
            elif picture is None:
                failed.append((f"{label.name or root}, frame {keypoints.frame}", "the label names no picture file"))
            else:
                try:
                    item = _item(folder, Path(out), root, picture, label, keypoints) | finder(picture)
                    items.append(item | (_write_mask(folder, mask(root, picture), picture, label) if mask is not None else {}))
                except (ValueError, OSError) as error:
                    failed.append((picture, str(error)))
            if progress is not None:
                progress(1)
        splits, stated = _split(items, fractions or FRACTIONS, seed)
        if not items:
            reason = f"; {failed[0][0]}: {failed[0][1]}" if failed else ""
            raise ValueError(f"{sources[0][0] if sources else out}: no labelled picture that can be used{reason}")
        schema = next(k.schema.name for _, labels in sources for label in labels for k in label.frames)
        content = {"name": Path(out).resolve().name, "schema": schema, "modality": {"0": "XA"}} | splits
        write_json_atomically(folder / "datalist.json", content)
    return WrittenDatalist(
        pictures={split: len(part) for split, part in splits.items()},
        patients={split: tuple(sorted({i["patient"] for i in part if "patient" in i})) for split, part in splits.items()},
        stated=stated,
        unlabelled=unlabelled,
        failed=tuple(failed),
    )


def _each(sources: Iterable[tuple[Path, Sequence[CineLabel]]]) -> Iterable[tuple[Path, CineLabel, Keypoints]]:
    return ((root, label, keypoints) for root, labels in sources for label in labels for keypoints in label.frames)


def _item(folder: Path, out: Path, root: Path, picture: str, label: CineLabel, keypoints: Keypoints) -> dict[str, Any]:
    """An item, whose label file is written. Raises ValueError where picture and label do not fit."""
    place = PurePosixPath(picture)
    if place.is_absolute() or ".." in place.parts:
        raise ValueError("its path leads out of the folder")
    file = next((p for p in (root / above / place for above in _ROOTS) if p.is_file()), None)
    if file is None:
        raise ValueError(f"there is no such picture below {root}")
    try:
        with Image.open(file) as opened:
            size = upright_size(opened)
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise ValueError(f"the picture cannot be read ({type(error).__name__})") from error
    if size != (label.image.columns, label.image.rows):
        raise ValueError(
            f"it has {size[0]} x {size[1]} pixels and was labelled at {label.image.columns} x {label.image.rows}: "
            "export picture and label together"
        )
    name = f"labels/{place}.json"
    if (folder / name).exists():
        raise ValueError("a second picture of this name; convert the folders one by one")
    alone = replace(label.image, number_of_frames=1)
    frame = keypoints.frame
    one = CineLabel(
        image=alone,
        frames=(replace(keypoints, frame=0),),
        edits={(0, n): edit for n in keypoints.schema.names if (edit := label.edits.get((frame, n))) is not None},
        spread={(0, n): doubt for n in keypoints.schema.names if (doubt := label.spread.get((frame, n))) is not None},
        name=label.name,
        pictures={0: picture},
    )
    write_label_json(folder / name, one)
    return {"image": Path(os.path.relpath(file.resolve(), out.resolve())).as_posix(), "label": name, "frame": 0} | _stated(place)


def _write_mask(folder: Path, mask: np.ndarray | None, picture: str, label: CineLabel) -> dict[str, Any]:
    """The mask's entry in the item, whose file is written. Raises ValueError where it does not fit the picture."""
    if mask is None:
        return {}
    if mask.shape != (label.image.rows, label.image.columns):
        raise ValueError(f"its mask has {mask.shape[1]} x {mask.shape[0]} pixels, it {label.image.columns} x {label.image.rows}")
    name = f"masks/{picture}.nii.gz"
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    write_root_masks(folder / name, mask[None].astype(np.uint8))
    return {"root_mask": name}


def _stated(place: PurePosixPath) -> dict[str, str]:
    """The split that a picture's path states, under a key that does not stay."""
    split = _STATED.get(place.parts[0].lower()) if len(place.parts) > 1 else None
    return {} if split is None else {"split": split}


def _patients(expression: str | None) -> Callable[[str], dict[str, str]]:
    """picture -> ``{"patient": ...}``, or nothing where nobody knows."""
    if expression is None:
        return _patient_of_folder
    try:
        compiled = re.compile(expression)
    except re.error as error:
        raise ValueError(f"{expression!r} is no regular expression: {error}") from error

    def find(picture: str) -> dict[str, str]:
        found = compiled.search(picture)
        if found is None:
            raise ValueError(f"the expression {expression!r} finds no patient in its path")
        return {"patient": (found[1] if compiled.groups else found[0]) or ""}

    return find


def _patient_of_folder(picture: str) -> dict[str, str]:
    parts = PurePosixPath(picture).parts[:-1]
    folders = [p for p in (parts[1:] if parts and parts[0].lower() in _STATED else parts) if p.lower() not in IMAGE_FOLDERS]
    return {"patient": folders[0]} if folders else {}


def _split(
    items: Sequence[Mapping[str, Any]], fractions: Mapping[str, float], seed: int
) -> tuple[dict[str, list[dict[str, Any]]], bool]:
    """(split -> items, whether the folders stated it)."""
    number = sum("split" in item for item in items)
    if number == 0:
        if any("patient" not in item for item in items):
            raise ValueError("nobody says whose the pictures are, and a patient belongs to one split; give --patient")
        return {split: [] for split in SPLITS} | split_by_patient(items, fractions=fractions, seed=seed), False
    if number < len(items):
        raise ValueError(f"{number} of {len(items)} pictures lie in folders of a split (train, val, test), the others do not")
    owners = {(item["patient"], item["split"]) for item in items if "patient" in item}
    for patient, count in Counter(patient for patient, _ in owners).items():
        if count > 1:
            splits = " and ".join(sorted(split for owner, split in owners if owner == patient))
            raise ValueError(f"patient {patient!r} lies in {splits}; a patient belongs to one split")
    plain = {split: [item for item in items if item["split"] == split] for split in SPLITS}
    return {split: [{k: v for k, v in item.items() if k != "split"} for item in part] for split, part in plain.items()}, True
