"""BAMNet's public data as a datalist: the Supervisely export of Zenodo, or the folders that its authors prepare of it.

AA1, AA2, STJ1 and STJ2 are labelled; one that its annotator did not place is absent, as in their evaluation. All other points are
unlabelled. The root's mask is kept for trainings that learn from it.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from monai_tavr.files import write_json_atomically
from monai_tavr.formats.checks import mapping, read_json
from monai_tavr.formats.prepared import read_prepared, read_prepared_mask
from monai_tavr.formats.spacings import PixelSpacing
from monai_tavr.formats.supervisely import read_supervisely
from monai_tavr.formats.supervisely_mask import annotation_of, read_supervisely_mask
from monai_tavr.formats.table import LossWarning
from monai_tavr.keypoints import KeypointSchema
from monai_tavr.label import CineLabel
from monai_tavr.rival.published import POINTS
from monai_tavr.training.labelled_pictures import write_datalist

__all__ = ["Export", "prepare_export"]

# the number of the folder that a picture lies in, else that its name begins with
_PATIENT = r"(?:^|/)0*([1-9]\d*)(?:/(?:img/)?[^/]+|_[^/]*)$"


@dataclass(frozen=True)
class Export:
    """What was made of the data.

    Attributes:
        datalist: the file; its items are pictures with ``patient`` and, where there are masks, ``root_mask``.
        unlabelled: pictures without a landmark, left out.
        failed: (picture, why it could not be used).
    """

    datalist: Path
    unlabelled: int = 0
    failed: tuple[tuple[str, str], ...] = ()

    def items(self) -> list[dict[str, Any]]:
        """All items, as the file has them: paths are relative to its folder."""
        content = read_json(self.datalist)
        return [item for split in ("training", "validation", "test") for item in content[split]]


def prepare_export(
    out: Path,
    data: str | os.PathLike[str],
    *,
    schema: KeypointSchema,
    spacings: Mapping[str, PixelSpacing] | None = None,
    pictures: str | os.PathLike[str] | None = None,
    ignore: Collection[str] = (),
    progress: Callable[[int], Any] | None = None,
) -> Export:
    """Read the data and write a datalist beside which nothing is copied but labels and masks.

    Args:
        out: new folder; one that a former call filled is taken as it is.
        data: the export, or a folder of it that holds patients; or ``train`` and ``val`` as prepared by its authors.
        schema: of the model, with these four points.
        spacings: of pictures.
        pictures: where the pictures lie, for exports without ``img``: patients' folders as in the export, or all in one folder.
        ignore: classes to pass over.
        progress: called with 1 for every picture.

    Raises:
        ValueError: the data cannot be read, or no picture can be used; says why.
    """
    note = out / "left_out.json"
    if note.is_file():
        found = mapping(read_json(note), str(note), required={"unlabelled", "failed"})
        return Export(out / "datalist.json", found["unlabelled"], tuple((p, reason) for p, reason in found["failed"]))
    missing = [name for name in POINTS if name not in schema.names]
    if missing:
        raise ValueError(f"schema {schema.name!r} has no point {missing[0]!r}; this benchmark is about {', '.join(POINTS)}")
    root = Path(data)
    prepared = any(p.is_dir() for pattern in ("points", "*/points") for p in root.glob(pattern))
    read = (
        read_prepared(root, schema=schema, ignore=ignore, spacings=spacings)
        if prepared
        else _read(root, schema, ignore, spacings)
    )
    place = root if pictures is None else Path(pictures)
    labels = read if pictures is None else [_found_below(label, place) for label in read]
    origin = {at.pictures[f]: label.pictures[f] for label, at in zip(read, labels, strict=True) for f in label.pictures}

    def mask(_: Path, picture: str) -> np.ndarray | None:
        named = origin[picture]
        if prepared:
            return read_prepared_mask(root, named)
        annotation = annotation_of(root, named)
        return None if annotation is None else read_supervisely_mask(annotation)

    everything = {"training": 1.0, "validation": 0.0, "test": 0.0}
    written = write_datalist(out, [(place, labels)], fractions=everything, patient=_PATIENT, mask=mask, progress=progress)
    write_json_atomically(note, {"unlabelled": written.unlabelled, "failed": written.failed})
    return Export(out / "datalist.json", written.unlabelled, written.failed)


def _read(
    root: Path, schema: KeypointSchema, ignore: Collection[str], spacings: Mapping[str, PixelSpacing] | None
) -> list[CineLabel]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LossWarning)  # of masks, which are read here
        return read_supervisely(root, schema=schema, others_absent=True, ignore=ignore, spacings=spacings)


def _found_below(label: CineLabel, folder: Path) -> CineLabel:
    """The label, whose pictures are named as they lie below another folder."""
    return replace(label, pictures={frame: _found(picture, folder) for frame, picture in label.pictures.items()})


def _found(picture: str, folder: Path) -> str:
    """The picture where it is; its patient's folder and name say enough, or its name alone."""
    path = Path(picture)
    owner = path.parent.parent.name
    places = (picture, f"{owner}/img/{path.name}", f"{owner}/{path.name}", path.name)
    return next((p for p in places if (folder / p).is_file()), picture)
