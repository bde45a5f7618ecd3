"""Labels over HTTP: read, submit, be told of a conflict, be refused in words; and MONAI Label's own Python client."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from app_server import Server, remove_labels, start_label_server
from cine_labels import COLUMNS, FRAMES, OTHER, ROWS, SOP, STACK, STUDY, frames_of, label_of, point, write_cines
from PIL import Image
from stock_client import MONAILabelClient, MONAILabelClientException

from monai_tavr.formats import FORMATS

HASH = "ab" * 32
ABSENT = {"state": "absent", "source": "annotator"}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("labels")


@pytest.fixture(scope="module")
def running(place: Path) -> Iterator[Server]:
    write_cines(place / "studies")
    with start_label_server(place) as started:
        yield started


@pytest.fixture(autouse=True)
def no_labels(place: Path) -> None:
    remove_labels(place)


def get(running: Server, image: str = SOP) -> dict[str, Any]:
    answer = running.client.get(f"/tavr/labels/{image}")
    assert (answer.status_code, answer.headers["etag"]) == (200, f'"{answer.json()["version"]}"')
    return dict(answer.json())


def put(running: Server, content: Any, base: Any = 0, image: str = SOP, **headers: str) -> httpx.Response:
    named = {"If-Match": f'"{base}"'} if isinstance(base, int) else {} if base is None else {"If-Match": base}
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    sent = {"Content-Type": "application/json", **named, **{k.replace("_", "-"): v for k, v in headers.items()}}
    return running.client.put(f"/tavr/labels/{image}", content=body, headers=sent)


def test_a_label_comes_back_as_it_was_submitted(running: Server) -> None:
    assert {k: v for k, v in get(running).items() if k not in ("image", "damaged")} == {
        "version": 0,
        "label": None,
        "author": None,
        "time": None,
        "versions": [],
    }
    answer = put(running, label_of({1: {"AA1": point(10.25, 20.5), "FE1": ABSENT}, 4: {"CP": point(3, 4)}}), X_Annotator="Anna B")
    assert (answer.status_code, answer.json()["version"], answer.headers["etag"]) == (200, 1, '"1"')
    there = get(running)
    assert (there["version"], there["author"], there["time"]) == (1, "Anna B", answer.json()["time"])
    assert [f["frame"] for f in there["label"]["frames"]] == [1, 4]
    points = there["label"]["frames"][0]["points"]
    assert (points["AA1"]["x"], points["AA1"]["y"], points["FE1"]["state"], set(points)) == (
        10.25,
        20.5,
        "absent",
        {"AA1", "FE1"},
    )
    image = there["label"]["image"]
    assert (image["sop_instance_uid"], image["series_instance_uid"], image["study_instance_uid"]) == (SOP, f"{STUDY}.1", STUDY)


def test_a_submit_replaces_the_whole_label_and_the_older_version_stays(running: Server) -> None:
    put(running, label_of({1: {"AA1": point(1, 2)}, 2: {"AA1": point(1, 2)}}), X_Annotator="Anna", X_Model=HASH)
    assert put(running, label_of({2: {"CP": point(5, 6)}}), base=1, X_Annotator="Ben").json()["version"] == 2
    there = get(running)
    assert [(f["frame"], list(f["points"])) for f in there["label"]["frames"]] == [(2, ["CP"])]
    assert [(v["number"], v["author"], v["model"]) for v in there["versions"]] == [(1, "Anna", HASH), (2, "Ben", None)]
    first = running.client.get(f"/tavr/labels/{SOP}/versions/1")
    assert (first.status_code, [f["frame"] for f in first.json()["frames"]]) == (200, [1, 2])
    assert first.json()["revision"]["author"] == "Anna"
    for number in ("0", "3", "-1"):
        assert running.client.get(f"/tavr/labels/{SOP}/versions/{number}").status_code == 404
    assert running.client.get(f"/tavr/labels/{SOP}/versions/one").status_code == 422


def test_who_was_slower_is_told_by_whom_and_nothing_is_lost(running: Server) -> None:
    put(running, label_of({1: {"AA1": point(1, 2)}}), X_Annotator="Anna")
    answer = put(running, label_of({1: {"AA1": point(9, 9)}}), X_Annotator="Ben")
    assert answer.status_code == 409
    told = answer.json()
    assert (told["version"], told["author"], told["time"]) == (1, "Anna", get(running)["time"])
    assert "Anna" in told["detail"]
    assert get(running)["label"]["frames"][0]["points"]["AA1"]["x"] == 1
    assert put(running, label_of({1: {"AA1": point(9, 9)}}), base=1, X_Annotator="Ben").status_code == 200


def test_the_server_signs_what_changed(running: Server) -> None:
    forged = {"author": "Somebody Else", "time": "2001-01-01T00:00:00Z"}
    model = {"x": 7.0, "y": 8.0, "state": "visible", "spread": 1.5, "source": "model", "author": "the model"}
    put(running, label_of({0: {"AA1": point(1, 2, **forged), "AA2": {**ABSENT, **forged}, "CP": model}}), X_Annotator="Anna")
    first = get(running)["label"]["frames"][0]["points"]
    assert (first["AA1"]["author"], first["AA2"]["author"]) == ("Anna", "Anna")
    assert first["AA1"]["time"] > "2026"
    assert first["CP"] == model
    second = {"AA1": point(1, 2, **forged), "AA2": point(3, 4), "CP": {**model, "source": "annotator"}, "CT": ABSENT}
    put(running, label_of({0: second}), base=1, X_Annotator="Ben")
    points = get(running)["label"]["frames"][0]["points"]
    assert {n: p["author"] for n, p in points.items()} == {"AA1": "Anna", "AA2": "Ben", "CP": "Ben", "CT": "Ben"}
    assert points["AA1"] == first["AA1"]


def changed(**image: Any) -> dict[str, Any]:
    return label_of({0: {"AA1": point(1, 2)}}, **image)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "JSON"),
        (b"{", "JSON"),
        (b"[]", "expected an object"),
        (b"\xff\xfe{", "JSON"),
        (b'{"schema": 1, "schema": 2}', "stands twice"),
        (b'{"schema": NaN}', "JSON"),
        ({}, "'frames' is missing"),
        ({**label_of({}), "more": 1}, "unknown name 'more'"),
        ({**label_of({}), "schema": "other/1"}, "this version reads"),
        (label_of({0: {"XX": point(1, 2)}}), "unknown name 'XX'"),
        (label_of({FRAMES: {"AA1": point(1, 2)}}), f"frame {FRAMES} is outside the image"),
        (label_of({0: {"AA1": point(COLUMNS, 2)}}), f"AA1 at ({COLUMNS}.0, 2.0) lies outside"),
        (label_of({3: {"CP": point(1, -0.6)}}), "frame 3: CP at (1.0, -0.6) lies outside"),
        (label_of({0: {"AA1": {"state": "visible", "x": 1}}}), "needs x and y"),
        (changed(rows=ROWS + 1), f"41 rows; this one has {ROWS}"),
        (changed(columns=55), f"55 columns; this one has {COLUMNS}"),
        (changed(number_of_frames=7), f"7 number of frames; this one has {FRAMES}"),
        (changed(sop_instance_uid=OTHER), "of another image"),
        (changed(series_instance_uid="1.2"), "of another image"),
        (changed(study_instance_uid="1.2"), "of another image"),
        ({**label_of({}), "revision": {"number": 1}}, "'author' is missing"),
    ],
)
def test_what_is_no_label_of_the_image_is_refused_in_words(running: Server, content: Any, words: str) -> None:
    answer = put(running, content)
    assert answer.status_code == 400
    assert words in answer.json()["detail"]
    assert get(running)["version"] == 0


def test_points_on_the_border_are_inside(running: Server) -> None:
    corners = {"AA1": point(-0.5, -0.5), "AA2": point(COLUMNS - 0.5, ROWS - 0.5)}
    assert put(running, label_of({0: corners})).status_code == 200


def test_a_submit_says_what_it_began_with(running: Server) -> None:
    answer = put(running, changed(), base=None)
    assert (answer.status_code, "If-Match" in answer.json()["detail"]) == (428, True)
    for wrong in ("*", "one", '"1", "2"', "-1", '"1'):
        assert put(running, changed(), base=wrong).status_code == 400, wrong
    for wrong in ("x", "AB" * 32, "ab" * 31):
        assert put(running, changed(), X_Model=wrong).status_code == 400
    assert put(running, changed(), base="0").json()["version"] == 1
    assert put(running, changed(), base='W/"1"').json()["version"] == 2


def test_other_names_of_the_image_mean_the_same_label(running: Server) -> None:
    assert put(running, changed(), image="Doe_John_1").status_code == 200
    assert get(running, f"{STUDY}.1")["image"] == SOP
    assert get(running)["version"] == 1
    for image in ("1.2.3", "Doe_John_9", "final", "%2e%2e"):
        assert put(running, changed(), image=image).status_code in (400, 404)


def test_single_frames_of_a_series_have_one_label(running: Server, place: Path) -> None:
    content = label_of({2: {"AA1": point(1, 2)}}, number_of_frames=3)
    assert (
        put(running, {**content, "image": {**content["image"], "sop_instance_uid": f"{STACK}.0"}}, image=STACK).status_code == 400
    )
    assert put(running, content, image=f"{STACK}.1").status_code == 200
    assert [p.name for p in (place / "kept" / "labels" / STACK).iterdir()] == ["final.0001.json"]
    assert "sop_instance_uid" not in get(running, STACK)["label"]["image"]


def test_images_are_listed_with_what_is_labelled(running: Server) -> None:
    put(running, label_of({1: {"AA1": point(1, 2)}, 3: {}, 4: {"CP": ABSENT}}))
    listed = {i["id"]: i for i in running.client.get("/tavr/images").json()}
    assert {i: (v["frames"], v["labelled_frames"], v["version"]) for i, v in listed.items()} == {
        SOP: (FRAMES, 2, 1),
        OTHER: (FRAMES, 0, 0),
        STACK: (3, 0, 0),
    }
    assert listed[SOP]["patient"] == listed[OTHER]["patient"] != listed[STACK]["patient"]
    assert "P1" not in listed[SOP]["patient"]
    assert (listed[STACK]["study"], listed[STACK]["series"]) == (STUDY, STACK)


def test_an_image_says_what_its_labels_say_of_it(running: Server) -> None:
    answer = running.client.get("/tavr/images/Doe_John_1").json()
    assert (answer["id"], answer["study"], answer["series"]) == (SOP, STUDY, f"{STUDY}.1")
    assert answer["frames"][4] == {"sop_instance_uid": SOP, "frame": 4}
    assert (answer["image"]["rows"], answer["image"]["columns"], answer["image"]["number_of_frames"]) == (ROWS, COLUMNS, FRAMES)
    assert put(running, {**label_of({}), "image": answer["image"]}).status_code == 200
    assert get(running)["label"]["image"] == answer["image"]
    assert running.client.get("/tavr/images/1.2.3").status_code == 404


def test_frames_are_pictures_for_a_page_that_decodes_nothing(running: Server) -> None:
    for name, frame, pixels in ((SOP, 5, frames_of(FRAMES)[5]), (STACK, 1, frames_of(2)[1])):
        answer = running.client.get(f"/tavr/frames/{name}/{frame}.png")
        assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
        assert "max-age=3600" in answer.headers["cache-control"]
        picture = Image.open(io.BytesIO(answer.content))
        assert (picture.mode, picture.size) == ("L", (COLUMNS, ROWS))
        assert (np.asarray(picture) == pixels).all()
    for path in (f"{SOP}/{FRAMES}.png", f"{SOP}/-1.png", "1.2.3/0.png"):
        assert running.client.get(f"/tavr/frames/{path}").status_code == 404
    assert running.client.get(f"/tavr/frames/{SOP}/x.png").status_code == 422


def test_a_folder_that_cannot_be_written_is_said_in_words(running: Server, place: Path) -> None:
    folder = place / "kept" / "labels" / OTHER
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.write_text("in the way")
    try:
        answer = put(running, changed(), image=OTHER)
        assert (answer.status_code, "NOT saved" in answer.json()["detail"]) == (503, True)
        assert str(place) not in answer.text
    finally:
        folder.unlink()


def test_the_log_names_neither_patient_nor_file(running: Server, place: Path) -> None:
    put(running, changed(), image="Doe_John_1", X_Annotator="Anna")
    audit = [json.loads(line) for line in (place / "kept" / "audit.jsonl").read_text().splitlines()]
    assert {k: audit[-1][k] for k in ("user", "action", "image", "version")} == {
        "user": "Anna",
        "action": "label.submit",
        "image": SOP,
        "version": 1,
    }
    assert "Doe" not in running.log.read_text()


def test_monai_labels_client_saves_loads_and_is_told_what_is_wrong(running: Server, tmp_path: Path) -> None:
    client = MONAILabelClient(running.url, tmpdir=str(tmp_path), client_id="slicer user")
    path = tmp_path / "label.json"
    path.write_text(json.dumps(label_of({2: {"AA1": point(5, 6)}})))
    answer = client.save_label(SOP, str(path), tag="final", params={"label_info": []})
    assert (answer["image"], answer["label"], answer["version"], answer["author"]) == (SOP, SOP, 1, "slicer user")
    assert client.save_label(SOP, str(path))["version"] == 2
    loaded = json.loads(Path(client.download_label(SOP, "final")).read_text())
    assert loaded["frames"][0]["points"]["AA1"]["x"] == 5
    assert loaded["revision"]["author"] == "slicer user"
    info = running.client.get("/datastore/label/info", params={"label": SOP, "tag": "final"}).json()
    assert (info["number"], info["author"], info["frames"]) == (2, "slicer user", [2])
    with pytest.raises(MONAILabelClientException, match="409"):
        client.save_label(SOP, str(path), params={"base": 1})
    path.write_text("no label")
    for image, tag in ((SOP, "final"), ("1.2.3", "final"), (SOP, "prediction"), (SOP, "Final")):
        with pytest.raises(MONAILabelClientException, match="Status: 40"):
            client.save_label(image, str(path), tag=tag)
    assert running.client.head("/datastore/label", params={"image": SOP, "tag": "final"}).status_code == 200
    assert running.client.head("/datastore/label", params={"image": OTHER, "tag": "final"}).status_code == 404
    assert running.client.get("/datastore/?output=train").json() == [{"image": SOP, "label": SOP, "tag": "final"}]


def test_a_removed_label_keeps_its_versions(running: Server, place: Path) -> None:
    put(running, changed())
    where = {"id": SOP, "tag": "final"}
    removed = running.client.delete("/datastore/label", params=where).json()
    assert (set(removed), removed["version"], removed["author"]) == ({"version", "author", "time"}, 2, "local")
    there = get(running)
    assert (there["version"], there["label"]["frames"], len(there["versions"])) == (2, [], 2)
    assert running.client.get("/datastore/label", params={"label": SOP, "tag": "final"}).status_code == 404
    assert len(running.client.get(f"/tavr/labels/{SOP}/versions/1").json()["frames"]) == 1
    assert json.loads((place / "kept" / "audit.jsonl").read_text().splitlines()[-1])["action"] == "label.delete"
    assert running.client.delete("/datastore/label", params=where).status_code == 404  # it is removed already
    assert get(running)["version"] == 2
    assert running.client.delete("/datastore/label", params={"id": OTHER}).status_code == 404
    assert running.client.delete("/datastore/label", params={"id": SOP, "tag": "X"}).status_code == 400
    assert put(running, changed(), base=2).json()["version"] == 3


def test_a_label_can_be_had_in_other_formats(running: Server, tmp_path: Path) -> None:
    refused = running.client.get(f"/tavr/labels/{SOP}/files/csv")
    assert (refused.status_code, refused.json()["detail"]) == (404, "this image has no label yet")
    put(running, label_of({1: {"AA1": point(10.25, 20.5), "FE1": ABSENT}}))
    answer = running.client.get(f"/tavr/labels/{SOP}/files/csv")
    assert (answer.status_code, answer.headers["etag"]) == (200, '"1"')
    assert answer.headers["content-disposition"] == f'attachment; filename="{SOP}.csv"'
    assert "the revision" in answer.headers["x-not-kept"]
    (tmp_path / "a.csv").write_bytes(answer.content)
    [label] = FORMATS["csv"].read(tmp_path / "a.csv")
    [frame] = label.frames
    points = dict(zip(frame.schema.names, zip(frame.state.tolist(), frame.xy.tolist(), strict=True), strict=True))
    assert points["AA1"] == (1, [10.25, 20.5])
    assert (points["FE1"][0], points["CP"][0]) == (0, -1)  # absent, unlabelled
    assert running.client.get(f"/tavr/labels/{SOP}/files/coco").json()["categories"][0]["keypoints"][0] == "AA1"
    for name in ("supervisely", "dicom-sr", "pickle"):  # folders, files that need the image, none at all
        assert running.client.get(f"/tavr/labels/{SOP}/files/{name}").status_code == 404
    assert running.client.get(f"/tavr/labels/{SOP}/files/..%2Fjson").status_code == 400  # by the guard
    assert running.client.get("/tavr/labels/1.2.3/files/csv").json()["detail"].startswith("no such image")
