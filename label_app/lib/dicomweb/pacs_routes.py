"""DICOMweb for the viewer where the studies lie in an archive: a read-only proxy to what the viewer needs, and to nothing else.

The study list is this server's index: angiography, and what ``--studies`` narrows it to. Below a study of that list, requests are
passed on. The archive's address is made anew from UIDs and numbers that were checked, never from the path that a browser sent;
its password stays here; addresses inside the archive and private elements are taken out of what it says.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Request
from fastapi import Path as PathParameter
from fastapi.responses import Response, StreamingResponse
from pydicom.datadict import tag_for_keyword

from label_app.lib.dicomweb.routes import WINDOW_TAGS, Uid, add_study_search, dicom_json
from label_app.lib.images.pacs_error import PacsError
from label_app.lib.images.pacs_index import PacsIndex
from label_app.lib.images.study_index import Instance

__all__ = ["pacs_router"]

_Frames = Annotated[str, PathParameter(pattern=r"^[0-9]{1,6}(,[0-9]{1,6})*$", max_length=4096)]
_Frame = Annotated[str, PathParameter(pattern=r"^[0-9]{1,6}$")]
_JSON = "application/dicom+json"
_STORED = 'multipart/related; type="application/octet-stream"; transfer-syntax=*'
_FILE = 'multipart/related; type="application/dicom"; transfer-syntax=*'
_PICTURE = "image/jpeg"
_ACCEPT = re.compile(r'[\w+*/.;=," -]{1,512}')
_ANSWERS = ("multipart/related", "image/", "application/octet-stream", "application/dicom")
_SEARCH_WORDS = ("limit", "offset", "includefield", "fuzzymatching")
_TAG = re.compile(r"[0-9A-Fa-f]{8}")
_RETRIEVE_URL = "00081190"
_LARGEST_JSON = 64 << 20  # bytes of metadata
_CHUNK = 1 << 16
_THUMBNAIL = {"viewport": "128,128"}
# frames never change under their UID; the browser may keep them for the session's length
_CACHE = {"Cache-Control": "private, max-age=3600"}


def pacs_router(index: PacsIndex) -> APIRouter:
    """The routes, to be included under any prefix."""
    router = APIRouter()
    add_study_search(router, index)
    proxy = _Proxy(index)
    _add_searches(router, proxy)
    _add_metadata(router, proxy)
    _add_files(router, proxy)
    _add_pictures(router, proxy)
    return router


class _Proxy:
    """Passes requests on. Every path that it is given holds checked UIDs and numbers only."""

    def __init__(self, index: PacsIndex) -> None:
        self._index = index

    def json(self, study: str, path: str, params: dict[str, str] | None = None) -> Response:
        """Search results or metadata, without the archive's own addresses."""
        self._check(study)
        with self._index.client.stream(f"/studies/{study}{path}", accept=_JSON, params=params) as answer:
            if answer.status_code == 204:
                return dicom_json([])
            body = bytearray()
            for chunk in answer.iter_content(_CHUNK):
                body += chunk
                if len(body) > _LARGEST_JSON:
                    raise PacsError("the archive's answer is too long to be metadata")
            try:
                content = json.loads(body)
            except ValueError:
                raise PacsError("the archive's answer is no DICOM JSON") from None
        return dicom_json([_cleaned(item) for item in (content if isinstance(content, list) else [content])])

    def stream(self, study: str, path: str, accept: str, params: dict[str, str] | None = None) -> Response:
        """Files, frames and pictures as they come."""
        self._check(study)
        answer = self._index.client.stream(f"/studies/{study}{path}", accept=accept, params=params)
        kind = answer.headers.get("content-type", "")
        if not kind.startswith(_ANSWERS):
            answer.close()
            raise PacsError("the archive answered with something else than an image")

        def body() -> Iterator[bytes]:
            with answer:
                yield from answer.iter_content(_CHUNK)

        return StreamingResponse(body(), headers={"Content-Type": kind, **_CACHE})

    def thumbnail(self, study: str, series: str | None = None, sop: str | None = None) -> Response:
        """A small picture of the middle of the first image there."""
        images = [i for i in self._index.instances(study, series) if i.number_of_frames and sop in (None, i.sop_uid)]
        if not images:
            raise HTTPException(404, "no image there")
        return self.stream(study, _middle(images[0]), _PICTURE, _THUMBNAIL)

    def _check(self, study: str) -> None:
        if not self._index.holds_study(study):
            raise HTTPException(404, "no such study in the list")


def _middle(instance: Instance) -> str:
    frame = instance.number_of_frames // 2 + 1
    return f"/series/{instance.series_uid}/instances/{instance.sop_uid}/frames/{frame}/rendered"


