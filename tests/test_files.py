"""Files that are whole or not there: replaced, new, and written by others."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from monai_tavr.files import creating, remove_leftovers, replacing, replacing_path


def test_a_file_appears_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "er" / "a.bin"
    with replacing(path) as stream:
        stream.write(b"new")
        assert not path.exists()
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o644
    assert [p.name for p in path.parent.iterdir()] == ["a.bin"]


@pytest.mark.parametrize("write", [replacing, replacing_path])
def test_after_an_error_the_old_file_is_there_and_nothing_else(tmp_path: Path, write) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt), write(path):
        raise KeyboardInterrupt
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.bin"]


def test_a_writer_that_wants_a_name_gets_one_with_the_suffix(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    path.write_bytes(b"old")
    with replacing_path(path) as temporary:
        assert (temporary.parent, temporary.suffix) == (tmp_path, ".mp4")
        temporary.write_bytes(b"new")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert [p.name for p in tmp_path.iterdir()] == ["film.mp4"]


def test_a_new_file_never_takes_the_place_of_another(tmp_path: Path) -> None:
    path = tmp_path / "0001.json"
    new = creating(path)
    new.__enter__().write(b"mine")
    path.write_bytes(b"theirs")
    with pytest.raises(FileExistsError):
        new.__exit__(None, None, None)
    assert path.read_bytes() == b"theirs"
    assert [p.name for p in tmp_path.iterdir()] == ["0001.json"]
    with creating(tmp_path / "0002.json") as stream:
        stream.write(b"mine")
    assert (tmp_path / "0002.json").read_bytes() == b"mine"


def test_a_folder_may_be_made_by_another_process_at_the_same_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It appears between the look whether it is there and its making."""
    folder, is_dir, looks = tmp_path / "P592", Path.is_dir, []

    def look(path: Path) -> bool:
        found = is_dir(path)
        if path == folder and not looks:
            looks.append(found)
            folder.mkdir()
        return found

    monkeypatch.setattr(Path, "is_dir", look)
    with replacing(folder / "a.bin") as stream:
        stream.write(b"new")
    assert looks == [False]
    assert (folder / "a.bin").read_bytes() == b"new"


@pytest.mark.parametrize("write", [replacing, replacing_path, creating])
def test_a_file_in_the_place_of_a_folder_is_named(tmp_path: Path, write) -> None:
    (tmp_path / "taken").write_bytes(b"a file")
    with pytest.raises(NotADirectoryError, match="taken"), write(tmp_path / "taken" / "a.bin"):
        pass


def test_a_secret_is_nobody_elses_from_its_first_moment_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    modes, link = [], os.link

    def watched(source: Path, target: Path) -> None:
        modes.append(source.stat().st_mode & 0o777)
        link(source, target)

    monkeypatch.setattr(os, "link", watched)
    for name, mode in (("secret", 0o600), ("plain", 0o644)):
        with creating(tmp_path / name, mode=mode):
            pass
        assert (tmp_path / name).stat().st_mode & 0o777 == mode
    assert modes == [0o600, 0o644]


def test_leftovers_go_once_they_are_old(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    old, other, young, whole = (tmp_path / "deep" / n for n in (".a.bin.x.part", ".a.mp4.x.part.mp4", ".b.bin.x.part", "a.part"))
    for path in (old, other, young, whole):
        path.touch()
    folder = tmp_path / ".new-x.part"
    folder.mkdir()
    (folder / "model.pt").touch()
    for path in (old, other, whole, folder):
        os.utime(path, (time.time() - 660,) * 2)
    remove_leftovers(tmp_path)
    assert sorted((tmp_path / "deep").iterdir()) == [young, whole]
    assert not folder.exists()
