"""From stored pixel values to grey levels: modality LUT, VOI LUT or window, and MONOCHROME1 (PS3.3 C.11.1, C.11.2, C.7.6.3.1.2).

All of these map one integer to one number, so the whole chain is tabulated once over the stored values and a frame costs one
table look-up. pydicom's own functions are not used: its `apply_voi` wraps 12-bit input around when the table has 8-bit entries,
and its `apply_modality_lut` knows 8- and 16-bit tables only.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import XRayAngiographicImageStorage, XRayRadiofluoroscopicImageStorage

__all__ = ["GreyScale", "LookupTable", "Window"]

_LOGGER = logging.getLogger(__name__)
_WINDOW_FUNCTIONS = ("LINEAR", "LINEAR_EXACT", "SIGMOID")
_CLASSES_WITHOUT_LUT = (XRayAngiographicImageStorage, XRayRadiofluoroscopicImageStorage)
_FOR_DISPLAY = ("LOG", "DISP")  # pixel intensity relationships of stored values that are meant to be looked at


@dataclass(frozen=True)
class LookupTable:
    """A LUT of a DICOM file: input ``first`` maps to the first entry; inputs outside take the nearest entry.

    Attributes:
        first: the input of the first entry.
        bits: the entries span [0, 2^bits - 1].
        entries: the outputs.
    """

    first: int
    bits: int
    entries: tuple[int, ...]

    @classmethod
    def from_item(cls, item: Dataset, *, signed_input: bool, little_endian: bool) -> LookupTable:
        """From an item of ModalityLUTSequence or VOILUTSequence. Raises ValueError when descriptor and data disagree."""
        count, first, bits = (int(v) for v in item.LUTDescriptor)
        count = (count & 0xFFFF) or 65536  # 0 stands for 65536; read as signed it may be negative
        first = first & 0xFFFF
        if signed_input and first >= 0x8000:
            first -= 0x10000
        data = item.LUTData
        if isinstance(data, bytes):
            words = np.frombuffer(data[: len(data) // 2 * 2], "<u2" if little_endian else ">u2").astype("<u2")
            # two 8-bit entries may share a word, the lower one first
            entries = words.view(np.uint8) if bits <= 8 and len(data) < 2 * count else words
        else:
            entries = np.atleast_1d(np.asarray(data, np.int64)) & 0xFFFF
        if len(entries) < count or not 1 <= bits <= 16:
            raise ValueError(f"a lookup table of {count} entries of {bits} bits holds {len(entries)} entries")
        return cls(first=first, bits=bits, entries=tuple(int(v) for v in entries[:count]))

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Grey levels, float64, that the LUT gives for the stored or modality ``values``, of any shape and in grey levels too."""
        index = np.clip(np.rint(values).astype(np.int64) - self.first, 0, len(self.entries) - 1)
        return np.asarray(self.entries, np.float64)[index]


@dataclass(frozen=True)
class Window:
    """A VOI window: ``function`` is LINEAR, LINEAR_EXACT or SIGMOID (PS3.3 C.11.2.1.2 and C.11.2.1.3).

    Raises:
        ValueError: the function is unknown, or centre or width are not finite, or the width is too small.
    """

    center: float
    width: float
    function: str = "LINEAR"

    def __post_init__(self) -> None:
        if self.function not in _WINDOW_FUNCTIONS:
            raise ValueError(f"VOI LUT function {self.function!r} is unknown; known are {list(_WINDOW_FUNCTIONS)}")
        smallest = 1.0 if self.function == "LINEAR" else np.nextafter(0.0, 1.0)
        if not math.isfinite(self.center) or not smallest <= self.width < math.inf:
            raise ValueError(f"window {self.center} / {self.width} is not valid")

    def __call__(self, values: np.ndarray, low: float, high: float) -> np.ndarray:
        """``values``, grey levels of any shape, mapped to the grey levels [low, high] as float64."""
        if self.function == "SIGMOID":
            exponent = np.clip(-4.0 * (values - self.center) / self.width, -700, 700)
            return low + (high - low) / (1.0 + np.exp(exponent))
        center, width = (self.center - 0.5, self.width - 1.0) if self.function == "LINEAR" else (self.center, self.width)
        if width == 0:  # a LINEAR window of width 1 is a threshold
            return np.where(values > center, high, low)
        return low + (high - low) * np.clip((values - center) / width + 0.5, 0.0, 1.0)


