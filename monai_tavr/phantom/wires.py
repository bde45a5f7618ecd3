"""What is long and thin: the stiff guide wire with its loop in the ventricle, the pigtail catheter, the pacing lead.

The guide wire comes from the groin over the arch, crosses the valve, runs towards the apex and curls up there. Its end is built
by integrating a curvature that grows from zero, so it is tangent-continuous like real steel; its aortic part is a spline that
ends in the same direction. Everything that follows (delivery catheter, frame) rides on this curve by arc length.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d

from monai_tavr.phantom.anatomy import Anatomy
from monai_tavr.phantom.curves import Curve, Tube, band, spline_curve
from monai_tavr.phantom.vectors import unit

__all__ = ["GuideWire", "Pigtail", "guide_wire", "pacing_lead", "pigtail", "rotate"]


@dataclass(frozen=True, eq=False)
class GuideWire:
    """A wire through the valve.

    Attributes:
        curve: from the descending aorta (arc length 0) to the tip in the ventricle.
        annulus_arc: arc length in mm where it crosses the annulus.
        radius: mm.
        mu: attenuation per mm.
    """

    curve: Curve
    annulus_arc: float
    radius: float
    mu: float

    def tubes(self) -> list[Tube]:
        """The wire as drawn: the shaft, thinner and softer towards the tip."""
        s, end = self.curve.arc, self.curve.length
        taper = np.interp(s, [0, end - 70, end - 30, end], [1.0, 1.0, 0.85, 0.75])
        return [Tube(self.curve.points, self.radius * taper, self.mu)]


def rotate(vector: np.ndarray, axis: np.ndarray, angle: np.ndarray | float) -> np.ndarray:
    """``vector`` (3,) turned about the unit ``axis`` (3,) by ``angle`` radians (...) -> (..., 3); Rodrigues' formula."""
    a = np.asarray(angle, dtype=float)[..., None]
    return vector * np.cos(a) + np.cross(axis, vector) * np.sin(a) + axis * (axis @ vector) * (1 - np.cos(a))


def _aortic_knots(anatomy: Anatomy, rng: np.random.Generator, *, every: int, side: np.ndarray, wobble: float) -> np.ndarray:
    """Knots (N, 3) from the lower end of the aorta to above the sinuses, shifted by ``side`` (3,) mm across the lumen."""
    start = anatomy.annulus_index + int(anatomy.sinus_height) + 18
    index = np.arange(len(anatomy.centreline) - 1, start, -every)
    return anatomy.centreline[index] + side + rng.normal(0, wobble, (len(index), 3))


