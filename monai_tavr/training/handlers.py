"""What the bundle's configurations need beside MONAI's engines: batches, resuming, progress, the key figure."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from ignite.handlers import Checkpoint
from monai.engines import default_prepare_batch
from monai.handlers import CheckpointSaver, IgniteMetricHandler
from monai.metrics import CumulativeIterationMetric
from torch import Tensor, nn

from monai_tavr.evaluation.metrics import KeypointMetrics
from monai_tavr.files import replacing
from monai_tavr.keypoints import KeypointSchema
from monai_tavr.weights import load_weights

__all__ = [
    "NOTHING_FOUND",
    "BestModelSaver",
    "ProgressLog",
    "TrainingCheckpoint",
    "ValidationScore",
    "loss_terms",
    "prepare_batch",
    "start_network",
    "validation_metrics",
]

NOTHING_FOUND = -1000.0
"""The score of a model that finds no point: below that of any mean error inside a picture, and JSON can hold it."""


def start_network(network: nn.Module, weights: str | os.PathLike[str] | None, device: str | torch.device) -> nn.Module:
    """The network on its device in channels-last memory, from scratch or from a file of weights (fine-tuning).

    What the file may be says :func:`monai_tavr.weights.read_weights`, for the predictor takes the same.

    Raises:
        ValueError: the file cannot be read, or its weights do not fit the network.
    """
    if weights is not None:
        load_weights(network, weights)
    return network.to(device).to(memory_format=torch.channels_last)


def prepare_batch(
    batch: Mapping[str, Any], device: str | torch.device | None = None, non_blocking: bool = False, **kwargs: Any
) -> tuple[Tensor, Tensor | dict[str, Tensor] | None]:
    """MONAI's default, with ``target`` for a label and the image in channels-last memory, which convolutions on CPUs prefer.

    Args:
        batch: ``image`` (B, C, h, w), and ``target`` (B, K + G, 3) where there is one, with ``root_mask`` (B, h, w) where that is
            learnt too.
        device: where to move them.
        non_blocking: see ``Tensor.to``.
        kwargs: for ``Tensor.to``.

    Returns:
        The image (B, C, h, w), normalised grey levels, and the target (B, K + G, 3): normalised x and y, state; or None; with a
        root mask a mapping of both, as :class:`monai_tavr.training.GroupedKeypointLoss` takes it.
    """
    pair = {"image": batch["image"]} | ({"label": batch["target"]} if "target" in batch else {})
    image, target = default_prepare_batch(pair, device, non_blocking, **kwargs)
    image = image.contiguous(memory_format=torch.channels_last)
    mask = batch.get("root_mask")
    if isinstance(mask, Tensor):  # else the paths of masks that are not learnt
        mask = mask.to(device=device, non_blocking=non_blocking)
        return image, {"target": target, "root_mask": mask}
    return image, target


def loss_terms(loss: nn.Module) -> Callable[[Mapping[str, Any]], dict[str, float]]:
    """What to log of an iteration: a function of the trainer's output that gives the loss and its unweighted terms."""

    def terms(output: Mapping[str, Any]) -> dict[str, float]:
        parts: Mapping[str, Tensor] = getattr(loss, "terms", {})
        return {"loss": float(output["loss"].detach())} | {name: float(value) for name, value in parts.items()}

    return terms


class ProgressLog:
    """Trainer handler: a line every ``interval`` iterations with mean loss and terms, learning rate, speed and time left.

    Args:
        terms: function of the trainer's output, see :func:`loss_terms`.
        optimizer: whose learning rate to show.
        interval: iterations per line.
    """

    def __init__(
        self,
        terms: Callable[[Mapping[str, Any]], Mapping[str, float]],
        *,
        optimizer: torch.optim.Optimizer,
        interval: int = 20,
    ) -> None:
        self.terms, self.optimizer, self.interval = terms, optimizer, interval
        self._sums: dict[str, float] = {}
        self._count, self._busy, self._since = 0, 0.0, 0.0

    def attach(self, engine: Engine) -> None:
        """Listen to a trainer."""
        engine.add_event_handler(Events.GET_BATCH_STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._step)

    def _start(self, engine: Engine) -> None:
        self._since = time.monotonic()

    def _step(self, engine: Engine) -> None:
        # only iterations count: validation and saving do not blur the speed
        self._busy += time.monotonic() - self._since
        for name, value in self.terms(engine.state.output).items():
            self._sums[name] = self._sums.get(name, 0.0) + value
        self._count += 1
        if self._count >= self.interval:
            self._log(engine)
            self._sums, self._count, self._busy = {}, 0, 0.0

    def _log(self, engine: Engine) -> None:
        state, speed = engine.state, self._count / max(self._busy, 1e-9)
        within = (state.iteration - 1) % state.epoch_length + 1
        left = timedelta(seconds=int((state.max_epochs * state.epoch_length - state.iteration) / speed))
        parts = [f"epoch {state.epoch}/{state.max_epochs}", f"iteration {within}/{state.epoch_length}"]
        parts += [f"{name} {total / self._count:.4f}" for name, total in self._sums.items()]
        parts += [f"lr {self.optimizer.param_groups[0]['lr']:.2e}", f"{speed:.2f} it/s", f"left {left}"]
        engine.logger.info("  ".join(parts))


