"""Routes of predictions ahead of time, by MONAI Label's addresses and in its shapes."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body, HTTPException, Request

from label_app.lib.auth.user import require
from label_app.lib.infers.batch import BatchRunning
from label_app.lib.models.record import TASK
from label_app.lib.web.backend import Backend

__all__ = ["batch_router"]

_WHICH = ("all", "labeled", "unlabeled")


def batch_router(backend: Backend) -> APIRouter:
    """Start, watch and stop."""
    router = APIRouter()

    @router.get("/batch/infer")
    def status(all: bool = False, check_if_running: bool = False) -> Any:
        """The last batch; with ``check_if_running`` 404 unless one is under way."""
        batch = backend.loaded().batch
        state = batch.status()
        if state is None or (check_if_running and not batch.running):
            raise HTTPException(404, "no batch is under way" if state else "there was no batch yet")
        return [state] if all else state

    @router.post("/batch/infer/{model}")
    def start(
        model: str, request: Request, images: str = "all", params: Annotated[dict[str, Any] | None, Body()] = None
    ) -> dict[str, Any]:
        """Predict all, the labelled, or the unlabelled images; the answers lie in the cache."""
        require(request, "reviewer")
        if model != TASK:
            raise HTTPException(400, f"no such model; the one is {TASK!r}")
        if images not in _WHICH:
            raise HTTPException(400, f"images must be one of {list(_WHICH)}, got {images[:40]!r}")
        app = backend.loaded()
        store = app.datastore()
        listed = {"all": store.list_images, "labeled": store.get_labeled_images, "unlabeled": store.get_unlabeled_images}
        try:
            return app.batch.start(listed[images](), model=model)
        except BatchRunning as error:
            raise HTTPException(429, str(error)) from error

    @router.delete("/batch/infer")
    def stop(request: Request) -> dict[str, Any] | None:
        """The batch that was stopped; null where there was none."""
        require(request, "reviewer")
        return backend.loaded().batch.stop()

    return router
