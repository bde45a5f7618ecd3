"""Tracking between key frames: the route with a stand-in for MONAI Label's app, and once through the running server."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from app_server import MARKS_SOP, SHORT_SOP, STACK_SERIES, Server, Studies, mark_points
from fastapi import FastAPI
from monailabel.interfaces.exception import MONAILabelError, MONAILabelException
from starlette.types import ASGIApp, Receive, Scope, Send

from label_app.lib.auth.user import User, local_user, set_user
from label_app.lib.images.study_index import StudyIndex
from label_app.lib.web.backend import Backend
from label_app.lib.web.tracking import track_router
from monai_tavr.formats.label_json import label_from_dict, read_label_json
from monai_tavr.keypoints import TAVR11
from monai_tavr.label import CineLabel


def points_of(frame: int, moved: float = 0.0) -> dict[str, Any]:
    """The marks of a frame as in a label file, all moved to the right."""
    found: dict[str, Any] = {}
    for name, place in mark_points(frame).items():
        found[name] = {"state": "visible", "x": place[0] + moved, "y": place[1]} if place else {"state": "absent"}
    return found


def body_of(first: int = 0, last: int = 3, **more: Any) -> dict[str, Any]:
    ends = {"from": {"frame": first, "points": points_of(first)}, "to": {"frame": last, "points": points_of(last)}}
    return ends | more


class StandIn:
    """What the route asks of the app: which model there is, and its points, from the label files of the studies."""

    def __init__(self, studies: Studies, *, loaded: bool = True) -> None:
        self.studies, self.loaded = studies, loaded
        self.asked: list[dict[str, Any]] = []

    schema = TAVR11

    @property
    def models(self) -> Any:
        return SimpleNamespace(active="0" if self.loaded else None)

    def predict(self, image: str, **request: Any) -> CineLabel:
        self.asked.append({"image": image, **request})
        if image == SHORT_SOP:
            raise MONAILabelException(MONAILabelError.INVALID_INPUT, "should not be asked")
        sop = image if image != STACK_SERIES else f"{STACK_SERIES}.1"
        return read_label_json(self.studies.labels / f"{sop}.json")


class SignedIn:
    """Stands for the guard."""

    def __init__(self, app: ASGIApp, user: User) -> None:
        self.app, self.user = app, user

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        set_user(scope, self.user)
        await self.app(scope, receive, send)


class Client:
    """Posts to the application, without a server."""

    def __init__(self, app: ASGIApp) -> None:
        self.transport = httpx.ASGITransport(app)

    def post(self, url: str, **request: Any) -> httpx.Response:
        async def answer() -> httpx.Response:
            async with httpx.AsyncClient(transport=self.transport, base_url="http://127.0.0.1") as client:
                return await client.post(url, **request)

        return asyncio.run(answer())


def client_of(app: StandIn, user: User | None = None) -> Client:
    backend = Backend.__new__(Backend)  # its answers, without MONAI Label behind them
    backend.app = lambda: app  # type: ignore[method-assign, assignment, return-value]
    routes = FastAPI()
    routes.include_router(track_router(StudyIndex(app.studies.root), backend))
    return Client(SignedIn(routes, user or local_user()))


@pytest.fixture
def stand_in(studies: Studies) -> StandIn:
    return StandIn(studies)


@pytest.fixture
def client(stand_in: StandIn) -> Client:
    return client_of(stand_in)


def track(client: Client | httpx.Client, body: Any, image: str = MARKS_SOP) -> httpx.Response:
    text = body if isinstance(body, str) else json.dumps(body)
    return client.post(f"/tavr/track/{image}", content=text, headers={"Content-Type": "application/json"})


def check_marks(answer: httpx.Response) -> None:
    assert answer.status_code == 200, answer.text
    label = label_from_dict(answer.json())
    assert [k.frame for k in label.frames] == [1, 2]
    assert label.image.sop_instance_uid == MARKS_SOP
    for keypoints in label.frames:
        for i, (name, place) in enumerate(mark_points(keypoints.frame).items()):
            # the contour group appears in frame 2, where the model begins to see it
            assert (place is not None) == keypoints.visible[i]
            if place is not None:
                assert keypoints.xy[i] == pytest.approx(place, abs=1.0)
                assert 0 < label.spread[keypoints.frame, name] < 3
            assert label.edits[keypoints.frame, name].source == "model"
    assert "tracking" in (label.edits[1, "CT"].author or "")


def test_the_frames_between_come_as_a_label_of_the_model(client: Client, stand_in: StandIn) -> None:
    check_marks(track(client, body_of(allowed_groups=["contour", "anatomical", "instrumental"])))
    assert stand_in.asked == [
        {
            "image": MARKS_SOP,
            "frames": [0, 1, 2, 3],
            "allowed_groups": ["anatomical", "instrumental", "contour"],
        }
    ]


def test_the_server_offers_it(server: Server) -> None:
    check_marks(track(server.client, body_of()))


def test_without_a_model_the_pictures_alone_are_followed(studies: Studies) -> None:
    label = label_from_dict(track(client_of(StandIn(studies, loaded=False)), body_of()).json())
    for keypoints in label.frames:
        place = mark_points(keypoints.frame)["CT"]
        assert keypoints.xy[TAVR11.index("CT")] == pytest.approx(place, abs=1.0)


def test_it_takes_an_annotator(stand_in: StandIn) -> None:
    assert track(client_of(stand_in, User("guest", frozenset())), body_of()).status_code == 403


def test_points_that_nobody_labelled_are_not_invented(client: Client) -> None:
    body = body_of()
    for end in body.values():
        end["points"] = {"CT": end["points"]["CT"]}
    assert [list(f["points"]) for f in track(client, body).json()["frames"]] == [["CT"], ["CT"]]


def test_nothing_lies_between_neighbours(client: Client) -> None:
    assert track(client, body_of(1, 2)).json()["frames"] == []


def test_single_frames_of_a_series_are_tracked_as_one_cine(client: Client) -> None:
    ends = [{"frame": f, "points": {"CP": {"state": "visible", "x": 20, "y": 20}}} for f in (0, 2)]
    answer = track(client, {"from": ends[0], "to": ends[1]}, STACK_SERIES)
    assert [f["frame"] for f in answer.json()["frames"]] == [1]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("[1]", "the body must be"),
        ({"from": {"frame": 0, "points": {}}}, "the body must be"),
        (body_of(image="/etc/passwd"), "the body must be"),
        (body_of(3, 0), "'from' must lie before 'to', got frames 3 and 0"),
        (body_of(2, 2), "'from' must lie before 'to', got frames 2 and 2"),
        (body_of() | {"to": {"frame": 4, "points": {}}}, "'to': frame 4 is outside the image, which has 4 frame"),
        (body_of() | {"to": {"frame": -1, "points": {}}}, "whole number of at least 0"),
        (body_of() | {"to": {"frame": 3.5, "points": {}}}, "whole number"),
        (body_of() | {"to": 3}, "expected an object"),
        (body_of() | {"to": {"frame": 3, "points": {"XX": {"state": "absent"}}}}, "unknown name 'XX'"),
        (body_of() | {"to": {"frame": 3, "points": {"CT": {"state": "visible", "x": 1}}}}, "a visible point needs x and y"),
        (body_of() | {"to": {"frame": 3, "points": {"CT": {"state": "visible", "x": 1e30, "y": 1}}}}, "finite number"),
        (body_of(allowed_groups=["valve"]), "unknown group"),
    ],
)
def test_a_wrong_request_is_told_what_is_wrong(client: Client, body: Any, words: str) -> None:
    answer = track(client, body)
    assert answer.status_code == 400
    assert words in answer.json()["detail"]


@pytest.mark.parametrize("image", ["2.25.9", "nothing"])
def test_only_registered_images_are_tracked(client: Client, image: str) -> None:
    answer = track(client, body_of(), image)
    assert answer.status_code == 404
    assert "no such image" in answer.json()["detail"]


def test_a_file_that_ends_too_early_is_named_as_such_and_not_by_its_path(client: Client) -> None:
    answer = track(client, body_of(0, 2), SHORT_SOP)
    assert answer.status_code == 400
    assert "truncated" in answer.json()["detail"]
    assert "short.dcm" not in answer.text
