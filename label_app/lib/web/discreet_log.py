"""The server's log: where something failed, and not what the exception quotes."""

from __future__ import annotations

import logging
import traceback
from types import TracebackType

__all__ = ["DiscreetFormatter"]

_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class DiscreetFormatter(logging.Formatter):
    """Writes tracebacks without the words of their exceptions: those quote paths, and file names of hospitals name patients."""

    def __init__(self) -> None:
        super().__init__(_FORMAT)

    def formatException(
        self, ei: tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]
    ) -> str:
        """Where it was raised and of which kind it is, with its causes, the latest first."""
        told, error = [], ei[1]
        while error is not None:
            told.append("".join(traceback.format_tb(error.__traceback__)) + type(error).__name__)
            error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        return "\nfollowed from:\n".join(told)
