from dataclasses import replace

import cv2
import numpy as np
import pytest

from monai_tavr.phantom.anatomy import sample_anatomy
from monai_tavr.phantom.camera import Camera
from monai_tavr.phantom.contrast import ContrastState, render_contrast
from monai_tavr.phantom.coronaries import coronary_tree


@pytest.fixture(scope="module")
def anatomy():
    return replace(sample_anatomy(np.random.SeedSequence(5)), calcified=0)


CAMERA = Camera(primary_deg=10, secondary_deg=0, size=256, field_mm=180, centre=(0, 0, 0))
PLAIN = ContrastState(coronary_filling=0.0, mixing=0.0)


def render(anatomy, state, **more):
    return render_contrast(anatomy, CAMERA, state, np.random.default_rng(0), **more).attenuation


def value_at(picture, point):
    (xy,), _ = CAMERA.project(np.asarray(point)[None])
    return picture[tuple(np.rint(xy[::-1]).astype(int))]


def test_without_contrast_and_calcium_there_is_nothing(anatomy):
    assert not render(anatomy, replace(PLAIN, filling=0.0)).any()


def test_calcium_is_there_without_contrast(anatomy):
    assert render(replace(anatomy, calcified=9), replace(PLAIN, filling=0.0)).max() > 0.01


def test_attenuation_grows_in_proportion_to_filling(anatomy):
    full, half = render(anatomy, replace(PLAIN, filling=1.0)), render(anatomy, replace(PLAIN, filling=0.5))
    np.testing.assert_allclose(half, full / 2, atol=1e-6)


def test_the_sinuses_are_filled_and_far_away_is_not(anatomy):
    picture = render(anatomy, PLAIN)
    assert picture.shape == (256, 256)
    assert picture.dtype == np.float32
    assert value_at(picture, 0.5 * anatomy.sinus_height * anatomy.axis) > 0.15
    assert abs(value_at(picture, 60 * anatomy.sinus_direction(0))) < 1e-3


def test_column_ends_where_the_state_says(anatomy):
    short, long = render(anatomy, replace(PLAIN, fade_mm=15.0)), render(anatomy, replace(PLAIN, fade_mm=80.0))
    above = anatomy.centreline_at(np.array([anatomy.sinus_height + 40]))[0]
    assert value_at(short, above) < 0.02
    assert value_at(long, above) > 0.15


def test_thick_columns_saturate(anatomy):
    crisp, soft = (render(anatomy, replace(PLAIN, saturation_mm=c)) for c in (12.0, 60.0))
    # Equal where the path is 27 mm long, and fuller at the thin rims for the shorter saturation length.
    thin = (soft > 0.02) & (soft < 0.06)
    assert (crisp[thin] > 1.2 * soft[thin]).mean() > 0.95


def test_pooling_darkens_its_sinus_and_stays_inside_the_root(anatomy):
    plain, pooled = render(anatomy, PLAIN), render(anatomy, replace(PLAIN, sinus_pooling=(1.0, 0.0, 0.0)))
    gain = pooled - plain
    assert gain.max() > 0.02
    beside = cv2.dilate((plain > 1e-3).astype(np.uint8), np.ones((5, 5))) == 0
    assert gain[beside].max() < 1e-3


def test_the_mask_is_the_opacified_root_and_nothing_else(anatomy):
    def mask_of(state):
        return render_contrast(anatomy, CAMERA, state, np.random.default_rng(0)).root_mask()

    everything = replace(PLAIN, fade_mm=15.0, lv_filling=1.0, coronary_filling=1.5, filling=0.4)
    mask = mask_of(replace(PLAIN, fade_mm=15.0))
    assert (mask.shape, mask.dtype) == ((256, 256), bool)
    np.testing.assert_array_equal(mask_of(everything), mask)
    assert value_at(mask, 0.5 * anatomy.sinus_height * anatomy.axis)
    assert not value_at(mask, 0.6 * anatomy.lv_length * anatomy.lv_axis)
    assert not value_at(mask, anatomy.centreline_at(np.array([anatomy.sinus_height + 40]))[0])  # contrast ends below
    assert not mask_of(replace(PLAIN, filling=0.0)).any()


def test_ventricle_and_coronaries_appear_when_filled(anatomy):
    plain = render(anatomy, PLAIN)
    ventricle = render(anatomy, replace(PLAIN, lv_filling=1.0)) - plain
    # Its brightest cloud lies within the ventricle.
    row, column = np.unravel_index(ventricle.argmax(), ventricle.shape)
    (middle,), magnification = CAMERA.project(anatomy.lv_axis[None] * anatomy.lv_length * 0.5)
    assert np.hypot(column - middle[0], row - middle[1]) < 0.55 * anatomy.lv_length * magnification[0]
    assert (render(anatomy, replace(PLAIN, coronary_filling=1.0)) - plain).max() > 0.02


def test_a_catheter_in_a_coronary_fills_that_one_and_leaves_the_root_as_it_is(anatomy):
    left, right = (replace(PLAIN, coronary_filling=1.0, root_share=0.0, selective=s) for s in (0, 2))
    middle = 0.5 * anatomy.sinus_height * anatomy.axis
    for state, own, other in ((left, 0, 2), (right, 2, 0)):
        picture = render(anatomy, state)
        out = [
            anatomy.axis * anatomy.sinus_height * 0.7 + anatomy.sinus_direction(j) * (0.9 * anatomy.sinus_radius + 4)
            for j in (own, other)
        ]
        assert value_at(picture, out[0]) > 0.02
        assert value_at(picture, out[0]) > 5 * abs(value_at(picture, out[1]))
    none, some, full = (value_at(render(anatomy, replace(left, root_share=share)), middle) for share in (0.0, 0.3, 1.0))
    assert abs(none) < 0.01
    assert 0.3 * full < some < 0.8 * full  # thick columns saturate


def test_coronaries_fill_from_their_ostia(anatomy):
    partly, fully = (render(anatomy, replace(PLAIN, coronary_filling=1.0, coronary_reach=r)).sum() for r in (0.2, 1.0))
    assert render(anatomy, PLAIN).sum() < partly < fully
    for sinus, (points, _, start) in ((0, coronary_tree(anatomy)[0]),):
        ostium = anatomy.axis * anatomy.sinus_height * 0.7 + anatomy.sinus_direction(sinus) * anatomy.sinus_radius * 0.9
        np.testing.assert_allclose(points[0], ostium)
        assert start == 0


def test_motion_moves_the_picture_as_it_moves_the_landmarks(anatomy):
    # 7.03125 mm to the patient's left in a frontal view of 0.703125 mm per pixel: ten pixels to the right.
    camera = replace(CAMERA, primary_deg=0)
    still, moved = (
        render_contrast(anatomy, camera, PLAIN, np.random.default_rng(0), motion_offset=m).attenuation
        for m in ((0, 0, 0), (7.03125, 0, 0))
    )
    assert np.abs(moved[:, 20:-20] - still[:, 10:-30]).mean() < 0.004
    assert np.abs(moved - still).mean() > 0.01
