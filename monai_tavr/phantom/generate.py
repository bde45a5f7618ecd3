"""Make a data set: DICOM XA cines, their label files and the datalist, in several processes.

``DIR/P000/C00.dcm`` and ``DIR/P000/C00.json`` per cine, ``DIR/datalist.json`` in the form of MONAI's decathlon lists, written
last. ``DIR/phantom.json`` keeps the settings: a second call with the same ones goes on where the first was interrupted, one with
others is refused. A cine depends on preset, seed, patient and its number alone, so the files are the same for any number of
processes.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import time
import uuid
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from monai_tavr.dicom_writer import SYNTAXES, XAHeader, write_xa
from monai_tavr.formats.label_json import CineLabel, ImageInfo, write_json_atomically, write_label_json
from monai_tavr.keypoints import TAVR11
from monai_tavr.phantom.presets import PRESETS, Preset, preset_named
from monai_tavr.phantom.procedure import CinePlan, Patient, sample_patient

__all__ = ["GENERATOR_VERSION", "add_arguments", "generate_dataset", "run", "split_of_patient"]

GENERATOR_VERSION = "1"
"""Changes whenever the same settings would give other pixels or labels."""
# one random 128-bit number (PS3.5 B.2): the root of all UIDs of synthetic cines
_UID_NAMESPACE = uuid.UUID("0d1a7c55-86b0-4f39-9d5e-3a0c6f1f2e81")

_WORK_PER_PROCESS = 4 * 512**2  # cines times pixels of a frame


@dataclass(frozen=True)
class _Settings:
    """What the files of a data set depend on."""

    preset: str
    seed: int
    size: int
    bits: int
    syntax: str

    def to_dict(self) -> dict[str, Any]:
        return {**vars(self), "version": GENERATOR_VERSION}


def split_of_patient(index: int) -> str:
    """Part of the data set that patient ``index`` belongs to: of 81 patients 55 train, 10 validate and 16 test.

    It depends on the index alone, so a larger data set never moves a patient from one part to another.
    """
    if index % 5 == 1:
        return "test"
    return "validation" if index % 7 == 2 else "training"


def generate_dataset(
    out: str | os.PathLike[str],
    *,
    preset: str = "tavr81",
    patients: int | None = None,
    seed: int = 0,
    size: int | None = None,
    bits: int | None = None,
    syntax: str | None = None,
    workers: int | None = None,
    progress: bool = True,
) -> Path:
    """Make a data set, or finish one.

    Args:
        out: folder, made if it does not exist.
        preset: a name of :data:`monai_tavr.phantom.presets.PRESETS`.
        patients: how many; None = the preset's number.
        seed: not negative; another seed gives other patients.
        size: rows and columns, a multiple of 16; None = the preset's (512, for ``tiny`` 128).
        bits: 8 or 12 stored bits; None = 8.
        syntax: transfer syntax, a name of :data:`monai_tavr.dicom_writer.SYNTAXES`; None = ``explicit-le``.
        workers: processes; None = one per core this process may use; 1 = no other process.
        progress: show a progress bar and the speed.

    Returns:
        The path of ``datalist.json``.

    Raises:
        ValueError: an argument is out of range, or ``out`` holds a data set of other settings.
    """
    chosen = preset_named(preset)
    settings = _Settings(preset, seed, chosen.size if size is None else size, bits or 8, syntax or "explicit-le")
    count = chosen.patients if patients is None else patients
    _check(settings, count, workers)
    folder = Path(out)
    _claim(folder, settings)
    people = [sample_patient(chosen, seed=seed, index=i) for i in range(count)]
    todo = [(p.index, c) for p in people for c in range(len(p.cines)) if not _complete(folder, p.index, c)]
    total = sum(p.cines[c][1] for p in people for c in range(len(p.cines)))
    missing = sum(people[i].cines[c][1] for i, c in todo)
    with tqdm(total=total, initial=total - missing, unit="frame", desc=f"phantom {preset}", disable=not progress) as bar:
        seconds = 0.0
        for frames, spent in _render(folder, settings, todo, workers):
            bar.update(frames)
            seconds += spent
    if progress and seconds:
        print(f"{missing} frames of {settings.size}x{settings.size}: {missing / seconds:.1f} frames per second per core")
    datalist = folder / "datalist.json"
    write_json_atomically(datalist, _datalist(chosen, settings, people))
    return datalist


def _check(settings: _Settings, patients: int, workers: int | None) -> None:
    if patients < 1:
        raise ValueError(f"patients = {patients}: give at least 1")
    if settings.seed < 0:
        raise ValueError(f"seed = {settings.seed}: give a number that is not negative")
    if settings.size < 64 or settings.size % 16:
        raise ValueError(f"size = {settings.size}: give a multiple of 16, at least 64")
    if settings.bits not in (8, 12):
        raise ValueError(f"bits = {settings.bits}: give 8 or 12")
    if settings.syntax not in SYNTAXES:
        raise ValueError(f"no transfer syntax {settings.syntax!r}: give one of {sorted(SYNTAXES)}")
    if settings.syntax == "jpeg-baseline" and settings.bits != 8:
        raise ValueError("jpeg-baseline stores 8 bits: give bits=8 or another syntax")
    if workers is not None and workers < 1:
        raise ValueError(f"workers = {workers}: give at least 1")


def _claim(folder: Path, settings: _Settings) -> None:
    """Note the settings in the folder, or compare with those noted there."""
    note = folder / "phantom.json"
    if note.exists():
        try:
            found = json.loads(note.read_text(encoding="utf-8"))
        except json.JSONDecodeError as error:
            raise ValueError(f"{note}: not a JSON file ({error}); delete the folder or give another one") from error
        if found != settings.to_dict():
            raise ValueError(f"{folder} holds a data set made with {found}, not {settings.to_dict()}; give another folder")
    else:
        write_json_atomically(note, settings.to_dict())


def _stem(folder: Path, patient: int, cine: int) -> Path:
    return folder / f"P{patient:03d}" / f"C{cine:02d}"


def _complete(folder: Path, patient: int, cine: int) -> bool:
    """Both files are there; each is renamed into place when whole, the label last."""
    stem = _stem(folder, patient, cine)
    return stem.with_suffix(".dcm").is_file() and stem.with_suffix(".json").is_file()


def _render(folder: Path, settings: _Settings, todo: list[tuple[int, int]], workers: int | None) -> Any:
    """Make the cines of ``todo``; yields (frames, seconds of one core) for each."""
    # a process takes seconds to start: a few small cines are not worth a second one
    work = len(todo) * settings.size**2
    workers = min(workers or min(len(os.sched_getaffinity(0)), 1 + work // _WORK_PER_PROCESS), len(todo))
    if workers <= 1:
        for patient, cine in todo:
            yield _make_cine(folder, settings, patient, cine)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_one_thread) as pool:
        jobs = [pool.submit(_make_cine, folder, settings, patient, cine) for patient, cine in todo]
        try:
            for job in as_completed(jobs):
                yield job.result()
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def _one_thread() -> None:
    """Worker processes are the parallelism: threads of libraries inside them would only get in each other's way."""
    import cv2

    cv2.setNumThreads(1)