@dataclass(frozen=True, kw_only=True)
class GreyScale:
    """The whole way from stored values to grey levels, bright is high.

    Attributes:
        bits_stored: 1 to 16.
        signed: stored values are two's complement.
        slope, intercept: rescaling; 1 and 0 for none.
        modality: modality LUT, which replaces the rescaling.
        voi: VOI LUT.
        window: VOI window, which goes before the VOI LUT, as in viewers.
        inverted: MONOCHROME1, low is bright.
    """

    bits_stored: int
    signed: bool = False
    slope: float = 1.0
    intercept: float = 0.0
    modality: LookupTable | None = None
    voi: LookupTable | None = None
    window: Window | None = None
    inverted: bool = False

    @property
    def lowest(self) -> int:
        """The smallest stored value."""
        return -(1 << (self.bits_stored - 1)) if self.signed else 0

    @property
    def remark(self) -> str | None:
        """What whoever looks at the frames should know; None where there is nothing to say."""
        if self.window is not None and np.ptp(self.table()) == 0:
            shown = f"the window {self.window.center:g} / {self.window.width:g} shows one grey level only"
            return f"{shown}: nothing can be seen or found; correct WindowCenter and WindowWidth"
        return None

    def apply(self, stored: np.ndarray, *, voi: bool = True) -> np.ndarray:
        """Grey levels of stored values.

        Args:
            stored: (H, W) stored intensities, as the file holds them.
            voi: apply the VOI LUT or window.

        Returns:
            (H, W) float32 grey levels, bright is high.
        """
        return self.table(voi=voi).take(self.places(stored))

    def table(self, *, voi: bool = True) -> np.ndarray:
        """(N,) float32, read-only: the grey level of each of the N = 2^bits_stored stored values, from the lowest up."""
        return _table(self, voi)

    def places(self, stored: np.ndarray) -> np.ndarray:
        """Where in :attr:`table` stored values stand.

        Args:
            stored: (H, W) stored intensities.

        Returns:
            (H, W) indices, unsigned.
        """
        return (stored.astype(np.int32) - self.lowest).astype(np.uint16) if self.signed else stored

    @classmethod
    def from_dicom(cls, value: Callable[[str], Any], *, little_endian: bool = True) -> GreyScale:
        """From the header; ``value`` gives an attribute of the frame by its keyword, None where it is missing or empty.

        The modality LUT of XA and XRF images, and of others whose PixelIntensityRelationship is LOG or DISP, leads back to beam
        intensity (PS3.3 C.8.7.1.1.2): viewers leave it out, and windows are of the stored values.

        Raises:
            ValueError: an attribute makes no sense; names it.
        """
        signed = value("PixelRepresentation") == 1
        slope, intercept = _number(value, "RescaleSlope"), _number(value, "RescaleIntercept")
        if slope == 0:
            raise ValueError("RescaleSlope is 0: every pixel would get the same grey level")
        for_display = str(value("PixelIntensityRelationship") or "").strip().upper() in _FOR_DISPLAY
        without_lut = for_display or value("SOPClassUID") in _CLASSES_WITHOUT_LUT
        modality = None if without_lut else _lut(value, "ModalityLUTSequence", signed, little_endian)
        values_may_be_negative = modality is None and (signed or (intercept or 0.0) < 0)
        return cls(
            bits_stored=int(value("BitsStored")),
            signed=signed,
            slope=1.0 if slope is None else slope,
            intercept=intercept or 0.0,
            modality=modality,
            voi=_lut(value, "VOILUTSequence", values_may_be_negative, little_endian),
            window=_window(value),
            inverted=value("PhotometricInterpretation") == "MONOCHROME1",
        )


@lru_cache(maxsize=32)
def _table(grey: GreyScale, voi: bool) -> np.ndarray:
    """(2^bits_stored,) float32: grey level of every stored value, from the lowest up."""
    values = np.arange(1 << grey.bits_stored, dtype=np.float64) + grey.lowest
    if grey.modality is not None:
        values, low, high = grey.modality(values), 0.0, 2.0**grey.modality.bits - 1
    else:
        values = values * grey.slope + grey.intercept
        low, high = sorted((float(values[0]), float(values[-1])))
    if voi and grey.window is not None:
        values = grey.window(values, low, high)
    elif voi and grey.voi is not None:
        values, low, high = grey.voi(values), 0.0, 2.0**grey.voi.bits - 1
    table = (low + high - values if grey.inverted else values).astype(np.float32)
    table.setflags(write=False)
    return table


def _number(value: Callable[[str], Any], keyword: str) -> float | None:
    try:
        raw = value(keyword)
        if raw is None:
            return None
        number = float(raw[0] if isinstance(raw, list | tuple) or hasattr(raw, "append") else raw)
    except (TypeError, ValueError, IndexError):
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{keyword} is not a number")
    return number


def _lut(value: Callable[[str], Any], keyword: str, signed_input: bool, little_endian: bool) -> LookupTable | None:
    sequence = value(keyword)
    if not sequence:
        return None
    item = sequence[0]
    if item.get("LUTDescriptor") is None or item.get("LUTData") is None:
        raise ValueError(f"{keyword} has no LUTDescriptor or no LUTData")
    try:
        return LookupTable.from_item(item, signed_input=signed_input, little_endian=little_endian)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{keyword}: {error}") from error


def _window(value: Callable[[str], Any]) -> Window | None:
    center, width = _number(value, "WindowCenter"), _number(value, "WindowWidth")
    if center is None or width is None:
        return None
    function = str(value("VOILUTFunction") or "LINEAR").upper()
    if function in _WINDOW_FUNCTIONS and width < (1 if function == "LINEAR" else 1e-9):
        _LOGGER.warning("a window of width %g is not valid and is left out", width)
        return None
    return Window(center=center, width=width, function=function)
