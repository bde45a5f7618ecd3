"""The audit log: one line per change, only ever more, from several writers at once, and no room for a patient's name."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from label_app.lib.auth.audit import AuditLog
from label_app.lib.auth.user import local_user


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_line_says_who_what_and_when(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / "labels" / "audit.jsonl")
    log.record(local_user("anna"), "label.submit", image="2.25.7", version=3, base=None)
    log.record("-", "login.refused", address="::1")
    first, second = lines(log.path)
    assert str(first.pop("time")).endswith("+00:00")
    assert first == {"user": "anna", "action": "label.submit", "image": "2.25.7", "version": 3, "base": None}
    assert (second["user"], second["address"]) == ("-", "::1")
    assert stat.S_IMODE(log.path.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "value", ["Secretname^Patient", "Anna Maria", "/data/anna.dcm", "a\nb", "../x", "", "x" * 200, "..", "é"]
)
def test_names_and_paths_are_refused(tmp_path: Path, value: str) -> None:
    log = AuditLog(tmp_path / "audit.jsonl")
    with pytest.raises(ValueError, match="must be an id"):
        log.record(local_user(), "label.submit", image=value)
    assert not log.path.exists()


def test_an_action_is_two_words(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no action"):
        AuditLog(tmp_path / "audit.jsonl").record("-", "oops\n{}")


def test_no_line_is_lost_among_many_writers(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    code = (
        "import sys; from label_app.lib.auth.audit import AuditLog\n"
        "log = AuditLog(sys.argv[1])\n"
        "for i in range(40): log.record(sys.argv[2], 'label.submit', number=i)\n"
    )
    others = [subprocess.Popen([sys.executable, "-c", code, str(path), name]) for name in ("p", "q")]
    log = AuditLog(path)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda i: log.record("here", "label.submit", number=i), range(40)))
    assert [p.wait(timeout=200) for p in others] == [0, 0]
    written = lines(path)
    for name in ("p", "q", "here"):
        assert sorted(int(str(x["number"])) for x in written if x["user"] == name) == list(range(40))


def test_a_torn_line_does_not_take_the_next_with_it(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / "audit.jsonl")
    log.path.write_bytes(b'{"time": "2026-01-01", "us')
    log.record("anna", "label.submit")
    torn, whole = log.path.read_text().splitlines()
    assert (torn, json.loads(whole)["user"]) == ('{"time": "2026-01-01", "us', "anna")


def test_a_full_disk_is_said(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():  # Linux has one
        return
    link = tmp_path / "audit.jsonl"
    link.symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        AuditLog(link).record("anna", "label.submit")
