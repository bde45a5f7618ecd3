"""Frames that are no angiogram, drawn: what a model must not trust its answer on, and must therefore have been shown.

Black, white, noise, patterns, screens full of text, photographs' shapes, ultrasound, slices, limbs, chest radiographs; and
angiograms spoilt: inverted, cut into tiles, blurred, enlarged. None is meant to deceive a reader; together they surround from
many sides what a model is used on.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType

import cv2
import numpy as np

from monai_tavr.evaluation.calibration import sigmoid
from monai_tavr.phantom.texture import Image, blur, power_noise

__all__ = ["DRAWN", "SPOILT", "foreign_frames"]

_WORDS = ("Patient", "Study", "Series", "Report", "kV 82", "mAs 5", "File", "Edit", "View", "12:41:07", "OK", "Cancel", "Run 3")


def _flat(rng: np.random.Generator, side: int) -> Image:
    """Black, white or one grey, sometimes with the sensor's last bit."""
    level = rng.choice([0.0, 1.0, rng.random()])
    return np.full((side, side), level, np.float32) + rng.choice([0.0, 0.004]) * _white(rng, side)


def _white(rng: np.random.Generator, side: int) -> Image:
    return rng.standard_normal((side, side), dtype=np.float32)


def _noise(rng: np.random.Generator, side: int) -> Image:
    """White, salt and pepper, or clouds of any roughness."""
    kind = rng.integers(3)
    if kind == 0:
        return 0.5 + 0.2 * blur(_white(rng, side), rng.uniform(0.2, 3))
    if kind == 1:
        return (rng.random((side, side)) < rng.uniform(0.02, 0.5)).astype(np.float32)
    return 0.5 + 0.2 * power_noise(rng, side, slope=rng.uniform(0.5, 2.5), low=1, high=rng.uniform(8, side / 2))


def _pattern(rng: np.random.Generator, side: int) -> Image:
    """A gradient, a grating, a chessboard or a test chart of bars."""
    y, x = np.indices((side, side), dtype=np.float32) / side
    turn, wave = rng.uniform(0, np.pi), rng.uniform(2, 40)
    along, across = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    choices = [along, np.hypot(x - rng.random(), y - rng.random()), np.sin(2 * np.pi * wave * along)]
    choices += [np.sign(np.sin(2 * np.pi * wave * along) * np.sin(2 * np.pi * wave * across)), np.sign(np.sin(40 * along**2))]
    return np.asarray(choices[rng.integers(len(choices))], np.float32)


def _screen(rng: np.random.Generator, side: int) -> Image:
    """Windows, lines of text, a plot: a captured screen or a scanned page."""
    dark, light = sorted(rng.uniform(0, 1, 2))
    paper, ink = (light, dark) if rng.random() < 0.6 else (dark, light)
    picture = np.full((side, side), paper, np.float32)
    for _ in range(rng.integers(0, 5)):
        a, b = rng.integers(0, side, 2), rng.integers(0, side, 2)
        cv2.rectangle(picture, a.tolist(), b.tolist(), rng.random(), int(rng.choice([-1, 1, 2])))
    for _ in range(rng.integers(4, 60)):
        text = " ".join(rng.choice(_WORDS, rng.integers(1, 6)))
        place = (rng.integers(-20, int(0.8 * side)), rng.integers(10, side))
        cv2.putText(picture, text, [int(p) for p in place], cv2.FONT_HERSHEY_SIMPLEX, rng.uniform(0.3, 1.2), float(ink))
    if rng.random() < 0.4:
        x = np.linspace(0, side, 60)
        y = side * (0.5 + 0.1 * np.cumsum(rng.standard_normal(60)) / 4)
        cv2.polylines(picture, [np.stack([x, y], 1).astype(np.int32)], False, float(ink), 2)
    return picture


