"""Routes of the embedded DICOMweb: QIDO-RS, WADO-RS metadata, instances, frames, rendered frames and thumbnails. Nothing writes.

Handlers are plain functions, so FastAPI runs them in worker threads: reading and decoding does not hold up other requests.
"""

from __future__ import annotations

import logging
import re
import uuid
from collections.abc import Iterable, Iterator
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Request
from fastapi import Path as PathParameter
from fastapi.responses import JSONResponse, Response, StreamingResponse
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian

from label_app.lib.dicomweb.frames import media_type, rendered_frame, stored_frame
from label_app.lib.dicomweb.query import instance_result, matches, page, series_result, study_result
from label_app.lib.images.cine_files import UNREADABLE, reason_of, samples_of
from label_app.lib.images.study_index import Instance, StudyIndex
from monai_tavr.dicom.header import read_header

__all__ = ["WINDOW_TAGS", "Uid", "add_study_search", "dicom_json", "dicomweb_router"]

logger = logging.getLogger(__name__)

_UID_PATTERN = r"^[0-9]+(\.[0-9]+)*$"
Uid = Annotated[str, PathParameter(pattern=_UID_PATTERN, max_length=64)]
WINDOW_TAGS = ("00281050", "00281051")
"""Centre and width. Where they are there and empty, OHIF shows nothing: metadata go without."""
_DATE = re.compile(r"[0-9]{8}")
_LARGE_ELEMENT = 1 << 20  # bytes; lookup tables are smaller, and a viewer needs nothing bigger
_THUMBNAIL_SIZE = 128
_CHUNK = 1 << 20
_UNCOMPRESSED = ("1.2.840.10008.1.2", str(ExplicitVRLittleEndian))
# frames never change under their UID; the browser may keep them for the session's length
_CACHE = {"Cache-Control": "private, max-age=3600"}


def dicomweb_router(index: StudyIndex) -> APIRouter:
    """The routes over an index, to be included under any prefix."""
    router = APIRouter()
    add_study_search(router, index)
    _add_search(router, index)
    _add_retrieve(router, index)
    _add_rendered(router, index)
    return router


def add_study_search(router: APIRouter, index: StudyIndex) -> None:
    """The study list, from the index."""

    @router.get("/studies")
    def search_studies(request: Request) -> Response:
        index.refresh()  # the study list shows what has arrived since
        found = [study_result(m) for m in _grouped(index.instances(), "study_uid")]
        return _search(request, sorted(found, key=_newest_first))


def _add_search(router: APIRouter, index: StudyIndex) -> None:
    @router.get("/series")
    def search_all_series(request: Request) -> Response:
        return _search(request, [series_result(m) for m in _grouped(index.instances(), "series_uid")])

    @router.get("/studies/{study}/series")
    def search_series(request: Request, study: Uid) -> Response:
        return _search(request, [series_result(m) for m in _grouped(_members(index, study), "series_uid")])

    @router.get("/instances")
    def search_all_instances(request: Request) -> Response:
        return _search(request, [instance_result(i) for i in index.instances()])

    @router.get("/studies/{study}/instances")
    def search_instances_of_study(request: Request, study: Uid) -> Response:
        return _search(request, [instance_result(i) for i in _members(index, study)])

    @router.get("/studies/{study}/series/{series}/instances")
    def search_instances(request: Request, study: Uid, series: Uid) -> Response:
        return _search(request, [instance_result(i) for i in _members(index, study, series)])


def _add_retrieve(router: APIRouter, index: StudyIndex) -> None:
    @router.get("/studies/{study}/metadata")
    def study_metadata(study: Uid) -> Response:
        return dicom_json(_all_metadata(_members(index, study)))

    @router.get("/studies/{study}/series/{series}/metadata")
    def series_metadata(study: Uid, series: Uid) -> Response:
        return dicom_json(_all_metadata(_members(index, study, series)))

    @router.get("/studies/{study}/series/{series}/instances/{sop}/metadata")
    def instance_metadata(study: Uid, series: Uid, sop: Uid) -> Response:
        return dicom_json([_metadata(_one(index, study, series, sop))])

    @router.get("/studies/{study}/series/{series}/instances/{sop}")
    def retrieve_instance(study: Uid, series: Uid, sop: Uid) -> Response:
        return _files_response([_one(index, study, series, sop)])

    @router.get("/studies/{study}/series/{series}")
    def retrieve_series(study: Uid, series: Uid) -> Response:
        there = [i for i in _members(index, study, series) if _is_there(i)]
        if not there:
            raise HTTPException(404, "no such series in this study")
        return _files_response(there)

    @router.get("/studies/{study}/series/{series}/instances/{sop}/frames/{frames}")
    def retrieve_frames(request: Request, study: Uid, series: Uid, sop: Uid, frames: str) -> Response:
        instance = _one(index, study, series, sop)
        decoded = _wants_uncompressed(request.headers.get("accept", "*/*"))
        parts = [_frame_part(instance, i, decoded) for i in _frame_indices(instance, frames)]
        return _multipart(parts)


