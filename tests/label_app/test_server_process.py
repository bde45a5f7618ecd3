"""The server as a process: what it says when it cannot start, and how it ends while it is still loading."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from app_server import Server, Studies, free_port, start_server


def test_a_server_that_is_still_loading_ends_at_once(studies: Studies, tmp_path: Path) -> None:
    port = free_port()
    command = ["-m", "label_app.server", "start_server", "--studies", str(studies.root), "--port", str(port)]
    with start_server(command, port, tmp_path / "run") as running:
        assert running.client.get("/tavr/status").json()["state"] == "loading"
        running.process.terminate()
        assert running.process.wait(timeout=60) == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--studies", "/nowhere"], "is not a folder"),
        (["--studies", "https://me:secret@pacs/dicom-web"], "give user and password by MONAI_TAVR_PACS_USER"),
        (["--studies", ".", "--app", "."], "serves its own app"),
        (["--studies", ".", "--host", "192.0.2.1"], "say who may, with --token-file"),
    ],
)
def test_what_cannot_be_served_ends_with_words(options: list[str], words: str, tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "label_app.server", "start_server", *options],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert (ended.returncode, ended.stdout) == (2, "")
    assert words in ended.stderr
    assert "Traceback" not in ended.stderr


def test_monai_labels_own_command_is_shown_the_door(server: Server) -> None:
    """The app does not start without the guard; the test's server has tried it and logged the answer."""
    [line] = [x for x in server.log.read_text().splitlines() if "without the guard" in x]
    assert "label_app.server start_server" in line
