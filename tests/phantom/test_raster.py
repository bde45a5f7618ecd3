import numpy as np
import pytest

from monai_tavr.phantom.camera import Camera
from monai_tavr.phantom.raster import _compile, draw_surface, draw_tube, ellipsoid_chord

SIZE = 256
# A source almost at infinity: magnification is the same everywhere, so masses can be worked out by hand.
PARALLEL = Camera(primary_deg=0, secondary_deg=0, size=SIZE, field_mm=128, source_object_mm=1e6, source_detector_mm=1.1e6)
PIXEL_AREA = (128 / SIZE) ** 2


def image():
    return np.zeros((SIZE, SIZE))


def line(start, end, n=60):
    return np.linspace(start, end, n)


def sphere(radius, centre=(0, 0, 0), n=90):
    polar, azimuth = np.linspace(0, np.pi, n), np.linspace(0, 2 * np.pi, 2 * n, endpoint=False)
    ring = np.stack([np.cos(azimuth), np.sin(azimuth), np.zeros_like(azimuth)], axis=-1)
    return np.asarray(centre) + radius * (
        np.sin(polar)[:, None, None] * ring + np.cos(polar)[:, None, None] * np.array([0, 0, 1])
    )


@pytest.mark.parametrize("hollow", [0.0, 0.8])
@pytest.mark.parametrize("end", [(40, 0, 0), (20, 34.641, 0)], ids=["across", "foreshortened"])
def test_tube_conserves_its_mass(end, hollow):
    density = image()
    draw_tube(density, PARALLEL, line((0, 0, 0), end), radius=2.0, mu=0.05, hollow=hollow)
    # Both tubes are 40 mm long: volume times mu, whatever the direction they are seen from.
    assert density.sum() * PIXEL_AREA == pytest.approx(np.pi * 4 * (1 - hollow**2) * 40 * 0.05, rel=1e-3)


def test_tube_across_the_beam_is_its_diameter_thick_in_the_middle():
    density = image()
    draw_tube(density, PARALLEL, line((-30, 0, 0), (30, 0, 0), 120), radius=6.0, mu=0.1)
    assert density[126:130, 128].mean() == pytest.approx(2 * 6 * 0.1, rel=0.03)
    # Half the radius off the axis the chord is sqrt(3) radii: 3 mm are 6 pixels.
    assert density[127 + 6, 128] == pytest.approx(np.sqrt(3) * 6 * 0.1, rel=0.05)
    assert density[127 + 15, 128] == 0


def test_hollow_tube_has_dark_edges_and_a_lighter_middle():
    density = image()
    draw_tube(density, PARALLEL, line((-30, 0, 0), (30, 0, 0), 120), radius=8.0, mu=0.1, hollow=0.8)
    profile = density[:, 128]
    assert profile[127] == pytest.approx(2 * (8 - 6.4) * 0.1, rel=0.06)
    assert profile.max() > 2 * profile[127]


def test_tube_leaving_the_image_keeps_only_its_part_inside():
    density = image()
    draw_tube(density, PARALLEL, line((24, 0, 0), (104, 0, 0)), radius=1.0, mu=0.1)
    # The image ends at x = 64 mm: 40 of the 80 mm are inside; the outermost pixel may lose half of itself.
    assert density.sum() * PIXEL_AREA == pytest.approx(np.pi * 40 * 0.1, rel=0.01)


def test_nearer_the_source_a_tube_is_larger_and_as_dense():
    camera = Camera(primary_deg=0, secondary_deg=0, size=SIZE, field_mm=128)
    near, far = image(), image()
    draw_tube(near, camera, line((-20, 150, 0), (20, 150, 0)), radius=4, mu=0.1)
    draw_tube(far, camera, line((-20, -150, 0), (20, -150, 0)), radius=4, mu=0.1)
    assert near.sum() / far.sum() == pytest.approx((900 / 600) ** 2, rel=0.01)
    assert near[127, 127] == pytest.approx(far[127, 127], rel=0.05)


def test_closed_surface_gives_the_chords_of_the_body_it_bounds():
    camera = Camera(primary_deg=25, secondary_deg=-10, size=SIZE, field_mm=128)
    thickness = image()
    draw_surface(thickness, camera, sphere(25, (5, 3, -4)))
    chord = ellipsoid_chord(camera, (5, 3, -4), (25, 25, 25))
    # Facets cut a little off at the rim, and nowhere is there a seam: one missed pixel would be wrong by many millimetres.
    assert np.abs(thickness - chord).max() < 2.5
    inside = chord > 15
    assert np.abs(thickness - chord)[inside].max() < 0.2
    assert thickness[chord == 0].max() == 0


def test_surface_outside_the_field_leaves_no_trace():
    thickness = image()
    draw_surface(thickness, PARALLEL, sphere(10, (200, 0, 0)))
    assert not thickness.any()


def test_ellipsoid_chord_along_its_axes():
    camera = Camera(primary_deg=0, secondary_deg=0, size=255, field_mm=127.5, source_object_mm=1e6, source_detector_mm=1.1e6)
    chord = ellipsoid_chord(camera, (0, 0, 0), (10, 20, 30))
    assert chord[127, 127] == pytest.approx(40, rel=1e-3)  # the beam runs along y
    assert chord[127, 127 + 10] == pytest.approx(40 * np.sqrt(1 - 0.25), rel=1e-3)  # x = 5 mm
    assert chord[127 + 61, 127] == 0  # z = -30.5 mm


def test_wrong_images_and_grids_are_refused():
    with pytest.raises(ValueError, match="128"):
        draw_tube(np.zeros((128, 128)), PARALLEL, line((0, 0, 0), (1, 0, 0)), radius=1, mu=1)
    with pytest.raises(ValueError, match="hollow = 1"):
        draw_tube(image(), PARALLEL, line((0, 0, 0), (1, 0, 0)), radius=1, mu=1, hollow=1.0)
    with pytest.raises(ValueError, match="float64"):
        draw_surface(np.zeros((SIZE, SIZE), np.float32), PARALLEL, sphere(3))
    with pytest.raises(ValueError, match="grid"):
        draw_surface(image(), PARALLEL, np.zeros((2, 5, 3)))


def test_compiles_without_a_place_for_the_cache():
    # A function without a file has nowhere to be cached, as an installation without a writable folder.
    scope = {}
    exec("def twice(x):\n    return 2 * x", scope)  # noqa: S102
    assert _compile(scope["twice"])(21) == 42
