"""The whole path with the shipped weights: entry module, OHIF, Predict, and the points where a phantom's own label says.

Collected once the weights are there.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from app_server import Server, free_port, start_server, stop_server
from viewer_page import drawn_points, open_study, predict_series, show_frame, viewer_page

from monai_tavr.formats.label_json import label_from_dict, read_label_json
from monai_tavr.keypoints import TAVR11
from monai_tavr.phantom.generate import generate_dataset

ROOT = Path(__file__).resolve().parents[2]
WITHIN = 20  # native pixels, the paper's measure of a point found

pytestmark = [pytest.mark.browser, pytest.mark.slow]
collect_ignore: list[str] = []


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo")
    generate_dataset(folder, preset="demo", patients=6, workers=1, progress=False)
    return folder


@pytest.fixture(scope="module")
def server(demo: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    port = free_port()
    command = ["-m", "label_app.server", "start_server", "--app", str(ROOT / "label_app"), "--studies", str(demo)]
    running = start_server([*command, "--port", str(port)], port, tmp_path_factory.mktemp("shipped"))
    try:
        yield running
    finally:
        stop_server(running)


def files_below(folder: Path) -> dict[str, int]:
    return {str(p): p.stat().st_mtime_ns for p in folder.rglob("*") if "__pycache__" not in p.parts}
