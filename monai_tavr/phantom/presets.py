"""Kinds of data sets: how many patients, which procedures, which equipment, which X-ray machine.

``tavr81`` mirrors the paper's data (81 patients, about 2854 frames); ``shift`` is what the training never saw: another dose, blur
and display curve, other valve types, steeper angles, more distractors; ``worklist`` is what lies before an annotator: whole cines
of very different length from such a machine, most of them with one kind of valve; ``variety`` is for training: many patients with
few frames each, for the frames of one cine hardly differ; ``clinical`` is that with what real rooms add, among it many frames of
the same laboratory that show no valve procedure; ``demo`` is six studies to look at; ``tiny`` is for tests.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from monai_tavr.phantom.detector import DetectorRanges
from monai_tavr.phantom.distractors import CLINICAL_PROBABILITIES, PROBABILITIES

__all__ = ["PHASES", "PRESETS", "ClinicalRanges", "Preset", "preset_named"]

PHASES = ("survey", "positioning", "deployment", "follow-up")
_OTHER_RUNS = ("coronary", "aortogram")  # of the same laboratory: no delivery system, no valve
Range = tuple[float, float]


@dataclass(frozen=True)
class ClinicalRanges:
    """(low, high) ranges and probabilities of what differs between laboratories, machines and injections.

    Attributes:
        iodine: factor on the contrast of a run.
        selective: factor on that of a catheter in a coronary, whose contrast no blood dilutes.
        texture: factor on the markings of lung and bone.
        shading: strength of what makes one part of the chest dark and another bright.
        collimated: probability that blades close the field.
        borderless: probability that a field without blades goes on beyond the frame, with no edge to be seen.
    """

    iodine: Range = (0.45, 1.7)
    selective: Range = (1.2, 6.0)
    texture: Range = (0.05, 1.1)
    shading: Range = (0.2, 1.5)
    collimated: float = 0.5
    borderless: float = 0.6


@dataclass(frozen=True)
class Preset:
    """How the patients of a data set are drawn.

    Attributes:
        name: of the preset; part of every seed.
        description: one line for the datalist.
        patients: how many, unless asked for another number.
        size: rows and columns, unless asked for another size.
        frames: (fewest, most) frames of a cine.
        phases: of a patient's cines; with ``skip_probability`` one of them is left out.
        one_cine_each: patient i has one cine, of phase ``phases[i % len(phases)]``.
        part: all patients belong to this part of the datalist; None = split by patient.
        typical: every cine shows what its phase is expected to show, no rare combinations.
        makes: valve make -> weight.
        primary, secondary: (low, high) degrees of the C-arm.
        field_mm: (low, high) width of the field of view at the heart.
        detector: ranges of the X-ray machine.
        distractors: kind -> probability per patient.
        clinical: what real rooms add; None = nothing.
    """

    name: str
    description: str
    patients: int
    size: int = 512
    frames: tuple[int, int] = (8, 12)
    phases: tuple[str, ...] = PHASES
    skip_probability: float = 0.48
    one_cine_each: bool = False
    part: str | None = None
    typical: bool = False
    makes: Mapping[str, float] = field(default_factory=lambda: {"evolut": 0.4, "acurate": 0.35, "sapien": 0.25})
    primary: Range = (-26.0, 26.0)
    secondary: Range = (-22.0, 20.0)
    field_mm: Range = (145.0, 205.0)
    detector: DetectorRanges = field(default_factory=DetectorRanges)
    distractors: Mapping[str, float] = field(default_factory=lambda: PROBABILITIES)
    clinical: ClinicalRanges | None = None


_SHIFTED_DETECTOR = DetectorRanges(
    photons=(3000.0, 9000.0),
    veil=(0.3, 0.42),
    blur=(0.9, 1.35),
    compression=(0.5, 0.7),
    sharpening=(0.4, 1.0),
    spread=(70.0, 96.0),
    brightness=(112.0, 128.0),
    gamma=(0.8, 1.25),
    side_glow=(0.0, 60.0),
)

_CLINICAL_DETECTOR = DetectorRanges(
    photons=(6000.0, 60000.0),
    veil=(0.18, 0.42),
    blur=(0.6, 1.3),
    compression=(0.2, 0.9),
    compression_sigma=(40.0, 110.0),
    sharpening=(0.0, 1.1),
    spread=(55.0, 118.0),
    brightness=(92.0, 150.0),
    gamma=(0.75, 1.3),
    side_glow=(0.0, 130.0),
    gain=(70.0, 260.0),
)

PRESETS: Mapping[str, Preset] = MappingProxyType(
    {
        p.name: p
        for p in (
            Preset("tavr81", "81 synthetic TAVR patients over the phases of the procedure", 81),
            Preset(
                "variety",
                "Many synthetic TAVR patients with two frames a cine, to train on beside tavr81",
                800,
                frames=(2, 2),
                part="training",
            ),
            Preset(
                "clinical",
                "As variety, as real rooms look: collimators, lung beside spine, leads, coronary angiograms, aortograms",
                800,
                frames=(2, 2),
                phases=(*PHASES, *_OTHER_RUNS),
                part="training",
                primary=(-40.0, 45.0),
                secondary=(-30.0, 30.0),
                field_mm=(125.0, 230.0),
                detector=_CLINICAL_DETECTOR,
                distractors=CLINICAL_PROBABILITIES,
                clinical=ClinicalRanges(),
            ),
            Preset(
                "shift",
                "Synthetic TAVR patients from another X-ray machine, with other valves, angles and distractors",
                16,
                part="test",
                makes={"braided": 0.45, "sapien": 0.35, "evolut": 0.1, "acurate": 0.1},
                primary=(-38.0, 38.0),
                secondary=(-30.0, 30.0),
                field_mm=(125.0, 230.0),
                detector=_SHIFTED_DETECTOR,
                distractors={kind: min(0.9, 2.2 * p) for kind, p in PROBABILITIES.items()},
            ),
            Preset(
                "worklist",
                "Whole procedures as they lie before an annotator: cines of 6 to 48 frames from another X-ray machine",
                30,
                size=256,
                frames=(6, 48),
                makes={"evolut": 0.65, "sapien": 0.2, "braided": 0.15},
                primary=(-38.0, 38.0),
                secondary=(-30.0, 30.0),
                detector=_SHIFTED_DETECTOR,
                distractors={kind: min(0.9, 2.2 * p) for kind, p in PROBABILITIES.items()},
            ),
            Preset(
                "demo",
                "Six synthetic TAVR studies of different phases, to look at",
                6,
                frames=(22, 30),
                phases=("survey", "positioning", "deployment", "follow-up", "deployment", "positioning"),
                one_cine_each=True,
                part="test",
                typical=True,
            ),
            Preset(
                "tiny",
                "A few small synthetic TAVR cines for tests",
                4,
                size=128,
                frames=(3, 3),
                phases=("survey", "deployment"),
                skip_probability=0.0,
            ),
        )
    }
)
"""Name -> preset."""


def preset_named(name: str) -> Preset:
    """The preset of that name. Raises ValueError for an unknown one."""
    if name not in PRESETS:
        raise ValueError(f"no preset {name!r}: give one of {list(PRESETS)}")
    return PRESETS[name]
