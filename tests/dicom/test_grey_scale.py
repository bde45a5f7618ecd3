"""The grey scale by numbers worked out by hand (PS3.3 C.11.1 and C.11.2)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import XRayAngiographicImageStorage, XRayRadiofluoroscopicImageStorage
from xa_files import item

from monai_tavr.dicom.grey_scale import GreyScale, LookupTable, Window

BITS8: dict[str, Any] = {"BitsStored": 8, "PixelRepresentation": 0, "PhotometricInterpretation": "MONOCHROME2"}


def _from(**attributes: Any) -> GreyScale:
    header = item(**{**BITS8, **attributes})
    return GreyScale.from_dicom(header.get)


def _grey(scale: GreyScale, *stored: int, voi: bool = True) -> list[float]:
    return scale.apply(np.array(stored), voi=voi).tolist()


def test_without_attributes_nothing_changes() -> None:
    assert _grey(_from(), 0, 1, 128, 255) == [0, 1, 128, 255]
    assert _from().apply(np.zeros((2, 3), np.uint8)).dtype == np.float32


def test_rescale() -> None:
    assert _grey(_from(RescaleSlope=0.5, RescaleIntercept=-10), 0, 10, 255) == [-10, -5, 117.5]


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        # center 100, width 51: LINEAR spreads (74.5, 124.5] over 50 steps: 100 -> (0.5 / 50 + 0.5) * 255 = 130.05
        ("LINEAR", [0, 0, 0.01 * 255, 130.05, 0.99 * 255, 255]),
        # LINEAR_EXACT spreads (74.5, 125.5] over 51 steps: 75 -> 0.5 / 51 * 255 = 2.5
        ("LINEAR_EXACT", [0, 0, 2.5, 127.5, 247.5, 252.5]),
    ],
)
def test_linear_windows(function: str, expected: list[float]) -> None:
    scale = _from(WindowCenter=100, WindowWidth=51, VOILUTFunction=function)
    np.testing.assert_allclose(_grey(scale, 0, 74, 75, 100, 124, 125), expected, rtol=1e-6)


def test_sigmoid_window() -> None:
    """255 / (1 + exp(-4 (x - 100) / 40)): 1/(1 + e^1) at 90, 1/2 at 100, 1/(1 + e^-2) at 120."""
    scale = _from(WindowCenter=100, WindowWidth=40, VOILUTFunction="SIGMOID")
    np.testing.assert_allclose(_grey(scale, 90, 100, 120), [255 * 0.2689414, 127.5, 255 * 0.8807971], rtol=1e-6)


def test_window_of_width_one_is_a_threshold() -> None:
    assert _grey(_from(WindowCenter=100, WindowWidth=1), 98, 99, 100, 101) == [0, 0, 255, 255]


def test_the_first_of_several_windows_counts() -> None:
    scale = _from(WindowCenter=[100, 20], WindowWidth=[51, 10])
    np.testing.assert_allclose(_grey(scale, 100), [130.05], rtol=1e-6)


@pytest.mark.parametrize("window", [{"WindowCenter": 100}, {"WindowCenter": 100, "WindowWidth": None}, {"WindowWidth": 3}])
def test_half_a_window_is_none(window: dict[str, Any]) -> None:
    assert _grey(_from(**window), 7) == [7]


def test_a_window_without_width_is_left_out_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    assert _grey(_from(WindowCenter=100, WindowWidth=0), 7) == [7]
    assert "width 0" in caplog.text


def test_voi_can_be_left_out() -> None:
    scale = _from(WindowCenter=100, WindowWidth=51, RescaleSlope=2, RescaleIntercept=1)
    assert _grey(scale, 0, 100, voi=False) == [1, 201]


def test_signed_values() -> None:
    scale = _from(PixelRepresentation=1, BitsStored=12)
    assert _grey(scale, -2048, -1, 0, 2047) == [-2048, -1, 0, 2047]


def test_monochrome1_turns_the_range_around() -> None:
    assert _grey(_from(PhotometricInterpretation="MONOCHROME1"), 0, 55, 255) == [255, 200, 0]
    assert _grey(_from(PhotometricInterpretation="MONOCHROME1", BitsStored=10), 0, 1023) == [1023, 0]
    signed = _from(PhotometricInterpretation="MONOCHROME1", PixelRepresentation=1)
    assert _grey(signed, -128, 0, 127) == [127, -1, -128]


def test_monochrome1_is_turned_after_the_window() -> None:
    """The window 50.5 / 101 brightens low values; (20 - 50) / 100 + 0.5 = 0.2, turned 0.8."""
    scale = _from(PhotometricInterpretation="MONOCHROME1", WindowCenter=50.5, WindowWidth=101)
    np.testing.assert_allclose(_grey(scale, 0, 20, 100, 255), [255, 204, 0, 0], rtol=1e-6)


def _lut(first: int, bits: int, entries: list[int] | bytes, *, count: int | None = None) -> Dataset:
    return item(LUTDescriptor=[len(entries) if count is None else count, first, bits], LUTData=entries)


def test_modality_lut_replaces_the_rescaling() -> None:
    scale = _from(ModalityLUTSequence=[_lut(10, 12, [1000, 2000, 4095])], RescaleSlope=5, RescaleIntercept=5)
    assert _grey(scale, 0, 10, 11, 12, 255) == [1000, 1000, 2000, 4095, 4095]


@pytest.mark.parametrize("relationship", ["LOG", "DISP"])
def test_what_is_stored_for_display_goes_without_modality_lut(relationship: str) -> None:
    """A descending LUT would turn the picture around; the window is of the stored values."""
    header = {"ModalityLUTSequence": [_lut(0, 12, list(range(4080, -1, -16)))], "WindowCenter": 128, "WindowWidth": 256}
    shown = _from(PixelIntensityRelationship=relationship, **header)
    assert _grey(shown, 0, 128, 255) == [0, 128, 255]
    assert _grey(_from(PixelIntensityRelationship="LIN", **header), 0, 255) == [4095, 0]


@pytest.mark.parametrize("sop_class", [XRayAngiographicImageStorage, XRayRadiofluoroscopicImageStorage])
def test_a_modality_lut_of_xa_is_not_for_display_whatever_the_relationship(sop_class: str) -> None:
    lut = _lut(0, 12, list(range(4080, -1, -16)))
    assert _grey(_from(SOPClassUID=sop_class, ModalityLUTSequence=[lut]), 0, 128, 255) == [0, 128, 255]
    assert _grey(_from(SOPClassUID=sop_class, RescaleSlope=2, RescaleIntercept=-10), 0, 128) == [-10, 246]


def test_a_window_that_shows_one_grey_level_is_said() -> None:
    scale = _from(WindowCenter=2000, WindowWidth=200)
    assert _grey(scale, 0, 255) == [0, 0]
    assert "the window 2000 / 200 shows one grey level only" in str(scale.remark)
    assert _from(WindowCenter=200, WindowWidth=2).remark is None
    assert _from().remark is None


def test_window_after_a_modality_lut_spans_the_luts_bits() -> None:
    scale = _from(ModalityLUTSequence=[_lut(0, 10, [0, 100, 1023])], WindowCenter=100.5, WindowWidth=201)
    # (100 - 100) / 200 + 0.5 = 0.5 of 1023
    np.testing.assert_allclose(_grey(scale, 0, 1, 2), [0, 511.5, 1023])


def test_the_window_goes_before_a_voi_lut() -> None:
    """As in OHIF and dcm4che; where there is no window, or none that is valid, the LUT holds."""
    lut = _lut(100, 8, [5, 6, 250])
    assert _grey(_from(VOILUTSequence=[lut], WindowCenter=101, WindowWidth=2), 100, 101) == [0, 255]
    for window in ({}, {"WindowCenter": 101, "WindowWidth": 0}):
        scale = _from(VOILUTSequence=[lut], **window)
        assert _grey(scale, 99, 100, 101, 102, 200) == [5, 5, 6, 250, 250]
        assert _grey(scale, 99, 101, voi=False) == [99, 101]


def test_voi_lut_of_8_bits_for_12_bit_pixels() -> None:
    """pydicom wraps the index around at 256 here."""
    entries = [i // 16 for i in range(4096)]
    scale = _from(BitsStored=12, VOILUTSequence=[_lut(0, 8, entries)], PhotometricInterpretation="MONOCHROME1")
    assert _grey(scale, 0, 15, 16, 300, 4095) == [255, 255, 254, 237, 0]


def test_voi_lut_follows_the_rescaling_with_rounding() -> None:
    scale = _from(RescaleSlope=0.4, RescaleIntercept=0, VOILUTSequence=[_lut(0, 8, [10, 20, 30, 40])])
    # 1 -> 0.4 -> 0; 2 -> 0.8 -> 1; 4 -> 1.6 -> 2; 7 -> 2.8 -> 3
    assert _grey(scale, 1, 2, 4, 7, 200) == [10, 20, 30, 40, 40]


def test_voi_lut_of_signed_values_starts_below_zero() -> None:
    """The descriptor's second value, -2, reads 65534 where the file says that it is unsigned."""
    for first in (-2, 65534):
        scale = _from(PixelRepresentation=1, VOILUTSequence=[_lut(first, 8, [1, 2, 3, 4])])
        assert _grey(scale, -128, -2, -1, 0, 1, 127) == [1, 1, 2, 3, 4, 4]


