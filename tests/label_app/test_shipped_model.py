"""The whole path with the shipped weights: entry module, OHIF, Predict, and points where the phantom's own label has them.

The last test ends the server, and looks at what is left.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from app_server import Server, shipped_server
from viewer_page import drawn_points, open_study, predict_series, show_frame, to_page, viewer_page

from monai_tavr.formats.label_json import label_from_dict, read_label_json
from monai_tavr.keypoints import TAVR11
from monai_tavr.label import CineLabel
from monai_tavr.phantom.generate import generate_dataset

ROOT = Path(__file__).resolve().parents[2]
WITHIN = 20.0  # native pixels: the paper's measure of a point found
PATIENT = 1  # of the demo studies: a positioning, with contrast in the root and a delivery catheter

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo")
    generate_dataset(folder, preset="demo", patients=PATIENT + 1, workers=1, progress=False)
    return folder


@pytest.fixture(scope="module")
def truth(demo: Path) -> CineLabel:
    return read_label_json(demo / f"P{PATIENT:03}" / "C00.json")


def files_below(folder: Path) -> dict[str, int]:
    return {str(p): p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file() and "__pycache__" not in p.parts}


@pytest.fixture(scope="module")
def files_before(demo: Path) -> tuple[dict[str, int], list[str]]:
    return files_below(demo), sorted(files_below(ROOT / "label_app"))


@pytest.fixture(scope="module")
def shipped(demo: Path, files_before: object, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with shipped_server(demo, tmp_path_factory.mktemp("shipped")) as running:
        yield running


@pytest.fixture(scope="module")
def predicted(shipped: Server, truth: CineLabel) -> CineLabel:
    answer = shipped.client.post("/infer/tavr_keypoints", params={"image": truth.image.sop_instance_uid, "output": "json"})
    assert answer.status_code == 200, answer.text
    return label_from_dict(answer.json())


def test_the_points_lie_where_the_phantom_has_them(predicted: CineLabel, truth: CineLabel) -> None:
    assert [k.frame for k in predicted.frames] == [k.frame for k in truth.frames]
    found = np.stack([k.xy for k in predicted.frames])
    true = np.stack([k.xy for k in truth.frames])
    there = np.isfinite(true[..., 0])
    with np.errstate(invalid="ignore"):
        near = np.hypot(*np.moveaxis(found - true, -1, 0)) <= WITHIN
    assert there.sum() > 100
    assert near[there].mean() >= 0.9, near[there].mean()


def test_predict_in_the_viewer_draws_them_there(shipped: Server, predicted: CineLabel, truth: CineLabel) -> None:
    frame = max(truth.frames, key=lambda k: int(k.visible.sum())).frame
    folder = Path(os.environ.get("TAVR_SCREENSHOTS") or shipped.log.parent)
    folder.mkdir(parents=True, exist_ok=True)
    problems: list[str] = []
    with viewer_page(shipped.url, problems) as page:
        open_study(page, shipped.url, f"P{PATIENT:03}")
        predict_series(page, truth.image.number_of_frames)
        show_frame(page, frame)
        page.mouse.move(5, 795)
        page.screenshot(path=folder / "viewer.png")
        drawn = drawn_points(page)
        answer = predicted.frame(frame)
        wanted = {n: (float(x), float(y)) for n, (x, y) in zip(TAVR11.names, answer.xy, strict=True) if np.isfinite(x)}
        for name, (x, y) in to_page(page, wanted).items():
            assert np.hypot(drawn[name]["x"] - x, drawn[name]["y"] - y) < 0.75, name
        assert set(drawn) == set(wanted)
        labelled = truth.frame(frame)
        there = {n: (float(x), float(y)) for n, (x, y) in zip(TAVR11.names, labelled.xy, strict=True) if np.isfinite(x)}
        origin, corner = to_page(page, {"a": (0.0, 0.0), "b": (float(WITHIN), 0.0)}).values()
        reach = corner[0] - origin[0]  # the same distance on screen
        near = [
            n
            for n, (x, y) in to_page(page, there).items()
            if n in drawn and np.hypot(drawn[n]["x"] - x, drawn[n]["y"] - y) <= reach
        ]
    assert len(near) >= 0.9 * len(there), (sorted(set(there) - set(near)), json.dumps(drawn))
    assert problems == []


def test_ctrl_c_ends_the_server_and_leaves_nothing(shipped: Server, demo: Path, files_before: object) -> None:
    assert shipped.client.get("/info/").status_code == 200
    pid = shipped.process.pid
    assert Path(f"/proc/{pid}/task/{pid}/children").read_text() == ""
    shipped.process.send_signal(signal.SIGINT)
    assert shipped.process.wait(timeout=120) == 0
    assert "Traceback" not in shipped.log.read_text()
    assert (files_below(demo), sorted(files_below(ROOT / "label_app"))) == files_before
    temporary = shipped.log.parent / "tmp"
    assert [p.name for p in temporary.iterdir() if not p.name.startswith("torchinductor_")] == []  # torch's own empty folder
