"""Reading and writing X-ray angiography: DICOM XA and RF, plain and Enhanced, and the pictures and NIfTI files beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from monai_tavr.cine import Cine, CineError, CineInfo
from monai_tavr.dicom.file import CINE_CLASSES
from monai_tavr.dicom.open import find_cines, open_cine, open_series

if TYPE_CHECKING:
    from monai_tavr.dicom.xa_reader import XAReader

__all__ = ["CINE_CLASSES", "Cine", "CineError", "CineInfo", "XAReader", "find_cines", "open_cine", "open_series"]


def __getattr__(name: str) -> Any:
    # MONAI takes seconds to import, and only its readers need it
    if name == "XAReader":
        from monai_tavr.dicom.xa_reader import XAReader

        return XAReader
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
