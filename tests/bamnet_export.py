"""A phantom data set written as BAMNet's public data are: a Supervisely export with the root's mask, and the table of spacings.

python tests/bamnet_export.py PHANTOM OUT [FRAMES_PER_CINE]
"""

from __future__ import annotations

import base64
import csv
import io
import json
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from monai_tavr.dicom import open_cine
from monai_tavr.formats.label_json import read_label_json
from monai_tavr.keypoints import Keypoints

POINTS = ("AA1", "AA2", "STJ1", "STJ2")
# as in BAMNet's table; it has more
COLUMNS = ("seg_patient", "image_name", "rows", "cols", "pixel_spacing_row_mm", "pixel_spacing_col_mm")


def write_export(root: Path, phantom: Path, *, per_cine: int = 2) -> Path:
    """Write ``root/segmentation_point`` and ``root/image_mapping.csv``.

    The table speaks of images half as large as the pictures, as BAMNet's does of many of them.

    Args:
        root: of both.
        phantom: folder of a phantom data set, ``P000/C00.dcm`` and labels beside; P000 becomes patient 1.
        per_cine: at most so many frames of a cine, evenly spread, of those that show the root.
    """
    project = root / "segmentation_point"
    project.mkdir(parents=True)
    classes = [{"title": n, "shape": "point", "color": "#FF0000"} for n in POINTS]
    meta = {"classes": [*classes, {"title": "Aortic root", "shape": "bitmap", "color": "#00FF00"}], "tags": []}
    (project / "meta.json").write_text(json.dumps(meta))
    rows: list[tuple[object, ...]] = []
    for file in sorted(phantom.glob("P*/C*.dcm")):
        patient, cine, label = int(file.parent.name[1:]) + 1, open_cine(file), read_label_json(file.with_suffix(".json"))
        shown = [k for k in label.frames if k.visible[[k.schema.index(n) for n in POINTS]].all()]
        for k in (shown[i] for i in np.unique(np.linspace(0, len(shown) - 1, min(per_cine, len(shown))).round().astype(int))):
            name = f"{patient:04d}_{int(file.stem[1:]):03d}_{k.frame:03d}.png"
            for folder in ("img", "ann"):
                (project / f"{patient:03d}" / folder).mkdir(parents=True, exist_ok=True)
            grey = cine.frame(k.frame)
            Image.fromarray(grey.astype(np.uint8)).save(project / f"{patient:03d}" / "img" / name)
            (project / f"{patient:03d}" / "ann" / f"{name}.json").write_text(json.dumps(annotation(k, *grey.shape)))
            x, y = label.image.spacing or (0.3, 0.3)
            rows.append((patient, name, grey.shape[0] // 2, grey.shape[1] // 2, 2 * y, 2 * x))
    with (root / "image_mapping.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([COLUMNS, *rows])
    return project


def annotation(keypoints: Keypoints, rows: int, columns: int) -> dict[str, Any]:
    """What Supervisely says of a frame; the mask is the quadrangle of the four points."""
    place = {n: [round(float(v), 1) for v in keypoints.xy[keypoints.schema.index(n)]] for n in POINTS}
    points = [{"classTitle": n, "geometryType": "point", "points": {"exterior": [xy], "interior": []}} for n, xy in place.items()]
    canvas = Image.new("1", (columns, rows))
    ImageDraw.Draw(canvas).polygon([tuple(place[n]) for n in ("AA1", "AA2", "STJ2", "STJ1")], fill=1)
    left, top, right, bottom = canvas.getbbox() or (0, 0, 1, 1)
    packed = io.BytesIO()
    canvas.crop((left, top, right, bottom)).save(packed, format="PNG")
    data = base64.b64encode(zlib.compress(packed.getvalue())).decode()
    mask = {"classTitle": "Aortic root", "geometryType": "bitmap", "bitmap": {"data": data, "origin": [left, top]}}
    return {"description": "", "tags": [], "size": {"width": columns, "height": rows}, "objects": [*points, mask]}


if __name__ == "__main__":
    print(write_export(Path(sys.argv[2]), Path(sys.argv[1]), per_cine=int(sys.argv[3]) if len(sys.argv) > 3 else 2))
