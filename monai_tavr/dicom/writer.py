"""Write an X-ray angiography cine as a DICOM XA Image Storage file, in any of the transfer syntaxes that archives use.

The phantom's cines and the tests' files are made here. The file holds the modules of PS3.3 A.14 (XA Image IOD) with every
mandatory attribute, so that `dciodvfy` finds no error in it. The same frames and header give the same bytes again: no clock, no
random UID.
"""

from __future__ import annotations

import hashlib
import io
import math
import os
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import gdcm
import numpy as np
from PIL import Image
from pydicom import uid as dicom_uid
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.pixels import get_encoder
from pydicom.tag import Tag
from pydicom.uid import UID

from monai_tavr.files import replacing
from monai_tavr.uids import CINE, derived_uid, uid_of

__all__ = ["SYNTAXES", "XAHeader", "write_xa"]

SYNTAXES = MappingProxyType(
    {
        "explicit-le": dicom_uid.ExplicitVRLittleEndian,
        "implicit-le": dicom_uid.ImplicitVRLittleEndian,
        "explicit-be": dicom_uid.ExplicitVRBigEndian,
        "deflated": dicom_uid.DeflatedExplicitVRLittleEndian,
        "rle": dicom_uid.RLELossless,
        "jpeg-lossless": dicom_uid.JPEGLossless,
        "jpeg-lossless-sv1": dicom_uid.JPEGLosslessSV1,
        "jpeg-ls": dicom_uid.JPEGLSLossless,
        "jpeg-ls-near": dicom_uid.JPEGLSNearLossless,
        "jpeg2000-lossless": dicom_uid.JPEG2000Lossless,
        "jpeg2000": dicom_uid.JPEG2000,
        "jpeg-baseline": dicom_uid.JPEGBaseline8Bit,
    }
)
"""Name of a transfer syntax -> its UID. ``jpeg-ls-near``, ``jpeg2000`` and ``jpeg-baseline`` are lossy."""

_LOSSY_METHODS = {
    dicom_uid.JPEGLSNearLossless: "ISO_14495_1",
    dicom_uid.JPEG2000: "ISO_15444_1",
    dicom_uid.JPEGBaseline8Bit: "ISO_10918_1",
}
# named, because pydicom would take gdcm for RLE, which aborts the process on frames of an odd number of bytes
_ENCODERS = {
    dicom_uid.RLELossless: "pylibjpeg",
    dicom_uid.JPEGLSLossless: "pyjpegls",
    dicom_uid.JPEGLSNearLossless: "pyjpegls",
    dicom_uid.JPEG2000Lossless: "pylibjpeg",
    dicom_uid.JPEG2000: "pylibjpeg",
}
_NEAR = 2  # largest grey-level error of JPEG-LS near-lossless
_PSNR = 50  # dB, of lossy JPEG 2000
_JPEG_QUALITY = 95
_BITS_STORED = (8, 10, 12, 16)  # PS3.3 C.8.7.1: the only values of an XA image
_IMPLEMENTATION_UID = UID(uid_of(CINE))
_IMPLEMENTATION_VERSION = "MONAI_TAVR"


@dataclass(frozen=True, kw_only=True)
class XAHeader:
    """What a cine says of its patient, its study and its geometry. The defaults name nobody and are valid.

    UIDs that are None follow from the rest: the study's from the patient and the study's date and time, the series' from the
    study and the series number, the instance's from the series, the instance number and the grey levels.

    Attributes:
        patient_id, patient_name, patient_sex, patient_birth_date: the Patient module; sex is "M", "F", "O" or "".
        study_uid, series_uid, sop_uid: UIDs, or None to derive them.
        study_id, accession_number, study_description, series_description, referring_physician: free text.
        study_date, study_time: "YYYYMMDD" and "HHMMSS[.ffffff]".
        series_number, instance_number: 1-based numbers.
        primary_angle, secondary_angle: degrees of the positioner, LAO + / RAO - and cranial + / caudal -; None leaves them empty.
        imager_spacing: millimetres between pixel centres AT THE DETECTOR, as (x, y) or one number for both; None leaves it out.
        source_detector_mm, source_patient_mm: distances from the X-ray source, whose ratio is the magnification, or None.
        frame_time_ms: time from one frame to the next.
        kvp, tube_current_ma, exposure_time_ms: the exposure of a frame.
        contrast_agent: text when contrast was given, "" for none.
        intensity_relationship: how grey level follows X-ray intensity: "LIN", "LOG" or "DISP" (made for display).
        window: (centre, width) of the VOI window, None for the whole range of the stored bits.
        manufacturer, model_name, software_versions, station_name, institution_name: the equipment.
    """

    patient_id: str = "ANONYMOUS"
    patient_name: str = "ANONYMOUS"
    patient_sex: str = ""
    patient_birth_date: str = ""
    study_uid: str | None = None
    series_uid: str | None = None
    sop_uid: str | None = None
    study_id: str = "1"
    accession_number: str = ""
    study_description: str = ""
    series_description: str = ""
    referring_physician: str = ""
    study_date: str = "20260101"
    study_time: str = "120000"
    series_number: int = 1
    instance_number: int = 1
    primary_angle: float | None = 0.0
    secondary_angle: float | None = 0.0
    imager_spacing: float | tuple[float, float] | None = None
    source_detector_mm: float | None = None
    source_patient_mm: float | None = None
    frame_time_ms: float = 66.667
    kvp: float = 80.0
    tube_current_ma: float = 500.0
    exposure_time_ms: float = 8.0
    contrast_agent: str = ""
    intensity_relationship: str = "DISP"
    window: tuple[float, float] | None = None
    manufacturer: str = "monai-tavr"
    model_name: str = "phantom"
    software_versions: str = "1"
    station_name: str = ""
    institution_name: str = ""


