"""One training, in a process of its own: ``python -m label_app.lib.trainers.worker RUN``.

The server starts it, listens to its standard output, and ends it when asked; and it ends itself when the server is gone. In the
folder RUN lie ``job.json`` (written by the server: what to do), ``schema.yaml`` and ``data`` (a frozen datalist). It runs the
bundle's own ``configs/train.yaml``, then judges the new weights and those it started from on the same validation labels, and
chooses thresholds. Standard output is one JSON object per line: ``{"progress": ...}``, ``{"line": words}``, ``{"error": words}``,
and ``{"result": ...}`` at the end. Everything is nice to the server's own work.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["main", "train"]

Report = Callable[[dict[str, Any]], None]

_NICE = 10
_SECONDS_BETWEEN_REPORTS = 0.5
_AT_LEAST = 5  # frames with and without a point before a threshold is learnt from them; the former model's stays otherwise


def train(run: Path, report: Report) -> dict[str, Any]:
    """Do the job in ``run``; goes on from a checkpoint there.

    Returns:
        ``{"candidate": figures, "active": figures}`` on the validation labels; ``run/model.pt`` and ``run/thresholds.json`` are
        written.

    Raises:
        ValueError: the job cannot be done; says why.
    """
    from monai.bundle import ConfigWorkflow

    job = json.loads((run / "job.json").read_text(encoding="utf-8"))
    config = Path(job["bundle"]) / "configs" / "train.yaml"
    if not config.is_file():
        raise ValueError("the bundle has no configs/train.yaml, so this model cannot be trained here")
    _drop_longer_checkpoint(run / "checkpoint.pt", job["max_epochs"])
    settings = _settings(run, job, config)
    workflow = ConfigWorkflow(str(config), workflow_type="train", logging_file=False, **settings)
    workflow.initialize()
    trainer = workflow.parser.get_parsed_content("train::trainer")
    evaluator = workflow.parser.get_parsed_content("validate::evaluator")
    progress = Progress(report)
    progress.attach(trainer, evaluator)
    workflow.run()
    if not progress.found_something:
        raise ValueError("the training found no point of the validation labels; label more frames")
    report({"line": "the new model and the active one are judged on the validation labels"})
    return _judge(run, job, report)


def _drop_longer_checkpoint(path: Path, max_epochs: int) -> None:
    import torch

    if path.is_file() and torch.load(path, map_location="cpu", weights_only=True)["epoch"] > max_epochs:
        path.unlink()  # fewer epochs are asked for than were done: start anew


def _settings(run: Path, job: dict[str, Any], config: Path) -> dict[str, Any]:
    """The ids of the configuration that a short fine-tuning needs otherwise than a training from scratch."""
    from monai.bundle import ConfigParser

    defaults = ConfigParser.load_config_file(str(config))
    batch = min(int(defaults["batch_size"]), job["frames"])
    iterations = job["max_epochs"] * (job["frames"] // batch)
    return {
        "bundle_root": job["bundle"],
        "schema": job["schema"],
        "dataset_dir": str(run / "data"),
        "more_training_dirs": [],
        "output_dir": str(run),
        "device": f"$torch.device('{job['device']}')",
        "initial_weights": job["weights"],
        "max_epochs": job["max_epochs"],
        "learning_rate": job["learning_rate"],
        "batch_size": batch,
        "val_interval": max(1, job["max_epochs"] // 20),
        "warmup_iterations": max(1, min(int(defaults["warmup_iterations"]), iterations // 10)),
        # the running mean must forget the former weights within a tenth of the run
        "ema_momentum": max(float(defaults["ema_momentum"]), min(0.5, 10 / iterations)),
    }


class Progress:
    """Trainer and evaluator handler: reports where the training is, and a line of words after each epoch and validation."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._last, self._began, self._first = 0.0, 0.0, 0
        self._score: float | None = None
        self._best: float | None = None

    @property
    def found_something(self) -> bool:
        """Whether a validation found a point; a model that finds none is not worth judging."""
        from monai_tavr.training.handlers import NOTHING_FOUND

        return self._best is not None and self._best > NOTHING_FOUND

    def attach(self, trainer: Any, evaluator: Any) -> None:
        """Listen to both."""
        from ignite.engine import Events

        trainer.add_event_handler(Events.STARTED, self._start)
        trainer.add_event_handler(Events.ITERATION_COMPLETED, self._step)
        trainer.add_event_handler(Events.EPOCH_COMPLETED, self._say)
        evaluator.add_event_handler(Events.COMPLETED, self._validated)

    def _start(self, engine: Any) -> None:
        self._began, self._first = time.monotonic(), engine.state.iteration

    def _step(self, engine: Any) -> None:
        if time.monotonic() - self._last >= _SECONDS_BETWEEN_REPORTS:
            self._report({"progress": self._where(engine)})
            self._last = time.monotonic()

    def _validated(self, evaluator: Any) -> None:
        self._score = float(evaluator.state.metrics["score"])
        self._best = self._score if self._best is None else max(self._best, self._score)

    def _where(self, engine: Any) -> dict[str, Any]:
        state = engine.state
        total, done = state.max_epochs * state.epoch_length, state.iteration - self._first
        left = (time.monotonic() - self._began) / done * (total - state.iteration) if done else None
        return {
            "epoch": state.epoch,
            "max_epochs": state.max_epochs,
            "iteration": (state.iteration - 1) % state.epoch_length + 1,
            "iterations": state.epoch_length,
            "loss": round(float(state.output["loss"].detach()), 5),
            "score": self._score,
            "best_score": self._best,
            "seconds_left": None if left is None else round(left),
        }

    def _say(self, engine: Any) -> None:
        where = self._where(engine)
        words = f"epoch {where['epoch']} of {where['max_epochs']}: loss {where['loss']:.4f}"
        if self._score is not None:
            score = f"validation score {self._score:.4f} (best {self._best:.4f})"
            words += f", {score if self.found_something else 'the validation found no point'}"
        self._report({"progress": where, "line": words})


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
    from monai_tavr.evaluation.frames import evaluate_cines, group_by_cine, model_predictions
    from monai_tavr.postprocess import KeypointPostprocess
    from monai_tavr.predictor import KeypointPredictor
    from monai_tavr.training.datasets import load_datalist
    from monai_tavr.training.handlers import ValidationScore

    predictor = KeypointPredictor(job["bundle"], weights=weights, schema=job["schema"], device=job["device"])
    schema = predictor.schema
    predictor.postprocess = KeypointPostprocess(schema=schema)
    predictor.spread_floor = 0.0  # it is chosen with the thresholds
    cines = group_by_cine(load_datalist(run / "data", "validation"), schema=schema)
    frames = evaluate_cines(cines, model_predictions(predictor))
    score = ValidationScore(schema)
    score([f.prediction for f in frames], [f.truth for f in frames])
    report = score.report()
    shown = ("f1", "f1_within_20px", "mean_error_px", "median_error_px", "group_accuracy", "n_frames")
    figures = {"score": round(score.aggregate(), 5)} | {name: report.get(name) for name in shown}
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
