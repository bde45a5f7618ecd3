"""Labels of another keypoint schema than the shipped one: submitted, read, archived, and never mixed with those of TAVR11."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cine_labels import SOP, label_of, point, write_cines
from in_process import Client

from label_app.lib.web.backend import Backend
from label_app.server import create_app
from monai_tavr.cli import main
from monai_tavr.keypoints import KeypointSchema, load_schema

MITRAL = """name: MITRAL3
groups:
  leaflets: {color: "#ff4d4d", title: Leaflets, points: [ML, MR]}
  clip: {color: "#3ddc6b", title: Clip, points: [CL]}
flip_pairs:
  - [ML, MR]
"""


@pytest.fixture
def schema(tmp_path: Path) -> KeypointSchema:
    path = tmp_path / "mitral.yaml"
    path.write_text(MITRAL, encoding="utf-8")
    return load_schema(path)


@pytest.fixture
def client(schema: KeypointSchema, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Client:
    """Everything but MONAI Label itself."""
    monkeypatch.setattr(Backend, "start", lambda self: None)
    return Client(create_app(write_cines(tmp_path / "studies"), labels=tmp_path / "kept", schema=schema))


def submit(client: Client, points: dict[str, Any], name: str, base: int = 0) -> Any:
    label = label_of({2: points}) | {"keypoints": name}
    return client.put(f"/tavr/labels/{SOP}", json=label, headers={"If-Match": f'"{base}"'})


def test_the_viewer_draws_the_points_of_the_labels(client: Client) -> None:
    described = client.get("/tavr/status").json()["schema"]
    assert described["name"] == "MITRAL3"
    assert [p for group in described["groups"].values() for p in group["points"]] == ["ML", "MR", "CL"]


def test_a_label_is_submitted_and_read_again(client: Client) -> None:
    points = {"ML": point(3.5, 4.25), "CL": {"state": "absent", "source": "annotator"}}
    answer = submit(client, points, "MITRAL3")
    assert answer.status_code == 200, answer.text
    found = client.get(f"/tavr/labels/{SOP}").json()
    assert (found["version"], found["label"]["keypoints"]) == (1, "MITRAL3")
    (frame,) = found["label"]["frames"]
    assert frame["frame"] == 2
    assert (frame["points"]["ML"]["x"], frame["points"]["ML"]["y"]) == (3.5, 4.25)
    assert frame["points"]["CL"]["state"] == "absent"
    assert "MR" not in frame["points"]


def test_a_label_of_the_shipped_schema_is_refused_in_words(client: Client) -> None:
    answer = submit(client, {"AA1": point(3.5, 4.25)}, "TAVR11")
    assert 400 <= answer.status_code < 500
    assert "TAVR11" in answer.text
    assert "MITRAL3" in answer.text
    assert client.get(f"/tavr/labels/{SOP}").json()["label"] is None


def test_a_schema_that_cannot_be_read_ends_the_start(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_cines(tmp_path / "studies")
    (tmp_path / "broken.yaml").write_text(json.dumps({"name": "X"}), encoding="utf-8")
    assert main(["serve", "--studies", str(tmp_path / "studies"), "--schema", str(tmp_path / "broken.yaml")]) == 2
    assert "broken.yaml" in capsys.readouterr().err
