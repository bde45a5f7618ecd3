"""A file that is replaced by another patient's under the same name: no cache may answer for it with what the former one held.

The attack is the hardest there is: one size, one time of change, and other UIDs.
"""

from __future__ import annotations

import io
import os
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from dicomweb_answers import parts
from in_process import Client
from PIL import Image

from label_app.lib.activelearning.frame_scan import FrameScan
from label_app.lib.images.cine_files import open_instances
from label_app.lib.images.study_index import StudyIndex
from label_app.lib.web.backend import Backend
from label_app.server import create_app
from monai_tavr.active_learning.outputs import FrameOutputs
from monai_tavr.dicom.writer import XAHeader, write_xa
from monai_tavr.transforms import LoadFramed

ROWS, COLUMNS = 40, 56
LEVELS = {"2.25.6001": 50, "2.25.6002": 200}  # study -> grey level of every pixel
FORMER, LATER = LEVELS


def write(path: Path, study: str, syntax: str) -> None:
    """Both patients' files have one size and one time of change."""
    pixels = np.full((2, ROWS, COLUMNS), LEVELS[study], np.uint8)
    header = XAHeader(patient_id=study, study_uid=study, series_uid=f"{study}.1", sop_uid=f"{study}.1.1", window=(128, 256))
    write_xa(path, pixels, header=header, syntax=syntax)
    path.write_bytes(path.read_bytes().ljust(8192, b"\0") if syntax == "deflated" else path.read_bytes())
    os.utime(path, (1_000_000, 1_000_000))


@pytest.fixture(params=["deflated", "explicit-le", "jpeg-ls", "explicit-be"])
def syntax(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def file(tmp_path: Path, syntax: str) -> Path:
    path = tmp_path / "studies" / "run.dcm"
    write(path, FORMER, syntax)
    return path


@pytest.fixture
def client(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Client:
    monkeypatch.setattr(Backend, "start", lambda self: None)
    return Client(create_app(file.parent, labels=tmp_path / "kept"))


def paths(study: str) -> list[str]:
    instance = f"/dicomweb/studies/{study}/series/{study}.1/instances/{study}.1.1"
    return [f"{instance}/frames/1", f"{instance}/rendered", f"{instance}/thumbnail", f"/tavr/frames/{study}.1.1/0.png"]


def test_no_route_answers_with_the_former_patients_pixels(client: Client, file: Path, syntax: str) -> None:
    for path in paths(FORMER):
        assert client.get(path, headers={"accept": "image/png, */*"}).status_code == 200
    size = file.stat().st_size
    write(file, LATER, syntax)
    assert file.stat().st_size == size
    instance = f"/dicomweb/studies/{FORMER}/series/{FORMER}.1/instances/{FORMER}.1.1"
    for path in [*paths(FORMER), f"{instance}/metadata", instance]:
        answer = client.get(path)
        assert (answer.status_code, "replaced" in answer.text) == (422, True), path
    assert client.get(f"/dicomweb/studies/{FORMER}/series/{FORMER}.1").status_code == 404
    assert client.get("/dicomweb/studies").status_code == 200  # looks at the folder again
    for path in paths(FORMER):
        assert client.get(path).status_code == 404, path
    stored, *pictures = [client.get(p, headers={"accept": "image/png, */*"}) for p in paths(LATER)]
    if syntax != "jpeg-ls":  # which is sent as it is stored
        assert set(parts(stored)[0][2]) == {LEVELS[LATER]}
    for answer in pictures:
        assert answer.status_code == 200
        assert abs(int(np.asarray(Image.open(io.BytesIO(answer.content))).max()) - LEVELS[LATER]) <= 1


def test_an_instance_of_the_former_list_opens_no_other_file(file: Path, syntax: str) -> None:
    [former] = StudyIndex(file.parent).instances()
    assert open_instances([former]).frame(0).max() == pytest.approx(LEVELS[FORMER], abs=1)
    write(file, LATER, syntax)
    with pytest.raises(ValueError, match="replaced"):
        open_instances([former])
    with pytest.raises(ValueError, match="replaced"), former.opened():
        pass


def test_scores_are_those_of_the_file_that_is_there(file: Path, tmp_path: Path, syntax: str) -> None:
    """Even under one SOP instance UID: the study comes again, corrected."""

    class Predictor:
        weights_sha256 = "a" * 64

    class Models:
        def predictor(self) -> Predictor:
            return Predictor()

    def look(predictor: object, cine: object, frames: object) -> FrameOutputs:
        grey = float(cine.frame(0).max())  # type: ignore[attr-defined]
        same = {f.name: np.full((len(frames), 1), grey, np.float32) for f in fields(FrameOutputs)}  # type: ignore[arg-type]
        return FrameOutputs(**same)

    index = StudyIndex(file.parent)
    image = f"{FORMER}.1.1"
    for level in (50, 90):
        pixels = np.full((2, ROWS, COLUMNS), level, np.uint8)
        header = XAHeader(study_uid=FORMER, series_uid=f"{FORMER}.1", sop_uid=image, window=(128, 256))
        write_xa(file, pixels, header=header, syntax=syntax)
        index.refresh()
        scan = FrameScan(index, Models(), tmp_path / "cache", look=look)  # type: ignore[arg-type]
        found = scan.scanned([image], wait=20)[image].outputs
        assert found.spread.max() == pytest.approx(level, abs=1)


def test_training_loads_the_file_that_is_there(file: Path, syntax: str) -> None:
    load = LoadFramed()
    for study, level in LEVELS.items():
        write(file, study, syntax)
        for item in (file, file.parent):
            assert float(load({"image": str(item)})["image"].max()) == pytest.approx(level, abs=1)
