"""The app's training with a stand-in for its process: what is published, what is refused, and what survives."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from training_bundle import label_of, sop_of, write_studies

from label_app.lib.auth.audit import AuditLog
from label_app.lib.auth.user import local_user
from label_app.lib.images.patients import PatientKeys
from label_app.lib.images.study_index import StudyIndex
from label_app.lib.labels.store import LabelStore
from label_app.lib.models.registry import SHIPPED, ModelRegistry
from label_app.lib.trainers import process
from label_app.lib.trainers.snapshot import take_snapshot
from label_app.lib.trainers.train_request import TrainRequest
from label_app.lib.trainers.training import Training, TrainingRunning
from monai_tavr.bundle import sha256_of
from monai_tavr.keypoints import TAVR11, KeypointSchema

ANN = local_user("Ann")
WORKER = """
import json, sys, time
from pathlib import Path
run, plan = Path(sys.argv[1]), json.loads(Path(__PLAN__).read_text())
job = json.loads((run / "job.json").read_text())
assert (run / "data" / "datalist.json").is_file()
say = lambda **report: print(json.dumps(report), flush=True)
print("a library prints what it likes", flush=True)
say(progress={"epoch": 1, "loss": 0.5}, line="epoch 1")
(run / "checkpoint.pt").write_text("epoch 1")
while plan.get("hang"):
    time.sleep(0.05)
if "error" in plan:
    say(error=plan["error"])
    sys.exit(1)
