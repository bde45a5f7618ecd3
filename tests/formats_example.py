"""A label with everything in it, and what each format makes of it; for the round trips and the damaged files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from monai_tavr.cine import CineInfo
from monai_tavr.dicom import open_cine
from monai_tavr.dicom.writer import XAHeader, write_xa
from monai_tavr.formats import Format
from monai_tavr.keypoints import TAVR11, Keypoints, KeypointSchema
from monai_tavr.label import CineLabel, ImageInfo, PointEdit, Revision

ROWS, COLUMNS, FRAMES = 64, 96, 12
TIME = "2026-01-31T12:00:00+00:00"
SHUFFLED = KeypointSchema(name="TAVR11", groups={g: p[::-1] for g, p in list(TAVR11.groups.items())[::-1]})


def label(image: ImageInfo, *, schema: KeypointSchema = TAVR11) -> CineLabel:
    """Every point at its own fractional place, absent points, unlabelled points, a frame without any, and who did it."""
    everything = {n: (1.25 + 8 * i, 60.5 - 5 * i) for i, n in enumerate(TAVR11.names)}
    frames = {
        2: everything,
        5: {"AA1": (10.125, 20.75), "AA2": None, "CT": None},
        6: {"PT": None},
        9: {},
    }
    keypoints = [Keypoints.from_points(schema, p, frame=f, spacing=image.spacing) for f, p in frames.items()]
    score = np.array([0.5 if n != "CP" else 0.25 for n in schema.names], np.float32)
    keypoints[0] = replace(keypoints[0], score=score)
    return CineLabel(
        image=image,
        frames=tuple(keypoints),
        edits={(2, "AA1"): PointEdit("model", author="0.2"), (5, "AA2"): PointEdit("annotator", author="Ann", time=TIME)},
        spread={(2, "AA1"): 1.5},
        typical={2: True, 5: False},
        revision=Revision(number=3, author="Ann", time=TIME, base=2, model="ab" * 32),
        name="P001/run3",
        pictures={2: "P001/img/run3_0002.png", 5: "P001/img/run3_0005.png"},
    )


def cine(folder: Path) -> CineInfo:
    """What is known of the cine file that the label is of; the file is written."""
    folder.mkdir(parents=True, exist_ok=True)
    pixels = np.zeros((FRAMES, ROWS, COLUMNS), np.uint8)
    write_xa(folder / "run.dcm", pixels, header=XAHeader(imager_spacing=0.5, frame_time_ms=40.0))
    return open_cine(folder / "run.dcm").info


def outside(name: Format, folder: Path, info: CineInfo, labels: Sequence[CineLabel]) -> dict[str, Any]:
    """What a reader is told beside the file: the image that it needs, or, for DeepLabCut's table, the pictures beside it."""
    if name.name == "deeplabcut":
        for one in labels:
            for keypoints in one.frames:
                picture = folder / f"labeled-data/{(one.name or '').replace('/', '_')}/img{keypoints.frame:04d}.png"
                picture.parent.mkdir(parents=True, exist_ok=True)
                Image.new("L", (one.image.columns, one.image.rows)).save(picture)
    return {"image": info} if "read" in name.needs_image else {}


def file_of(form: Format, folder: Path) -> Path:
    """Where a file of a format is put."""
    return folder / f"label{form.extensions[0] if form.extensions else ''}"
