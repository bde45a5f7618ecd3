"""What lies in the picture and is nobody's keypoint: echo probe, wires of an old operation, leads, clips, foreign catheters.

Each kind comes with a probability per patient (a preset may change them). Some are dense blocks or ring-marked catheters on
purpose: a network that learns "dense and tubular" instead of "capsule" must fail here, not in a hospital.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise
from types import MappingProxyType

import numpy as np

from monai_tavr.phantom.anatomy import Anatomy
from monai_tavr.phantom.curves import Curve, Tube, band, spline_curve
from monai_tavr.phantom.vectors import unit

__all__ = ["CLINICAL_PROBABILITIES", "PROBABILITIES", "sample_distractors"]


def _fixed(points: np.ndarray, radius: float, mu: float, *, hollow: float = 0.0, tether: float = 0.0) -> Tube:
    return Tube(points, radius, mu, hollow, tether)


def echo_probe(anatomy: Anatomy, rng: np.random.Generator) -> list[Tube]:
    """A transoesophageal probe: a ribbed shaft behind the heart that ends in a dense transducer."""
    x, depth = rng.uniform(-14, 14), rng.uniform(30, 40)
    tip = np.array([x + rng.uniform(-8, 8), depth - rng.uniform(0, 8), rng.uniform(-25, 40)])
    curve = spline_curve(np.array([[x, depth, 190.0], [x + rng.uniform(-5, 5), depth, 110.0], tip + np.array([0, 4, 38]), tip]))
    end, mu = curve.length, rng.uniform(0.6, 1.1)
    tubes = [
        _fixed(curve.span(0, end - 34), 4.6, 0.035 * mu, hollow=0.7),
        _fixed(curve.span(end - 27, end - 9), 4.2, 0.10 * mu),
    ]
    head = curve.span(end - 36, end + 3)
    rounded = np.sqrt(np.clip(1 - (2 * np.linspace(0, 1, len(head)) - 1) ** 8, 0.02, 1))
    tubes.append(Tube(head, 5.6 * rounded, 0.06 * mu))
    ribs = np.arange(end - 36 - 4.5 * rng.integers(8, 16), end - 36, 4.5)
    tubes += [band(curve, s, width=1.4, radius=5.0, mu=0.10 * mu, hollow=0.8) for s in ribs]
    return [Tube(t.points, t.radius, t.mu, t.hollow, 0.2) for t in tubes]


def sternal_wires(anatomy: Anatomy, rng: np.random.Generator) -> list[Tube]:
    """Twisted wire loops down the breastbone after an earlier operation, as many as ``anatomy`` says."""
    tubes = []
    pitch, top = rng.uniform(20, 30), rng.uniform(30, 75)
    for i in range(anatomy.sternal_wires):
        centre = np.array([rng.normal(0, 4) + 0.3 * anatomy.spine_x, -85.0, top - pitch * i])
        q = np.linspace(0.1, 2 * np.pi * rng.uniform(0.9, 1.0), 28)
        width, height = rng.uniform(4, 9), rng.uniform(7, 12)
        wobble = 1 + 0.12 * np.sin(3 * q + rng.uniform(0, 6)) + 0.06 * np.sin(5 * q + rng.uniform(0, 6))
        loop = centre + np.stack([width * wobble * np.cos(q), 2 * np.sin(2 * q), height * wobble * np.sin(q)], axis=1)
        tubes.append(_fixed(loop, 0.42, 0.42))
        twist = np.linspace(0, 1, 14)
        lean = rng.normal(0, 2.5)
        knot = loop[-1] + np.stack([lean * twist + 0.5 * np.sin(9 * twist), 0 * twist, 5 * twist], axis=1)
        tubes.append(_fixed(knot, 0.6, 0.45))
    return tubes


def skin_leads(anatomy: Anatomy, rng: np.random.Generator) -> list[Tube]:
    """ECG electrodes with their snaps and the wires that hang from them."""
    tubes = []
    for _ in range(int(rng.integers(1, 5))):
        depth = rng.choice([-115.0, 115.0])
        spot = np.array([rng.uniform(-95, 95), depth, rng.uniform(-85, 85)])
        q = np.linspace(0, 2 * np.pi, 25)
        ring = np.stack([np.cos(q), 0 * q, np.sin(q)], axis=1)
        density = rng.uniform(0.08, 0.25)
        tubes.append(_fixed(spot + rng.uniform(1.4, 2.2) * ring, 1.0, density))
        tubes.append(_fixed(spot + 0.6 * ring, 0.8, density))
        heading = np.array([rng.choice([-1, 1]) * rng.uniform(0.2, 1), 0, rng.uniform(-1, 1)])
        steps = np.cumsum(heading + rng.normal(0, 0.35, (6, 3)) * [1, 0, 1], axis=0) * 34
        curve = spline_curve(np.concatenate([spot[None], spot + steps]), step=1.0)
        tubes.append(_fixed(curve.points, rng.uniform(0.3, 0.6), rng.uniform(0.07, 0.2)))
    return tubes


def second_wire(anatomy: Anatomy, rng: np.random.Generator) -> list[Tube]:
    """Another wire in the aorta, or a buddy wire that ends above the valve in a soft curve."""
    side = unit(rng.normal(0, 1, 3)) * anatomy.stj_radius * rng.uniform(0.2, 0.6)
    stop = anatomy.annulus_index + int(anatomy.sinus_height) + int(rng.integers(8, 60))
    index = np.arange(len(anatomy.centreline) - 1, stop, -30)
    curve = spline_curve(anatomy.centreline[index] + side + rng.normal(0, 1.0, (len(index), 3)))
    return [Tube(curve.points, rng.uniform(0.25, 0.45), rng.uniform(0.25, 0.42))]


def foreign_catheter(anatomy: Anatomy, rng: np.random.Generator) -> list[Tube]:
    """A central line or pulmonary catheter through the right heart, perhaps with ring marks."""
    start = np.array([rng.uniform(-50, -25), rng.uniform(-5, 20), 170.0])
    if rng.uniform() < 0.5:
        knots = np.array([start, start + np.array([4, 0, -70]), start + np.array([2, 0, -rng.uniform(95, 140)])])
    else:
        knots = np.array([start, [-42, 2, 40], [-30, -10, -30], [5, -34, -36], [22, -26, 6], [rng.uniform(0, 40), 0, 40]])
    curve = spline_curve(knots + rng.normal(0, 3, knots.shape))
    hollow = rng.choice([0.0, 0.6, 0.75])
    tubes = [Tube(curve.points, rng.uniform(0.8, 1.4), rng.uniform(0.07, 0.2), float(hollow))]
    if rng.uniform() < 0.5:
        first = curve.length - rng.uniform(2, 30)
        tubes += [
            band(curve, first - k * rng.uniform(8, 12), width=rng.uniform(1, 3), radius=1.3, mu=0.4, hollow=0.5)
            for k in range(int(rng.integers(1, 4)))
        ]
    return tubes


def dense_blocks(anatomy: Anatomy, rng: np.random.Generator) -> list[Tube]:
    """Connectors, buttons, a loop recorder: dense short things on or in the chest, some of a capsule's size."""
    tubes = []
    for _ in range(int(rng.integers(1, 4))):
        centre = np.array([rng.uniform(-85, 85), rng.choice([-105.0, 95.0]), rng.uniform(-80, 80)])
        direction = unit(rng.normal(0, 1, 3) * [1, 0.3, 1])
        half = rng.uniform(2, 20) * direction / 2
        curve = Curve(np.linspace(centre - half, centre + half, 12))
        tubes.append(_fixed(curve.points, rng.uniform(1.2, 3.4), rng.uniform(0.06, 0.22), hollow=float(rng.choice([0.0, 0.6]))))
        if rng.uniform() < 0.4:
            rim = band(curve, curve.length * rng.uniform(0, 1), width=1.6, radius=3.2, mu=0.35, hollow=0.8)
            tubes.append(_fixed(rim.points, 3.2, 0.35, hollow=0.8))
    return tubes


