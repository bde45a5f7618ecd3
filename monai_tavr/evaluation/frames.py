"""Truth beside prediction, for every labelled frame of a datalist; predictions come from the model or from label files.

The frames of a file are predicted together. Everything downstream (metrics, thresholds, reports, overlays) takes the same list.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from monai_tavr.formats.label_json import read_label_json
from monai_tavr.keypoints import TAVR11, Keypoints, KeypointSchema, KeypointState
from monai_tavr.label import CineLabel

if TYPE_CHECKING:
    from monai_tavr.predictor import FramePrediction, KeypointPredictor

__all__ = [
    "EvaluatedFrame",
    "LabelledCine",
    "StoredPredictions",
    "errors_per_point",
    "evaluate_cines",
    "frame_error",
    "group_by_cine",
    "iterate_cines",
    "model_predictions",
]

_MISS_PX = 50.0  # what a missed or invented point weighs beside an error in pixels


@dataclass(frozen=True, eq=False)
class LabelledCine:
    """A file of a datalist with the frames of it that are to be judged."""

    image: Path
    patient: str
    label: CineLabel
    frames: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class EvaluatedFrame:
    """One frame: what is true and what was predicted; ``model`` is None for stored predictions."""

    image: Path
    patient: str
    truth: Keypoints
    prediction: Keypoints
    model: FramePrediction | None = None


def errors_per_point(distance: np.ndarray, reported: np.ndarray, state: np.ndarray) -> np.ndarray:
    """How bad frames are: distances up to 50, and 50 for each missed or invented point, over the labelled points.

    Args:
        distance: (N, K) pixels from the true place; anything where the point is not reported or not visible.
        reported: (N, K) bool.
        state: (N, K) of :class:`KeypointState`, the truth.

    Returns:
        (N,) pixels per labelled point; 0 for a frame without one.
    """
    visible, judged = state == KeypointState.VISIBLE, state != KeypointState.UNLABELLED
    error = np.where(visible & reported, np.minimum(distance, _MISS_PX), np.where(visible != reported, _MISS_PX, 0.0))
    return np.asarray((error * judged).sum(axis=1) / np.maximum(judged.sum(axis=1), 1))


def frame_error(prediction: Keypoints, truth: Keypoints) -> float:
    """:func:`errors_per_point` of one frame."""
    distance = np.linalg.norm(prediction.xy - truth.xy, axis=1)
    return float(errors_per_point(distance[None], prediction.visible[None], truth.state[None])[0])


def group_by_cine(items: Iterable[Mapping[str, Any]], *, schema: KeypointSchema = TAVR11) -> list[LabelledCine]:
    """The items of a datalist, file by file, with their labels read; see :func:`iterate_cines`."""
    return list(iterate_cines(items, schema=schema))


def iterate_cines(items: Iterable[Mapping[str, Any]], *, schema: KeypointSchema = TAVR11) -> Iterator[LabelledCine]:
    """The items of a datalist, file by file; a label is read when its file's turn comes.

    Args:
        items: of :func:`monai_tavr.training.datasets.load_datalist`; one without ``frame`` stands for all labelled frames of its
            file. A file without ``patient`` counts as a patient of its own.
        schema: of the labels.

    Raises:
        ValueError: an item has no label, or its label is not valid or has no such frame.
    """
    frames: dict[tuple[str, str, str], set[int] | None] = {}
    for item in items:
        image = str(item["image"])
        if item.get("label") is None:
            raise ValueError(f"{image}: the datalist names no label for it; evaluation needs one")
        key = (image, str(item["label"]), str(item.get("patient") or image))
        wanted, frame = frames.get(key, set()), item.get("frame")
        frames[key] = None if frame is None or wanted is None else wanted | {int(frame)}
    for (image, label_path, patient), chosen in frames.items():
        label = read_label_json(label_path, schema=schema)
        known = {k.frame for k in label.frames}
        if chosen is not None and not chosen <= known:
            raise ValueError(f"{label_path}: no label for frame {min(chosen - known)}, which the datalist names")
        yield LabelledCine(Path(image), patient, label, tuple(sorted(known if chosen is None else chosen)))


class StoredPredictions:
    """Predictions from the label files of a folder, searched by the image's UID, else by its file name.

    Args:
        folder: where `monai-tavr predict` wrote them.
        schema: of the files.

    Raises:
        ValueError: the folder holds no label file, or one that is not valid.
    """

    def __init__(self, folder: str | os.PathLike[str], *, schema: KeypointSchema = TAVR11) -> None:
        self.folder = Path(folder)
        self._by_uid: dict[str, list[tuple[Path, CineLabel]]] = {}
        self._by_name: dict[str, list[tuple[Path, CineLabel]]] = {}
        for path in sorted(self.folder.rglob("*.json")):
            label = read_label_json(path, schema=schema)
            uid = label.image.uid
            if uid is not None:
                self._by_uid.setdefault(uid, []).append((path, label))
            self._by_name.setdefault(path.stem, []).append((path, label))
        if not self._by_name:
            raise ValueError(f"{folder}: no predictions (*.json) there; write some with `monai-tavr predict`")

    def __call__(self, cine: LabelledCine) -> Iterator[Keypoints]:
        """The predictions of the cine's frames. Raises ValueError if there are none for it; they are never taken as absent."""
        found = self.find(cine)
        predicted = {k.frame: k for k in found.frames}
        for frame in cine.frames:
            if frame not in predicted:
                raise ValueError(f"{self.folder}: no prediction for frame {frame} of {cine.image}")
            yield predicted[frame]

    def find(self, cine: LabelledCine) -> CineLabel:
        """What was predicted for the cine. Raises ValueError if there is nothing, or more than one file."""
        uid = cine.label.image.uid
        found = self._by_uid.get(uid or "") or [
            (path, label)
            for path, label in self._by_name.get(cine.image.stem, [])
            # a file of that name which says that it is of another image is not the one
            if uid is None or label.image.uid is None
        ]
        if len(found) == 1:
            return found[0][1]
        listed = "".join(f", {path.relative_to(self.folder)}" for path, _ in found)
        raise ValueError(
            f"{self.folder}: {len(found)} predictions{listed} for {cine.image}; expected one, by its UID or else by the name "
            f"{cine.image.stem}.json"
        )


def model_predictions(predictor: KeypointPredictor) -> Callable[[LabelledCine], Iterator[FramePrediction]]:
    """The model as a source of predictions for :func:`evaluate_cines`."""

    return lambda cine: predictor.stream(cine.image, frames=cine.frames)


def evaluate_cines(
    cines: Sequence[LabelledCine],
    predict: Callable[[LabelledCine], Iterable[Keypoints | FramePrediction]],
    *,
    progress: Callable[[int], Any] | None = None,
) -> list[EvaluatedFrame]:
    """Predict every labelled frame.

    Args:
        cines: from :func:`group_by_cine`.
        predict: :class:`StoredPredictions` or :func:`model_predictions`.
        progress: called with the number of frames done since the last call.
    """
    done = []
    for cine in cines:
        truths = {k.frame: k for k in cine.label.frames}
        for found in predict(cine):
            prediction, model = (found, None) if isinstance(found, Keypoints) else (found.keypoints, found)
            done.append(EvaluatedFrame(cine.image, cine.patient, truths[prediction.frame], prediction, model))
        if progress is not None:
            progress(len(cine.frames))
    return done
