"""Delivery systems: what carries the folded valve along the guide wire, and its four keypoints.

Three ways to carry a valve, each with lengths, densities and marker styles drawn per patient:

- ``retract``: one capsule is pulled back over the folded frame, which opens from the inflow (Evolut-like);
- ``split``: a proximal sleeve is pulled back, the outflow opens first, a distal sleeve lets go last (Acurate-like);
- ``balloon``: the frame is crimped on a balloon between two marker bands and opens when contrast fills it (Sapien-like).

CP, CM, CD are the centres of the proximal, middle and distal marker bands, CT the tip of the nose cone. Behind the capsule lie
dense blocks that are no capsule: connectors, pushers, steering rings. A network must not take them for one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from monai_tavr.phantom.curves import Curve, Tube, band
from monai_tavr.phantom.vectors import perpendicular_frame

__all__ = ["KINDS", "DeliverySystem", "delivery_landmarks", "delivery_tubes", "sample_delivery"]

KINDS = ("retract", "split", "balloon")
_SHAFT_MM = 420.0  # the shaft behind the capsule is drawn this far, which is beyond any field of view


@dataclass(frozen=True)
class Block:
    """A dense part behind the capsule: ``gap`` mm behind the proximal marker, ``taper`` = relative radius of its proximal end."""

    gap: float
    length: float
    radius: float
    mu: float
    taper: float
    hollow: float


@dataclass(frozen=True)
class DeliverySystem:
    """One make of delivery catheter; lengths and radii in mm, densities per mm.

    Attributes:
        kind: one of :data:`KINDS`.
        length: from the proximal to the distal marker, valve folded.
        radius: outer radius of the capsule (of the folded valve for ``balloon``).
        wall_mu, wall_hollow: the capsule's wall.
        fill_mu: mean density of the folded valve's leaflets and skirt inside.
        middle: position of the middle marker, fraction of ``length`` from the distal one.
        marker_widths, marker_mus: of CP, CM, CD.
        marker_pairs: whether the proximal and distal markers are made of two thin rings.
        nose_length, nose_power, nose_mu: the cone; a power below 1 is blunt, above 1 slender.
        shaft_radius, shaft_mu, shaft_hollow: the catheter behind.
        blocks: dense parts behind the capsule.
        dense_distal: density added over the distal quarter of the capsule.
        texture_seed: fixes the folded valve's irregularities.
    """

    kind: str
    length: float
    radius: float
    wall_mu: float
    wall_hollow: float
    fill_mu: float
    middle: float
    marker_widths: tuple[float, float, float]
    marker_mus: tuple[float, float, float]
    marker_pairs: bool
    nose_length: float
    nose_power: float
    nose_mu: float
    shaft_radius: float
    shaft_mu: float
    shaft_hollow: float
    blocks: tuple[Block, ...]
    dense_distal: float
    texture_seed: int


def _sample_blocks(rng: np.random.Generator, radius: float) -> tuple[Block, ...]:
    blocks, gap = [], 0.0
    for _ in range(int(rng.choice(4, p=[0.3, 0.35, 0.25, 0.1]))):
        gap += rng.uniform(7, 30)
        length = rng.uniform(3, 20)
        hollow = float(rng.choice([0.0, 0.55, 0.8]))
        mu = rng.uniform(0.10, 0.26) if hollow < 0.8 else rng.uniform(0.28, 0.42)
        blocks.append(Block(gap, length, radius * rng.uniform(0.75, 1.25), mu, rng.uniform(0.4, 1.0), hollow))
        gap += length
    return tuple(blocks)


def sample_delivery(rng: np.random.Generator, *, kind: str) -> DeliverySystem:
    """Draw one make of ``kind``.

    Raises:
        ValueError: no such kind.
    """
    if kind not in KINDS:
        raise ValueError(f"no delivery system of kind {kind!r}: give one of {list(KINDS)}")
    uniform, balloon = rng.uniform, kind == "balloon"
    radius = uniform(2.4, 3.1) if balloon else uniform(2.7, 3.5)
    widths = [uniform(0.9, 1.6)] * 3 if balloon else [uniform(1.6, 3.2), uniform(1.2, 2.0), uniform(1.4, 2.6)]
    marker_mu = (0.85, 1.3) if balloon else (0.42, 0.7)
    return DeliverySystem(
        kind=kind,
        length={"retract": uniform(42, 60), "split": uniform(40, 54), "balloon": uniform(30, 42)}[kind],
        radius=radius,
        wall_mu=uniform(0.05, 0.10),
        wall_hollow=uniform(0.8, 0.88),
        fill_mu=uniform(0.012, 0.06),
        middle=0.5 if balloon else uniform(0.26, 0.5),
        marker_widths=(widths[0], widths[1], widths[2]),
        marker_mus=(uniform(*marker_mu), uniform(*marker_mu), uniform(*marker_mu)),
        marker_pairs=bool(not balloon and uniform() < 0.3),
        nose_length=uniform(9, 18) if balloon else uniform(16, 32),
        nose_power=uniform(0.6, 1.6),
        nose_mu=uniform(0.035, 0.07),
        shaft_radius=uniform(1.9, 2.6),
        shaft_mu=uniform(0.02, 0.045),
        shaft_hollow=uniform(0.65, 0.8),
        blocks=_sample_blocks(rng, radius),
        dense_distal=uniform(0.04, 0.12) if uniform() < 0.45 else 0.0,
        texture_seed=int(rng.integers(2**31)),
    )


@dataclass(frozen=True)
class _Places:
    """Arc lengths in mm along the wire, larger is more distal."""

    proximal: float
    middle: float
    distal: float
    tip: float


def _places(system: DeliverySystem, distal: float, retraction: float, release: float) -> _Places:
    """Where the markers are: ``retraction`` mm pulled back, ``release`` mm the distal sleeve pushed forward."""
    middle = distal - system.middle * system.length
    tip = distal + system.nose_length
    if system.kind == "retract":
        return _Places(distal - system.length - retraction, middle - retraction, distal - retraction, tip)
    if system.kind == "split":
        return _Places(distal - system.length - retraction, middle + release, distal + release, tip + release)
    return _Places(distal - system.length, middle, distal, tip)


def delivery_landmarks(
    system: DeliverySystem, wire: Curve, *, distal: float, retraction: float = 0.0, release: float = 0.0
) -> dict[str, np.ndarray]:
    """CP, CM, CD, CT as points (3,) in mm; arguments as in :func:`delivery_tubes`."""
    at = _places(system, distal, retraction, release)
    return {"CP": wire.at(at.proximal), "CM": wire.at(at.middle), "CD": wire.at(at.distal), "CT": wire.at(at.tip)}


def delivery_tubes(
    system: DeliverySystem,
    wire: Curve,
    *,
    distal: float,
    retraction: float = 0.0,
    release: float = 0.0,
    folded: tuple[float, float] | None = None,
    inflation: float = 0.0,
    balloon_radius: float = 12.0,
) -> list[Tube]:
    """The catheter as drawn.

    Args:
        system: the make.
        wire: the guide wire it rides on.
        distal: arc length in mm of the distal marker before anything is pulled.
        retraction: mm the capsule (``retract``) or proximal sleeve (``split``) is pulled back.
        release: mm the distal sleeve (``split``) is pushed forward.
        folded: arc lengths (from, to) between which the valve still lies folded, None = none left.
        inflation: 0 to 1, filling of the balloon.
        balloon_radius: mm when full.
    """
    at = _places(system, distal, retraction, release)
    rng = np.random.default_rng(system.texture_seed)
    tubes = _shaft(system, wire, at)
    if system.kind == "balloon":
        tubes += _balloon(wire, at, inflation, balloon_radius)
    else:
        tubes += _capsule(system, wire, at)
    if folded is not None and folded[1] - folded[0] > 1:
        tubes += _folded_valve(system, wire, folded, rng)
    return [*tubes, *_markers(system, wire, at), *_nose(system, wire, at)]


def _shaft(system: DeliverySystem, wire: Curve, at: _Places) -> list[Tube]:
    back = max(0.0, at.proximal - _SHAFT_MM)
    tubes = [
        Tube(wire.span(back, at.proximal, step=1.0), system.shaft_radius, system.shaft_mu, system.shaft_hollow),
        Tube(wire.span(at.proximal, at.tip - 0.5 * system.nose_length), 0.9, 0.10, 0.4),
    ]
    for block in system.blocks:
        end = at.proximal - block.gap
        points = wire.span(end - block.length, end)
        x = np.linspace(0, 1, len(points))
        radius = block.radius * (block.taper + (1 - block.taper) * np.clip(x / 0.4, 0, 1))
        tubes.append(Tube(points, radius, block.mu, block.hollow))
        if block.length > 8:  # long blocks have a rim at their wide end
            tubes.append(band(wire, end - 0.8, width=1.2, radius=block.radius * 1.05, mu=0.25, hollow=0.7))
    return tubes


def _capsule(system: DeliverySystem, wire: Curve, at: _Places) -> list[Tube]:
    if system.kind == "split":
        sleeve = at.proximal + (1 - system.middle) * system.length
        parts = [(at.proximal, min(sleeve, at.middle)), (at.middle, at.distal)]
    else:
        parts = [(at.proximal, at.distal)]
    tubes = [Tube(wire.span(a, b), system.radius, system.wall_mu, system.wall_hollow) for a, b in parts]
    if system.dense_distal:
        start = at.distal - 0.27 * system.length
        tubes.append(Tube(wire.span(start, at.distal), system.radius * 0.97, system.dense_distal, 0.3))
    return tubes


def _balloon(wire: Curve, at: _Places, inflation: float, full: float) -> list[Tube]:
    """The balloon between and a little beyond its markers: folded on the shaft, or filled with dilute contrast."""
    points = wire.span(at.proximal - 4, at.distal + 4)
    x = np.linspace(-1, 1, len(points))
    # a full balloon is stiff: it straightens
    points = points + inflation * ((1 - x)[:, None] / 2 * points[0] + (1 + x)[:, None] / 2 * points[-1] - points)
    shoulder = np.clip((1 - np.abs(x)) / 0.22, 0, 1) ** 0.5
    waist = 1 - 0.18 * (1 - inflation) * np.exp(-((x / 0.45) ** 2))
    radius = 1.3 + (full - 1.3) * inflation * shoulder * waist
    return [Tube(points, radius, 0.016 * inflation + 0.05 * (1 - inflation), 0.0)]


def _folded_valve(system: DeliverySystem, wire: Curve, folded: tuple[float, float], rng: np.random.Generator) -> list[Tube]:
    """Leaflets, skirt and struts pressed together: a dense core with ripples and lengthwise lines."""
    start, stop = folded
    full = wire.span(stop - 0.9 * system.length, stop, step=0.4)
    x = np.linspace(0, 1, len(full))
    ripple = 1 + 0.16 * np.sin(x * system.length * 2 * np.pi / rng.uniform(4, 7)) + 0.08 * rng.standard_normal(len(full))
    envelope = np.interp(x, [0, 0.15, 0.55, 0.8, 1], [0.3, 0.55, 0.8, 1.0, 0.9])
    keep = np.linspace(stop - 0.9 * system.length, stop, len(full)) >= start
    inner = system.radius * 0.84
    tubes = [Tube(full[keep], inner, (system.fill_mu * envelope * np.clip(ripple, 0.3, 2))[keep], 0.3)]
    normal, binormal = perpendicular_frame(wire.tangent((start + stop) / 2))
    for angle in np.arange(7) * 2 * np.pi / 7 + rng.uniform(0, 0.6, 7):
        arc = np.arange(max(start, stop - system.length * rng.uniform(0.7, 0.95)), stop, 1.5)
        turn = angle + arc * 0.05
        offset = inner * 0.85 * (np.cos(turn)[:, None] * normal + np.sin(turn)[:, None] * binormal)
        tubes.append(Tube(wire.at(arc) + offset, 0.25, 0.2))
    return tubes


def _markers(system: DeliverySystem, wire: Curve, at: _Places) -> list[Tube]:
    tubes = []
    balloon = system.kind == "balloon"
    radius, hollow = (1.05, 0.0) if balloon else (system.radius * 1.12, 0.84)
    for place, width, mu in zip((at.proximal, at.middle, at.distal), system.marker_widths, system.marker_mus, strict=True):
        if system.marker_pairs and place != at.middle:
            for side in (-1, 1):
                tubes.append(
                    band(wire, place + side * width * 0.42, width=width * 0.4, radius=radius, mu=mu * 1.3, hollow=hollow)
                )
        else:
            tubes.append(band(wire, place, width=width, radius=radius, mu=mu, hollow=hollow))
    return tubes


def _nose(system: DeliverySystem, wire: Curve, at: _Places) -> list[Tube]:
    """The cone, and the dense bead that ends it: CT is its end."""
    base = at.tip - system.nose_length
    points = wire.span(base, at.tip, step=0.4)
    x = np.linspace(0, 1, len(points))
    start = system.radius * 0.95 if system.kind != "balloon" else system.radius * 0.75
    radius = 0.8 + (start - 0.8) * (1 - x) ** system.nose_power
    return [
        Tube(points, radius, system.nose_mu),
        Tube(wire.span(at.tip - 2.4, at.tip, step=0.25), 0.9, 0.30),
    ]