@pytest.mark.parametrize(
    ("data", "little_endian"),
    [
        (bytes([1, 0, 2, 0, 3, 0]), True),  # a word per entry
        (bytes([0, 1, 0, 2, 0, 3]), False),
        (bytes([1, 2, 3, 0]), True),  # two entries per word, lower byte first
        (bytes([2, 1, 0, 3]), False),
    ],
)
def test_lut_data_as_words(data: bytes, little_endian: bool) -> None:
    table = LookupTable.from_item(_lut(0, 8, data, count=3), signed_input=False, little_endian=little_endian)
    assert table.entries == (1, 2, 3)


def test_descriptor_zero_stands_for_65536_entries() -> None:
    data = np.arange(65536, dtype="<u2").tobytes()
    table = LookupTable.from_item(_lut(0, 16, data, count=0), signed_input=False, little_endian=True)
    assert (len(table.entries), table.entries[-1]) == (65536, 65535)


def _nothing(**attributes: Any) -> Callable[[], GreyScale]:
    return lambda: _from(**attributes)


@pytest.mark.parametrize(
    ("build", "reason"),
    [
        (_nothing(RescaleSlope=0), "RescaleSlope is 0"),
        (_nothing(VOILUTSequence=[item(LUTDescriptor=[2, 0, 8])]), "VOILUTSequence has no LUTDescriptor or no LUTData"),
        (_nothing(VOILUTSequence=[_lut(0, 8, [1, 2], count=3)]), "3 entries of 8 bits holds 2"),
        (_nothing(WindowCenter=1, WindowWidth=2, VOILUTFunction="ROUND"), "'ROUND' is unknown"),
        (lambda: GreyScale.from_dicom({**BITS8, "WindowCenter": "wide", "WindowWidth": 1}.get), "WindowCenter is not a number"),
        (lambda: Window(center=1, width=0.5), "window 1 / 0.5 is not valid"),
    ],
)
def test_what_makes_no_sense_is_named(build: Callable[[], object], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        build()