def _loop(start: np.ndarray, direction: np.ndarray, normal: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Points (N, 3) of a wire that goes straight on and then curls up about ``normal`` (3,), its radius shrinking."""
    step = 0.5
    straight, radius, turns = rng.uniform(4, 22), rng.uniform(12, 23), rng.uniform(0.75, 1.7)
    shrink, onset = rng.uniform(0.45, 0.85), rng.uniform(8, 22)
    length = straight + onset + turns * 2 * np.pi * radius * (1 + shrink) / 2
    s = np.arange(0, length, step)
    past = np.clip((s - straight) / onset, 0, 1)
    curvature = past * past * (3 - 2 * past) / (radius * np.interp(s, [straight + onset, length], [1.0, shrink]))
    # people's hearts are not flat: the loop climbs a little out of its plane, more at the tip
    turned = rotate(direction, normal, np.cumsum(curvature) * step)
    pitch = rng.uniform(-0.16, 0.16) * past
    headings = turned * np.cos(pitch)[:, None] + normal * np.sin(pitch)[:, None]
    return start + np.cumsum(headings, axis=0) * step


def guide_wire(anatomy: Anatomy, rng: np.random.Generator) -> GuideWire:
    """A stiff wire through the valve of ``anatomy``; radius and density vary with the make."""
    outer = unit(np.array([-1.0, -0.2, -0.2]))
    side = outer * anatomy.stj_radius * rng.uniform(-0.25, 0.6)
    across = rng.normal(0, 0.16, 2) * anatomy.annulus_radius
    crossing = across[0] * anatomy.normal + across[1] * anatomy.binormal
    below = unit(-0.75 * anatomy.axis + 0.65 * anatomy.lv_axis)
    inward = unit(anatomy.lv_axis * 0.9 - anatomy.axis * 0.3 + rng.normal(0, 0.12, 3))
    apex = crossing + below * 12 + inward * anatomy.lv_length * rng.uniform(0.18, 0.42)
    knots = np.concatenate(
        [
            _aortic_knots(anatomy, rng, every=32, side=side, wobble=1.0),
            [anatomy.axis * anatomy.sinus_height * 0.95 + side * 0.35, crossing, crossing + below * 12, apex],
        ]
    )
    aortic = spline_curve(knots, end_tangent=inward)
    sideways = rng.uniform(-1, 1, 3) + np.array([0.0, -0.8, 0.3])
    first = unit(sideways - (sideways @ inward) * inward)
    normal = np.cross(inward, first)
    points = np.concatenate([aortic.points, _loop(aortic.points[-1], inward, normal, rng)[1:]])
    # steel does not follow every knot: smooth the shaft strongly, the loop hardly
    arc = Curve(points).arc
    soft = (1 / (1 + np.exp(-(arc - aortic.length) / 6)))[:, None]
    stiff = gaussian_filter1d(points, 16, axis=0, mode="nearest")
    curve = Curve((1 - soft) * stiff + soft * gaussian_filter1d(points, 4, axis=0, mode="nearest")).resampled(0.5)
    return GuideWire(curve, curve.nearest(crossing), rng.uniform(0.40, 0.48), 0.40 * rng.uniform(0.75, 1.2))


@dataclass(frozen=True, eq=False)
class Pigtail:
    """A pigtail catheter whose curl lies in a sinus; the last point of ``curve`` is its tip (PT)."""

    curve: Curve
    radius: float
    mu: float
    hollow: float

    @property
    def tip(self) -> np.ndarray:
        """(3,) mm, the open end of the curl."""
        return np.asarray(self.curve.points[-1])

    def tubes(self) -> list[Tube]:
        """The catheter: hollow, with two dark edges where it is seen from the side."""
        return [Tube(self.curve.points, self.radius, self.mu, self.hollow)]


def pigtail(anatomy: Anatomy, rng: np.random.Generator, *, lift: float = 0.0) -> Pigtail:
    """A pigtail whose curl touches the bottom of a sinus, or hangs ``lift`` mm above it."""
    sinus = anatomy.sinus_direction(int(rng.integers(3)))
    radius = rng.uniform(3.6, 5.4)
    centre = anatomy.axis * (radius + rng.uniform(0, 6) + lift) + sinus * anatomy.annulus_radius * rng.uniform(0.3, 0.75)
    down = -anatomy.axis
    plane = sinus * rng.uniform(-1, 1) + np.cross(anatomy.axis, sinus) * rng.uniform(-1, 1)
    other = unit(plane - (plane @ down) * down + 1e-6 * sinus)
    # the curl ends before it meets the shaft again, so that its tip can be told from the rest
    phase = np.linspace(-np.pi / 2, -np.pi / 2 + 2 * np.pi * rng.uniform(0.72, 0.98), 16)
    circle = np.cos(phase)[:, None] * down + np.sin(phase)[:, None] * other
    curl = centre + radius * circle * np.linspace(1, 0.82, 16)[:, None] + np.linspace(0, 1.2, 16)[:, None] * np.cross(down, other)
    side = unit(np.cross([0.0, 1.0, 0.0], anatomy.axis) + rng.normal(0, 0.3, 3)) * anatomy.stj_radius * rng.uniform(-0.6, 0.6)
    knots = np.concatenate([_aortic_knots(anatomy, rng, every=34, side=side, wobble=0.8), [curl[0] - down * 12], curl])
    return Pigtail(spline_curve(knots), rng.uniform(0.85, 1.0), 0.19 * rng.uniform(0.85, 1.4), rng.uniform(0.5, 0.6))


def pacing_lead(anatomy: Anatomy, rng: np.random.Generator) -> list[Tube]:
    """A temporary pacing lead from the superior (or inferior) vena cava into the right ventricle, with two electrodes."""
    uniform = rng.uniform
    tip = np.array([uniform(-2, 28), -uniform(18, 40), uniform(-74, -44)])
    if uniform() < 0.8:
        cava = np.array([uniform(-54, -40), uniform(0, 14), 120.0])
        atrium = np.array([-38 + uniform(-6, 6), -2.0, -12.0])
        knots = [
            cava + np.array([2, 0, 60]),
            cava,
            [cava[0] + uniform(-4, 3), 4.0, 40.0],
            atrium,
            tip + np.array([-24, 9, 18]),
            tip,
        ]
    else:
        cava = np.array([uniform(-34, -22), uniform(10, 24), -120.0])
        knots = [
            cava + np.array([3, 4, -70]),
            cava,
            cava + np.array([1, -8, 32]),
            [-20 + uniform(-4, 4), -14.0, -56.0],
            tip + np.array([-12, 5, 7]),
            tip,
        ]
    curve = spline_curve(np.asarray(knots, dtype=float))
    hollow = uniform() < 0.6
    shaft = Tube(curve.points, 0.95, 0.13 if hollow else 0.17, 0.72 if hollow else 0.0)
    electrodes = [
        band(curve, curve.length - 1.5, width=3.0, radius=1.15, mu=0.42),
        band(curve, curve.length - uniform(11, 18), width=2.4, radius=1.05, mu=0.42),
    ]
    core = Tube(curve.span(curve.length - 16, curve.length), 0.35, 0.2)
    return [shaft, core, *electrodes]
