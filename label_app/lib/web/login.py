"""Where people log in and out: a page for a token or the way to an OIDC issuer, and MONAI Label's login routes for its clients.

A login ends in a session's cookie, so that every request of OHIF's carries it. The routes below /auth answer as MONAI Label's do.
"""

from __future__ import annotations

import hmac
import html
import logging
import re
import secrets
import time
from pathlib import Path
from string import Template
from typing import Annotated, Any
from urllib.parse import quote

import jwt
from fastapi import APIRouter, Form, Request
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from label_app.lib.auth.authenticator import Authenticator, NotLetIn
from label_app.lib.auth.oidc import Issuer, IssuerDown, LoginRefused, challenge_of
from label_app.lib.auth.sessions import LONGEST_SECONDS
from label_app.lib.auth.user import current_user

__all__ = ["login_router"]

logger = logging.getLogger(__name__)

_PAGE = Template((Path(__file__).with_name("login.html")).read_text(encoding="utf-8"))
_HOME = "/ohif/"
_NEXT = re.compile(r"/(?!/)[A-Za-z0-9/._~?&=%:,+-]{0,2000}")  # a path of this server, nothing that leads elsewhere
_LOGIN_SECONDS = 600  # to log in at the issuer
_LOGIN_COOKIE = "tavr_login"
_CALLBACK = "/tavr/login/callback"


def login_router(authenticator: Authenticator) -> APIRouter:
    """Login, logout and MONAI Label's login routes."""
    router = APIRouter(include_in_schema=False)
    pages = _Pages(authenticator)
    router.add_api_route("/tavr/login", pages.show, methods=["GET"])
    router.add_api_route("/tavr/login", pages.log_in, methods=["POST"])
    router.add_api_route("/tavr/logout", pages.log_out, methods=["POST"])
    router.add_api_route("/tavr/login/oidc", pages.to_issuer, methods=["GET"])
    router.add_api_route(_CALLBACK, pages.from_issuer, methods=["GET"])
    clients = _Clients(authenticator)
    router.add_api_route("/auth/", clients.enabled, methods=["GET"])
    router.add_api_route("/auth/token", clients.token, methods=["POST"])
    router.add_api_route("/auth/token/valid", clients.valid, methods=["GET"])
    return router


