"""Tokens: long random secrets that stand for a user, for programs and for places without an identity provider.

The file keeps a salted SHA-256 of each token. A slow hash (scrypt, bcrypt) slows down the guessing of what people think up; a
token is 256 random bits, which nobody guesses at any speed, and every request with a token is checked.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import stat
from dataclasses import asdict, dataclass, fields
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from label_app.lib.auth.user import User, check_name, roles_up_to
from monai_tavr.files import write_json_atomically
from monai_tavr.formats.checks import listing, mapping, read_json, shown, text

__all__ = ["TokenEntry", "TokenFile"]

_FORMAT = "monai-tavr/tokens/1"
_PREFIX = "tavr_"  # lets scanners of repositories and logs recognise one


@dataclass(frozen=True)
class TokenEntry:
    """What the file says of one token.

    Args:
        name: the user's.
        role: of :data:`label_app.lib.auth.user.ROLES`.
        created: ISO 8601.
        expires: ISO 8601.
        salt: hexadecimal.
        sha256: of salt and token, hexadecimal.

    Raises:
        ValueError: a value cannot be what it should be.
    """

    name: str
    role: str
    created: str
    expires: str
    salt: str
    sha256: str

    def __post_init__(self) -> None:
        check_name(self.name)
        roles_up_to(self.role)
        for field in ("created", "expires"):
            if datetime.fromisoformat(getattr(self, field)).tzinfo is None:
                raise ValueError(f"{field} must state its zone, got {getattr(self, field)!r}")
        if len(bytes.fromhex(self.salt)) < 16 or len(bytes.fromhex(self.sha256)) != 32:
            raise ValueError("salt and sha256 must be 16 or more and 32 bytes in hexadecimal")

    @property
    def user(self) -> User:
        """Whom the token stands for."""
        return User(self.name, roles_up_to(self.role))

    @property
    def expired(self) -> bool:
        """Whether its time is over."""
        return datetime.now(timezone.utc) >= datetime.fromisoformat(self.expires)

    def matches(self, token: str) -> bool:
        """Whether this is the entry of a token; takes the same time for every wrong one."""
        return hmac.compare_digest(_digest(bytes.fromhex(self.salt), token), bytes.fromhex(self.sha256))


class TokenFile:
    """A file of tokens. A change to it holds from the next request on.

    Args:
        path: the file; it need not exist before the first :meth:`add`.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._seen: tuple[int, ...] | None = None
        self._entries: tuple[TokenEntry, ...] = ()

    def entries(self) -> tuple[TokenEntry, ...]:
        """All tokens, expired ones too.

        Raises:
            ValueError: the file is damaged, or others than its owner may change it.
            OSError: it cannot be read.
        """
        status = self.path.stat()
        seen = (status.st_ino, status.st_size, status.st_mtime_ns, status.st_mode)
        if seen != self._seen:
            if os.name == "posix" and status.st_mode & (stat.S_IWGRP | stat.S_IRWXO):
                raise ValueError(f"{self.path}: others may read or change this file; run: chmod 600 {self.path}")
            self._entries = _parse(self.path)
            self._seen = seen
        return self._entries

    def find(self, token: str) -> TokenEntry | None:
        """The entry of a token that is valid now."""
        return next((e for e in self.entries() if e.matches(token) and not e.expired), None)

    def holds(self, entry: TokenEntry) -> bool:
        """Whether an entry is still there and valid: a session ends with the token that opened it."""
        return entry in self.entries() and not entry.expired

    def add(self, name: str, *, role: str, days: float = 365) -> str:
        """Make a token for a user.

        Returns:
            The token. It is kept nowhere: this is the one chance to see it.

        Raises:
            ValueError: the name or role is none, the user has a token already, or the file is damaged.
        """
        if not 0 < days <= 3660:
            raise ValueError(f"a token is valid for up to ten years (3660 days), got {days} days")
        entries = self.entries() if self.path.exists() else ()
        if any(e.name == name for e in entries):
            raise ValueError(f"{name} has a token already; remove it first")
        token, salt, now = _PREFIX + secrets.token_urlsafe(32), secrets.token_bytes(16), datetime.now(timezone.utc)
        created, expires = (t.isoformat(timespec="seconds") for t in (now, now + timedelta(days=days)))
        entry = TokenEntry(name, role, created, expires, salt.hex(), _digest(salt, token).hex())
        _write(self.path, (*entries, entry))
        return token

    def remove(self, name: str) -> None:
        """Take a user's token away; it is refused from then on.

        Raises:
            ValueError: the user has none.
        """
        entries = self.entries()
        left = tuple(e for e in entries if e.name != name)
        if len(left) == len(entries):
            raise ValueError(f"{name!r} has no token in {self.path}")
        _write(self.path, left)


def _digest(salt: bytes, token: str) -> bytes:
    return hashlib.sha256(salt + token.encode(errors="replace")).digest()


def _parse(path: Path) -> tuple[TokenEntry, ...]:
    try:
        content = mapping(read_json(path), "the file", required={"format", "tokens"})
        if content["format"] != _FORMAT:
            raise ValueError(f"format must be {_FORMAT!r}, got {shown(content['format'])}")
        return tuple(_entry(entry, f"tokens[{n}]") for n, entry in enumerate(listing(content["tokens"], "tokens")))
    except ValueError as error:
        raise ValueError(f"{path} is no file of tokens: {error}; make one with: monai-tavr token add NAME --file FILE") from error


def _entry(content: Any, where: str) -> TokenEntry:
    names = {f.name for f in fields(TokenEntry)}
    values = mapping(content, where, known=names, required=names)
    return TokenEntry(**{name: text(value, f"{where}.{name}") for name, value in values.items()})


def _write(path: Path, entries: tuple[TokenEntry, ...]) -> None:
    """Readable by the owner only from its first byte on."""
    content = {"format": _FORMAT, "tokens": [asdict(e) for e in entries]}
    write_json_atomically(path, content, indent=2, mode=0o600)
