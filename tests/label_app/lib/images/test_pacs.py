"""A DICOMweb archive as the store, against a real Orthanc; what no real archive does is asked of a false one."""

from __future__ import annotations

import io
import json
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import injected_server
import numpy as np
import pydicom
import pytest
from app_server import free_port, start_server
from dicomweb_answers import STORED, as_pixels, parts
from in_process import Client
from orthanc import PASSWORD, USER, Orthanc
from PIL import Image

from label_app.lib.images.instance_cache import InstanceCache
from label_app.lib.images.pacs_client import PacsClient
from label_app.lib.images.pacs_error import PacsError
from label_app.lib.images.pacs_index import PacsIndex
from label_app.lib.labels.archive import LabelArchive
from label_app.lib.web.backend import Backend
from label_app.server import create_app
from monai_tavr.dicom.writer import XAHeader, write_xa
from monai_tavr.formats.dicom_sr import keypoints_sr, read_keypoints_sr
from monai_tavr.formats.label_json import label_to_dict, write_label_json
from monai_tavr.keypoints import TAVR11, Keypoints
from monai_tavr.label import CineLabel, ImageInfo, PointEdit, Revision

STUDY, OTHER_STUDY = "2.25.4000", "2.25.4999"
NATIVE, LOSSLESS, STACK = f"{STUDY}.1.1", f"{STUDY}.2.1", f"{STUDY}.3"
PATIENT = "Secretname^Patient"
SHAPE = (4, 48, 64)  # frames, rows, columns
DEADLINE = 300


def pixels_of(number: int) -> np.ndarray:
    f, y, x = np.mgrid[0 : SHAPE[0], 0 : SHAPE[1], 0 : SHAPE[2]]
    return ((x * 37 + y * 61 + f * 301 + number * 11) % 4096).astype(np.uint16)


def write_studies(folder: Path) -> list[Path]:
    """Two cines of 12 bits, a stack of single frames, and a study that has no angiography."""
    paths = []

    def write(name: str, frames: np.ndarray, syntax: str = "explicit-le", **header: Any) -> pydicom.Dataset:
        paths.append(folder / f"{name}.dcm")
        write_xa(
            paths[-1], frames, header=XAHeader(patient_id="P4", patient_name=PATIENT, **header), syntax=syntax, bits_stored=12
        )
        return pydicom.dcmread(paths[-1])

    for number, syntax in ((1, "explicit-le"), (2, "jpeg-lossless-sv1")):
        uids = {"study_uid": STUDY, "series_uid": f"{STUDY}.{number}", "sop_uid": f"{STUDY}.{number}.1"}
        write(syntax, pixels_of(number), syntax, series_number=number, **uids)
    for number in (3, 1, 2):
        uids = {"study_uid": STUDY, "series_uid": STACK, "sop_uid": f"{STACK}.{number}"}
        dataset = write(f"single{number}", pixels_of(number)[:1], series_number=3, instance_number=number, **uids)
        del dataset.NumberOfFrames, dataset.FrameIncrementPointer, dataset.FrameTime
        dataset.save_as(paths[-1])
    dataset = write("other", pixels_of(9)[:1], study_uid=OTHER_STUDY, series_uid=f"{OTHER_STUDY}.1", sop_uid=f"{OTHER_STUDY}.1.1")
    dataset.Modality = "OT"
    dataset.save_as(paths[-1])
    return paths


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    with Orthanc(tmp_path_factory.mktemp("orthanc")) as archive:
        for path in write_studies(tmp_path_factory.mktemp("studies")):
            archive.upload(path)
        yield archive


@pytest.fixture
def open_app(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Client]]:
    """Everything but MONAI Label itself, over an archive; it looks there more often than a server does."""
    started: list[LabelArchive] = []
    start = LabelArchive.start
    monkeypatch.setattr(LabelArchive, "start", lambda self: (started.append(self), start(self)))
    monkeypatch.setitem(LabelArchive.__init__.__kwdefaults__, "pause", 1.0)
    monkeypatch.setattr("label_app.lib.images.pacs_index._LOOK_SECONDS", 0.5)
    monkeypatch.setattr(Backend, "start", lambda self: self._loaded.set_exception(RuntimeError("not in these tests")))

    def opened(archive: Orthanc, folder: Path, **environment: str) -> Client:
        for name, value in (archive.environment | environment).items():
            monkeypatch.setenv(name, value)
        return Client(create_app(archive.url, labels=folder))

    yield opened
    for archive in started:
        archive.stop()


