"""How good predicted keypoints are: presence, localisation, groups; pooled, per point, group, patient and image.

Two questions stay apart. Presence: is the point reported where the annotator saw one (precision, recall, F1)? Localisation: how
far off is it, over true positives (visible in truth and in prediction)? Errors over true positives alone reward a model that
skips hard points, so ``sdr_px`` counts misses and ``f1_within_20px`` asks for both at once. Points that nobody labelled count
nowhere. The paper averages precision, recall and F1 over images; that mean is under ``per_image``.

Intervals are patient-cluster bootstraps: frames of one patient are not independent, so patients are drawn, not frames.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from monai.metrics import CumulativeIterationMetric

from monai_tavr.evaluation.calibration import calibration
from monai_tavr.keypoints import Keypoints, KeypointSchema, KeypointState, load_schema

__all__ = ["RADII_PX", "KeypointMetrics", "evaluate_keypoints"]

RADII_PX = (2.5, 5.0, 10.0, 20.0)
_INTERVALS = (
    "precision",
    "recall",
    "f1",
    "f1_within_20px",
    "mean_error_px",
    "median_error_px",
    "p95_error_px",
    "mean_error_mm",
    "localisation_accuracy_20px",
    "sdr_20px",
    "group_accuracy",
)


@dataclass(frozen=True)
class _Table:
    """N frames laid out as arrays; every array is frame x point, or frame x group."""

    visible: np.ndarray  # (N, K) bool: labelled and there
    absent: np.ndarray  # (N, K) bool: labelled and not there
    reported: np.ndarray  # (N, K) bool: predicted, where labelled
    error_px: np.ndarray  # (N, K): distance in native pixels of true positives, else NaN
    error_mm: np.ndarray  # (N, K): the same in millimetres, NaN also where the spacing is unknown
    score: np.ndarray  # (N, K): predicted probability, NaN where there is none
    group_state: np.ndarray  # (N, G) int8 of the truth
    group_reported: np.ndarray  # (N, G) bool

    @classmethod
    def of(cls, predictions: Sequence[Keypoints], truths: Sequence[Keypoints]) -> _Table:
        state = np.stack([t.state for t in truths])
        labelled = state != KeypointState.UNLABELLED
        # a prediction that did not look for a point did not find it
        reported = np.stack([p.visible for p in predictions]) & labelled
        offset = np.stack([p.xy.astype(float) - t.xy for p, t in zip(predictions, truths, strict=True)])
        offset[~reported] = np.nan
        unknown = (math.nan, math.nan)
        spacing = np.array([t.spacing or p.spacing or unknown for p, t in zip(predictions, truths, strict=True)])
        no_score = np.full(state.shape[1], np.nan)
        return cls(
            visible=state == KeypointState.VISIBLE,
            absent=state == KeypointState.ABSENT,
            reported=reported,
            error_px=np.linalg.norm(offset, axis=-1),
            error_mm=np.linalg.norm(offset * spacing[:, None], axis=-1),
            score=np.stack([no_score if p.score is None else p.score.astype(float) for p in predictions]),
            group_state=np.stack([t.group_state for t in truths]),
            group_reported=np.stack([p.group_state == KeypointState.VISIBLE for p in predictions]),
        )

    def select(self, *, frames: Any = slice(None), points: Any = slice(None), groups: Any = slice(None)) -> _Table:
        by_point = ("visible", "absent", "reported", "error_px", "error_mm", "score")
        parts = {name: getattr(self, name)[frames][:, points] for name in by_point}
        return _Table(
            **parts,
            group_state=self.group_state[frames][:, groups],
            group_reported=self.group_reported[frames][:, groups],
        )

    def counts(self) -> dict[str, np.ndarray]:
        """(N,) sums per frame from which every ratio follows; they add up over any set of frames."""
        judged = self.group_state != KeypointState.UNLABELLED
        right = judged & (self.group_reported == (self.group_state == KeypointState.VISIBLE))
        within = {f"within_{r:g}": (self.error_px <= r).sum(1) for r in RADII_PX}
        return within | {
            "points": (self.visible | self.absent).sum(1),
            "visible": self.visible.sum(1),
            "reported": self.reported.sum(1),
            "found": (self.visible & self.reported).sum(1),
            "error_px": np.nansum(self.error_px, axis=1),
            "error_mm": np.nansum(self.error_mm, axis=1),
            "found_mm": np.isfinite(self.error_mm).sum(1),
            "groups": judged.sum(1),
            "groups_right": right.sum(1),
        }


def _ratios(counts: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Figures from sums; works on sums of one set and on (R,) sums of many sets alike. NaN where nothing was to be judged."""

    def share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
        part, whole = np.asarray(part, float), np.asarray(whole, float)
        return np.divide(part, whole, out=np.full(np.shape(whole), np.nan), where=whole > 0)

    found, reported, visible, close = (counts[k] for k in ("found", "reported", "visible", "within_20"))
    figures = {
        "precision": share(found, reported),
        "recall": share(found, visible),
        "f1": share(2 * found, reported + visible),
        "precision_within_20px": share(close, reported),
        "recall_within_20px": share(close, visible),
        "f1_within_20px": share(2 * close, reported + visible),
        "mean_error_px": share(counts["error_px"], found),
        "mean_error_mm": share(counts["error_mm"], counts["found_mm"]),
        "localisation_accuracy_20px": share(close, found),
        "group_accuracy": share(counts["groups_right"], counts["groups"]),
    }
    return figures | {f"sdr_{r:g}px": share(counts[f"within_{r:g}"], visible) for r in RADII_PX}