class ValidationScore(KeypointMetrics):
    """One figure to choose a model by: end-to-end F1 (present and within 20 px) less a fiftieth of the mean error in pixels.

    F1 alone stops rewarding precision below 20 px; the error alone rewards leaving hard points out. One pixel weighs as much as
    two points of F1. A model that finds nothing has no error that could be subtracted: it scores :data:`NOTHING_FOUND`, less than
    any that finds something.
    """

    def __init__(self, schema: str | KeypointSchema = "tavr11") -> None:
        super().__init__(schema)

    def aggregate(self) -> float:
        """The score."""
        figures = self.figures()
        f1, error = figures["f1_within_20px"], figures["mean_error_px"]
        return NOTHING_FOUND if f1 is None or error is None else f1 - error / 50


class _Figure(CumulativeIterationMetric):
    """One figure of another metric, which is fed and reset by its own handler."""

    def __init__(self, source: KeypointMetrics, name: str) -> None:
        super().__init__()
        self._source, self._name = source, name

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return None

    def _compute_tensor(self, *args: Any, **kwargs: Any) -> Any:
        return None

    def aggregate(self) -> float:
        value = self._source.figures()[self._name]
        return math.nan if value is None else float(value)


def validation_metrics(
    schema: str | KeypointSchema, pairs: Callable[..., Any], score: KeypointMetrics | None = None
) -> dict[str, IgniteMetricHandler]:
    """Figures to show beside the score, all from one table of the epoch's frames.

    Args:
        schema: keypoint schema.
        pairs: extracts lists of predictions and truths from the evaluator's output.
        score: a metric that the evaluator has a handler for already, attached before these; None: they keep a table of their own.
    """
    shown = ("f1", "precision", "recall", "f1_within_20px", "mean_error_px", "localisation_accuracy_20px", "group_accuracy")
    metrics: dict[str, CumulativeIterationMetric] = {}
    for name in shown:
        if score is None:  # the first one collects for all
            metrics[name] = score = KeypointMetrics(schema, key=name)
        else:
            metrics[name] = _Figure(score, name)
    return {name: IgniteMetricHandler(metric, output_transform=pairs, save_details=False) for name, metric in metrics.items()}


class BestModelSaver(CheckpointSaver):
    """MONAI's saver of the best model as a plain state dict; it remembers the best score, so that a resumed run does."""

    def state_dict(self) -> dict[str, Any]:
        """Score and name of the saved file. Raises ValueError where ``save_key_metric`` is not set."""
        if self._key_metric_checkpoint is None:
            raise ValueError("BestModelSaver needs save_key_metric: true")
        return dict(self._key_metric_checkpoint.state_dict())


class TrainingCheckpoint:
    """Trainer handler: writes the whole state of a training to one file, and goes on from it.

    The file is complete or absent, whenever the process is killed. Of the learning-rate schedule only the position is kept, so
    that a finished run can be prolonged by a larger ``max_epochs``.

    Args:
        path: of the checkpoint.
        objects: name -> what has ``state_dict`` and ``load_state_dict``.
        lr_scheduler: stepped once per iteration.
        resume: go on from ``path`` where it exists.
        interval: epochs between writes.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        objects: Mapping[str, Any],
        *,
        lr_scheduler: torch.optim.lr_scheduler.LRScheduler,
        resume: bool = True,
        interval: int = 1,
    ) -> None:
        self.path, self.objects, self.lr_scheduler = Path(path), dict(objects), lr_scheduler
        self.resume, self.interval = resume, interval

    def attach(self, engine: Engine) -> None:
        """Listen to a trainer."""
        engine.add_event_handler(Events.STARTED, self.load)
        engine.add_event_handler(Events.EPOCH_COMPLETED(every=self.interval), self.save)

    def load(self, engine: Engine) -> None:
        """Go on where the file left off, if there is one. Raises ValueError if it holds more epochs than are asked for."""
        if not (self.resume and self.path.is_file()):
            return
        checkpoint = torch.load(self.path, map_location="cpu", weights_only=True)
        if checkpoint["epoch"] > engine.state.max_epochs:
            raise ValueError(
                f"{self.path} holds epoch {checkpoint['epoch']}, but max_epochs is {engine.state.max_epochs}:"
                " raise max_epochs, choose another output_dir, or start anew with --resume false"
            )
        Checkpoint.load_objects(to_load=self.objects, checkpoint=checkpoint)
        engine.state.epoch = checkpoint["epoch"]
        engine.state.iteration = checkpoint["epoch"] * engine.state.epoch_length
        self.lr_scheduler.last_epoch = engine.state.iteration
        # the optimizer's own memory is of the former schedule
        for group, rate in zip(self.lr_scheduler.optimizer.param_groups, self.lr_scheduler.get_lr(), strict=True):
            group["lr"] = rate
        engine.logger.info(f"resumed after epoch {checkpoint['epoch']} from {self.path}")

    def save(self, engine: Engine) -> None:
        """Write the state; the former one stays until it is on disk."""
        if engine.state.rank != 0:
            return
        states = {name: _unwrap(part).state_dict() for name, part in self.objects.items()}
        with replacing(self.path) as stream:
            torch.save(states | {"epoch": engine.state.epoch}, stream)


def _unwrap(part: Any) -> Any:
    return part.module if isinstance(part, nn.parallel.DistributedDataParallel) else part
