"""Routes of the app beside MONAI Label's own: inference, what the viewer must know, and the viewer's files."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Form, HTTPException, Request, UploadFile
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse, Response

from label_app.lib.auth.user import current_user
from label_app.lib.backend import APP_DIR, Backend
from label_app.lib.infers.multipart import multipart_answer
from label_app.lib.infers.request import parse_params
from monai_tavr.active_learning.strategies import STRATEGIES
from monai_tavr.keypoints import KeypointSchema

if TYPE_CHECKING:
    from label_app.main import TAVRApp

__all__ = ["app_router", "viewer_router"]

_VIEWER = APP_DIR / "viewer"
_HASHED = re.compile(r"\.[0-9a-f]{20}\.(js|css)$|^[0-9a-f]{20}\.wasm$")
_UNCERTAIN_BELOW = 0.75
# OHIF fetches a font from Google; this server's pages ask no other machine for anything
_REMOTE_FONTS = re.compile(
    r"<link[^>]*fonts\.(?:gstatic|googleapis)\.com[^>]*>|@import url\(https://fonts\.googleapis\.com[^)]*\);"
)
_STYLES = "app.bundle.css"


def app_router(backend: Backend, schema: KeypointSchema) -> APIRouter:
    """Inference and the viewer's questions; the schema is that of the labels."""
    router = APIRouter()

    @router.post("/infer/{model}")
    def infer(
        model: str,
        image: str = "",
        output: str = "all",
        session_id: str = "",
        params: str = Form("{}"),
        file: UploadFile | None = None,
        label: UploadFile | None = None,
    ) -> Response:
        """Predict on a registered image. MONAI Label's own handler would hold up every other request meanwhile.

        ``output=json`` gives the label JSON; ``all``, which MONAI Label's clients mean, markups for 3D Slicer beside it.
        """
        if file is not None or label is not None or session_id:
            raise HTTPException(400, "uploads are not offered: name a registered image, ?image=ID")
        if output not in ("json", "all"):
            raise HTTPException(400, f"this model answers with JSON: output must be 'json' or 'all', got {output[:40]!r}")
        try:
            request = parse_params(params)
        except ValueError as error:
            raise HTTPException(400, str(error)) from error
        asked = {**request, "model": model, "image": image}
        if output == "json":
            return backend.answer(lambda app: app.infer(asked)["params"])

        def with_markups(app: TAVRApp) -> Response:
            answer = app.infer(asked)["params"]  # says what is wrong, before anything else is asked for
            return multipart_answer(answer, app.datastore().entry(image).paths[0], schema=app.models.predictor().schema)

        return backend.answer(with_markups)

    @router.get("/tavr/status")
    def status(request: Request) -> dict[str, Any]:
        """Who asks; whether predictions can be had, and by which model; the schema says what is drawn."""
        state, user = backend.state, current_user(request)
        who = {"user": {"name": user.name, "roles": sorted(user.roles)}, "auth": request.state.auth}
        who["strategies"] = list(STRATEGIES)
        # points can be placed by hand before the model is there
        model = backend.app().model() if state == "ready" else {"schema": schema.to_dict()}
        return {"state": state, "uncertain_below": _UNCERTAIN_BELOW, **who, **model}

    return router


def viewer_router(ohif: Path) -> APIRouter:
    """OHIF from MONAI Label's wheel, with this project's configuration, mode and extension.

    Args:
        ohif: folder of the compiled viewer.
    """
    router = APIRouter()
    index_html, styles = (_REMOTE_FONTS.sub("", (ohif / f).read_text(encoding="utf-8")) for f in ("index.html", _STYLES))

    @router.get("/", include_in_schema=False)
    def root() -> Response:
        return RedirectResponse("/ohif/")

    @router.get("/ohif/app-config.js", include_in_schema=False)
    def app_config() -> Response:
        return _file(_VIEWER, "app-config.js")

    @router.get(f"/ohif/{_STYLES}", include_in_schema=False)
    def app_styles() -> Response:
        return Response(styles, media_type="text/css", headers={"Cache-Control": "no-cache"})

    @router.get("/tavr/viewer/{name:path}", include_in_schema=False)
    def viewer_file(name: str) -> Response:
        return _file(_VIEWER, name)

    @router.get("/tavr/plain/", include_in_schema=False)
    def plain_page() -> Response:
        """The page for browsers without WebGL; it names its own files below /tavr/viewer/plain/."""
        return _file(_VIEWER, "plain/index.html")

    @router.get("/tavr/plain", include_in_schema=False)
    def plain_page_without_slash() -> Response:
        return RedirectResponse("/tavr/plain/")

    @router.get("/ohif{path:path}", include_in_schema=False)
    def viewer(path: str) -> Response:
        """A file of the viewer, or its page: OHIF makes up paths of its own."""
        try:
            return _file(ohif, path.lstrip("/"))
        except HTTPException:
            return HTMLResponse(index_html, headers={"Cache-Control": "no-cache"})

    return router


def _file(folder: Path, name: str) -> FileResponse:
    """A file inside a folder, never outside."""
    try:
        path = (folder / name).resolve()
        there = path.is_relative_to(folder.resolve()) and path.is_file() and path.suffix not in (".py", ".pyc")
    except OSError:  # the name is too long
        there = False
    if not there:
        raise HTTPException(404, "no such file")
    caching = "public, max-age=31536000, immutable" if _HASHED.search(path.name) else "no-cache"
    return FileResponse(path, headers={"Cache-Control": caching})
