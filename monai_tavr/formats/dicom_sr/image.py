"""The labelled image in a report: which files it is, and how a frame of it is referred to.

The image library (TID 1600) lists the files in the order of their frames, with the size that readers of labels want to know.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from highdicom.sr import (
    ContainerContentItem,
    ContentItem,
    ContentSequence,
    ImageContentItem,
    NumContentItem,
    RelationshipTypeValues,
)
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from monai_tavr.cine import CineInfo
from monai_tavr.dicom.header import read_header
from monai_tavr.formats.dicom_sr import codes as sr_codes
from monai_tavr.formats.dicom_sr.codes import children, number_of
from monai_tavr.label import ImageInfo

__all__ = ["FrameImage", "frame_images", "frame_of", "image_from_library", "image_headers", "image_to_library"]


@dataclass(frozen=True)
class FrameImage:
    """How a report refers to one frame of a cine: ``number`` counts from 1, and is None in a file of one frame."""

    sop_class_uid: str
    sop_uid: str
    number: int | None = None

    @property
    def numbers(self) -> list[int] | None:
        """As highdicom and DICOM want them."""
        return None if self.number is None else [self.number]


def frame_of(item: Dataset) -> FrameImage:
    """The frame that an image item of a report refers to."""
    reference = item.ReferencedSOPSequence[0]
    number = reference.get("ReferencedFrameNumber")
    return FrameImage(
        str(reference.ReferencedSOPClassUID), str(reference.ReferencedSOPInstanceUID), None if number is None else int(number)
    )


def image_headers(image: CineInfo) -> list[Dataset]:
    """Header of the labelled file, or of each single-frame file of a folder in the order of the frames.

    Raises:
        ValueError: the image is no DICOM.
    """
    files = sorted(p for p in image.path.iterdir() if p.is_file()) if image.path.is_dir() else [image.path]
    headers: dict[str, Dataset] = {}
    for file in files:
        try:
            with file.open("rb") as stream:
                header, _ = read_header(stream)
        except InvalidDicomError:
            continue  # what else lies in the folder
        headers[str(header.get("SOPInstanceUID"))] = header
    wanted = image.frame_sop_instance_uids or (image.sop_instance_uid,)
    if not headers or not all(uid in headers for uid in wanted):
        raise ValueError(f"{image.path}: a structured report refers to DICOM images, and this is none")
    return [headers[str(uid)] for uid in wanted]


def frame_images(label_image: ImageInfo, images: Sequence[Dataset]) -> list[FrameImage]:
    """How to refer to each frame of the cine.

    Raises:
        ValueError: these headers are not those of the labelled image.
    """
    if len(images) == 1 and label_image.sop_instance_uid not in (None, str(images[0].SOPInstanceUID)):
        raise ValueError(f"the label is of the instance {label_image.sop_instance_uid}, not {images[0].SOPInstanceUID}")
    for image in images:
        size = int(image.get("Rows") or 0), int(image.get("Columns") or 0)
        if size != (label_image.rows, label_image.columns):
            raise ValueError(f"the label is of an image of {label_image.rows} rows, {label_image.columns} columns; got {size}")
    counts = [int(image.get("NumberOfFrames") or 1) for image in images]
    if sum(counts) != label_image.number_of_frames or (len(counts) > 1 and max(counts) > 1):
        raise ValueError(f"the label is of {label_image.number_of_frames} frame(s); the image files have {counts}")
    if len(images) == 1 and counts[0] > 1:
        only = images[0]
        return [FrameImage(str(only.SOPClassUID), str(only.SOPInstanceUID), f + 1) for f in range(counts[0])]
    return [FrameImage(str(image.SOPClassUID), str(image.SOPInstanceUID)) for image in images]


def image_to_library(image: ImageInfo, frames: Sequence[FrameImage]) -> ContainerContentItem:
    """TID 1600: the files in the order of their frames, and the image's size, which readers of labels want to know."""
    group = ContainerContentItem(codes.DCM.ImageLibraryGroup, relationship_type=RelationshipTypeValues.CONTAINS)
    items: list[ContentItem] = [
        _number(codes.DCM.PixelDataRows, image.rows, sr_codes.PIXELS),
        _number(codes.DCM.PixelDataColumns, image.columns, sr_codes.PIXELS),
        _number(sr_codes.FRAME_COUNT, image.number_of_frames, sr_codes.NO_UNITS),
    ]
    if image.spacing is not None:
        x, y = image.spacing
        items.append(_number(codes.DCM.HorizontalPixelSpacing, float(x), sr_codes.MILLIMETRE))
        items.append(_number(codes.DCM.VerticalPixelSpacing, float(y), sr_codes.MILLIMETRE))
    for uid, sop_class in dict.fromkeys((f.sop_uid, f.sop_class_uid) for f in frames):
        items.append(ImageContentItem(codes.SCT.Source, sop_class, uid, relationship_type=RelationshipTypeValues.CONTAINS))
    group.ContentSequence = ContentSequence(items)
    library = ContainerContentItem(codes.DCM.ImageLibrary, relationship_type=RelationshipTypeValues.CONTAINS)
    library.ContentSequence = ContentSequence([group])
    return library


def _number(name: Code, value: float, unit: Code) -> NumContentItem:
    return NumContentItem(name, value, unit, relationship_type=RelationshipTypeValues.HAS_ACQ_CONTEXT)


def image_from_library(dataset: Dataset) -> tuple[ImageInfo, dict[str, int]]:
    """The image, and the first frame that each of its files holds."""
    group = children(children(dataset, codes.DCM.ImageLibrary)[0], codes.DCM.ImageLibraryGroup)[0]

    def value(name: Code) -> float | None:
        found = children(group, name)
        return number_of(found[0]) if found else None

    names = (codes.DCM.PixelDataRows, codes.DCM.PixelDataColumns, sr_codes.FRAME_COUNT)
    rows, columns, count = (int(value(n) or 0) for n in names)
    x, y = value(codes.DCM.HorizontalPixelSpacing), value(codes.DCM.VerticalPixelSpacing)
    files = [str(i.ReferencedSOPSequence[0].ReferencedSOPInstanceUID) for i in children(group, codes.SCT.Source)]
    study = dataset.CurrentRequestedProcedureEvidenceSequence[0]
    info = ImageInfo(
        rows=rows,
        columns=columns,
        number_of_frames=count,
        spacing=None if x is None or y is None else (x, y),
        sop_instance_uid=files[0] if len(files) == 1 else None,
        series_instance_uid=str(study.ReferencedSeriesSequence[0].SeriesInstanceUID),
        study_instance_uid=str(study.StudyInstanceUID),
    )
    return info, {uid: position for position, uid in enumerate(files)}
