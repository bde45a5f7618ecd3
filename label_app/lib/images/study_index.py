"""The DICOM files of the studies folder, found by their UIDs.

The index is the only way from a request to a file: a request names UIDs, and what is not in the index does not exist. It lives in
memory and writes nothing, least of all into the studies folder. Only headers are read; a file that has not changed since the last
look is not read again.

It replaces `dicomweb_client.DICOMfileClient`, which switches pydicom to strict validation for the whole process while it indexes
(many hospitals' files fail it), knows neither RLE nor big endian nor deflated files, and returns the last frame of a native file
with whatever follows it.
"""

from __future__ import annotations

import logging
import os
import re
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError

from monai_tavr.dicom.header import read_header
from monai_tavr.dicom.limits import MOST_FRAMES
from monai_tavr.files import FileStamp

__all__ = ["REPLACED", "ImageEntry", "Instance", "StudyIndex", "is_uid", "whole"]

logger = logging.getLogger(__name__)

REPLACED = "the file was replaced after it was listed; load the study list again"
"""Why a file that is listed is not answered with."""

_UID = re.compile(r"[0-9]+(\.[0-9]+)*")
_UID_LENGTH = 64
_KEYPOINT_MODALITIES = ("XA", "RF")
# what QIDO-RS may match or return (PS3.18 10.6), beside what tells cines from other objects
_HEADER_TAGS = [
    "SpecificCharacterSet",
    "SOPClassUID",
    "SOPInstanceUID",
    "StudyDate",
    "SeriesDate",
    "StudyTime",
    "SeriesTime",
    "AccessionNumber",
    "Modality",
    "ReferringPhysicianName",
    "StudyDescription",
    "SeriesDescription",
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "StudyID",
    "SeriesNumber",
    "InstanceNumber",
    "SamplesPerPixel",
    "NumberOfFrames",
    "Rows",
    "Columns",
    "BitsAllocated",
]


@dataclass(frozen=True, eq=False)
class Instance:
    """One DICOM file.

    Attributes:
        path: the file.
        header: what QIDO-RS needs, without pixels.
        study_uid, series_uid, sop_uid, transfer_syntax_uid: its identity, and how its pixels are stored.
        modality: as in the header, or empty.
        number_of_frames: 0 where the instance is no image.
        order: series number and instance number, 0 where unknown, for sorting.
        stamp: what the file's content was known by when it was listed; None for an instance that an archive holds.
    """

    path: Path
    header: Dataset
    study_uid: str
    series_uid: str
    sop_uid: str
    transfer_syntax_uid: str
    modality: str
    number_of_frames: int
    order: tuple[int, int]
    stamp: FileStamp | None

    @classmethod
    def from_file(cls, path: Path) -> Instance:
        """Read a file's header.

        Raises:
            ValueError: more frames than the file can hold.
            Exception: whatever pydicom raises for a file that is damaged or not DICOM.
        """
        with path.open("rb") as stream:
            stamp = FileStamp.of_stream(stream)
            header, _ = read_header(stream, specific_tags=_HEADER_TAGS)
        is_image = whole(header, "Rows") > 0 and whole(header, "Columns") > 0
        if whole(header, "NumberOfFrames") > min(MOST_FRAMES, stamp.size):
            raise ValueError("the header states more frames than the file has bytes")
        return cls(
            path=path,
            header=header,
            study_uid=str(header.StudyInstanceUID),
            series_uid=str(header.SeriesInstanceUID),
            sop_uid=str(header.SOPInstanceUID),
            transfer_syntax_uid=str(header.file_meta.TransferSyntaxUID),
            modality=str(header.get("Modality") or ""),
            number_of_frames=max(whole(header, "NumberOfFrames"), 1) if is_image else 0,
            order=(whole(header, "SeriesNumber"), whole(header, "InstanceNumber")),
            stamp=stamp,
        )

    @contextmanager
    def opened(self) -> Iterator[BinaryIO]:
        """The file, proved to be the one that was listed.

        Raises:
            ValueError: another one has its name now; its pixels would be shown under this instance's patient.
            OSError: it cannot be read.
        """
        with self.path.open("rb") as stream:
            if self.stamp is not None and FileStamp.of_stream(stream) != self.stamp:
                raise ValueError(REPLACED)
            yield stream

    @property
    def uids(self) -> tuple[str, str, str]:
        """Study, series and SOP instance UID."""
        return self.study_uid, self.series_uid, self.sop_uid

    @property
    def names(self) -> tuple[str, ...]:
        """What the instance's image may be called by, beside its id."""
        return self.series_uid, self.sop_uid, self.path.stem


def is_uid(text: str) -> bool:
    """Whether a text is a UID (PS3.5 9.1)."""
    return len(text) <= _UID_LENGTH and _UID.fullmatch(text) is not None


def whole(header: Dataset, keyword: str) -> int:
    """A whole number of a header; 0 where it is missing or damaged."""
    try:
        return int(header.get(keyword) or 0)
    except (TypeError, ValueError, OverflowError):
        return 0


