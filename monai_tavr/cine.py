"""A cine: the frames of one X-ray angiography run, decoded one by one when asked for, and what is known about them.

Nothing here reads a file: `monai_tavr.dicom.open_cine` builds cines from DICOM, pictures and NIfTI. What is known of a cine goes
by the names that DICOM gives it.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from monai_tavr.label import ImageInfo

__all__ = ["Cine", "CineError", "CineInfo"]

_CACHED_FRAMES = 8  # a 1024 x 1024 frame takes 4 MiB as float32


class CineError(ValueError):
    """A file cannot be read as a cine. The message names the file, the reason and what to do; never the patient.

    Attributes:
        path: the file or folder.
        reason: the message without the path.
    """

    def __init__(self, path: str | os.PathLike[str], reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = Path(path)
        self.reason = reason

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self), (self.path, self.reason))  # data loaders send errors between processes


@dataclass(frozen=True, eq=False, kw_only=True)
class CineInfo:
    """What is known about a cine. None means that the file does not say; nothing is guessed.

    Attributes:
        path: the file, or the folder of single frames.
        rows: H.
        columns: W.
        number_of_frames: F.
        spacing: (x, y) millimetres per pixel in the patient.
        detector_spacing: (x, y) millimetres per pixel at the detector, larger than in the patient by the magnification.
        frame_times: (F,) float64 milliseconds since the first frame.
        primary_angle: degrees of the positioner at the first frame, LAO + / RAO -.
        secondary_angle: degrees of the positioner at the first frame, cranial + / caudal -.
        modality: as in the DICOM header, XA or RF.
        sop_class_uid: as in the DICOM header.
        transfer_syntax_uid: as in the DICOM header.
        photometric_interpretation: as in the DICOM header.
        bits_stored: as in the DICOM header.
        study_instance_uid: DICOM UID of the study.
        series_instance_uid: DICOM UID of the series.
        sop_instance_uid: DICOM UID of the instance; a folder of single frames has none of its own.
        frame_sop_instance_uids: one UID per frame of a folder of single frames, else empty.
        series_number: as in the DICOM header.
        instance_number: as in the DICOM header.
        shutter: (left, top, right, bottom) of the rectangular display shutter: first and last shown column and row, from 0.
        remarks: what whoever looks at the cine should know, as that its window shows nothing.
    """

    path: Path
    rows: int
    columns: int
    number_of_frames: int
    spacing: tuple[float, float] | None = None
    detector_spacing: tuple[float, float] | None = None
    frame_times: np.ndarray | None = None
    primary_angle: float | None = None
    secondary_angle: float | None = None
    modality: str | None = None
    sop_class_uid: str | None = None
    transfer_syntax_uid: str | None = None
    photometric_interpretation: str | None = None
    bits_stored: int | None = None
    study_instance_uid: str | None = None
    series_instance_uid: str | None = None
    sop_instance_uid: str | None = None
    frame_sop_instance_uids: tuple[str, ...] = ()
    series_number: int | None = None
    instance_number: int | None = None
    shutter: tuple[int, int, int, int] | None = None
    remarks: tuple[str, ...] = ()

    @property
    def image_info(self) -> ImageInfo:
        """The part that a label file keeps."""
        return ImageInfo(
            rows=self.rows,
            columns=self.columns,
            number_of_frames=self.number_of_frames,
            spacing=self.spacing,
            sop_instance_uid=self.sop_instance_uid,
            series_instance_uid=self.series_instance_uid,
            study_instance_uid=self.study_instance_uid,
        )


class Cine:
    """The frames of one run. Reading a frame decodes that frame only; the last few stay in memory. Safe between threads.

    Args:
        info: what is known about the frames.
        load: frame index -> (H, W) float32 grey levels, bright is high; raises :class:`CineError`.
    """

    def __init__(self, info: CineInfo, load: Callable[[int], np.ndarray]) -> None:
        self.info = info
        self.load = load
        self._cache: OrderedDict[int, np.ndarray] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return self.info.number_of_frames

    def __repr__(self) -> str:
        i = self.info
        return f"Cine({str(i.path)!r}, {i.number_of_frames} frames of {i.rows} x {i.columns})"

    def __getstate__(self) -> dict[str, Any]:
        return {"info": self.info, "load": self.load}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["info"], state["load"])  # type: ignore[misc]

    def frame(self, index: int) -> np.ndarray:
        """One frame (H, W) of float32 grey levels, a copy of the caller's own.

        Raises:
            IndexError: there is no such frame; frames count from 0.
            CineError: the frame's data are damaged.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"{self.info.path}: there is no frame {index}; frames are 0 to {len(self) - 1}")
        with self._lock:
            if index not in self._cache:
                self._cache[index] = self.load(index)
                if len(self._cache) > _CACHED_FRAMES:
                    self._cache.popitem(last=False)
            self._cache.move_to_end(index)
            return self._cache[index].copy()

    def frames(self, indices: Iterable[int] | None = None) -> np.ndarray:
        """The chosen frames, in the order asked for, or all of them: (F, H, W) float32 grey levels."""
        chosen = range(len(self)) if indices is None else list(indices)
        out = np.empty((len(chosen), self.info.rows, self.info.columns), np.float32)
        for position, index in enumerate(chosen):
            out[position] = self.frame(index)
        return out
