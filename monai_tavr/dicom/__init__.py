"""Reading and writing X-ray angiography: DICOM XA and RF, plain and Enhanced, and the pictures and NIfTI files beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from monai_tavr.cine import Cine, CineError, CineInfo
from monai_tavr.dicom.file import CINE_CLASSES
from monai_tavr.dicom.open import find_cines, open_cine, open_series
from monai_tavr.lazy import look_up_in

if TYPE_CHECKING:
    from monai_tavr.dicom.xa_reader import XAReader

__all__ = ["CINE_CLASSES", "Cine", "CineError", "CineInfo", "XAReader", "find_cines", "open_cine", "open_series"]

# MONAI takes seconds to import, and only its readers need it
__getattr__ = look_up_in(__name__, {"xa_reader": ["XAReader"]})