class _Pages:
    """For browsers."""

    def __init__(self, authenticator: Authenticator) -> None:
        self._authenticator = authenticator
        self._access = authenticator.access
        self._secret = secrets.token_bytes(32)  # signs what a browser keeps while it is at the issuer

    def show(self, next: str = _HOME) -> Response:
        """The page to log in."""
        return self._page(_own_path(next))

    def log_in(self, request: Request, token: Annotated[str, Form()] = "", next: Annotated[str, Form()] = _HOME) -> Response:
        """Open a session with a token."""
        try:
            cookie = self._authenticator.log_in(token.strip(), _address(request))
        except NotLetIn as refusal:
            return self._page(_own_path(next), refusal.words, refusal.status)
        answer = RedirectResponse(_own_path(next), status_code=303)
        self._keep(answer, cookie)
        return answer

    def log_out(self, request: Request) -> Response:
        """Close the session. Elsewhere, at the issuer too, one stays logged in."""
        self._authenticator.sessions.close(self._authenticator.cookie_of(request.headers))
        answer = RedirectResponse("/tavr/login", status_code=303)
        answer.delete_cookie(self._authenticator.cookie, secure=self._access.encrypted, httponly=True, samesite="strict")
        return answer

    def to_issuer(self, request: Request, next: str = _HOME) -> Response:
        """Send the browser to the issuer."""
        if self._access.issuer is None:
            return self._page(_HOME, "logins at an OIDC issuer are not set up here", 404)
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        try:
            address = self._access.issuer.login_url(
                redirect_uri=self._callback(request), state=state, nonce=nonce, challenge=challenge_of(verifier)
            )
        except IssuerDown as failure:
            return self._page(_own_path(next), str(failure), 503)
        kept = {"state": state, "nonce": nonce, "verifier": verifier, "next": _own_path(next)}
        signed = jwt.encode({**kept, "exp": int(time.time()) + _LOGIN_SECONDS}, self._secret, algorithm="HS256")
        answer = RedirectResponse(address, status_code=303)
        # lax: the browser comes back from another site, and must bring it along
        self._set_cookie(answer, _LOGIN_COOKIE, signed, _LOGIN_SECONDS, "/tavr/login", "lax")
        return answer

    def from_issuer(self, request: Request, code: str = "", state: str = "", error: str = "") -> Response:
        """Take the browser back from the issuer."""
        if self._access.issuer is None:
            return self._page(_HOME, "logins at an OIDC issuer are not set up here", 404)
        try:
            kept = jwt.decode(request.cookies.get(_LOGIN_COOKIE, ""), self._secret, algorithms=["HS256"])
        except jwt.PyJWTError:
            return self._page(_HOME, "this login was not begun in this browser, or too long ago; begin again", 400)
        if not hmac.compare_digest(kept["state"].encode(), state.encode(errors="replace")):
            return self._page(_HOME, "this login was begun elsewhere; begin again", 400)
        if error or not code:
            return self._page(kept["next"], "the login server refuses this login", 403)
        return self._finish(self._access.issuer, code, kept, request)

    def _finish(self, issuer: Issuer, code: str, kept: dict[str, Any], request: Request) -> Response:
        address = _address(request)
        try:
            user = issuer.login(code, redirect_uri=self._callback(request), verifier=kept["verifier"], nonce=kept["nonce"])
        except LoginRefused as refusal:
            refused = self._authenticator.refused(address, str(refusal))
            return self._page(kept["next"], refused.words, 403 if refused.status == 401 else refused.status)
        except IssuerDown as failure:
            return self._page(kept["next"], str(failure), 503)
        # a redirect would still count as coming from the issuer, and the browser would hold back the strict cookie
        answer = HTMLResponse(f'<!doctype html><meta http-equiv="refresh" content="0; url={html.escape(kept["next"])}">')
        self._keep(answer, self._authenticator.begin(user, address))
        answer.delete_cookie(_LOGIN_COOKIE, path="/tavr/login", secure=self._access.encrypted, httponly=True, samesite="lax")
        return answer

    def _callback(self, request: Request) -> str:
        """The address that the issuer sends the browser back to; registered there."""
        return (self._access.public_url or str(request.base_url)).rstrip("/") + _CALLBACK

    def _keep(self, answer: Response, cookie: str) -> None:
        self._set_cookie(answer, self._authenticator.cookie, cookie, LONGEST_SECONDS, "/", "strict")

    def _set_cookie(self, answer: Response, name: str, value: str, seconds: int, path: str, same_site: Any) -> None:
        answer.set_cookie(
            name, value, max_age=seconds, path=path, secure=self._access.encrypted, httponly=True, samesite=same_site
        )

    def _page(self, target: str, error: str = "", status: int = 200) -> Response:
        shown = {
            "next": html.escape(target),
            "next_quoted": quote(target, safe=""),
            "error": html.escape(error),
            "token_hidden": "" if self._access.tokens is not None else "hidden",
            "oidc_hidden": "" if self._access.issuer is not None else "hidden",
            "nobody_hidden": "" if self._access.kind == "none" else "hidden",
        }
        return HTMLResponse(_PAGE.substitute(shown), status_code=status)


class _Clients:
    """For MONAI Label's clients, by its own addresses."""

    def __init__(self, authenticator: Authenticator) -> None:
        self._authenticator = authenticator
        self._access = authenticator.access

    def enabled(self) -> dict[str, Any]:
        """Whether a login is needed."""
        issuer = self._access.issuer
        return {
            "enabled": self._access.kind != "none",
            "client_id": None if issuer is None else issuer.options.client_id,
            "realm": None if issuer is None else issuer.options.issuer,
        }

    def token(self, request: Request, username: Annotated[str, Form()] = "", password: Annotated[str, Form()] = "") -> Response:
        """A token for a name and a password: from the issuer, or the user's own token, given as the password."""
        if self._access.kind == "none":
            return JSONResponse({"access_token": None, "token_type": None})
        address = _address(request)
        try:
            if self._access.tokens is not None and password.startswith("tavr_"):
                if self._authenticator.user_of(password, address).name != username:
                    raise self._authenticator.refused(address, "the token is another user's")
                return JSONResponse({"access_token": password, "token_type": "Bearer"})
            if self._access.issuer is None:
                raise self._authenticator.refused(address, "give your token as the password")
            self._authenticator.check_attempts(address)
            return JSONResponse(self._access.issuer.password(username, password))
        except NotLetIn as refusal:
            return JSONResponse({"detail": refusal.words}, status_code=refusal.status)
        except LoginRefused as refused:
            failure = self._authenticator.refused(address, str(refused))
            return JSONResponse({"detail": failure.words}, status_code=failure.status)
        except IssuerDown as failure:
            return JSONResponse({"detail": str(failure)}, status_code=503)

    def valid(self, request: Request) -> dict[str, Any]:
        """Who the request's token stands for."""
        user = current_user(request)
        return {"username": user.name, "email": None, "name": user.name, "roles": sorted(user.roles)}


def _address(request: Request) -> str:
    return request.client.host if request.client is not None else "-"


def _own_path(path: str) -> str:
    return path if _NEXT.fullmatch(path) else _HOME