def _number(value: Any) -> float | None:
    """JSON has no NaN: what cannot be judged is None."""
    return float(value) if np.isfinite(value) else None


def _quantiles(errors: np.ndarray, unit: str) -> dict[str, float | None]:
    errors = errors[np.isfinite(errors)]
    median, p95, most = np.percentile(errors, [50, 95, 100]) if errors.size else [math.nan] * 3
    return {f"median_error_{unit}": _number(median), f"p95_error_{unit}": _number(p95), f"max_error_{unit}": _number(most)}


def _figures(table: _Table) -> dict[str, Any]:
    """All figures of a set of frames and points, pooled."""
    counts = table.counts()
    totals = {name: values.sum(axis=0) for name, values in counts.items()}
    ratios = {name: _number(value) for name, value in _ratios(totals).items()}
    sdr = {f"{r:g}": ratios.pop(f"sdr_{r:g}px") for r in RADII_PX}
    return {
        **ratios,
        **_quantiles(table.error_px, "px"),
        **_quantiles(table.error_mm, "mm"),
        "sdr_px": sdr,
        "n_frames": int((counts["points"] > 0).sum()),
        "n_points": int(totals["points"]),
        "n_visible": int(totals["visible"]),
        "n_reported": int(totals["reported"]),
        "n_found": int(totals["found"]),
    }


def _per_image(table: _Table) -> dict[str, float | None]:
    """Means over images, the paper's way. An image where truth and prediction agree that nothing is there counts 1; one where
    only one of them holds points counts 0."""
    counts = table.counts()
    judged = counts["points"] > 0
    empty = (counts["visible"] == 0) & (counts["reported"] == 0)
    means = {}
    for name in ("precision", "recall", "f1"):
        values = np.where(empty, 1.0, np.nan_to_num(_ratios(counts)[name], nan=0.0))
        means[name] = _number(values[judged].mean()) if judged.any() else None
    return means


def _intervals(table: _Table, patient: np.ndarray, replicates: int, seed: int) -> dict[str, list[float] | None]:
    """95 % percentile intervals of the main figures; ``patient`` is (N,) int, one number per patient."""
    number = int(patient.max()) + 1
    drawn = np.random.default_rng(seed).multinomial(number, np.full(number, 1 / number), size=replicates)
    sums = {name: drawn @ np.bincount(patient, values, minlength=number) for name, values in table.counts().items()}
    samples = _ratios(sums)
    found = np.isfinite(table.error_px)
    errors, owner = table.error_px[found], np.nonzero(found)[0]
    if errors.size:
        repeats = (np.repeat(errors, weights[patient[owner]]) for weights in drawn)
        quantiles = np.array([np.percentile(e, [50, 95]) if e.size else (math.nan, math.nan) for e in repeats])
        samples |= {"median_error_px": quantiles[:, 0], "p95_error_px": quantiles[:, 1]}
    result: dict[str, list[float] | None] = {}
    for name in _INTERVALS:
        values = samples.get(name, np.empty(0))
        values = values[np.isfinite(values)]
        result[name] = [float(v) for v in np.percentile(values, [2.5, 97.5])] if values.size else None
    return result


