"""The points between two labelled key frames of a cine.

An annotator confirms the points of two frames; what lies between follows from four kinds of evidence, joined in one hidden Markov
model per point, on the grid of pixels around its path (Rabiner 1989, doi:10.1109/5.18626):

- the points of both key frames, which are certain;
- motion: from frame to frame a point makes a step of random direction (the heart beats, so its path is no straight line). With no
  other evidence this alone gives the straight line between the key frames;
- the picture: normalised cross-correlation with the surroundings of the point in each key frame, the nearer one counting more.
  Templates are not renewed from frame to frame, so nothing drifts;
- the model, where its predictions are given, shifted by what the annotator corrected in the key frames.

The forward and the backward pass are the tracking from the first and from the second key frame. A location is the mean of the
posterior around its peak, and the posterior's width is the spread.

Whether a point is there is a second such chain, of two states. A point that both key frames show, or both lack, stays so unless
the model contradicts firmly in about five frames running; one that appears or vanishes between them does so where the model's
probabilities change, and half way where there is no prediction. What neither key frame says (unlabelled) stays unlabelled; if
one of them says nothing, the other decides alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from monai_tavr.cine import Cine
from monai_tavr.keypoints import Keypoints, KeypointState
from monai_tavr.label import CineLabel

__all__ = ["TrackedFrame", "Tracker", "track_between"]

_MARGIN = 24  # working pixels around everything that is known of a path
_LOST = 0.02  # part of a step that may end anywhere: the table moves, contrast comes in
_NEAR = 6.0  # working pixels around the posterior's peak over which the location is averaged
_FIRM = 10.0  # largest odds that one prediction counts for: to outweigh two key frames takes five in a row


@dataclass(frozen=True, eq=False)
class TrackedFrame:
    """A frame between the key frames.

    Attributes:
        keypoints: the points; the score is the probability that a point is there, given all evidence.
        spread: (K,) standard deviation of the locations in native pixels; NaN where the point is not visible.
    """

    keypoints: Keypoints
    spread: np.ndarray


@dataclass(frozen=True)
class Tracker:
    """Settings of :func:`track_between`, chosen on validation patients of the phantom; lengths in working pixels.

    Attributes:
        side: longer side of the working picture; larger frames are scaled down to it.
        template: half side of the template.
        picture_weight: log-likelihood by which a perfect match exceeds no correlation.
        step: standard deviation of the motion from one frame to the next.
        model_sigma: standard deviation of a corrected prediction, beside its own spread.
        model_trust: probability that a corrected prediction means the right place.
        change: probability that a point appears or vanishes from one frame to the next.
    """

    side: int = 512
    template: int = 10
    picture_weight: float = 30.0
    step: float = 6.0
    model_sigma: float = 3.0
    model_trust: float = 0.9
    change: float = 0.005

    def track(self, cine: Cine, start: Keypoints, end: Keypoints, *, predictions: CineLabel | None = None) -> list[TrackedFrame]:
        """As :func:`track_between`, with the spread of every point."""
        _check(cine, start, end)
        frames = range(start.frame, end.frame + 1)
        visibility = self._visibility(start, end, predictions)
        labelled = _labelled(start) | _labelled(end)
        shown = (visibility[1:-1] > 0.5) & labelled
        scale = min(1.0, self.side / max(cine.info.rows, cine.info.columns))
        pictures = [_working_picture(cine.frame(f), scale) for f in frames] if shown.any() else []
        names = start.schema.names
        xy = np.full((len(frames) - 2, len(names), 2), np.nan, np.float32)
        spread = np.full(xy.shape[:2], np.nan, np.float32)
        for k in np.flatnonzero(shown.any(axis=0)):
            located = _PointPath(self, pictures, scale, *_evidence(k, start, end, predictions)).locate()
            if located is not None:
                xy[:, k], spread[:, k] = located
        xy[~shown], spread[~shown] = np.nan, np.nan
        return [
            TrackedFrame(replace(start, xy=xy[i], score=visibility[i + 1], labelled=labelled, frame=frame), spread[i])
            for i, frame in enumerate(frames[1:-1])
        ]

    def _visibility(self, start: Keypoints, end: Keypoints, predictions: CineLabel | None) -> np.ndarray:
        """(F, K) probability that a point is there, key frames included: forward-backward over absent and visible."""
        number = end.frame - start.frame + 1
        likelihood = np.ones((number, len(start.schema.names), 2))
        for k in predictions.frames if predictions is not None else ():
            if start.frame < k.frame < end.frame and k.score is not None:
                # thresholds and group rule have spoken through `visible`; the score says how firmly
                score = np.where(k.visible, np.maximum(k.score, 0.5), np.minimum(k.score, 0.5))
                odds = np.clip(score / np.maximum(1 - score, 1e-6), 1 / _FIRM, _FIRM)
                likelihood[k.frame - start.frame] = np.stack([np.ones_like(odds), odds], axis=-1)
        for i, key in ((0, start), (-1, end)):
            state = key.state[:, None]
            said = np.stack([key.state == KeypointState.ABSENT, key.state == KeypointState.VISIBLE], axis=-1)
            likelihood[i] = np.where(state == KeypointState.UNLABELLED, 1.0, said)
        stay = np.array([[1 - self.change, self.change], [self.change, 1 - self.change]])
        forward, backward = likelihood.copy(), np.ones_like(likelihood)
        for t in range(1, number):
            forward[t] *= _normalised(forward[t - 1]) @ stay
        for t in range(number - 2, -1, -1):
            backward[t] = _normalised(backward[t + 1] * likelihood[t + 1]) @ stay
        return np.asarray(_normalised(forward * backward)[..., 1])


def track_between(
    cine: Cine, start: Keypoints, end: Keypoints, *, predictions: CineLabel | None = None, tracker: Tracker | None = None
) -> list[Keypoints]:
    """The points of the frames between two key frames.

    Args:
        cine: the frames.
        start: the points of the first key frame.
        end: the points of the second; a later frame.
        predictions: the model's points of these frames, key frames included; frames may be missing.
        tracker: other settings.

    Returns:
        One :class:`Keypoints` per frame ``start.frame + 1`` to ``end.frame - 1``; the score is the probability that a point is
        there. Unlabelled is what both key frames leave unlabelled.

    Raises:
        ValueError: the key frames are not two frames of the cine in their order, or of different schemas.
    """
    return [t.keypoints for t in (tracker or Tracker()).track(cine, start, end, predictions=predictions)]


def _check(cine: Cine, start: Keypoints, end: Keypoints) -> None:
    if start.schema.names != end.schema.names:
        raise ValueError(f"key frames of different schemas: {start.schema.name!r} and {end.schema.name!r}")
    if not 0 <= start.frame < end.frame < len(cine):
        raise ValueError(
            f"key frames {start.frame} and {end.frame}: the first must come before the second, and the cine has frames 0 to "
            f"{len(cine) - 1}"
        )


def _labelled(keypoints: Keypoints) -> np.ndarray:
    return np.asarray(keypoints.state != KeypointState.UNLABELLED)


def _normalised(weights: np.ndarray) -> np.ndarray:
    return np.asarray(weights / weights.sum(axis=-1, keepdims=True))


def _working_picture(frame: np.ndarray, scale: float) -> np.ndarray:
    """(h, w) float32, slightly smoothed: quantum noise would lower every correlation."""
    if scale < 1:
        frame = cv2.resize(frame, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.GaussianBlur(frame.astype(np.float32), (0, 0), 1.0))


def _evidence(
    k: int, start: Keypoints, end: Keypoints, predictions: CineLabel | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What is known of point ``k``, in native pixels.

    Returns:
        (2, 2) its places in the key frames, (F, 2) the corrected predictions of all frames, (F,) their spread; NaN = unknown.
    """
    number, name = end.frame - start.frame + 1, start.schema.names[k]
    keys = np.stack([start.xy[k], end.xy[k]]).astype(float)
    predicted, spread = np.full((number, 2), np.nan), np.zeros(number)
    for found in predictions.frames if predictions is not None else ():
        if start.frame <= found.frame <= end.frame:
            predicted[found.frame - start.frame] = found.xy[k]
            spread[found.frame - start.frame] = predictions.spread.get((found.frame, name), 0.0)  # type: ignore[union-attr]
    corrections = keys - predicted[[0, -1]]
    known = np.isfinite(corrections[:, 0])
    if known.all():
        later = np.linspace(0, 1, number)[:, None]
        predicted += (1 - later) * corrections[0] + later * corrections[1]
        # the model is as unsure within this run as its two corrections differ
        spread = np.hypot(spread, 0.25 * np.linalg.norm(corrections[1] - corrections[0]))
    elif known.any():
        predicted += corrections[known][0]
    return keys, predicted, spread