def _add_rendered(router: APIRouter, index: StudyIndex) -> None:
    @router.get("/studies/{study}/series/{series}/instances/{sop}/frames/{frame}/rendered")
    def rendered_single(request: Request, study: Uid, series: Uid, sop: Uid, frame: str) -> Response:
        instance = _one(index, study, series, sop)
        return _picture(request, instance, _frame_indices(instance, frame)[0])

    @router.get("/studies/{study}/series/{series}/instances/{sop}/rendered")
    def rendered_instance(request: Request, study: Uid, series: Uid, sop: Uid) -> Response:
        return _picture(request, _one(index, study, series, sop), 0)

    @router.get("/studies/{study}/series/{series}/instances/{sop}/thumbnail")
    def instance_thumbnail(request: Request, study: Uid, series: Uid, sop: Uid) -> Response:
        return _thumbnail(request, _one(index, study, series, sop))

    @router.get("/studies/{study}/series/{series}/thumbnail")
    def series_thumbnail(request: Request, study: Uid, series: Uid) -> Response:
        return _thumbnail(request, _members(index, study, series)[0])

    @router.get("/studies/{study}/thumbnail")
    def study_thumbnail(request: Request, study: Uid) -> Response:
        return _thumbnail(request, _members(index, study)[0])


def _members(index: StudyIndex, study: str, series: str | None = None) -> list[Instance]:
    found = index.instances(study, series)
    if not found:
        raise HTTPException(404, "no such study" if series is None else "no such series in this study")
    return found


def _one(index: StudyIndex, study: str, series: str, sop: str) -> Instance:
    instance = index.instance(study, series, sop)
    if instance is None or not instance.path.is_file():
        raise HTTPException(404, "no such instance in this series")
    try:
        with instance.opened():
            return instance
    except (ValueError, OSError) as error:
        raise HTTPException(422, reason_of(error)) from error


def _is_there(instance: Instance) -> bool:
    """Whether the file is still the one that was listed."""
    try:
        with instance.opened():
            return True
    except (ValueError, OSError):
        return False


def _grouped(instances: Iterable[Instance], key: str) -> list[list[Instance]]:
    groups: dict[str, list[Instance]] = {}
    for instance in instances:
        groups.setdefault(getattr(instance, key), []).append(instance)
    return list(groups.values())


def _newest_first(study: Dataset) -> tuple[int, str, str]:
    """Studies of one day in the order of their patients, as a list of people is read."""
    date = str(study.get("StudyDate") or "")
    return -int(date) if _DATE.fullmatch(date) else 0, str(study.get("PatientID") or ""), str(study.get("StudyTime") or "")


def _search(request: Request, results: list[Dataset]) -> Response:
    parameters = request.query_params.multi_items()
    try:
        found = page([r for r in results if matches(r, parameters)], parameters)
    except ValueError as error:
        raise HTTPException(400, str(error)) from error
    return dicom_json([r.to_json_dict(suppress_invalid_tags=True) for r in found])


def dicom_json(content: list[dict[str, Any]]) -> Response:
    """Results and metadata as DICOM JSON (PS3.18 F)."""
    return JSONResponse(content, media_type="application/dicom+json", headers={"Cache-Control": "no-cache"})


def _metadata(instance: Instance) -> dict[str, Any]:
    """All attributes but pixels, private elements and oversized values."""
    try:
        with instance.opened() as stream:
            dataset, _ = read_header(stream)
        dataset.remove_private_tags()
        dataset.walk(_drop_empty_window)
        for element in list(dataset):
            if isinstance(element.value, bytes) and len(element.value) > _LARGE_ELEMENT:
                del dataset[element.tag]
        dataset.AvailableTransferSyntaxUID = instance.transfer_syntax_uid
        return dataset.to_json_dict(suppress_invalid_tags=True)
    except Exception as error:  # the file may have gone, or be damaged in any way; words would quote it
        raise HTTPException(422, f"the header of an instance cannot be read ({type(error).__name__})") from error


