"""An evaluation as people and spreadsheets read it: a printed table, and CSV with one row per point, group and patient."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterator, Mapping
from typing import Any

from monai_tavr.files import replacing

__all__ = ["figures_table", "write_metrics_csv"]

_COLUMNS = {
    "F1": "f1",
    "precision": "precision",
    "recall": "recall",
    "F1@20": "f1_within_20px",
    "mean px": "mean_error_px",
    "median": "median_error_px",
    "p95": "p95_error_px",
    "mean mm": "mean_error_mm",
    "acc@20": "localisation_accuracy_20px",
    "visible": "n_visible",
}


def _rows(report: Mapping[str, Any], levels: tuple[str, ...]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    yield "all", "", report
    for level in levels:
        for name, figures in report.get(f"per_{level}", {}).items():
            yield level, name, figures


def _text(value: Any) -> str:
    if value is None:
        return "-"
    return str(value) if isinstance(value, int) else f"{value:.3f}" if abs(value) < 2 else f"{value:.2f}"


def figures_table(report: Mapping[str, Any]) -> str:
    """The main figures of :func:`monai_tavr.evaluation.metrics.evaluate_keypoints`: all, per group, per point, then intervals."""
    lines = [f"{'':22s}" + "".join(f"{title:>10s}" for title in _COLUMNS)]
    for level, name, figures in _rows(report, ("group", "point")):
        label = "all points" if level == "all" else f"{'  ' if level == 'point' else ''}{name}"
        lines.append(f"{label:22s}" + "".join(f"{_text(figures.get(key)):>10s}" for key in _COLUMNS.values()))
    per_image = report["per_image"]
    lines.append("")
    lines.append("mean over images (the paper's): " + ", ".join(f"{k} {_text(v)}" for k, v in per_image.items()))
    sdr = ", ".join(f"{radius} px {_text(share)}" for radius, share in report["sdr_px"].items())
    lines.append(f"visible points found within: {sdr}")
    lines.append(f"groups right: {_text(report['group_accuracy'])}")
    if "calibration" in report:
        lines.append(
            "visibility: " + ", ".join(f"{k} {_text(report['calibration'][k])}" for k in ("ece", "brier", "average_precision"))
        )
    for name, interval in report.get("intervals_95", {}).items():
        if interval is not None:
            lines.append(f"95 % interval over patients, {name}: {_text(interval[0])} to {_text(interval[1])}")
    counts = f"{report['n_frames']} frames"
    lines.append(counts + (f" of {report['n_patients']} patients" if "n_patients" in report else ""))
    return "\n".join(lines)


def write_metrics_csv(path: str | os.PathLike[str], report: Mapping[str, Any]) -> None:
    """One row for all, and one per group, point and patient; what could not be judged is empty."""
    columns = [name for name, value in report.items() if isinstance(value, int | float) or value is None]
    radii = list(report["sdr_px"])
    table = io.StringIO(newline="")
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["level", "name", *columns, *(f"sdr_{r}px" for r in radii)])
    for level, name, figures in _rows(report, ("group", "point", "patient")):
        writer.writerow([level, name, *(figures.get(c) for c in columns), *(figures["sdr_px"][r] for r in radii)])
    with replacing(path) as stream:
        stream.write(table.getvalue().encode())
