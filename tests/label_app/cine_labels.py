"""Small cines and labels of them, for tests of what becomes of labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pydicom

from monai_tavr.dicom.writer import XAHeader, write_xa

STUDY = "2.25.3000"
SOP = f"{STUDY}.1.1"  # 6 frames of 40 rows and 56 columns
STACK = f"{STUDY}.2"  # 3 single frames of the same size
OTHER = f"{STUDY}.3.1"
ROWS, COLUMNS, FRAMES = 40, 56, 6


def frames_of(number: int) -> np.ndarray:
    """(F, H, W) uint8: every pixel and frame different."""
    f, y, x = np.mgrid[0:number, 0:ROWS, 0:COLUMNS]
    return ((x * 3 + y * 5 + f * 31) % 256).astype(np.uint8)


def write_cines(root: Path) -> Path:
    """A cine, another of the same patient, and a stack of single frames."""
    for number, sop in ((1, SOP), (3, OTHER)):
        header = XAHeader(patient_id="P1", study_uid=STUDY, series_uid=f"{STUDY}.{number}", sop_uid=sop, imager_spacing=0.3)
        write_xa(root / f"Doe_John_{number}.dcm", frames_of(FRAMES), header=header)
    for n in range(3):
        header = XAHeader(patient_id="P2", study_uid=STUDY, series_uid=STACK, sop_uid=f"{STACK}.{n}", instance_number=n)
        path = root / "stack" / f"{n}.dcm"
        write_xa(path, frames_of(n + 1)[-1:], header=header)
        dataset = pydicom.dcmread(path)
        del dataset.NumberOfFrames, dataset.FrameIncrementPointer, dataset.FrameTime
        dataset.save_as(path)
    return root


def point(x: float, y: float, **more: Any) -> dict[str, Any]:
    return {"x": x, "y": y, "state": "visible", "source": "annotator", **more}


def label_of(points: dict[int, dict[str, Any]], **image: Any) -> dict[str, Any]:
    """Label JSON: frame -> name -> point."""
    block = {"rows": ROWS, "columns": COLUMNS, "number_of_frames": FRAMES, **image}
    frames = [{"frame": f, "points": p} for f, p in points.items()]
    return {"schema": "monai-tavr/keypoints/1", "keypoints": "TAVR11", "image": block, "frames": frames}
