"""BAMNet's table beside ours: Markdown for people, CSV for spreadsheets."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping, Sequence
from typing import Any

from monai_tavr.files import replacing
from monai_tavr.rival.errors import FIGURES, JudgedFrame
from monai_tavr.rival.published import BAMNET, POINTS, Spread

__all__ = ["comparison_table", "write_fold_csv", "write_landmark_csv"]

_ROWS = {
    "mean_error_px": "mean error, px at 640",
    "median_error_px": "median error, px at 640",
    **{f"{p} mean_error_px": f"{p}, mean error, px at 640" for p in POINTS},
    "mean_error_mm": "mean error, mm",
    "median_error_mm": "median error, mm",
    "hold-out mean_error_mm": "fold 1 (their hold-out), mean error, mm",
    "reported": "visible landmarks that are reported",
}
_FOOTNOTE = """
BAMNet's 3.22 mm are those of its comparison with other networks; its supplement gives 2.13, 3.39, 2.50 and 2.79 mm for the four
landmarks of the same fold, 2.70 in the mean.
"""
_INTERVALS = {"mean_error_px": "95 % interval over patients, mean error, px", "mean_error_mm": "the same, mm"}


def comparison_table(models: Mapping[str, Mapping[str, Any]]) -> str:
    """A Markdown table: BAMNet as published, then each model.

    Args:
        models: title -> ``over_folds``, figure -> :class:`Spread`, and ``pooled`` with ``intervals_95``.
    """
    titles = ["BAMNet, published", *models]
    published = dict(BAMNET) | {"reported": Spread(1.0)}
    columns = [published, *(m["over_folds"] for m in models.values())]
    lines = [["mean ± sd over folds", *titles]]
    lines += [[words, *(_cell(name, column.get(name)) for column in columns)] for name, words in _ROWS.items()]
    for name, words in _INTERVALS.items():
        intervals = [m["pooled"]["intervals_95"].get(name) for m in models.values()]
        lines.append([words, "-", *("-" if i is None else f"{i[0]:.2f} to {i[1]:.2f}" for i in intervals)])
    widths = [max(len(line[i]) for line in lines) for i in range(len(titles) + 1)]
    rows = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in lines]
    return "\n".join([rows[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *rows[1:]]) + "\n" + _FOOTNOTE


def _cell(name: str, spread: Spread | None) -> str:
    if spread is None:
        return "-"
    if name == "reported":
        return f"{100 * spread.mean:.1f} %"
    return f"{spread.mean:.2f}" + ("" if spread.sd is None else f" ± {spread.sd:.2f}")


def write_fold_csv(path: str | os.PathLike[str], models: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """A row per model, fold and landmark, and per model and fold for all landmarks.

    Args:
        path: of the table.
        models: name -> the figures of each fold, see :func:`monai_tavr.rival.errors.summarise`.
    """
    rows = []
    for model, folds in models.items():
        for number, fold in enumerate(folds, start=1):
            counts = [fold["n_patients"], fold["n_frames"]]
            rows.append([model, number, "all", *counts, *(fold[f] for f in FIGURES)])
            rows += [[model, number, p, *counts, *(fold["per_point"][p][f] for f in FIGURES)] for p in POINTS]
    _write(path, ["model", "fold", "landmark", "n_patients", "n_frames", *FIGURES], rows)


def write_landmark_csv(path: str | os.PathLike[str], models: Mapping[str, Sequence[Sequence[JudgedFrame]]]) -> None:
    """A row per model, frame and visible landmark: for whoever wants other statistics."""
    rows = []
    for model, folds in models.items():
        for number, frames in enumerate(folds, start=1):
            for f in frames:
                for i in f.truth.visible.nonzero()[0]:
                    dx, dy = (f.located.xy[i] - f.truth.xy[i]).astype(float)
                    x, y = f.truth.spacing or (float("nan"), float("nan"))
                    mm = "" if f.truth.spacing is None else f"{(dx * dx * x * x + dy * dy * y * y) ** 0.5:.4f}"
                    px = f"{(dx * dx + dy * dy) ** 0.5:.3f}"
                    rows.append([model, number, f.patient, f.picture, POINTS[i], px, mm, int(f.reported[i])])
    _write(path, ["model", "fold", "patient", "picture", "landmark", "error_px_640", "error_mm", "reported"], rows)


def _write(path: str | os.PathLike[str], header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    table = io.StringIO(newline="")
    writer = csv.writer(table, lineterminator="\n")
    writer.writerows([header, *rows])
    with replacing(path) as stream:
        stream.write(table.getvalue().encode())