class _PointPath:
    """One point's chain over a window of the working picture.

    Args:
        settings: of the tracker.
        pictures: (h, w) of every frame from key frame to key frame.
        scale: working pixels per native pixel.
        keys: (2, 2), predicted: (F, 2), spread: (F,): see :func:`_evidence`.
    """

    def __init__(
        self,
        settings: Tracker,
        pictures: Sequence[np.ndarray],
        scale: float,
        keys: np.ndarray,
        predicted: np.ndarray,
        spread: np.ndarray,
    ) -> None:
        self._settings, self._pictures, self._scale = settings, pictures, scale
        self._keys, self._predicted = ((xy + 0.5) * scale - 0.5 for xy in (keys, predicted))
        self._sigma = np.hypot(settings.model_sigma, spread * scale)
        height, width = pictures[0].shape
        known = np.concatenate([self._keys, self._predicted])
        known = np.clip(known[np.isfinite(known[:, 0])], 0, (width - 1, height - 1))
        self._empty = not len(known)
        if not self._empty:
            self._left, self._top = np.maximum(np.floor(known.min(axis=0)).astype(int) - _MARGIN, 0)
            right, bottom = np.minimum(np.ceil(known.max(axis=0)).astype(int) + _MARGIN + 1, (width, height))
            self._x, self._y = np.arange(self._left, right), np.arange(self._top, bottom)

    def locate(self) -> tuple[np.ndarray, np.ndarray] | None:
        """(F - 2, 2) places and (F - 2,) spreads in native pixels between the key frames; None where nothing is known."""
        if self._empty:
            return None
        inner = range(1, len(self._pictures) - 1)
        likelihood = self._likelihoods()
        forward, backward = {0: self._certain(0)}, {len(self._pictures) - 1: self._certain(1)}
        for t in inner:
            forward[t] = likelihood[t] * self._moved(forward[t - 1])
        for t in reversed(inner):
            backward[t] = self._moved(backward[t + 1] * likelihood.get(t + 1, 1.0))
        found = [self._summary(forward[t] * backward[t]) for t in inner]
        xy, spread = np.array([f[0] for f in found]), np.array([f[1] for f in found])
        return (xy + 0.5) / self._scale - 0.5, spread / self._scale

    def _certain(self, key: int) -> np.ndarray:
        """The window at a key frame: all weight on its point, or none anywhere in particular."""
        window = np.zeros((len(self._y), len(self._x)), np.float32)
        if np.isnan(self._keys[key, 0]):
            return window + 1 / np.float32(window.size)
        return self._gaussian(self._keys[key], 0.5)

    def _gaussian(self, centre: np.ndarray, sigma: float) -> np.ndarray:
        """(h, w) of sum one, or of sum zero if it lies far outside."""
        along_x, along_y = (np.exp(-0.5 * ((axis - c) / sigma) ** 2) for axis, c in ((self._x, centre[0]), (self._y, centre[1])))
        window = (along_y[:, None] * along_x).astype(np.float32)
        return window / max(float(window.sum()), 1e-12)

    def _moved(self, weights: np.ndarray) -> np.ndarray:
        """One step of motion, in either direction of time."""
        weights = weights / max(float(weights.sum()), 1e-30)
        # nothing beyond the window: the point is in it
        moved = cv2.GaussianBlur(weights, (0, 0), self._settings.step, borderType=cv2.BORDER_CONSTANT)
        return np.asarray((1 - _LOST) * moved + _LOST / weights.size)

    def _likelihoods(self) -> dict[int, np.ndarray]:
        """Inner frame -> (h, w) likelihood of its picture and its prediction, up to a factor."""
        templates = [self._template(key) for key in (0, 1)]
        last = len(self._pictures) - 1
        likelihood = {}
        for t in range(1, last):
            weights = [0.0 if template is None else w for template, w in zip(templates, (1 - t / last, t / last), strict=True)]
            window = np.zeros((len(self._y), len(self._x)), np.float32)
            for template, weight in zip(templates, weights, strict=True):
                if template is not None:
                    window += weight / sum(weights) * self._match(self._pictures[t], template)
            window = np.exp(self._settings.picture_weight * (window - window.max()))
            if np.isfinite(self._predicted[t, 0]):
                trust = self._settings.model_trust
                window *= trust * self._gaussian(self._predicted[t], self._sigma[t]) + (1 - trust) / window.size
            likelihood[t] = window
        return likelihood

    def _template(self, key: int) -> np.ndarray | None:
        if np.isnan(self._keys[key, 0]):
            return None
        side = 2 * self._settings.template + 1
        x, y = self._keys[key]
        patch = cv2.getRectSubPix(self._pictures[-key], (side, side), (float(x), float(y)))
        flat = patch.std() <= 1e-4 * np.abs(patch).max()
        return None if flat else patch  # a flat one correlates with nothing

    def _match(self, picture: np.ndarray, template: np.ndarray) -> np.ndarray:
        """(h, w) correlation in [-1, 1] with the template centred on each pixel of the window."""
        r = self._settings.template
        # the picture is extended only where the window meets its border
        (top, bottom), (left, right) = ((int(a[0]) - r, int(a[-1]) + r + 1) for a in (self._y, self._x))
        height, width = picture.shape
        cut = picture[max(top, 0) : bottom, max(left, 0) : right]
        border = max(-top, 0), max(bottom - height, 0), max(-left, 0), max(right - width, 0)
        cut = cv2.copyMakeBorder(cut, *border, cv2.BORDER_REPLICATE)
        return np.nan_to_num(cv2.matchTemplate(cut, template, cv2.TM_CCOEFF_NORMED))

    def _summary(self, posterior: np.ndarray) -> tuple[np.ndarray, float]:
        """Mean around the peak, and standard deviation per axis of the whole, in working pixels."""
        posterior = posterior.astype(np.float64)
        row, column = np.unravel_index(int(posterior.argmax()), posterior.shape)
        far = np.hypot(self._x - self._x[column], (self._y - self._y[row])[:, None])
        near = np.where(far <= _NEAR, posterior, 0)
        mean = np.array([(near.sum(0) * self._x).sum(), (near.sum(1) * self._y).sum()]) / near.sum()
        squared = (self._x - mean[0]) ** 2 + ((self._y - mean[1]) ** 2)[:, None]
        return mean, float(np.sqrt(0.5 * (posterior * squared).sum() / posterior.sum()))
