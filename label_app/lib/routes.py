"""Routes of the app beside MONAI Label's own: inference, what the viewer must know, and the viewer's files."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Form, HTTPException, UploadFile
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse, Response

from label_app.lib.backend import APP_DIR, Backend
from label_app.lib.datastores.study_index import StudyIndex
from label_app.lib.infers.request import parse_params

__all__ = ["app_router", "viewer_router"]

_VIEWER = APP_DIR / "viewer"
_HASHED = re.compile(r"\.[0-9a-f]{20}\.(js|css)$|^[0-9a-f]{20}\.wasm$")
_UNCERTAIN_BELOW = 0.75
# OHIF fetches a font from Google; this server's pages ask no other machine for anything
_REMOTE_FONTS = re.compile(
    r"<link[^>]*fonts\.(?:gstatic|googleapis)\.com[^>]*>|@import url\(https://fonts\.googleapis\.com[^)]*\);"
)
_STYLES = "app.bundle.css"


def app_router(index: StudyIndex, backend: Backend) -> APIRouter:
    """Inference and the viewer's questions."""
    router = APIRouter()

    @router.post("/infer/{model}")
    def infer(
        model: str,
        image: str = "",
        output: str = "json",
        session_id: str = "",
        params: str = Form("{}"),
        file: UploadFile | None = None,
        label: UploadFile | None = None,
    ) -> Response:
        """Predict on a registered image. MONAI Label's own handler would hold up every other request meanwhile."""
        if file is not None or label is not None or session_id:
            raise HTTPException(400, "uploads are not offered: name a registered image, ?image=ID")
        if output not in ("json", "all"):
            raise HTTPException(400, f"this model answers with JSON: output must be 'json', got {output[:40]!r}")
        try:
            request = parse_params(params)
        except ValueError as error:
            raise HTTPException(400, str(error)) from error
        return backend.answer(lambda app: app.infer({**request, "model": model, "image": image})["params"])

    @router.get("/tavr/status")
    def status() -> dict[str, Any]:
        """Whether predictions can be had, and by which model; the schema says what is drawn."""
        state = backend.state
        return {"state": state, "uncertain_below": _UNCERTAIN_BELOW} | (backend.app().model() if state == "ready" else {})

    @router.get("/tavr/images/{name}")
    def image(name: str) -> dict[str, Any]:
        """The registered image that an instance belongs to, and which instance and frame (0-based) each of its frames is."""
        entry = index.find_image(name)
        if entry is None:
            raise HTTPException(404, "no such image")
        counted = [(i.sop_uid, f) for i in entry.instances for f in range(i.number_of_frames)]
        return {"id": entry.image_id, "frames": [{"sop_instance_uid": sop, "frame": f} for sop, f in counted]}

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

    @router.get("/tavr/viewer/{name}", include_in_schema=False)
    def viewer_file(name: str) -> Response:
        return _file(_VIEWER, name)

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
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()) or not path.is_file() or path.suffix in (".py", ".pyc"):
        raise HTTPException(404, "no such file")
    caching = "public, max-age=31536000, immutable" if _HASHED.search(path.name) else "no-cache"
    return FileResponse(path, headers={"Cache-Control": caching})
