"""Sessions of browsers: an opaque cookie stands for a login, until logout, a time without requests, or a working day's end.

Kept in memory: after a restart of the server everybody logs in again, and nothing on the disk lets anyone in.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from label_app.lib.auth.user import User

__all__ = ["IDLE_SECONDS", "LONGEST_SECONDS", "Sessions"]

LONGEST_SECONDS = 12 * 3600
IDLE_SECONDS = 2 * 3600


@dataclass(frozen=True)
class _Session:
    user: User
    begun: float
    used: float
    is_valid: Callable[[], bool]

    def over(self, now: float) -> bool:
        return now - self.begun >= LONGEST_SECONDS or now - self.used >= IDLE_SECONDS


class Sessions:
    """Opens, finds and closes sessions.

    Args:
        clock: seconds from anywhere, for tests.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._sessions: dict[bytes, _Session] = {}  # by the cookie's hash: whoever reads the memory has no cookie
        self._lock = threading.Lock()

    def open(self, user: User, *, is_valid: Callable[[], bool] = lambda: True) -> str:
        """Begin a session.

        Args:
            user: who logged in.
            is_valid: asked at every request; once it says no, the session is over.

        Returns:
            The cookie's value.
        """
        cookie, now = secrets.token_urlsafe(32), self._clock()
        with self._lock:
            self._sessions = {k: s for k, s in self._sessions.items() if not s.over(now)}
            self._sessions[_key(cookie)] = _Session(user, now, now, is_valid)
        return cookie

    def user(self, cookie: str) -> User | None:
        """Whose session it is; None once it is over."""
        now = self._clock()
        with self._lock:
            session = self._sessions.get(_key(cookie))
            if session is None:
                return None
            if session.over(now) or not session.is_valid():
                del self._sessions[_key(cookie)]
                return None
            self._sessions[_key(cookie)] = replace(session, used=now)
            return session.user

    def close(self, cookie: str) -> None:
        """End a session, if there is one."""
        with self._lock:
            self._sessions.pop(_key(cookie), None)


def _key(cookie: str) -> bytes:
    return hashlib.sha256(cookie.encode(errors="replace")).digest()
