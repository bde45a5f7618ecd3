"""Open X-ray angiography: DICOM XA and RF, plain and Enhanced, folders of single frames, PNG, JPEG and NIfTI.

`open_cine` gives a :class:`Cine` whose frames are grey levels with dark low and bright high, after modality LUT, VOI LUT or
window, and MONOCHROME1. It opens a file or refuses it with a :class:`CineError` that says why; it never returns a wrong picture.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from monai_tavr.cine import Cine, CineError, CineInfo
from monai_tavr.dicom.door import refusing_damage
from monai_tavr.dicom.file import DicomFile, NotXRayError, is_dicom, read_dicom
from monai_tavr.dicom.frames import FrameDecoder
from monai_tavr.dicom.geometry import cine_info
from monai_tavr.dicom.grey_scale import GreyScale
from monai_tavr.dicom.pictures import PICTURE_SUFFIXES, is_nifti, is_picture, open_nifti, open_pictures

__all__ = ["DicomFrames", "find_cines", "open_cine", "open_series"]

_LOGGER = logging.getLogger(__name__)


def open_cine(path: str | os.PathLike[str], *, voi: bool = True) -> Cine:
    """Open a file, or a folder that holds the single frames of one series.

    Args:
        path: DICOM XA, RF, Enhanced XA or XRF, PNG, JPEG, NIfTI, or a folder: of single-frame DICOM files, put in order by
            InstanceNumber; with one cine; or, without DICOM, of pictures of one size, put in order by name.
        voi: apply the VOI LUT or window, as a viewer would. Without it the grey levels are those of the modality.

    Raises:
        CineError: names the file, the reason, and what to do.
    """
    path = Path(path)
    if path.is_dir():
        return _open_folder(path, voi)
    if not path.is_file():
        raise CineError(path, "there is no such file or folder")
    try:
        kind = "picture" if is_picture(path) else "nifti" if is_nifti(path) and not is_dicom(path) else "dicom"
    except OSError as error:
        raise CineError(path, f"cannot be read ({error.strerror or error})") from error
    if kind == "picture":
        return open_pictures([path], path=path)
    if kind == "nifti":
        return open_nifti(path)
    return _dicom_cine(read_dicom(path), voi)


def open_series(paths: Sequence[str | os.PathLike[str]], *, voi: bool = True) -> Cine:
    """Open one file, or single-frame DICOM files as one cine in the given order; they may share their folder with others.

    Args:
        paths: the files.
        voi: as in :func:`open_cine`.

    Raises:
        CineError: a file cannot be read, the files differ in size, or one of several is a cine by itself.
    """
    if len(paths) == 1:
        return open_cine(paths[0], voi=voi)
    files = [read_dicom(Path(path)) for path in paths]
    return _series_cine(files[0].path.parent, files, voi)


def find_cines(paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> list[Path]:
    """Everything below the given folders that `open_cine` takes: sorted, each once.

    A folder whose DICOM files are the single frames of one series stands for its files. Other DICOM objects (reports, CT) are
    left out, and so are files of other kinds; damaged X-ray files stay in, so that opening them tells. A path that is no folder
    is returned as it is.
    """
    given = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    found: set[Path] = set()
    for path in map(Path, given):
        if not path.is_dir():
            found.add(path)
            continue
        for folder in (path, *(p for p in path.rglob("*") if p.is_dir() and not _is_hidden(p, path))):
            found.update(_cines_of_folder(folder))
    return sorted(found)


def _is_hidden(path: Path, root: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(root).parts)


def _files_of(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.is_file() and not p.name.startswith("."))


def _cines_of_folder(folder: Path) -> list[Path]:
    files = _files_of(folder)
    pictures = [p for p in files if p.suffix.lower() in PICTURE_SUFFIXES or is_nifti(p)]
    found = _sort_dicom(files)
    good = [file for file in found.values() if file is not None]
    is_series = len(good) > 1 and len(good) == len(found) and len({_series(f) for f in good}) == 1
    if is_series and all(_is_single_frame(f) for f in good):
        return [folder, *pictures]
    return [*found, *pictures]


def _sort_dicom(files: Iterable[Path]) -> dict[Path, DicomFile | None]:
    """X-ray files, opened; None for a damaged one. Other DICOM objects are left out, with a line in the log."""
    found: dict[Path, DicomFile | None] = {}
    for path in files:
        try:
            if is_dicom(path):
                found[path] = read_dicom(path)
        except NotXRayError as error:
            _LOGGER.info("left out: %s", error)
        except (CineError, OSError):
            found[path] = None  # opening it again will say why
    return found


def _series(file: DicomFile) -> str:
    return file.text("SeriesInstanceUID") or "no SeriesInstanceUID"


def _is_single_frame(file: DicomFile) -> bool:
    return file.number_of_frames == 1


def _open_folder(folder: Path, voi: bool) -> Cine:
    found = _sort_dicom(_files_of(folder))
    files = [file or read_dicom(path) for path, file in found.items()]  # a damaged one is an error here
    if not files:
        pictures = [p for p in _files_of(folder) if p.suffix.lower() in PICTURE_SUFFIXES]
        if not pictures:
            raise CineError(folder, "the folder holds no X-ray frames; give a folder of DICOM, PNG or JPEG files")
        return open_pictures(sorted(pictures, key=_natural_order), path=folder)
    if len(files) == 1:
        return _dicom_cine(files[0], voi)
    series: dict[str, list[DicomFile]] = {}
    for file in files:
        series.setdefault(_series(file), []).append(file)
    if len(series) > 1:
        listed = "; ".join(f"{uid} ({len(members)} file(s), {members[0].path.name} ...)" for uid, members in series.items())
        raise CineError(folder, f"the folder mixes {len(series)} series: {listed}; put each into a folder of its own")
    numbers = [file.whole("InstanceNumber") for file in files]
    if all(map(_is_single_frame, files)) and (None in numbers or len(set(numbers)) != len(numbers)):
        raise CineError(
            folder, "InstanceNumber is missing or not unique, so the order of the frames is unknown; export them again"
        )
    return _series_cine(folder, sorted(files, key=lambda file: file.whole("InstanceNumber") or 0), voi)


def _natural_order(path: Path) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", path.name.lower())]


def _series_cine(folder: Path, files: list[DicomFile], voi: bool) -> Cine:
    """Single frames of one series in their order."""
    cines = sum(not _is_single_frame(file) for file in files)
    if cines:
        raise CineError(folder, f"of several files, {cines} of {len(files)} are cines by themselves; open one of them")
    frames = DicomFrames(files, voi)
    infos = [_info(file) for file in files]
    first = infos[0]
    for frame, info in enumerate(infos):
        if (info.rows, info.columns) != (first.rows, first.columns):
            raise CineError(
                folder,
                f"frame 0 has {first.rows} x {first.columns} pixels and frame {frame} {info.rows} x {info.columns}; files that "
                "differ in size are no frames of one cine",
            )
    step = files[0].number("FrameTime")
    info = replace(
        first,
        path=folder,
        number_of_frames=len(files),
        frame_times=np.arange(len(files)) * step if step and step > 0 else None,
        sop_instance_uid=None,
        frame_sop_instance_uids=tuple(i.sop_instance_uid or "" for i in infos),
        instance_number=None,
        remarks=frames.remarks,
    )
    return Cine(info, frames)


def _dicom_cine(file: DicomFile, voi: bool) -> Cine:
    frames = DicomFrames([file], voi)  # proves that the pixels are there, before anything is made for each frame
    return Cine(replace(_info(file), remarks=frames.remarks), frames)


def _info(file: DicomFile) -> CineInfo:
    with refusing_damage(file.path, "the DICOM header"):
        return cine_info(file)


class DicomFrames:
    """Frame index -> (H, W) float32, from one multi-frame file or from several single-frame files."""

    def __init__(self, files: list[DicomFile], voi: bool) -> None:
        self._files, self._voi = files, voi
        self._grey: dict[tuple[int, int], GreyScale] = {}
        self._decoders = []
        for file in files:
            with refusing_damage(file.path, "the DICOM header"):
                self._decoders.append(FrameDecoder(file))

    def __call__(self, index: int) -> np.ndarray:
        places, table = self.tabled(index)
        return table.take(places)

    @property
    def remarks(self) -> tuple[str, ...]:
        """What is to be said of the first frame's grey scale."""
        with refusing_damage(self._files[0].path, "the DICOM header"):
            remark = self._grey_scale(0, 0).remark if self._voi else None
        return () if remark is None else (remark,)

    def tabled(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """A frame as places (H, W), uint8 or uint16, in a table (2^bits,) of float32 grey levels: a quarter of the bytes.

        Raises:
            CineError: the frame's data are damaged.
        """
        which, frame = (index, 0) if len(self._files) > 1 else (0, index)
        with refusing_damage(self._files[which].path, f"frame {frame}"):
            stored = self._decoders[which](frame)
            grey = self._grey_scale(which, frame)
            return grey.places(stored), grey.table(voi=self._voi)

    def _grey_scale(self, which: int, frame: int) -> GreyScale:
        file = self._files[which]
        varies = "PerFrameFunctionalGroupsSequence" in file.dataset
        key = (which, frame if varies else 0)
        if key not in self._grey:
            try:
                self._grey[key] = GreyScale.from_dicom(
                    lambda keyword: file.value(keyword, frame=frame), little_endian=file.syntax.is_little_endian
                )
            except ValueError as error:
                raise file.error(f"the grey scale is not valid: {error}") from error
        return self._grey[key]
