"""How likely an annotator has to correct a point, from what the network says of it: a calibrated probability.

A point has to be corrected where its presence is wrong, or where it is reported further than 20 pixels (of a frame 512 wide)
from its place. The network's own figures are no such probability: a visibility of 0.9 says nothing of the place, and the spread
of a heat map has a unit of its own. A logistic regression on both (Platt 1999), fitted on labelled validation frames, turns them
into one; how far it may be believed is its expected calibration error (Guo 2017). It belongs to the weights it was fitted with.
"""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from monai_tavr.active_learning.outputs import FrameOutputs
from monai_tavr.evaluation.calibration import calibration, fit_logistic, sigmoid
from monai_tavr.files import write_json_atomically
from monai_tavr.formats.checks import listing, mapping, number, read_json, text, whole
from monai_tavr.keypoints import TAVR11, KeypointSchema, KeypointState

__all__ = ["TOLERANCE", "PointUncertainty", "disagreement", "fit_uncertainty", "needs_correction", "read_uncertainty"]

TOLERANCE = 20 / 512
"""Largest distance from a point's place that is left alone, as a share of the frame's side."""
_LEAST_SPREAD = 0.004  # a heat map is never sharper than a fraction of its cell
_FURTHEST_LOGIT = 8.0
_FURTHEST_JUMP = 0.1  # of the side: a point that jumps further is as wrong as can be


def _doubt(probability: np.ndarray) -> np.ndarray:
    """0 where a probability is one half, falling to -8 where it is 0 or 1: minus the size of its logit."""
    p = np.clip(probability.astype(float), 1e-6, 1 - 1e-6)
    return -np.minimum(np.abs(np.log(p / (1 - p))), _FURTHEST_LOGIT)


def _design(outputs: FrameOutputs, schema: KeypointSchema) -> np.ndarray:
    """(N, K, 5): doubt about the point and about its group, whether it is reported, log of its spread if it is, and one."""
    reported = outputs.reported.astype(float)
    spread = np.log(np.maximum(outputs.spread.astype(float), _LEAST_SPREAD) / TOLERANCE)
    group = _doubt(outputs.group_probability)[:, schema.group_index]
    return np.stack([_doubt(outputs.probability), group, reported, reported * spread, np.ones_like(reported)], axis=2)


