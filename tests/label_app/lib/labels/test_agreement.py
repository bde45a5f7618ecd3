"""Agreement of model and annotators: figures worked out by hand, and by the running server."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from app_server import STUDY, Server
from cine_labels import label_of, point

from label_app.lib.labels.agreement import Agreement, PredictionKeeper
from label_app.lib.labels.store import PREDICTION, LabelStore
from monai_tavr.keypoints import TAVR11, Keypoints
from monai_tavr.label import CineLabel, ImageInfo

IMAGE = "1.2.3"
INFO = ImageInfo(rows=100, columns=100, number_of_frames=9)
A, B = "a" * 64, "b" * 64
Points = dict[str, tuple[float, float] | None]
Frames = dict[int, Points]


def label(frames: Frames) -> CineLabel:
    return CineLabel(INFO, tuple(Keypoints.from_points(TAVR11, p, frame=f) for f, p in frames.items()))


def submit(store: LabelStore, author: str, frames: Frames, said: Frames | None = None, model: str = A) -> None:
    number = store.save(IMAGE, label(frames), author=author, base=None).number
    if said:
        complete = {f: {**dict.fromkeys(TAVR11.names), **p} for f, p in said.items()}
        store.attach(IMAGE, number, label(complete), author="model", model=model, tag=PREDICTION)


ZERO: Points = {"AA1": (10, 10), "AA2": None, "CP": (50, 50)}
ONE: Points = {"AA1": (10, 10), "CP": None}


@pytest.fixture
def store(tmp_path: Path) -> LabelStore:
    """Frame 0 by Anna: AA1 is 5 px off, AA2 is seen by the model only, CP by Anna only. Frame 1 by Ben: AA1 is 30 px off."""
    made = LabelStore(tmp_path)
    submit(made, "Anna", {0: ZERO}, {0: {"AA1": (13, 14), "AA2": (1, 1)}})
    submit(made, "Ben", {0: ZERO, 1: ONE}, {1: {"AA1": (10, 40)}})
    return made


def figures(n: int, px: float | None, within: float | None, agreement: float | None) -> dict[str, Any]:
    return {"n": n, "median_px": px, "mean_px": px, "within_20px": within, "visibility_agreement": agreement}


def test_figures_in_all_per_point_per_annotator_and_per_model(store: LabelStore) -> None:
    scores = Agreement(store).scores()
    assert (scores["images"], scores["frames"]) == (1, 2)
    assert scores["all"] == figures(5, 17.5, 0.5, 0.6)  # right: AA1 twice, and CP that neither sees on frame 1
    assert scores["points"]["AA1"] == figures(2, 17.5, 0.5, 1.0)
    assert scores["points"]["AA2"] == figures(1, None, None, 0.0)
    assert scores["points"]["CP"] == figures(2, None, None, 0.5)
    assert scores["points"]["PT"] == figures(0, None, None, None)
    assert scores["annotators"] == {"Anna": figures(3, 5.0, 1.0, pytest.approx(1 / 3)), "Ben": figures(2, 30.0, 0.0, 1.0)}
    assert scores["models"] == {A: scores["all"]}


def test_an_annotator_may_ask_for_the_own_frames_only(store: LabelStore) -> None:
    scores = Agreement(store).scores(annotator="Ben")
    assert (scores["images"], scores["frames"], list(scores["annotators"])) == (1, 1, ["Ben"])
    assert scores["all"] == figures(2, 30.0, 0.0, 1.0)
    nobody = Agreement(store).scores(annotator="Eve")
    assert (nobody["images"], nobody["frames"], nobody["all"]) == (0, 0, figures(0, None, None, None))


def test_a_corrected_frame_belongs_to_who_corrected_it_and_keeps_its_first_prediction(store: LabelStore) -> None:
    agreement = Agreement(store)
    agreement.scores()
    submit(store, "Ben", {0: {**ZERO, "AA1": (13, 14)}, 1: ONE}, {0: {"AA1": (99, 99)}}, model=B)
    scores = agreement.scores()
    assert scores["annotators"] == {"Ben": figures(5, 15.0, 0.5, 0.6)}
    assert list(scores["models"]) == [A]


def test_a_frame_that_was_taken_back_is_judged_anew(store: LabelStore) -> None:
    submit(store, "Ben", {1: ONE})
    assert Agreement(store).scores()["frames"] == 1
    submit(store, "Eve", {0: ZERO, 1: ONE}, {0: {"AA1": (10, 22), "CP": (50, 50)}}, model=B)
    scores = Agreement(store).scores()
    assert scores["models"][B] == figures(3, 6.0, 1.0, 1.0)  # 12 px and 0 px
    assert list(scores["annotators"]) == ["Ben", "Eve"]


def test_a_prediction_is_kept_for_the_frames_that_a_version_labels_first(tmp_path: Path) -> None:
    store, asked = LabelStore(tmp_path), []

    def predict(image: str, frames: list[int]) -> tuple[CineLabel, str]:
        asked.append((image, frames))
        return label(dict.fromkeys(frames, ZERO)), A

    keeper: Any = PredictionKeeper(store, predict)
    entry: Any = type("Entry", (), {"image_id": IMAGE})
    for frames in ({0: ZERO, 3: ONE}, {0: ONE, 3: ONE, 4: ZERO}, {3: ONE}, {0: ZERO, 3: ONE}):
        keeper(entry, store.save(IMAGE, label(frames), author="Anna", base=None))
    assert asked == [(IMAGE, [0, 3]), (IMAGE, [4]), (IMAGE, [0])]
    kept = store.versions(IMAGE, PREDICTION)
    assert [(v.number, v.frames, v.model) for v in kept] == [(1, (0, 3), A), (2, (4,), A), (4, (0,), A)]


def test_the_server_scores_what_is_submitted(server: Server) -> None:
    """The test's predictor sees CP at (frame + 1.5, 2.5) and nothing else."""
    client, image = server.client, f"{STUDY}.5.1"
    before = client.get("/tavr/scores").json()["frames"]
    content = label_of({2: {"CP": point(6.5, 6.5), "PT": {"state": "absent"}}}, number_of_frames=4)
    headers = {"X-Annotator": "Scored", "If-Match": '"0"'}
    assert client.put(f"/tavr/labels/{image}", json=content, headers=headers).status_code == 200
    try:
        until = time.monotonic() + 120
        while (scores := client.get("/tavr/scores").json())["frames"] == before:
            assert time.monotonic() < until, server.log.read_text()
            time.sleep(0.1)
        assert scores["annotators"]["Scored"] == figures(2, 5.0, 1.0, 1.0)
        assert client.post("/scoring/agreement").json()["annotators"] == scores["annotators"]
        assert client.post("/scoring/").json()["agreement"]["result"]["frames"] == scores["frames"]
        assert client.get("/scoring/").json()["result"]["all"] == scores["all"]
        assert client.get("/scoring/", params={"check_if_running": True}).status_code == 404
        assert client.post("/scoring/dice").status_code == 404
        assert list(client.get("/info/").json()["scoring"]) == ["agreement"]
        listed = client.get("/datastore/", params={"output": "all"}).json()["objects"][image]["labels"]
        assert (list(listed), listed["final"]["info"]["author"]) == (["final"], "Scored")
        assert client.get("/datastore/").json()["label_tags"]["final"] >= 1
    finally:
        assert client.delete("/datastore/label", params={"id": image, "tag": "final"}).status_code == 200
    assert image not in [i["image"] for i in client.get("/datastore/?output=train").json()]
