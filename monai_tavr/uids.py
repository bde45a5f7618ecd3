"""The UIDs that this project makes, all of them: ``2.25.`` and a UUID as one number (PS3.5 B.2), which nobody need be asked for.

What is made twice from the same sources has the same UID twice, so each kind has a namespace of its own. They never change:
studies, reports and records that were written before are known by them.
"""

from __future__ import annotations

import uuid

__all__ = ["ARCHIVED_REPORT", "CINE", "PHANTOM", "SOFTWARE", "TRACKED_POINT", "derived_uid", "random_uid", "uid_of"]

CINE = uuid.UUID("4c65b0f3-5d0d-4b5c-9a3e-2f0d6f1c7a53")
"""Of cines that are written, and the implementation that their files name."""
PHANTOM = uuid.UUID("0d1a7c55-86b0-4f39-9d5e-3a0c6f1f2e81")
"""Of the studies, series and cines of phantoms."""
TRACKED_POINT = uuid.UUID("5f0c6c0e-6f0b-5d0e-9a54-1f6f2b2f7a11")
"""Of a point of a cine in structured reports: the same on every frame."""
ARCHIVED_REPORT = uuid.UUID("0a3f8b52-3a53-5f2e-8d1c-7a2a3f1f9b60")
"""Of the reports that a server stores in an archive."""
SOFTWARE = uuid.UUID(int=303137384131270203160325113470224351745)
"""This software as the device that wrote a report, where nobody says which installation."""


def uid_of(number: uuid.UUID) -> str:
    """A UUID as a UID."""
    return f"2.25.{number.int}"


def derived_uid(namespace: uuid.UUID, name: str) -> str:
    """A UID that follows from a name alone.

    Args:
        namespace: one of this module.
        name: what it is of.
    """
    return uid_of(uuid.uuid5(namespace, name))


def random_uid() -> str:
    """A UID that nobody else has."""
    return uid_of(uuid.uuid4())
