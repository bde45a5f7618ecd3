"""How many errors the checks of labels find: errors are planted in good labels, one at a time, and looked for.

Of every labelled frame in turn each kind of error is planted that the frame allows; the other frames of its cine stay as they
are. An error counts as found when its frame is reported. What is reported of labels without an error is a false alarm.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from monai_tavr.keypoints import Keypoints
from monai_tavr.label import CineLabel, ImageInfo
from monai_tavr.plausibility.finding import Finding
from monai_tavr.plausibility.guide import BORDER

__all__ = ["KINDS", "PlantedErrors", "measure_checks", "plant_errors"]

KINDS = {
    "ends swapped": "the two ends of a line are exchanged",
    "neighbours swapped": "two points that follow one another along a device are exchanged",
    "turned": "all points along a device are the wrong way round",
    "slip": "one point is moved in any direction",
}
"""Names of the errors that are planted -> what they are."""


def plant_errors(
    keypoints: Keypoints, image: ImageInfo, *, pixels: float, rng: np.random.Generator
) -> Iterator[tuple[str, tuple[str, ...], Keypoints]]:
    """One frame with an error of each kind that it allows, at a place drawn at random.

    Args:
        keypoints: the frame, without an error.
        image: in which a slipped point stays, off the border.
        pixels: how far a point slips.
        rng: draws.

    Yields:
        Kind of :data:`KINDS`, names of the points concerned, and the frame with the error.
    """
    schema, seen = keypoints.schema, {n for n, v in zip(keypoints.schema.names, keypoints.visible, strict=True) if v}
    lines = [pair for pair in schema.flip_pairs if seen.issuperset(pair)]
    neighbours = [pair for chain in schema.chains for pair in itertools.pairwise(chain) if seen.issuperset(pair)]
    chains = [chain for chain in schema.chains if seen.issuperset(chain)]
    for kind, places in (("ends swapped", lines), ("neighbours swapped", neighbours), ("turned", chains)):
        if places:
            names = places[rng.integers(len(places))]
            yield kind, names, _moved(keypoints, names, keypoints.xy[[schema.index(n) for n in reversed(names)]])
    if seen:
        name = sorted(seen)[rng.integers(len(seen))]
        start, margin = keypoints.xy[schema.index(name)], BORDER * image.columns
        far = np.array([image.columns, image.rows]) - 0.5 - margin
        angles = rng.permutation(np.arange(36)) * np.pi / 18
        places = start + pixels * np.stack([np.cos(angles), np.sin(angles)], axis=1)
        inside = places[((places >= margin - 0.5) & (places <= far)).all(axis=1)]
        if len(inside):
            yield "slip", (name,), _moved(keypoints, (name,), inside[:1])


def _moved(keypoints: Keypoints, names: Sequence[str], places: np.ndarray) -> Keypoints:
    xy = keypoints.xy.copy()
    xy[[keypoints.schema.index(n) for n in names]] = places
    return replace(keypoints, xy=xy)


@dataclass
class PlantedErrors:
    """What was found.

    Attributes:
        clean: labelled frames without an error.
        alarms: how many of them were reported.
        alarms_by_rule: rule -> how many of them it reported.
        beside: frames of a cine with an error elsewhere, and how many of them were reported although they were not before.
        planted: kind -> errors planted.
        found: kind -> how many frames with an error were reported.
        named: kind -> how many with the right point first.
        missed: (point, kind) -> how many were not.
    """

    clean: int = 0
    alarms: int = 0
    alarms_by_rule: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    beside: list[int] = field(default_factory=lambda: [0, 0])
    planted: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    found: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    named: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    missed: dict[tuple[str, str], int] = field(default_factory=lambda: defaultdict(int))

    def to_dict(self) -> dict[str, Any]:
        """Counts and shares, JSON-ready."""
        return {
            "clean_frames": self.clean,
            "false_alarms": self.alarms,
            "false_alarm_share": self.alarms / max(self.clean, 1),
            "false_alarms_by_rule": dict(self.alarms_by_rule),
            "alarms_beside_share": self.beside[1] / max(self.beside[0], 1),
            "errors": {
                kind: {
                    "planted": number,
                    "found": self.found[kind],
                    "found_share": self.found[kind] / number,
                    "named_share": self.named[kind] / number,
                    "missed_by_point": {p: n for (p, k), n in sorted(self.missed.items()) if k == kind},
                }
                for kind, number in self.planted.items()
            },
        }


def measure_checks(
    labels: Sequence[CineLabel],
    check: Callable[[CineLabel], Sequence[Finding]],
    *,
    pixels: float = 20.0,
    clicks: float = 0.0,
    seed: int = 0,
    progress: Callable[[int], Any] | None = None,
) -> PlantedErrors:
    """Plant errors, look for them, and count.

    Args:
        labels: without errors.
        check: what is measured.
        pixels: how far a point slips, in pixels of an image of 512; it grows with the image.
        clicks: standard deviation in such pixels by which every point is moved first, as people do.
        seed: of all draws.
        progress: called with the number of frames done since the last call.
    """
    rng, counts = np.random.default_rng(seed), PlantedErrors()
    for label in labels:
        unit = float(np.sqrt(label.image.rows * label.image.columns)) / 512
        clean = _clicked(label, clicks * unit, rng)
        before = _by_frame(check(clean))
        for position, k in enumerate(clean.frames):
            counts.clean += 1
            counts.alarms += k.frame in before
            for rule in {f.rule for f in before.get(k.frame, ())}:
                counts.alarms_by_rule[rule] += 1
            for kind, names, wrong in plant_errors(k, clean.image, pixels=pixels * unit, rng=rng):
                frames = (*clean.frames[:position], wrong, *clean.frames[position + 1 :])
                after = _by_frame(check(replace(clean, frames=frames)))
                _count(counts, kind, names, after.get(k.frame, []))
                counts.beside[0] += len(frames) - 1
                counts.beside[1] += len(set(after) - set(before) - {k.frame})
            if progress is not None:
                progress(1)
    return counts


def _clicked(label: CineLabel, sigma: float, rng: np.random.Generator) -> CineLabel:
    return replace(label, frames=tuple(replace(k, xy=k.xy + rng.normal(0, sigma, k.xy.shape)) for k in label.frames))


def _by_frame(findings: Sequence[Finding]) -> Mapping[int, list[Finding]]:
    found: dict[int, list[Finding]] = {}
    for f in findings:
        found.setdefault(f.frame, []).append(f)
    return found


def _count(counts: PlantedErrors, kind: str, names: tuple[str, ...], reported: Sequence[Finding]) -> None:
    counts.planted[kind] += 1
    counts.found[kind] += bool(reported)
    counts.named[kind] += any(f.points[0] in names for f in reported)
    if not reported:
        counts.missed[names[0], kind] += 1