def _cleaned(content: Any) -> Any:
    """Metadata without addresses of the archive, which the browser could not reach, private elements and empty windows."""
    if isinstance(content, list):
        return [_cleaned(item) for item in content]
    if not isinstance(content, dict):
        return content
    kept = {}
    for key, value in content.items():
        private = _TAG.fullmatch(key) is not None and int(key[3], 16) % 2 == 1
        by_address = isinstance(value, dict) and "BulkDataURI" in value
        blank = key in WINDOW_TAGS and isinstance(value, dict) and not value.get("Value")
        if not (private or by_address or blank or key == _RETRIEVE_URL):
            kept[key] = _cleaned(value)
    return kept


def _search(request: Request) -> dict[str, str]:
    """Search parameters that DICOM knows."""
    return {
        name: value[:256]
        for name, value in request.query_params.items()
        if name in _SEARCH_WORDS or _TAG.fullmatch(name) or tag_for_keyword(name) is not None
    }


def _accept(request: Request, default: str) -> str:
    """What the browser wants, if it wants a media type that frames can have."""
    wanted = request.headers.get("accept", "")
    names_some = any(kind in wanted for kind in ("multipart/", "image/", "octet-stream", "application/dicom"))
    return wanted if names_some and _ACCEPT.fullmatch(wanted) else default


def _add_searches(router: APIRouter, proxy: _Proxy) -> None:
    @router.get("/studies/{study}/series")
    def search_series(request: Request, study: Uid) -> Response:
        return proxy.json(study, "/series", _search(request))

    @router.get("/studies/{study}/instances")
    def search_instances_of_study(request: Request, study: Uid) -> Response:
        return proxy.json(study, "/instances", _search(request))

    @router.get("/studies/{study}/series/{series}/instances")
    def search_instances(request: Request, study: Uid, series: Uid) -> Response:
        return proxy.json(study, f"/series/{series}/instances", _search(request))


def _add_metadata(router: APIRouter, proxy: _Proxy) -> None:
    @router.get("/studies/{study}/metadata")
    def study_metadata(study: Uid) -> Response:
        return proxy.json(study, "/metadata")

    @router.get("/studies/{study}/series/{series}/metadata")
    def series_metadata(study: Uid, series: Uid) -> Response:
        return proxy.json(study, f"/series/{series}/metadata")

    @router.get("/studies/{study}/series/{series}/instances/{sop}/metadata")
    def instance_metadata(study: Uid, series: Uid, sop: Uid) -> Response:
        return proxy.json(study, f"/series/{series}/instances/{sop}/metadata")


def _add_files(router: APIRouter, proxy: _Proxy) -> None:
    @router.get("/studies/{study}/series/{series}")
    def retrieve_series(study: Uid, series: Uid) -> Response:
        return proxy.stream(study, f"/series/{series}", _FILE)

    @router.get("/studies/{study}/series/{series}/instances/{sop}")
    def retrieve_instance(study: Uid, series: Uid, sop: Uid) -> Response:
        return proxy.stream(study, f"/series/{series}/instances/{sop}", _FILE)

    @router.get("/studies/{study}/series/{series}/instances/{sop}/frames/{frames}")
    def retrieve_frames(request: Request, study: Uid, series: Uid, sop: Uid, frames: _Frames) -> Response:
        return proxy.stream(study, f"/series/{series}/instances/{sop}/frames/{frames}", _accept(request, _STORED))


def _add_pictures(router: APIRouter, proxy: _Proxy) -> None:
    @router.get("/studies/{study}/series/{series}/instances/{sop}/frames/{frame}/rendered")
    def rendered_frame(request: Request, study: Uid, series: Uid, sop: Uid, frame: _Frame) -> Response:
        path = f"/series/{series}/instances/{sop}/frames/{frame}/rendered"
        return proxy.stream(study, path, "image/png" if "image/png" in request.headers.get("accept", "") else _PICTURE)

    @router.get("/studies/{study}/series/{series}/instances/{sop}/rendered")
    def rendered_instance(study: Uid, series: Uid, sop: Uid) -> Response:
        return proxy.stream(study, f"/series/{series}/instances/{sop}/rendered", _PICTURE)

    @router.get("/studies/{study}/series/{series}/instances/{sop}/thumbnail")
    def instance_thumbnail(study: Uid, series: Uid, sop: Uid) -> Response:
        return proxy.thumbnail(study, series, sop)

    @router.get("/studies/{study}/series/{series}/thumbnail")
    def series_thumbnail(study: Uid, series: Uid) -> Response:
        return proxy.thumbnail(study, series)

    @router.get("/studies/{study}/thumbnail")
    def study_thumbnail(study: Uid) -> Response:
        return proxy.thumbnail(study)
