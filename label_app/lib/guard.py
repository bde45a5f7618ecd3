"""The guard in front of MONAI Label's server: what is not offered is refused, before any handler sees it.

MONAI Label's stock server reads any path named in a request, writes uploads under names that a request chooses, reloads the app's
code on demand, answers any web page's requests with credentials, and proxies to the whole archive. Here a list says what is
offered; the rest gets 403. A guard alone would be thin: the store and the tasks behind it know registered ids only.
"""

from __future__ import annotations

import ipaddress
import json
import re
from urllib.parse import unquote_to_bytes, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["MAX_BODY_BYTES", "Guard", "is_loopback"]

MAX_BODY_BYTES = 4 << 20  # requests carry parameters; nothing is uploaded here

_OFFERED = {
    "GET": re.compile(
        r"/|/favicon\.ico|/openapi\.json|/(ohif|static|dicomweb|tavr|datastore)(/.*)?|/(info|train|scoring|batch/infer)/?",
        re.DOTALL,
    ),
    "POST": re.compile(r"/infer/[A-Za-z0-9_-]{1,64}|/activelearning/[A-Za-z0-9_-]{1,64}"),
}
_OFFERED["HEAD"] = _OFFERED["GET"]
_SAFE_METHODS = ("GET", "HEAD")
_FORBIDDEN = re.compile(rb"\.\.|\\|[\x00-\x1f\x7f]")
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
}


class _Refused(Exception):
    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status, self.words = status, words


class Guard:
    """ASGI middleware that lets through what is offered, from whoever may ask.

    Args:
        app: the application behind.
        host: the address the server binds to. On a loopback address only requests for that host pass, so that a web page whose
            name resolves to 127.0.0.1 (DNS rebinding) reads nothing.
    """

    def __init__(self, app: ASGIApp, *, host: str = "127.0.0.1") -> None:
        self._app = app
        self._hosts = {"127.0.0.1", "::1", "localhost", host.lower()} if is_loopback(host) else None

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
            self._check(scope)
            await self._app(scope, _limited(receive), guarded_send)
        except _Refused as refusal:
            if started:
                raise
            await _answer(guarded_send, refusal)

    def _check(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        method = scope["method"]
        _check_text(scope.get("raw_path") or scope["path"].encode(), "path")
        _check_text(scope["path"].encode(), "path")
        _check_text(scope.get("query_string", b"").replace(b"+", b" "), "query")
        self._check_sender(headers, method)
        if not (pattern := _OFFERED.get(method)) or not pattern.fullmatch(scope["path"]):
            raise _Refused(403, f"{method} {scope['path'][:80]} is not offered by this server")
        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length) > MAX_BODY_BYTES:
            raise _Refused(413, f"a request carries at most {MAX_BODY_BYTES} bytes")

    def _check_sender(self, headers: Headers, method: str) -> None:
        if self._hosts is not None and _host_of(f"//{headers.get('host', '')}") not in self._hosts:
            raise _Refused(400, "this server answers to its own host name only")
        origin = headers.get("origin")
        if method not in _SAFE_METHODS and origin is not None and urlsplit(origin).netloc != headers.get("host"):
            raise _Refused(403, "requests from other web pages are refused")


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


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


def _limited(receive: Receive) -> Receive:
    """Count the body as it comes, for a chunked request states no length."""
    total = 0

    async def limited() -> Message:
        nonlocal total
        message = await receive()
        total += len(message.get("body", b""))
        if total > MAX_BODY_BYTES:
            raise _Refused(413, f"a request carries at most {MAX_BODY_BYTES} bytes")
        return message

    return limited


async def _answer(send: Send, refusal: _Refused) -> None:
    body = json.dumps({"detail": refusal.words}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
