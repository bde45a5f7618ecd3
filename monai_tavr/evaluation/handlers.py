"""Evaluator handlers and saving transforms: what a validation, an evaluation and an inference leave on disk."""

from __future__ import annotations

import heapq
import itertools
import logging
import os
from pathlib import Path

from ignite.engine import Engine, Events

from monai_tavr.dicom import open_cine
from monai_tavr.drawing.overlay import draw_overlay, write_png
from monai_tavr.evaluation.frames import frame_error
from monai_tavr.evaluation.metrics import evaluate_keypoints
from monai_tavr.evaluation.report import write_metrics_csv
from monai_tavr.files import write_json_atomically
from monai_tavr.keypoints import Keypoints

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
        self._worst: list[tuple[float, int, str, Keypoints, Keypoints]] = []
        self._tie = itertools.count()

    def attach(self, engine: Engine) -> None:
        """Listen to an evaluator whose output holds ``pred`` and ``truth`` as Keypoints."""
        engine.add_event_handler(Events.STARTED, lambda _: self._worst.clear())
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._collect)
        engine.add_event_handler(Events.COMPLETED, self._draw)

    def _collect(self, engine: Engine) -> None:
        for item, output in zip(engine.state.batch, engine.state.output, strict=True):
            prediction, truth = output["pred"], output["truth"]
            path = str(item["image"].meta["filename_or_obj"])
            heapq.heappush(self._worst, (frame_error(prediction, truth), next(self._tie), path, prediction, truth))
            if len(self._worst) > self.count:
                heapq.heappop(self._worst)

    def _draw(self, engine: Engine) -> None:
        if engine.state.rank != 0:
            return
        self.output_dir.mkdir(parents=True, exist_ok=True)
        for old in self.output_dir.glob("worst_*.png"):
            old.unlink()
        for position, (error, _, path, prediction, truth) in enumerate(sorted(self._worst, key=lambda w: (-w[0], w[1]))):
            frame = open_cine(path).frame(truth.frame)
            name = f"worst_{position:02d}_{Path(path).parent.name}_{Path(path).stem}_frame{truth.frame:03d}.png"
            title = f"{Path(path).stem} frame {truth.frame}: {error:.1f} px per point"
            write_png(self.output_dir / name, draw_overlay(frame, prediction, truth=truth, title=title, zoom=self.zoom))


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
        self._rows: list[tuple[Keypoints, Keypoints, str]] = []

    def attach(self, engine: Engine) -> None:
        """Listen to an evaluator whose output holds ``pred`` and ``truth`` as Keypoints."""
        engine.add_event_handler(Events.STARTED, lambda _: self._rows.clear())
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._collect)
        engine.add_event_handler(Events.COMPLETED, self._write)

    def _collect(self, engine: Engine) -> None:
        for item, output in zip(engine.state.batch, engine.state.output, strict=True):
            # a datalist without patients: a file is the next best cluster
            patient = str(item.get("patient") or item["image"].meta["filename_or_obj"])
            self._rows.append((output["pred"], output["truth"], patient))

    def _write(self, engine: Engine) -> None:
        predictions, truths, patients = (list(column) for column in zip(*self._rows, strict=True))
        report = evaluate_keypoints(predictions, truths, patients=patients, bootstrap=self.bootstrap)
        write_json_atomically(self.output_dir / "metrics.json", report)
        write_metrics_csv(self.output_dir / "metrics.csv", report)
        for name in self.shown:
            value = report.get(name)
            self.logger.info(f"{name:28s}{value:.4f}" if isinstance(value, float) else f"{name:28s}{value}")
