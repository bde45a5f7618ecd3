"""No submitted label is lost and none is half-written: two annotators at once, a full disk, and a server that is killed."""

from __future__ import annotations

import json
import resource
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from app_server import Server, remove_labels, start_label_server
from cine_labels import FRAMES, OTHER, SOP, STACK, label_of, point, write_cines

from monai_tavr.formats.label_json import read_label_json
from monai_tavr.keypoints import TAVR11

pytestmark = pytest.mark.slow

SUBMITS = 50


@contextmanager
def mounted(folder: Path) -> Iterator[bool]:
    """A file system of 1 MiB at ``folder``, where this is allowed; else the folder is a plain one."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    small = subprocess.run(mount, capture_output=True).returncode == 0
    try:
        yield small
    finally:
        if small:
            subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Studies, and a labels folder that can be filled to the brim."""
    base = tmp_path_factory.mktemp("durable")
    write_cines(base / "studies")
    with mounted(base / "kept") as small:
        (base / "small" if small else base / "large").touch()
        yield base


@pytest.fixture(scope="module")
def running(place: Path) -> Iterator[Server]:
    with start_label_server(place) as started:
        yield started


@pytest.fixture(autouse=True)
def no_labels(place: Path) -> None:
    remove_labels(place)


def whole_label(image: str, x: float) -> dict[str, Any]:
    """Every point of every frame: as large as the image's labels get."""
    frames = 3 if image == STACK else FRAMES
    points = {name: point(x, 2) for name in TAVR11.names}
    return label_of(dict.fromkeys(range(frames), points), number_of_frames=frames)


def put(client: httpx.Client, image: str, x: float, base: int) -> httpx.Response:
    headers = {"If-Match": f'"{base}"', "X-Annotator": f"A{x:g}"}
    return client.put(f"/tavr/labels/{image}", json=whole_label(image, x), headers=headers)


def kept(place: Path, image: str) -> dict[int, float]:
    """Number of each version -> where its points lie; fails if a file is not whole."""
    found = {}
    for path in (place / "kept" / "labels" / image).glob("final.*"):
        label = read_label_json(path)
        assert label.revision is not None
        [x] = {float(x) for k in label.frames for x in k.xy[:, 0]}
        assert label.revision.author == f"A{x:g}"
        found[label.revision.number] = x
    return found


def test_of_two_submits_from_one_version_exactly_one_wins(running: Server, place: Path) -> None:
    rounds, meet = 10, threading.Barrier(2)
    answers: list[dict[int, httpx.Response]] = [{} for _ in range(rounds)]
    saved: dict[int, float] = {}

    def annotate(who: int) -> None:
        with httpx.Client(base_url=running.url, timeout=300) as client:
            for n in range(rounds):
                base, x = client.get(f"/tavr/labels/{SOP}").json()["version"], float(2 * n + who)
                meet.wait(300)
                answer = put(client, SOP, x, base)
                answers[n][who] = answer
                if answer.status_code == 409:  # as the viewer does when the annotator has looked at the other label
                    answer = put(client, SOP, x, answer.json()["version"])
                saved[answer.json()["version"]] = x
                meet.wait(300)

    threads = [threading.Thread(target=annotate, args=(who,)) for who in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for n, both in enumerate(answers):
        assert sorted(a.status_code for a in both.values()) == [200, 409]
        [refused] = [a.json() for a in both.values() if a.status_code == 409]
        [won] = [who for who, a in both.items() if a.status_code == 200]
        assert (refused["version"], refused["author"]) == (2 * n + 1, f"A{2 * n + won}")
    assert saved == kept(place, SOP)
    assert sorted(saved) == list(range(1, 2 * rounds + 1))


@contextmanager
def limited_files(server: Server) -> Iterator[None]:
    """The server's process can write no more than 8 bytes into a file."""
    before = resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (8, resource.RLIM_INFINITY))
    try:
        yield
    finally:
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, before)