@dataclass(frozen=True)
class PointUncertainty:
    """Probability that a point has to be corrected.

    Attributes:
        coefficients: of doubt about the point, doubt about its group, being reported, log spread of a reported point, and one.
            The default is a guess that orders frames sensibly; it is not calibrated.
        weights_sha256: of the weights it was fitted with; empty for none in particular.
        fitted_on: which data, in words; empty = not fitted.
        points: how many points it was fitted on.
        ece: expected calibration error on those.

    Raises:
        ValueError: the coefficients are not five finite numbers.
    """

    coefficients: tuple[float, ...] = (1.0, 0.3, 2.0, 1.0, 0.0)
    weights_sha256: str = ""
    fitted_on: str = ""
    points: int = 0
    ece: float | None = None

    def __post_init__(self) -> None:
        if len(self.coefficients) != 5 or not np.isfinite(self.coefficients).all():
            raise ValueError(f"uncertainty needs 5 finite coefficients, got {self.coefficients!r}")

    def of_points(self, outputs: FrameOutputs, schema: KeypointSchema = TAVR11) -> np.ndarray:
        """(N, K) float64 in [0, 1]."""
        return sigmoid(_design(outputs, schema) @ np.array(self.coefficients))

    def of_frames(self, outputs: FrameOutputs, schema: KeypointSchema = TAVR11) -> np.ndarray:
        """(N,) expected number of points to correct."""
        return self.of_points(outputs, schema).sum(axis=1)

    def check(self, outputs: FrameOutputs, xy: np.ndarray, state: np.ndarray, schema: KeypointSchema = TAVR11) -> dict[str, Any]:
        """:func:`monai_tavr.evaluation.calibration.calibration` on labelled frames.

        Args:
            outputs: of N frames.
            xy: (N, K, 2) true places as shares of the side; anything where not visible.
            state: (N, K) of :class:`KeypointState`.
            schema: of the K points.
        """
        labelled = state != KeypointState.UNLABELLED
        return calibration(self.of_points(outputs, schema)[labelled], needs_correction(outputs, xy, state)[labelled])

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write ``uncertainty.json``, which lies beside the weights."""
        write_json_atomically(path, asdict(self))


def needs_correction(outputs: FrameOutputs, xy: np.ndarray, state: np.ndarray) -> np.ndarray:
    """(N, K) bool: presence is wrong, or the point is reported too far away. Unlabelled points are False.

    Args:
        outputs: of N frames.
        xy: (N, K, 2) true places as shares of the side; anything where not visible.
        state: (N, K) of :class:`KeypointState`.
    """
    visible = state == KeypointState.VISIBLE
    with np.errstate(invalid="ignore"):
        far = np.linalg.norm(outputs.xy - xy, axis=2) > TOLERANCE
    wrong = (outputs.reported != visible) | (outputs.reported & visible & far)
    return np.asarray(wrong & (state != KeypointState.UNLABELLED))


def fit_uncertainty(
    outputs: FrameOutputs,
    xy: np.ndarray,
    state: np.ndarray,
    *,
    schema: KeypointSchema = TAVR11,
    weights_sha256: str = "",
    fitted_on: str = "",
) -> PointUncertainty:
    """Fit on labelled frames by Newton's method.

    Args:
        outputs: of N frames.
        xy: (N, K, 2) true places as shares of the side; anything where not visible.
        state: (N, K) of :class:`KeypointState`.
        schema: of the K points.
        weights_sha256: of the network's weights, to know whom the result belongs to.
        fitted_on: which data, in words.

    Raises:
        ValueError: nothing is labelled.
    """
    labelled = state != KeypointState.UNLABELLED
    if not labelled.any():
        raise ValueError("nothing to calibrate on: no point of these frames is labelled")
    x = _design(outputs, schema)[labelled]
    y = needs_correction(outputs, xy, state)[labelled]
    weights = fit_logistic(x, y, prior=np.array(PointUncertainty().coefficients))
    ece = calibration(sigmoid(x @ weights), y)["ece"]
    return PointUncertainty(tuple(float(w) for w in weights), weights_sha256, fitted_on, len(y), float(ece))


def read_uncertainty(path: str | os.PathLike[str], *, weights_sha256: str = "") -> PointUncertainty:
    """Read ``uncertainty.json``; the default where there is none, or where it belongs to other weights.

    Raises:
        ValueError: the file is damaged; names it.
    """
    file = Path(path)
    if not file.is_file():
        return PointUncertainty()
    try:
        found = _calibrated(read_json(file))
    except ValueError as error:
        words = str(error).removeprefix(f"{file}: ")
        raise ValueError(f"{file}: not a calibration of the uncertainty ({words}); fit it anew or delete it") from error
    return found if found.weights_sha256 in ("", weights_sha256) else PointUncertainty()


def _calibrated(content: Any) -> PointUncertainty:
    """From parsed JSON, as :meth:`PointUncertainty.write` makes it. Raises ValueError."""
    values = mapping(content, "the file", known={f.name for f in fields(PointUncertainty)}, required={"coefficients"})
    coefficients = [number(c, f"coefficients[{i}]") for i, c in enumerate(listing(values["coefficients"], "coefficients"))]
    words = {name: text(values.get(name, ""), name) for name in ("weights_sha256", "fitted_on")}
    points, ece = whole(values.get("points", 0), "points"), values.get("ece")
    return PointUncertainty(tuple(coefficients), **words, points=points, ece=None if ece is None else number(ece, "ece"))


def disagreement(outputs: FrameOutputs, cine: np.ndarray, frame: np.ndarray) -> np.ndarray:
    """How far each frame's points are from where the neighbouring frames of its cine put them, and how far their visibility is.

    Points move little and steadily from frame to frame; a prediction that jumps away and back is wrong there or beside it.

    Args:
        outputs: of N frames.
        cine: (N,) number of the cine that each frame belongs to.
        frame: (N,) 0-based number of the frame in it; the neighbours are the nearest frames among those given.

    Returns:
        (N,) number of points: 1 for a visible point that jumps by a tenth of the side or more, or appears for one frame.
        0 for a frame without neighbours.
    """
    order = np.lexsort((frame, cine))
    xy, p = outputs.xy[order].astype(float), outputs.probability[order].astype(float)
    joined = cine[order][1:] == cine[order][:-1]
    before, after = np.append(False, joined).astype(float), np.append(joined, False).astype(float)
    count = np.maximum(before + after, 1)

    def mean_of_neighbours(values: np.ndarray) -> np.ndarray:
        shape = (-1,) + (1,) * (values.ndim - 1)
        sum_ = before.reshape(shape) * np.roll(values, 1, axis=0) + after.reshape(shape) * np.roll(values, -1, axis=0)
        return np.asarray(sum_ / count.reshape(shape))

    expected = mean_of_neighbours(p)
    jump = np.minimum(np.linalg.norm(xy - mean_of_neighbours(xy), axis=2) / _FURTHEST_JUMP, 1)
    apart = (jump * p * expected + np.abs(p - expected)).sum(axis=1) * (before + after > 0)
    found = np.empty(len(order))
    found[order] = apart
    return found