(run / "model.pt").write_bytes(plan["weights"].encode())
(run / "thresholds.json").write_text("{}")
say(result={"candidate": {"score": plan["new"]}, "active": {"score": plan["old"]}})
"""


@dataclass(frozen=True)
class Predictor:
    """Stands for a KeypointPredictor."""

    weights: Path
    version: str = "1"
    device: str = "cpu"
    schema: KeypointSchema = TAVR11

    @property
    def bundle(self) -> SimpleNamespace:
        return SimpleNamespace(root=self.weights.parents[1])

    @property
    def weights_sha256(self) -> str:
        return sha256_of(self.weights)


class Site:
    """A server's folders without the server."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.plan_file = folder / "labels", folder / "plan.json"
        self.shipped = folder / "bundle" / "models" / "model.pt"
        self.shipped.parent.mkdir(parents=True)
        self.shipped.write_bytes(b"shipped")
        self.index = StudyIndex(write_studies(folder / "studies"))
        self.store = LabelStore(self.folder)
        for patient in (1, 2, 3):
            self.submit(patient)
        self.restart()

    def submit(self, patient: int) -> None:
        self.store.save(sop_of(patient), label_of(patient), author="Ann", base=None)

    def restart(self, **options: int) -> None:
        patients = PatientKeys(self.folder)
        load: Any = Predictor
        self.models = ModelRegistry(self.folder / "models", lambda: load(self.shipped), load_trained=lambda _, w: load(w))
        self.training = Training(
            self.folder / "training",
            self.models,
            lambda trained, validated: take_snapshot(
                self.store, find=self.index.find_image, patient=patients.key, trained_on=trained, validated_on=validated
            ),
            AuditLog(self.folder / "audit.jsonl"),
            **options,
        )

    def plan(self, **content: Any) -> None:
        self.plan_file.write_text(json.dumps({"new": 0.6, "old": 0.5, "weights": "better", **content}))

    def start(self, **parameters: Any) -> dict[str, Any]:
        return self.training.start(TrainRequest(**parameters), ANN)

    def finish(self) -> dict[str, Any]:
        self.wait(lambda: not self.training.running)
        return self.training.status() or {}

    def wait(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 120
        while not condition():
            assert time.monotonic() < deadline, self.training.status()
            time.sleep(0.02)

    def reached(self, epoch: int) -> bool:
        return bool((self.training.status() or {})["progress"].get("epoch") == epoch)

    def actions(self) -> list[str]:
        return [json.loads(line)["action"] for line in (self.folder / "audit.jsonl").read_text().splitlines()]

    @property
    def runs(self) -> list[Path]:
        return sorted((self.folder / "training" / "runs").glob("*"))


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    made = Site(tmp_path)
    script = WORKER.replace("__PLAN__", repr(str(made.plan_file)))
    monkeypatch.setattr(process, "_WORKER", (sys.executable, "-c", script))
    return made


@pytest.mark.parametrize(("below", "teacher"), [(9, True), (8, False)])
def test_with_few_labels_a_teacher_speaks_of_the_other_frames(site: Site, below: int, teacher: bool) -> None:
    """Eight frames are labelled to train on."""
    site.restart(teacher_below=below)
    site.plan(hang=True)
    notes = site.start()["notes"]
    assert notes == (["the bundle has no configs/adapt.yaml, so only labelled frames are learnt from"] if teacher else [])
    site.training.stop(ANN)
    configs = site.shipped.parents[1] / "configs"
    configs.mkdir()
    (configs / "adapt.yaml").write_text("")
    notes = site.start()["notes"]
    words = "few frames are labelled: a teacher speaks of the others, of 2 image(s)"
    assert notes == ([words] if teacher else notes)
    [run] = site.runs
    assert json.loads((run / "job.json").read_text())["teacher"] is teacher
    assert (run / "data" / "unlabelled").exists() is teacher
    site.training.stop(ANN)


def test_a_better_model_is_published_with_its_figures(site: Site) -> None:
    assert site.training.status() is None
    site.plan()
    begun = site.start(max_epochs=3)
    assert begun["status"] == "RUNNING"
    assert "goes on learning from 8 frame(s) of 2 patient(s); 4 frame(s) of 1 patient(s) validate" in begun["details"][0]
    state = site.finish()
    assert state["status"] == "DONE"
    assert state["result"]["published"] is True
    assert (state["progress"]["score"], state["progress"]["active_score"]) == (0.6, 0.5)
    assert "was published: not worse: validation score 0.6000, the active model's 0.5000" in state["details"][-1]
    assert site.models.predictor().weights.read_bytes() == b"better"
    [newest, shipped] = site.models.history()
    assert (newest["from"], newest["author"], newest["active"], shipped["active"]) == (SHIPPED, "Ann", True, False)
    assert newest["scores"]["validation"] == {"score": 0.6}
    assert newest["labels"]["training"]["frames"] == 8
    assert site.runs == []
    assert site.actions() == ["train.start", "model.publish"]


def test_a_model_as_good_is_not_worse(site: Site) -> None:
    site.plan(new=0.5, old=0.5)
    site.start()
    assert site.finish()["result"]["published"] is True


def test_a_worse_model_is_kept_but_not_used(site: Site) -> None:
    site.plan(new=0.4999, old=0.5)
    site.start()
    state = site.finish()
    assert (state["status"], state["result"]["published"]) == ("DONE", False)
    assert "worse: validation score 0.4999" in state["result"]["reason"]
    assert site.models.predictor().weights == site.shipped
    assert [h["published"] for h in site.models.history()] == [False, True]
    assert site.actions() == ["train.start", "model.keep"]


def test_a_model_whose_parent_is_no_longer_active_is_not_published(site: Site, tmp_path: Path) -> None:
    site.plan(hang=True)
    site.start()
    site.wait(lambda: site.reached(1))
    other = tmp_path / "other" / "model.pt"
    other.parent.mkdir()
    other.write_bytes(b"other")
    site.models.publish(other, parent=SHIPPED, labels={}, scores={})
    site.plan()
    site.training._process.kill()  # type: ignore[union-attr]
    assert site.finish()["status"] == "ERROR"
    site.plan()
    run = site.runs[0]
    (run / "model.pt").write_bytes(b"better")
    site.training._publish(run, SHIPPED, {}, ANN, {"candidate": {"score": 1.0}, "active": {"score": 0.0}})
    assert "another model became active meanwhile" in (site.training.status() or {})["result"]["reason"]
    assert site.models.predictor().weights.read_bytes() == b"other"


def test_one_at_a_time_and_stopping_is_real(site: Site) -> None:
    site.plan(hang=True)
    site.start()
    with pytest.raises(TrainingRunning):
        site.start()
    site.wait(lambda: site.reached(1))
    process = site.training._process
    assert process is not None
    stopped = site.training.stop(ANN)
    assert stopped is not None
    assert stopped["status"] == "STOPPED"
    assert process.poll() is not None
    assert site.training.stop(ANN) is None
    assert site.actions() == ["train.start", "train.stop"]
    assert site.models.history()[0]["id"] == SHIPPED


def test_a_stopped_run_goes_on_where_labels_weights_and_rate_are_the_same(site: Site) -> None:
    def begin(**parameters: Any) -> tuple[Path, list[str]]:
        notes = site.start(**parameters)["notes"]
        site.wait(lambda: site.reached(1))
        site.training.stop(ANN)
        [run] = site.runs  # the former ones are gone
        return run, notes

    site.plan(hang=True)
    first, notes = begin(max_epochs=5)
    assert notes == []
    again, notes = begin(max_epochs=9)
    assert (again, notes) == (first, ["goes on where the same training was stopped"])
    other, notes = begin(max_epochs=5, learning_rate=1e-3)
    assert other != first
    assert notes == []
    site.submit(1)
    after, notes = begin(max_epochs=5, learning_rate=1e-3)
    assert after != other
    assert notes == []


def test_a_server_that_was_killed_says_so_and_can_go_on(site: Site) -> None:
    site.plan(hang=True)
    site.start()
    site.wait(lambda: site.reached(1))
    before = site.training
    site.restart()  # as another server process finds the folder
    state = site.training.status() or {}
    assert state["status"] == "INTERRUPTED"
    assert "start it again, and it goes on" in state["details"][-1]
    assert not site.training.running
    before.stop(ANN)
    site.plan()
    assert site.start()["notes"] == ["goes on where the same training was stopped"]
    assert site.finish()["result"]["published"] is True


def test_what_went_wrong_is_said_and_the_server_goes_on(site: Site) -> None:
    site.plan(error="ValueError: the bundle has no configs/train.yaml")
    site.start()
    state = site.finish()
    assert (state["status"], state["details"][-1]) == ("ERROR", "ValueError: the bundle has no configs/train.yaml")
    site.plan()
    site.start()
    assert site.finish()["status"] == "DONE"


def test_a_full_disk_at_the_end_loses_no_training(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: Any) -> None:
        raise OSError(28, "No space left on device")

    site.plan()
    with monkeypatch.context() as patch:
        patch.setattr("label_app.lib.models.registry.shutil.copyfileobj", full)
        site.start()
        state = site.finish()
    assert state["status"] == "ERROR"
    assert "could not be kept: No space left on device" in state["details"][-1]
    assert site.start()["notes"] == ["goes on where the same training was stopped"]
    assert site.finish()["status"] == "DONE"


def test_a_damaged_state_is_left_out(site: Site) -> None:
    (site.folder / "training").mkdir()
    (site.folder / "training" / "state.json").write_text('{"status": "RUN')
    site.restart()
    assert site.training.status() is None


def test_what_nobody_foresaw_ends_the_training_all_the_same(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*arguments: Any, **more: Any) -> None:
        raise KeyError("/studies/Doe_John.dcm")

    site.plan()
    with monkeypatch.context() as patch:
        patch.setattr(site.models, "publish", fails)
        site.start()
        state = site.finish()
    assert state["status"] == "ERROR"
    assert "could not be finished (KeyError)" in state["details"][-1]
    assert "Doe" not in state["details"][-1]
    site.start()
    assert site.finish()["status"] == "DONE"


def test_an_audit_log_that_is_full_neither_loses_a_model_nor_keeps_a_training_going(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(line: bytes) -> None:
        raise OSError(28, "No space left on device")

    site.plan()
    site.start()
    monkeypatch.setattr(site.training._audit, "_append", full)
    state = site.finish()
    assert (state["status"], state["result"]["published"]) == ("DONE", True)
    assert "the audit log cannot be written" in caplog.text
    monkeypatch.undo()
    script = WORKER.replace("__PLAN__", repr(str(site.plan_file)))
    monkeypatch.setattr(process, "_WORKER", (sys.executable, "-c", script))
    site.plan(hang=True)
    site.start()
    site.wait(lambda: site.reached(1))
    monkeypatch.setattr(site.training._audit, "_append", full)
    assert (site.training.stop(ANN) or {})["status"] == "STOPPED"