def wait_for(condition: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + DEADLINE
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.2)
    raise AssertionError("it did not come to be in time")


def label_json(points: dict[str, tuple[float, float] | None], *, frame: int = 1) -> dict[str, Any]:
    image = ImageInfo(rows=SHAPE[1], columns=SHAPE[2], number_of_frames=SHAPE[0])
    keypoints = Keypoints.from_points(TAVR11, points, frame=frame)
    edits = {(frame, n): PointEdit("annotator") for n in points}
    return label_to_dict(CineLabel(image, (keypoints,), edits))


def submit(app: Client, image: str, base: int, points: dict[str, tuple[float, float] | None]) -> int:
    answer = app.put(f"/tavr/labels/{image}", json=label_json(points), headers={"If-Match": f'"{base}"', "X-Annotator": "anna"})
    assert answer.status_code == 200, answer.text
    return int(answer.json()["version"])


def frame_path(sop: str, frame: int) -> str:
    return f"/dicomweb/studies/{STUDY}/series/{sop.rpartition('.')[0]}/instances/{sop}/frames/{frame}"


def test_angiography_is_listed_and_nothing_else(orthanc: Orthanc, tmp_path: Path, open_app: Callable[..., Client]) -> None:
    app = open_app(orthanc, tmp_path)
    images = {i["id"]: i["frames"] for i in app.get("/tavr/images").json()}
    assert images == {NATIVE: 4, LOSSLESS: 4, STACK: 3}
    [study] = app.get("/dicomweb/studies").json()
    assert study["0020000D"]["Value"] == [STUDY]
    assert study["00100010"]["Value"] == [{"Alphabetic": PATIENT}]
    assert app.get(f"/dicomweb/studies/{OTHER_STUDY}/series").status_code == 404
    assert {s["0020000E"]["Value"][0] for s in app.get(f"/dicomweb/studies/{STUDY}/series").json()} >= {f"{STUDY}.1", STACK}
    order = app.get(f"/tavr/images/{STACK}").json()["frames"]
    assert [f["sop_instance_uid"] for f in order] == [f"{STACK}.{n}" for n in (1, 2, 3)]


def test_the_viewer_gets_frames_as_the_archive_has_them(
    orthanc: Orthanc, tmp_path: Path, open_app: Callable[..., Client]
) -> None:
    app = open_app(orthanc, tmp_path)
    for number, sop in ((1, NATIVE), (2, LOSSLESS)):
        [header] = app.get(f"{frame_path(sop, 1).rpartition('/frames')[0]}/metadata").json()
        assert "BulkDataURI" not in json.dumps(header)
        assert "00081190" not in header
        [(kind, syntax, content)] = parts(app.get(frame_path(sop, 3), headers={"accept": STORED}))
        assert kind == {NATIVE: "application/octet-stream", LOSSLESS: "image/jpeg"}[sop]
        default = "1.2.840.10008.1.2.1" if sop == NATIVE else "1.2.840.10008.1.2.4.70"
        read = pydicom.Dataset.from_json(header)
        np.testing.assert_array_equal(as_pixels(content, str(syntax or default), read), pixels_of(number)[2])
    picture = app.get(f"/dicomweb/studies/{STUDY}/series/{STUDY}.1/thumbnail")
    assert picture.headers["content-type"] == "image/jpeg"
    assert Image.open(io.BytesIO(picture.content)).format == "JPEG"
    everything = app.get(f"/dicomweb/studies/{STUDY}/metadata").text
    assert str(orthanc.port) not in everything
    assert PASSWORD not in everything


