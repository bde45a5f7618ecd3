"""The training's process by itself: what it says, how it ends, and that it does not outlive its server."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

SCRIPT = """
import subprocess, sys, time
from label_app.lib.trainers import worker

def train(run, report):
    report({"line": "begun"})
    print("a library prints what it likes")
    if run.name == "bad":
        try:
            raise ValueError("the labels are damaged")
        except ValueError as error:
            raise RuntimeError("Failed to evaluate the configuration") from error
    if run.name == "long":
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        report({"child": child.pid})
        time.sleep(600)
    return {"score": 1}

worker.train = train
sys.exit(worker.main())
"""


def start(run: Path) -> subprocess.Popen[str]:
    run.mkdir()
    command = [sys.executable, "-c", SCRIPT, str(run)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True)


def reports(process: subprocess.Popen[str]) -> list[dict[str, object]]:
    assert process.stdout is not None
    assert process.stdin is not None
    with process.stdout:
        said = [json.loads(line) for line in process.stdout]
    process.wait(60)
    process.stdin.close()
    return said


def test_it_ends_in_order_while_the_server_lives(tmp_path: Path) -> None:
    process = start(tmp_path / "good")
    assert reports(process) == [{"line": "begun"}, {"result": {"score": 1}}]
    assert process.returncode == 0


def test_it_says_what_went_wrong_and_keeps_where(tmp_path: Path) -> None:
    process = start(tmp_path / "bad")
    assert reports(process) == [{"line": "begun"}, {"error": "ValueError: the labels are damaged"}]
    assert process.returncode == 1
    assert "Failed to evaluate" in (tmp_path / "bad" / "error.txt").read_text()


def test_it_ends_with_its_children_when_the_server_is_gone(tmp_path: Path) -> None:
    process = start(tmp_path / "long")
    assert process.stdin is not None
    assert process.stdout is not None
    with process.stdout:
        child = next(r["child"] for line in process.stdout if "child" in (r := json.loads(line)))
        process.stdin.close()  # what the end of the server does
        assert process.wait(60) == -signal.SIGKILL
    deadline = time.monotonic() + 60
    while (state := Path(f"/proc/{child}/stat")).exists() and state.read_text().split()[2] != "Z":
        assert time.monotonic() < deadline, "a child is left behind"
        time.sleep(0.05)
