"""Who sends a request, and what that person may do.

The guard decides this once per request and leaves it in the scope's state; handlers only ask.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from fastapi import HTTPException
from starlette.requests import HTTPConnection
from starlette.types import Scope

__all__ = ["ROLES", "User", "check_name", "current_user", "local_user", "require", "roles_up_to", "set_user"]

ROLES = ("annotator", "reviewer", "admin")  # each may do what those before it may
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._ -]{0,63}")


@dataclass(frozen=True)
class User:
    """A person or a program that sends requests.

    Args:
        name: as it appears beside labels and in the audit log.
        roles: of :data:`ROLES`; a role brings the ones before it, see :func:`roles_up_to`.
    """

    name: str
    roles: frozenset[str]

    def may(self, role: str) -> bool:
        """Whether this user holds a role."""
        return role in self.roles


def check_name(name: str) -> str:
    """A user's name as it may stand in files and logs.

    Raises:
        ValueError: it holds other characters than letters, digits, ``. _ -`` and blanks, or is longer than 64.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"{name[:64]!r} is no name of a user: 1 to 64 letters, digits, '.', '_', '-' or blanks, not beginning with a mark"
        )
    return name


def roles_up_to(role: str) -> frozenset[str]:
    """A role with those that it includes.

    Raises:
        ValueError: no such role.
    """
    if role not in ROLES:
        raise ValueError(f"{role!r} is no role; there are {', '.join(ROLES)}")
    return frozenset(ROLES[: ROLES.index(role) + 1])


def local_user(name: str = "local") -> User:
    """Whoever sits at this machine: without authentication everybody may do everything."""
    return User(check_name(name), roles_up_to("admin"))


def set_user(scope: Scope, user: User) -> None:
    """Leave the user in a request's scope, for :func:`current_user`."""
    scope.setdefault("state", {})["user"] = user


def current_user(request: HTTPConnection) -> User:
    """Who sends this request; usable as a FastAPI dependency.

    Raises:
        HTTPException: 401, nobody is known (the request did not come through the guard).
    """
    user = request.scope.get("state", {}).get("user")
    if not isinstance(user, User):
        raise HTTPException(401, "log in first")
    return user


def require(request: HTTPConnection, role: str) -> User:
    """The user, if they hold a role.

    Raises:
        HTTPException: 403, they do not; says which role it takes.
    """
    user = current_user(request)
    if not user.may(role):
        raise HTTPException(403, f"this takes the role {role!r}; {user.name} has {', '.join(sorted(user.roles)) or 'none'}")
    return user
