"""Annotation replayed on frames whose labels are known but hidden: how fast does the error fall under each strategy?

Every replay begins with the same weights, those of a small network trained on other patients. In each round a strategy looks
at what the network says of the pool and asks for a few labels; the network starts again from the common weights and is
fine-tuned on all labels so far, a quarter of each batch being frames that it was first trained on, lest it forget; then its
error is measured on the whole pool and on patients that are never labelled. Replays differ by seed: in the patients that make
up the pool (the same for all strategies, so that strategies are compared in pairs), in the order of training and in the draws of
``random``.

Every finished round is a line of ``rounds.jsonl``; a replay that was stopped goes on there.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from monai_tavr.active_learning.outputs import FrameOutputs
from monai_tavr.active_learning.strategies import FramePool, SpacingRules, check_strategies, choose_frames
from monai_tavr.active_learning.student import FrameArrays, Lessons, Student, array_digest
from monai_tavr.active_learning.uncertainty import PointUncertainty, disagreement, needs_correction
from monai_tavr.evaluation.frames import errors_per_point
from monai_tavr.keypoints import KeypointSchema

__all__ = ["Replay", "ReplaySettings", "frame_errors", "run_replays"]

_FRAME_PX = 512  # errors are in pixels of a frame of this width
_PER_BATCH = (12, 4)  # frames of the pool, and of those that the common weights were trained on


@dataclass(frozen=True)
class ReplaySettings:
    """What a replay depends on, beside its data.

    Attributes:
        rounds: how often labels are asked for.
        batch: labels per round.
        iterations: batches of 16 frames that every round trains.
        learning_rate: of the fine-tuning.
        pool_share: share of the pool's patients in each replay.
        gap, patient_lead: see :class:`SpacingRules`.
        image_size: side of the network's input in pixels.
        every: of each cine, every such frame is in the pool.

    Raises:
        ValueError: a setting is out of its range.
    """

    rounds: int = 6
    batch: int = 16
    iterations: int = 600
    learning_rate: float = 4e-3
    pool_share: float = 0.7
    gap: int = 5
    patient_lead: int = 4
    image_size: int = 96
    every: int = 2

    def __post_init__(self) -> None:
        if min(self.rounds, self.batch, self.iterations, self.every) < 1:
            raise ValueError(f"rounds, batch, iterations and every must be at least 1, got {self}")
        if not 0 < self.pool_share <= 1 or self.learning_rate <= 0:
            raise ValueError(f"pool_share must lie in (0, 1] and learning_rate above 0, got {self}")


def frame_errors(outputs: FrameOutputs, frames: FrameArrays) -> np.ndarray:
    """(N,) pixels (of 512) per labelled point, see :func:`monai_tavr.evaluation.frames.errors_per_point`."""
    distance = np.linalg.norm(outputs.xy - frames.xy, axis=2) * _FRAME_PX
    return errors_per_point(distance, outputs.reported, frames.state)


@dataclass(frozen=True, eq=False)
class Replay:
    """The parts of all replays.

    Attributes:
        student: the network.
        start: its common weights.
        memory: frames that they were trained on.
        uncertainty: calibrated on them.
        pool: frames with hidden labels.
        test: frames of patients that are never labelled.
        settings: see there.
    """

    student: Student
    start: dict[str, Tensor]
    memory: Lessons
    uncertainty: PointUncertainty
    pool: FrameArrays
    test: FrameArrays
    settings: ReplaySettings

    def pool_of(self, seed: int) -> FrameArrays:
        """The frames of the patients that this seed draws."""
        patients = np.unique(self.pool.patient)
        count = max(1, round(self.settings.pool_share * len(patients)))
        drawn = np.random.default_rng((seed, 0)).choice(patients, count, replace=False)
        return self.pool.select(np.isin(self.pool.patient, drawn))

    def train(self, frames: FrameArrays, labelled: Sequence[int], *, seed: int) -> None:
        """The common weights, fine-tuned on labelled frames; untouched where there are none."""
        self.student.restore(self.start)
        if labelled:
            s = self.settings
            new = self.student.lessons(frames.select(np.array(labelled)))
            order = seed * 1000 + len(labelled)
            self.student.train(
                [new, self.memory],
                per_batch=_PER_BATCH,
                iterations=s.iterations,
                learning_rate=s.learning_rate,
                seed=order,
                fixed_statistics=True,
            )

    def choose(self, frames: FrameArrays, outputs: FrameOutputs, labelled: Sequence[int], strategy: str, seed: int) -> list[int]:
        """The frames to label next."""
        s, schema = self.settings, self.student.schema
        pool = FramePool(
            cine=frames.cine,
            frame=frames.frame,
            patient=frames.patient,
            uncertainty=self.uncertainty.of_frames(outputs, schema),
            disagreement=disagreement(outputs, frames.cine, frames.frame),
            features=outputs.features,
        )
        taken = [(int(frames.cine[i]), int(frames.frame[i])) for i in labelled]
        rules = SpacingRules(gap=s.gap, patient_lead=s.patient_lead)
        chosen = choose_frames(pool, strategy, count=s.batch, taken=taken, rules=rules, seed=seed * 1000 + len(labelled))
        return [index for index, _ in chosen]

    def measure(self, frames: FrameArrays, outputs: FrameOutputs) -> dict[str, float]:
        """Errors on the whole pool and on the test patients, and how far the uncertainty may be believed."""
        test = self.student.ask(self.test)
        schema: KeypointSchema = self.student.schema
        check = self.uncertainty.check(outputs, frames.xy, frames.state, schema)
        return {
            "pool_error": float(frame_errors(outputs, frames).mean()),
            "test_error": float(frame_errors(test, self.test).mean()),
            "pool_corrections": float(needs_correction(outputs, frames.xy, frames.state).sum(axis=1).mean()),
            "pool_ece": float(check["ece"]),
        }


def run_replays(
    replay: Replay, file: Path, *, strategies: Sequence[str], seeds: int, progress: Callable[[int], Any] | None = None
) -> list[dict[str, Any]]:
    """Run what ``file`` does not hold yet, seed by seed.

    Args:
        replay: the parts.
        file: JSON lines, one per finished round; made if it does not exist.
        strategies: names of :data:`monai_tavr.active_learning.strategies.STRATEGIES`.
        seeds: how many replays of each.
        progress: called with the number of rounds done since the last call.

    Returns:
        The rounds of these strategies and seeds: ``strategy``, ``seed``, ``round`` (0 = before the first label), ``labels``, the
        figures of :meth:`Replay.measure`, ``seconds`` and ``chosen``, the pairs (cine, frame) that were labelled in the round.

    Raises:
        ValueError: no such strategy, or the file belongs to other settings or data.
    """
    check_strategies(strategies)
    done = _claim(file, replay)
    for seed in range(seeds):
        for strategy in strategies:
            known = [r for r in done if (r["strategy"], r["seed"]) == (strategy, seed)]
            done += _run_one(replay, file, strategy, seed, known, progress)
    return [r for r in done if r["strategy"] in strategies and r["seed"] < seeds]


def _claim(file: Path, replay: Replay) -> list[dict[str, Any]]:
    """The rounds in the file; its first line holds the settings."""
    note = {
        **asdict(replay.settings),
        "pool": replay.pool.digest,
        "test": replay.test.digest,
        "start": array_digest(value.numpy() for value in replay.start.values()),
    }
    if not file.is_file():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps({"settings": note}) + "\n", encoding="utf-8")
        return []
    text = file.read_text(encoding="utf-8")
    whole = text[: text.rfind("\n") + 1]
    if whole != text:  # stopped in the middle of a line
        file.write_text(whole, encoding="utf-8")
    lines = [json.loads(line) for line in whole.splitlines()]
    found = lines[0].get("settings") if lines else None
    if found != note:
        raise ValueError(f"{file} belongs to replays with {found}, not {note}; give another folder with --out")
    return lines[1:]


def _run_one(
    replay: Replay,
    file: Path,
    strategy: str,
    seed: int,
    known: list[dict[str, Any]],
    progress: Callable[[int], Any] | None,
) -> list[dict[str, Any]]:
    frames, s = replay.pool_of(seed), replay.settings
    place = {pair: i for i, pair in enumerate(zip(frames.cine.tolist(), frames.frame.tolist(), strict=True))}
    labelled = [place[tuple(pair)] for r in known for pair in r["chosen"]]
    if progress is not None:
        progress(len(known))
    if len(known) > s.rounds:
        return []
    new: list[dict[str, Any]] = []
    outputs: FrameOutputs | None = None
    if known:  # stopped in between: the network of the last finished round again
        replay.train(frames, labelled, seed=seed)
        outputs = replay.student.ask(frames)
    for number in range(len(known), s.rounds + 1):
        started = time.perf_counter()
        chosen = replay.choose(frames, outputs, labelled, strategy, seed) if outputs is not None else []
        labelled += chosen
        replay.train(frames, labelled, seed=seed)
        outputs = replay.student.ask(frames)
        pairs = [(int(frames.cine[i]), int(frames.frame[i])) for i in chosen]
        result = {"strategy": strategy, "seed": seed, "round": number, "labels": len(labelled)} | replay.measure(frames, outputs)
        new.append(result | {"seconds": round(time.perf_counter() - started, 1), "chosen": pairs})
        with file.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(new[-1]) + "\n")
        if progress is not None:
            progress(1)
    return new
