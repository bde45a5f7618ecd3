"""MONAI Label's stock clients against the running server: its Python client, and what 3D Slicer's module does with it.

3D Slicer's module asks for the next sample, downloads it by ``/datastore/image``, sends ``infer`` without ``output`` and with the
parameters below, and loads a result whose name ends in ``.json`` as markups.
"""

from __future__ import annotations

import json
from pathlib import Path

import pydicom
import pytest
from app_server import MARKS_SOP, Server, mark_points
from stock_client import MONAILabelClient, MONAILabelClientException

from monai_tavr.formats.label_json import label_from_dict, read_label_json, write_label_json
from monai_tavr.formats.slicer_markups import VolumeGrid, label_from_markups
from monai_tavr.keypoints import TAVR11, Keypoints
from monai_tavr.label import CineLabel, PointEdit

OF_SLICER = {"result_extension": ".nrrd", "result_dtype": "uint8", "result_compress": False, "restore_label_idx": False}


@pytest.fixture
def client(server: Server, tmp_path: Path) -> MONAILabelClient:
    return MONAILabelClient(server.url, tmpdir=str(tmp_path), client_id="user-xyz")


def test_info_names_the_model_in_a_way_that_slicer_lists(client: MONAILabelClient) -> None:
    info = client.info()
    assert info["models"]["tavr_keypoints"]["type"] == "detection"
    assert set(info["labels"]) == set(TAVR11.names)
    assert info["trainers"]["tavr_keypoints"]["config"] == {"max_epochs": 20, "learning_rate": 2e-4}
    assert {"hybrid", "random"} <= set(info["strategies"])
    assert client.auth_enabled() is False
    assert client.train_status(check_if_running=True) is False


def test_next_sample_names_an_image_that_can_be_downloaded(client: MONAILabelClient, server: Server) -> None:
    sample = client.next_sample("sequential", {})
    assert sample["name"] == f"{sample['id']}.dcm"
    assert "path" not in sample  # Slicer would look there on its own disk first
    assert sample["id"] in client.datastore()["objects"]
    answer = server.client.get("/datastore/image", params={"image": MARKS_SOP})
    assert pydicom.dcmread(pydicom.filebase.DicomBytesIO(answer.content)).SOPInstanceUID == MARKS_SOP


def test_infer_gives_markups_where_slicer_shows_the_points(client: MONAILabelClient, tmp_path: Path, studies: object) -> None:
    file, params = client.infer("tavr_keypoints", MARKS_SOP, dict(OF_SLICER))
    assert file.endswith(".json")
    label = label_from_dict(params)
    assert [k.frame for k in label.frames] == [0, 1, 2, 3]
    content = json.loads(Path(file).read_text())
    [capsule] = [p for p in content["markups"][1]["controlPoints"] if p["label"] == "CP" and "frame 2" in p["description"]]
    x, y = mark_points(2)["CP"]  # type: ignore[misc]
    assert capsule["position"] == pytest.approx([x * 0.3, y * 0.3, 2 * 66.667])  # ImagerPixelSpacing and FrameTime of the file
    grid = VolumeGrid((0.3, 0.3, 66.667))
    back = label_from_markups(content, image=label.image, grid=grid)
    assert [k.frame for k in back.frames] == [0, 1, 2, 3]
    assert all((k.visible == b.visible).all() for k, b in zip(label.frames, back.frames, strict=True))


def test_infer_of_one_frame_and_refusals_in_words(client: MONAILabelClient) -> None:
    _, params = client.infer("tavr_keypoints", MARKS_SOP, {"frames": [1], **OF_SLICER})
    assert [f["frame"] for f in params["frames"]] == [1]
    for image, asked, words in ((MARKS_SOP, {"frames": [9]}, "frames 0 to 3"), ("1.2.3", {}, "no such image")):
        with pytest.raises(MONAILabelClientException, match=words):
            client.infer("tavr_keypoints", image, asked)
    with pytest.raises(MONAILabelClientException, match="uploads are not offered"):
        client.infer("tavr_keypoints", MARKS_SOP, {}, file=__file__)


def test_a_label_is_saved_and_comes_back(client: MONAILabelClient, tmp_path: Path) -> None:
    _, params = client.infer("tavr_keypoints", MARKS_SOP, {"frames": [0]})
    points = mark_points(0) | {"AA1": (33.5, 44.25)}
    edits = {(0, name): PointEdit(source="annotator", author="Ann") for name in TAVR11.names}
    mine = CineLabel(label_from_dict(params).image, (Keypoints.from_points(TAVR11, points, frame=0),), edits)
    write_label_json(tmp_path / "mine.json", mine)
    client.save_label(MARKS_SOP, str(tmp_path / "mine.json"), tag="final", params={})
    again = read_label_json(client.download_label(MARKS_SOP, "final"))
    assert tuple(again.frame(0).xy[0]) == (33.5, 44.25)
    assert again.revision is not None
    assert "final" in client.datastore()["objects"][MARKS_SOP]["labels"]


def test_a_mask_of_slicer_is_refused_in_words(client: MONAILabelClient, tmp_path: Path) -> None:
    (tmp_path / "mask.nrrd").write_bytes(b"NRRD0004\n\x00\x01")
    with pytest.raises(MONAILabelClientException, match="Status: 4"):
        client.save_label(MARKS_SOP, str(tmp_path / "mask.nrrd"), params={})


def test_a_batch_fills_the_cache(client: MONAILabelClient, server: Server) -> None:
    web = server.client
    assert web.post("/batch/infer/other").status_code == 400
    assert web.post("/batch/infer/tavr_keypoints", params={"images": "some"}).status_code == 400
    began = web.post("/batch/infer/tavr_keypoints", params={"images": "unlabeled"}, json={"device": "cuda", "save_label": True})
    assert began.status_code == 200
    assert began.json()["progress"]["images"] > 10
    assert web.delete("/batch/infer").status_code == 200
    state = web.get("/batch/infer").json()
    assert state["status"] in ("STOPPED", "DONE")
    assert web.get("/batch/infer", params={"check_if_running": True}).status_code == 404
