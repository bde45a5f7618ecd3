"""One training, in a process of its own: ``python -m label_app.lib.trainers.worker RUN``.

The server starts it, listens to its standard output, and ends it when asked; and it ends itself when the server is gone. In the
folder RUN lie ``job.json`` (written by the server: what to do), ``schema.yaml`` and ``data`` (a frozen datalist). It runs the
bundle's own ``configs/train.yaml``, with ``configs/adapt.yaml`` where a teacher speaks of the images in ``data/unlabelled``. Then
it judges the new weights and those it started from on the same validation labels, and chooses thresholds. Standard output is one
JSON object per line: ``{"progress": ...}``, ``{"line": words}``, ``{"error": words}``, and ``{"result": ...}`` at the end.
Everything is nice to the server's own work.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["main", "train"]

Report = Callable[[dict[str, Any]], None]

_NICE = 10
_AT_LEAST = 5  # frames with and without a point before a threshold is learnt from them; the former model's stays otherwise


def train(run: Path, report: Report) -> dict[str, Any]:
    """Do the job in ``run``; goes on from a checkpoint there.

    Returns:
        ``{"candidate": figures, "active": figures}`` on the validation labels; ``run/model.pt`` and ``run/thresholds.json`` are
        written.

    Raises:
        ValueError: the job cannot be done; says why.
    """
    from monai_tavr.training.fine_tuning import FineTuning, fine_tune

    job = json.loads((run / "job.json").read_text(encoding="utf-8"))
    asked = {name: job[name] for name in ("bundle", "weights", "schema", "device", "frames", "max_epochs", "learning_rate")}
    unlabelled = run / "data" / "unlabelled" if job["teacher"] else None
    fine_tune(run, FineTuning(data=run / "data", unlabelled=unlabelled, **asked), report)
    report({"line": "the new model and the active one are judged on the validation labels"})
    return _judge(run, job, report)


def _judge(run: Path, job: dict[str, Any], report: Report) -> dict[str, Any]:
    """Figures of the new weights and of the active ones, every point at 0.5; and the new model's thresholds."""
    from monai_tavr.evaluation.thresholds import choose_thresholds
    from monai_tavr.postprocess import Thresholds, read_thresholds, write_thresholds

    active, _, _ = _evaluate(run, job, Path(job["weights"]))
    candidate, frames, schema = _evaluate(run, job, run / "model.pt")
    path = Path(job["weights"]).with_name("thresholds.json")
    former = read_thresholds(path, schema=schema) if path.is_file() else Thresholds(schema.name, {})
    patients = len({f.patient for f in frames})
    words = f"submitted labels: {len(frames)} frames of {patients} {job['split_by']}(s)"
    chosen = choose_thresholds(frames, schema=schema, selected_on=words, former=former, at_least=_AT_LEAST)
    write_thresholds(run / "thresholds.json", chosen)
    _calibrate(run, job, report)
    return {"candidate": candidate, "active": active}


def _calibrate(run: Path, job: dict[str, Any], report: Report) -> None:
    """Write ``run/uncertainty.json``, by which frames to label are chosen; without it they are chosen by its default."""
    from monai_tavr.cli import main as command

    arguments = ["--data", str(run / "data"), "--split", "val", "--out", str(run / "uncertainty.json")]
    model = ["--bundle", job["bundle"], "--weights", str(run / "model.pt"), "--schema", job["schema"], "--device", job["device"]]
    if command(["active-learning", "calibrate", *arguments, *model]):
        report({"line": "the uncertainty of the new model could not be calibrated"})


def _evaluate(run: Path, job: dict[str, Any], weights: Path) -> tuple[dict[str, Any], Any, Any]:
    from monai_tavr.postprocess import KeypointPostprocess
    from monai_tavr.predictor import KeypointPredictor
    from monai_tavr.training.datasets import load_datalist
    from monai_tavr.training.judging import validation_figures

    predictor = KeypointPredictor(job["bundle"], weights=weights, schema=job["schema"], device=job["device"])
    schema = predictor.schema
    predictor.postprocess = KeypointPostprocess(schema=schema)
    predictor.spread_floor = 0.0  # it is chosen with the thresholds
    figures, frames = validation_figures(predictor, load_datalist(run / "data", "validation"))
    return figures, frames, schema


def _watch_the_server() -> None:
    """The server holds the other end of standard input: where that closes, the server is gone, and so is this."""
    while os.read(0, 1):  # not sys.stdin: Python cannot end while a thread waits in its buffer
        pass
    os.killpg(0, signal.SIGKILL)


def _reporter() -> Report:
    """Reports go to standard output, and nothing else does: libraries that print must not break the lines."""
    stream = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    lock = threading.Lock()

    def report(content: dict[str, Any]) -> None:
        with lock:
            stream.write(json.dumps(content) + "\n")
            stream.flush()

    return report


def main() -> int:
    """The process; returns its exit code."""
    report = _reporter()
    threading.Thread(target=_watch_the_server, name="watch", daemon=True).start()
    os.nice(_NICE)
    warnings.simplefilter("ignore")  # pydicom's quote what a damaged header holds, patients' names too
    logging.getLogger("pydicom").setLevel(logging.CRITICAL)
    run = Path(sys.argv[1])
    try:
        report({"result": train(run, report)})
    except Exception as error:
        cause: BaseException = error
        while cause.__cause__ is not None:  # MONAI wraps what went wrong in a configuration or a transform, level by level
            cause = cause.__cause__
        words = str(getattr(cause, "reason", cause)).splitlines()
        (run / "error.txt").write_text(traceback.format_exc(), encoding="utf-8")
        report({"error": f"{type(cause).__name__}: {words[0] if words else 'no reason given'}"})
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
