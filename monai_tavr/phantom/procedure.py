"""The procedure: who is treated with what, which cines are taken in which phase, and what happens during each of them.

All chance is drawn here, before anything is rendered: a :class:`CinePlan` says for every frame where the devices are, how much
contrast there is, how the heart beats and where the table stands. A phase makes some combinations likely and none certain: a
catheter without contrast, contrast without a catheter, an old valve in a survey, a frame without anything. Implant depths and
catheter positions range far beyond what surgeons aim at, so that no network can guess them from the anatomy.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from monai_tavr.phantom.anatomy import Anatomy, sample_anatomy
from monai_tavr.phantom.camera import Camera
from monai_tavr.phantom.collimator import Collimator, sample_collimator
from monai_tavr.phantom.contrast import ContrastState
from monai_tavr.phantom.coronaries import guiding_catheter
from monai_tavr.phantom.curves import Tube
from monai_tavr.phantom.delivery import DeliverySystem, sample_delivery
from monai_tavr.phantom.detector import DetectorSettings, sample_detector
from monai_tavr.phantom.devices import DeviceState, Equipment
from monai_tavr.phantom.distractors import sample_distractors
from monai_tavr.phantom.injection import sample_injection, selective_injection
from monai_tavr.phantom.motion import Motion, sample_motion
from monai_tavr.phantom.presets import ClinicalRanges, Preset
from monai_tavr.phantom.seeding import child_seed, root_seed
from monai_tavr.phantom.valves import ValveFrame, opening_profile, sample_valve
from monai_tavr.phantom.wires import guide_wire, pacing_lead, pigtail

__all__ = ["CinePlan", "Patient", "plan_cine", "sample_patient"]

_SYSTEM_OF_MAKE = {"evolut": "retract", "acurate": "split", "sapien": "balloon", "braided": "retract"}
_UNDECIDED = (0.3, 0.68)  # opening of the inflow edge that a person would argue about: passed over quickly


@dataclass(frozen=True)
class _Chances:
    """Probabilities in a phase: contrast is given; there is a delivery system, a wire, a pigtail; the valve has been implanted;
    an earlier valve is there; the capsule has come near the annulus."""

    contrast: float
    system: float
    wire: float
    pigtail: float
    implanted: float = 0.0
    previous: float = 0.07
    near: float = 0.68

    def typical(self) -> _Chances:
        """What is likely is certain, what is not never happens."""
        return _Chances(*(float(p >= 0.5) for p in vars(self).values()))


_CHANCES = {
    "survey": _Chances(contrast=0.88, system=0.12, wire=0.6, pigtail=0.95),
    "positioning": _Chances(contrast=0.5, system=0.93, wire=1.0, pigtail=0.85),
    "deployment": _Chances(contrast=0.45, system=0.94, wire=1.0, pigtail=0.9),
    "follow-up": _Chances(contrast=0.62, system=0.3, wire=0.6, pigtail=0.92, implanted=0.9),
    "coronary": _Chances(contrast=1.0, system=0.0, wire=0.0, pigtail=0.0, previous=0.0),
    "aortogram": _Chances(contrast=1.0, system=0.0, wire=0.15, pigtail=1.0, previous=0.0),
}


@dataclass(frozen=True, eq=False)
class Patient:
    """One patient, what he is treated with, and the cines that are taken.

    Attributes:
        index: 0-based number in the data set.
        anatomy: the body.
        system, valve: the make chosen for him.
        lead: the pacing lead.
        distractors: what else lies in the picture.
        cines: (phase, frames, seed) per cine.
    """

    index: int
    anatomy: Anatomy
    system: DeliverySystem
    valve: ValveFrame
    lead: tuple[Tube, ...]
    distractors: tuple[Tube, ...]
    cines: tuple[tuple[str, int, np.random.SeedSequence], ...]


@dataclass(frozen=True, eq=False)
class CinePlan:
    """Everything that is decided about a cine of F frames before it is rendered.

    Attributes:
        phase: of the procedure.
        camera: the view at the first frame.
        equipment: the devices.
        states: F states of them.
        contrast: F states of the contrast.
        motion: heart and breath, F frames.
        pan: (F, 2) int, pixels by which the table has shifted the picture right and down.
        detector: the X-ray machine's settings.
        frame_time_ms: from one frame to the next.
        render_seed: of textures and noise.
        shading: strength of what makes one part of the chest dark and another bright, 0 none.
        collimator: the blades; None = open beyond the frame.
    """

    phase: str
    camera: Camera
    equipment: Equipment
    states: tuple[DeviceState, ...]
    contrast: tuple[ContrastState, ...]
    motion: Motion
    pan: np.ndarray
    detector: DetectorSettings
    frame_time_ms: float
    render_seed: np.random.SeedSequence
    shading: float = 0.0
    collimator: Collimator | None = None


def sample_patient(preset: Preset, *, seed: int, index: int) -> Patient:
    """Patient ``index`` of a data set; depends on nothing but the preset, the seed and the index."""
    root = root_seed(preset.name, seed, index)
    body, kit, procedure, *cine_seeds = (child_seed(root, k) for k in range(3 + len(preset.phases)))
    anatomy = sample_anatomy(body)
    if preset.clinical is not None:
        lung, bone = np.random.default_rng(child_seed(body, 0)).uniform(*preset.clinical.texture, 2)
        anatomy = replace(anatomy, lung_density=lung * anatomy.lung_density, bone_density=bone * anatomy.bone_density)
    rng = np.random.default_rng(kit)
    makes = list(preset.makes)
    weights = np.array([preset.makes[m] for m in makes])
    make = makes[int(rng.choice(len(makes), p=weights / weights.sum()))]
    kind = _SYSTEM_OF_MAKE[make]
    system = sample_delivery(rng, kind=kind)
    valve = sample_valve(anatomy, rng, make=make, folded_radius=0.8 * system.radius)
    if kind != "balloon":  # the folded frame fits into its capsule
        valve = replace(valve, length=min(valve.length, system.length / 1.08))
    lead = tuple(pacing_lead(anatomy, rng)) if rng.uniform() < 0.85 else ()
    distractors = tuple(sample_distractors(anatomy, rng, probabilities=preset.distractors))
    cines = _sample_cines(preset, np.random.default_rng(procedure), index, cine_seeds)
    return Patient(index, anatomy, system, valve, lead, distractors, cines)


def _sample_cines(
    preset: Preset, rng: np.random.Generator, index: int, seeds: list[np.random.SeedSequence]
) -> tuple[tuple[str, int, np.random.SeedSequence], ...]:
    frames = rng.integers(preset.frames[0], preset.frames[1] + 1, len(preset.phases))
    cines = [(phase, int(n), s) for phase, n, s in zip(preset.phases, frames, seeds, strict=True)]
    if preset.one_cine_each:
        return (cines[index % len(cines)],)
    if rng.uniform() < preset.skip_probability:
        cines.pop(int(rng.integers(len(cines))))
    return tuple(cines)


def plan_cine(patient: Patient, cine: int, *, preset: Preset, size: int) -> CinePlan:
    """Decide everything about one cine of ``patient`` at ``size`` rows and columns."""
    phase, frames, seed = patient.cines[cine]
    rng = np.random.default_rng(child_seed(seed, 0))
    chances = _CHANCES[phase].typical() if preset.typical else _CHANCES[phase]
    camera = _sample_camera(patient.anatomy, preset, rng, size)
    equipment, states = _sample_devices(patient, preset, phase, chances, frames, rng)
    frame_time = float(rng.choice([66.667, 66.667, 100.0, 133.333]))
    present = rng.uniform() < chances.contrast
    contrast = sample_injection(frames, rng, present=present, obstructed=equipment.loaded, whole=preset.typical)
    paced = phase == "deployment" and rng.uniform() < (0.75 if patient.system.kind == "balloon" else 0.3)
    motion = sample_motion(patient.anatomy, rng, frames=frames, frame_time_ms=frame_time, paced=paced)
    plan = CinePlan(
        phase=phase,
        camera=camera,
        equipment=equipment,
        states=states,
        contrast=contrast,
        motion=motion,
        pan=_sample_pan(frames, rng, size),
        detector=sample_detector(rng, preset.detector),
        frame_time_ms=frame_time,
        render_seed=child_seed(seed, 1),
    )
    return plan if preset.clinical is None else _as_in_a_clinic(plan, patient, preset.clinical, child_seed(seed, 2))


def _as_in_a_clinic(plan: CinePlan, patient: Patient, ranges: ClinicalRanges, seed: np.random.SeedSequence) -> CinePlan:
    """The plan with what real rooms add: more or less iodine, a catheter in a coronary, a collimator, shading."""
    rng = np.random.default_rng(seed)
    selective = plan.phase == "coronary"
    iodine = float(np.exp(rng.uniform(*np.log(ranges.selective if selective else ranges.iodine))))
    contrast = tuple(replace(c, filling=iodine * c.filling) for c in plan.contrast)
    equipment = plan.equipment
    camera, anatomy = plan.camera, patient.anatomy
    if selective:
        middle = anatomy.lv_axis * rng.uniform(0.15, 0.55) * anatomy.lv_length + rng.normal(0, 9, 3)
        camera = replace(camera, field_mm=camera.field_mm * rng.uniform(0.5, 0.8), centre=middle)
        sinus = int(rng.choice([0, 0, 2]))
        contrast = selective_injection(contrast, sinus, rng)
        leads = patient.lead if rng.uniform() < 0.2 else ()
        equipment = replace(equipment, passive=(*leads, *patient.distractors, *guiding_catheter(anatomy, sinus, rng)))
    detector, collimator = plan.detector, None
    if rng.uniform() < ranges.collimated:
        collimator = sample_collimator(rng)
    if collimator is not None or rng.uniform() < ranges.borderless:  # blades are the only edge, or there is none
        detector = replace(detector, glow=np.zeros(4), edge=np.full(4, -200.0))
    shading = rng.uniform(*ranges.shading)
    return replace(
        plan, camera=camera, contrast=contrast, equipment=equipment, detector=detector, collimator=collimator, shading=shading
    )


def _sample_camera(anatomy: Anatomy, preset: Preset, rng: np.random.Generator, size: int) -> Camera:
    centre = anatomy.axis * 8 + np.array([rng.uniform(-10, 30), 0.0, rng.uniform(-32, 14)])
    return Camera(
        primary_deg=round(rng.uniform(*preset.primary), 1),
        secondary_deg=round(rng.uniform(*preset.secondary), 1),
        size=size,
        field_mm=rng.uniform(*preset.field_mm),
        centre=centre,
        source_object_mm=rng.uniform(720, 780),
        source_detector_mm=rng.uniform(1030, 1170),
    )


def _sample_pan(frames: int, rng: np.random.Generator, size: int) -> np.ndarray:
    """(F, 2) int pixels: in one cine of eight the table glides while the picture is taken."""
    if rng.uniform() >= 0.125:
        return np.zeros((frames, 2), dtype=int)
    reach = rng.uniform(-0.045, 0.045, 2) * size
    ramp = np.clip((np.arange(frames) - rng.uniform(0, frames / 2)) / max(1.0, frames / 3), 0, 1)
    return np.rint(ramp[:, None] * reach).astype(int)


def _sample_devices(
    patient: Patient, preset: Preset, phase: str, chances: _Chances, frames: int, rng: np.random.Generator
) -> tuple[Equipment, tuple[DeviceState, ...]]:
    anatomy = patient.anatomy
    has_system = rng.uniform() < chances.system
    implanted = rng.uniform() < chances.implanted
    loaded = has_system and not implanted
    deploying = phase == "deployment" and loaded
    if phase == "deployment" and not has_system:
        implanted = True
    opening = _sample_opening(patient.valve, frames, rng, whole=preset.typical) if deploying else np.zeros(frames)
    previous = None
    if not implanted and not deploying and rng.uniform() < chances.previous:  # an earlier valve is to get a new one inside
        make = str(rng.choice(list(preset.makes)))
        previous = (sample_valve(anatomy, rng, make=make, folded_radius=2.5), rng.uniform(-8, 12))
    shown = implanted or previous is not None or bool((opening > 0).any())
    with_pigtail = rng.uniform() < (max(chances.pigtail, 0.93) if shown else chances.pigtail)
    wire = guide_wire(anatomy, rng) if has_system or rng.uniform() < chances.wire else None
    equipment = Equipment(
        wire=wire,
        pigtail=pigtail(anatomy, rng, lift=rng.uniform(5, 22) if rng.uniform() < 0.2 else 0.0) if with_pigtail else None,
        system=patient.system if has_system else None,
        loaded=loaded,
        valve=patient.valve if loaded or implanted else None,
        previous=previous,
        passive=patient.lead + patient.distractors,
    )
    distal = _sample_distal(patient, phase, frames, rng, implanted=implanted, near=chances.near)
    depth = rng.uniform(-12, 15)
    return equipment, tuple(DeviceState(float(d), depth, float(o)) for d, o in zip(distal, opening, strict=True))


def _sample_distal(
    patient: Patient, phase: str, frames: int, rng: np.random.Generator, *, implanted: bool, near: float
) -> np.ndarray:
    """(F,) mm of the distal marker beyond the annulus: at the valve, on its way there, or pulled back."""
    if implanted:
        start = rng.uniform(-85, 12)
    elif phase == "deployment":
        start = rng.uniform(-10, 17)
        if patient.system.kind == "balloon":  # the frame sits in the middle of the balloon
            start += 0.5 * (patient.system.length - patient.valve.length)
    else:
        start = rng.uniform(-14, 24) if rng.uniform() < near else rng.uniform(-85, -14)
    speed = rng.normal(0, 0.7) if rng.uniform() < 0.5 and phase != "deployment" else 0.0
    return np.asarray(start + speed * np.arange(frames))


def _sample_opening(valve: ValveFrame, frames: int, rng: np.random.Generator, *, whole: bool) -> np.ndarray:
    """(F,) progress of the deployment, never decreasing, jumping over states that people would argue about.

    ``whole`` = from folded to open, else any part of it.
    """
    start, change = (-0.1, 1.2) if whole else (rng.uniform(-0.3, 0.9), rng.uniform(0, 0.9))
    progress = np.clip(start + change * np.linspace(0, 1, frames) ** rng.uniform(0.6, 1.6), 0, 1)
    fine = np.linspace(0, 1, 201)
    inflow = np.array([float(opening_profile(valve, o, 0.0)) for o in fine])
    low, high = fine[inflow <= _UNDECIDED[0]].max(), fine[inflow >= _UNDECIDED[1]].min()
    middle = (low + high) / 2
    return np.where((progress > low) & (progress < high), np.where(progress < middle, low, high), progress)
