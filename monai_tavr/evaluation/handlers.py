"""Evaluator handlers and saving transforms: what a validation, an evaluation and an inference leave on disk."""

from __future__ import annotations

import heapq
import itertools
import logging
import os
from collections.abc import Iterator
from pathlib import Path

from ignite.engine import Engine, Events

from monai_tavr.evaluation.frames import EvaluatedFrame, frame_error
from monai_tavr.evaluation.metrics import evaluate_keypoints
from monai_tavr.evaluation.report import write_metrics_csv
from monai_tavr.evaluation.worst_frames import write_worst_frames
from monai_tavr.files import write_json_atomically

__all__ = ["MetricsReport", "WorstFrames"]


class WorstFrames:
    """Evaluator handler: overlay pictures of the worst frames, prediction against truth, replaced after every run.

    Args:
        output_dir: folder of the pictures.
        count: how many.
        zoom: whole factor of enlargement.
    """

    def __init__(self, output_dir: str | os.PathLike[str], *, count: int = 12, zoom: int = 2) -> None:
        self.output_dir, self.count, self.zoom = Path(output_dir), count, zoom
        self._worst: list[tuple[float, int, EvaluatedFrame]] = []
        self._tie = itertools.count(0, -1)  # of two equal frames the earlier one stays

    def attach(self, engine: Engine) -> None:
        """Listen to an evaluator whose output holds ``pred`` and ``truth`` as Keypoints."""
        engine.add_event_handler(Events.STARTED, lambda _: self._worst.clear())
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._collect)
        engine.add_event_handler(Events.COMPLETED, self._draw)

    def _collect(self, engine: Engine) -> None:
        for frame in _evaluated(engine):
            heapq.heappush(self._worst, (frame_error(frame.prediction, frame.truth), next(self._tie), frame))
            if len(self._worst) > self.count:
                heapq.heappop(self._worst)

    def _draw(self, engine: Engine) -> None:
        if engine.state.rank == 0:
            in_order = sorted(self._worst, key=lambda w: -w[1])
            write_worst_frames(self.output_dir, [f for _, _, f in in_order], count=self.count, zoom=self.zoom)


def _evaluated(engine: Engine) -> Iterator[EvaluatedFrame]:
    """The frames of the evaluator's last iteration."""
    for item, output in zip(engine.state.batch, engine.state.output, strict=True):
        image = str(item["image"].meta["filename_or_obj"])
        # a datalist without patients: a file is the next best cluster
        yield EvaluatedFrame(Path(image), str(item.get("patient") or image), output["truth"], output["pred"])


class MetricsReport:
    """Evaluator handler: all figures to ``metrics.json``, per point, group and patient to ``metrics.csv``, a few to the log.

    Args:
        output_dir: folder of the two files.
        bootstrap: replicates of the patient bootstrap behind the intervals.
    """

    shown = (
        "f1",
        "precision",
        "recall",
        "mean_error_px",
        "median_error_px",
        "p95_error_px",
        "localisation_accuracy_20px",
        "group_accuracy",
        "n_frames",
        "n_patients",
    )

    def __init__(self, output_dir: str | os.PathLike[str], *, bootstrap: int = 1000) -> None:
        self.output_dir, self.bootstrap = Path(output_dir), bootstrap
        self.logger = logging.getLogger("monai_tavr.evaluate")
        self._frames: list[EvaluatedFrame] = []

    def attach(self, engine: Engine) -> None:
        """Listen to an evaluator whose output holds ``pred`` and ``truth`` as Keypoints."""
        engine.add_event_handler(Events.STARTED, lambda _: self._frames.clear())
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._collect)
        engine.add_event_handler(Events.COMPLETED, self._write)

    def _collect(self, engine: Engine) -> None:
        self._frames += _evaluated(engine)

    def _write(self, engine: Engine) -> None:
        predictions, truths = [f.prediction for f in self._frames], [f.truth for f in self._frames]
        patients = [f.patient for f in self._frames]
        report = evaluate_keypoints(predictions, truths, patients=patients, bootstrap=self.bootstrap)
        write_json_atomically(self.output_dir / "metrics.json", report)
        write_metrics_csv(self.output_dir / "metrics.csv", report)
        for name in self.shown:
            value = report.get(name)
            self.logger.info(f"{name:28s}{value:.4f}" if isinstance(value, float) else f"{name:28s}{value}")
