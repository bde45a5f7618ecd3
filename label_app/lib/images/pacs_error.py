"""What an archive (PACS) failed at, in words for people. Apart from the client, so that a folder's server need not load that."""

from __future__ import annotations

__all__ = ["PacsError"]


class PacsError(Exception):
    """The archive did not do what it was asked.

    Attributes:
        status: HTTP status for whoever asked this server.
    """

    def __init__(self, words: str, status: int = 502) -> None:
        super().__init__(words)
        self.status = status
