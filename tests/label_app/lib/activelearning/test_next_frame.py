"""The next frame: chosen by what the model is unsure of, never one that is labelled, left out or in somebody's hands."""

from __future__ import annotations

import threading
import zlib
from types import SimpleNamespace

import numpy as np
import pytest
from app_server import MARKS_SOP, STACK_SERIES, STUDY, Server, Studies

from label_app.lib.activelearning.frame_scan import FrameScan
from label_app.lib.activelearning.next_frame import NextFrame
from label_app.lib.activelearning.next_request import NextRequest
from label_app.lib.activelearning.reservations import Reservations
from label_app.lib.images.patients import PatientKeys
from label_app.lib.images.study_index import StudyIndex
from label_app.lib.labels.store import LabelStore
from monai_tavr.active_learning.outputs import FrameOutputs
from monai_tavr.active_learning.strategies import STRATEGIES, SpacingRules
from monai_tavr.keypoints import TAVR11, Keypoints
from monai_tavr.label import CineLabel, ImageInfo

IMAGES = (f"{STUDY}.1.1", f"{STUDY}.2.1", MARKS_SOP)  # of 4 frames each
UNSURE = (MARKS_SOP, 2)
K, G = TAVR11.num_keypoints, TAVR11.num_groups


class Models:
    """Stands for the registry; its model is unsure of PT and CM on frame 2 of the marks, and sure of everything else."""

    def __init__(self, weights):
        self.active = SimpleNamespace(weights=weights, weights_sha256="a" * 64, schema=TAVR11)
        self.asked = []

    def predictor(self):
        if self.active is None:
            raise ValueError("the model cannot be used")
        return self.active

    def look(self, predictor, cine, frames):
        self.asked.append((cine.info.sop_instance_uid or STACK_SERIES, tuple(frames)))
        n = len(frames)
        probability = np.full((n, K), 0.999, np.float32)
        for row, frame in enumerate(frames):
            if (cine.info.sop_instance_uid, frame) == UNSURE:
                probability[row, [TAVR11.index("PT"), TAVR11.index("CM")]] = 0.55
        look = zlib.crc32(cine.info.path.name.encode()) % 97  # not hash(), which differs from run to run
        features = np.array([[look, f] for f in frames], np.float32)
        xy = np.full((n, K, 2), 0.5, np.float32)
        spread, groups = np.full((n, K), 0.005, np.float32), np.full((n, G), 0.999, np.float32)
        return FrameOutputs(xy, spread, probability, groups, probability > 0.5, features)


class Desk:
    """Everything that chooses, over the test's studies."""

    def __init__(self, studies, folder):
        self.index = StudyIndex(studies.root)
        self.labels = LabelStore(folder)
        self.models = Models(folder / "models" / "model.pt")
        self.clock = [0.0]
        self.folder = folder
        self.open()

    def open(self, rules=None):
        self.scan = FrameScan(self.index, self.models, self.folder / "cache", look=self.models.look)
        reservations = Reservations(seconds=600, clock=lambda: self.clock[0])
        patients = PatientKeys(self.folder)
        rules = rules or SpacingRules(gap=1)
        self.frames = NextFrame(self.labels, patients, self.models, self.scan, reservations=reservations, rules=rules)

    def scan_all(self):
        for image in IMAGES:
            assert image in self.scan.scanned([image], wait=60)

    def next(self, strategy="hybrid", user="ann", images=IMAGES, **body):
        chosen = {i: self.index.images[i] for i in images}
        return self.frames.choose(strategy, NextRequest.parse(body), chosen, user)

    def label(self, image, *frames):
        info = ImageInfo(rows=512, columns=512, number_of_frames=4)
        points = tuple(Keypoints.from_points(TAVR11, {"CP": (9.0, 9.0)}, frame=f) for f in frames)
        self.labels.save(image, CineLabel(image=info, frames=points), author="ann", base=None)


@pytest.fixture
def desk(studies: Studies, tmp_path):
    return Desk(studies, tmp_path / "labels")


@pytest.mark.parametrize("strategy", ["uncertainty", "hybrid"])
def test_the_frame_that_the_model_is_unsure_of_comes_first_with_the_reason(desk, strategy):
    desk.scan_all()
    answer = desk.next(strategy)
    assert (answer["id"], answer["frame"], answer["strategy"]) == (*UNSURE, strategy)
    assert answer["reason"].startswith("uncertain about CM and PT")
    assert answer["score"] > 0
    assert answer["remaining"] == 11  # of three images with four frames each


def test_labelled_and_excluded_frames_and_their_neighbours_are_not_proposed(desk):
    desk.scan_all()
    desk.label(MARKS_SOP, 2)
    assert desk.next("uncertainty")["id"] != MARKS_SOP or desk.next("uncertainty")["frame"] != 2
    desk.open(SpacingRules(gap=3))
    desk.scan_all()
    # of the marks, frames 0 to 3 lie less than three from 2
    assert desk.next("uncertainty")["id"] != MARKS_SOP
    only = desk.next("uncertainty", images=[MARKS_SOP])
    assert only["id"] is None
    assert "less than 3 frames" in only["detail"]
    assert desk.next("sequential", images=[MARKS_SOP])["frame"] == 0
    left = desk.next("sequential", images=[MARKS_SOP], exclude=[{"id": MARKS_SOP, "frame": 0}])
    assert (left["frame"], left["remaining"]) == (1, 1)
    assert desk.next("random", images=[MARKS_SOP], exclude=[{"id": MARKS_SOP}])["id"] is None


