"""Pictures of the worst frames, prediction against truth: where to look first."""

from __future__ import annotations

import heapq
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from monai_tavr.dicom.open import open_cine
from monai_tavr.drawing.overlay import draw_overlay, write_png
from monai_tavr.evaluation.frames import EvaluatedFrame, frame_error

__all__ = ["write_worst_frames"]


def write_worst_frames(
    folder: str | os.PathLike[str],
    frames: Sequence[EvaluatedFrame],
    *,
    count: int = 12,
    zoom: int = 2,
    judge: Callable[[EvaluatedFrame], float] | None = None,
    unit: str = "px per point",
) -> None:
    """Draw frames as ``worst_00_*.png``, the worst first, instead of those of an earlier run.

    Args:
        folder: made if missing.
        frames: any number.
        count: how many to draw.
        zoom: whole factor of enlargement.
        judge: how bad a frame is; None = :func:`monai_tavr.evaluation.frames.frame_error`.
        unit: of that, in words.
    """
    out = Path(folder)
    out.mkdir(parents=True, exist_ok=True)
    for old in out.glob("worst_*.png"):
        old.unlink()
    errors = [judge(f) if judge is not None else frame_error(f.prediction, f.truth) for f in frames]
    worst = heapq.nlargest(count, range(len(frames)), key=lambda i: (errors[i], -i))
    for position, i in enumerate(worst):
        image, truth = frames[i].image, frames[i].truth
        patient = "" if frames[i].patient == str(image) else f"{frames[i].patient} "
        title = f"{patient}{image.stem} frame {truth.frame}: {errors[i]:.1f} {unit}"
        model = frames[i].model
        picture = draw_overlay(
            open_cine(image).frame(truth.frame),
            frames[i].prediction,
            truth=truth,
            title=title,
            zoom=zoom,
            typical=None if model is None else model.typical,
        )
        write_png(out / f"worst_{position:02d}_{image.parent.name}_{image.stem}_frame{truth.frame:03d}.png", picture)
