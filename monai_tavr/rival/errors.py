"""Errors as BAMNet's authors measure them.

Their network resizes every frame to 640 x 640 and always answers with a place for every landmark; the error is the distance to
the label in pixels of that picture, over the landmarks that the annotator placed, pooled over the frames of a fold. So here:
the error is that in the full frame times 640 over its longer side (their frames are square), and every landmark has one that is
labelled visible, also where this model would not have reported it. Mean and median are those of each fold; what is printed is
their mean and standard deviation over folds. In millimetres: the error in the full frame times its spacing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from monai_tavr.evaluation.frames import LabelledCine
from monai_tavr.evaluation.metrics import evaluate_keypoints
from monai_tavr.files import write_json_atomically
from monai_tavr.formats.checks import listing, mapping, read_json
from monai_tavr.keypoints import Keypoints, KeypointSchema
from monai_tavr.predictor import FramePrediction
from monai_tavr.rival.published import LENGTH_PX, POINTS, Spread

__all__ = ["FIGURES", "JudgedFrame", "judge", "read_judged", "spread_over_folds", "summarise", "write_judged"]

_SCHEMA = KeypointSchema(name="BAMNet", groups={"root": POINTS})
FIGURES = ("mean_error_px", "median_error_px", "mean_error_mm", "median_error_mm")
"""What is worked out of each fold."""


@dataclass(frozen=True, eq=False)
class JudgedFrame:
    """A frame of a fold, in pixels of a picture whose longer side has 640.

    Attributes:
        picture: its file.
        patient: whose it is.
        truth: the labelled landmarks; those that are not visible are unlabelled, for they have no error.
        located: where the model puts every landmark.
        reported: (4,) bool, which of them it says are there.
    """

    picture: str
    patient: str
    truth: Keypoints
    located: Keypoints
    reported: np.ndarray


def judge(cine: LabelledCine, found: FramePrediction) -> JudgedFrame:
    """What the model found in a labelled frame."""
    image = cine.label.image
    scale = LENGTH_PX / max(image.rows, image.columns)
    truth = next(k for k in cine.label.frames if k.frame == found.keypoints.frame)
    spacing = None if truth.spacing is None else (truth.spacing[0] / scale, truth.spacing[1] / scale)

    def scaled(points: Keypoints) -> Keypoints:
        four = points.under(_SCHEMA)
        # from the picture's corner, for 0 is the centre of the first pixel in either size
        return replace(four, xy=(four.xy + 0.5) * scale - 0.5, labelled=four.visible, spacing=spacing)

    return JudgedFrame(
        picture=cine.label.pictures.get(truth.frame, cine.image.name),
        patient=cine.patient,
        truth=scaled(truth),
        located=scaled(replace(found.keypoints, xy=found.located)),
        reported=found.keypoints.under(_SCHEMA).visible,
    )


def summarise(frames: Sequence[JudgedFrame], *, bootstrap: int = 0) -> dict[str, Any]:
    """The figures of some frames.

    Args:
        frames: at least one.
        bootstrap: draws of patients behind ``intervals_95``; 0 = none.

    Returns:
        ``mean_error_px``, ``median_error_px``, the same in ``_mm`` (None without spacing), ``reported``, the share of the visible
        landmarks that the model says are there, ``n_frames``, ``n_patients``, ``n_points``, and ``per_point`` the first four.
    """
    patients = [f.patient for f in frames]
    report = evaluate_keypoints([f.located for f in frames], [f.truth for f in frames], patients=patients, bootstrap=bootstrap)
    visible = np.stack([f.truth.visible for f in frames])
    reported = np.stack([f.reported for f in frames])
    return {
        **{name: report[name] for name in FIGURES},
        "reported": float(reported[visible].mean()) if visible.any() else None,
        "n_frames": len(frames),
        "n_patients": len(set(patients)),
        "n_points": int(visible.sum()),
        "per_point": {name: {figure: report["per_point"][name][figure] for figure in FIGURES} for name in POINTS},
        "intervals_95": {name: report.get("intervals_95", {}).get(name) for name in FIGURES[:3]},
    }


def spread_over_folds(folds: Sequence[Mapping[str, Any]]) -> dict[str, Spread]:
    """Mean and standard deviation of the folds' figures (:func:`summarise`), by the names of :data:`BAMNET`.

    The first fold is their hold-out. A figure that a fold lacks (no spacing, no such landmark) is left out.
    """
    columns: dict[str, list[float | None]] = {name: [f[name] for f in folds] for name in FIGURES}
    columns |= {f"{p} mean_error_px": [f["per_point"][p]["mean_error_px"] for f in folds] for p in POINTS}
    columns["reported"] = [f["reported"] for f in folds]
    columns["hold-out mean_error_mm"] = [folds[0]["mean_error_mm"]]
    found = {}
    for name, values in columns.items():
        known = [v for v in values if v is not None]
        if known and len(known) == len(values):
            found[name] = Spread(float(np.mean(known)), float(np.std(known, ddof=1)) if len(known) > 1 else None)
    return found


def write_judged(path: Path, frames: Sequence[JudgedFrame]) -> None:
    """Write frames for :func:`read_judged`, coordinates to thousandths of a pixel."""
    content = [
        {
            "picture": f.picture,
            "patient": f.patient,
            "spacing": f.truth.spacing,
            "truth": [None if np.isnan(x) else [round(float(x), 3), round(float(y), 3)] for x, y in f.truth.xy],
            "located": [[round(float(x), 3), round(float(y), 3)] for x, y in f.located.xy],
            "reported": [bool(r) for r in f.reported],
        }
        for f in frames
    ]
    write_json_atomically(path, {"points": list(POINTS), "frames": content}, indent=None)


def read_judged(path: Path) -> list[JudgedFrame]:
    """Frames that :func:`write_judged` wrote. Raises ValueError where the file is no such one."""
    content = mapping(read_json(path), str(path), required={"points", "frames"})
    if content["points"] != list(POINTS):
        raise ValueError(f"{path}: points {content['points']}, not {list(POINTS)}; delete it, and it is made anew")
    return [_judged(f, f"{path}: frames[{i}]") for i, f in enumerate(listing(content["frames"], f"{path}: frames"))]


def _judged(content: Any, place: str) -> JudgedFrame:
    names = {"picture", "patient", "spacing", "truth", "located", "reported"}
    entry = mapping(content, place, required=names)
    try:
        spacing = None if entry["spacing"] is None else (float(entry["spacing"][0]), float(entry["spacing"][1]))
        truth = np.array([(np.nan, np.nan) if xy is None else xy for xy in entry["truth"]], np.float32)
        located = np.array(entry["located"], np.float32)
        return JudgedFrame(
            entry["picture"],
            entry["patient"],
            Keypoints(schema=_SCHEMA, xy=truth, labelled=~np.isnan(truth[:, 0]), spacing=spacing),
            Keypoints(schema=_SCHEMA, xy=located, spacing=spacing),
            np.array(entry["reported"], bool),
        )
    except (TypeError, ValueError, IndexError) as error:
        raise ValueError(f"{place}: {error}; delete the file, and it is made anew") from error