def test_a_frame_in_somebodys_hands_is_offered_to_nobody_else_for_some_minutes(desk):
    desk.scan_all()
    assert (desk.next(user="ann")["id"], desk.next(user="ann")["frame"]) == UNSURE  # to the same person again
    other = desk.next(user="ben")
    assert (other["id"], other["frame"]) != UNSURE
    desk.clock[0] = 599
    assert (desk.next(user="cy")["id"], desk.next(user="cy")["frame"]) != UNSURE
    desk.clock[0] = 1300
    assert (desk.next(user="ben")["id"], desk.next(user="ben")["frame"]) == UNSURE


def test_two_who_ask_at_once_get_two_frames(desk):
    desk.scan_all()
    answers = []
    people = [threading.Thread(target=lambda n=n: answers.append(desk.next(user=f"p{n}"))) for n in range(6)]
    for p in people:
        p.start()
    for p in people:
        p.join()
    assert len({(a["id"], a["frame"]) for a in answers}) == 6


def test_scores_survive_a_restart_and_not_a_new_model(desk):
    desk.scan_all()
    assert (MARKS_SOP, (0, 1, 2, 3)) in desk.models.asked
    desk.models.asked.clear()
    desk.open()
    desk.scan_all()
    assert not any(image in IMAGES for image, _ in desk.models.asked)
    desk.models.active.weights_sha256 = "b" * 64
    desk.scan_all()
    assert {image for image, _ in desk.models.asked} >= set(IMAGES)


def test_long_cines_are_looked_at_here_and_there(desk, monkeypatch):
    monkeypatch.setattr("label_app.lib.activelearning.frame_scan._FRAMES_PER_IMAGE", 2)
    found = desk.scan.scanned([MARKS_SOP], wait=60)
    assert found[MARKS_SOP].frames.tolist() == [0, 3]


def test_before_anything_is_scored_and_without_a_model_there_is_an_answer_all_the_same(desk, monkeypatch):
    monkeypatch.setattr("label_app.lib.activelearning.next_frame._WAIT_SECONDS", 0.0)
    hold = threading.Event()
    look = desk.models.look
    desk.scan._look = lambda *args: hold.wait(60) and look(*args)
    try:
        answer = desk.next("uncertainty")
        assert answer["id"] in IMAGES
        assert answer["reason"] == "drawn at random: the model is still looking through the images"
    finally:
        hold.set()
    desk.models.active = None
    assert desk.next("hybrid", user="ben")["reason"] == "drawn at random: there is no model to ask"


def test_a_damaged_image_does_not_end_the_scan(desk):
    damaged = f"{STUDY}.1.1"
    look = desk.models.look

    def fail(predictor, cine, frames):
        if cine.info.sop_instance_uid == damaged:
            raise RuntimeError("no such thing")
        return look(predictor, cine, frames)

    desk.scan._look = fail
    assert list(desk.scan.scanned([damaged, MARKS_SOP], wait=60)) == [MARKS_SOP]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"exclude": "all"}, "list of at most"),
        ({"exclude": [{"id": "a", "frame": -1}]}, "exclude holds"),
        ({"exclude": [{"id": "a", "frame": True}]}, "exclude holds"),
        ({"exclude": [["a", 1]]}, "exclude holds"),
        ({"image": 3}, "image must be"),
        ({"path": "/etc/passwd"}, "unknown parameter 'path'"),
        ([], "must be an object"),
    ],
)
def test_bad_requests_are_named(body, words):
    with pytest.raises(ValueError, match=words):
        NextRequest.parse(body)


def test_over_the_server(server: Server):
    status = server.client.get("/tavr/status").json()
    assert status["strategies"] == list(STRATEGIES)
    image = f"{STUDY}.4.1"
    body = {"image": image, "exclude": [{"id": image, "frame": 0}]}
    ann, ben = ({"X-Annotator": name} for name in ("ann", "ben"))
    first = server.client.post("/activelearning/sequential", json=body, headers=ann).json()
    assert (first["id"], first["frame"], first["remaining"]) == (image, 1, 2)
    assert "path" not in first
    assert server.client.post("/activelearning/sequential", json=body, headers=ben).json()["frame"] == 2
    assert server.client.post("/activelearning/sequential", json=body, headers=ann).json()["frame"] == 1
    assert server.client.post("/activelearning/random").json()["id"]


@pytest.mark.parametrize(
    ("path", "body", "status", "words"),
    [
        ("best", {}, 400, "no such strategy"),
        ("random", {"image": "../../etc/passwd"}, 400, "not an id"),
        ("random", {"image": "1.2.3"}, 404, "no such image"),
        ("random", {"exclude": 7}, 400, "exclude must be a list"),
        ("random", [1], 400, "must be a JSON object"),
    ],
)
def test_bad_input_is_refused_in_words(server: Server, path, body, status, words):
    answer = server.client.post(f"/activelearning/{path}", json=body)
    assert answer.status_code == status
    assert words in answer.json()["detail"]
