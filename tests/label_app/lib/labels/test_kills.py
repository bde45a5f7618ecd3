"""A submit that is killed at any moment loses nothing, and nobody's change goes without a line in the audit log."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import kills
from cine_labels import OTHER, SOP, label_of, point, write_cines

from label_app.lib.auth.user import local_user
from label_app.lib.images.study_index import StudyIndex
from label_app.lib.labels.store import PREDICTION
from label_app.lib.labels.submissions import Submissions
from label_app.lib.web.backend import Backend
from label_app.server import create_app


def submit(submissions: Submissions, index: StudyIndex, image: str, user: str = "ann") -> int:
    text = json.dumps(label_of({0: {"AA1": point(5, 2)}})).encode()
    return submissions.submit(index.images[image], text, user=local_user(user), base=None).number


def test_a_version_without_a_line_gets_one_at_the_next_start(tmp_path: Path) -> None:
    index, submissions = StudyIndex(write_cines(tmp_path / "studies")), kills.door(tmp_path / "kept")
    index.refresh()
    for image, user in ((SOP, "ann"), (SOP, "ben"), (OTHER, "ann")):
        submit(submissions, index, image, user)
    submissions.store.attach(SOP, 1, submissions.store.read(SOP), author="model", model=None, tag=PREDICTION)
    log = tmp_path / "kept" / "audit.jsonl"
    lines = log.read_text().splitlines(keepends=True)
    # killed after the file of ben's version, in the middle of its line
    log.write_text(lines[0] + lines[2] + lines[1][:20])
    again = kills.door(tmp_path / "kept")
    assert again.recover() == 1
    *_, line = again.audit.lines()
    assert {k: v for k, v in line.items() if k != "time"} == {
        "user": "ben",
        "action": "label.recovered",
        "image": SOP,
        "tag": "final",
        "version": 2,
        "base": 1,
    }
    assert kills.door(tmp_path / "kept").recover() == 0


def test_a_server_tidies_up_at_its_start(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(Backend, "start", lambda self: None)
    index, submissions = StudyIndex(write_cines(tmp_path / "studies")), kills.door(tmp_path / "kept")
    index.refresh()
    submit(submissions, index, SOP)
    (tmp_path / "kept" / "audit.jsonl").unlink()
    names = ("labels/x/.final.0001.json.a.part", "models/.active.a.part", "training/.state.json.a.part")
    left = [tmp_path / "kept" / name for name in names]
    for path in left:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        os.utime(path, (time.time() - 3600,) * 2)
    create_app(tmp_path / "studies", labels=tmp_path / "kept")
    assert not any(path.exists() for path in left)
    [line] = submissions.audit.lines()
    assert (line["action"], line["version"], line["user"]) == ("label.recovered", 1, "ann")


def test_killed_submits_are_not_lost_nor_damaged_nor_without_a_line() -> None:
    """A thousand by the command in docs/robustness.md."""
    done = subprocess.run([sys.executable, kills.__file__, "--count", "25"], capture_output=True, text=True)
    figures = json.loads(done.stdout)
    assert done.returncode == 0, figures
    assert figures["acknowledged"] >= 25
    assert [figures[name] for name in ("lost", "damaged", "unaudited", "twice")] == [0, 0, 0, 0]
