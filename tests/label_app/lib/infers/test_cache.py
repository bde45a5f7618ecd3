"""Predictions are made once: by whom they are shared, when they are made anew, and what a full disk does."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from app_server import MARKS_SOP, Studies, mark_points
from monailabel.interfaces.exception import MONAILabelError, MONAILabelException

from label_app.lib.images.study_index import ImageEntry, StudyIndex
from label_app.lib.infers.batch import BatchPrediction, BatchRunning
from label_app.lib.infers.cache import PredictionCache, prediction_key
from label_app.lib.infers.tavr_keypoints import KeypointInferTask
from label_app.lib.infers.turns import Turns
from monai_tavr.cine import Cine
from monai_tavr.formats.label_json import label_from_dict, read_label_json
from monai_tavr.keypoints import TAVR11, Keypoints
from monai_tavr.label import CineLabel, ImageInfo


class Predictor:
    """Answers with the marks, counts the frames that it was asked for, and waits where told to."""

    schema, version, batch_size = TAVR11, "1", 2

    def __init__(self, weights_sha256: str = "a" * 64) -> None:
        self.weights_sha256 = weights_sha256
        self.asked: list[int] = []
        self.go = threading.Event()
        self.go.set()
        self.broken = False

    def stream(self, cine: Cine, *, frames: Sequence[int], allowed_groups: Sequence[str] | None = None) -> Iterator[Keypoints]:
        for frame in frames:
            self.asked.append(frame)
            assert self.go.wait(60)
            if self.broken:
                raise ValueError("damaged")
            keep = [allowed_groups is None or TAVR11.group_of(n) in allowed_groups for n in TAVR11.names]
            yield Keypoints.from_points(TAVR11, mark_points(frame), frame=frame).keep(keep)

    def label(self, cine: Cine, keypoints: Sequence[Keypoints]) -> CineLabel:
        return CineLabel(image=cine.info.image_info, frames=tuple(keypoints))


class Models:
    """Stands for the registry."""

    active = "something"

    def __init__(self) -> None:
        self.now = Predictor()

    def predictor(self) -> Predictor:
        return self.now


class App:
    def __init__(self, studies: Studies, folder: Path | None) -> None:
        self.models, self.image = Models(), StudyIndex(studies.root).images[MARKS_SOP]
        self.path = self.image.paths[0]
        self.task = KeypointInferTask(self.models, PredictionCache(folder))  # type: ignore[arg-type]

    def ask(self, **request: Any) -> dict[str, Any]:
        return self.task({"image": self.image, **request})[1]

    @property
    def asked(self) -> list[int]:
        return self.models.now.asked


@pytest.fixture
def app(studies: Studies, tmp_path: Path) -> App:
    return App(studies, tmp_path / "cache")


def wait(condition: Any) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def at_once(predictor: Predictor, number: int, ask: Callable[[], object]) -> None:
    """So many ask while the network is at the first frame, and all of them are answered."""
    threads = [threading.Thread(target=ask) for _ in range(number)]
    for thread in threads:
        thread.start()
    wait(lambda: predictor.asked)
    predictor.go.set()
    for thread in threads:
        thread.join(60)


def test_a_frame_is_predicted_once(app: App) -> None:
    first = app.ask(frames=[1])
    second = app.ask(frames="0-2")
    assert app.asked == [1, 0, 2]
    assert second["frames"][1] == first["frames"][0]
    assert app.ask(frames="0-2") == second
    assert app.asked == [1, 0, 2]
    np.testing.assert_allclose(label_from_dict(second).frames[2].xy[0], mark_points(2)["AA1"])  # type: ignore[arg-type]


def test_the_answer_survives_a_restart_without_the_network(app: App, studies: Studies, tmp_path: Path) -> None:
    first = app.ask()
    restarted = App(studies, tmp_path / "cache")
    assert restarted.ask() == first
    assert restarted.asked == []


def test_an_answer_from_memory_takes_milliseconds(app: App) -> None:
    app.ask()
    times = []
    for _ in range(20):
        began = time.perf_counter()
        app.ask()
        times.append(time.perf_counter() - began)
    assert min(times) < 0.02


def test_other_weights_groups_thresholds_and_files_are_other_answers(app: App, studies: Studies, tmp_path: Path) -> None:
    app.ask(frames=[3])
    visible = [n for n, p in app.ask(frames=[3], allowed_groups=["contour"])["frames"][0]["points"].items() if "x" in p]
    assert visible == ["PT", "FE1", "FE2"]
    assert app.asked == [3, 3]
    app.models.now = Predictor("b" * 64)
    app.ask(frames=[3])
    assert app.asked == [3]
    copy = tmp_path / "copy.dcm"
    copy.write_bytes(app.path.read_bytes())
    image = ImageEntry("1.2", (replace(app.image.instances[0], path=copy),))
    keys = []
    for seconds in (1, 2):
        os.utime(copy, (seconds, seconds))
        keys.append(prediction_key(image, app.models.now, None))  # type: ignore[arg-type]
    keys.append(prediction_key(replace(image, image_id="1.3"), app.models.now, None))  # type: ignore[arg-type]
    keys.append(prediction_key(image, app.models.now, []))  # type: ignore[arg-type]
    content = bytearray(copy.read_bytes())
    content[200] ^= 1  # one size, one time, another file
    copy.write_bytes(content)
    os.utime(copy, (2, 2))
    keys.append(prediction_key(image, app.models.now, None))  # type: ignore[arg-type]
    assert len(set(keys)) == 5


def test_requests_for_the_same_frames_share_the_work(app: App) -> None:
    predictor = app.models.now
    predictor.go.clear()
    answers: list[dict[str, Any]] = []
    at_once(predictor, 5, lambda: answers.append(app.ask()))
    assert predictor.asked == [0, 1, 2, 3]
    assert len(answers) == 5
    assert all(a == answers[0] for a in answers)


def test_one_frame_does_not_wait_for_a_whole_series(app: App, studies: Studies) -> None:
    """A batch of the series, then the frame that somebody looks at, then the rest of the series."""
    predictor = app.models.now
    predictor.go.clear()
    series = threading.Thread(target=app.ask, kwargs={"allowed_groups": ["contour"]})
    series.start()
    wait(lambda: predictor.asked == [0])
    frame = threading.Thread(target=app.ask, kwargs={"frames": [3]})
    frame.start()
    wait(lambda: len(app.task.turns._queue) == 2)
    predictor.go.set()
    series.join(60)
    frame.join(60)
    assert predictor.asked == [0, 1, 3, 2, 3]


def test_a_failure_reaches_everybody_who_waits_and_is_not_kept(app: App) -> None:
    predictor = app.models.now
    predictor.broken = True
    predictor.go.clear()
    words: list[str] = []

    def ask() -> None:
        with pytest.raises(MONAILabelException) as refusal:
            app.ask()
        words.append(refusal.value.msg)

    at_once(predictor, 3, ask)
    assert words == ["damaged"] * 3
    predictor.broken = False
    assert len(app.ask()["frames"]) == 4


def test_a_full_disk_leaves_predictions_in_memory(app: App, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def full(*args: Any, **options: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("label_app.lib.infers.cache.write_json_atomically", full)
    assert len(app.ask()["frames"]) == 4
    assert len(app.ask()["frames"]) == 4
    assert app.asked == [0, 1, 2, 3]
    assert not (tmp_path / "cache").exists()


def test_damaged_files_are_predicted_anew(app: App, studies: Studies, tmp_path: Path) -> None:
    first = app.ask()
    [path] = (tmp_path / "cache").glob("*.json")
    for content in ("{", "[]", '{"head": {}, "frames": []}', '{"head": 1, "frames": {"x": {}}}'):
        path.write_text(content)
        assert App(studies, tmp_path / "cache").ask() == first


def test_memory_and_folder_are_bounded(tmp_path: Path) -> None:
    image = ImageInfo(rows=64, columns=64, number_of_frames=2)
    parts = CineLabel(image=image, frames=tuple(Keypoints(TAVR11, np.full((11, 2), 5.0), frame=f) for f in (0, 1))).apart()
    cache = PredictionCache(tmp_path, max_frames=5, max_bytes=4000)
    for number in range(6):
        entry = cache.entry(f"k{number}", schema=TAVR11)
        entry.image, entry.frames = image, dict(enumerate(parts))
        cache.keep(f"k{number}")
        os.utime(tmp_path / f"k{number}.json", (number, number))
    assert sum(len(e.frames) for e in cache._entries.values()) <= 6
    size = (tmp_path / "k5.json").stat().st_size
    assert 3 * size < 4000 < 4 * size
    assert sorted(p.name for p in tmp_path.glob("*.json")) == ["k3.json", "k4.json", "k5.json"]
    assert [k.frame for k in read_label_json(tmp_path / "k5.json").frames] == [0, 1]


def test_turns_are_taken_in_order() -> None:
    turns, order = Turns(), []
    first = turns.turn()
    first.__enter__()
    threads = []
    for number in range(5):

        def take(number: int = number) -> None:
            with turns.turn():
                order.append(number)

        threads.append(threading.Thread(target=take))
        threads[-1].start()
        wait(lambda number=number: len(turns._queue) == number + 2)
    first.__exit__(None, None, None)
    for thread in threads:
        thread.join(60)
    assert order == [0, 1, 2, 3, 4]


def test_a_batch_goes_on_after_a_damaged_image_and_can_be_stopped() -> None:
    go, seen = threading.Event(), []

    def predict(image: str) -> None:
        seen.append(image)
        assert go.wait(60)
        if image == "bad":
            raise MONAILabelException(MONAILabelError.INVALID_INPUT, "damaged")
        if image == "worse":
            raise RuntimeError("/studies/Doe_John.dcm")
        if image == "panic":
            raise BaseException("of a decoder, which no `except Exception` sees")

    batch = BatchPrediction(predict)
    assert batch.status() is None
    assert batch.stop() is None
    batch.start(["a", "bad", "worse", "panic", "c"], model="m")
    with pytest.raises(BatchRunning):
        batch.start(["d"], model="m")
    go.set()
    wait(lambda: not batch.running)
    state = batch.status() or {}
    assert (state["status"], state["progress"]) == ("DONE", {"done": 5, "images": 5, "failed": 3})
    assert state["details"][1:] == [
        "bad: damaged",
        "worse: RuntimeError",
        "panic: BaseException",
        "5 image(s) predicted, 3 of them failed",
    ]
    go.clear()
    batch.start(["e", "f"], model="m")
    wait(lambda: seen[-1] == "e")
    assert (batch.stop() or {})["status"] == "STOPPED"
    go.set()
    batch.start(["g"], model="m")
    wait(lambda: not batch.running)
    assert seen == ["a", "bad", "worse", "panic", "c", "e", "g"]
