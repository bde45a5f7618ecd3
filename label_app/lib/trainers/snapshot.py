"""The submitted labels as they are when a training starts, frozen into a datalist.

What is labelled while the training runs belongs to the next one. Validation is by patient: patients that a model has been trained
on stay in training for all that descend from it, or its figures would flatter it.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from label_app.lib.images.study_index import ImageEntry
from label_app.lib.labels.store import FINAL, LabelStore
from monai_tavr.files import write_json_atomically
from monai_tavr.formats.label_json import write_label_json
from monai_tavr.keypoints import KeypointState
from monai_tavr.label import CineLabel

__all__ = ["FrozenImage", "Snapshot", "take_snapshot"]

VALIDATION_SHARE = 0.25
_SPLITS = ("training", "validation")
_LEAST_TRAINING_FRAMES = 2  # batch normalisation needs two
_MOST_UNLABELLED = 200  # images: what a training without labels can look at in hours


@dataclass(frozen=True, eq=False)
class FrozenImage:
    """An image with one version of its label.

    Attributes:
        image_id: the image.
        paths: its files, in the order of its frames.
        patient: opaque key of the patient.
        version: number of the label's version.
        label: that version.
        frames: 0-based indices of the frames with at least one labelled point.
    """

    image_id: str
    paths: tuple[Path, ...]
    patient: str
    version: int
    label: CineLabel
    frames: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Snapshot:
    """Labels frozen for a training.

    Attributes:
        training, validation: the images of the two splits.
        split_by: ``patient``, or ``cine`` where all labels are of one patient.
        notes: what whoever starts the training should know, in words.
        unlabelled: images whose frames a teacher may speak of: those of the training split, and others that nobody has labelled;
            never of who validates.
    """

    training: tuple[FrozenImage, ...]
    validation: tuple[FrozenImage, ...]
    split_by: str
    notes: tuple[str, ...]
    unlabelled: tuple[FrozenImage | ImageEntry, ...] = ()

    @property
    def digest(self) -> str:
        """The same for the same versions of the same images in the same splits."""
        content = [[(i.image_id, i.version) for i in split] for split in (self.training, self.validation)]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()

    def record(self) -> dict[str, Any]:
        """What a model's record says of its labels: numbers, image ids and opaque patients."""
        content: dict[str, Any] = {"split_by": self.split_by, "digest": self.digest, "notes": list(self.notes)}
        for split, images in zip(_SPLITS, (self.training, self.validation), strict=True):
            patients = sorted({i.patient for i in images})
            frames = [k for i in images for k in i.label.frames if k.frame in i.frames]
            points = sum(int((k.state != KeypointState.UNLABELLED).sum()) for k in frames)
            content[split] = {"patients": len(patients), "images": len(images), "frames": len(frames), "points": points}
            content[f"{split}_patients"] = patients
            content[f"{split}_images"] = [i.image_id for i in images]
        return content

    def write(self, folder: Path, *, own: Path, unlabelled: bool = False) -> None:
        """Write ``datalist.json`` with the labels, and links to the images under their ids: file names may name patients.

        Args:
            folder: where to.
            own: the app's folder; images in it lie in a cache that forgets them, so they are linked hard.
            unlabelled: link the unlabelled images, too, in the folder ``unlabelled``.
        """
        for other in self.unlabelled if unlabelled else ():
            _link(other, folder, own, under="unlabelled")
        content: dict[str, list[dict[str, Any]]] = {}
        for split, images in zip(_SPLITS, (self.training, self.validation), strict=True):
            content[split] = []
            for image in images:
                label = Path("labels", f"{image.image_id}.json")
                write_label_json(folder / label, image.label)
                item = {"image": _link(image, folder, own).as_posix(), "label": label.as_posix()}
                # split by cine, a patient lies in both
                item |= {"patient": image.patient if self.split_by == "patient" else image.image_id}
                content[split] += [item | {"frame": frame} for frame in image.frames]
        write_json_atomically(folder / "datalist.json", content)


def _link(image: FrozenImage | ImageEntry, folder: Path, own: Path, *, under: str = "images") -> Path:
    """Link to the image's file, or a folder of links to its single frames; relative to ``folder``."""
    place = Path(under, image.image_id)
    if len(image.paths) == 1:
        links = {place.with_name(f"{image.image_id}.dcm"): image.paths[0]}
        place = next(iter(links))
    else:
        links = {place / f"{number:05d}.dcm": path for number, path in enumerate(image.paths)}
    for link, path in links.items():
        (folder / link).parent.mkdir(parents=True, exist_ok=True)
        (folder / link).unlink(missing_ok=True)
        if path.is_relative_to(own):
            (folder / link).hardlink_to(path)
        else:
            (folder / link).symlink_to(path.resolve())
    return place


