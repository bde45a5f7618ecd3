"""MONAI Label's address for the next sample, answered with a frame."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body, HTTPException, Request
from fastapi.responses import Response

from label_app.lib.auth.user import require
from label_app.lib.web.backend import Backend

__all__ = ["next_router"]


def next_router(backend: Backend) -> APIRouter:
    """``POST /activelearning/{strategy}``. MONAI Label's own handler would hold up all other requests, and answer with a path."""
    router = APIRouter()

    @router.post("/activelearning/{strategy}")
    def next_frame(strategy: str, request: Request, params: Annotated[Any, Body()] = None) -> Response:
        """The next frame to label, or words where there is none."""
        user = require(request, "annotator")
        if params is not None and not isinstance(params, dict):
            raise HTTPException(400, 'the body must be a JSON object, e.g. {"exclude": [{"id": "ID", "frame": 3}]}')
        asked = {**(params or {}), "strategy": strategy, "user": user.name}
        return backend.answer(lambda app: app.next_sample(asked))

    return router
