import numpy as np
import pytest
from scipy.spatial import cKDTree

from monai_tavr.phantom.anatomy import sample_anatomy
from monai_tavr.phantom.camera import Camera
from monai_tavr.phantom.raster import draw_surface
from monai_tavr.phantom.vectors import resample, smooth_curve


def patient(number):
    return sample_anatomy(np.random.SeedSequence([2024, number]))


@pytest.fixture(scope="module")
def population():
    return [patient(i) for i in range(40)]


def test_same_seed_same_patient_other_seed_other_patient():
    first, again, other = patient(1), patient(1), patient(2)
    np.testing.assert_array_equal(first.centreline, again.centreline)
    assert first.annulus_radius == again.annulus_radius != other.annulus_radius


def test_centreline_has_steps_of_a_millimetre_and_the_annulus_at_the_origin(population):
    for anatomy in population:
        np.testing.assert_allclose(anatomy.centreline[anatomy.annulus_index], 0, atol=1e-9)
        steps = np.linalg.norm(np.diff(anatomy.centreline, axis=0), axis=1)
        np.testing.assert_allclose(steps, 1, atol=0.02)


def test_root_is_straight_up_to_the_stj(population):
    for anatomy in population:
        heights = np.linspace(-10, anatomy.sinus_height, 20)
        np.testing.assert_allclose(anatomy.centreline_at(heights), heights[:, None] * anatomy.axis, atol=0.05)


def test_annulus_ring_is_an_ellipse_of_the_stated_size(population):
    for anatomy in population:
        distance = np.linalg.norm(anatomy.annulus_ring(720), axis=1)
        assert distance.min() / distance.max() == pytest.approx(anatomy.annulus_ratio, rel=1e-3)
        assert distance.min() * distance.max() == pytest.approx(anatomy.annulus_radius**2, rel=1e-3)
        np.testing.assert_allclose(anatomy.annulus_ring() @ anatomy.axis, 0, atol=1e-9)


def test_stj_ring_is_round_and_in_its_plane(population):
    for anatomy in population:
        ring = anatomy.stj_ring() - anatomy.axis * anatomy.sinus_height
        np.testing.assert_allclose(np.linalg.norm(ring, axis=1), anatomy.stj_radius, rtol=1e-9)
        np.testing.assert_allclose(ring @ anatomy.axis, 0, atol=1e-9)


def test_rings_lie_on_the_drawn_surface(population):
    for anatomy in population[:10]:
        surface = cKDTree(anatomy.root_surface(anatomy.sinus_height + 40, step=0.5).reshape(-1, 3))
        # Facets have a size of 0.5 mm: no point of a ring can be farther from a corner than their diagonal.
        assert surface.query(anatomy.annulus_ring())[0].max() < 0.4
        assert surface.query(anatomy.stj_ring())[0].max() < 0.5


def test_root_is_waisted(population):
    angles = np.linspace(0, 2 * np.pi, 90)
    for anatomy in population:
        annulus, sinus, stj = anatomy.root_radius(np.array([0, 0.45, 1]) * anatomy.sinus_height, angles).mean(axis=1)
        assert sinus > 1.05 * annulus
        assert sinus > 1.05 * stj


def test_three_sinuses_bulge_between_three_commissures(population):
    for anatomy in population:
        middle = anatomy.sinus_phase + np.arange(3) * 2 * np.pi / 3
        at = np.array([0.45 * anatomy.sinus_height])
        bulge, waist = anatomy.root_radius(at, middle), anatomy.root_radius(at, middle + np.pi / 3)
        assert bulge.min() > waist.mean()


def test_right_sinus_faces_forward(population):
    forward = np.array([-a.sinus_direction(2)[1] for a in population])
    assert forward.mean() > 0.5


def test_ends_of_the_annulus_lie_on_the_contour_of_the_picture(population):
    distances = []
    for i, anatomy in enumerate(population[:20]):
        rng = np.random.default_rng(i)
        camera = Camera(primary_deg=rng.uniform(-25, 25), secondary_deg=rng.uniform(-22, 20), field_mm=170, centre=(10, 0, 0))
        thickness = np.zeros((512, 512))
        draw_surface(thickness, camera, anatomy.root_surface(anatomy.sinus_height + 40))
        inside = thickness > 0.5
        border = inside & ~(np.roll(inside, 1, 0) & np.roll(inside, -1, 0) & np.roll(inside, 1, 1) & np.roll(inside, -1, 1))
        ring, _ = camera.project(anatomy.annulus_ring())
        (start, end), _ = camera.project(np.stack([np.zeros(3), anatomy.axis]))
        across = (ring - start) @ np.array([-(end - start)[1], (end - start)[0]])
        ends = ring[[across.argmin(), across.argmax()]]
        distances.extend(cKDTree(np.argwhere(border)[:, ::-1]).query(ends)[0])
    assert np.median(distances) < 1.5
    assert np.percentile(distances, 90) < 6


def test_open_valve_is_flat_and_closed_valve_has_pockets():
    anatomy = patient(3)
    crest = anatomy.root_surface(40, closed=1.0)[0, 0] @ anatomy.axis
    flat = anatomy.root_surface(40, closed=0.0)[0, 0] @ anatomy.axis
    assert flat == pytest.approx(0, abs=1e-9)
    assert crest == pytest.approx(0.36 * anatomy.sinus_height)


def test_curves_pass_through_their_knots_in_even_steps():
    knots = np.array([[0, 0, 0], [10, 0, 0], [10, 10, 0], [0, 10, 5.0]])
    curve, length = smooth_curve(knots, 0.25)
    np.testing.assert_allclose(np.diff(length), length[1], rtol=1e-9)
    assert cKDTree(curve).query(knots)[0].max() < 0.25
    straight, at = resample([[0, 0, 0], [3, 4, 0]], 1.0)
    np.testing.assert_allclose(at, [0, 1, 2, 3, 4, 5])
    np.testing.assert_allclose(straight[2], [1.2, 1.6, 0])


def test_curve_starts_in_the_direction_asked_for():
    curve, _ = smooth_curve([[0, 0, 0], [10, 5, 0], [20, 0, 0]], 0.1, start_direction=(0, 0, 2))
    first = curve[1] - curve[0]
    np.testing.assert_allclose(first / np.linalg.norm(first), [0, 0, 1], atol=0.05)
