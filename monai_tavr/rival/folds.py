"""Which patients are judged in which fold. Patients go by their numbers, without leading zeros: the folder 008 is patient 8."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from monai_tavr.formats.checks import listing, mapping, read_json, shown
from monai_tavr.rival.published import FOLDS

__all__ = ["Folds", "choose_folds", "deal_folds", "hold_out", "read_folds"]

Folds = tuple[tuple[str, ...], ...]
"""Patients judged in each fold; all others train."""
_CHOOSES = 0.1  # share of the training patients on whom the epoch is chosen


def choose_folds(asked: str | None, patients: Sequence[str]) -> tuple[str, Folds]:
    """The folds, and what they are called.

    Args:
        asked: ``published``; a number of folds; a file for :func:`read_folds`; None = ``published`` where all of these patients
            are there, else 5.
        patients: all there are, each once.

    Raises:
        ValueError: a patient of a fold is not there, or stands in two; a fold leaves fewer than two patients to train on.
    """
    published: Folds = tuple(tuple(map(str, fold)) for fold in FOLDS)
    if asked is None:
        asked = "published" if {p for fold in published for p in fold} <= set(patients) else "5"
    if asked == "published":
        name, folds = "as published", published
    elif asked.isdecimal():
        name, folds = "dealt out by patient number", deal_folds(patients, int(asked))
    else:
        name, folds = f"as in {Path(asked).name}", read_folds(asked)
    _check(asked, folds, patients)
    return name, folds


def deal_folds(patients: Sequence[str], number: int) -> Folds:
    """Deal patients out like cards, in the order of their numbers: the same for the same patients.

    Raises ValueError for fewer than two folds, or more than there are patients.
    """
    if not 2 <= number <= len(patients):
        raise ValueError(f"{number} folds of {len(patients)} patients: give at least 2, and not more than there are patients")
    ordered = sorted(patients, key=int)
    return tuple(tuple(ordered[i::number]) for i in range(number))


def read_folds(path: str | Path) -> Folds:
    """Folds from a text file, a line of patient numbers for each, or from BAMNet's ``summary.json`` or the folder that holds it.

    Raises:
        ValueError: there is no such file, or it names no patients; says where.
    """
    file = Path(path) / "summary.json" if Path(path).is_dir() else Path(path)
    if not file.is_file():
        raise ValueError(f"{path}: no such file of folds; give 'published', a number, or a file with a line of patients per fold")
    if file.suffix == ".json":
        content = mapping(read_json(file), str(file), required={"folds"})
        lines = [
            listing(mapping(fold, f"{file}: folds[{i}]", required={"val_patient_ids"})["val_patient_ids"], f"{file}: folds[{i}]")
            for i, fold in enumerate(listing(content["folds"], f"{file}: folds"))
        ]
    else:
        text = file.read_text(encoding="utf-8")
        lines = [re.split(r"[\s,;]+", line.strip()) for line in text.splitlines() if line.strip()]
    folds = []
    for position, line in enumerate(lines, start=1):
        wrong = next((p for p in line if not str(p).isdecimal()), None)
        if wrong is not None or not line:
            raise ValueError(f"{file}: fold {position}: {shown(wrong)} is no patient number")
        folds.append(tuple(str(int(p)) for p in line))
    return tuple(folds)


def _check(asked: str, folds: Folds, patients: Sequence[str]) -> None:
    taken: dict[str, int] = {}
    for number, fold in enumerate(folds, start=1):
        for patient in fold:
            if patient not in patients:
                raise ValueError(f"folds {asked}: patient {patient} of fold {number} is not in the data")
            if patient in taken:
                raise ValueError(f"folds {asked}: patient {patient} stands in fold {taken[patient]} and in fold {number}")
            taken[patient] = number
        if len(patients) - len(fold) < 2:
            raise ValueError(f"folds {asked}: fold {number} leaves fewer than two patients, one to train on and one to choose by")
    if not folds:
        raise ValueError(f"folds {asked}: there is none")


def hold_out(training: Sequence[str], *, seed: int) -> tuple[str, ...]:
    """The tenth of the training patients, at least one, whose frames choose the epoch: never those that are judged.

    Args:
        training: patients of a fold's training part.
        seed: of the draw.
    """
    ordered = sorted(training, key=int)
    count = max(1, round(_CHOOSES * len(ordered)))
    drawn = np.random.default_rng(seed).choice(len(ordered), count, replace=False)
    return tuple(ordered[i] for i in sorted(drawn))
