"""REST of the labels: read and submit with versions, and the routes of MONAI Label's stock clients for the same.

A submit names the version it began with (``If-Match``), so that two annotators of one image cannot overwrite each other unseen.
"""

from __future__ import annotations

import errno
import json
import logging
import re
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Header, HTTPException, Request, UploadFile
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse, JSONResponse, Response

from label_app.lib.auth.user import User, current_user, local_user, require
from label_app.lib.images.study_index import ImageEntry, StudyIndex
from label_app.lib.labels.store import FINAL, PREDICTION, LabelConflict, LabelVersion
from label_app.lib.labels.submissions import Submissions
from label_app.lib.web.backend import Backend
from label_app.lib.web.bodies import BadBody, check_json
from label_app.lib.web.registered import registered_image
from monai_tavr.formats import FORMATS, Format, LossWarning
from monai_tavr.formats.label_json import label_to_dict
from monai_tavr.label import CineLabel

__all__ = ["label_router"]

logger = logging.getLogger(__name__)

_VERSION = re.compile(r'([0-9]{1,9})|(?:W/)?"([0-9]{1,9})"')
_SHA256 = re.compile(r"[0-9a-f]{64}")
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_UNCACHED = {"Cache-Control": "no-store"}
# single files that are made of the label alone; markups come with a prediction, reports lie in the PACS
_OFFERED = {f.name: f for f in FORMATS.values() if f.writer and not f.is_folder and "write" not in f.needs_image}


def label_router(index: StudyIndex, submissions: Submissions, backend: Backend) -> APIRouter:
    """The routes of labels; those under ``/tavr`` do not wait until MONAI Label is loaded."""
    router = APIRouter()
    _add_reading(router, index, submissions)
    _add_submitting(router, index, submissions)
    _add_stock_routes(router, index, submissions, backend)
    return router


def _add_reading(router: APIRouter, index: StudyIndex, submissions: Submissions) -> None:
    store = submissions.store

    @router.get("/tavr/labels/{image}")
    def label(image: str) -> Response:
        """The current label with its version, and who wrote which version."""
        entry = registered_image(index, image)
        current = store.current(entry.image_id)
        number = current.number if current else 0
        content = None if current is None else label_to_dict(store.read(entry.image_id, version=number))
        answer = {
            "image": entry.image_id,
            "version": number,
            "label": content,
            "author": current and current.author,
            "time": current and current.time,
            "versions": [v.described() for v in store.versions(entry.image_id)],
            "damaged": store.damaged(entry.image_id),
        }
        if submissions.archive_state is not None:  # the studies lie in a PACS, which gets every version as a report
            state = submissions.archive_state(entry.image_id, number) if number else None
            answer |= {"archived": state == "archived", "archive": state}
        return JSONResponse(answer, headers=_UNCACHED | _tag(number))

    @router.get("/tavr/labels/{image}/versions/{number}")
    def version(image: str, number: int) -> Response:
        """The label file of one version."""
        try:
            found = store.read(registered_image(index, image).image_id, version=number)
        except (KeyError, ValueError) as error:
            raise HTTPException(404, f"version {number} is not there or cannot be read") from error
        return JSONResponse(label_to_dict(found), headers=_UNCACHED | _tag(number))

    @router.get("/tavr/labels/{image}/files/{format}")
    def file(image: str, format: str) -> Response:
        """The current label as a file of another tool's format; the header ``X-Not-Kept`` says what that format does not keep."""
        chosen = _OFFERED.get(format)
        if chosen is None:
            raise HTTPException(404, f"no such format; there are {', '.join(_OFFERED)}")
        entry = registered_image(index, image)
        current = store.current(entry.image_id)
        if current is None:
            raise HTTPException(404, "this image has no label yet")
        label = store.read(entry.image_id, version=current.number)
        content = _file_of(label, chosen)
        name = f"{entry.image_id}{chosen.extensions[0]}"
        headers = {"Content-Disposition": f'attachment; filename="{name}"', "X-Not-Kept": "; ".join(chosen.lost([label]))}
        return Response(content, media_type="application/octet-stream", headers=headers | _UNCACHED | _tag(current.number))


def _file_of(label: CineLabel, chosen: Format) -> bytes:
    with TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", LossWarning)  # the answer's header says it
        path = Path(folder) / f"label{chosen.extensions[0]}"
        chosen.write(path, [label])
        return path.read_bytes()


def _add_submitting(router: APIRouter, index: StudyIndex, submissions: Submissions) -> None:
    @router.put("/tavr/labels/{image}")
    async def submit(
        request: Request,
        image: str,
        if_match: Annotated[str | None, Header()] = None,
        x_model: Annotated[str | None, Header()] = None,
    ) -> Response:
        """Keep a label as the image's next version; 409 if somebody else submitted since the version named by If-Match."""
        user, entry = require(request, "annotator"), registered_image(index, image)
        base, model = _base(if_match), _model(x_model)
        text = await request.body()
        write = partial(submissions.submit, entry, text, user=user, base=base, model=model)
        return await run_in_threadpool(_kept, write)