def clips(anatomy: Anatomy, rng: np.random.Generator) -> list[Tube]:
    """Surgical clips in a line, as along a bypass graft."""
    start = np.array([rng.uniform(-20, 50), rng.uniform(-70, -30), rng.uniform(0, 60)])
    step = np.array([rng.uniform(-6, 6), 0, -rng.uniform(7, 14)])
    tubes = []
    for i in range(int(rng.integers(3, 9))):
        centre, half = start + step * i + rng.normal(0, 2.5, 3), unit(rng.normal(0, 1, 3)) * rng.uniform(1.5, 2.5)
        tubes.append(Tube(np.stack([centre - half, centre, centre + half]), 0.4, 0.6, 0.0, 0.5))
    return tubes


def implanted_device(anatomy: Anatomy, rng: np.random.Generator) -> list[Tube]:
    """A permanent pacemaker's lead: thin, coiled wire from above the left (or right) chest to the right ventricle."""
    side = rng.choice([-1.0, 1.0])
    tip = np.array([rng.uniform(0, 30), -rng.uniform(25, 42), rng.uniform(-75, -50)])
    knots = np.array(
        [
            [side * 85, -60, 120],
            [side * 40, -30, 135],
            [-38, -2, 105],
            [-42, 2, 40],
            [-36, -6, -20],
            tip + np.array([-22, 8, 8]),
            tip,
        ]
    )
    curve = spline_curve(knots)
    return [
        Tube(curve.points, 0.9, 0.16, 0.4),
        band(curve, curve.length - 1.0, width=2.0, radius=1.1, mu=0.35),
        band(curve, curve.length - 12.0, width=3.0, radius=1.1, mu=0.3),
    ]


