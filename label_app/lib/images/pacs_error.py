"""What an archive (PACS) failed at, in words for people. Apart from the client, so that a folder's server need not load that."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse

__all__ = ["PacsError", "explain_pacs_error"]


class PacsError(Exception):
    """The archive did not do what it was asked.

    Attributes:
        status: HTTP status for whoever asked this server.
    """

    def __init__(self, words: str, status: int = 502) -> None:
        super().__init__(words)
        self.status = status


async def explain_pacs_error(request: Request, error: Exception) -> JSONResponse:
    """The answer to a request that needed the archive."""
    return JSONResponse({"detail": str(error)}, status_code=getattr(error, "status", 502))
