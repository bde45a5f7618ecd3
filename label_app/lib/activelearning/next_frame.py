"""The frame that an annotator should label next, with the reason in words.

Frames that have a final label, that the client excludes (drafts, skipped ones) or that somebody else is labelling are not
proposed, nor are their neighbours in time. The answer comes at once, from what the scan has looked at so far.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from label_app.lib.activelearning.frame_scan import FrameScan, ScannedImage
from label_app.lib.activelearning.next_request import NextRequest
from label_app.lib.activelearning.reservations import Reservations
from label_app.lib.images.patients import PatientKeys
from label_app.lib.images.study_index import ImageEntry
from label_app.lib.labels.store import LabelStore
from monai_tavr.active_learning.outputs import FrameOutputs
from monai_tavr.active_learning.strategies import STRATEGIES, FramePool, SpacingRules, choose_frames, eligible_frames
from monai_tavr.active_learning.uncertainty import PointUncertainty, disagreement, read_uncertainty

if TYPE_CHECKING:
    from label_app.lib.models.registry import ModelRegistry

__all__ = ["NextFrame"]

_WAIT_SECONDS = 3.0  # for the first scores of all
_MOST_SCORED = 4000  # frames compared with each other: 64 MB
_NAMED_POINTS = 3

Place = tuple[str, int]  # image id, frame


@dataclass(frozen=True, eq=False)
class _Scored:
    """The scored frames as a pool, with what the reason is made of."""

    pool: FramePool
    doubt: np.ndarray  # (N, K) probability that a point has to be corrected
    names: tuple[str, ...]


class NextFrame:
    """Chooses frames. Safe for use by several threads.

    Args:
        labels: final labels.
        patients: tells whose image one is.
        models: which model is active.
        scan: what it says of the frames.
        reservations: frames that are being labelled.
        rules: how labelled frames keep apart.
    """

    def __init__(
        self,
        labels: LabelStore,
        patients: PatientKeys,
        models: ModelRegistry,
        scan: FrameScan,
        *,
        reservations: Reservations | None = None,
        rules: SpacingRules | None = None,
    ) -> None:
        self._labels, self._patients, self._models, self._scan = labels, patients, models, scan
        self._reservations = reservations or Reservations()
        self._rules = rules or SpacingRules()
        self._one_at_a_time = threading.Lock()  # two annotators who ask at once get two frames

    def choose(self, strategy: str, request: NextRequest, images: Mapping[str, ImageEntry], user: str) -> dict[str, Any]:
        """The next frame of some images.

        Args:
            strategy: a name of :data:`monai_tavr.active_learning.strategies.STRATEGIES`.
            request: what the annotator asked for.
            images: id -> image, the ones to look in.
            user: who asks; the frame is reserved for them.

        Returns:
            ``id``, ``frame`` (0-based), ``strategy``, ``score``, ``reason``, ``remaining`` (frames that could be asked for after
            this one). Where there is none, ``id`` is None and ``detail`` says why.
        """
        rules = self._rules if not STRATEGIES[strategy].plain else SpacingRules(gap=1, patient_lead=None)
        with self._one_at_a_time:
            taken = self._taken(request, images, user)
            everything = self._unscored(images)
            open_ = eligible_frames(everything, _numbered(taken, images), rules=rules)
            if not open_.any():
                return {"id": None, "frame": None, "strategy": strategy, "remaining": 0, "detail": _nothing_left(rules)}
            place, score, reason = self._find(strategy, images, everything, taken, rules)
            self._reservations.reserve(*place, user)
        close = eligible_frames(everything, _numbered([*taken, place], images), rules=rules)
        answer = {"id": place[0], "frame": place[1], "strategy": strategy, "score": score, "reason": reason}
        # 3D Slicer saves the image under this name, and reads it by its suffix
        return answer | {"remaining": int(close.sum()), "name": f"{place[0]}.dcm"}

    def _taken(self, request: NextRequest, images: Mapping[str, ImageEntry], user: str) -> list[Place]:
        """Frames that need no label, or not by this user now."""
        taken = set(self._reservations.of_others(user))
        for image in self._labels.images():
            current = self._labels.current(image) if image in images else None
            taken |= {(image, f) for f in current.frames} if current else set()
        for image, frame in set(request.exclude):
            if image in images:
                taken |= {(image, f) for f in range(images[image].number_of_frames)} if frame is None else {(image, frame)}
        return sorted(place for place in taken if place[0] in images)

    def _unscored(self, images: Mapping[str, ImageEntry]) -> FramePool:
        """Every frame of the images, in order; nothing is known of any."""
        counts = [entry.number_of_frames for entry in images.values()]
        cine = np.repeat(np.arange(len(counts)), counts)
        frame = np.concatenate([np.arange(n) for n in counts]) if counts else np.empty(0, int)
        nothing = np.zeros(len(cine))
        return FramePool(cine, frame, self._owners(images)[cine], nothing, nothing, nothing[:, None])

    def _owners(self, images: Mapping[str, ImageEntry]) -> np.ndarray:
        """(images,) int, whose each image is."""
        keys = [self._patients.key(entry) for entry in images.values()]
        return np.unique(np.array(keys, dtype=str), return_inverse=True)[1]

    def _find(
        self, strategy: str, images: Mapping[str, ImageEntry], everything: FramePool, taken: list[Place], rules: SpacingRules
    ) -> tuple[Place, float, str]:
        ids, numbered = list(images), _numbered(taken, images)
        if STRATEGIES[strategy].plain:
            index, score = choose_frames(everything, strategy, taken=numbered, seed=len(taken))[0]
            words = "the first frame without a label" if strategy == "sequential" else "drawn at random"
            return (ids[everything.cine[index]], int(everything.frame[index])), score, words
        try:
            scored = self._scored(images)
            found = choose_frames(scored.pool, strategy, taken=numbered, rules=rules) if scored else []
            words = "the model is still looking through the images" if not scored else "all frames that were scored are labelled"
        except ValueError:  # no model
            scored, found, words = None, [], "there is no model to ask"
        if scored is not None and found:
            index, score = found[0]
            return (ids[scored.pool.cine[index]], int(scored.pool.frame[index])), score, _reason(scored, index, strategy)
        open_ = np.flatnonzero(eligible_frames(everything, numbered, rules=rules))
        index = int(open_[np.random.default_rng(len(taken)).integers(open_.size)])
        return (ids[everything.cine[index]], int(everything.frame[index])), 0.0, f"drawn at random: {words}"

    def _scored(self, images: Mapping[str, ImageEntry]) -> _Scored | None:
        """What the scan knows of the images, or None."""
        predictor = self._models.predictor()
        known = self._scan.scanned(list(images), wait=_WAIT_SECONDS)
        numbers = {image: n for n, image in enumerate(images)}
        parts = [(numbers[image], found) for image, found in known.items()]
        parts = _thinned(parts)
        if not parts:
            return None
        outputs = FrameOutputs.join([found.outputs for _, found in parts])
        cine = np.concatenate([np.full(len(found.frames), n) for n, found in parts])
        frame = np.concatenate([found.frames for _, found in parts])
        uncertainty = _calibrated(predictor.weights, predictor.weights_sha256)
        doubt = uncertainty.of_points(outputs, predictor.schema)
        jump = disagreement(outputs, cine, frame)
        pool = FramePool(cine, frame, self._owners(images)[cine], doubt.sum(axis=1), jump, outputs.features)
        return _Scored(pool, doubt, predictor.schema.names)


def _numbered(places: Sequence[Place], images: Mapping[str, ImageEntry]) -> list[tuple[int, int]]:
    """(number of the image, frame)."""
    numbers = {image: n for n, image in enumerate(images)}
    return [(numbers[image], frame) for image, frame in places]


def _thinned(parts: list[tuple[int, ScannedImage]]) -> list[tuple[int, ScannedImage]]:
    """At most so many frames that they can be compared with each other: of every image every second one, third one, and so on."""
    step = -(-sum(len(found.frames) for _, found in parts) // _MOST_SCORED)
    if step <= 1:
        return parts
    return [(n, ScannedImage(found.frames[::step], found.outputs.select(slice(None, None, step)))) for n, found in parts]


def _calibrated(weights: Path, sha256: str) -> PointUncertainty:
    try:
        return read_uncertainty(weights.with_name("uncertainty.json"), weights_sha256=sha256)
    except ValueError:  # damaged: the default orders frames too
        return PointUncertainty()


def _nothing_left(rules: SpacingRules) -> str:
    if rules.gap == 1:
        return "every frame is labelled, left out, or being labelled by somebody else"
    return (
        f"every frame is labelled, left out, or being labelled, or less than {rules.gap} frames from one that is; "
        "the strategies 'sequential' and 'random' ask for those too"
    )


def _reason(scored: _Scored, index: int, strategy: str) -> str:
    """Why this frame, in words for an annotator."""
    pool, doubt = scored.pool, scored.doubt[index]
    unsteady = pool.disagreement[index] > 1.5 * float(pool.disagreement.mean())
    if strategy == "diversity":
        return "looks unlike every frame that is labelled"
    if strategy == "disagreement":
        return "the points jump against the neighbouring frames" if unsteady else "steadier than most, but the least steady left"
    worst = [int(k) for k in np.argsort(-doubt, kind="stable")[:_NAMED_POINTS] if doubt[k] >= 0.5 * doubt.max()]
    names = [scored.names[k] for k in sorted(worst)]
    words = f"uncertain about {' and '.join([', '.join(names[:-1]), names[-1]] if len(names) > 1 else names)}"
    return f"{words}; the points jump against the neighbouring frames" if unsteady and strategy == "hybrid" else words
