"""Make a data set: DICOM XA cines, their label files and the datalist, in several processes.

``DIR/P000/C00.dcm`` and ``DIR/P000/C00.json`` per cine, ``DIR/datalist.json`` in the form of MONAI's decathlon lists, written
last; with ``root_masks`` an item names the mask of its opacified root too. ``DIR/phantom.json`` keeps the settings: a second call
with the same ones goes on where the first was interrupted, one with others is refused. A cine depends on preset, seed, patient
and its number alone, so the files are the same for any number of processes.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import lru_cache
from pathlib import Path
from typing import Any

from tqdm import tqdm

from monai_tavr.dicom.writer import SYNTAXES
from monai_tavr.files import write_json_atomically
from monai_tavr.formats.checks import read_json
from monai_tavr.keypoints import KeypointSchema, load_schema
from monai_tavr.phantom.cine_files import DatasetSettings, cine_stem, mask_path, write_cine
from monai_tavr.phantom.landmarks import POINTS
from monai_tavr.phantom.presets import Preset, preset_named
from monai_tavr.phantom.procedure import Patient, sample_patient

__all__ = ["generate_dataset", "split_of_patient"]

_WORK_PER_PROCESS = 4 * 512**2  # cines times pixels of a frame


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
    backgrounds: str | os.PathLike[str] | None = None,
    schema: str | os.PathLike[str] | KeypointSchema = "tavr11",
    root_masks: bool = False,
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
        syntax: transfer syntax, a name of :data:`monai_tavr.dicom.writer.SYNTAXES`; None = ``explicit-le``.
        backgrounds: folder of real frames (DICOM, PNG, JPEG) to draw contrast and devices onto; None = the phantom's chest.
        schema: of the labels, by name, path or as it is; points that the phantom does not draw are unlabelled.
        root_masks: write the mask of the opacified root of each cine too (see :mod:`monai_tavr.phantom.root_masks`), named in the
            datalist as ``root_mask``.
        workers: processes; None = one per core this process may use; 1 = no other process.
        progress: show a progress bar and the speed.

    Returns:
        The path of ``datalist.json``.

    Raises:
        ValueError: an argument is out of range, or ``out`` holds a data set of other settings.
    """
    chosen = preset_named(preset)
    settings = DatasetSettings(
        preset,
        seed,
        chosen.size if size is None else size,
        bits or 8,
        syntax or "explicit-le",
        None if backgrounds is None else str(backgrounds),
        load_schema(schema),
        root_masks,
    )
    count = chosen.patients if patients is None else patients
    _check(settings, count, workers)
    folder = Path(out)
    _claim(folder, settings)
    people = [sample_patient(chosen, seed=seed, index=i) for i in range(count)]
    todo = [(p.index, c) for p in people for c in range(len(p.cines)) if not _complete(folder, settings, p.index, c)]
    total = sum(p.cines[c][1] for p in people for c in range(len(p.cines)))
    missing = sum(people[i].cines[c][1] for i, c in todo)
    with tqdm(total=total, initial=total - missing, unit="frame", desc=f"phantom {preset}", disable=not progress) as bar:
        seconds = 0.0
        for frames, spent in _render(folder, settings, people, todo, workers):
            bar.update(frames)
            seconds += spent
    if progress and seconds:
        print(f"{missing} frames of {settings.size}x{settings.size}: {missing / seconds:.1f} frames per second per core")
    datalist = folder / "datalist.json"
    write_json_atomically(datalist, _datalist(chosen, settings, people))
    return datalist


def _check(settings: DatasetSettings, patients: int, workers: int | None) -> None:
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
    if not set(POINTS) & set(settings.schema.names):
        raise ValueError(f"the phantom draws no point of schema {settings.schema.name!r}; it draws {list(POINTS)}")
    if workers is not None and workers < 1:
        raise ValueError(f"workers = {workers}: give at least 1")


def _claim(folder: Path, settings: DatasetSettings) -> None:
    """Note the settings in the folder, or compare with those noted there."""
    note = folder / "phantom.json"
    if note.exists():
        try:
            found = read_json(note)
        except ValueError as error:
            raise ValueError(f"{error}; delete the folder or give another one") from error
        if found != settings.to_dict():
            raise ValueError(f"{folder} holds a data set made with {found}, not {settings.to_dict()}; give another folder")
    else:
        write_json_atomically(note, settings.to_dict())


def _complete(folder: Path, settings: DatasetSettings, patient: int, cine: int) -> bool:
    """All files are there; each is renamed into place when whole, the label last."""
    stem = cine_stem(folder, patient, cine)
    files = [stem.with_suffix(".dcm"), stem.with_suffix(".json")]
    return all(f.is_file() for f in files + [mask_path(folder, patient, cine)] * settings.root_masks)


def _render(
    folder: Path, settings: DatasetSettings, people: list[Patient], todo: list[tuple[int, int]], workers: int | None
) -> Iterator[tuple[int, float]]:
    """Make the cines of ``todo``; yields (frames, seconds of one core) for each."""
    # a process takes seconds to start: a few small cines are not worth a second one
    work = len(todo) * settings.size**2
    workers = min(workers or min(_cores(), 1 + work // _WORK_PER_PROCESS), len(todo))
    if workers <= 1:
        for patient, cine in todo:
            yield write_cine(folder, settings, people[patient], cine)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_one_thread) as pool:
        jobs = [pool.submit(_write_cine_of, folder, settings, patient, cine) for patient, cine in todo]
        try:
            for job in as_completed(jobs):
                yield job.result()
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def _write_cine_of(folder: Path, settings: DatasetSettings, index: int, cine: int) -> tuple[int, float]:
    """In a process of its own: the patient is drawn there, which takes less time than to send it."""
    return write_cine(folder, settings, _patient_of(settings.preset, settings.seed, index), cine)


@lru_cache(maxsize=4)  # the cines of a patient come one after the other
def _patient_of(preset: str, seed: int, index: int) -> Patient:
    return sample_patient(preset_named(preset), seed=seed, index=index)


def _cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _one_thread() -> None:
    """Worker processes are the parallelism: threads of libraries inside them would only get in each other's way."""
    import cv2

    cv2.setNumThreads(1)


def _datalist(preset: Preset, settings: DatasetSettings, people: list[Patient]) -> dict[str, Any]:
    """The list of all cines by part; an item without ``frame`` means every frame of its file."""
    parts: dict[str, list[dict[str, Any]]] = {"training": [], "validation": [], "test": []}
    for patient in people:
        part = preset.part or split_of_patient(patient.index)
        for cine in range(len(patient.cines)):
            stem = cine_stem(Path(), patient.index, cine).as_posix()
            item = {"image": f"{stem}.dcm", "label": f"{stem}.json", "patient": f"P{patient.index:03d}"}
            masks = {"root_mask": mask_path(Path(), patient.index, cine).as_posix()} if settings.root_masks else {}
            parts[part].append(item | masks)
    return {
        "name": f"phantom-{preset.name}",
        "description": preset.description,
        "schema": settings.schema.name,
        "modality": {"0": "XA"},
        "generator": settings.to_dict(),
        **{f"num{part.capitalize()}": len(items) for part, items in parts.items()},
        **parts,
    }
