"""Whether the model takes frames for those of a TAVR: the qualitative evaluations of a report (TID 1500), there and back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from highdicom.sr import (
    CodeContentItem,
    ContainerContentItem,
    ContentItem,
    ContentSequence,
    ImageContentItem,
    RelationshipTypeValues,
)
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from monai_tavr.formats.dicom_sr import codes as sr_codes
from monai_tavr.formats.dicom_sr.codes import children, code_of
from monai_tavr.formats.dicom_sr.image import FrameImage, frame_of

__all__ = ["typical_from_report", "typical_to_container"]

_EVALUATIONS = Code("C0034375", "UMLS", "Qualitative Evaluations")
_ANSWERS = {True: codes.cid230.Yes, False: codes.cid230.No}


def typical_to_container(typical: Mapping[int, bool], frames: Sequence[FrameImage]) -> ContainerContentItem:
    """The container of a report.

    Args:
        typical: frame -> what the model says.
        frames: how to refer to each frame of the cine.
    """
    items: list[ContentItem] = []
    for index, is_typical in sorted(typical.items()):
        image, contains = frames[index], RelationshipTypeValues.CONTAINS
        item = CodeContentItem(sr_codes.TYPICAL, _ANSWERS[is_typical], contains)
        source = ImageContentItem(
            codes.DCM.SourceOfMeasurement,
            image.sop_class_uid,
            image.sop_uid,
            referenced_frame_numbers=image.numbers,
            relationship_type=RelationshipTypeValues.INFERRED_FROM,
        )
        item.ContentSequence = ContentSequence([source])
        items.append(item)
    container = ContainerContentItem(_EVALUATIONS, relationship_type=RelationshipTypeValues.CONTAINS)
    container.ContentSequence = ContentSequence(items)
    return container


def typical_from_report(report: Dataset) -> Iterator[tuple[FrameImage, bool]]:
    """The frames that a report says something of, and what.

    Raises:
        ValueError: an answer is neither yes nor no.
    """
    for container in children(report, _EVALUATIONS):
        for item in children(container, sr_codes.TYPICAL):
            answer = code_of(item.ConceptCodeSequence[0])
            said = [a for a, code in _ANSWERS.items() if (code.value, code.scheme_designator) == answer]
            if not said:
                raise ValueError(f"{answer[0]!r} of scheme {answer[1]!r} says neither yes nor no")
            yield frame_of(item.ContentSequence[0]), said[0]