def write_xa(
    path: str | os.PathLike[str],
    frames: np.ndarray,
    *,
    header: XAHeader | None = None,
    syntax: str = "explicit-le",
    bits_stored: int = 8,
) -> None:
    """Write a cine; the file appears complete under its name, or not at all.

    Args:
        path: the file to write; its folder is made.
        frames: (F, H, W) grey levels, uint8 for 8 bits stored and uint16 above; dark is low (MONOCHROME2).
        header: everything else; None for the defaults. The UIDs do not depend on the syntax.
        syntax: a name of :data:`SYNTAXES`.
        bits_stored: 8, 10, 12 or 16.

    Raises:
        ValueError: frames, bits and syntax do not fit together; says what was given and what fits.
    """
    frames = _checked(frames, syntax, bits_stored)
    header = header or XAHeader()
    dataset = _dataset(frames, header, bits_stored)
    _put_pixels(dataset, frames, SYNTAXES[syntax], bits_stored)
    _save_atomically(Path(path), dataset, SYNTAXES[syntax])


def _checked(frames: np.ndarray, syntax: str, bits_stored: int) -> np.ndarray:
    if syntax not in SYNTAXES:
        raise ValueError(f"unknown syntax {syntax!r}; choose one of {list(SYNTAXES)}")
    if bits_stored not in _BITS_STORED:
        raise ValueError(f"bits_stored must be one of {list(_BITS_STORED)} in an XA image, got {bits_stored!r}")
    if SYNTAXES[syntax] == dicom_uid.JPEGBaseline8Bit and bits_stored != 8:
        raise ValueError(f"syntax 'jpeg-baseline' holds 8 bits, not {bits_stored}; use 'jpeg2000' or a lossless syntax")
    dtype = np.uint8 if bits_stored == 8 else np.uint16
    if not isinstance(frames, np.ndarray) or frames.ndim != 3 or 0 in frames.shape or max(frames.shape[1:]) > 65535:
        raise ValueError(f"frames must be an array (F, H, W) of at least one pixel, got shape {np.shape(frames)}")
    if frames.dtype.newbyteorder("=") != dtype:
        raise ValueError(f"frames of {bits_stored} bits must be {np.dtype(dtype).name}, got {frames.dtype.name}")
    if int(frames.max()) >= 1 << bits_stored:
        raise ValueError(f"grey level {int(frames.max())} does not fit into {bits_stored} bits; scale the frames first")
    return np.ascontiguousarray(frames, dtype)