@contextmanager
def filled_disk(folder: Path) -> Iterator[None]:
    """Not a byte is free on the folder's file system."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as stream:
        for size in (1 << 12, 1):
            try:
                while True:
                    stream.write(b"x" * size)
            except OSError:
                continue
    try:
        yield
    finally:
        filler.unlink()


def test_a_full_disk_is_said_in_words_and_older_labels_stay(running: Server, place: Path) -> None:
    client = running.client
    ways: list[Callable[[], Any]] = [lambda: limited_files(running)]
    if (place / "small").exists():
        ways.append(lambda: filled_disk(place / "kept"))
    for n, full in enumerate(ways):
        base, x = 2 * n, float(10 * n)
        assert put(client, SOP, x, base).status_code == 200
        before = sorted(p.name for p in place.glob("kept/labels/*/*"))
        with full():
            for image, version in ((SOP, base + 1), (OTHER, 0)):
                answer = put(client, image, x + 1, version)
                assert answer.status_code == 507
                assert "disk is full: the label was NOT saved" in answer.json()["detail"]
            assert client.get(f"/tavr/labels/{SOP}").json()["version"] == base + 1
        assert sorted(p.name for p in place.glob("kept/labels/*/*")) == before
        assert kept(place, SOP)[base + 1] == x
        assert put(client, SOP, x + 1, base + 1).json()["version"] == base + 2
    assert kept(place, SOP) == {2 * n + k + 1: 10.0 * n + k for n in range(len(ways)) for k in range(2)}
    assert "Traceback" not in running.log.read_text()


def test_a_server_killed_in_the_middle_of_submits_has_lost_nothing(running: Server, place: Path) -> None:
    """The last test of this file: the server is gone after it."""
    answered: dict[str, dict[int, float]] = {image: {} for image in (SOP, OTHER, STACK)}
    told, lock, refused = threading.Semaphore(0), threading.Lock(), []
    ahead = iter(range(SUBMITS))

    def annotate(image: str) -> None:
        with httpx.Client(base_url=running.url, timeout=300) as client:
            while True:
                with lock:
                    x = next(ahead, None)
                if x is None:
                    return
                try:
                    answer = put(client, image, float(x), len(answered[image]))
                except httpx.HTTPError:
                    return  # the server is dead
                if answer.status_code != 200:
                    refused.append(answer)
                    return
                answered[image][answer.json()["version"]] = float(x)
                told.release()

    threads = [threading.Thread(target=annotate, args=(image,)) for image in answered]
    for thread in threads:
        thread.start()
    for _ in range(SUBMITS // 2):
        assert told.acquire(timeout=300)
    running.process.kill()
    for thread in threads:
        thread.join()
    assert refused == []
    assert SUBMITS // 2 <= sum(map(len, answered.values())) < SUBMITS
    files = {image: kept(place, image) for image in answered}
    for image, versions in answered.items():
        assert versions.items() <= files[image].items()
        assert len(files[image]) - len(versions) in (0, 1)  # one more may have been written and not yet answered
    with start_label_server(place) as again:
        for image, versions in files.items():
            there = again.client.get(f"/tavr/labels/{image}").json()
            assert (there["version"], there["damaged"]) == (len(versions), [])
            assert put(again.client, image, 54.0, len(versions)).json()["version"] == len(versions) + 1
    audited: dict[str, dict[int, str]] = {image: {} for image in answered}
    for line in (place / "kept" / "audit.jsonl").read_text().splitlines():
        entry = json.loads(line)
        audited[entry["image"]][entry["version"]] = entry["action"]
    for image, versions in files.items():
        # A version that the server was killed after writing, before it was noted, is noted as recovered; no other is.
        actions = [audited[image][number] for number in range(1, len(versions) + 2)]
        assert set(actions[: len(answered[image])] + actions[len(versions) :]) == {"label.submit"}
        assert set(actions) <= {"label.submit", "label.recovered"}