def defibrillator(anatomy: Anatomy, rng: np.random.Generator) -> list[Tube]:
    """An implanted defibrillator: a lead with a long, dense coil in the right ventricle, at times another in the vena cava, its
    can in the corner of the picture, and at times a second lead that goes round the left ventricle."""
    side = rng.choice([-1.0, 1.0, 1.0])
    tip = np.array([rng.uniform(0, 34), -rng.uniform(22, 42), rng.uniform(-78, -48)])
    entry = [[side * 85, -60, 120], [side * 40, -30, 135], [-38, -2, 105], [-42, 2, 40]]
    curve = spline_curve(np.array([*entry, [-36, -6, -20], tip + np.array([-22, 8, 8]), tip]))
    mu, end = rng.uniform(0.1, 0.22), curve.length
    tubes = [Tube(curve.points, 1.0, 0.12, 0.4), band(curve, end - 1, width=2.0, radius=1.2, mu=0.35)]
    coils = [(end - 12, rng.uniform(40, 60))] + (
        [(end - rng.uniform(120, 150), rng.uniform(30, 70))] if rng.uniform() < 0.5 else []
    )
    for last, length in coils:
        points = curve.span(last - length, last, step=0.25)
        turns = 1 + 0.35 * np.sin(2 * np.pi * np.arange(len(points)) * 0.25 / rng.uniform(1.4, 2.4))
        tubes.append(Tube(points, rng.uniform(1.2, 1.7), mu * turns, 0.35))
    if rng.uniform() < 0.4:
        left = spline_curve(
            np.array([*entry, [-30, 20, -10], [20, 34, -6], [52, 10, -20], [58, -14, -40]]) + rng.normal(0, 3, (8, 3))
        )
        tubes += [Tube(left.points, 0.8, 0.12, 0.4)]
        tubes += [band(left, left.length - s, width=2.0, radius=0.9, mu=0.35) for s in (1, rng.uniform(8, 25))]
    can = np.array([side * rng.uniform(70, 95), -rng.uniform(70, 90), rng.uniform(75, 120)])
    t = np.linspace(-1, 1, 41)
    plate = can + t[:, None] * np.array([rng.uniform(18, 26), 0, rng.uniform(-8, 8)])
    rounded = rng.uniform(15, 22) * np.sqrt(np.clip(1 - np.abs(t) ** 3, 0.002, 1))
    return [*tubes, Tube(plate, rounded, 1.4 / rounded * rng.uniform(0.2, 0.6), 0.0, 0.0)]


