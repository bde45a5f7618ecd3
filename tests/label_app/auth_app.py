"""The guard and the logins as they are, over a small app that says who asks: MONAI Label behind it would take long to load."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request

from label_app.lib.auth.access import Access
from label_app.lib.auth.audit import AuditLog
from label_app.lib.auth.authenticator import Authenticator
from label_app.lib.auth.tokens import TokenFile
from label_app.lib.auth.user import current_user
from label_app.lib.web.guard import Guard
from label_app.lib.web.login import login_router

__all__ = ["ALL", "Running", "anyio_backend", "tokens"]

ALL = ["admin", "annotator", "reviewer"]


class Running:
    """The guard over an app that says who asks."""

    def __init__(self, access: Access, folder: Path) -> None:
        self.audit = folder / "audit.jsonl"
        authenticator = Authenticator(access, AuditLog(self.audit))
        app = FastAPI(openapi_url=None)
        app.include_router(login_router(authenticator))

        @app.api_route("/{path:path}", methods=["GET", "PUT", "POST", "DELETE"])
        def echo(request: Request) -> dict[str, Any]:
            user = current_user(request)
            return {"name": user.name, "roles": sorted(user.roles), "auth": request.state.auth}

        self.app = Guard(app, authenticator=authenticator)
        self.origin = access.public_url or "http://127.0.0.1:8000"

    def browser(self, **headers: str) -> httpx.AsyncClient:
        """Keeps cookies; sends what browsers send from the server's own pages."""
        own = {"sec-fetch-site": "same-origin", "accept": "text/html"}
        return httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url=self.origin, headers={**own, **headers})

    def program(self, token: str = "", **headers: str) -> httpx.AsyncClient:
        """Sends a token, or nothing."""
        own = {"authorization": f"Bearer {token}"} if token else {}
        return httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url=self.origin, headers={**own, **headers})

    def recorded(self) -> list[tuple[str, str]]:
        if not self.audit.exists():
            return []
        return [(x["user"], x["action"]) for x in map(json.loads, self.audit.read_text().splitlines())]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def tokens(tmp_path: Path) -> tuple[TokenFile, dict[str, str]]:
    file = TokenFile(tmp_path / "tokens.json")
    return file, {role: file.add(f"{role}-1", role=role) for role in ("annotator", "reviewer", "admin")}