@pytest.mark.slow
def test_an_archive_that_stops_and_comes_back(orthanc: Orthanc, tmp_path: Path, open_app: Callable[..., Client]) -> None:
    app = open_app(orthanc, tmp_path)
    assert app.get(f"/tavr/frames/{NATIVE}/0.png").status_code == 200
    [cached] = (tmp_path / "cache" / "instances").glob("*.dcm")
    np.testing.assert_array_equal(pydicom.dcmread(cached).pixel_array, pixels_of(1))
    orthanc.stop()
    try:
        assert app.get(f"/tavr/frames/{NATIVE}/1.png").status_code == 200  # from the cache
        for path in (f"/tavr/frames/{LOSSLESS}/0.png", frame_path(NATIVE, 1), f"/dicomweb/studies/{STUDY}/series"):
            answer = app.get(path)
            assert answer.status_code == 503
            assert "does not answer" in answer.json()["detail"]
        assert len(app.get("/tavr/images").json()) == 3  # what is known stays
        late = open_app(orthanc, tmp_path / "late")
        for path in ("/tavr/images", f"/tavr/labels/{NATIVE}", "/dicomweb/studies"):
            assert late.get(path).status_code == 503
        version = submit(app, LOSSLESS, 0, {"CP": (3.5, 4.25), "CT": None})
        assert app.get(f"/tavr/labels/{LOSSLESS}").json()["archived"] is False
    finally:
        orthanc.start()
    wait_for(lambda: late.get("/tavr/images").status_code == 200)
    assert app.get(f"/tavr/frames/{LOSSLESS}/0.png").status_code == 200
    again = open_app(orthanc, tmp_path)  # the server was killed meanwhile; the next one finds what is to be done
    wait_for(lambda: again.get(f"/tavr/labels/{LOSSLESS}").json()["archived"])
    assert version == 1


@pytest.mark.slow
def test_labels_go_to_the_archive_and_come_back(orthanc: Orthanc, tmp_path: Path, open_app: Callable[..., Client]) -> None:
    app = open_app(orthanc, tmp_path / "here")
    for base, points in ((0, {"AA1": (10.0, 20.5), "PT": None}), (1, {"AA1": (11.125, 20.5), "PT": None, "CT": (0.0, 0.0)})):
        submit(app, NATIVE, base, points)
    wait_for(lambda: app.get(f"/tavr/labels/{NATIVE}").json()["archived"])
    reports = [p for p in orthanc.reports(tmp_path) if read_keypoints_sr(p).image.sop_instance_uid == NATIVE]
    first, second = (pydicom.dcmread(p) for p in reports)
    assert first.SeriesInstanceUID == second.SeriesInstanceUID
    assert (second.StudyInstanceUID, second.PatientName, second.InstanceNumber) == (STUDY, PATIENT, 2)
    before = second.PredecessorDocumentsSequence[0].ReferencedSeriesSequence[0].ReferencedSOPSequence[0]
    assert before.ReferencedSOPInstanceUID == first.SOPInstanceUID
    for path in reports:
        checked = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, timeout=120)
        assert "ComprehensiveSR" in checked.stderr
        assert "Error" not in checked.stderr
    [found] = orthanc.search(
        f"/studies/{STUDY}/series/{second.SeriesInstanceUID}/instances", SOPInstanceUID=second.SOPInstanceUID
    )
    assert found["00080018"]["Value"] == [second.SOPInstanceUID]

    here = app.get(f"/tavr/labels/{NATIVE}").json()
    elsewhere = open_app(orthanc, tmp_path / "elsewhere")
    there = wait_for(lambda: (a := elsewhere.get(f"/tavr/labels/{NATIVE}").json()) and a["archived"] and a["version"] == 2 and a)
    assert there["label"]["frames"] == here["label"]["frames"]
    assert (there["author"], there["label"]["revision"]["base"]) == ("anna", 1)
    assert datetime.fromisoformat(there["time"]) == datetime.fromisoformat(here["time"])
    submit(elsewhere, NATIVE, 2, {"AA1": (12.0, 21.0)})
    wait_for(lambda: elsewhere.get(f"/tavr/labels/{NATIVE}").json()["archived"])
    back = wait_for(lambda: (a := app.get(f"/tavr/labels/{NATIVE}").json()) and a["version"] == 3 and a)
    assert back["label"]["frames"][0]["points"]["AA1"]["x"] == 12.0
    assert app.request("DELETE", "/datastore/label", params={"id": NATIVE}).status_code == 200
    gone = wait_for(lambda: (a := elsewhere.get(f"/tavr/labels/{NATIVE}").json()) and a["version"] == 4 and a)
    assert gone["label"]["frames"] == []
    assert {i["id"]: i["labelled_frames"] for i in elsewhere.get("/tavr/images").json()}[NATIVE] == 0


