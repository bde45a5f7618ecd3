"""The app's training: at most one at a time, in a process of its own, so that stopping is real and the server stays responsive.

MONAI Label's own background tasks start a process that imports the whole app, bypass the guard and write every line to the
server's log, so they are not used; what clients see (:meth:`Training.status`) has their shape. Layout of the folder::

    state.json      the last training as clients see it; a server that was killed finds it and says so
    runs/<key>/     one run: job, schema, frozen labels, checkpoint, log; kept until the training is done or another one starts

A run's key is made of the labels, the weights it starts from, the schema and the learning rate: where they are the same, it goes
on where it was stopped.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import subprocess
import threading
import uuid
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from label_app.lib.auth.audit import AuditLog
from label_app.lib.auth.user import User
from label_app.lib.models.record import TASK
from label_app.lib.models.registry import ModelRegistry
from label_app.lib.trainers.process import GRACE_SECONDS, close_streams, end_group, start_worker
from label_app.lib.trainers.snapshot import Snapshot
from label_app.lib.trainers.train_request import TrainRequest
from monai_tavr.files import write_json_atomically
from monai_tavr.formats.checks import listing, mapping, read_json

__all__ = ["Training", "TrainingRunning"]

logger = logging.getLogger(__name__)

_LINES = 20  # of words that clients get, as with MONAI Label
_ALIVE = ("SUBMITTED", "RUNNING")


class TrainingRunning(ValueError):
    """One training at a time."""


class Training:
    """Starts, watches, stops and publishes. Safe for use by several threads.

    Args:
        folder: of the state and the runs.
        models: where the training starts from and where its result goes.
        snapshot: (patients trained on, patients validated on) -> the labels as they are now; raises ValueError in words.
        audit: who did what.
        teacher_below: labelled frames below which the unlabelled images join a training; see `monai_tavr.training.teacher`.
    """

    def __init__(
        self,
        folder: Path,
        models: ModelRegistry,
        snapshot: Callable[[set[str], list[str]], Snapshot],
        audit: AuditLog,
        *,
        teacher_below: int = 0,
    ) -> None:
        self._teacher_below = teacher_below
        self._folder, self._models, self._snapshot, self._audit = folder, models, snapshot, audit
        self._lock, self._starting = threading.RLock(), threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._follower: threading.Thread | None = None
        self._stopping = False
        self._state = self._read_state()

    def _read_state(self) -> dict[str, Any] | None:
        try:
            state = dict(mapping(read_json(self._folder / "state.json"), "state", required={"status", "details"}))
            listing(state["details"], "details")
        except FileNotFoundError:
            return None
        except (OSError, ValueError):
            logger.warning("the state of the last training cannot be read and is left out")
            return None
        if state.get("status") in _ALIVE:
            state |= {"status": "INTERRUPTED", "end_ts": _now()}
            state["details"].append("the server was ended during the training; start it again, and it goes on")
        return state

    def _write_state(self) -> None:
        try:
            write_json_atomically(self._folder / "state.json", self._state)
        except OSError as error:
            logger.warning("the state of the training is kept in memory only: %s", error.strerror)

    @property
    def running(self) -> bool:
        """Whether a training is under way, its publication included."""
        with self._lock:
            return self._state is not None and self._state["status"] in _ALIVE

    def status(self) -> dict[str, Any] | None:
        """The last training: MONAI Label's ``id, status, request, start_ts, end_ts, details``, and ``progress, notes, result``.

        ``status`` is SUBMITTED, RUNNING, DONE, ERROR, STOPPED or INTERRUPTED. None before the first training.
        """
        with self._lock:
            return None if self._state is None else json.loads(json.dumps(self._state))

    def start(self, request: TrainRequest, user: User) -> dict[str, Any]:
        """Begin, or go on with a stopped run of the same labels.

        Returns:
            See :meth:`status`.

        Raises:
            TrainingRunning: one is under way.
            ValueError: there is no model, or too little is labelled; in words.
            OSError: the disk is full.
        """
        if not self._starting.acquire(blocking=False):
            raise TrainingRunning("a training is just being started")
        try:
            if self.running:
                raise TrainingRunning("a training is under way; wait for it, or stop it first")
            return self._start(request, user)
        finally:
            self._starting.release()

    def _start(self, request: TrainRequest, user: User) -> dict[str, Any]:
        predictor, parent = self._models.predictor(), self._models.active
        if parent is None:
            raise ValueError("there is no model to go on from")
        validated_on = [*parent.labels.get("validation_patients", ()), *parent.labels.get("validation_images", ())]
        snapshot = self._snapshot(self._models.trained_on(parent.id), validated_on)
        labels = snapshot.record()
        teacher, reason = self._wants_teacher(predictor.bundle.root, labels["training"]["frames"], snapshot)
        key = _key(snapshot.digest, parent.weights_sha256, predictor.schema.to_yaml(), request.learning_rate, teacher)
        run = self._folder / "runs" / key
        resumed = self._prepare(run, snapshot, unlabelled=teacher)
        job = {
            "bundle": str(predictor.bundle.root),
            "weights": str(self._models.weights(parent.id).resolve()),
            "schema": str(run / "schema.yaml"),
            "device": str(predictor.device),
            "frames": labels["training"]["frames"],
            "split_by": snapshot.split_by,
            "teacher": teacher,
            **vars(request),
        }
        (run / "schema.yaml").write_text(predictor.schema.to_yaml(), encoding="utf-8")
        write_json_atomically(run / "job.json", job)
        self._audit.record(user, "train.start", model=parent.id, run=run.name)
        train, check = labels["training"], labels["validation"]
        words = (
            f"model {parent.version} goes on learning from {train['frames']} frame(s) of {train['patients']} patient(s); "
            f"{check['frames']} frame(s) of {check['patients']} patient(s) validate"
        )
        notes = [*snapshot.notes, *reason, *(["goes on where the same training was stopped"] if resumed else [])]
        with self._lock:
            self._state = {
                "id": str(uuid.uuid4()),
                "status": "RUNNING",
                "model": TASK,
                "request": vars(request),
                "from": parent.id,
                "user": user.name,
                "start_ts": _now(),
                "details": [words, *notes],
                "progress": {"epoch": 0, "max_epochs": request.max_epochs, "active_score": None},
                "notes": notes,
            }
            self._write_state()
            self._launch(run, parent.id, labels, user)
        return self.status() or {}

    def _wants_teacher(self, bundle: Path, frames: int, snapshot: Snapshot) -> tuple[bool, list[str]]:
        """Whether unlabelled images join, and what to say of it."""
        if frames >= self._teacher_below or not snapshot.unlabelled:
            return False, []
        if not (bundle / "configs" / "adapt.yaml").is_file():
            return False, ["the bundle has no configs/adapt.yaml, so only labelled frames are learnt from"]
        return True, [f"few frames are labelled: a teacher speaks of the others, of {len(snapshot.unlabelled)} image(s)"]

    def _prepare(self, run: Path, snapshot: Snapshot, *, unlabelled: bool) -> bool:
        """Write the labels of a new run and remove the former; True where a stopped run goes on."""
        for former in run.parent.glob("*"):
            if former != run:
                shutil.rmtree(former, ignore_errors=True)
        shutil.rmtree(run / "data" / "unlabelled", ignore_errors=True)  # what went since the run was stopped must not stay
        snapshot.write(run / "data", own=self._folder.parent, unlabelled=unlabelled)
        return (run / "checkpoint.pt").is_file()

    def _launch(self, run: Path, parent: str, labels: dict[str, Any], user: User) -> None:
        self._stopping = False
        try:
            self._process = start_worker(run)
        except OSError as error:
            self._end("ERROR", f"the training process cannot be started: {error.strerror}")
            return
        arguments = (self._process, run, parent, labels, user)
        self._follower = threading.Thread(target=self._follow, args=arguments, name="training", daemon=True)
        self._follower.start()

    def _follow(self, process: subprocess.Popen[str], run: Path, parent: str, labels: dict[str, Any], user: User) -> None:
        """Take in what the process says until it ends, and publish what it made. Whatever happens, the training ends."""
        try:
            self._listen(process, run, parent, labels, user)
        except BaseException as error:
            logger.exception("the training could not be finished")
            self._end("ERROR", f"the training could not be finished ({type(error).__name__}); the server's log says more")

    def _listen(self, process: subprocess.Popen[str], run: Path, parent: str, labels: dict[str, Any], user: User) -> None:
        result, error = None, "the training process ended without a reason"
        for line in process.stdout or ():
            try:
                report = json.loads(line)
            except ValueError:
                continue
            result, error = report.get("result", result), report.get("error", error)
            self._take(report)
        process.wait()
        close_streams(process)
        if self._stopping:
            self._end("STOPPED", "stopped; start it again with the same labels, and it goes on after the last whole epoch")
        elif process.returncode or result is None:
            self._end("ERROR", error)
        else:
            self._publish(run, parent, labels, user, result)

    def _take(self, report: dict[str, Any]) -> None:
        with self._lock:
            if self._state is None:
                raise RuntimeError("a report of a training that was never started")
            self._state["progress"].update(report.get("progress", {}))
            if words := report.get("line"):
                self._state["details"] = [*self._state["details"], words][-_LINES:]
                self._write_state()

    def _publish(self, run: Path, parent: str, labels: dict[str, Any], user: User, result: dict[str, Any]) -> None:
        """Into the history; active only where it is not worse than the model that is active now, on the same labels."""
        active = self._models.active
        new, old = result["candidate"]["score"], result["active"]["score"]
        figures = f"validation score {new:.4f}, the active model's {old:.4f}"
        if active is None or active.id != parent:
            published, reason = False, f"another model became active meanwhile ({figures})"
        else:
            published, reason = new >= old, f"{'not worse' if new >= old else 'worse'}: {figures}"
        try:
            record = self._models.publish(
                run / "model.pt",
                parent=parent,
                labels=labels,
                scores={"validation": result["candidate"], "validation_of_parent": result["active"]},
                author=user.name,
                published=published,
                reason=reason,
            )
        except (ValueError, OSError) as error:
            self._end("ERROR", f"the new model could not be kept: {getattr(error, 'strerror', None) or error}")
            return
        self._audit.note(user, "model.publish" if published else "model.keep", model=record.id)
        shutil.rmtree(run, ignore_errors=True)
        result = {"published": published, "id": record.id, "reason": reason, "scores": record.scores}
        self._take({"progress": {"score": new, "active_score": old}})
        self._end("DONE", f"model {record.version} was {'published' if published else 'not published'}: {reason}", result=result)

    def _end(self, status: str, words: str, **more: Any) -> None:
        with self._lock:
            if self._state is None:
                raise RuntimeError("the end of a training that was never started")
            details = [*self._state["details"], words][-_LINES:]
            self._state |= {"status": status, "end_ts": _now(), "details": details, **more}
            self._process = None
            self._write_state()

    def stop(self, user: User) -> dict[str, Any] | None:
        """End a training; returns when it has ended. None where none is under way."""
        with self._lock:
            process, follower = self._process, self._follower
            if process is None or follower is None:
                return None
            self._stopping = True
            self._audit.note(user, "train.stop")
        end_group(process)
        follower.join(GRACE_SECONDS)  # it has the last word on the state
        return self.status()


def _key(*parts: object) -> str:
    return hashlib.sha256(json.dumps([str(p) for p in parts]).encode()).hexdigest()[:16]


def _now() -> str:
    return datetime.now().strftime("%Y-%m-%d %H:%M:%S")  # as MONAI Label writes it
