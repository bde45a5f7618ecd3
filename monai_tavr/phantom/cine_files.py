"""One cine of a data set as files: the DICOM header of a patient who cannot be taken for a real one, and its label file.

UIDs follow from what the pixels depend on (preset, seed, patient, cine, size, bits, version of the generator) and not from the
transfer syntax: a cine stored in another syntax is the same instance.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from monai_tavr.dicom.writer import XAHeader, write_xa
from monai_tavr.formats.label_json import write_label_json
from monai_tavr.formats.root_masks import write_root_masks
from monai_tavr.keypoints import TAVR11, KeypointSchema
from monai_tavr.label import CineLabel, ImageInfo
from monai_tavr.phantom.backgrounds import list_backgrounds, load_background
from monai_tavr.phantom.presets import preset_named
from monai_tavr.phantom.procedure import CinePlan, Patient, plan_cine
from monai_tavr.phantom.render import render_cine
from monai_tavr.phantom.seeding import child_seed
from monai_tavr.uids import PHANTOM, derived_uid

__all__ = ["GENERATOR_VERSION", "DatasetSettings", "cine_stem", "mask_path", "write_cine"]

GENERATOR_VERSION = "1"
"""Changes whenever the same settings would give other pixels or labels."""
# one random 128-bit number (PS3.5 B.2): the root of all UIDs of synthetic cines


@dataclass(frozen=True)
class DatasetSettings:
    """What the files of a data set depend on.

    Attributes:
        preset, seed: which patients and cines.
        size: rows and columns.
        bits: stored per pixel.
        syntax: name of the transfer syntax.
        backgrounds: folder of real frames to draw onto; None = the chest.
        schema: of the labels; points that the phantom does not draw are unlabelled.
        root_masks: the mask of the opacified root is written too.
    """

    preset: str
    seed: int
    size: int
    bits: int
    syntax: str
    backgrounds: str | None = None
    schema: KeypointSchema = TAVR11
    root_masks: bool = False

    def to_dict(self) -> dict[str, Any]:
        """The settings as JSON for ``phantom.json``; backgrounds are known by the names and sizes of their files."""
        content: dict[str, Any] = {**vars(self), "version": GENERATOR_VERSION}
        del content["backgrounds"], content["schema"], content["root_masks"]
        content |= {"backgrounds": _fingerprint(self.backgrounds)} if self.backgrounds else {}
        content |= {"root_masks": True} if self.root_masks else {}
        # data sets from before there was a choice are finished too
        return content | ({} if self.schema == TAVR11 else {"schema": self.schema.name, "points": list(self.schema.names)})


@lru_cache(maxsize=2)
def _backgrounds(folder: str) -> list[Path]:
    return list_backgrounds(folder)


@lru_cache(maxsize=2)
def _fingerprint(folder: str) -> str:
    """SHA-256 over names and sizes of the backgrounds."""
    names = [(path.relative_to(folder).as_posix(), path.stat().st_size) for path in _backgrounds(folder)]
    return hashlib.sha256(repr(names).encode()).hexdigest()


def cine_stem(folder: Path, patient: int, cine: int) -> Path:
    """Path of a cine's files without their suffix."""
    return folder / f"P{patient:03d}" / f"C{cine:02d}"


def mask_path(folder: Path, patient: int, cine: int) -> Path:
    """Path of a cine's root masks: in a hidden folder, for whoever looks for cines would take a NIfTI file for one."""
    return cine_stem(folder / ".root_masks", patient, cine).with_suffix(".nii.gz")


def write_cine(folder: Path, settings: DatasetSettings, patient: Patient, cine: int) -> tuple[int, float]:
    """Render and write one cine: (frames, seconds of processor time)."""
    started = time.process_time()
    preset = preset_named(settings.preset)
    plan = plan_cine(patient, cine, preset=preset, size=settings.size)
    background = None
    if settings.backgrounds is not None:
        rng = np.random.default_rng(child_seed(plan.render_seed, 3))
        background = load_background(_backgrounds(settings.backgrounds), rng, size=settings.size)
    rendered = render_cine(patient.anatomy, plan, bits=settings.bits, background=background)
    header = _header(settings, patient, cine, plan)
    stem = cine_stem(folder, patient.index, cine)
    write_xa(stem.with_suffix(".dcm"), rendered.frames, header=header, syntax=settings.syntax, bits_stored=settings.bits)
    image = ImageInfo(
        rows=settings.size,
        columns=settings.size,
        number_of_frames=len(rendered.frames),
        spacing=rendered.keypoints[0].spacing,
        sop_instance_uid=header.sop_uid,
        series_instance_uid=header.series_uid,
        study_instance_uid=header.study_uid,
    )
    if settings.root_masks:
        write_root_masks(mask_path(folder, patient.index, cine), rendered.root_masks)
    frames = tuple(k.under(settings.schema) for k in rendered.keypoints)
    write_label_json(stem.with_suffix(".json"), CineLabel(image=image, frames=frames))
    return len(rendered.frames), time.process_time() - started


def _uid(*parts: object) -> str:
    """A UID that follows from ``parts``."""
    return derived_uid(PHANTOM, "/".join(str(p) for p in parts))


def _header(settings: DatasetSettings, patient: Patient, cine: int, plan: CinePlan) -> XAHeader:
    """The DICOM header: a patient whom nobody can take for a real one."""
    who = f"{settings.preset}/{settings.seed}/P{patient.index:03d}"
    made: tuple[object, ...] = (GENERATOR_VERSION, settings.size, settings.bits)
    made += (_fingerprint(settings.backgrounds),) if settings.backgrounds else ()
    camera = plan.camera
    return XAHeader(
        patient_id=f"PHANTOM-{settings.preset}-{settings.seed}-P{patient.index:03d}".upper(),
        patient_name=f"PHANTOM^P{patient.index:03d}^SYNTHETIC",
        patient_sex="O",
        patient_birth_date="19000101",
        study_uid=_uid("study", who, *made),
        series_uid=_uid("series", who, cine, *made),
        sop_uid=_uid("instance", who, cine, *made),
        study_id=f"P{patient.index:03d}",
        accession_number=f"SYN{settings.seed}P{patient.index:03d}"[:16],
        study_date="20000101",
        study_time=f"{8 + patient.index % 10:02d}{patient.index % 60:02d}00",
        study_description=f"Synthetic TAVR ({settings.preset})",
        series_description=f"{plan.phase} (synthetic)",
        series_number=cine + 1,
        instance_number=1,
        primary_angle=camera.primary_deg,
        secondary_angle=camera.secondary_deg,
        imager_spacing=camera.pixel_mm_at_detector,
        source_detector_mm=camera.source_detector_mm,
        source_patient_mm=camera.source_object_mm,
        frame_time_ms=plan.frame_time_ms,
        contrast_agent="Synthetic iodine" if max(c.filling for c in plan.contrast) > 0.1 else "",
        manufacturer="monai-tavr",
        model_name="phantom",
        software_versions=GENERATOR_VERSION,
    )
