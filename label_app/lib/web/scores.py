"""REST of the scores: how well model and annotators agree, for the panel and by MONAI Label's own routes."""

from __future__ import annotations

import threading
from datetime import datetime
from typing import Any

from fastapi import APIRouter, HTTPException, Request

from label_app.lib.auth.user import current_user, require
from label_app.lib.labels.agreement import METHOD, Agreement

__all__ = ["score_router"]


def score_router(agreement: Agreement) -> APIRouter:
    """The routes of scores. MONAI Label would start a process of its own for each; here the figures are there at once."""
    router = APIRouter()
    runs: list[dict[str, Any]] = []
    lock = threading.Lock()

    @router.get("/tavr/scores")
    def scores(request: Request) -> dict[str, Any]:
        """Agreement of model and final labels; an annotator is told of the own labels, a reviewer of everybody's."""
        return agreement.scores(annotator=_own(request))

    @router.post("/scoring/")
    @router.post("/scoring")
    def run_all(request: Request) -> dict[str, Any]:
        """As MONAI Label's: every method's result."""
        return {METHOD: {"result": run(request, METHOD), "detail": None}}

    @router.post("/scoring/{method}")
    def run(request: Request, method: str) -> dict[str, Any]:
        """As MONAI Label's: one method's result."""
        if method != METHOD:
            raise HTTPException(404, f"no such method; there is {METHOD!r}")
        begun = _now()
        result = agreement.scores(annotator=_own(request))
        done = {"id": METHOD, "status": "DONE", "start_ts": begun, "end_ts": _now(), "user": current_user(request).name}
        with lock:
            runs[:] = [done | {"request": {"method": METHOD}, "result": result}]
        return result

    @router.get("/scoring/")
    @router.get("/scoring")
    def last_run(request: Request, all: bool = False, check_if_running: bool = False) -> Any:
        """As MONAI Label's: the last run."""
        own = current_user(request)
        with lock:
            found = [r for r in runs if own.may("reviewer") or r["user"] == own.name]
        if check_if_running or not found:
            raise HTTPException(404, "no scoring is running" if check_if_running else "no scoring has run yet")
        return found if all else found[-1]

    return router


def _own(request: Request) -> str | None:
    user = require(request, "annotator")
    return None if user.may("reviewer") else user.name


def _now() -> str:
    return datetime.now().astimezone().strftime("%Y-%m-%d %H:%M:%S")
