"""A patient's devices put together: which are there, how far the valve is open, and what they draw.

The equipment is what was chosen for a cine, the state what changes from frame to frame. :func:`place_devices` turns both into
tubes and the 3-D places of the instrumental and contour keypoints.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from monai_tavr.phantom.anatomy import Anatomy
from monai_tavr.phantom.curves import Curve, Tube, move_tubes
from monai_tavr.phantom.delivery import DeliverySystem, delivery_landmarks, delivery_tubes
from monai_tavr.phantom.landmarks import OPEN_FRACTION
from monai_tavr.phantom.valves import ValveFrame, frame_axis, frame_tubes, inflow_crowns, opening_profile
from monai_tavr.phantom.wires import GuideWire, Pigtail

__all__ = ["DeviceState", "Equipment", "PlacedDevices", "place_devices"]

_CAPSULE_OVERHANG_MM = 2.0  # the capsule ends this far beyond the folded frame


@dataclass(frozen=True, eq=False)
class Equipment:
    """What lies in the patient during a cine; None = not there.

    Attributes:
        wire: the guide wire through the valve; a delivery system needs one.
        pigtail: the contrast catheter.
        system: the delivery system.
        loaded: whether ``system`` carries ``valve`` (folded or opening) or has let it go.
        valve: the frame, on the system or in place.
        previous: a frame of an earlier implantation, open, and its depth in mm.
        passive: everything that is nobody's keypoint: pacing lead, distractors.
    """

    wire: GuideWire | None
    pigtail: Pigtail | None
    system: DeliverySystem | None
    loaded: bool
    valve: ValveFrame | None
    previous: tuple[ValveFrame, float] | None
    passive: tuple[Tube, ...]


@dataclass(frozen=True)
class DeviceState:
    """The movable parts at an instant.

    Attributes:
        distal: mm of the distal marker beyond the annulus along the wire, before anything is pulled; negative is above.
        depth: mm of the valve's inflow edge below the annulus, negative above.
        opening: progress of the deployment, 0 folded to 1 open.
    """

    distal: float = 0.0
    depth: float = 4.0
    opening: float = 0.0


@dataclass(frozen=True, eq=False)
class PlacedDevices:
    """Devices at an instant, in the patient.

    Attributes:
        tubes: all but the pigtail.
        pigtail: the pigtail's tubes; apart, so that what covers its tip can be measured.
        catheter: CP, CM, CD, CT -> (3,) mm, or None.
        crowns: (N, 3) mm of an open frame's inflow edge and (3,) its axis, or None.
        pigtail_tip: (3,) mm, or None.
    """

    tubes: list[Tube]
    pigtail: list[Tube]
    catheter: dict[str, np.ndarray] | None
    crowns: tuple[np.ndarray, np.ndarray] | None
    pigtail_tip: np.ndarray | None

    def moved(self, displacement: Callable[[np.ndarray], np.ndarray]) -> PlacedDevices:
        """The same after ``displacement`` (N, 3) -> (N, 3) mm of the heart and the breath."""

        def move(points: np.ndarray) -> np.ndarray:
            return points + displacement(points.reshape(-1, 3)).reshape(points.shape)

        return PlacedDevices(
            tubes=move_tubes(self.tubes, displacement),
            pigtail=move_tubes(self.pigtail, displacement),
            catheter=None if self.catheter is None else {name: move(p) for name, p in self.catheter.items()},
            crowns=None if self.crowns is None else (move(self.crowns[0]), self.crowns[1]),
            pigtail_tip=None if self.pigtail_tip is None else move(self.pigtail_tip),
        )


def place_devices(anatomy: Anatomy, equipment: Equipment, state: DeviceState) -> PlacedDevices:
    """Everything of ``equipment`` in ``state``, at rest.

    Raises:
        ValueError: a delivery system without a guide wire, or a loaded one without a valve.
    """
    _check(equipment)
    tubes = list(equipment.passive)
    crowns = catheter = None
    if equipment.previous is not None:
        frame, depth = equipment.previous
        parts, crowns = _implanted(anatomy, frame, depth)
        tubes += parts
    if equipment.valve is not None and not equipment.loaded:
        parts, crowns = _implanted(anatomy, equipment.valve, state.depth)
        tubes += parts
    if equipment.wire is not None:
        tubes += equipment.wire.tubes()
        if equipment.system is not None:
            parts, catheter, opened = _mounted(anatomy, equipment, equipment.wire, state)
            tubes += parts
            crowns = crowns if opened is None else opened
    pigtail = equipment.pigtail
    return PlacedDevices(
        tubes=tubes,
        pigtail=[] if pigtail is None else pigtail.tubes(),
        catheter=catheter,
        crowns=crowns,
        pigtail_tip=None if pigtail is None else pigtail.tip,
    )


def _check(equipment: Equipment) -> None:
    if equipment.system is not None and equipment.wire is None:
        raise ValueError("a delivery system rides on a guide wire: give the equipment a wire")
    if equipment.loaded and (equipment.valve is None or equipment.system is None):
        raise ValueError("a loaded delivery system needs a system and a valve")


def _implanted(anatomy: Anatomy, frame: ValveFrame, depth: float) -> tuple[list[Tube], tuple[np.ndarray, np.ndarray]]:
    """An open frame in the annulus: its struts and its inflow edge."""
    axis = frame_axis(frame, anatomy, Curve(anatomy.centreline), inflow=0.0, depth=depth, freedom=1.0)
    return frame_tubes(frame, axis, opening=1.0), _edge(frame, axis, 1.0)


def _edge(frame: ValveFrame, axis: Curve, opening: float) -> tuple[np.ndarray, np.ndarray]:
    return inflow_crowns(frame, axis, opening=opening), axis.at(6.0) - axis.at(0.0)


def _mounted(
    anatomy: Anatomy, equipment: Equipment, wire: GuideWire, state: DeviceState
) -> tuple[list[Tube], dict[str, np.ndarray], tuple[np.ndarray, np.ndarray] | None]:
    """A delivery system on the wire, with the valve it carries: tubes, CP to CT, and the inflow edge once it is open."""
    system, frame = equipment.system, equipment.valve
    if system is None:
        raise ValueError("no delivery system to mount")
    distal = wire.annulus_arc + state.distal
    if not equipment.loaded or frame is None:
        tubes = delivery_tubes(system, wire.curve, distal=distal)
        return tubes, delivery_landmarks(system, wire.curve, distal=distal), None
    opening, balloon = state.opening, system.kind == "balloon"
    overhang = 0.5 * (system.length - frame.length) if balloon else _CAPSULE_OVERHANG_MM
    inflow = distal - overhang
    front = float(np.clip(opening * 1.5 - 0.25, 0, 1.2))
    retraction = {"retract": front * frame.length * 1.1, "split": front * system.length * 0.8, "balloon": 0.0}[system.kind]
    release = 9.0 * max(0.0, opening - 0.75) / 0.25 if system.kind == "split" else 0.0
    axis = frame_axis(
        frame, anatomy, wire.curve, inflow=inflow, depth=inflow - wire.annulus_arc, freedom=0.0 if balloon else opening
    )
    tubes = frame_tubes(frame, axis, opening=opening) + delivery_tubes(
        system,
        wire.curve,
        distal=distal,
        retraction=retraction,
        release=release,
        folded=_folded_part(system, frame, distal, inflow, opening, front),
        # at the very end the balloon is emptied again
        inflation=float(np.interp(opening, [0, 0.97, 1.0], [0, 0.97, 0.05])) if balloon else 0.0,
        balloon_radius=0.97 * frame.inflow_radius,
    )
    places = delivery_landmarks(system, wire.curve, distal=distal, retraction=retraction, release=release)
    opened = float(opening_profile(frame, opening, 0.0)) >= OPEN_FRACTION
    return tubes, places, _edge(frame, axis, opening) if opened else None


def _folded_part(
    system: DeliverySystem, frame: ValveFrame, distal: float, inflow: float, opening: float, front: float
) -> tuple[float, float] | None:
    """Arc lengths between which the valve is still folded."""
    if system.kind == "balloon":
        return (inflow - frame.length, inflow) if opening < 0.1 else None
    whole = 0.9 * system.length
    if system.kind == "retract":
        pulled = front * frame.length * 1.1
        return (distal - pulled - whole * (1 - front), distal - pulled) if front < 0.97 else None
    if opening >= 0.8:
        return None
    held = max(system.middle * system.length, whole * (1 - front))
    return (distal - held, distal)