def _objects(rng: np.random.Generator, side: int) -> Image:
    """Shaded shapes before a ground, as a photograph has them."""
    picture = 0.5 + 0.25 * power_noise(rng, side, slope=rng.uniform(1, 2), low=1, high=rng.uniform(4, 120))
    for _ in range(rng.integers(3, 25)):
        mask = np.zeros((side, side), np.float32)
        centre, size = rng.uniform(0, side, 2), side * rng.uniform(0.03, 0.4)
        if rng.random() < 0.5:
            axes = size * rng.uniform(0.3, 1, 2)
            cv2.ellipse(mask, [int(c) for c in centre], [int(a) + 1 for a in axes], rng.uniform(0, 180), 0, 360, 1.0, -1)
        else:
            corners = centre + size * rng.uniform(-1, 1, (rng.integers(3, 7), 2))
            cv2.fillPoly(mask, [corners.astype(np.int32)], 1.0)
        texture = rng.uniform(0, 0.15) * power_noise(rng, side, slope=1.2, low=2, high=80)
        picture = np.where(mask > 0, np.float32(rng.random()) + texture, picture)
    return blur(picture, rng.uniform(0.3, 2.5))


def _sector(rng: np.random.Generator, side: int) -> Image:
    """An ultrasound sector: speckle along arcs on black."""
    y, x = np.indices((side, side), dtype=np.float32)
    dx, dy = x - side / 2, y + rng.uniform(0, 0.3) * side
    depth, angle = np.hypot(dx, dy), np.arctan2(dx, dy)
    inside = (np.abs(angle) < rng.uniform(0.4, 0.9)) & (depth < rng.uniform(0.8, 1.1) * side) & (depth > 0.1 * side)
    tissue = np.exp(0.9 * power_noise(rng, side, slope=1.5, low=1, high=24))
    speckle = np.hypot(blur(_white(rng, side), 1.2), blur(_white(rng, side), 1.2))
    return np.where(inside, np.log1p(6 * tissue * speckle), 0).astype(np.float32)


def _slice(rng: np.random.Generator, side: int) -> Image:
    """A slice of CT or MR: a body of organs on black, with or without a ring of bone."""
    picture, centre = np.zeros((side, side), np.float32), side * (0.5 + rng.uniform(-0.06, 0.06, 2))
    radii, turn, levels = side * rng.uniform(0.25, 0.46, 2), rng.uniform(0, 180), rng.uniform(0.2, 1, 3)
    for scale, level in zip((1, rng.uniform(0.85, 0.95), rng.uniform(0.75, 0.85)), levels, strict=True):
        cv2.ellipse(picture, [int(c) for c in centre], [int(r * scale) for r in radii], turn, 0, 360, float(level), -1)
    for _ in range(rng.integers(3, 14)):
        place, axes = centre + 0.55 * radii * rng.uniform(-1, 1, 2), side * rng.uniform(0.02, 0.12, 2)
        cv2.ellipse(
            picture, [int(p) for p in place], [int(a) + 1 for a in axes], rng.uniform(0, 180), 0, 360, float(rng.random()), -1
        )
    texture = 1 + 0.08 * power_noise(rng, side, slope=1, low=2, high=100)
    return blur(picture * texture, rng.uniform(0.5, 2)) + 0.02 * _white(rng, side)


def _limb(rng: np.random.Generator, side: int) -> Image:
    """Long bones within soft tissue, one (arm, leg) or several side by side (hand, foot), bright on dark or the reverse."""
    bones, flesh = np.zeros((side, side), np.float32), np.zeros((side, side), np.float32)
    count, turn = int(rng.choice([1, 2, 5])), rng.uniform(0, 2 * np.pi)
    along, across = np.array([np.cos(turn), np.sin(turn)]), np.array([-np.sin(turn), np.cos(turn)])
    width = side * rng.uniform(0.5, 0.8) / (count + 1)
    for i in range(count):
        middle = side * (0.5 + rng.uniform(-0.05, 0.05, 2)) + across * width * (i - (count - 1) / 2) * 1.1
        joints = [middle + along * side * s * rng.uniform(0.8, 1.1) for s in np.linspace(-0.6, 0.5, int(rng.integers(2, 6)))]
        for a, b in itertools.pairwise(joints):
            ends = [[int(v) for v in a + 0.06 * (b - a)], [int(v) for v in b - 0.06 * (b - a)]]
            cv2.line(flesh, ends[0], ends[1], 1.0, int(width * 0.9) + 2)
            cv2.line(bones, ends[0], ends[1], 1.0, int(width * 0.4) + 2)
            for end in ends:
                cv2.circle(bones, end, int(width * 0.28) + 1, 1.0, -1)
    thickness = 0.4 * blur(flesh, side / 60) + rng.uniform(0.3, 0.6) * blur(bones, side / 250)
    return (thickness + 0.01 * _white(rng, side)) * rng.choice([-1, 1])


