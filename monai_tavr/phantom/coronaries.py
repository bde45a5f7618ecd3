"""The coronary arteries: as an aortogram fills them, and as a catheter in one of them does, with every branch.

They leave the left and the right sinus and run over an ellipsoid around the left ventricle: descending to the apex, circumflex
round its back, right coronary round its front. A selective injection is what a delivery catheter must not be taken for: a guiding
catheter with a dark tree behind it.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from monai_tavr.phantom.anatomy import Anatomy
from monai_tavr.phantom.curves import Tube, band, spline_curve
from monai_tavr.phantom.vectors import smooth_curve, unit

__all__ = ["coronary_tree", "guiding_catheter", "selective_tree"]

Array = NDArray[np.float64]
Vessel = tuple[Array, Array, float]  # points (N, 3) mm, radius (N,) mm, when contrast reaches its start (0..1)

_TRUNKS = {  # sinus -> (radius mm, course on the heart: relative height on the long axis, angle from the front to the left)
    0: (
        (2.3, [(-0.55, 0.75), (-0.2, 0.35), (0.2, 0.2), (0.6, 0.05), (0.93, -0.1)]),
        (2.0, [(-0.62, 0.95), (-0.62, 1.6), (-0.5, 2.2), (-0.1, 2.5), (0.3, 2.6)]),
    ),
    2: ((2.0, [(-0.75, -0.6), (-0.7, -1.2), (-0.6, -1.9), (-0.45, -2.6), (0.1, -2.9)]),),
}


class _Heart:
    """The surface that the arteries run on."""

    def __init__(self, anatomy: Anatomy, rng: np.random.Generator) -> None:
        self.anatomy, self.rng = anatomy, rng
        self.long = anatomy.lv_axis
        front = np.array([0.3, -1.0, 0.1])
        self.front = unit(front - (front @ self.long) * self.long)
        side = np.cross(self.long, self.front)
        self.side = side if side[0] > 0 else -side  # to the patient's left
        self.centre = self.long * anatomy.lv_length * 0.42
        self.reach = np.array([0.62 * anatomy.lv_length, anatomy.lv_radius + 13, anatomy.lv_radius + 13])

    def at(self, along: float, angle: float) -> Array:
        """Point at relative height -1..1 on the long axis and an angle from the front to the left, not quite on the surface."""
        around = np.sqrt(max(0.0, 1 - along * along))
        across = around * (np.cos(angle) * self.front * self.reach[1] + np.sin(angle) * self.side * self.reach[2])
        return np.asarray(self.centre + along * self.reach[0] * self.long + across + self.rng.normal(0, 2.0, 3))

    def trunk(self, sinus: int, course: list[tuple[float, float]], wander: float = 0.0) -> Array:
        """(N, 3) mm: from the ostium of a sinus along a course."""
        out = self.anatomy.sinus_direction(sinus)
        ostium = ostium_of(self.anatomy, sinus)
        points = [self.at(a, t) for a, t in course]
        if wander:
            points = [p + self.rng.normal(0, wander, 3) for p in points]
        return smooth_curve([ostium, ostium + 9 * unit(out + 0.2 * self.anatomy.axis), *points], 1.5)[0]

    def branch(self, path: Array, index: int, radius: float, *, steps: tuple[int, int] = (5, 12), wander: float = 0.25) -> Vessel:
        """A wandering branch that leaves ``path`` at ``index`` and stays on the heart."""
        rng, here = self.rng, path[index]
        outward = unit(here - self.centre)
        along = unit(path[index + 1] - here)
        heading = unit(along + rng.choice([-1, 1]) * np.cross(outward, along) * rng.uniform(0.5, 1.2))
        points = [here]
        for _ in range(int(rng.integers(*steps))):
            outward = unit(here - self.centre)
            heading = unit(heading + rng.normal(0, wander, 3) - (heading @ outward) * outward - 0.08 * outward)
            here = here + 4.0 * heading
            points.append(here)
        curve, _ = smooth_curve(points, 1.5)
        return curve, np.linspace(0.62 * radius, 0.3 * radius, len(curve)), 0.0


def ostium_of(anatomy: Anatomy, sinus: int) -> Array:
    """(3,) mm: where a coronary leaves its sinus."""
    return np.asarray(anatomy.axis * anatomy.sinus_height * 0.7 + anatomy.sinus_direction(sinus) * anatomy.sinus_radius * 0.9)


@lru_cache(maxsize=8)
def coronary_tree(anatomy: Anatomy) -> tuple[Vessel, ...]:
    """The coronaries of a patient: per vessel points (N, 3) mm, radius (N,) mm, and when contrast reaches its start (0..1)."""
    rng = np.random.default_rng([anatomy.texture_seed, 1])
    heart, vessels = _Heart(anatomy, rng), []
    for sinus, trunks in _TRUNKS.items():
        for radius, course in trunks:
            path = heart.trunk(sinus, course)
            vessels.append((path, np.linspace(radius, 0.45 * radius, len(path)) * rng.uniform(0.85, 1.15), 0.0))
            for begin in rng.uniform(0.25, 0.9, int(rng.integers(3, 6))):
                curve, radii, _ = heart.branch(path, int(begin * (len(path) - 2)), radius * (1 - 0.5 * begin))
                vessels.append((curve, radii, 0.35 * begin + 0.2))
    return tuple(vessels)


@lru_cache(maxsize=8)
def selective_tree(anatomy: Anatomy, sinus: int) -> tuple[Vessel, ...]:
    """One coronary, left (0) or right (2), as a catheter in its ostium fills it: of any calibre, with branches of branches.

    Returns:
        As :func:`coronary_tree`.
    """
    rng = np.random.default_rng([anatomy.texture_seed, 3, sinus])
    heart, vessels = _Heart(anatomy, rng), []
    calibre, tortuosity = float(np.exp(rng.uniform(np.log(0.55), np.log(1.25)))), rng.uniform(0.2, 0.5)
    for radius, course in _TRUNKS[sinus]:
        path = heart.trunk(sinus, course, rng.uniform(0, 4))
        r = calibre * radius * rng.uniform(0.85, 1.2)
        taper = np.linspace(1, rng.uniform(0.12, 0.45), len(path))
        if rng.uniform() < 0.4:  # a stenosis
            place = rng.uniform(0.1, 0.8) * len(path)
            taper = taper * (1 - rng.uniform(0.3, 0.8) * np.exp(-(((np.arange(len(path)) - place) / rng.uniform(1.5, 5)) ** 2)))
        vessels.append((path, r * taper, 0.0))
        for begin in rng.uniform(0.12, 0.95, int(rng.integers(6, 13))):
            size = r * (1 - 0.45 * begin) * rng.uniform(0.5, 1.35)
            side = heart.branch(path, int(begin * (len(path) - 2)), size, steps=(6, 20), wander=tortuosity)
            vessels.append((side[0], side[1], 0.35 * begin + 0.1))
            for later in rng.uniform(0.2, 0.9, int(rng.integers(0, 4))):
                twig = heart.branch(side[0], int(later * (len(side[0]) - 2)), 0.6 * size, steps=(3, 10), wander=1.3 * tortuosity)
                vessels.append((twig[0], twig[1], 0.35 * begin + 0.25 * later + 0.1))
    return tuple(vessels)


def guiding_catheter(anatomy: Anatomy, sinus: int, rng: np.random.Generator) -> list[Tube]:
    """A guiding catheter in a coronary: from the groin over the arch, or from the right arm; at times with a wire and a balloon.

    It is a plain tube that leans on the wall opposite the ostium, full of contrast or not; a wire with two markers may go on into
    the artery.
    """
    ostium, out = ostium_of(anatomy, sinus), anatomy.sinus_direction(sinus)
    wall = -out * anatomy.stj_radius * rng.uniform(0.2, 0.8)
    last = anatomy.annulus_index + int(anatomy.sinus_height)
    if rng.uniform() < 0.5:
        index = np.arange(len(anatomy.centreline) - 1, last + 30, -34)
        knots = list(anatomy.centreline[index] + rng.normal(0, 1.5, (len(index), 3)))
    else:  # through the brachiocephalic trunk
        arch = anatomy.centreline[last + int(rng.integers(60, 95))]
        knots = [arch + np.array([rng.uniform(-70, -40), -4, 95.0]), arch + np.array([-24, 0, 42.0]), arch]
    bend = anatomy.axis * (anatomy.sinus_height * rng.uniform(0.15, 1.3)) + wall
    knots += [anatomy.centreline[last + 22] + 0.8 * wall, bend, ostium - 3 * out, ostium + rng.uniform(1, 5) * out]
    curve = spline_curve(np.asarray(knots))
    radius, filled = rng.uniform(0.8, 1.25), rng.uniform() < 0.6
    tubes = [Tube(curve.points, radius, rng.uniform(0.05, 0.13), 0.0 if filled else rng.uniform(0.6, 0.8))]
    if rng.uniform() < 0.5:
        tubes.append(band(curve, curve.length - 0.8, width=1.2, radius=radius, mu=rng.uniform(0.2, 0.4), hollow=0.6))
    if rng.uniform() < 0.3:
        trunk = selective_tree(anatomy, sinus)[0][0]
        wire = spline_curve(np.concatenate([curve.points[-40::13], trunk[6 : int(rng.uniform(0.5, 0.95) * len(trunk)) : 5]]))
        tubes.append(Tube(wire.points, 0.18, rng.uniform(0.25, 0.45)))
        if rng.uniform() < 0.5:
            middle, apart = rng.uniform(0.35, 0.7) * wire.length, rng.uniform(8, 30)
            tubes += [band(wire, middle + s * apart, width=1.0, radius=0.45, mu=0.4) for s in (-0.5, 0.5)]
    return tubes
