"""What happens to a submitted label beside being kept."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from queue import SimpleQueue

import pytest
from cine_labels import SOP, label_of, point, write_cines

from label_app.lib.auth.audit import AuditLog
from label_app.lib.auth.user import local_user
from label_app.lib.images.study_index import ImageEntry, StudyIndex
from label_app.lib.labels.store import LabelStore, LabelVersion
from label_app.lib.labels.submissions import Submissions

WAIT = 60


@pytest.fixture(scope="module")
def entry(tmp_path_factory: pytest.TempPathFactory) -> ImageEntry:
    return StudyIndex(write_cines(tmp_path_factory.mktemp("studies"))).images[SOP]


@pytest.fixture
def submissions(tmp_path: Path) -> Submissions:
    return Submissions(LabelStore(tmp_path), AuditLog(tmp_path / "audit.jsonl"))


def submit(submissions: Submissions, entry: ImageEntry, tag: str = "final") -> LabelVersion:
    text = json.dumps(label_of({0: {"AA1": point(1, 2)}})).encode()
    return submissions.submit(entry, text, user=local_user("Anna"), base=None, tag=tag)


def test_listeners_follow_in_order_and_hold_nobody_up(submissions: Submissions, entry: ImageEntry) -> None:
    go, done, heard = threading.Event(), threading.Event(), []

    def listen(image: ImageEntry, version: LabelVersion) -> None:
        assert go.wait(WAIT)
        heard.append((image.image_id, version.number))
        if len(heard) == 1:
            raise ValueError("trouble with the first")
        if len(heard) == 3:
            done.set()

    submissions.subscribe(listen)
    assert submit(submissions, entry, "original").number == 1  # no final label: nobody is told
    for number in (1, 2, 3):
        assert submit(submissions, entry).number == number
    assert heard == []
    go.set()
    assert done.wait(WAIT)
    assert heard == [(SOP, 1), (SOP, 2), (SOP, 3)]


def test_a_label_that_is_kept_is_no_error_where_the_audit_log_is_full(
    submissions: Submissions, entry: ImageEntry, caplog: pytest.LogCaptureFixture
) -> None:
    submissions.audit.path.mkdir()
    assert submit(submissions, entry).number == 1
    assert "the audit log cannot be written" in caplog.text
    assert submissions.store.read(SOP).frames[0].frame == 0


def test_removing_leaves_a_version_without_frames(submissions: Submissions, entry: ImageEntry) -> None:
    with pytest.raises(KeyError):
        submissions.remove(entry, user=local_user())
    submit(submissions, entry)
    heard: SimpleQueue[LabelVersion] = SimpleQueue()
    submissions.subscribe(lambda image, version: heard.put(version))
    removed = submissions.remove(entry, user=local_user("Ben"))
    assert heard.get(timeout=WAIT) == removed
    assert (removed.number, removed.author, removed.base, removed.frames) == (2, "Ben", 1, ())
    assert submissions.store.images() == []
    assert submissions.store.read(SOP, version=1).frames[0].frame == 0
    with pytest.raises(KeyError):
        submissions.remove(entry, user=local_user("Ben"))
    assert len(submissions.store.versions(SOP)) == 2