def _dataset(frames: np.ndarray, header: XAHeader, bits_stored: int) -> Dataset:
    """The file's attributes, all but the pixels."""
    study = header.study_uid or _uid("study", header.patient_id, header.study_date, header.study_time, header.study_id)
    series = header.series_uid or _uid("series", study, str(header.series_number))
    pixels = hashlib.sha256(frames.tobytes()).hexdigest()
    sop = header.sop_uid or _uid("instance", series, str(header.instance_number), str(frames.shape), pixels)
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.ImageType = ["ORIGINAL", "PRIMARY", "SINGLE PLANE"]
    ds.SOPClassUID, ds.SOPInstanceUID = dicom_uid.XRayAngiographicImageStorage, sop
    ds.StudyInstanceUID, ds.SeriesInstanceUID = study, series
    ds.StudyDate = ds.SeriesDate = ds.AcquisitionDate = ds.ContentDate = header.study_date
    ds.StudyTime = ds.SeriesTime = ds.AcquisitionTime = ds.ContentTime = header.study_time
    ds.AccessionNumber, ds.StudyID, ds.Modality = header.accession_number, header.study_id, "XA"
    ds.ReferringPhysicianName = header.referring_physician
    ds.PatientName, ds.PatientID = header.patient_name, header.patient_id
    ds.PatientBirthDate, ds.PatientSex = header.patient_birth_date, header.patient_sex
    ds.SeriesNumber, ds.InstanceNumber, ds.AcquisitionNumber = header.series_number, header.instance_number, header.series_number
    ds.PatientOrientation = None
    ds.Manufacturer, ds.ManufacturerModelName = header.manufacturer, header.model_name
    ds.SoftwareVersions, ds.DeviceSerialNumber = header.software_versions, "1"
    optional = {
        "StudyDescription": header.study_description,
        "SeriesDescription": header.series_description,
        "StationName": header.station_name,
        "InstitutionName": header.institution_name,
        "ContrastBolusAgent": header.contrast_agent,
    }
    for keyword, text in optional.items():
        if text:
            setattr(ds, keyword, text)
    _put_acquisition(ds, header)
    _put_image(ds, frames, header, bits_stored)
    return ds


def _uid(*sources: str) -> UID:
    """A UID that follows from the sources alone."""
    return UID(derived_uid(CINE, chr(0).join(sources)))


def _put_acquisition(ds: Dataset, header: XAHeader) -> None:
    """Modules X-Ray Acquisition (C.8.7.2), Positioner (C.8.7.5), DX-like detector spacing, Cine (C.7.6.5)."""
    ds.KVP = _decimal(header.kvp)
    ds.RadiationSetting = "GR"
    ds.XRayTubeCurrent, ds.ExposureTime = round(header.tube_current_ma), round(header.exposure_time_ms)
    ds.Exposure = round(header.tube_current_ma * header.exposure_time_ms / 1000)
    ds.BodyPartExamined = "HEART"
    ds.PositionerMotion = "STATIC"
    ds.PositionerPrimaryAngle = None if header.primary_angle is None else _decimal(header.primary_angle)
    ds.PositionerSecondaryAngle = None if header.secondary_angle is None else _decimal(header.secondary_angle)
    if header.imager_spacing is not None:
        x, y = header.imager_spacing if isinstance(header.imager_spacing, tuple) else (header.imager_spacing,) * 2
        ds.ImagerPixelSpacing = [_decimal(y), _decimal(x)]  # DICOM: between rows first
    if header.source_detector_mm is not None:
        ds.DistanceSourceToDetector = _decimal(header.source_detector_mm)
    if header.source_patient_mm is not None:
        ds.DistanceSourceToPatient = _decimal(header.source_patient_mm)
    if header.source_detector_mm is not None and header.source_patient_mm is not None:
        ds.EstimatedRadiographicMagnificationFactor = _decimal(header.source_detector_mm / header.source_patient_mm)
    ds.FrameTime = _decimal(header.frame_time_ms)
    ds.FrameIncrementPointer = Tag("FrameTime")
    ds.CineRate = ds.RecommendedDisplayFrameRate = max(1, round(1000 / header.frame_time_ms))


def _decimal(value: float) -> str:
    """A decimal string (DS) of at most 16 characters."""
    if not math.isfinite(value):
        raise ValueError(f"the header holds {value!r}; give a finite number or None")
    return f"{value:.9g}"


def _put_image(ds: Dataset, frames: np.ndarray, header: XAHeader, bits_stored: int) -> None:
    """Modules Image Pixel, Multi-frame, X-Ray Image (C.8.7.1) and VOI LUT."""
    count, rows, columns = frames.shape
    ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PixelRepresentation = 1, "MONOCHROME2", 0
    ds.NumberOfFrames, ds.Rows, ds.Columns = count, rows, columns
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 8 * frames.itemsize, bits_stored, bits_stored - 1
    ds.PixelIntensityRelationship = header.intensity_relationship
    center, width = header.window or (2.0 ** (bits_stored - 1), 2.0**bits_stored)
    ds.WindowCenter, ds.WindowWidth = _decimal(center), _decimal(width)
    ds.LossyImageCompression = "00"