def _add_stock_routes(router: APIRouter, index: StudyIndex, submissions: Submissions, backend: Backend) -> None:
    """MONAI Label's own handlers log what clients send, keep no name of the user, and answer with paths."""

    @router.put("/datastore/label")
    def save_label(
        request: Request,
        user: Annotated[User, Depends(current_user)],
        image: str,
        label: UploadFile,
        params: Annotated[str, Form()] = "{}",
        tag: str = FINAL,
    ) -> Response:
        """As ``MONAILabelClient.save_label``; ``base`` in the parameters is the version it began with."""
        require(request, "annotator")
        entry, content = registered_image(index, image), _stock_params(params)
        user = _stock_user(request, user, content)
        if (tag or FINAL) == PREDICTION:
            raise HTTPException(400, "the tag 'prediction' is the server's own")
        text = label.file.read()
        try:
            check_json(text)  # the guard checks whole bodies, not the parts of a form
        except BadBody as error:
            raise HTTPException(error.status, error.words) from error
        answer = _kept(partial(submissions.submit, entry, text, user=user, base=content.get("base"), tag=tag or FINAL))
        if answer.status_code == 200:
            answer = JSONResponse({"image": entry.image_id, "label": entry.image_id, **json.loads(bytes(answer.body))})
        return answer

    @router.delete("/datastore/label")
    def remove_label(request: Request, id: str, tag: str = FINAL) -> Response:
        """As ``DELETE /datastore/label`` of MONAI Label; the versions stay, and the image counts as unlabelled."""
        user, entry = require(request, "admin"), registered_image(index, id)
        return _kept(partial(submissions.remove, entry, user=user, tag=tag))

    @router.get("/datastore/label")
    @router.head("/datastore/label")
    def download_label(label: str = "", tag: str = FINAL, image: str = "") -> Response:
        """As ``MONAILabelClient.download_label``: the label file."""
        version = _labelled(submissions, registered_image(index, label or image), tag)
        return FileResponse(version.path, media_type="application/json", filename=f"{version.image_id}.json", headers=_UNCACHED)

    @router.get("/datastore/label/info")
    def label_info(label: str, tag: str = FINAL) -> dict[str, Any]:
        version = _labelled(submissions, registered_image(index, label), tag)
        return version.described() | {"frames": list(version.frames)}

    @router.get("/datastore/")
    def datastore(output: str = "stats") -> Response:
        """As MONAI Label's, but ``train`` names images and labels by their ids."""
        if output not in ("stats", "all", "train"):
            raise HTTPException(400, f"output must be 'stats', 'all' or 'train', got {output[:40]!r}")
        if output == "train":
            named = [i for i in submissions.store.images() if i in index.images]
            return JSONResponse([{"image": i, "label": i, "tag": FINAL} for i in named])
        return backend.answer(lambda app: app.datastore().json() if output == "all" else app.datastore().status())


def _labelled(submissions: Submissions, entry: ImageEntry, tag: str) -> LabelVersion:
    try:
        version = submissions.store.current(entry.image_id, tag)
    except ValueError as error:
        raise HTTPException(400, str(error)) from error
    if version is None or not version.frames:
        raise HTTPException(404, "no such label")
    return version


def _tag(version: Any) -> dict[str, str]:
    return {"ETag": f'"{version}"'}


def _base(if_match: str | None) -> int:
    if if_match is None:
        raise HTTPException(428, 'say which version you began with: header If-Match: "3", or "0" where there was no label')
    match = _VERSION.fullmatch(if_match.strip())
    if match is None:
        raise HTTPException(400, f'If-Match must be the number of a version, e.g. "3", got {if_match[:40]!r}')
    return int(match[1] or match[2])


def _model(x_model: str | None) -> str | None:
    if x_model is not None and not _SHA256.fullmatch(x_model):
        raise HTTPException(400, "X-Model must be the SHA-256 of the weights: 64 hexadecimal digits")
    return x_model


def _stock_params(params: str) -> dict[str, Any]:
    try:
        content = json.loads(params or "{}")
    except (ValueError, RecursionError) as error:
        raise HTTPException(400, f"params must be JSON: {error}") from error
    base = content.get("base") if isinstance(content, dict) else {}
    if isinstance(base, bool) or not isinstance(base, int | None) or (base or 0) < 0:
        raise HTTPException(400, 'params must be a JSON object; "base" in it is the number of the version it began with')
    return dict(content)


def _stock_user(request: Request, user: User, params: dict[str, Any]) -> User:
    """Where nobody logs in, a stock client may say by ``client_id`` who sits before it; 3D Slicer has a setting for it."""
    name = params.get("client_id")
    if request.scope["state"].get("auth") != "none" or "x-annotator" in request.headers or not isinstance(name, str):
        return user
    try:
        return local_user(name)
    except ValueError:
        return user


def _kept(write: Callable[[], LabelVersion]) -> Response:
    """The answer to a request that writes a version: its number, or in words why there is none."""
    try:
        version = write()
    except LabelConflict as conflict:
        now = conflict.current
        there = {"version": now.number if now else 0, "author": now and now.author, "time": now and now.time}
        return JSONResponse({"detail": str(conflict), **there}, status_code=409)
    except KeyError as error:
        return JSONResponse({"detail": str(error.args[0])}, status_code=404)
    except ValueError as error:
        return JSONResponse({"detail": str(error)}, status_code=400)
    except OSError as error:
        return _not_written(error)
    answer = {"version": version.number, "author": version.author, "time": version.time}
    return JSONResponse(answer, headers=_tag(version.number))


def _not_written(error: OSError) -> Response:
    logger.error("a label could not be written: %s", error.strerror)
    if error.errno in _NO_ROOM:
        words = "the server's disk is full: the label was NOT saved; keep this page open, have room made, and submit again"
        return JSONResponse({"detail": words}, status_code=507)
    words = f"the label was NOT saved: the server cannot write its labels folder ({error.strerror}); tell the administrator"
    return JSONResponse({"detail": words}, status_code=503)