def _drop_empty_window(dataset: Dataset, element: DataElement) -> None:
    if element.is_empty and f"{element.tag:08X}" in WINDOW_TAGS:
        del dataset[element.tag]


def _all_metadata(instances: list[Instance]) -> list[dict[str, Any]]:
    """Of those that can be read: one damaged file hides no others."""
    found = []
    for instance in instances:
        try:
            found.append(_metadata(instance))
        except HTTPException as error:
            logger.warning("studies: left out 1 instance: %s", error.detail)
    return found


def _frame_indices(instance: Instance, numbers: str) -> list[int]:
    """0-based frames of a DICOM list of 1-based frame numbers, e.g. ``1,2,3``."""
    if not re.fullmatch(r"[0-9]{1,6}(,[0-9]{1,6})*", numbers):
        raise HTTPException(400, f"frame numbers are whole numbers with commas between, e.g. 1,2, got {numbers[:40]!r}")
    indices = [int(n) - 1 for n in numbers.split(",")]
    if not instance.number_of_frames:
        raise HTTPException(404, "this instance has no frames")
    if len(set(indices)) < len(indices):  # each is read and held once
        raise HTTPException(400, "a frame is named twice")
    for i in indices:
        if not 0 <= i < instance.number_of_frames:
            raise HTTPException(404, f"no frame {i + 1}; this instance has frames 1 to {instance.number_of_frames}")
    return indices


def _wants_uncompressed(accept: str) -> bool:
    """Whether a client wants samples rather than the frame as it is stored (PS3.18 8.7.3.5.2: octets mean uncompressed)."""
    octets = [t for t in accept.lower().replace('"', "").split(",") if "octet-stream" in t]
    others = [t for t in accept.lower().split(",") if "image/" in t or "*/*" in t]
    if others or not octets:
        return False
    syntaxes = [re.search(r"transfer-syntax=([^;,\s]+)", t) for t in octets]
    return all(s is None or s.group(1) in _UNCOMPRESSED for s in syntaxes)


def _frame_part(instance: Instance, index: int, decoded: bool) -> tuple[str, bytes]:
    try:
        if decoded and media_type(instance.transfer_syntax_uid) != "application/octet-stream":
            frame, syntax = samples_of(instance, index), str(ExplicitVRLittleEndian)
        else:
            frame, syntax = stored_frame(instance, index)
    except UNREADABLE as error:
        raise HTTPException(422, f"frame {index + 1} cannot be read: {reason_of(error)}") from error
    return f"{media_type(syntax)};transfer-syntax={syntax}", frame


def _multipart(parts: list[tuple[str, bytes]]) -> Response:
    boundary = uuid.uuid4().hex
    body = b"".join(_part_head(boundary, kind) + content + b"\r\n" for kind, content in parts) + f"--{boundary}--\r\n".encode()
    kind = parts[0][0].partition(";")[0]
    return Response(body, media_type=f'multipart/related; type="{kind}"; boundary={boundary}', headers=_CACHE)


def _part_head(boundary: str, kind: str) -> bytes:
    return f"--{boundary}\r\nContent-Type: {kind}\r\n\r\n".encode()


def _files_response(instances: list[Instance]) -> Response:
    boundary = uuid.uuid4().hex

    def body() -> Iterator[bytes]:
        for instance in instances:
            yield _part_head(boundary, f"application/dicom;transfer-syntax={instance.transfer_syntax_uid}")
            with instance.opened() as stream:
                while chunk := stream.read(_CHUNK):
                    yield chunk
            yield b"\r\n"
        yield f"--{boundary}--\r\n".encode()

    return StreamingResponse(body(), media_type=f'multipart/related; type="application/dicom"; boundary={boundary}')


def _picture(request: Request, instance: Instance, index: int, size: int | None = None) -> Response:
    if not instance.number_of_frames:
        raise HTTPException(404, "this instance has no frames")
    image_format = "PNG" if "image/png" in request.headers.get("accept", "").split(",")[0] else "JPEG"
    try:
        content = rendered_frame(instance, index, image_format=image_format, size=size)
    except UNREADABLE as error:
        raise HTTPException(422, f"frame {index + 1} cannot be rendered: {reason_of(error)}") from error
    return Response(content, media_type=f"image/{image_format.lower()}", headers=_CACHE)


def _thumbnail(request: Request, instance: Instance) -> Response:
    return _picture(request, instance, instance.number_of_frames // 2, _THUMBNAIL_SIZE)
