"""Predictions of many images ahead of time, in the background: MONAI Label's ``/batch/infer``.

MONAI Label's own starts a process that imports the whole app and writes predictions among the labels. Here a thread asks the
app's own task, image after image; what it answers lies in the cache, and an annotator who opens the image finds it there.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from label_app.lib.images.pacs_error import PacsError

__all__ = ["BatchPrediction", "BatchRunning"]

_LINES = 20


class BatchRunning(ValueError):
    """One batch at a time."""


class BatchPrediction:
    """At most one batch at a time. Safe for use by several threads.

    Args:
        predict: predicts all frames of an image; raises where that cannot be done.
    """

    def __init__(self, predict: Callable[[str], Any]) -> None:
        self._predict = predict
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._state: dict[str, Any] | None = None

    @property
    def running(self) -> bool:
        """Whether a batch is under way."""
        with self._lock:
            return self._state is not None and self._state["status"] == "RUNNING"

    def status(self) -> dict[str, Any] | None:
        """The last batch in MONAI Label's shape, with ``progress``: images done, in all, and failed. None before the first."""
        with self._lock:
            state = self._state
            return None if state is None else {**state, "details": list(state["details"]), "progress": dict(state["progress"])}

    def start(self, images: Sequence[str], *, model: str) -> dict[str, Any]:
        """Begin.

        Raises:
            BatchRunning: one is under way.
        """
        with self._lock:
            if self._state is not None and self._state["status"] == "RUNNING":
                raise BatchRunning("a batch is under way; wait for it, or stop it first")
            self._stop = threading.Event()
            self._state = {
                "id": str(uuid.uuid4()),
                "status": "RUNNING",
                "model": model,
                "request": {"images": len(images)},
                "start_ts": _now(),
                "details": [f"{len(images)} image(s) to predict"],
                "progress": {"done": 0, "images": len(images), "failed": 0},
            }
            arguments = (self._state, list(images), self._stop)
            threading.Thread(target=self._run, args=arguments, name="batch", daemon=True).start()
        return self.status() or {}

    def _run(self, state: dict[str, Any], images: list[str], stop: threading.Event) -> None:
        for image in images:
            if stop.is_set():
                return
            try:
                self._predict(image)
                failed = 0
            except (
                BaseException
            ) as error:  # one damaged image must not keep the others waiting; decoders panic with no `Exception`
                failed = 1
                self._say(state, f"{image}: {_words(error)}")
            with self._lock:
                progress = state["progress"]
                state["progress"] = progress | {"done": progress["done"] + 1, "failed": progress["failed"] + failed}
        self._end(state, "DONE", f"{len(images)} image(s) predicted, {state['progress']['failed']} of them failed")

    def stop(self) -> dict[str, Any] | None:
        """End a batch after the image that it is at; None where there is none."""
        with self._lock:
            state = self._state
            if state is None or state["status"] != "RUNNING":
                return None
            self._stop.set()
        self._end(state, "STOPPED", "stopped")
        return self.status()

    def _say(self, state: dict[str, Any], words: str) -> None:
        with self._lock:
            state["details"] = [*state["details"], words][-_LINES:]

    def _end(self, state: dict[str, Any], status: str, words: str) -> None:
        with self._lock:
            if state["status"] != "RUNNING":
                return
            state["status"], state["end_ts"] = status, _now()
            state["details"] = [*state["details"], words][-_LINES:]


def _words(error: BaseException) -> str:
    """What is meant for people; other words may quote paths."""
    return str(error) if isinstance(error, PacsError) else str(getattr(error, "msg", type(error).__name__))  # MONAI Label's


def _now() -> str:
    return datetime.now().strftime("%Y-%m-%d %H:%M:%S")  # as MONAI Label writes it
