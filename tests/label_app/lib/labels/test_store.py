"""The label store by itself: versions, conflicts, what a crash or a stranger leaves behind."""

from __future__ import annotations

import json
import logging
import os
import threading
from pathlib import Path

import pytest

from label_app.lib.labels import store as label_store
from label_app.lib.labels.store import PREDICTION, LabelConflict, LabelStore
from monai_tavr.formats.label_json import read_label_json
from monai_tavr.keypoints import TAVR11, Keypoints
from monai_tavr.label import CineLabel, ImageInfo

IMAGE = "1.2.3"
INFO = ImageInfo(rows=64, columns=48, number_of_frames=10)


def label(*frames: int, x: float = 1.0) -> CineLabel:
    return CineLabel(INFO, tuple(Keypoints.from_points(TAVR11, {"CP": (x, 2.0), "PT": None}, frame=f) for f in frames))


def test_every_version_is_kept_with_who_when_and_what_it_was_made_from(tmp_path: Path) -> None:
    store = LabelStore(tmp_path)
    assert (store.current(IMAGE), store.versions(IMAGE), store.images()) == (None, [], [])
    store.save(IMAGE, label(4), author="Anna", base=0, model="ab" * 32)
    store.save(IMAGE, label(4, 7, x=3), author="Ben", base=1)
    first, second = LabelStore(tmp_path).versions(IMAGE)
    assert (first.number, first.author, first.base, first.model, first.frames) == (1, "Anna", 0, "ab" * 32, (4,))
    assert (second.number, second.author, second.base, second.model, second.frames) == (2, "Ben", 1, None, (4, 7))
    assert second.time >= first.time
    assert store.current(IMAGE) == second
    assert store.read(IMAGE).frames[0].xy[TAVR11.index("CP")].tolist() == [3, 2]
    assert store.read(IMAGE, version=1).frames[0].xy[TAVR11.index("CP")].tolist() == [1, 2]
    files = sorted(p.relative_to(tmp_path) for p in tmp_path.rglob("*") if p.is_file())
    assert files == [Path("labels/1.2.3/final.0001.json"), Path("labels/1.2.3/final.0002.json")]
    assert read_label_json(tmp_path / files[1]).revision == second.revision


def test_who_began_with_an_older_version_is_told_who_was_faster(tmp_path: Path) -> None:
    store = LabelStore(tmp_path)
    for base in (1, 2):
        with pytest.raises(LabelConflict, match="no version now") as conflict:
            store.save(IMAGE, label(4), author="Anna", base=base)
        assert conflict.value.current is None
    store.save(IMAGE, label(4), author="Anna", base=0)
    with pytest.raises(LabelConflict, match="version 1, submitted by Anna at 2") as conflict:
        store.save(IMAGE, label(5), author="Ben", base=0)
    assert conflict.value.current is not None
    assert (conflict.value.current.number, len(store.versions(IMAGE))) == (1, 1)
    assert store.save(IMAGE, label(5), author="Ben", base=None).base == 1
    with pytest.raises(LabelConflict):
        store.save(IMAGE, label(5), author="Ben", base=3)


@pytest.mark.parametrize(("base", "expected"), [(0, 1), (None, 12)])
def test_of_many_at_once_each_has_a_number_of_its_own(tmp_path: Path, base: int | None, expected: int) -> None:
    """Several stores on one folder stand for several processes: nothing but the files is shared."""
    start, saved, refused = threading.Barrier(12), [], []

    def submit(n: int) -> None:
        store = LabelStore(tmp_path)
        start.wait()
        try:
            saved.append((store.save(IMAGE, label(4, x=n), author=f"A{n}", base=base).number, float(n)))
        except LabelConflict as conflict:
            refused.append(conflict)

    threads = [threading.Thread(target=submit, args=(n,)) for n in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(saved), len(refused)) == (expected, 12 - expected)
    store = LabelStore(tmp_path)
    kept = {
        v.number: float(store.read(IMAGE, version=v.number).frames[0].xy[TAVR11.index("CP"), 0]) for v in store.versions(IMAGE)
    }
    assert sorted(saved) == sorted(kept.items())
    assert sorted(kept) == list(range(1, expected + 1))


def test_a_number_taken_at_the_last_moment_is_a_conflict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, other, looked = LabelStore(tmp_path), LabelStore(tmp_path), LabelStore._numbers

    def numbers(self: LabelStore, image: str, tag: str) -> list[int]:
        before = looked(self, image, tag)
        if self is store and not before:
            other.save(IMAGE, label(5), author="Ben", base=0)  # after the look, before the link
        return before

    monkeypatch.setattr(LabelStore, "_numbers", numbers)
    with pytest.raises(LabelConflict, match="submitted by Ben"):
        store.save(IMAGE, label(4), author="Anna", base=0)
    assert [v.author for v in other.versions(IMAGE)] == ["Ben"]
    assert len(list(tmp_path.rglob("*.part*"))) == 0


