"""A bundle whose network is so small that it learns in seconds, and a studies folder with labels for it.

The bundle's ``train.yaml`` and ``adapt.yaml`` are the project's own; only the network, the sizes and the number of processes are
others.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import torch
import yaml

from monai_tavr.dicom.writer import XAHeader, write_xa
from monai_tavr.keypoints import TAVR11, Keypoints, KeypointSchema, load_schema
from monai_tavr.label import CineLabel, ImageInfo

ROOT = Path(__file__).resolve().parents[2]
SIZE = 64
FRAMES = 4
_SMALL = {
    "image_size": [SIZE, SIZE],
    "batch_size": 4,
    "num_workers": 0,
    "log_interval": 1,
    "network_def": {"_target_": "training_bundle.TinyNet", "schema": "@schema"},
}


class TinyNet(torch.nn.Module):
    """(B, 1, 64, 64) -> (B, K+G, 4): sixteen by sixteen pixels, one hidden layer."""

    def __init__(self, schema: str | KeypointSchema = "tavr11") -> None:
        super().__init__()
        schema = load_schema(schema)
        self.rows, self.keypoints = schema.num_keypoints + schema.num_groups, schema.num_keypoints
        self.shrink = torch.nn.AvgPool2d(4)
        self.norm = torch.nn.BatchNorm2d(1)
        self.hidden = torch.nn.Linear(SIZE * SIZE // 16, 32)
        self.out = torch.nn.Linear(32, self.rows * 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = torch.relu(self.hidden(self.norm(self.shrink(x)).flatten(1)))
        raw = self.out(hidden).unflatten(1, (self.rows, 4))
        return torch.cat([raw[..., :2].sigmoid(), raw[..., 2:3], raw[..., 3:].sigmoid() * 0.1], dim=-1)


def write_training_bundle(root: Path, *, schema: KeypointSchema = TAVR11) -> Path:
    """The bundle, of TAVR11 by its configuration, with weights for ``schema`` that know nothing; the same every time."""
    (root / "configs").mkdir(parents=True)
    (root / "models").mkdir()
    train = yaml.safe_load((ROOT / "configs" / "train.yaml").read_text())
    (root / "configs" / "train.yaml").write_text(yaml.safe_dump(train | _SMALL, sort_keys=False))
    shutil.copyfile(ROOT / "configs" / "adapt.yaml", root / "configs" / "adapt.yaml")
    inference = {"schema": "tavr11", "image_size": _SMALL["image_size"], "network_def": _SMALL["network_def"]}
    (root / "configs" / "inference.yaml").write_text(yaml.safe_dump(inference))
    (root / "configs" / "metadata.json").write_text(json.dumps({"version": "7.7.7"}))
    torch.manual_seed(0)
    torch.save(TinyNet(schema).state_dict(), root / "models" / "model.pt")
    return root


def sop_of(patient: int, cine: int = 1) -> str:
    return f"2.25.70{patient}.{cine}.1"


def write_studies(root: Path, *, patients: int = 3, cines: int = 1) -> Path:
    """Cines of a white square that moves; file names and headers name the patient."""
    for patient in range(1, patients + 1):
        for cine in range(1, cines + 1):
            pixels = np.full((FRAMES, SIZE, SIZE), 30, np.uint8)
            for frame in range(FRAMES):
                x, y = square(patient, frame)
                pixels[frame, y - 6 : y + 6, x - 6 : x + 6] = 250
            header = XAHeader(
                patient_id=f"SECRET{patient}",
                patient_name=f"Secretname^{patient}",
                study_uid=f"2.25.70{patient}",
                series_uid=f"2.25.70{patient}.{cine}",
                sop_uid=sop_of(patient, cine),
                imager_spacing=0.5,
            )
            (root / f"Secretname{patient}").mkdir(parents=True, exist_ok=True)
            write_xa(root / f"Secretname{patient}" / f"run{cine}.dcm", pixels, header=header)
    return root


def square(patient: int, frame: int) -> tuple[int, int]:
    """Centre of the square, (x, y)."""
    return 20 + 6 * frame, 18 + 8 * (patient % 4)


def label_of(patient: int, cine: int = 1, *, frames: int = FRAMES, schema: KeypointSchema = TAVR11) -> CineLabel:
    """All points near the square, 2 px apart; the contour group is absent on frame 0, and PT is unlabelled on frame 1."""
    labelled = []
    for frame in range(frames):
        x, y = square(patient, frame)
        points: dict[str, tuple[float, float] | None] = {n: (x - 10.0 + 2 * i, float(y)) for i, n in enumerate(schema.names)}
        if frame == 0:
            points |= dict.fromkeys(("PT", "FE1", "FE2"), None)
        if frame == 1:
            del points["PT"]
        labelled.append(Keypoints.from_points(schema, points, frame=frame))
    image = ImageInfo(rows=SIZE, columns=SIZE, number_of_frames=FRAMES, sop_instance_uid=sop_of(patient, cine))
    return CineLabel(image=image, frames=tuple(labelled))