def _check(predictions: Sequence[Keypoints], truths: Sequence[Keypoints], patients: Sequence[str] | None) -> KeypointSchema:
    if not truths:
        raise ValueError("nothing to evaluate: the list of truths is empty")
    if len(predictions) != len(truths):
        raise ValueError(f"{len(predictions)} predictions for {len(truths)} truths; give one per frame, in one order")
    if patients is not None and len(patients) != len(truths):
        raise ValueError(f"{len(patients)} patients for {len(truths)} frames; name the patient of every frame")
    schema = truths[0].schema
    for position, (p, t) in enumerate(zip(predictions, truths, strict=True)):
        if p.schema.names != schema.names or t.schema.names != schema.names:
            raise ValueError(f"entry {position} has points {p.schema.names} and {t.schema.names}; expected {schema.names}")
        if p.frame != t.frame:
            raise ValueError(f"entry {position} pairs predicted frame {p.frame} with true frame {t.frame}")
    return schema


def evaluate_keypoints(
    predictions: Sequence[Keypoints],
    truths: Sequence[Keypoints],
    *,
    patients: Sequence[str] | None = None,
    bootstrap: int = 1000,
    seed: int = 0,
) -> dict[str, Any]:
    """Every figure of a set of frames, ready for JSON (None where nothing was to be judged).

    Args:
        predictions: N predictions in native pixels.
        truths: N labels, in the same order.
        patients: patient of each frame; None leaves out what is per patient, and the intervals.
        bootstrap: replicates of the patient bootstrap; 0 leaves the intervals out.
        seed: of the bootstrap.

    Returns:
        The pooled figures at the top level: ``precision``, ``recall``, ``f1``, the same ``_within_20px`` (end to end), ``mean_``,
        ``median_``, ``p95_`` and ``max_error_px`` and ``_mm``, ``localisation_accuracy_20px`` (share of true positives),
        ``sdr_px`` (radius -> share of visible points found within it), ``group_accuracy``, ``n_frames``, ``n_patients``,
        ``n_points`` (labelled), ``n_visible``, ``n_reported``, ``n_found``. Under ``per_point``, ``per_group``, ``per_patient``
        the same by name; under ``per_image`` and ``per_patient_mean`` unweighted means; ``calibration`` of the visibility where
        predictions have scores; ``intervals_95`` of the main figures.

    Raises:
        ValueError: lengths, schemas or frame numbers do not match.
    """
    schema = _check(predictions, truths, patients)
    table = _Table.of(predictions, truths)
    result: dict[str, Any] = {"schema": schema.name, **_figures(table), "per_image": _per_image(table)}
    point_group = schema.group_index
    result["per_point"] = {name: _figures(table.select(points=np.array([i]))) for i, name in enumerate(schema.names)}
    for figures in result["per_point"].values():
        del figures["group_accuracy"]  # of the whole frame, not of one point
    result["per_group"] = {
        name: _figures(table.select(points=point_group == g, groups=[g])) for g, name in enumerate(schema.group_names)
    }
    scored = np.isfinite(table.score) & (table.visible | table.absent)
    if scored.any():
        measured = calibration(table.score[scored], table.visible[scored])
        measured["average_precision"] = _number(measured["average_precision"])
        result["calibration"] = measured
    if patients is not None:
        names, patient = np.unique(np.asarray(patients, dtype=str), return_inverse=True)
        result["n_patients"] = len(names)
        result["per_patient"] = {str(n): _figures(table.select(frames=patient == i)) for i, n in enumerate(names)}
        result["per_patient_mean"] = _mean_of(result["per_patient"])
        if bootstrap > 0 and len(names) > 1:
            result["intervals_95"] = _intervals(table, patient, bootstrap, seed)
            result["bootstrap"] = {"unit": "patient", "replicates": bootstrap, "seed": seed}
    return result