def test_damaged_and_foreign_files_hide_no_others(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = LabelStore(tmp_path)
    for n in range(3):
        store.save(IMAGE, label(4, x=n), author="Anna", base=n)
    folder = tmp_path / "labels" / IMAGE
    whole = (folder / "final.0003.json").read_text()
    (folder / "final.0003.json").write_text(whole[:200])
    without = {k: v for k, v in json.loads(whole).items() if k != "revision"}
    (folder / "final.0004.json").write_text(json.dumps(without))
    (folder / "final.0005.json").write_text(whole)  # a copy: it says that it is 3
    (folder / "final.0006.json").mkdir()
    (folder / "final.0007.json").symlink_to("/etc/passwd")
    for name in ("final.9.json", "final.0000.json", "final.00008.json", "notes.txt", "FINAL.0009.json", ".final.0009.json"):
        (folder / name).write_text(whole)
    (tmp_path / "labels" / "readme.txt").write_text("not an image")
    (tmp_path / "labels" / "..x").mkdir()
    fresh = LabelStore(tmp_path)
    with caplog.at_level(logging.WARNING):
        current = fresh.current(IMAGE)
    assert current is not None
    assert (current.number, fresh.damaged(IMAGE), fresh.images()) == (2, [3, 4, 5, 6, 7], [IMAGE])
    assert "left out 1 file" in caplog.text
    assert IMAGE not in caplog.text
    with pytest.raises(ValueError, match="not a JSON file"):
        fresh.read(IMAGE, version=3)
    with pytest.raises(KeyError):
        fresh.read(IMAGE, version=9)
    after = fresh.save(IMAGE, label(4), author="Ben", base=2)
    assert (after.number, after.base) == (8, 2)
    assert [v.number for v in fresh.versions(IMAGE)] == [1, 2, 8]
    assert (folder / "final.0003.json").read_text() == whole[:200]


def test_a_label_without_labelled_points_is_none(tmp_path: Path) -> None:
    store = LabelStore(tmp_path)
    store.save(IMAGE, label(4), author="Anna", base=None)
    store.save("1.2.4", label(4), author="Anna", base=None)
    store.save(IMAGE, CineLabel(INFO, (Keypoints.from_points(TAVR11, {}, frame=3),)), author="Anna", base=None)
    assert store.images() == ["1.2.4"]
    current = store.current(IMAGE)
    assert current is not None
    assert (current.number, current.frames) == (2, ())


def test_kinds_of_label_do_not_mix(tmp_path: Path) -> None:
    store = LabelStore(tmp_path)
    store.save(IMAGE, label(4), author="Anna", base=None)
    store.save(IMAGE, label(5), author="Anna", base=0, tag="original")
    store.attach(IMAGE, 7, label(6), author="model", model="ab" * 32, tag=PREDICTION)
    store.attach(IMAGE, 7, label(9), author="model", model="cd" * 32, tag=PREDICTION)
    assert store.tags(IMAGE) == ["final", "original", "prediction"]
    assert [(v.number, v.frames) for v in store.versions(IMAGE)] == [(1, (4,))]
    assert [(v.number, v.model, v.frames) for v in store.versions(IMAGE, PREDICTION)] == [(7, "ab" * 32, (6,))]
    assert store.images("original") == [IMAGE]


@pytest.mark.parametrize("image", ["../x", "..", ".hidden", "/etc", "a/b", "a\\b", "", "a\0b", "x" * 129, "a..b", "a b"])
def test_what_is_no_id_makes_no_path(tmp_path: Path, image: str) -> None:
    store = LabelStore(tmp_path / "labels")
    for ask in (store.current, store.versions, store.read, store.tags):
        with pytest.raises(ValueError, match="is not an id"):
            ask(image)
    with pytest.raises(ValueError, match="is not an id"):
        store.save(image, label(4), author="Anna", base=None)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("tag", ["../x", "Final", "a.b", "", "1", "a/b", "x" * 33, "final\n"])
def test_a_tag_is_a_plain_name(tmp_path: Path, tag: str) -> None:
    with pytest.raises(ValueError, match="the tag is not a name"):
        LabelStore(tmp_path).save(IMAGE, label(4), author="Anna", base=None, tag=tag)
    assert list(tmp_path.iterdir()) == []


def test_what_has_not_changed_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for n in range(5):
        LabelStore(tmp_path).save(f"1.2.{n}", label(4), author="Anna", base=None)
    read: list[Path] = []
    monkeypatch.setattr(label_store, "read_label_json", lambda path, **_: (read.append(path), read_label_json(path))[1])
    store = LabelStore(tmp_path)
    assert (len(store.images()), len(read)) == (5, 5)
    LabelStore(tmp_path).save("1.2.0", label(4, 5), author="Ben", base=1)  # another process
    read.clear()
    assert (len(store.images()), len(read)) == (5, 1)
    current = store.current("1.2.0")
    assert current is not None
    assert current.frames == (4, 5)


def test_a_version_is_on_disk_before_it_has_its_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    fsync, link = os.fsync, os.link

    def flushed(handle: int) -> None:
        done.append("folder" if Path(f"/proc/self/fd/{handle}").is_dir() else "file")
        fsync(handle)

    monkeypatch.setattr(os, "fsync", flushed)
    monkeypatch.setattr(os, "link", lambda a, b: (done.append("link"), link(a, b)))
    LabelStore(tmp_path / "new").save(IMAGE, label(4), author="Anna", base=None)
    assert done == [
        "folder",
        "folder",
        "folder",
        "file",
        "link",
        "folder",
    ]  # three new folders first
