"""Inference through the running server: which images, which frames, and what is said to a wrong request."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from app_server import MARKS_SOP, MARKS_STUDY, SHORT_SOP, STACK_SERIES, STUDY, Server, Studies, mark_points
from monailabel.interfaces.exception import MONAILabelError, MONAILabelException

from label_app.lib.web.multipart import multipart_answer
from monai_tavr.dicom import open_cine
from monai_tavr.formats.label_json import label_from_dict, label_to_dict
from monai_tavr.keypoints import TAVR11, Keypoints, KeypointSchema
from monai_tavr.label import CineLabel, ImageInfo


def infer(server: Server, image: str, params: Any = None, **query: str) -> httpx.Response:
    form = {} if params is None else {"params": params if isinstance(params, str) else json.dumps(params)}
    return server.client.post("/infer/tavr_keypoints", params={"image": image, "output": "json", **query}, data=form)


def test_all_frames_come_by_default_as_a_label_signed_by_the_model(server: Server) -> None:
    answer = infer(server, MARKS_SOP)
    assert answer.status_code == 200
    label = label_from_dict(answer.json())
    assert [k.frame for k in label.frames] == [0, 1, 2, 3]
    assert (label.image.rows, label.image.columns, label.image.number_of_frames) == (512, 512, 4)
    assert label.image.sop_instance_uid == MARKS_SOP
    assert label.image.spacing == pytest.approx((0.3 * 760 / 1100,) * 2)
    for keypoints in label.frames:
        points = mark_points(keypoints.frame)
        for i, name in enumerate(TAVR11.names):
            place = points[name]
            assert tuple(keypoints.xy[i]) == place if place else not keypoints.visible[i]
    assert answer.json()["frames"][0]["points"]["FE1"] == {"state": "absent", "score": 0.1, "source": "model", "author": "test"}


@pytest.mark.parametrize(
    ("frames", "expected"), [([2], [2]), ([3, 1], [1, 3]), ("1-2", [1, 2]), ("0", [0]), ("0, 2-3", [0, 2, 3]), (1, [1])]
)
def test_frames_are_a_list_or_a_range(server: Server, frames: Any, expected: list[int]) -> None:
    answer = infer(server, MARKS_SOP, {"frames": frames})
    assert [f["frame"] for f in answer.json()["frames"]] == expected


def test_groups_that_cannot_be_there_are_absent(server: Server) -> None:
    points = infer(server, MARKS_SOP, {"frames": [3], "allowed_groups": ["contour"]}).json()["frames"][0]["points"]
    assert {n for n, p in points.items() if p["state"] == "visible"} == {"PT", "FE1", "FE2"}


@pytest.mark.parametrize("name", [MARKS_SOP, f"{MARKS_STUDY}.1", "marks"])
def test_series_uid_and_file_name_mean_the_image_where_they_mean_one(server: Server, name: str) -> None:
    assert infer(server, name, {"frames": [0]}).json()["image"]["sop_instance_uid"] == MARKS_SOP


def test_single_frames_of_a_series_are_one_cine_in_the_order_of_their_numbers(server: Server) -> None:
    answer = server.client.get(f"/tavr/images/{STACK_SERIES}.2").json()
    assert answer["id"] == STACK_SERIES
    assert [f["sop_instance_uid"] for f in answer["frames"]] == [f"{STACK_SERIES}.{n}" for n in (1, 2, 3)]
    label = infer(server, STACK_SERIES).json()
    assert label["image"]["number_of_frames"] == 3
    assert [f["points"]["CP"]["x"] for f in label["frames"]] == [1.5, 2.5, 3.5]


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"frames": [4]}, "frames 0 to 3"),
        ({"frames": [-1]}, "no frame -1"),
        ({"frames": "2-1"}, "backwards"),
        ({"frames": "one"}, "must read like"),
        ({"frames": "0-99999999"}, "must read like"),
        ({"frames": [True]}, "whole numbers"),
        ({"frames": [1.5]}, "whole numbers"),
        ({"frames": []}, "empty"),
        ({"frames": {"a": 1}}, "list of whole numbers"),
        ({"allowed_groups": ["valve"]}, "unknown group"),
        ({"allowed_groups": "contour"}, "list of group names"),
        ({"frame": 1}, "unknown parameter 'frame'"),
        ("[1]", "JSON object"),
        ("{", "must be JSON"),
        ("[" * 5_000, "must be JSON"),
    ],
)
def test_a_wrong_parameter_is_refused_in_words(server: Server, params: Any, words: str) -> None:
    answer = infer(server, MARKS_SOP, params)
    assert answer.status_code == 400
    assert words in answer.json()["detail"]


def test_unknown_image_model_and_output(server: Server) -> None:
    assert infer(server, "1.2.3").status_code == 404
    assert infer(server, "").status_code == 400
    assert infer(server, MARKS_SOP, output="image").status_code == 400
    answer = server.client.post("/infer/other", params={"image": MARKS_SOP})
    assert (answer.status_code, "tavr_keypoints" in answer.json()["detail"]) == (400, True)


def test_monai_labels_own_endpoints_know_the_task_and_the_images(server: Server) -> None:
    info = server.client.get("/info/").json()
    assert info["models"]["tavr_keypoints"]["labels"] == list(TAVR11.names)
    listed = server.client.get("/datastore/", params={"output": "all"}).json()["objects"]
    assert {MARKS_SOP, STACK_SERIES, f"{STUDY}.1.1"} <= set(listed)
    assert listed[MARKS_SOP]["image"]["info"]["frames"] == 4
    assert server.client.get("/datastore/").json()["total"] == len(listed)
    sample = server.client.post("/activelearning/random", json={}).json()
    assert sample["id"] in listed


def test_a_damaged_image_is_refused_in_words_and_without_its_path(server: Server) -> None:
    assert infer(server, "no_header").status_code == 404  # it names no UIDs, so it is no image
    answer = infer(server, "short")
    assert (answer.status_code, "truncated" in answer.json()["detail"]) == (400, True)
    frame = server.client.get(f"/dicomweb/studies/{SHORT_SOP[:9]}/series/{SHORT_SOP[:11]}/instances/{SHORT_SOP}/frames/4")
    rendered = server.client.get(f"{frame.url.path.removesuffix('/4')}/1/rendered")
    for refused in (answer, frame, rendered):
        assert refused.status_code in (400, 422)
        assert "short.dcm" not in refused.text


def test_markups_follow_the_schema_of_the_model(studies: Studies) -> None:
    schema = KeypointSchema("HEART2", {"heart": ("APEX", "BASE")})
    found = Keypoints.from_points(schema, {"APEX": (3.0, 4.0), "BASE": None}, frame=1)
    made = CineLabel(ImageInfo(rows=512, columns=512, number_of_frames=4), (found,))
    answer = multipart_answer(made, studies.root / "marks.dcm")
    label, markups = (part.partition(b"\r\n\r\n")[2] for part in bytes(answer.body).split(b"\r\n--")[:2])
    assert json.loads(label) == label_to_dict(made)
    assert [p["label"] for m in json.loads(markups)["markups"] for p in m["controlPoints"]] == ["APEX"]


def test_no_markups_for_an_image_that_slicer_cannot_open(studies: Studies, tmp_path: Path) -> None:
    """An element of a value representation that DICOM does not know: pydicom passes it over, GDCM gives up."""
    content = (studies.root / "marks.dcm").read_bytes()
    rows = content.index(b"\x28\x00\x10\x00US")
    damaged = tmp_path / "DOE^JANE.dcm"
    damaged.write_bytes(content[:rows] + b"\x27\x00\x30\x10ZZ\x04\x00abcd" + content[rows:])
    assert open_cine(damaged).info.number_of_frames == 4
    label = CineLabel(ImageInfo(rows=512, columns=512, number_of_frames=4), ())
    with pytest.raises(MONAILabelException, match=r"3D Slicer.*output=json") as refused:
        multipart_answer(label, damaged)
    assert refused.value.error == MONAILabelError.INVALID_INPUT
    assert "DOE" not in str(refused.value)
