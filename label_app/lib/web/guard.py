"""The guard in front of MONAI Label's server: what is not offered is refused, before any handler sees it.

MONAI Label's stock server reads any path named in a request, writes uploads under names that a request chooses, reloads the app's
code on demand, answers any web page's requests with credentials, and proxies to the whole archive. Here a list says what is
offered and to whom; the rest gets 403. A guard alone would be thin: the store and the tasks behind it know registered ids only.
"""

from __future__ import annotations

import json
import re
from urllib.parse import quote, unquote_to_bytes, urlsplit

from anyio import to_thread
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from label_app.lib.auth.authenticator import Authenticator, NotLetIn
from label_app.lib.auth.loopback import is_loopback
from label_app.lib.auth.user import User, set_user
from label_app.lib.web.bodies import LARGEST_BYTES, BadBody, check_json, check_type
from label_app.lib.web.offered import SAFE_METHODS, Offer, find_offer

__all__ = ["LARGEST_BYTES", "Guard", "is_loopback"]

_FORBIDDEN = re.compile(rb"\.\.|\\|[\x00-\x1f\x7f]")
_NUMBER = re.compile(r"[0-9]{1,18}")
_PAGES = re.compile(r"/|/ohif(/.*)?|/tavr/[a-z]+/?", re.DOTALL)  # where a browser without a login is shown the way
# patients' images stay in this browser: the page may talk to its own server only. OHIF compiles WebAssembly and inlines styles.
_CONTENT_POLICY = (
    "default-src 'self' blob: data:; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' 'unsafe-inline'; "
    "worker-src 'self' blob:; object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _CONTENT_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class _Refused(Exception):
    def __init__(self, status: int, words: str, **headers: str) -> None:
        super().__init__(words)
        self.status, self.words = status, words
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


class Guard:
    """ASGI middleware that lets through what is offered, from whoever may ask, and says who that is.

    Args:
        app: the application behind.
        authenticator: knows the users. On a loopback address or behind a proxy only requests for the server's own names pass, so
            that a web page whose name resolves to 127.0.0.1 (DNS rebinding) reads nothing.
    """

    def __init__(self, app: ASGIApp, *, authenticator: Authenticator) -> None:
        self._app = app
        self._authenticator = authenticator
        self._hosts = authenticator.access.host_names
        public = authenticator.access.public_url
        self._public = None if public is None else urlsplit(public).netloc.lower()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        started = False

        async def guarded_send(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            await self._check(scope)
            await self._app(scope, await _checked_body(scope, receive), guarded_send)
        except (_Refused, NotLetIn, BadBody) as refusal:
            if started:
                raise
            await _answer(guarded_send, refusal)

    async def _check(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        method, path = scope["method"], scope["path"]
        _check_text(scope.get("raw_path") or path.encode(), "path")
        _check_text(path.encode(), "path")
        _check_text(scope.get("query_string", b"").replace(b"+", b" "), "query")
        if self._hosts is not None and _host_of(f"//{headers.get('host', '')}") not in self._hosts:
            raise _Refused(400, "this server answers to its own host name only")
        foreign = method not in SAFE_METHODS and not self._is_own_page(headers)
        if foreign and ("origin" in headers or "sec-fetch-site" in headers):
            raise _Refused(403, "requests from other web pages are refused")
        offer = find_offer(method, path)
        if offer is None:
            raise _Refused(403, f"{method} {path[:80]} is not offered by this server")
        length = headers.get("content-length", "0")
        if not _NUMBER.fullmatch(length) or int(length) > LARGEST_BYTES:
            raise BadBody(413, f"a request carries at most {LARGEST_BYTES} bytes")
        if "content-length" in headers and "transfer-encoding" in headers:  # a proxy may count by the other
            raise _Refused(400, "a request states its length or comes in chunks, not both")
        await self._check_user(scope, headers, offer, foreign)

    async def _check_user(self, scope: Scope, headers: Headers, offer: Offer, foreign: bool) -> None:
        """Find out who asks; leave it in the scope."""
        scope.setdefault("state", {})["auth"] = self._authenticator.access.kind
        if offer.role is None:
            return
        address = scope["client"][0] if scope.get("client") else "-"
        user, by_cookie = await self._authenticator.identify(headers, address)
        if user is None:
            raise _where_to_log_in(scope, headers)
        if by_cookie and foreign:  # a browser always says where such a request comes from
            raise _Refused(403, "a request with a session's cookie must come from this server's own pages")
        _check_role(user, offer.role)
        set_user(scope, user)

    def _is_own_page(self, headers: Headers) -> bool:
        """Whether a page of this server sends the request, by what browsers say and pages cannot change."""
        origin = headers.get("origin")
        if origin is None:
            return headers.get("sec-fetch-site") == "same-origin"
        try:
            netloc = urlsplit(origin).netloc.lower()
        except ValueError:
            return False
        return bool(netloc) and netloc in (headers.get("host", "").lower(), self._public)


def _check_role(user: User, role: str) -> None:
    if not user.may(role):
        raise _Refused(403, f"this takes the role {role!r}; {user.name} has {', '.join(sorted(user.roles))}")


def _where_to_log_in(scope: Scope, headers: Headers) -> _Refused:
    """A browser that opens a page is led to the login; a program is told."""
    if scope["method"] == "GET" and "text/html" in headers.get("accept", "") and _PAGES.fullmatch(scope["path"]):
        query = scope.get("query_string", b"").decode("ascii", "ignore")
        target = quote(scope["path"], safe="/") + (f"?{query}" if query else "")
        return _Refused(303, "log in first", location=f"/tavr/login?next={quote(target, safe='')}")
    return _Refused(401, "log in first, at /tavr/login, or send 'Authorization: Bearer TOKEN'", www_authenticate="Bearer")


def _host_of(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


def _check_text(text: bytes, where: str) -> None:
    for _ in range(4):  # however often it was percent-encoded
        if _FORBIDDEN.search(text):
            raise _Refused(400, f"the {where} holds '..', a backslash or a control character")
        decoded = unquote_to_bytes(text)
        if decoded == text:
            return
        text = decoded
    raise _Refused(400, f"the {where} is percent-encoded too often")


def _limited(receive: Receive, limit: int) -> Receive:
    """Count the body as it comes, for a chunked request states no length."""
    total = 0

    async def limited() -> Message:
        nonlocal total
        message = await receive()
        total += len(message.get("body", b""))
        if total > limit:
            raise BadBody(413, f"a request of this kind carries at most {limit} bytes")
        return message

    return limited


async def _checked_body(scope: Scope, receive: Receive) -> Receive:
    """Read and check a JSON body before a handler does; forms are read as they come."""
    headers = Headers(scope=scope)
    has_body = headers.get("content-length", "0").strip("0") or "transfer-encoding" in headers
    # other methods take no body; MONAI Label's client states the length of its last one there, and sends none
    if scope["method"] not in ("POST", "PUT") or not has_body:
        return receive
    media_type, limit = check_type(headers.get("content-type", ""), headers.get("content-encoding", ""))
    receive = _limited(receive, limit)
    if media_type != "application/json":
        return receive
    messages: list[Message] = []
    while not messages or messages[-1].get("more_body", False):
        messages.append(await receive())
    await to_thread.run_sync(check_json, b"".join(m.get("body", b"") for m in messages))

    async def again() -> Message:
        return messages.pop(0) if messages else await receive()

    return again


async def _answer(send: Send, refusal: _Refused | NotLetIn | BadBody) -> None:
    body = json.dumps({"detail": refusal.words}).encode()
    headers = {"content-type": "application/json", "content-length": str(len(body))}
    if isinstance(refusal, NotLetIn) and refusal.status == 401:
        headers["www-authenticate"] = "Bearer"
    headers |= getattr(refusal, "headers", {})
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": refusal.status, "headers": raw})
    await send({"type": "http.response.body", "body": body})
