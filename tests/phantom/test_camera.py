import numpy as np
import pytest

from monai_tavr.phantom.camera import Camera


def frontal(**changes):
    return Camera(**{"primary_deg": 0, "secondary_deg": 0, "size": 500, "field_mm": 150, "centre": (10, -20, 30)} | changes)


def test_centre_falls_between_the_middle_pixels():
    xy, magnification = frontal().project([[10, -20, 30]])
    np.testing.assert_allclose(xy, [[249.5, 249.5]])
    np.testing.assert_allclose(magnification, [500 / 150])


def test_frontal_view_shows_patient_left_on_the_right_and_head_up():
    # 15 mm in the plane of the centre are 50 pixels.
    xy, _ = frontal().project([[25, -20, 30], [10, -20, 45]])
    np.testing.assert_allclose(xy, [[299.5, 249.5], [249.5, 199.5]])


def test_magnification_is_source_detector_over_source_point():
    camera = frontal(source_object_mm=750, source_detector_mm=1000)
    # 150 mm behind the centre is 600 mm from the source: 750 / 600 times larger than in the centre.
    _, magnification = camera.project([[10, 130, 30]])
    np.testing.assert_allclose(magnification, [500 / 150 * 750 / 600])


def test_angles_follow_dicom():
    # LAO: the detector moves to the patient's left; cranial: to the head.
    np.testing.assert_allclose(frontal(primary_deg=90).direction, [1, 0, 0], atol=1e-12)
    np.testing.assert_allclose(frontal(secondary_deg=90).direction, [0, 0, 1], atol=1e-12)
    # In LAO a point in front of the centre moves to the left of the image.
    front, _ = frontal(primary_deg=30).project([[10, -40, 30]])
    assert front[0, 0] < 249.5


def test_axes_are_orthonormal_for_any_angle():
    camera = frontal(primary_deg=37, secondary_deg=-21)
    axes = np.stack([camera.right, camera.up, camera.direction])
    np.testing.assert_allclose(axes @ axes.T, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(np.linalg.det(axes), 1)


def test_imager_spacing_is_field_times_magnification():
    camera = frontal(source_object_mm=750, source_detector_mm=1100)
    assert camera.pixel_mm_at_detector == pytest.approx(150 / 500 * 1100 / 750)


def test_resized_keeps_the_view():
    camera = frontal(primary_deg=20, secondary_deg=10)
    points = np.random.default_rng(0).normal(0, 40, (20, 3))
    xy, _ = camera.project(points)
    small, _ = camera.resized(250).project(points)
    np.testing.assert_allclose((small + 0.5) * 2, xy + 0.5, atol=1e-9)


def test_rays_go_through_the_pixels_they_belong_to():
    camera = frontal(primary_deg=20, secondary_deg=-10, size=16)
    source, rays = camera.rays()
    xy, _ = camera.project(source + 700 * rays)
    columns, rows = np.meshgrid(np.arange(16), np.arange(16))
    np.testing.assert_allclose(xy, np.stack([columns, rows], axis=-1), atol=1e-9)


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"field_mm": 0}, "field 0"),
        ({"source_object_mm": 1200}, "1200"),
        ({"centre": (1, 2)}, r"\(2,\)"),
    ],
)
def test_impossible_geometry_is_refused(changes, word):
    with pytest.raises(ValueError, match=word):
        frontal(**changes)