def _put_pixels(ds: Dataset, frames: np.ndarray, syntax: UID, bits_stored: int) -> None:
    if not syntax.is_encapsulated:
        raw = (frames.astype(frames.dtype.newbyteorder(">")) if not syntax.is_little_endian else frames).tobytes()
        ds.PixelData = raw + b"\0" * (len(raw) % 2)
        ds["PixelData"].VR = "OB" if frames.itemsize == 1 and not syntax.is_implicit_VR else "OW"
        return
    encoded = [_encode(frame, syntax, bits_stored) for frame in frames]
    ds.PixelData = encapsulate(encoded, has_bot=True)
    ds["PixelData"].VR = "OB"
    ds["PixelData"].is_undefined_length = True
    if syntax in _LOSSY_METHODS:
        ds.LossyImageCompression = "01"
        ds.LossyImageCompressionMethod = _LOSSY_METHODS[syntax]
        ds.LossyImageCompressionRatio = f"{frames.nbytes / sum(len(e) for e in encoded):.2f}"


def _encode(frame: np.ndarray, syntax: UID, bits_stored: int) -> bytes:
    """One frame (H, W) as a code stream."""
    if syntax == dicom_uid.JPEGBaseline8Bit:
        stream = io.BytesIO()
        Image.fromarray(frame).save(stream, "JPEG", quality=_JPEG_QUALITY)
        return stream.getvalue()
    if syntax in (dicom_uid.JPEGLossless, dicom_uid.JPEGLosslessSV1):
        return _encode_with_gdcm(frame, syntax, bits_stored)
    options: dict[str, Any] = {}
    if syntax == dicom_uid.JPEGLSNearLossless:
        options["jls_error"] = _NEAR
    elif syntax == dicom_uid.JPEG2000:
        options["j2k_psnr"] = [_PSNR]
    try:
        return get_encoder(syntax).encode(
            frame,
            encoding_plugin=_ENCODERS[syntax],
            rows=frame.shape[0],
            columns=frame.shape[1],
            samples_per_pixel=1,
            number_of_frames=1,
            bits_allocated=8 * frame.itemsize,
            bits_stored=bits_stored,
            pixel_representation=0,
            photometric_interpretation="MONOCHROME2",
            **options,
        )
    except RuntimeError as error:  # JPEG 2000 encoders want 32 pixels a side
        raise ValueError(f"a frame of shape {frame.shape} cannot be encoded as {syntax.name}; use another syntax") from error


def _encode_with_gdcm(frame: np.ndarray, syntax: UID, bits_stored: int) -> bytes:
    """JPEG Lossless, which pydicom does not encode; both processes get predictor 1."""
    writer = gdcm.ImageWriter()  # owns the image: an image made alone is destroyed too early by gdcm's bindings
    image = writer.GetImage()
    image.SetNumberOfDimensions(2)
    image.SetDimensions((frame.shape[1], frame.shape[0], 1))
    image.SetPixelFormat(gdcm.PixelFormat(1, 8 * frame.itemsize, bits_stored, bits_stored - 1, 0))
    image.SetPhotometricInterpretation(gdcm.PhotometricInterpretation(gdcm.PhotometricInterpretation.MONOCHROME2))
    image.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.ExplicitVRLittleEndian))
    pixels = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
    pixels.SetByteStringValue(frame.tobytes())
    image.SetDataElement(pixels)
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.GetTSType(syntax)))
    change.SetInput(image)
    fragments = change.GetOutput().GetDataElement().GetSequenceOfFragments() if change.Change() else None
    if fragments is None or fragments.GetNumberOfFragments() != 1:
        # gdcm wants an even number of bytes
        raise ValueError(
            f"a frame of shape {frame.shape} cannot be encoded as {syntax.name}; make a side even, or use another syntax"
        )
    return fragments.GetFragment(0).GetByteValue().GetBuffer().encode("utf-8", "surrogateescape")


def _save_atomically(path: Path, dataset: Dataset, syntax: UID) -> None:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = dataset.SOPClassUID, dataset.SOPInstanceUID
    meta.TransferSyntaxUID = syntax
    meta.ImplementationClassUID, meta.ImplementationVersionName = _IMPLEMENTATION_UID, _IMPLEMENTATION_VERSION
    dataset.file_meta, dataset.preamble = meta, b"\0" * 128
    with replacing(path) as stream:
        dataset.save_as(stream, enforce_file_format=True)
