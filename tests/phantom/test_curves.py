import numpy as np
import pytest

from monai_tavr.phantom.camera import Camera
from monai_tavr.phantom.curves import Curve, Tube, band, draw_tubes, move_tubes, spline_curve

L_SHAPE = Curve(np.array([[0.0, 0, 0], [3, 0, 0], [3, 4, 0]]))


def test_arc_length_and_points_on_an_angle():
    assert L_SHAPE.length == 7
    np.testing.assert_allclose(L_SHAPE.at(np.array([0.0, 1.5, 3.0, 5.0])), [[0, 0, 0], [1.5, 0, 0], [3, 0, 0], [3, 2, 0]])


def test_a_curve_goes_on_straight_beyond_its_ends():
    np.testing.assert_allclose(L_SHAPE.at(np.array([-2.0, 9.0])), [[-2, 0, 0], [3, 6, 0]])


def test_tangents_are_unit_vectors_along_the_curve():
    np.testing.assert_allclose(L_SHAPE.tangent(np.array([0.5, 6.0]), reach=0.5), [[1, 0, 0], [0, 1, 0]])


def test_nearest_gives_the_arc_length_of_the_closest_vertex():
    assert L_SHAPE.nearest(np.array([2.9, 0.3, 1.0])) == 3


def test_span_has_both_ends_even_when_it_is_short():
    np.testing.assert_allclose(L_SHAPE.span(1.0, 1.1, step=5.0), [[1, 0, 0], [1.1, 0, 0]])


def test_spline_passes_its_knots_and_ends_in_the_given_direction():
    knots = np.array([[0.0, 0, 0], [10, 0, 0], [20, 5, 0], [30, 20, 0]])
    curve = spline_curve(knots, end_tangent=np.array([0.0, 1.0, 0.0]))
    assert all(np.linalg.norm(curve.points - k, axis=1).min() < 0.3 for k in knots)
    last = curve.points[-1] - curve.points[-2]
    assert last[1] / np.linalg.norm(last) == pytest.approx(1, abs=0.01)


def test_a_band_lies_around_its_centre():
    ring = band(L_SHAPE, 5.0, width=2.0, radius=1.5, mu=0.4, hollow=0.8)
    np.testing.assert_allclose(ring.points[[0, -1]], [[3, 1, 0], [3, 3, 0]])
    assert (ring.radius, ring.mu, ring.hollow) == (1.5, 0.4, 0.8)


def test_tethered_parts_follow_by_their_share():
    points = np.zeros((2, 3))
    tubes = [Tube(points, 1.0, 0.1, tether=t) for t in (0.0, 0.5, 1.0)]
    moved = move_tubes(tubes, lambda p: np.full_like(p, 2.0))
    assert [t.points[0, 0] for t in moved] == [0.0, 1.0, 2.0]
    assert tubes[2].points[0, 0] == 0  # the original stays


def test_drawn_mass_is_that_of_the_metal_under_a_hardened_beam():
    camera = Camera(primary_deg=0, secondary_deg=0, size=128, field_mm=64)
    layer = np.zeros((128, 128))
    draw_tubes(layer, camera, [Tube(np.array([[-5.0, 0, 0], [5, 0, 0]]), 1.0, 0.5)])
    # pi r^2 * length * mu * 0.72, over pixels of (0.5 mm)^2
    assert layer.sum() * 0.25 == pytest.approx(np.pi * 10 * 0.5 * 0.72, rel=0.01)
