import numpy as np
import pytest

from monai_tavr.phantom.anatomy import sample_anatomy
from monai_tavr.phantom.background import render_layers
from monai_tavr.phantom.camera import Camera
from monai_tavr.phantom.skeleton import spine_axis

CAMERA = Camera(primary_deg=5, secondary_deg=-5, size=256, field_mm=180, centre=(10, 0, -10))


@pytest.fixture(scope="module")
def anatomy():
    return sample_anatomy(np.random.SeedSequence(8))


@pytest.fixture(scope="module")
def layers(anatomy):
    return render_layers(anatomy, CAMERA, np.random.default_rng(0))


def test_background_is_finite_and_the_same_for_a_seed(anatomy, layers):
    first = render_layers(anatomy, CAMERA, np.random.default_rng(0)).compose()
    assert first.shape == (256, 256)
    assert first.dtype == np.float32
    assert np.isfinite(first).all()
    np.testing.assert_array_equal(first, layers.compose())
    assert np.abs(first - render_layers(anatomy, CAMERA, np.random.default_rng(1)).compose()).mean() > 0.01


def test_heart_is_denser_than_lung(anatomy):
    # Mean over several textures, in a narrow field around either organ.
    def mean_at(point):
        camera = Camera(primary_deg=0, secondary_deg=0, size=64, field_mm=30, centre=point)
        wide = Camera(primary_deg=0, secondary_deg=0, size=128, field_mm=260, centre=anatomy.heart_centre)
        (xy,), _ = wide.project(camera._centre[None])
        x, y = np.rint(xy).astype(int)
        pictures = [render_layers(anatomy, wide, np.random.default_rng(s)).compose() for s in range(4)]
        return np.mean([p[y - 5 : y + 6, x - 5 : x + 6].mean() for p in pictures])

    assert mean_at(anatomy.heart_centre) > mean_at((-95, 0, 40)) + 0.1


def test_breathing_moves_the_diaphragm_and_leaves_the_top(layers):
    still, breathing = layers.compose(), layers.compose(breath_px=8.0)
    change = np.abs(breathing - still).mean(axis=1)
    assert change[-60:].mean() > 5 * change[:60].mean()


def test_breathing_is_downward(layers):
    # Well below the diaphragm tissue follows by at least three quarters.
    soft = layers.compose() - layers.bone
    breathing = layers.compose(breath_px=8.0) - layers.bone
    shifts = range(-12, 13)
    error = [np.abs(breathing[200:240, 20:-20] - soft[200 - s : 240 - s, 20:-20]).mean() for s in shifts]
    assert shifts[int(np.argmin(error))] in (6, 7, 8)


def test_heart_beat_moves_the_border_of_the_heart_only(layers):
    change = np.abs(layers.compose(beat=0.04) - layers.compose())
    x, y = 2 * layers.heart_xy[0], 2 * layers.heart_xy[1]
    rows, columns = np.indices(change.shape)
    distance = np.hypot(columns - x, rows - y) * 180 / 256
    assert change[(distance > 25) & (distance < 70)].mean() > 5 * change[distance > 125].mean()


def test_bone_does_not_move(layers):
    moved = layers.compose(breath_px=6.0, beat=0.03)
    soft_only = type(layers)(
        soft=layers.soft,
        bone=np.zeros_like(layers.bone),
        size=layers.size,
        heart_weight=layers.heart_weight,
        breath_weight=layers.breath_weight,
        heart_xy=layers.heart_xy,
    ).compose(breath_px=6.0, beat=0.03)
    np.testing.assert_allclose(moved - soft_only, layers.bone, atol=1e-5)


def test_spine_follows_its_tilt_and_bend(anatomy):
    z = np.array([-50.0, 0.0, 50.0])
    x = spine_axis(anatomy, z)[:, 0]
    assert x[1] == pytest.approx(anatomy.spine_x)
    assert x[2] - x[0] == pytest.approx(100 * anatomy.spine_tilt)
    assert x[2] + x[0] - 2 * x[1] == pytest.approx(5000 * anatomy.spine_bend)
