"""Finds out who sends a request: by a token in its header, by the cookie of a session, or by being on this machine."""

from __future__ import annotations

import logging
from collections.abc import Callable

from anyio import to_thread
from starlette.datastructures import Headers
from starlette.requests import cookie_parser

from label_app.lib.auth.access import Access
from label_app.lib.auth.attempts import FailedLogins
from label_app.lib.auth.audit import AuditLog
from label_app.lib.auth.oidc import IssuerDown, LoginRefused
from label_app.lib.auth.sessions import Sessions
from label_app.lib.auth.tokens import TokenEntry
from label_app.lib.auth.user import User, local_user

__all__ = ["Authenticator", "NotLetIn"]

logger = logging.getLogger(__name__)


class NotLetIn(Exception):
    """A login that is refused.

    Args:
        status: of HTTP.
        words: why, and what to do.
    """

    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status, self.words = status, words


class Authenticator:
    """Knows the users of a server.

    Args:
        access: what it takes to be let in.
        audit: where logins are written down; None in tests of single parts.
    """

    def __init__(self, access: Access, audit: AuditLog | None = None) -> None:
        self.access = access
        self.sessions = Sessions()
        self._failed = FailedLogins()
        self._audit = audit
        # a browser takes the first name over HTTPS, for this host and all paths only: no other server can set it
        self.cookie = "__Host-tavr" if access.encrypted else "tavr_session"

    async def identify(self, headers: Headers, address: str) -> tuple[User | None, bool]:
        """Who sends a request, and whether a cookie says so (then another web page may have sent it).

        Raises:
            NotLetIn: the credentials are wrong.
        """
        if self.access.kind == "none":
            return _whoever(headers), False
        if (given := headers.get("authorization")) is not None:
            scheme, _, token = given.partition(" ")
            if scheme.lower() != "bearer":
                raise NotLetIn(401, "send a token, as 'Authorization: Bearer TOKEN'")
            return await to_thread.run_sync(self.user_of, token.strip(), address), False
        cookie = self.cookie_of(headers)
        return (self.sessions.user(cookie) if cookie else None), True

    def cookie_of(self, headers: Headers) -> str:
        """The session's cookie in a request, or nothing."""
        return cookie_parser(headers.get("cookie", "")).get(self.cookie, "")

    def user_of(self, token: str, address: str) -> User:
        """Whose token it is: one of the file's, or the issuer's.

        Raises:
            NotLetIn: nobody's.
        """
        entry = self._entry(token)
        if entry is not None:
            return entry.user
        words = "the token is not valid"
        if self.access.issuer is not None and token.count(".") == 2:
            try:
                return self.access.issuer.bearer(token)
            except LoginRefused as refusal:
                words = str(refusal)
            except IssuerDown as failure:
                raise NotLetIn(503, str(failure)) from failure
        raise self.refused(address, words)

    def log_in(self, token: str, address: str) -> str:
        """Open a session with a token of the file; returns the cookie's value.

        Raises:
            NotLetIn: it is nobody's token.
        """
        entry, tokens = self._entry(token), self.access.tokens
        if entry is None or tokens is None:
            raise self.refused(address, "the token is not valid")

        def is_valid() -> bool:
            try:
                return tokens.holds(entry)
            except (OSError, ValueError):
                return False

        return self.begin(entry.user, address, is_valid=is_valid)

    def begin(self, user: User, address: str, *, is_valid: Callable[[], bool] = lambda: True) -> str:
        """Open a session for who has proved to be somebody, and write it down; returns the cookie's value."""
        self._record(user, "login.accepted", address)
        return self.sessions.open(user, is_valid=is_valid)

    def check_attempts(self, address: str) -> None:
        """Let nobody try a password who failed too often. A token that is right passes all the same: nobody guesses one.

        Raises:
            NotLetIn: 429.
        """
        if self._failed.blocked(address):
            raise self._too_many()

    def refused(self, address: str, words: str) -> NotLetIn:
        """Count and write down a failed login; returns what to raise."""
        if self._failed.blocked(address):
            return self._too_many()
        self._failed.add(address)
        self._record("-", "login.refused", address)
        return NotLetIn(401, words)

    def _too_many(self) -> NotLetIn:
        return NotLetIn(429, f"too many failed logins; wait {self._failed.seconds / 60:.0f} minutes")

    def _entry(self, token: str) -> TokenEntry | None:
        if self.access.tokens is None:
            return None
        try:
            return self.access.tokens.find(token)
        except (OSError, ValueError) as error:
            logger.error("no token is accepted: %s", error)
            return None

    def _record(self, user: User | str, action: str, address: str) -> None:
        if self._audit is None:
            return
        try:
            self._audit.record(user, action, address=address.partition("%")[0] or "-")
        except (OSError, ValueError) as error:
            logger.error("a login could not be written to the audit log: %s", error)


def _whoever(headers: Headers) -> User:
    """Without logins: the name that the viewer sends, for the labels' sake; it proves nothing."""
    if "x-forwarded-for" in headers or "forwarded" in headers:
        raise NotLetIn(403, "a proxy stands in front, and nobody is asked who they are: start the server with --public-url")
    try:
        return local_user(headers.get("x-annotator", "local"))
    except ValueError as error:
        raise NotLetIn(400, f"X-Annotator: {error}") from error
