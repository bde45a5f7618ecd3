"""The image that a route is asked for, or the answer that there is none."""

from __future__ import annotations

from fastapi import HTTPException

from label_app.lib.images.study_index import ImageEntry, StudyIndex

__all__ = ["registered_image"]


def registered_image(index: StudyIndex, name: str) -> ImageEntry:
    """The registered image of that id, UID or file name.

    Raises:
        HTTPException: 404, there is none, or the name means several.
    """
    entry = index.find_image(name)
    if entry is None:
        raise HTTPException(404, "no such image; GET /tavr/images lists them")
    return entry