def take_snapshot(
    store: LabelStore,
    *,
    find: Callable[[str], ImageEntry | None],
    patient: Callable[[ImageEntry], str],
    trained_on: Collection[str] = (),
    validated_on: Sequence[str] = (),
    images: Iterable[ImageEntry] = (),
) -> Snapshot:
    """The final labels of all images that are there.

    Args:
        store: the labels.
        find: the registered image of an id.
        patient: opaque key of an image's patient.
        trained_on: patients, and images, that the model to start from was trained on.
        validated_on: those that its figures come from; they stay in validation, so that figures can be compared.
        images: all there are, labelled or not. Of an archive, only what is labelled is taken: the rest would have to be fetched.

    Raises:
        ValueError: too little is labelled; says what is missing.
    """
    labelled, lost = [], 0
    for image_id in store.images(FINAL):
        entry, version = find(image_id), store.current(image_id, FINAL)
        if entry is None or version is None:
            lost += 1
        elif version.frames:
            label = store.read(image_id, FINAL, version.number)
            labelled.append(FrozenImage(image_id, entry.paths, patient(entry), version.number, label, version.frames))
    notes = [f"{lost} labelled image(s) are not among the studies any more and were left out"] if lost else []
    if not labelled:
        raise ValueError("nothing is labelled yet: submit labels first, of two patients at least")
    split_by = "patient" if len({i.patient for i in labelled}) > 1 else "cine"
    if split_by == "cine":
        if len(labelled) == 1:
            raise ValueError(
                "the labels are of one cine only, and none is left to validate on: label a second one, better of another patient"
            )
        notes.append("all labels are of one patient, so validation is by cine: its figures say little of other patients")
    units = {i.image_id: i.patient if split_by == "patient" else i.image_id for i in labelled}
    chosen, flattered = _choose(set(units.values()), trained_on, validated_on)
    if flattered:
        notes.append("the model was trained on every patient there is: the figures flatter it; label a new one")
    training = tuple(i for i in labelled if units[i.image_id] not in chosen)
    validation = tuple(i for i in labelled if units[i.image_id] in chosen)
    others = _unlabelled((e for e in images if e.image_id not in units), patient, {i.patient for i in validation}, split_by)
    snapshot = Snapshot(training, validation, split_by, tuple(notes), (*training, *others))
    _check(snapshot)
    return snapshot


def _choose(units: Collection[str], trained_on: Collection[str], validated_on: Iterable[str]) -> tuple[set[str], bool]:
    """The units to validate on, and whether the model has seen them; the keys are hashes or UIDs, so their order is no choice."""
    wanted = max(1, round(VALIDATION_SHARE * len(units)))
    new = sorted(u for u in units if u not in trained_on)
    before = [u for u in validated_on if u in new]
    order = before + [u for u in new if u not in before]
    if not order:
        return set(sorted(units)[:wanted]), True
    return set(order[:wanted]), False


def _unlabelled(
    images: Iterable[ImageEntry], patient: Callable[[ImageEntry], str], validating: Collection[str], split_by: str
) -> list[ImageEntry]:
    """Images in the studies folder, but of the patients who validate; where all labels are of one patient, his other cines count.

    Where there are too many, the same ones every time, of whatever study.
    """
    near = [e for e in images if all(i.stamp is not None for i in e.instances)]
    allowed = [e for e in near if split_by == "cine" or patient(e) not in validating]
    return sorted(allowed, key=lambda e: hashlib.sha256(e.image_id.encode()).digest())[:_MOST_UNLABELLED]


def _check(snapshot: Snapshot) -> None:
    frames = sum(len(i.frames) for i in snapshot.training)
    if frames < _LEAST_TRAINING_FRAMES:
        raise ValueError(
            f"{frames} labelled frame(s) to train on are too few: label {_LEAST_TRAINING_FRAMES} at least, better dozens"
        )
    shown: Counter[str] = Counter()
    for image in snapshot.validation:
        for keypoints in image.label.frames:
            shown.update(n for n, v in zip(keypoints.schema.names, keypoints.visible, strict=True) if v)
    if not shown:
        raise ValueError(f"the labels to validate on (a {snapshot.split_by} in four) show no visible point: label more")
