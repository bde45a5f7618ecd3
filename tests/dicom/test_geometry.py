"""Millimetres, milliseconds and degrees from the header, and None where it does not say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset
from xa_files import asymmetric_frames, group, item, write_edited, write_enhanced_xa

from monai_tavr.dicom import CineInfo, open_cine
from monai_tavr.dicom.writer import XAHeader, write_xa
from monai_tavr.label import ImageInfo


def _info(tmp_path: Path, **attributes: Any) -> CineInfo:
    def change(ds: Dataset) -> None:
        for keyword, value in attributes.items():
            setattr(ds, keyword, value)
        for keyword in [k for k, v in attributes.items() if v is None]:
            delattr(ds, keyword)

    return open_cine(write_edited(tmp_path / "a.dcm", change)).info


DETECTOR = {"ImagerPixelSpacing": [0.3, 0.2]}  # between rows (y) first


@pytest.mark.parametrize(
    ("attributes", "spacing"),
    [
        ({}, None),
        (DETECTOR, None),  # at the detector only: the patient's is unknown
        ({**DETECTOR, "DistanceSourceToDetector": 1200, "DistanceSourceToPatient": 800}, (0.2 / 1.5, 0.3 / 1.5)),
        ({**DETECTOR, "EstimatedRadiographicMagnificationFactor": 1.25}, (0.16, 0.24)),
        # the distances go before the estimate
        (
            {
                **DETECTOR,
                "DistanceSourceToDetector": 1200,
                "DistanceSourceToPatient": 800,
                "EstimatedRadiographicMagnificationFactor": 1.25,
            },
            (0.2 / 1.5, 0.3 / 1.5),
        ),
        ({**DETECTOR, "DistanceSourceToDetector": 800, "DistanceSourceToPatient": 1200}, None),  # impossible
        ({**DETECTOR, "DistanceSourceToDetector": 1200, "DistanceSourceToPatient": 0}, None),
        ({**DETECTOR, "DistanceSourceToDetector": 1200}, None),
        ({"PixelSpacing": [0.12, 0.1]}, (0.1, 0.12)),
        # calibrated goes before magnification
        (
            {
                **DETECTOR,
                "DistanceSourceToDetector": 1200,
                "DistanceSourceToPatient": 800,
                "PixelSpacing": [0.12, 0.1],
                "PixelSpacingCalibrationType": "FIDUCIAL",
            },
            (0.1, 0.12),
        ),
        # a repetition of the detector's spacing is no calibration
        ({**DETECTOR, "PixelSpacing": [0.3, 0.2]}, None),
        (
            {**DETECTOR, "PixelSpacing": [0.3, 0.2], "EstimatedRadiographicMagnificationFactor": 1.25},
            (0.16, 0.24),
        ),
        ({**DETECTOR, "PixelSpacing": [0.3, 0.2], "PixelSpacingCalibrationType": "GEOMETRY"}, (0.2, 0.3)),
        ({"PixelSpacing": [0, 0]}, None),
        ({"ImagerPixelSpacing": [-0.3, 0.2], "EstimatedRadiographicMagnificationFactor": 1.25}, None),
    ],
)
def test_spacing_in_the_patient(tmp_path: Path, attributes: dict[str, Any], spacing: tuple[float, float] | None) -> None:
    info = _info(tmp_path, **attributes)
    assert info.spacing == (None if spacing is None else pytest.approx(spacing))
    if attributes.get("ImagerPixelSpacing") == [0.3, 0.2]:
        assert info.detector_spacing == (0.2, 0.3)


def test_writer_and_reader_agree(tmp_path: Path) -> None:
    header = XAHeader(
        imager_spacing=(0.2, 0.3),
        source_detector_mm=1200,
        source_patient_mm=800,
        primary_angle=-25.5,
        secondary_angle=10,
        frame_time_ms=40,
        series_number=4,
        instance_number=9,
        sop_uid="2.25.3",
        series_uid="2.25.2",
        study_uid="2.25.1",
    )
    write_xa(tmp_path / "a.dcm", asymmetric_frames(10), header=header, bits_stored=10)
    info = open_cine(tmp_path / "a.dcm").info
    assert info.spacing == pytest.approx((0.2 / 1.5, 0.3 / 1.5))
    assert (info.primary_angle, info.secondary_angle) == (-25.5, 10)
    np.testing.assert_allclose(info.frame_times, [0, 40, 80, 120, 160])
    assert (info.rows, info.columns, info.number_of_frames, info.bits_stored) == (37, 50, 5, 10)
    assert (info.modality, info.series_number, info.instance_number) == ("XA", 4, 9)
    assert info.image_info == ImageInfo(
        rows=37,
        columns=50,
        number_of_frames=5,
        spacing=info.spacing,
        sop_instance_uid="2.25.3",
        series_instance_uid="2.25.2",
        study_instance_uid="2.25.1",
    )


@pytest.mark.parametrize(
    ("attributes", "times"),
    [
        ({"FrameTime": 66.5}, [0, 66.5, 133, 199.5, 266]),
        ({"FrameTimeVector": [0, 10, 20, 30, 40], "FrameIncrementPointer": 0x00181065}, [0, 10, 30, 60, 100]),
        ({"FrameTimeVector": [5, 10, 20, 30, 40], "FrameIncrementPointer": 0x00181065}, [0, 10, 30, 60, 100]),
        ({"FrameTimeVector": [0, 10, 20, 30, 40], "FrameTime": 50}, [0, 50, 100, 150, 200]),  # the pointer names FrameTime
        ({"FrameTimeVector": [0, 10, 20, 30, 40], "FrameTime": None}, [0, 10, 30, 60, 100]),
        ({"FrameTimeVector": [0, 10], "FrameTime": None, "CineRate": None}, None),
        ({"FrameTime": None, "CineRate": 20}, [0, 50, 100, 150, 200]),
        ({"FrameTime": None, "CineRate": None}, None),
        ({"FrameTime": 0, "CineRate": None}, None),
    ],
)
def test_frame_times(tmp_path: Path, attributes: dict[str, Any], times: list[float] | None) -> None:
    found = _info(tmp_path, **attributes).frame_times
    if times is None:
        assert found is None
    else:
        np.testing.assert_allclose(found, times)


def test_a_still_has_one_time(tmp_path: Path) -> None:
    write_xa(tmp_path / "a.dcm", asymmetric_frames(count=1))
    info = open_cine(tmp_path / "a.dcm").info
    np.testing.assert_array_equal(info.frame_times, [0])


def test_missing_angles_stay_unknown(tmp_path: Path) -> None:
    write_xa(tmp_path / "a.dcm", asymmetric_frames(), header=XAHeader(primary_angle=None, secondary_angle=None))
    info = open_cine(tmp_path / "a.dcm").info
    assert (info.primary_angle, info.secondary_angle) == (None, None)


def test_shutter_counts_from_zero(tmp_path: Path) -> None:
    edges = {
        "ShutterShape": "RECTANGULAR",
        "ShutterLeftVerticalEdge": 4,
        "ShutterRightVerticalEdge": 60,
        "ShutterUpperHorizontalEdge": 0,
        "ShutterLowerHorizontalEdge": 30,
    }
    assert _info(tmp_path, **edges).shutter == (3, 0, 49, 29)
    assert _info(tmp_path, **{**edges, "ShutterShape": "CIRCULAR"}).shutter is None
    assert _info(tmp_path).shutter is None


def _enhanced(tmp_path: Path, **shared: Dataset) -> CineInfo:
    frames = asymmetric_frames(12, count=3)
    own = [
        group(
            FrameContentSequence=item(FrameReferenceDateTime=f"20260101120000.{100 + 40 * f * f:03d}000"),
            PositionerPositionSequence=item(PositionerPrimaryAngle=30.0 + f, PositionerSecondaryAngle=-5.0),
        )
        for f in range(3)
    ]
    return open_cine(write_enhanced_xa(tmp_path / "a.dcm", frames, shared=group(**shared), per_frame=own)).info


def test_enhanced_xa_geometry_from_functional_groups(tmp_path: Path) -> None:
    info = _enhanced(
        tmp_path,
        XAXRFFrameCharacteristicsSequence=item(ImagerPixelSpacing=[0.3, 0.2]),
        XRayGeometrySequence=item(DistanceSourceToDetector=1200.0, DistanceSourceToIsocenter=800.0),
    )
    assert info.detector_spacing == (0.2, 0.3)
    assert info.spacing == pytest.approx((0.2 / 1.5, 0.3 / 1.5))
    assert (info.primary_angle, info.secondary_angle) == (30, -5)
    np.testing.assert_allclose(info.frame_times, [0, 40, 160])


def test_enhanced_xa_calibration_goes_first(tmp_path: Path) -> None:
    info = _enhanced(
        tmp_path,
        FramePixelDataPropertiesSequence=item(ImagerPixelSpacing=[0.3, 0.2]),
        XRayGeometrySequence=item(DistanceSourceToDetector=1200.0, DistanceSourceToIsocenter=800.0),
        ProjectionPixelCalibrationSequence=item(ObjectPixelSpacingInCenterOfBeam=[0.21, 0.14]),
    )
    assert info.spacing == pytest.approx((0.14, 0.21))