def test_a_report_that_does_not_fit_its_image_is_left_alone(
    orthanc: Orthanc, tmp_path: Path, open_app: Callable[..., Client]
) -> None:
    client = PacsClient(orthanc.url, credentials=(USER, PASSWORD))
    headers = [client.metadata(STUDY, STACK, f"{STACK}.{n}") for n in (1, 2, 3)]
    image = ImageInfo(rows=SHAPE[1], columns=SHAPE[2], number_of_frames=3, series_instance_uid=STACK)
    for x, author, hour in ((5000.0, "far", 11), (7.0, "near", 10)):
        keypoints = Keypoints.from_points(TAVR11, {"CD": (x, 1.0)})
        revision = Revision(number=1, author=author, time=f"2026-01-31T{hour}:00:00.000+00:00")
        client.store(keypoints_sr(CineLabel(image, (keypoints,), revision=revision), headers))
    app = open_app(orthanc, tmp_path)
    label = wait_for(lambda: (a := app.get(f"/tavr/labels/{STACK}").json()) and a["version"] and a)
    assert (label["version"], label["author"], label["label"]["frames"][0]["points"]["CD"]["x"]) == (1, "near", 7.0)


def test_a_wrong_password_is_said_and_not_shown(orthanc: Orthanc, tmp_path: Path, open_app: Callable[..., Client]) -> None:
    app = open_app(orthanc, tmp_path, **{"MONAI_TAVR_PACS_PASSWORD": "not-it"})
    answer = app.get("/tavr/images")
    assert answer.status_code == 502
    assert "refuses this server (401)" in answer.json()["detail"]
    assert "not-it" not in answer.text