def _mean_of(parts: Mapping[str, Mapping[str, Any]]) -> dict[str, float | None]:
    """Unweighted means of the figures of several parts; a part that could not be judged counts in none."""
    names = [n for n, v in next(iter(parts.values())).items() if not n.startswith("n_") and not isinstance(v, Mapping)]
    means = {}
    for name in names:
        values = [p[name] for p in parts.values() if p[name] is not None]
        means[name] = float(np.mean(values)) if values else None
    return means


class KeypointMetrics(CumulativeIterationMetric):
    """:func:`evaluate_keypoints` as a MONAI metric, for ``IgniteMetricHandler`` and so for a bundle's key metric.

    It takes lists of :class:`Keypoints` (decollated items) and gathers over processes. Patients are not known here; per-patient
    figures come from ``monai-tavr evaluate``.

    Args:
        schema: keypoint schema.
        key: the figure that :meth:`aggregate` returns, e.g. ``f1``, ``f1_within_20px``, ``mean_error_px``.

    Raises:
        ValueError: there is no figure of that name.
    """

    def __init__(self, schema: str | KeypointSchema = "tavr11", *, key: str = "f1_within_20px") -> None:
        self._pooled: dict[str, Any] | None = None
        super().__init__()
        self.schema = load_schema(schema)
        nothing = self._keypoints(torch.full((self.schema.num_keypoints, 6), math.nan, dtype=torch.float64))
        known = [k for k, v in _figures(_Table.of([nothing], [nothing])).items() if not isinstance(v, dict)]
        if key not in known:
            raise ValueError(f"no figure {key!r}; give one of {known}")
        self.key = key

    def _compute_list(self, y_pred: Any, y: Any = None, **kwargs: Any) -> list[torch.Tensor]:
        """MONAI's hook for lists: one (1, K, 6) tensor of prediction and one of truth, so that buffers gather over processes."""
        predicted = torch.stack([self._row(k) for k in y_pred])
        true = torch.stack([self._row(k) for k in y])
        return [predicted, true]

    def _compute_tensor(self, y_pred: torch.Tensor, y: torch.Tensor | None = None, **kwargs: Any) -> Any:
        raise ValueError("KeypointMetrics takes lists of Keypoints (decollate the batch and post-process it first), got a tensor")

    def _row(self, keypoints: Keypoints) -> torch.Tensor:
        """(K, 6) float64: x, y, state, score, spacing x, spacing y; NaN where there is none."""
        if keypoints.schema.names != self.schema.names:
            raise ValueError(f"keypoints of schema {keypoints.schema.name!r} in metrics of {self.schema.name!r}")
        row = np.full((self.schema.num_keypoints, 6), np.nan)
        row[:, :2], row[:, 2] = keypoints.xy, keypoints.state
        if keypoints.score is not None:
            row[:, 3] = keypoints.score
        if keypoints.spacing is not None:
            row[:, 4:] = keypoints.spacing
        return torch.from_numpy(row)

    def _keypoints(self, row: torch.Tensor) -> Keypoints:
        r = row.cpu().numpy()
        return Keypoints(
            schema=self.schema,
            xy=r[:, :2],
            labelled=r[:, 2] != KeypointState.UNLABELLED,
            score=None if np.isnan(r[:, 3]).any() else r[:, 3],
            spacing=None if np.isnan(r[0, 4]) else (float(r[0, 4]), float(r[0, 5])),
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Take in a batch; see MONAI."""
        self._pooled = None
        return super().__call__(*args, **kwargs)

    def reset(self) -> None:
        """Forget what was seen."""
        self._pooled = None
        super().reset()

    def _seen(self) -> tuple[list[Keypoints], list[Keypoints]]:
        """Predictions and truths of all processes."""
        buffers = self.get_buffer()
        if buffers is None:
            raise ValueError("nothing to evaluate: no frame was seen since the last reset")
        predicted, true = buffers
        return [self._keypoints(r) for r in predicted], [self._keypoints(r) for r in true]

    def figures(self) -> dict[str, Any]:
        """The pooled figures of what was seen since the last reset, worked out once."""
        if self._pooled is None:
            self._pooled = _figures(_Table.of(*self._seen()))
        return self._pooled

    def report(self) -> dict[str, Any]:
        """All figures of what was seen since the last reset."""
        return evaluate_keypoints(*self._seen())

    def aggregate(self) -> float:
        """The key figure; NaN where nothing was to be judged."""
        value = self.figures()[self.key]
        return math.nan if value is None else value
