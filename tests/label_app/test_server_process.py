"""The server as a process: its entry module, its end, and what it says when something is missing."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from app_server import MARKS_SOP, Studies, free_port, start_server, stop_server

ROOT = Path(__file__).resolve().parents[2]


def files_below(folder: Path) -> dict[str, int]:
    return {str(p): p.stat().st_mtime_ns for p in folder.rglob("*")}


def children_of(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


@pytest.fixture
def bundle_without_weights(tmp_path: Path) -> Path:
    bundle = tmp_path / "bundle"
    shutil.copytree(ROOT / "configs", bundle / "configs")
    return bundle


@pytest.mark.slow
def test_entry_module_without_weights_serves_images_and_says_what_is_missing(
    studies: Studies, tmp_path: Path, bundle_without_weights: Path
) -> None:
    before, app_before, port = files_below(studies.root), files_below(ROOT / "label_app"), free_port()
    command = ["-m", "label_app.server", "start_server", "--app", str(ROOT / "label_app"), "--studies", str(studies.root)]
    running = start_server([*command, "--port", str(port)], port, tmp_path / "run", MONAI_TAVR_BUNDLE=str(bundle_without_weights))
    try:
        assert running.client.get("/dicomweb/studies").status_code == 200  # before MONAI Label is there
        answer = running.client.post("/infer/tavr_keypoints", params={"image": MARKS_SOP})
        assert (answer.status_code, "model.pt" in answer.json()["detail"]) == (409, True)
        status = running.client.get("/tavr/status").json()
        assert (status["state"], "model.pt" in status["problem"]) == ("ready", True)
        assert children_of(running.process.pid) == []
        running.process.send_signal(signal.SIGINT)
        assert running.process.wait(timeout=15) == 0
    finally:
        stop_server(running)
    assert "Traceback" not in running.log.read_text()
    assert files_below(studies.root) == before
    assert {p for p in files_below(ROOT / "label_app") if "__pycache__" not in p} == {
        p for p in app_before if "__pycache__" not in p
    }
    assert sorted(os.listdir(tmp_path / "run")) == ["log.txt", "tmp"]
    assert list((tmp_path / "run" / "tmp").iterdir()) == []


def test_a_server_that_is_still_loading_ends_at_once(studies: Studies, tmp_path: Path) -> None:
    port = free_port()
    command = ["-m", "label_app.server", "start_server", "--studies", str(studies.root), "--port", str(port)]
    running = start_server(command, port, tmp_path / "run")
    try:
        assert running.client.get("/tavr/status").json()["state"] == "loading"
        running.process.terminate()
        assert running.process.wait(timeout=15) == 0
    finally:
        stop_server(running)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--studies", "/nowhere"], "is not a folder"),
        (["--studies", ".", "--app", "."], "serves its own app"),
        (["--studies", ".", "--host", "192.0.2.1"], "cannot listen on 192.0.2.1:8000"),
    ],
)
def test_what_cannot_be_served_ends_with_words(options: list[str], words: str, tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "label_app.server", "start_server", *options],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (ended.returncode, ended.stdout) == (2, "")
    assert words in ended.stderr
    assert "Traceback" not in ended.stderr


def test_stock_monai_label_is_told_where_the_door_is() -> None:
    """The app refuses to run without the guard."""
    code = (
        "import sys; from label_app.lib.backend import _provide_what_pydicom_seg_imports as p; p(); from label_app.main import TAVRApp\n"
        "try: TAVRApp('.', '.', {})\n"
        "except Exception as e: print(e.msg)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert "label_app.server start_server" in ended.stdout
