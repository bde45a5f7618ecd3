"""A DICOM file opened without its pixels: the header, where the pixels lie, and the refusal of what is not an X-ray cine.

The pixels stay on disk; a frame's bytes are read when it is decoded (PS3.10 file, PS3.5 encodings).
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from pydicom import uid as dicom_uid
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.uid import UID

from monai_tavr.cine import CineError
from monai_tavr.dicom.door import refusing_damage
from monai_tavr.dicom.header import enter_pixel_data, read_header, says_dicom
from monai_tavr.dicom.limits import MOST_FRAMES
from monai_tavr.files import FileStamp

__all__ = ["CINE_CLASSES", "DicomFile", "NotXRayError", "is_dicom", "read_dicom"]

CINE_CLASSES = (
    dicom_uid.XRayAngiographicImageStorage,
    dicom_uid.EnhancedXAImageStorage,
    dicom_uid.XRayRadiofluoroscopicImageStorage,
    dicom_uid.EnhancedXRFImageStorage,
    UID("1.2.840.10008.5.1.4.1.1.12.3"),  # biplane, retired: frames of one plane, as far as any file shows
)
"""SOP classes that hold X-ray cines."""

_CAPTURE_CLASSES = (
    dicom_uid.SecondaryCaptureImageStorage,
    dicom_uid.MultiFrameGrayscaleByteSecondaryCaptureImageStorage,
    dicom_uid.MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
)
_MODALITIES = ("XA", "RF")
_CMS_OID = bytes.fromhex("06092a864886f70d0107")  # PKCS #7, the envelope of a Secure DICOM File (PS3.15 D.1.1)


class NotXRayError(CineError):
    """A sound DICOM file of another kind: a report, a CT slice, a directory."""


@dataclass(frozen=True, eq=False)
class DicomFile:
    """Header and place of the pixels.

    Attributes:
        path: the file.
        dataset: the header, without PixelData.
        syntax: the transfer syntax.
        pixel_vr: value representation of PixelData, "OB" or "OW".
        pixel_start: offset of the first byte of PixelData's value.
        pixel_length: bytes of it, None for encapsulated (undefined length) data.
        stamp: what the file's content was known by when it was opened.
        inflated: the whole data set, in which ``pixel_start`` counts, where the file is deflated, else None.
    """

    path: Path
    dataset: Dataset
    syntax: UID
    pixel_vr: str
    pixel_start: int
    pixel_length: int | None
    stamp: FileStamp
    inflated: bytes | None = None

    def error(self, reason: str) -> CineError:
        """The error to raise about this file."""
        return CineError(self.path, reason)

    def read(self, start: int, length: int) -> bytes:
        """``length`` bytes of the file (or of the inflated data set) from ``start``.

        Raises:
            CineError: the file was changed since it was opened, cannot be read any more, or has fewer bytes.
        """
        if self.inflated is not None:
            data = self.inflated[start : start + length]
        else:
            try:
                with self.path.open("rb") as stream:
                    if FileStamp.of_stream(stream) != self.stamp:
                        raise self.error("the file was changed after it was opened; open it again")
                    stream.seek(start)
                    data = stream.read(length)
            except OSError as error:
                raise self.error(f"cannot be read any more ({error.strerror}); was it moved or deleted?") from error
        if len(data) != length:
            raise self.error("the pixel data end too early: the file is truncated; fetch it again")
        return data

    def value(self, keyword: str, *, frame: int = 0) -> Any:
        """An attribute as it holds for a frame, None where missing or empty.

        Functional groups go first, the frame's own before the shared ones (PS3.3 C.7.6.16), then the dataset itself. Whichever
        group holds an attribute, its name is unique there.
        """
        for groups in self._functional_groups(frame):
            for macro in groups:
                if macro.VR == "SQ" and macro.value and macro.value[0].get(keyword) is not None:
                    return macro.value[0].get(keyword)
        found = self.dataset.get(keyword)
        return None if isinstance(found, str | MultiValue) and len(found) == 0 else found

    def _functional_groups(self, frame: int) -> Iterator[Dataset]:
        own = self.dataset.get("PerFrameFunctionalGroupsSequence")
        if own and frame < len(own):
            yield own[frame]
        shared = self.dataset.get("SharedFunctionalGroupsSequence")
        if shared:
            yield shared[0]

    def numbers(self, keyword: str, *, frame: int = 0) -> tuple[float, ...] | None:
        """The numbers of an attribute, None where it is missing, empty, or not numeric."""
        try:
            raw = self.value(keyword, frame=frame)
            if raw is None:
                return None
            return tuple(float(v) for v in (raw if isinstance(raw, MultiValue | list) else [raw]))
        except (TypeError, ValueError, OverflowError):
            return None

    def number(self, keyword: str, *, frame: int = 0) -> float | None:
        """The first number of an attribute, None where there is none."""
        values = self.numbers(keyword, frame=frame)
        return values[0] if values else None

    def text(self, keyword: str) -> str | None:
        """An attribute as text, None where missing or empty."""
        found = self.value(keyword)
        return None if found is None else str(found)

    def whole(self, keyword: str) -> int | None:
        """An attribute as a whole number, None where missing, empty, or not one."""
        found = self.number(keyword)
        return int(found) if found is not None and found.is_integer() else None

    @property
    def number_of_frames(self) -> int:
        """What the header says; 1 where it says nothing."""
        return self.whole("NumberOfFrames") or 1


def is_dicom(path: Path) -> bool:
    """Whether the file begins as DICOM files do, with a preamble or without."""
    with path.open("rb") as stream:
        return says_dicom(stream)


def read_dicom(path: Path) -> DicomFile:
    """Open an X-ray cine.

    Raises:
        CineError: not DICOM, not an X-ray image, damaged, encrypted, or in a form that no decoder here reads.
    """
    file = _read_header(path)
    with refusing_damage(path, "the DICOM header"):
        _refuse_other_objects(file)
        _refuse_other_pixels(file)
    return file


def _read_header(path: Path) -> DicomFile:
    with refusing_damage(path, "the DICOM header"), path.open("rb") as stream:
        stamp = FileStamp.of_stream(stream)
        if not says_dicom(stream):
            raise CineError(path, _what_else(stream))
        try:
            dataset, pixels = read_header(stream)
        except zlib.error:
            raise CineError(path, "the deflated data are damaged or truncated; fetch the file again") from None
        syntax = UID(dataset.file_meta.TransferSyntaxUID)
        vr, length = enter_pixel_data(pixels, little_endian=syntax.is_little_endian if syntax.is_transfer_syntax else True)
        inflated = pixels.getvalue() if isinstance(pixels, io.BytesIO) else None  # shares its memory
        return DicomFile(path, dataset, syntax, vr, pixels.tell(), length, stamp, inflated)


def _what_else(stream: BinaryIO) -> str:
    """What a file that is not DICOM is."""
    start = stream.read(4096)
    if not start:
        return "the file is empty"
    if start[0] == 0x30 and _CMS_OID in start:
        return "the file is encrypted (a Secure DICOM File); decrypt it first"
    return "neither DICOM nor a picture (PNG, JPEG) nor NIfTI; give an XA or RF file"


def _refuse_other_objects(file: DicomFile) -> None:
    sop_class, modality = UID(file.text("SOPClassUID") or ""), file.text("Modality") or ""
    accepted = sop_class in CINE_CLASSES or (sop_class in _CAPTURE_CLASSES and modality in _MODALITIES)
    if not sop_class and "DirectoryRecordSequence" in file.dataset:
        raise NotXRayError(file.path, "is a DICOMDIR, the index of a disc; open the image files that lie beside it")
    if not sop_class:
        raise file.error("the header has no SOPClassUID: the file is truncated or is not an image")
    if not accepted:
        kind = sop_class.name if sop_class.name != sop_class else f"SOP class {sop_class}"
        raise NotXRayError(
            file.path, f"holds {kind}, modality {modality or 'unknown'}, not X-ray angiography; give an XA or RF image"
        )
    if modality and modality not in _MODALITIES:
        raise file.error(f"modality {modality} in an X-ray image class: the header contradicts itself; give an XA or RF image")
    if file.pixel_vr == "":
        if file.dataset.get("EncryptedAttributesSequence"):
            raise file.error("the pixel data are encrypted (EncryptedAttributesSequence); decrypt the file first")
        raise file.error("there are no pixel data: the file is truncated, or was stored without them; fetch it again")
    if file.pixel_length == 0:
        raise file.error("the pixel data are empty; fetch the file again")


def _refuse_other_pixels(file: DicomFile) -> None:
    for keyword in ("Rows", "Columns", "BitsAllocated", "BitsStored"):
        number = file.whole(keyword)
        if number is None or number < 1:
            raise file.error(f"{keyword} is missing or not a positive number: the header is damaged")
    photometric = file.text("PhotometricInterpretation") or ""
    if (file.whole("SamplesPerPixel") or 1) != 1 or not photometric.startswith("MONOCHROME"):
        raise file.error(
            f"the image is in colour ({photometric or 'no photometric interpretation'}): colour X-ray images are screen captures "
            "with graphics burnt in; give the original grey-level image"
        )
    if photometric not in ("MONOCHROME1", "MONOCHROME2"):
        raise file.error(f"photometric interpretation {photometric} is unknown; it must be MONOCHROME1 or MONOCHROME2")
    allocated, stored = file.whole("BitsAllocated"), file.whole("BitsStored")
    if allocated not in (8, 16) or stored is None or stored > allocated:
        raise file.error(f"{stored} bits stored in {allocated} allocated are not supported; 1 to 16 in 8 or 16 are")
    frames = file.whole("NumberOfFrames") if file.value("NumberOfFrames") is not None else 1
    if frames is None or not 1 <= frames <= MOST_FRAMES:
        raise file.error("NumberOfFrames is not a positive number that a cine can have: the header is damaged")
