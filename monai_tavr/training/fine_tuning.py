"""A short training that goes on from weights there are, by the bundle's own ``configs/train.yaml``.

What the server does with submitted labels, and what a benchmark does with the patients of a fold. A run that was stopped goes on
after its last whole epoch when it is asked for again. Where a teacher speaks of frames without labels, ``configs/adapt.yaml``
says what is different.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monai_tavr.training.handlers import NOTHING_FOUND

if TYPE_CHECKING:
    from monai.bundle import ConfigWorkflow

__all__ = ["FineTuning", "TrainingProgress", "fine_tune", "load_configs", "short_run", "training_configs", "training_workflow"]

_SECONDS_BETWEEN_REPORTS = 0.5


@dataclass(frozen=True, kw_only=True)
class FineTuning:
    """What is trained on what.

    Attributes:
        bundle: folder of the bundle.
        weights: where it starts from.
        schema: of labels and weights, a packaged name or a YAML file.
        data: datalist, or the folder that holds it: its training patients teach, its validation patients choose the epoch.
        frames: how many frames teach.
        device: ``cpu``, ``cuda``, ``cuda:1``.
        max_epochs: passes over the training frames.
        learning_rate: peak of AdamW's.
        root_masks: learn the root's masks that items name, too.
        unlabelled: folder of frames that a teacher speaks of, see :mod:`monai_tavr.training.teacher`; None = no teacher.
    """

    bundle: str | os.PathLike[str]
    weights: str | os.PathLike[str]
    schema: str
    data: str | os.PathLike[str]
    frames: int
    device: str
    max_epochs: int
    learning_rate: float
    root_masks: bool = False
    unlabelled: str | os.PathLike[str] | None = None


def fine_tune(run: Path, task: FineTuning, report: Callable[[dict[str, Any]], None]) -> None:
    """Train, or go on with a training that was stopped.

    Args:
        run: folder of its checkpoint, its log, and in the end ``model.pt``, the weights of the epoch that validated best.
        task: what to do.
        report: takes what :class:`TrainingProgress` says.

    Raises:
        ValueError: the bundle cannot be trained, or the model found no point of the validation frames.
    """
    configs = training_configs(task.bundle, teacher=task.unlabelled is not None)
    _drop_longer_checkpoint(run / "checkpoint.pt", task.max_epochs)
    workflow = training_workflow(configs, _settings(run, task, configs))
    trainer = workflow.parser.get_parsed_content("train::trainer")
    evaluator = workflow.parser.get_parsed_content("validate::evaluator")
    progress = TrainingProgress(report)
    progress.attach(trainer, evaluator)
    workflow.run()
    # a run that was stopped after its last epoch validates nothing any more
    if (progress.validated and not progress.found_something) or not (run / "model.pt").is_file():
        raise ValueError("the training found no point of the validation labels; label more frames")


def training_configs(bundle: str | os.PathLike[str], *, teacher: bool = False) -> list[Path]:
    """The configurations of a bundle that train, of which a later one overrides those before it.

    Raises:
        ValueError: the bundle has none.
    """
    configs = [Path(bundle) / "configs" / name for name in ("train.yaml", *(["adapt.yaml"] if teacher else []))]
    for config in configs:
        if not config.is_file():
            raise ValueError(f"the bundle has no configs/{config.name}, so this model cannot be trained here")
    return configs


def load_configs(paths: Sequence[Path]) -> Mapping[str, Any]:
    """The values of configurations."""
    from monai.bundle import ConfigParser

    content: Mapping[str, Any] = ConfigParser.load_config_files([str(path) for path in paths])
    return content


def short_run(defaults: Mapping[str, Any], iterations: int) -> dict[str, Any]:
    """Warm-up and running mean for a training of so many iterations; the defaults are for thousands.

    Args:
        defaults: of :func:`load_configs`.
        iterations: in all.

    Returns:
        ``warmup_iterations``, a tenth of the training at most, and ``ema_momentum``, by which the running mean forgets the former
        weights within a tenth of it.
    """
    return {
        "warmup_iterations": max(1, min(int(defaults["warmup_iterations"]), iterations // 10)),
        "ema_momentum": max(float(defaults["ema_momentum"]), min(0.5, 10 / iterations)),
    }


def training_workflow(paths: Sequence[Path], settings: Mapping[str, Any]) -> ConfigWorkflow:
    """MONAI's workflow of configurations with other values for some ids, initialised; it leaves the caller's logging alone."""
    from monai.bundle import ConfigWorkflow

    workflow = ConfigWorkflow([str(path) for path in paths], workflow_type="train", logging_file=False, **settings)
    workflow.initialize()
    return workflow


def _drop_longer_checkpoint(path: Path, max_epochs: int) -> None:
    import torch

    if path.is_file() and torch.load(path, map_location="cpu", weights_only=True)["epoch"] > max_epochs:
        path.unlink()  # fewer epochs are asked for than were done: start anew


def _settings(run: Path, task: FineTuning, configs: Sequence[Path]) -> Mapping[str, Any]:
    """The ids of the configurations that a short fine-tuning needs otherwise than a training from scratch."""
    defaults = load_configs(configs)
    batch = min(int(defaults["batch_size"]), task.frames)
    per_epoch = task.frames // batch
    taught = {} if task.unlabelled is None else {"frames_dir": str(task.unlabelled), "iterations_per_epoch": per_epoch}
    return {
        "bundle_root": str(task.bundle),
        "schema": task.schema,
        "dataset_dir": str(task.data),
        "more_training_dirs": [],
        "root_masks": task.root_masks,
        "output_dir": str(run),
        "device": f"$torch.device('{task.device}')",
        "initial_weights": str(task.weights),
        "max_epochs": task.max_epochs,
        "learning_rate": task.learning_rate,
        "batch_size": batch,
        "val_interval": max(1, task.max_epochs // 20),
        **short_run(defaults, task.max_epochs * per_epoch),
        **taught,
    }


class TrainingProgress:
    """Trainer and evaluator handler: reports where the training is, and a line of words after each epoch and validation.

    A report is ``{"progress": {"epoch", "max_epochs", "iteration", "iterations", "loss", "score", "best_score",
    "seconds_left"}}``, after an epoch with ``"line"``, the same in words.

    Args:
        report: takes them.
    """

    def __init__(self, report: Callable[[dict[str, Any]], None]) -> None:
        self._report = report
        self._last, self._began, self._first = 0.0, 0.0, 0
        self._score: float | None = None
        self._best: float | None = None

    @property
    def validated(self) -> bool:
        """Whether there was a validation."""
        return self._best is not None

    @property
    def found_something(self) -> bool:
        """Whether a validation found a point; a model that finds none is not worth judging."""
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