def _make_cine(folder: Path, settings: _Settings, index: int, cine: int) -> tuple[int, float]:
    """Render and write one cine: (frames, seconds of processor time)."""
    from monai_tavr.phantom.cine import render_cine
    from monai_tavr.phantom.procedure import plan_cine

    started = time.process_time()
    preset = preset_named(settings.preset)
    patient = sample_patient(preset, seed=settings.seed, index=index)
    plan = plan_cine(patient, cine, preset=preset, size=settings.size)
    rendered = render_cine(patient.anatomy, plan, bits=settings.bits)
    header = _header(settings, patient, cine, plan)
    stem = _stem(folder, index, cine)
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
    write_label_json(stem.with_suffix(".json"), CineLabel(image=image, frames=rendered.keypoints))
    return len(rendered.frames), time.process_time() - started


def _uid(*parts: object) -> str:
    """A UID that follows from ``parts``: 2.25 and a name-based UUID (PS3.5 B.2)."""
    return f"2.25.{uuid.uuid5(_UID_NAMESPACE, '/'.join(str(p) for p in parts)).int}"


def _header(settings: _Settings, patient: Patient, cine: int, plan: CinePlan) -> XAHeader:
    """The DICOM header: a patient whom nobody can take for a real one."""
    who = f"{settings.preset}/{settings.seed}/P{patient.index:03d}"
    made = (GENERATOR_VERSION, settings.size, settings.bits)
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


def _datalist(preset: Preset, settings: _Settings, people: list[Patient]) -> dict[str, Any]:
    """The list of all cines by part; an item without ``frame`` means every frame of its file."""
    parts: dict[str, list[dict[str, Any]]] = {"training": [], "validation": [], "test": []}
    for patient in people:
        part = "test" if preset.test_only else split_of_patient(patient.index)
        for cine in range(len(patient.cines)):
            stem = _stem(Path(), patient.index, cine).as_posix()
            parts[part].append({"image": f"{stem}.dcm", "label": f"{stem}.json", "patient": f"P{patient.index:03d}"})
    return {
        "name": f"phantom-{preset.name}",
        "description": preset.description,
        "schema": TAVR11.name,
        "modality": {"0": "XA"},
        "generator": settings.to_dict(),
        **{f"num{part.capitalize()}": len(items) for part, items in parts.items()},
        **parts,
    }


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``monai-tavr phantom``."""
    parser.add_argument(
        "--out", required=True, type=Path, metavar="DIR", help="folder of the data set; an interrupted one is finished"
    )
    parser.add_argument("--preset", default="tavr81", choices=list(PRESETS), help="kind of data set (default: %(default)s)")
    parser.add_argument("--patients", type=int, help="number of patients (default: the preset's)")
    parser.add_argument("--seed", type=int, default=0, help="other patients for another seed (default: %(default)s)")
    parser.add_argument("--size", type=int, help="rows and columns, a multiple of 16 (default: the preset's, mostly 512)")
    parser.add_argument("--bits", type=int, choices=(8, 12), help="stored bits per pixel (default: 8)")
    parser.add_argument("--syntax", choices=sorted(SYNTAXES), help="DICOM transfer syntax (default: explicit-le)")
    parser.add_argument("--workers", type=int, help="processes (default: one per core)")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")


def run(args: argparse.Namespace) -> int:
    """``monai-tavr phantom``: 0 when the data set is complete; raises ValueError for what the user must change."""
    datalist = generate_dataset(
        args.out,
        preset=args.preset,
        patients=args.patients,
        seed=args.seed,
        size=args.size,
        bits=args.bits,
        syntax=args.syntax,
        workers=args.workers,
        progress=not args.quiet,
    )
    print(datalist)
    return 0
