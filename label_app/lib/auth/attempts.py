"""Failed logins, counted: who fails too often waits."""

from __future__ import annotations

import ipaddress
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable

__all__ = ["FailedLogins"]

_LARGEST = 10_000  # addresses remembered; the oldest go first


class FailedLogins:
    """Counts failures per address; IPv6 per /64 network, for one machine has that many addresses.

    Args:
        limit: failures within ``seconds`` after which an address is blocked.
        seconds: how long a failure counts.
        clock: seconds from anywhere, for tests.
    """

    def __init__(self, *, limit: int = 10, seconds: float = 300, clock: Callable[[], float] = time.monotonic) -> None:
        self.seconds = seconds
        self._limit = limit
        self._clock = clock
        self._failures: OrderedDict[str, deque[float]] = OrderedDict()
        self._lock = threading.Lock()

    def add(self, address: str) -> None:
        """Count one failure."""
        with self._lock:
            times = self._failures.setdefault(_network(address), deque(maxlen=self._limit))
            times.append(self._clock())
            self._failures.move_to_end(_network(address))
            while len(self._failures) > _LARGEST:
                self._failures.popitem(last=False)

    def blocked(self, address: str) -> bool:
        """Whether an address has failed too often of late."""
        with self._lock:
            times = self._failures.get(_network(address))
            return times is not None and len(times) == self._limit and self._clock() - times[0] < self.seconds


def _network(address: str) -> str:
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    return str(ipaddress.ip_network((parsed, 64), strict=False)) if parsed.version == 6 else address