@dataclass(frozen=True)
class ImageEntry:
    """One image of the app: a multi-frame file, or the single-frame files of one series in their order.

    A multi-frame file goes by its SOP instance UID and a series of single frames by its series instance UID. Both are the same
    tomorrow, whatever else arrives in the folder, so labels keep their image.
    """

    image_id: str
    instances: tuple[Instance, ...]

    @property
    def number_of_frames(self) -> int:
        """F."""
        return self.instances[0].number_of_frames if len(self.instances) == 1 else len(self.instances)

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files, in the order of the frames."""
        return tuple(i.path for i in self.instances)


class StudyIndex:
    """Index of the DICOM files under ``root``. Safe for use by several threads.

    Args:
        root: the studies folder; it is never written to.

    Raises:
        ValueError: ``root`` is not a folder.
    """

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = Path(root).resolve()
        if not self.root.is_dir():
            raise ValueError(f"{root!s} is not a folder; --studies names a folder of DICOM files")
        self._lock = threading.Lock()
        self._known: dict[Path, tuple[tuple[int, ...], Instance | None]] = {}
        self._instances: dict[tuple[str, str, str], Instance] = {}
        self._images: dict[str, ImageEntry] = {}
        self._names: dict[str, ImageEntry] = {}
        self._begin()

    def _begin(self) -> None:
        self.refresh()

    def refresh(self) -> None:
        """Look again at the folder: new and changed files come in, vanished ones go out."""
        with self._lock:
            skipped: Counter[str] = Counter()
            known: dict[Path, tuple[tuple[int, ...], Instance | None]] = {}
            for path in _files(self.root):
                try:
                    state = _state(path)
                except OSError:
                    continue  # gone since it was listed
                before = self._known.get(path)
                known[path] = before if before and before[0] == state else (state, _read_header(path, skipped))
            if skipped:  # counts only: file names of hospitals carry patients' names
                logger.warning("studies folder: left out %s", ", ".join(f"{n} file(s): {why}" for why, n in skipped.items()))
            changed = known.keys() != self._known.keys() or any(known[p] is not self._known[p] for p in known)
            self._known = known
            if changed:
                self.arrange(i for _, i in known.values() if i is not None)

    def arrange(self, instances: Iterable[Instance]) -> None:
        """Make these the instances of the index."""
        by_uids: dict[tuple[str, str, str], Instance] = {}
        for instance in instances:
            by_uids.setdefault(instance.uids, instance)  # a copy of a file is the same instance
        images = _images(by_uids.values())
        self._instances, self._images, self._names = by_uids, images, _other_names(images)
        logger.info("studies: %d instance(s), %d image(s) for keypoints", len(by_uids), len(images))

    @property
    def images(self) -> dict[str, ImageEntry]:
        """Image id -> what keypoints can be predicted on, in the order of the files."""
        return dict(self._images)

    def find_image(self, name: str) -> ImageEntry | None:
        """The image of that id; or the only one with that series UID, SOP UID, or file name without extension."""
        return self._images.get(name) or self._names.get(name)

    def instance(self, study: str, series: str, sop: str) -> Instance | None:
        """The instance with exactly these three UIDs, or None."""
        return self._instances.get((study, series, sop))

    def instances(self, study: str | None = None, series: str | None = None) -> list[Instance]:
        """Instances of a study, of a series, or all, in order."""
        everything = self._instances.values()
        found = [i for i in everything if study in (None, i.study_uid) and series in (None, i.series_uid)]
        return sorted(found, key=lambda i: (i.study_uid, i.order[0], i.series_uid, i.order[1], i.sop_uid))


def _files(root: Path) -> Iterator[Path]:
    for folder, subfolders, names in os.walk(root):
        subfolders[:] = sorted(s for s in subfolders if not s.startswith("."))
        yield from (Path(folder) / n for n in sorted(names) if not n.startswith(".") and n != "DICOMDIR")


def _state(path: Path) -> tuple[int, ...]:
    """Changes with the file, without opening it: thousands are looked at. A copy may keep its time, but not when it was made."""
    status = path.stat()
    return status.st_mtime_ns, status.st_size, status.st_ctime_ns, status.st_ino


def _read_header(path: Path, skipped: Counter[str]) -> Instance | None:
    """The instance of a file, or None with the reason counted. Files that do not claim to be DICOM are passed over in silence."""
    try:
        instance = Instance.from_file(path)
    except InvalidDicomError:
        return None
    except OSError as error:
        skipped[f"cannot be read ({error.strerror})"] += 1
        return None
    except Exception as error:  # a damaged header may raise almost anything from deep inside
        skipped[f"damaged header ({type(error).__name__})"] += 1
        return None
    if not all(is_uid(uid) for uid in instance.uids):
        skipped["no valid UIDs"] += 1
        return None
    return instance


def _images(instances: Iterable[Instance]) -> dict[str, ImageEntry]:
    images: dict[str, ImageEntry] = {}
    stacks: dict[str, list[Instance]] = {}
    for instance in instances:
        if not instance.number_of_frames or instance.modality not in _KEYPOINT_MODALITIES:
            continue
        if instance.number_of_frames > 1:
            images[instance.sop_uid] = ImageEntry(instance.sop_uid, (instance,))
        else:
            stacks.setdefault(instance.series_uid, []).append(instance)
    for series, members in stacks.items():
        images[series] = ImageEntry(series, tuple(sorted(members, key=lambda i: (i.order[1], i.sop_uid))))
    return images


def _other_names(images: dict[str, ImageEntry]) -> dict[str, ImageEntry]:
    """Names beside the id that mean one image and no other."""
    named: dict[str, set[str]] = {}
    for image in images.values():
        for instance in image.instances:
            for name in instance.names:
                named.setdefault(name, set()).add(image.image_id)
    return {name: images[next(iter(ids))] for name, ids in named.items() if len(ids) == 1}
