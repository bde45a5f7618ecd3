"""The annotators' loop, as it is worked in a browser: the studies it is tried on, and its steps.

Two patients with a cine of four frames each, white discs where the points are. What the "model" answers for them are the centres
of the discs, but for one: CM of the second patient is 40 px off in frame 1. It is not sure that frame 1 of the first patient is
one of a TAVR.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
from app_server import MARK_RADIUS, SIZE, Server, free_port, mark_points, start_server
from orthanc import Orthanc
from playwright.sync_api import Page, expect
from viewer_page import (
    drag_point,
    drawn_points,
    points_of_frame,
    show_frame,
    submit,
    wait_for_frame,
    wait_for_points,
    wait_for_words,
)

from monai_tavr.dicom.writer import XAHeader, write_xa
from monai_tavr.formats.label_json import write_label_json
from monai_tavr.keypoints import TAVR11, Keypoints
from monai_tavr.label import CineLabel, ImageInfo

__all__ = [
    "FIRST",
    "FRAMES",
    "NEAR",
    "SECOND",
    "WRONG_BY",
    "annotation_server",
    "archive_server",
    "assert_same",
    "disc_points",
    "forget_labels",
    "make_annotation_studies",
    "wait_for_drawn",
    "walk_through",
    "write_answer",
    "write_discs",
]

FIRST, SECOND = "2.25.4001.1.1", "2.25.4002.1.1"  # SOP instance UIDs; the studies are their first two numbers
FRAMES = 4
WRONG_BY = (40.0, 0.0)
_SHIFTS = {FIRST: 0.0, SECOND: 17.0}
NEAR = 0.5  # native pixels

Points = dict[str, tuple[float, float] | None]


def disc_points(sop: str, frame: int) -> Points:
    """Where the discs of a frame are."""
    return {n: None if p is None else (p[0] + _SHIFTS[sop], p[1] + _SHIFTS[sop]) for n, p in mark_points(frame).items()}


def make_annotation_studies(base: Path) -> tuple[Path, Path]:
    """Write the studies and the answers of their model; returns both folders."""
    studies, answers = base / "studies", base / "answers"
    for patient, sop in (("FIRST", FIRST), ("SECOND", SECOND)):
        points = {frame: disc_points(sop, frame) for frame in range(FRAMES)}
        write_discs(studies / f"{patient.lower()}.dcm", sop, patient, points)
        if sop == SECOND:
            x, y = points[1]["CM"] or (0.0, 0.0)
            points[1] = {**points[1], "CM": (x + WRONG_BY[0], y + WRONG_BY[1])}
        write_answer(answers, sop, points, typical={frame: (sop, frame) != (FIRST, 1) for frame in points})
    return studies, answers


@contextmanager
def annotation_server(base: Path) -> Iterator[Server]:
    """The app over these studies with that model, MONAI Label loaded; labels in a folder beside."""
    studies, answers = make_annotation_studies(base)
    with _injected_server(str(studies), answers, base) as running:
        yield running


@contextmanager
def archive_server(archive: Orthanc, answers: Path, base: Path) -> Iterator[Server]:
    """The same over a PACS that has the studies."""
    with _injected_server(archive.url, answers, base, **archive.environment) as running:
        yield running


@contextmanager
def _injected_server(studies: str, answers: Path, base: Path, **environment: str) -> Iterator[Server]:
    port = free_port()
    script = str(Path(__file__).with_name("injected_server.py"))
    command = [script, studies, str(answers), str(port), str(base / "labels")]
    with start_server(command, port, base / "server", **environment) as running:
        assert running.client.get("/info/").status_code == 200, running.log.read_text()  # answers once MONAI Label is there
        yield running


def write_discs(path: Path, sop: str, patient: str, points: Mapping[int, Points]) -> None:
    """A cine with a white disc at every point."""
    y, x = np.mgrid[0:SIZE, 0:SIZE]
    cine = np.full((len(points), SIZE, SIZE), 40, np.uint8)
    for frame, places in points.items():
        for place in places.values():
            if place is not None:
                cine[frame][np.hypot(x - place[0], y - place[1]) <= MARK_RADIUS] = 255
    series, study = sop.rsplit(".", 1)[0], sop.rsplit(".", 2)[0]
    header = XAHeader(patient_id=patient, study_uid=study, series_uid=series, sop_uid=sop, study_description="White discs")
    write_xa(path, cine, header=header, syntax="jpeg-lossless-sv1")


def write_answer(folder: Path, sop: str, points: Mapping[int, Points], *, typical: Mapping[int, bool] | None = None) -> None:
    """What the model says of a cine: see injected_server.py."""
    image = ImageInfo(rows=SIZE, columns=SIZE, number_of_frames=len(points), sop_instance_uid=sop)
    frames = [Keypoints.from_points(TAVR11, places, frame=frame) for frame, places in points.items()]
    scored = [Keypoints(schema=TAVR11, xy=k.xy, score=np.where(k.visible, 0.9, 0.1), frame=k.frame) for k in frames]
    write_label_json(folder / f"{sop}.json", CineLabel(image=image, frames=tuple(scored), typical=typical or {}))


def walk_through(page: Page, client: httpx.Client, *, picture: Callable[[str], object]) -> None:
    """Next sample, predict, drag, group absent, undo, submit, reload: asserts what is drawn and what the server has.

    Args:
        page: the second patient's image is open; nothing is labelled yet.
        client: of the server.
        picture: takes a screenshot under a name.
    """
    page.locator("[data-tavr=strategy]").select_option("sequential")
    page.locator("[data-tavr=next]:enabled").click()
    wait_for_words(page, "left after this one")  # the reason, once the frame is there and predicted
    image, frame = page.evaluate("() => [window.tavr.session.image.id, window.tavr.session.frame]")
    assert image == FIRST
    wait_for_frame(page, image, frame)
    picture("next-sample")
    page.locator("[data-tavr=predict]:enabled").click()
    wait_for_words(page, f"{FRAMES} frames predicted.")
    show_frame(page, 2)
    expect(page.locator("[data-tavr=unsure]")).to_be_hidden()
    show_frame(page, 1)
    expect(page.locator("[data-tavr=unsure]")).to_have_text("Model not sure this is a TAVR frame")
    picture("unsure")
    expected = {name: place for name, place in disc_points(image, 1).items() if place is not None}
    wait_for_points(page, expected)
    assert {point["look"] for point in drawn_points(page).values()} == {"suggested"}
    x, y = expected["CM"]
    expected["CM"] = (x + 25, y - 10)
    drag_point(page, "CM", expected["CM"])
    wait_for_points(page, expected)
    assert drawn_points(page)["CM"]["look"] == "confirmed"
    expect(page.locator("[data-tavr=unsure]")).to_be_hidden()  # a person has looked
    picture("corrected")
    page.locator("[data-tavr=group-absent][data-group=anatomical]").click()
    wait_for_drawn(page, {n for n in expected if TAVR11.group_of(n) != "anatomical"})
    picture("group-absent")
    page.keyboard.press("Control+z")
    wait_for_drawn(page, set(expected))
    before = client.get(f"/tavr/labels/{image}").json()["version"]
    submit(page)
    picture("submitted")
    answer = client.get(f"/tavr/labels/{image}").json()
    assert answer["version"] == before + 1
    assert [entry["frame"] for entry in answer["label"]["frames"]] == [1]  # frames that nobody stands for are no label
    sent = points_of_frame(answer["label"], 1)
    assert {name for name, point in sent.items() if point["state"] == "absent"} == set(TAVR11.names) - set(expected)
    assert {name: point["source"] for name, point in sent.items()} == {
        n: "annotator" if n == "CM" else "model" for n in TAVR11.names
    }
    wait_for_points(page, expected)
    assert_same({name: (point["x"], point["y"]) for name, point in sent.items() if point["state"] == "visible"}, expected)
    page.reload()
    wait_for_frame(page, image, 1)
    wait_for_points(page, expected)
    assert {point["look"] for point in drawn_points(page).values()} == {"confirmed"}


def forget_labels(client: httpx.Client) -> None:
    """Submit for every labelled image of a server that nothing is labelled; versions go on counting."""
    for image in (one["id"] for one in client.get("/tavr/images").json() if one["labelled_frames"]):
        current = client.get(f"/tavr/labels/{image}").json()
        empty = {**current["label"], "frames": []}
        empty.pop("revision", None)
        answer = client.put(f"/tavr/labels/{image}", json=empty, headers={"If-Match": f'"{current["version"]}"'})
        assert answer.status_code == 200, answer.text


def wait_for_drawn(page: Page, names: set[str]) -> None:
    """Until these points are drawn, and no others."""
    page.wait_for_function(
        """names => {
          const drawn = [...document.querySelectorAll('[data-tavr-point]')].map(mark => mark.dataset.tavrPoint);
          return drawn.length === names.length && names.every(name => drawn.includes(name));
        }""",
        arg=sorted(names),
    )


def assert_same(found: Mapping[str, tuple[float, float]], expected: Mapping[str, tuple[float, float]]) -> None:
    """The same points within half a pixel."""
    assert set(found) == set(expected)
    for name, (x, y) in expected.items():
        assert np.hypot(found[name][0] - x, found[name][1] - y) <= NEAR, (name, found[name], (x, y))
