"""Where and when the frames of a DICOM cine were taken: pixel spacing in the patient, frame times, positioner angles, shutter.

What the file does not say stays None: millimetres are never invented (PS3.3 10.7, C.7.6.5, C.8.7.4, C.8.7.5, C.7.6.11, C.8.19).
"""

from __future__ import annotations

import math
from datetime import datetime

import numpy as np
from pydicom.multival import MultiValue
from pydicom.tag import Tag
from pydicom.valuerep import DT

from monai_tavr.cine import CineInfo
from monai_tavr.dicom.file import DicomFile

__all__ = ["cine_info"]


def cine_info(file: DicomFile) -> CineInfo:
    """Everything the header says that this project uses."""
    count = file.number_of_frames
    detector = _spacing(file, "ImagerPixelSpacing")
    return CineInfo(
        path=file.path,
        rows=int(file.dataset.Rows),
        columns=int(file.dataset.Columns),
        number_of_frames=count,
        spacing=_patient_spacing(file, detector),
        detector_spacing=detector,
        frame_times=_frame_times(file, count),
        primary_angle=file.number("PositionerPrimaryAngle"),
        secondary_angle=file.number("PositionerSecondaryAngle"),
        modality=file.text("Modality"),
        sop_class_uid=file.text("SOPClassUID"),
        transfer_syntax_uid=str(file.syntax),
        photometric_interpretation=file.text("PhotometricInterpretation"),
        bits_stored=file.whole("BitsStored"),
        study_instance_uid=file.text("StudyInstanceUID"),
        series_instance_uid=file.text("SeriesInstanceUID"),
        sop_instance_uid=file.text("SOPInstanceUID"),
        series_number=file.whole("SeriesNumber"),
        instance_number=file.whole("InstanceNumber"),
        shutter=_shutter(file),
    )


def _spacing(file: DicomFile, keyword: str) -> tuple[float, float] | None:
    """An attribute that holds (between rows, between columns) as (x, y)."""
    values = file.numbers(keyword)
    if values is None or len(values) != 2 or not all(math.isfinite(v) and v > 0 for v in values):
        return None
    return values[1], values[0]


def _patient_spacing(file: DicomFile, detector: tuple[float, float] | None) -> tuple[float, float] | None:
    calibrated = _spacing(file, "ObjectPixelSpacingInCenterOfBeam") or _spacing(file, "PixelSpacing")
    # PixelSpacing that repeats ImagerPixelSpacing and names no calibration is the detector's (PS3.3 10.7.1.3)
    if calibrated and (calibrated != detector or file.text("PixelSpacingCalibrationType")):
        return calibrated
    magnification = _magnification(file)
    if detector is None or magnification is None:
        return None
    return detector[0] / magnification, detector[1] / magnification


def _magnification(file: DicomFile) -> float | None:
    """How much larger the object is at the detector than in the patient; None when unknown or impossible."""
    to_detector = file.number("DistanceSourceToDetector")
    to_patient = file.number("DistanceSourceToPatient") or file.number("DistanceSourceToIsocenter")
    if to_detector and to_patient and to_patient > 0:
        magnification: float | None = to_detector / to_patient
    else:
        magnification = file.number("EstimatedRadiographicMagnificationFactor")
    return magnification if magnification is not None and 1 <= magnification < math.inf else None


def _frame_times(file: DicomFile, count: int) -> np.ndarray | None:
    """(F,) milliseconds since the first frame."""
    vector, step = file.numbers("FrameTimeVector"), file.number("FrameTime")
    pointer = file.value("FrameIncrementPointer")
    by_vector = pointer is not None and Tag("FrameTimeVector") in (pointer if isinstance(pointer, MultiValue) else [pointer])
    if vector and len(vector) == count and (by_vector or not step):
        times = np.cumsum(vector)
        return times - times[0]
    moments = _frame_moments(file, count)
    if moments is not None:
        return moments
    if not step or step <= 0:
        rate = file.number("CineRate")
        step = 1000.0 / rate if rate and rate > 0 else None
    if step is None or not math.isfinite(step):
        return np.zeros(1) if count == 1 else None
    return np.arange(count) * step


def _frame_moments(file: DicomFile, count: int) -> np.ndarray | None:
    """Times from the frames' own date and time (Enhanced XA, Frame Content macro)."""
    if count < 2 or not file.dataset.get("PerFrameFunctionalGroupsSequence"):
        return None
    moments: list[datetime] = []
    for frame in range(count):
        text = file.value("FrameReferenceDateTime", frame=frame) or file.value("FrameAcquisitionDateTime", frame=frame)
        try:
            moments.append(DT(str(text)))
        except (TypeError, ValueError):
            return None
    times = np.array([(m - moments[0]).total_seconds() * 1000.0 for m in moments])
    return times if (np.diff(times) > 0).all() else None


def _shutter(file: DicomFile) -> tuple[int, int, int, int] | None:
    """The rectangular shutter; DICOM counts columns and rows from 1 and names the first hidden ones' neighbours."""
    if "RECTANGULAR" not in str(file.value("ShutterShape") or ""):
        return None
    keywords = ("ShutterLeftVerticalEdge", "ShutterUpperHorizontalEdge", "ShutterRightVerticalEdge", "ShutterLowerHorizontalEdge")
    edges = [file.whole(keyword) for keyword in keywords]
    if None in edges:
        return None
    columns, rows = int(file.dataset.Columns), int(file.dataset.Rows)
    left, top, right, bottom = (int(edge or 0) for edge in edges)
    left, top, right, bottom = max(left, 1) - 1, max(top, 1) - 1, min(right, columns) - 1, min(bottom, rows) - 1
    return (left, top, right, bottom) if left <= right and top <= bottom else None
