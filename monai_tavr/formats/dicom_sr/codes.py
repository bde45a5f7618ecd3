"""Codes of the keypoint report: standard ones where DICOM has one, and this project's own under the scheme ``99TAVR``.

The private scheme holds the names of the schema's points as code values (``AA1`` ... ``FE2``; meaning: the schema's description),
and

================  ======  =======================================================================================
code value        type    what it says
================  ======  =======================================================================================
``Schema``        TEXT    name of the keypoint schema; marks a report as this project's
``Visibility``    CODE    SCT Present or Absent. A point without a measurement group on a frame is unlabelled
``Column``        NUM     the point's column from the left edge of the frame, in pixels; its SCOORD hangs below it
``Spread``        NUM     the model's doubt about the place, a standard deviation in pixels
``Typical``       CODE    SCT Yes or No: whether the model takes the frame, an image below the item, for one of a TAVR
``BaseRevision``  NUM     number of the revision that this one was made from
``Model``         TEXT    SHA-256 of the weights whose prediction was corrected
================  ======  =======================================================================================

DICOM PS3.16 has TID 1500 and its parts; PS3.3 8.2 says how private schemes are named.
"""

from __future__ import annotations

from highdicom.coding_schemes import CodingSchemeIdentificationItem
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from monai_tavr.keypoints import KeypointSchema

__all__ = [
    "ABSENT",
    "BASE_REVISION",
    "COLUMN",
    "DEVICE_NAME",
    "FRAME_COUNT",
    "LOGIN_NAME",
    "MILLIMETRE",
    "MODEL",
    "NO_UNITS",
    "PIXELS",
    "PRESENT",
    "PROBABILITY",
    "SCHEMA",
    "SCHEME",
    "SPREAD",
    "TYPICAL",
    "VISIBILITY",
    "children",
    "code_of",
    "finding_code",
    "number_of",
    "private_scheme",
    "site_code",
]

SCHEME = "99TAVR"
_MEANING_LENGTH = 64  # VR LO

SCHEMA = Code("Schema", SCHEME, "Keypoint schema")
VISIBILITY = Code("Visibility", SCHEME, "Visibility of the point on the frame")
COLUMN = Code("Column", SCHEME, "Column of the point, from the frame's left edge")
SPREAD = Code("Spread", SCHEME, "Uncertainty of the point's place (SD)")
TYPICAL = Code("Typical", SCHEME, "The model takes the frame for one of a TAVR")
BASE_REVISION = Code("BaseRevision", SCHEME, "Revision that this one was made from")
MODEL = Code("Model", SCHEME, "Weights whose prediction was corrected")

PRESENT = codes.cid241.Present
ABSENT = codes.cid241.Absent
PROBABILITY = Code("122157", "DCM", "Probability")
LOGIN_NAME = Code("128774", "DCM", "Person Observer's Login Name")
DEVICE_NAME = Code("121013", "DCM", "Device Observer Name")
FRAME_COUNT = Code("121140", "DCM", "Number of Frames")
PIXELS = Code("{pixels}", "UCUM", "pixels")
MILLIMETRE = Code("mm", "UCUM", "millimeter")
NO_UNITS = Code("1", "UCUM", "no units")


def private_scheme() -> CodingSchemeIdentificationItem:
    """What a report says of its private scheme (PS3.3 C.12.1, Coding Scheme Identification Sequence)."""
    return CodingSchemeIdentificationItem(SCHEME, name="TAVR keypoints", responsible_organization="monai-tavr")


def finding_code(schema: KeypointSchema, name: str) -> Code:
    """The point itself."""
    return Code(name, SCHEME, schema.descriptions.get(name, name)[:_MEANING_LENGTH])


def site_code(schema: KeypointSchema, name: str) -> Code | None:
    """The anatomy or device that the point lies on, or None where the schema has no code for it."""
    return Code(*schema.dicom_codes[name]) if name in schema.dicom_codes else None


def children(item: Dataset, name: Code) -> list[Dataset]:
    """Content items right below ``item`` with that concept name."""
    named = [c for c in item.get("ContentSequence") or () if c.get("ConceptNameCodeSequence")]
    return [c for c in named if code_of(c.ConceptNameCodeSequence[0]) == (name.value, name.scheme_designator)]


def code_of(code: Dataset) -> tuple[str, str]:
    """(code value, scheme) of an item of a code sequence."""
    return str(code.get("CodeValue") or code.get("LongCodeValue")), str(code.get("CodingSchemeDesignator"))


def number_of(item: Dataset) -> float:
    """Value of a NUM item, in full precision where it is there."""
    value = item.MeasuredValueSequence[0]
    return float(value.FloatingPointValue if "FloatingPointValue" in value else value.NumericValue)
