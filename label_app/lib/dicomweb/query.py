"""Search parameters and results of QIDO-RS (PS3.18 10.6)."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Sequence
from typing import Any

from pydicom.datadict import dictionary_VR, keyword_for_tag, tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from label_app.lib.images.study_index import Instance

__all__ = ["instance_result", "matches", "page", "series_result", "study_result"]

_STUDY_KEYS = (
    "StudyDate",
    "StudyTime",
    "AccessionNumber",
    "ReferringPhysicianName",
    "StudyDescription",
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyInstanceUID",
    "StudyID",
)
_SERIES_KEYS = (
    "Modality",
    "SeriesDate",
    "SeriesTime",
    "SeriesDescription",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "SeriesNumber",
)
_INSTANCE_KEYS = (
    "SOPClassUID",
    "SOPInstanceUID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "InstanceNumber",
    "NumberOfFrames",
    "Rows",
    "Columns",
    "BitsAllocated",
)


def study_result(members: Sequence[Instance]) -> Dataset:
    """Attributes of a study from its instances."""
    result = _pick(members[0].header, _STUDY_KEYS)
    result.ModalitiesInStudy = sorted({i.modality for i in members if i.modality})
    result.NumberOfStudyRelatedSeries = len({i.series_uid for i in members})
    result.NumberOfStudyRelatedInstances = len(members)
    result.InstanceAvailability = "ONLINE"
    return result


def series_result(members: Sequence[Instance]) -> Dataset:
    """Attributes of a series from its instances."""
    result = _pick(members[0].header, _SERIES_KEYS)
    result.NumberOfSeriesRelatedInstances = len(members)
    return result


def instance_result(instance: Instance) -> Dataset:
    """Attributes of one instance."""
    result = _pick(instance.header, _INSTANCE_KEYS)
    result.InstanceAvailability = "ONLINE"
    result.AvailableTransferSyntaxUID = instance.transfer_syntax_uid
    return result


def _pick(header: Dataset, keywords: Iterable[str]) -> Dataset:
    result = Dataset()
    for keyword in keywords:
        if keyword in header:
            result[keyword] = header[keyword]
    return result


def matches(result: Dataset, parameters: Iterable[tuple[str, str]]) -> bool:
    """Whether a result meets every search parameter that names an attribute it could have.

    Text matches without regard to case, with ``*`` and ``?``; dates and times match single values and ranges ``a-b``; UIDs match
    a list. Attributes that the index does not hold are not searched, and ``includefield``, ``fuzzymatching`` and the like are no
    attributes.
    """
    for name, wanted in parameters:
        keyword = _keyword(name)
        if keyword is None or not wanted or keyword not in _SEARCHABLE:
            continue
        vr = dictionary_VR(keyword)
        found = [str(v) for v in _values(result.get(keyword))]
        if vr in ("DA", "TM"):
            met = any(_in_range(value, wanted) for value in found)
        elif vr == "UI":
            met = any(value in re.split(r"[,\\]", wanted) for value in found)
        else:
            met = any(fnmatch.fnmatchcase(value.lower(), _pattern(wanted)) for value in found)
        if not met:
            return False
    return True


_SEARCHABLE = {*_STUDY_KEYS, *_SERIES_KEYS, *_INSTANCE_KEYS, "ModalitiesInStudy"}


def _keyword(name: str) -> str | None:
    """Keyword of a parameter given as ``PatientName`` or ``00100010``."""
    if re.fullmatch(r"[0-9A-Fa-f]{8}", name):
        return keyword_for_tag(Tag(int(name, 16))) or None
    return name if tag_for_keyword(name) is not None else None


def _values(value: Any) -> list[Any]:
    if value is None or value == "":
        return []
    return list(value) if isinstance(value, list | tuple) or type(value).__name__ == "MultiValue" else [value]


def _pattern(wanted: str) -> str:
    return wanted.lower().replace("[", "[[]")


def _in_range(value: str, wanted: str) -> bool:
    first, dash, last = wanted.partition("-")
    if not dash:
        return value.startswith(first)
    return (not first or value[: len(first)] >= first) and (not last or value[: len(last)] <= last)


def page(results: Sequence[Any], parameters: Iterable[tuple[str, str]]) -> list[Any]:
    """The part of the results that ``limit`` and ``offset`` ask for.

    Raises:
        ValueError: one of them is no whole number.
    """
    window = {"offset": 0, "limit": len(results)}
    for name, value in parameters:
        if name in window:
            if not re.fullmatch(r"[0-9]{1,9}", value):
                raise ValueError(f"{name} must be a whole number, got {value!r}")
            window[name] = int(value)
    return list(results[window["offset"] : window["offset"] + window["limit"]])
