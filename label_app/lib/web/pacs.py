"""``--studies https://host/dicom-web``: everything that is different where the studies lie in an archive (PACS).

What talks to an archive and writes reports is loaded when it is needed: a folder's server starts without it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from fastapi import APIRouter

from label_app.lib.labels.submissions import Submissions

if TYPE_CHECKING:
    from label_app.lib.images.pacs_index import PacsIndex

__all__ = ["default_folder", "is_pacs_url", "open_pacs", "pacs_dicomweb"]

_CACHE_GB = "MONAI_TAVR_PACS_CACHE_GB"
_DEFAULT_GB = "20"


def is_pacs_url(studies: str | os.PathLike[str]) -> bool:
    """Whether ``--studies`` names an archive and no folder."""
    return str(studies).startswith(("http://", "https://"))


def default_folder(url: str) -> Path:
    """Where the labels of an archive's images lie."""
    return Path.home() / ".local" / "share" / "monai-tavr" / (urlsplit(url).hostname or "pacs")


def open_pacs(url: str, folder: Path) -> PacsIndex:
    """The index of an archive; its files are kept in ``folder``/cache/instances, as many as MONAI_TAVR_PACS_CACHE_GB holds.

    Raises:
        ValueError: the address, the credentials or the size cannot be used.
    """
    from label_app.lib.images.instance_cache import InstanceCache
    from label_app.lib.images.pacs_client import PacsClient
    from label_app.lib.images.pacs_index import PacsIndex

    client = PacsClient.from_environment(url)
    text = os.environ.get(_CACHE_GB, _DEFAULT_GB)
    try:
        size = float(text)
    except ValueError:
        size = 0.0
    if not 0 < size < 1e6:
        raise ValueError(f"{_CACHE_GB} must be a size in gigabytes, e.g. 20, got {text!r}")
    return PacsIndex(client, InstanceCache(folder / "cache" / "instances", limit_bytes=int(size * 1e9)))


def pacs_dicomweb(index: PacsIndex, submissions: Submissions) -> APIRouter:
    """DICOMweb for the viewer; from now on labels are kept in the archive too."""
    from label_app.lib.dicomweb.pacs_routes import pacs_router
    from label_app.lib.labels.archive import LabelArchive

    archive = LabelArchive(index, submissions)
    submissions.archive_state = archive.state
    archive.start()
    return pacs_router(index)