class FalseArchive(BaseHTTPRequestHandler):
    """Lists one study with one cine, and notes what it is asked."""

    asked: list[str]
    redirect = False

    def do_GET(self) -> None:
        self.asked.append(self.path)
        if self.redirect:
            self.send_response(302)
            self.send_header("Location", "http://127.0.0.1:1/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        uids = {"0020000D": STUDY, "0020000E": f"{STUDY}.1", "00080018": NATIVE}
        item: dict[str, Any] = {tag: {"vr": "UI", "Value": [uid]} for tag, uid in uids.items()}
        item |= {"00080060": {"vr": "CS", "Value": ["XA"]}, "00091001": {"vr": "LO", "Value": ["private"]}}
        item |= {tag: {"vr": "US", "Value": [9]} for tag in ("00280010", "00280011")} | {
            "7FE00010": {"vr": "OW", "BulkDataURI": "x"},
            "00281050": {"vr": "DS"},  # an empty window
        }
        nothing = "ModalitiesInStudy=RF" in self.path or "Modality=RF" in self.path or "Modality=SR" in self.path
        body = json.dumps([] if nothing else [item]).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/dicom+json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


@pytest.fixture
def false_archive(tmp_path: Path) -> Iterator[ThreadingHTTPServer]:
    handler = type("Handler", (FalseArchive,), {"asked": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def test_only_checked_words_reach_the_archive(
    false_archive: ThreadingHTTPServer, tmp_path: Path, open_app: Callable[..., Client]
) -> None:
    archive = Orthanc(tmp_path, port=false_archive.server_address[1])
    archive.close()
    app = open_app(archive, tmp_path / "labels")
    assert [i["id"] for i in app.get("/tavr/images").json()] == [f"{STUDY}.1"]
    asked: list[str] = false_archive.RequestHandlerClass.asked  # type: ignore[attr-defined]
    asked.clear()
    [found] = app.get(f"/dicomweb/studies/{STUDY}/series?limit=3&Modality=XA&evil=1&includefield=00081030").json()
    assert [a for a in asked if "evil" in a] == []
    assert f"/dicom-web/studies/{STUDY}/series?limit=3&Modality=XA&includefield=00081030" in asked
    assert set(found) == {"0020000D", "0020000E", "00080018", "00080060", "00280010", "00280011"}
    asked.clear()
    attacks = [
        f"/dicomweb/studies/{STUDY}/series/..%2f..%2f..%2fsystem",
        f"/dicomweb/studies/{STUDY}/../../instances",
        f"/dicomweb/studies/{STUDY}/series/1.2%3fx/metadata",
        f"/dicomweb/studies/{STUDY}/series/1.2%2fmetadata/instances/1/metadata",
        f"/dicomweb/studies/{STUDY}/series/1.2/instances/1.3/frames/1%2f..",
        f"/dicomweb/studies/{STUDY}/series/1.2/instances/1.3/bulk/x",
        "/dicomweb/studies/1.2.3/metadata",
        "/dicomweb/system",
    ]
    for path in attacks:
        assert app.get(path).status_code in (400, 404, 422, 503), path  # 503: MONAI Label is asked, which is not there
    for method in ("POST", "PUT", "DELETE"):
        assert app.request(method, f"/dicomweb/studies/{STUDY}").status_code == 403
    assert [a for a in asked if not a.startswith("/dicom-web/studies?") and "Modality=" not in a] == []


def test_what_is_no_image_is_said_and_not_kept(
    false_archive: ThreadingHTTPServer, tmp_path: Path, open_app: Callable[..., Client]
) -> None:
    archive = Orthanc(tmp_path, port=false_archive.server_address[1])
    archive.close()
    app = open_app(archive, tmp_path / "labels")
    wait_for(lambda: app.get("/tavr/images").json())
    answer = app.get(f"/tavr/frames/{STUDY}.1/0.png")
    assert (answer.status_code, "cannot be read" in answer.json()["detail"]) == (502, True)
    assert list((tmp_path / "labels" / "cache" / "instances").iterdir()) == []


def test_the_password_follows_no_redirect(false_archive: ThreadingHTTPServer) -> None:
    false_archive.RequestHandlerClass.redirect = True  # type: ignore[attr-defined]
    client = PacsClient(f"http://127.0.0.1:{false_archive.server_address[1]}/dicom-web", credentials=("u", "p"))
    with pytest.raises(PacsError, match="sends this server elsewhere"):
        list(client.studies("XA"))


@pytest.mark.parametrize(
    ("url", "environment", "words"),
    [
        ("https://me:secret@pacs/dicom-web", {}, "others can read the command line"),
        ("https:///dicom-web", {}, "https://host/path"),
        ("https://pacs/dicom-web?Evil=1", {}, "'Evil' is no DICOM keyword"),
        ("https://pacs/dicom-web", {"MONAI_TAVR_PACS_USER": "me"}, "belong together"),
        ("https://pacs/dicom-web", {"MONAI_TAVR_PACS_CREDENTIALS": "/nowhere"}, "cannot be read"),
    ],
)
def test_addresses_and_logins_that_cannot_be_used(url: str, environment: dict[str, str], words: str) -> None:
    with pytest.raises(ValueError, match=words) as refused:
        PacsClient.from_environment(url, environment)
    assert "secret" not in str(refused.value)


def test_a_login_from_a_file_that_nobody_else_reads(tmp_path: Path) -> None:
    path = tmp_path / "login"
    path.write_text("me\npass word\n")
    environment = {"MONAI_TAVR_PACS_CREDENTIALS": str(path)}
    path.chmod(0o644)
    with pytest.raises(ValueError, match="chmod 600"):
        PacsClient.from_environment("https://pacs/dicom-web", environment)
    path.chmod(0o600)
    assert PacsClient.from_environment("https://pacs/dicom-web?StudyDate=20260101-", environment).filters == {
        "StudyDate": "20260101-"
    }


def test_the_cache_keeps_what_was_used_last(tmp_path: Path) -> None:
    cache, fetched = InstanceCache(tmp_path / "cache", limit_bytes=25), []

    def fetch(uid: str) -> Path:
        def write(stream: Any) -> None:
            fetched.append(uid)
            stream.write(b"0123456789")

        return cache.path(uid, write)

    for age, uid in ((3000, "1.1"), (2000, "1.2")):
        os.utime(fetch(uid), (time.time() - age,) * 2)
    fetch("1.1")  # used again: now 1.2 is the older one
    assert fetch("1.3").read_bytes() == b"0123456789"
    assert {p.stem for p in cache.folder.glob("*.dcm")} == {"1.1", "1.3"}
    assert fetched == ["1.1", "1.2", "1.3"]
    with pytest.raises(PacsError):
        cache.path("1.4", lambda stream: (_ for _ in ()).throw(PacsError("gone")))
    assert [p.name for p in cache.folder.iterdir() if "1.4" in p.name] == []


def test_to_use_a_file_is_not_to_change_it(tmp_path: Path) -> None:
    """What was predicted on a file is known by the time of its change."""
    cache = InstanceCache(tmp_path / "cache", limit_bytes=25)
    path = cache.path("1.1", lambda stream: stream.write(b"0123456789"))
    os.utime(path, (1000, 2000))
    assert cache.path("1.1", lambda stream: stream.write(b"another")) == path
    assert path.stat().st_mtime == 2000
    assert time.time() - path.stat().st_atime < 600
    assert cache._fetching == {}


def test_a_study_list_that_cannot_be_read_is_a_problem_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client = PacsClient(f"http://127.0.0.1:{free_port()}/dicom-web")
    monkeypatch.setattr(client, "studies", lambda modality: [{"PatientName": PATIENT}["StudyInstanceUID"]])
    index = PacsIndex(client, InstanceCache(tmp_path, limit_bytes=1))
    with pytest.raises(PacsError, match=r"cannot be read \(KeyError\)"):
        index.refresh()


def test_a_server_without_its_archive_starts_at_once(tmp_path: Path) -> None:
    begun = time.monotonic()
    index = PacsIndex(PacsClient(f"http://127.0.0.1:{free_port()}/dicom-web"), InstanceCache(tmp_path, limit_bytes=1))
    assert index.images == {}
    assert time.monotonic() - begun < 5
    with pytest.raises(PacsError, match="does not answer"):
        index.find_image("1.2")


@pytest.mark.slow
def test_predict_and_submit_on_an_archive(orthanc: Orthanc, tmp_path: Path) -> None:
    """The whole server: the label of a prediction is in the PACS afterwards."""
    points = {"CP": (20.0, 30.0), "CM": (25.5, 31.0), "CD": None}
    predicted = Keypoints.from_points(TAVR11, points)
    predicted = Keypoints(schema=TAVR11, xy=predicted.xy, score=np.where(predicted.visible, 0.9, 0.1))
    image = ImageInfo(rows=SHAPE[1], columns=SHAPE[2], number_of_frames=SHAPE[0])
    write_label_json(tmp_path / "predictions" / f"{LOSSLESS}.json", CineLabel(image, (predicted,)))
    port = free_port()
    script = Path(injected_server.__file__)
    command = [str(script), orthanc.url, str(tmp_path / "predictions"), str(port)]
    with start_server(command, port, tmp_path / "server", HOME=str(tmp_path), **orthanc.environment) as server:
        wait_for(lambda: LOSSLESS in {i["id"] for i in server.client.get("/tavr/images").json()})
        answer = server.client.post(f"/infer/tavr_keypoints?image={LOSSLESS}&output=json", data={"params": '{"frames": [0]}'})
        assert answer.status_code == 200, answer.text
        label = answer.json()
        assert label["frames"][0]["points"]["CM"]["x"] == 25.5

        def submitted() -> bool:
            base = server.client.get(f"/tavr/labels/{LOSSLESS}").json()["version"]
            sent = server.client.put(f"/tavr/labels/{LOSSLESS}", json=label, headers={"If-Match": f'"{base}"'})
            assert sent.status_code in (200, 409), sent.text  # one may be read back meanwhile
            return sent.status_code == 200

        wait_for(submitted)
        wait_for(lambda: server.client.get(f"/tavr/labels/{LOSSLESS}").json()["archived"])
        labels = [label_to_dict(read_keypoints_sr(path)) for path in orthanc.reports(tmp_path)]
        stored = [x["frames"][0]["points"] for x in labels if x["image"].get("sop_instance_uid") == LOSSLESS]
        assert {"x": 25.5, "y": 31.0, "state": "visible", "score": 0.9, "source": "model", "author": "test"} in [
            points.get("CM") for points in stored
        ]
        log = server.log.read_text()
        assert not any(secret in log for secret in (PASSWORD, "Secretname", "P4 "))
        assert (tmp_path / ".local" / "share" / "monai-tavr" / "127.0.0.1" / "labels" / LOSSLESS).is_dir()
