"""Frames that somebody is labelling: for some minutes they are not proposed to anybody else."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

__all__ = ["Reservations"]

_SECONDS = 600.0


class Reservations:
    """Who was given which frame. Safe for use by several threads; kept in memory, a restart forgets them.

    Args:
        seconds: how long a reservation holds.
        clock: seconds that only ever grow.
    """

    def __init__(self, *, seconds: float = _SECONDS, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds, self._clock = seconds, clock
        self._held: dict[tuple[str, int], tuple[str, float]] = {}
        self._lock = threading.Lock()

    def reserve(self, image: str, frame: int, user: str) -> bool:
        """Reserve a frame, or prolong one's reservation; False where somebody else holds it."""
        now = self._clock()
        with self._lock:
            holder, until = self._held.get((image, frame), (user, now))
            if holder != user and until > now:
                return False
            self._held[image, frame] = (user, now + self._seconds)
            return True

    def of_others(self, user: str) -> list[tuple[str, int]]:
        """Frames that others hold."""
        now = self._clock()
        with self._lock:
            self._held = {place: held for place, held in self._held.items() if held[1] > now}
            return [place for place, (holder, _) in self._held.items() if holder != user]
