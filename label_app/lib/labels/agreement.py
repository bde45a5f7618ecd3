"""How well the model agrees with the annotators: its prediction against their final label, per point and per annotator.

The prediction that counts is the one made when a frame was first submitted, by the model of that moment: it is kept beside the
version, so a model that has learned from the label since is not judged by it. The label that counts is the current one, and
belongs to whoever last changed that frame. Predictions are judged without a stage of the procedure, which annotators choose.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from label_app.lib.images.study_index import ImageEntry
from label_app.lib.labels.store import FINAL, PREDICTION, LabelStore, LabelVersion
from monai_tavr.keypoints import Keypoints
from monai_tavr.label import CineLabel

__all__ = ["METHOD", "Agreement", "PredictionKeeper"]

logger = logging.getLogger(__name__)

Predict = Callable[[str, list[int]], tuple[CineLabel, str | None]]


class PredictionKeeper:
    """Lays the model's prediction beside every submitted version, for the frames that the version labels first.

    Args:
        store: the labels.
        predict: (image id, frames) -> label and SHA-256 of the weights.
    """

    def __init__(self, store: LabelStore, predict: Predict) -> None:
        self._store = store
        self._predict = predict

    def __call__(self, entry: ImageEntry, version: LabelVersion) -> None:
        """After a submit; what cannot be predicted is not judged."""
        before = [v for v in self._store.versions(version.image_id) if v.number < version.number]
        frames = sorted(set(version.frames) - set(before[-1].frames if before else ()))
        if not frames:
            return
        label, weights = self._predict(entry.image_id, frames)
        self._store.attach(version.image_id, version.number, label, author="model", model=weights, tag=PREDICTION)


@dataclass(frozen=True, eq=False)
class _Judged:
    """One frame: what the model said, what is true, and who says so."""

    predicted: Keypoints
    true: Keypoints
    annotator: str
    model: str | None


class Agreement:
    """Scores over all images of a store. An image is read again only when it has a new version."""

    def __init__(self, store: LabelStore) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._known: dict[str, tuple[tuple[int, int], list[_Judged]]] = {}

    def scores(self, *, annotator: str | None = None) -> dict[str, Any]:
        """Agreement in all, per point, per annotator and per model.

        Args:
            annotator: only the frames of that one.

        Returns:
            ``images`` and ``frames``: how many are judged. ``all``, and by name ``points``, ``annotators``, ``models``, each with
            ``n`` labelled points, ``median_px`` and ``mean_px`` where both see the point, ``within_20px`` the share of these, and
            ``visibility_agreement`` the share of points that both see or neither sees; None where nothing is to be judged.
        """
        images = {i: self._judged(i) for i in self._store.images()}
        judged = [j for frames in images.values() for j in frames if annotator in (None, j.annotator)]
        by_annotator = _grouped(judged, lambda j: j.annotator)
        by_model = _grouped(judged, lambda j: j.model or "unknown")
        total, points = _figures(judged)
        return {
            "images": sum(any(annotator in (None, j.annotator) for j in frames) for frames in images.values()),
            "frames": len(judged),
            "all": total,
            "points": points,
            "annotators": {name: _figures(group)[0] for name, group in by_annotator.items()},
            "models": {name: _figures(group)[0] for name, group in by_model.items()},
        }

    def _judged(self, image_id: str) -> list[_Judged]:
        versions = self._store.versions(image_id)
        predictions = self._store.versions(image_id, PREDICTION)
        state = (max((v.number for v in versions), default=0), len(predictions))
        with self._lock:
            known = self._known.get(image_id)
        if known and known[0] == state:
            return known[1]
        judged = self._judge(image_id, versions, predictions)
        with self._lock:
            self._known[image_id] = (state, judged)
        return judged

    def _judge(self, image_id: str, versions: list[LabelVersion], predictions: list[LabelVersion]) -> list[_Judged]:
        said = {p.number: (p.model, self._store.read(image_id, PREDICTION, p.number)) for p in predictions}
        frames: dict[
            int, tuple[Keypoints, str, int]
        ] = {}  # frame -> current label, who changed it last, version that labelled it
        for version in versions:
            label = self._store.read(image_id, FINAL, version.number)
            frames = {f: _followed(frames.get(f), label.frame(f, schema=self._store.schema), version) for f in version.frames}
        judged = []
        for frame, (true, annotator, first) in frames.items():
            model, prediction = said.get(first, (None, None))
            if prediction is not None and (predicted := _frame_of(prediction, frame)) is not None:
                judged.append(_Judged(predicted, true, annotator, model))
        return judged


def _followed(before: tuple[Keypoints, str, int] | None, now: Keypoints, version: LabelVersion) -> tuple[Keypoints, str, int]:
    if before is None:
        return now, version.author, version.number
    same = np.array_equal(before[0].state, now.state) and np.array_equal(before[0].xy, now.xy, equal_nan=True)
    return now, before[1] if same else version.author, before[2]


def _frame_of(label: CineLabel, frame: int) -> Keypoints | None:
    return next((k for k in label.frames if k.frame == frame), None)


def _grouped(judged: Iterable[_Judged], name: Callable[[_Judged], str]) -> dict[str, list[_Judged]]:
    groups: dict[str, list[_Judged]] = {}
    for j in judged:
        groups.setdefault(name(j), []).append(j)
    return dict(sorted(groups.items()))


def _figures(judged: list[_Judged]) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Of all points together, and of each."""
    if not judged:
        return _few({}), {}
    from monai_tavr.evaluation.metrics import evaluate_keypoints  # with torch: not before somebody asks

    result = evaluate_keypoints([j.predicted for j in judged], [j.true for j in judged], bootstrap=0)
    return _few(result), {name: _few(figures) for name, figures in result["per_point"].items()}


def _few(figures: Mapping[str, Any]) -> dict[str, Any]:
    n, visible, reported, found = (figures.get(f"n_{k}", 0) for k in ("points", "visible", "reported", "found"))
    neither = n - visible - reported + found
    return {
        "n": n,
        "median_px": figures.get("median_error_px"),
        "mean_px": figures.get("mean_error_px"),
        "within_20px": figures.get("localisation_accuracy_20px"),
        "visibility_agreement": (found + neither) / n if n else None,
    }


METHOD = "agreement"