def _chest(rng: np.random.Generator, side: int) -> Image:
    """A chest radiograph: dark lungs, bright spine and ribs, a heart."""
    y, x = np.indices((side, side), dtype=np.float32) / side - 0.5
    picture = 0.7 - 0.25 * (np.abs(x) > 0.43) + 0.05 * power_noise(rng, side, slope=1.6, low=1, high=60)
    for sign in (-1, 1):
        lung = ((x - sign * rng.uniform(0.19, 0.24)) / rng.uniform(0.13, 0.18)) ** 2 + (y / rng.uniform(0.28, 0.4)) ** 2
        picture -= rng.uniform(0.3, 0.5) * sigmoid(12 * (1 - lung)).astype(np.float32)
    ribs = np.sin(2 * np.pi * rng.uniform(7, 11) * (y + 0.8 * x**2 + 0.15 * np.abs(x))) > 0.5
    picture += 0.07 * blur(ribs.astype(np.float32), side / 200) + 0.2 * np.exp(-((x / 0.035) ** 2))
    picture += 0.3 * np.exp(-(((x - 0.06) / 0.1) ** 2) - ((y - 0.12) / 0.13) ** 2)
    return picture + 0.01 * _white(rng, side)


DRAWN: Mapping[str, Callable[[np.random.Generator, int], Image]] = MappingProxyType(
    {
        "flat": _flat,
        "noise": _noise,
        "pattern": _pattern,
        "screen": _screen,
        "objects": _objects,
        "ultrasound": _sector,
        "slice": _slice,
        "limb": _limb,
        "chest": _chest,
    }
)
"""Kind -> what draws one of it: (random numbers, side in pixels) -> (side, side) float32, any grey scale."""


def _tiles(rng: np.random.Generator, frame: Image) -> Image:
    """The frame cut into squares that are shuffled."""
    n = int(rng.integers(3, 9))
    tiles = [
        tile for row in np.array_split(frame[: len(frame) // n * n, : frame.shape[1] // n * n], n) for tile in np.hsplit(row, n)
    ]
    rng.shuffle(tiles)
    return np.vstack([np.hstack(tiles[i * n : i * n + n]) for i in range(n)])


def _enlarged(rng: np.random.Generator, frame: Image) -> Image:
    """A detail, enlarged until nothing can be recognised."""
    part = max(8, int(min(frame.shape) * rng.uniform(0.03, 0.09)))
    y, x = (int(rng.integers(0, s - part + 1)) for s in frame.shape)
    return np.asarray(cv2.resize(frame[y : y + part, x : x + part], frame.shape[::-1], interpolation=cv2.INTER_CUBIC))


SPOILT: Mapping[str, Callable[[np.random.Generator, Image], Image]] = MappingProxyType(
    {
        "inverted": lambda _, frame: -frame,
        "tiles": _tiles,
        "blurred": lambda rng, frame: blur(frame, min(frame.shape) * rng.uniform(0.03, 0.1)),
        "enlarged": _enlarged,
    }
)
"""Kind -> what makes one of it from an angiogram: (random numbers, (H, W) float32) -> float32 of about that size."""


def foreign_frames(frames: Sequence[np.ndarray], *, each: int, seed: int = 0, side: int = 384) -> Iterator[tuple[str, Image]]:
    """Frames of every kind.

    Args:
        frames: angiograms to spoil, (H, W) each, any grey scale, taken in turn; none = only what is drawn.
        each: how many of every kind.
        seed: of the random numbers; a kind's frames do not depend on the others.
        side: rows and columns of what is drawn, in pixels.

    Yields:
        The kind, and (H, W) float32 of any grey scale.
    """
    for number, (kind, draw) in enumerate(DRAWN.items()):
        for i in range(each):
            yield kind, np.asarray(draw(np.random.default_rng([seed, number, i]), side), np.float32)
    for number, (kind, spoil) in enumerate(SPOILT.items(), start=len(DRAWN)):
        for i in range(each if frames else 0):
            frame = np.asarray(frames[i % len(frames)], np.float32)
            yield kind, np.asarray(spoil(np.random.default_rng([seed, number, i]), frame), np.float32)
