"""A damaged or vanished file costs its own answers and nobody else's, and its name stays out of the log."""

from __future__ import annotations

from pathlib import Path

import pydicom
import pytest
from cine_labels import OTHER, SOP, STUDY, write_cines
from in_process import Client

from label_app.lib.web.backend import Backend
from label_app.server import create_app

INSTANCE = f"/dicomweb/studies/{STUDY}/series/{STUDY}.1/instances/{SOP}"


@pytest.fixture
def studies(tmp_path: Path) -> Path:
    return write_cines(tmp_path / "studies")


@pytest.fixture
def client(studies: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Client:
    """Everything but MONAI Label itself."""
    monkeypatch.setattr(Backend, "start", lambda self: None)
    return Client(create_app(studies, labels=tmp_path / "kept"))


def rewrite(studies: Path, old: bytes, new: bytes) -> None:
    path = studies / "Doe_John_1.dcm"
    content = path.read_bytes()
    assert (content.count(old), len(old)) == (1, len(new))
    path.write_bytes(content.replace(old, new))


def test_a_date_that_is_none_hides_no_study(client: Client, studies: Path) -> None:
    date = bytes(pydicom.dcmread(studies / "Doe_John_1.dcm")["StudyDate"].value, "ascii")
    tag = bytes.fromhex("08002000") + b"DA\x08\x00"
    rewrite(studies, tag + date, tag + "\xb2".encode("latin-1") * 8)  # superscript two: a digit, and no number
    answer = client.get("/dicomweb/studies")
    assert answer.status_code == 200
    assert [s["0020000D"]["Value"] for s in answer.json()] == [[STUDY]]


def test_a_vanished_file_hides_no_other(client: Client, studies: Path, caplog: pytest.LogCaptureFixture) -> None:
    (studies / "Doe_John_1.dcm").unlink()
    metadata = client.get(f"/dicomweb/studies/{STUDY}/metadata")
    assert metadata.status_code == 200
    there = {i["00080018"]["Value"][0] for i in metadata.json()}
    assert OTHER in there
    assert SOP not in there
    assert client.get(f"{INSTANCE}/metadata").status_code == 404
    assert client.get(f"/dicomweb/studies/{STUDY}/series/{STUDY}.1").status_code == 404
    thumbnail = client.get(f"/dicomweb/studies/{STUDY}/series/{STUDY}.1/thumbnail")
    assert thumbnail.status_code == 422
    assert "Doe" not in thumbnail.text
    assert "left out 1 instance" in caplog.text
    assert "Doe" not in caplog.text


def test_a_damaged_header_is_said(client: Client, studies: Path) -> None:
    (studies / "Doe_John_1.dcm").write_bytes(b"no longer DICOM")
    for path in (f"{INSTANCE}/metadata", f"{INSTANCE}/frames/1", f"{INSTANCE}/rendered", f"/tavr/frames/{SOP}/0.png"):
        answer = client.get(path)
        assert answer.status_code == 422, path
        assert "Doe" not in answer.text


def test_frames_of_no_known_size_cannot_be_read(client: Client, studies: Path) -> None:
    path = studies / "Doe_John_1.dcm"
    dataset = pydicom.dcmread(path)
    del dataset.BitsAllocated
    dataset.save_as(path)
    assert client.get("/dicomweb/studies").status_code == 200
    answer = client.get(f"{INSTANCE}/frames/1")
    assert (answer.status_code, "how large a frame is" in answer.text) == (422, True)
    assert client.get(f"{INSTANCE}/rendered").status_code == 422


def test_a_frame_is_sent_once(client: Client) -> None:
    assert client.get(f"{INSTANCE}/frames/1,2,3").status_code == 200
    assert client.get(f"{INSTANCE}/frames/1,2,1").status_code == 400


@pytest.mark.parametrize("frames", [b"999999999 ", b"1048577 "])
def test_more_frames_than_bytes_are_no_image(client: Client, studies: Path, frames: bytes) -> None:
    """The pool of frames to label holds an entry for each of them."""
    path = studies / "Doe_John_1.dcm"
    dataset = pydicom.dcmread(path)
    dataset.NumberOfFrames = int(frames)
    dataset.save_as(path)
    assert SOP not in {i["id"] for i in client.get("/tavr/images").json()}


def test_a_decoder_that_dies_costs_one_request(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    from label_app.lib.images import cine_files
    from monai_tavr.dicom import sandbox

    cine_files._SANDBOX.close()
    cine_files._open.cache_clear()
    script = (
        "import os, signal; from monai_tavr.dicom import open as opener, sandbox_worker\n"
        "opener.FrameDecoder.__call__ = lambda *a: os.kill(os.getpid(), signal.SIGSEGV)\n"
        "sandbox_worker.main()"
    )
    with monkeypatch.context() as patch:
        patch.setattr(sandbox, "_WORKER", (sandbox.sys.executable, "-c", script))
        answer = client.get(f"/tavr/frames/{SOP}/0.png")
        assert (answer.status_code, "Doe" in answer.text) == (422, False)
        assert "process that read it ended" in answer.text
    assert client.get(f"/tavr/frames/{SOP}/0.png").status_code == 200
