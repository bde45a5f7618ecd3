"""The viewer's files: OHIF from MONAI Label's wheel, this project's mode and extension, and the plain page."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from fastapi import APIRouter, HTTPException
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse, Response

from label_app.lib.web.backend import APP_DIR

if TYPE_CHECKING:
    pass

__all__ = ["viewer_router"]

_VIEWER = APP_DIR / "viewer"


_HASHED = re.compile(r"\.[0-9a-f]{20}\.(js|css)$|^[0-9a-f]{20}\.wasm$")


# OHIF fetches a font from Google; this server's pages ask no other machine for anything
_REMOTE_FONTS = re.compile(
    r"<link[^>]*fonts\.(?:gstatic|googleapis)\.com[^>]*>|@import url\(https://fonts\.googleapis\.com[^)]*\);"
)


_STYLES = "app.bundle.css"


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
        return _file(_VIEWER, "ohif/app-config.js")

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
