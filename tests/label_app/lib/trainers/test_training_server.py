"""A training through the running server by MONAI Label's own client: labels in, a better model out, and back again."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import training_bundle
from app_server import Server, free_port, start_server
from stock_client import MONAILabelClient, MONAILabelClientException
from training_bundle import label_of, sop_of, write_studies, write_training_bundle

from monai_tavr.formats.label_json import write_label_json

pytestmark = pytest.mark.slow

PARAMETERS = {"max_epochs": 4, "learning_rate": 0.01}
LONG = {"max_epochs": 500, "learning_rate": 0.002}


class Site:
    """The folders, and the server on them."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.labels = folder, folder / "labels"
        self.bundle = write_training_bundle(folder / "bundle")
        self.studies = write_studies(folder / "studies")
        self.server = self.start()

    def start(self) -> Server:
        port = free_port()
        command = ["-m", "label_app.server", "start_server", "--studies", str(self.studies), "--labels", str(self.labels)]
        helpers = [str(Path(training_bundle.__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = {"MONAI_TAVR_BUNDLE": str(self.bundle), "PYTHONPATH": os.pathsep.join(helpers)}
        return start_server([*command, "--port", str(port), "--verbose", "INFO"], port, self.folder / "server", **environment)

    @property
    def client(self) -> MONAILabelClient:
        return MONAILabelClient(self.server.url, tmpdir=str(self.folder))

    def get(self, path: str) -> Any:
        return self.server.client.get(path).json()

    def workers(self) -> list[int]:
        """Processes that the server has started to train; others read images."""
        tasks = Path(f"/proc/{self.server.process.pid}/task")
        children = [int(p) for task in tasks.iterdir() for p in (task / "children").read_text().split()]
        return [p for p in children if "label_app.lib.trainers.worker" in _command_of(p)]

    def wait(self, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        deadline = time.monotonic() + 1200
        while True:
            state: dict[str, Any] = self.client.train_status()
            if condition(state):
                return state
            assert time.monotonic() < deadline, state
            assert state["status"] == "RUNNING", state["details"]
            time.sleep(0.2)


def _command_of(process: int) -> str:
    """Its command line; empty where it has ended meanwhile."""
    try:
        return Path(f"/proc/{process}/cmdline").read_text()
    except OSError:
        return ""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    made = Site(tmp_path_factory.mktemp("training"))
    try:
        yield made
    finally:
        made.server.stop()


def test_labels_are_learnt_from_and_the_better_model_answers(site: Site) -> None:
    client, web = site.client, site.server.client
    assert "tavr_keypoints" in client.info()["trainers"]
    assert client.train_status(check_if_running=True) is False
    with pytest.raises(MONAILabelClientException, match="nothing is labelled yet"):
        client.train_start("tavr_keypoints", PARAMETERS)
    before = web.post("/infer/tavr_keypoints", params={"image": sop_of(1), "output": "json"}).json()
    for patient in (1, 2, 3):
        write_label_json(site.folder / "submitted.json", label_of(patient))
        client.save_label(sop_of(patient), str(site.folder / "submitted.json"), tag="final", params={})
    for wrong in ({"max_epochs": 0}, {"bundle_root": "/etc"}):
        with pytest.raises(MONAILabelClientException, match="Status: 400"):
            client.train_start("tavr_keypoints", wrong)

    assert client.train_start("tavr_keypoints", PARAMETERS)["status"] == "RUNNING"
    assert client.train_status(check_if_running=True) is True
    with pytest.raises(MONAILabelClientException, match="Status: 429"):
        client.train_start("tavr_keypoints", PARAMETERS)
    assert web.get("/tavr/status").json()["state"] == "ready"  # the server answers meanwhile
    state = site.wait(lambda s: s["status"] == "DONE")
    assert state["result"]["published"], state
    assert state["progress"]["epoch"] == 4
    assert state["progress"]["score"] >= state["progress"]["active_score"]
    assert any(line.startswith("epoch 4 of 4: loss") for line in state["details"])
    assert "few frames are labelled: a teacher speaks of the others, of 2 image(s)" in state["notes"]
    assert client.info()["train_stats"]["tavr_keypoints"]["epoch"] == 4

    newest, shipped = site.get("/tavr/models")
    assert (newest["active"], newest["from"], newest["version"]) == (True, "shipped", "7.7.7+1")
    assert newest["labels"]["training"] == {"patients": 2, "images": 2, "frames": 8, "points": 86}
    kept = {p.name for p in (site.labels / "models" / newest["id"]).iterdir()}
    assert kept == {"model.pt", "thresholds.json", "uncertainty.json", "record.json"}
    assert site.get("/tavr/status")["model"] == {k: newest[k] for k in ("id", "version", "weights_sha256")}
    after = web.post("/infer/tavr_keypoints", params={"image": sop_of(1), "output": "json"}).json()
    assert newest["weights_sha256"][:12] in after["frames"][0]["points"]["AA1"]["author"]
    assert after["frames"] != before["frames"]

    back = web.post("/tavr/models/shipped/activate")
    assert (back.status_code, back.json()["active"]) == (200, True)
    assert site.get("/tavr/status")["model"]["weights_sha256"] == shipped["weights_sha256"]
    assert web.post("/infer/tavr_keypoints", params={"image": sop_of(1), "output": "json"}).json() == before
    assert web.post("/tavr/models/0009-0123456789ab/activate").status_code == 404
    actions = [json.loads(line)["action"] for line in (site.labels / "audit.jsonl").read_text().splitlines()]
    assert [a for a in actions if not a.startswith("label")] == ["train.start", "model.publish", "model.activate"]


def test_a_training_is_stopped_goes_on_and_outlives_a_killed_server(site: Site) -> None:
    client = site.client
    client.train_start("tavr_keypoints", LONG)
    site.wait(lambda s: s["progress"]["epoch"] >= 2)
    assert len(site.workers()) == 1
    stopped = client.train_stop()
    assert stopped["status"] == "STOPPED"
    assert site.workers() == []
    assert client.train_stop() is None
    done = stopped["progress"]["epoch"]

    again = client.train_start("tavr_keypoints", LONG)
    assert again["notes"][-1] == "goes on where the same training was stopped"
    site.wait(lambda s: s["progress"]["epoch"] > done)
    [log] = (site.labels / "training" / "runs").glob("*/train.log")
    assert "resumed after epoch" in log.read_text()

    [worker] = site.workers()
    site.server.process.send_signal(signal.SIGKILL)
    site.server.process.wait()
    deadline = time.monotonic() + 60
    while Path(f"/proc/{worker}").exists() and "Z" not in Path(f"/proc/{worker}/stat").read_text().split()[2]:
        assert time.monotonic() < deadline, "the training outlives its server"
        time.sleep(0.1)
    site.server.stop()
    site.server = site.start()
    assert site.client.train_status()["status"] == "INTERRUPTED"
    assert site.get("/tavr/status")["model"]["id"] == "shipped"  # activated before the kill
    assert site.client.train_start("tavr_keypoints", LONG)["notes"][-1] == "goes on where the same training was stopped"
    site.client.train_stop()


def test_nothing_names_a_patient(site: Site) -> None:
    """But the images themselves, which a training that can still go on holds as links."""
    files = [p for p in site.labels.rglob("*") if p.is_file() and p.suffix not in (".dcm", ".pt", ".png")]
    texts = {p: p.read_text(errors="replace") for p in files}
    texts[site.server.log] = site.server.log.read_text()
    assert len(texts) > 10
    assert [str(p) for p, text in texts.items() if "secret" in text.lower()] == []