def electrode_clips(anatomy: Anatomy, rng: np.random.Generator) -> list[Tube]:
    """Snap clips and pins of the ECG's cables: short, very dense, with an open frame and a wire that leaves the picture."""
    tubes = []
    for _ in range(int(rng.integers(1, 4))):
        spot = np.array([rng.uniform(-100, 100), rng.choice([-115.0, 115.0]), rng.uniform(-90, 90)])
        along = unit(rng.normal(0, 1, 3) * [1, 0.1, 1])
        across = np.cross(along, [0.0, 1.0, 0.0]) * rng.uniform(1.2, 3.5)
        length, mu = rng.uniform(6, 20), rng.uniform(0.15, 0.6)
        frame = [spot - across, spot + length * along - 0.6 * across, spot + length * along + 0.6 * across, spot + across]
        corners = np.array([*frame, frame[0]])
        outline = np.concatenate([np.linspace(a, b, 8) for a, b in pairwise(corners)])
        tubes.append(_fixed(outline, rng.uniform(0.3, 0.8), mu))
        if rng.uniform() < 0.6:
            tubes.append(_fixed(np.linspace(spot - 2 * along, spot + 1.5 * along, 6), rng.uniform(1.0, 2.2), mu))
        away = np.cumsum(-along + rng.normal(0, 0.35, (6, 3)) * [1, 0, 1], axis=0) * 34
        tubes.append(
            _fixed(spline_curve(np.concatenate([spot[None], spot + away]), step=1.0).points, 0.4, rng.uniform(0.05, 0.2))
        )
    return tubes


_MAKERS: Mapping[str, Callable[[Anatomy, np.random.Generator], list[Tube]]] = MappingProxyType(
    {
        "echo_probe": echo_probe,
        "skin_leads": skin_leads,
        "second_wire": second_wire,
        "foreign_catheter": foreign_catheter,
        "dense_blocks": dense_blocks,
        "clips": clips,
        "implanted_device": implanted_device,
        "defibrillator": defibrillator,
        "electrode_clips": electrode_clips,
    }
)

PROBABILITIES: Mapping[str, float] = MappingProxyType(
    {
        "echo_probe": 0.15,
        "skin_leads": 0.45,
        "second_wire": 0.2,
        "foreign_catheter": 0.2,
        "dense_blocks": 0.2,
        "clips": 0.12,
        "implanted_device": 0.1,
    }
)
"""Kind -> probability that a patient has it. Sternal wires belong to the anatomy."""
CLINICAL_PROBABILITIES: Mapping[str, float] = MappingProxyType(
    {**PROBABILITIES, "implanted_device": 0.15, "defibrillator": 0.12, "electrode_clips": 0.2}
)
"""The same with what the other presets never show."""


def sample_distractors(
    anatomy: Anatomy, rng: np.random.Generator, *, probabilities: Mapping[str, float] = PROBABILITIES
) -> list[Tube]:
    """The distractors of one patient.

    Raises:
        ValueError: ``probabilities`` names an unknown kind.
    """
    unknown = sorted(set(probabilities) - set(_MAKERS))
    if unknown:
        raise ValueError(f"unknown distractor {unknown[0]!r}: known are {list(_MAKERS)}")
    tubes = sternal_wires(anatomy, rng)
    for kind, child in zip(_MAKERS, rng.spawn(len(_MAKERS)), strict=True):
        if child.uniform() < probabilities.get(kind, 0.0):
            tubes += _MAKERS[kind](anatomy, child)
    return tubes
