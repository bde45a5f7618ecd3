import numpy as np
import pytest

from monai_tavr.phantom.anatomy import sample_anatomy
from monai_tavr.phantom.camera import Camera
from monai_tavr.phantom.landmarks import MARGIN, contrast_rise, keypoints_of_frame, outline_ends, root_ends

# from the front, 0.5 mm per pixel, the origin at pixel (127.5, 127.5)
CAMERA = Camera(primary_deg=0, secondary_deg=0, size=256, field_mm=128)
NOTHING = {"root": None, "catheter": None, "crowns": None, "pigtail_tip": None, "frame": 0}


def circle(radius, normal, n=360):
    angle = np.linspace(0, 2 * np.pi, n, endpoint=False)
    first = np.cross(normal, [0.3, 0.5, 0.8])
    first /= np.linalg.norm(first)
    second = np.cross(normal, first)
    return radius * (np.cos(angle)[:, None] * first + np.sin(angle)[:, None] * second)


def test_ends_of_an_upright_ring_lie_left_and_right():
    ends = outline_ends(CAMERA, circle(10.0, [0.0, 0, 1]), np.array([0.0, 0, 1]))
    np.testing.assert_allclose(ends, [[107.5, 127.5], [147.5, 127.5]], atol=0.4)


def test_ends_of_a_tilted_ring_lie_across_its_axis():
    axis = np.array([-1.0, 0, 1]) / np.sqrt(2)  # up and to the image's left
    ends = outline_ends(CAMERA, circle(10.0, axis), axis)
    side = 20 / np.sqrt(2)
    np.testing.assert_allclose(ends, [[127.5 - side, 127.5 + side], [127.5 + side, 127.5 - side]], atol=0.5)


def test_left_is_first_whichever_way_the_axis_points():
    axis = np.array([0.0, 0, 1])
    np.testing.assert_allclose(outline_ends(CAMERA, circle(10, axis), axis), outline_ends(CAMERA, circle(10, axis), -axis))


def test_root_ends_move_with_the_root():
    anatomy = sample_anatomy(np.random.SeedSequence(3))
    rest, moved = (root_ends(anatomy, CAMERA, motion_offset=np.array([x, 0, 0])) for x in (0.0, 5.0))
    np.testing.assert_allclose(moved - rest, np.tile([10.0, 0.0], (4, 1)), atol=0.4)


def test_rise_is_the_step_of_the_layer_across_the_outline():
    ends = np.array([[100.0, 200], [150, 200], [100, 100], [150, 100]])
    layer = np.zeros((256, 256))
    layer[:, 100:151] = 0.3
    assert contrast_rise(layer, CAMERA, ends) == pytest.approx(0.3)
    assert contrast_rise(np.full((256, 256), 0.3), CAMERA, ends) == pytest.approx(0)  # evenly grey: no outline


def test_rise_leaves_out_ends_beyond_the_field():
    layer = np.zeros((256, 256))
    layer[:, 100:151] = 0.2
    ends = np.array([[100.0, 300], [150, 300], [100, 100], [150, 100]])
    assert contrast_rise(layer, CAMERA, ends) == pytest.approx(0.2)


def visible(**given):
    keypoints = keypoints_of_frame(CAMERA, **{**NOTHING, **given})
    return {n: tuple(xy) for n, xy, v in zip(keypoints.schema.names, keypoints.xy, keypoints.visible, strict=True) if v}


def test_nothing_there_is_all_absent_and_labelled():
    keypoints = keypoints_of_frame(CAMERA, **NOTHING)
    assert keypoints.labelled.all()
    assert not keypoints.visible.any()
    assert keypoints.spacing == (0.5, 0.5)


def test_a_catheter_gives_its_four_points():
    places = {"CP": [0, 0, 30], "CM": [0, 0, 10], "CD": [0, 0, 0], "CT": [5, 0, -20]}
    points = visible(catheter={k: np.array(v, dtype=float) for k, v in places.items()})
    assert set(points) == set(places)
    assert points["CT"] == (137.5, 167.5)


def test_the_pigtail_alone_is_no_contour():
    assert visible(pigtail_tip=np.zeros(3)) == {}
    with_frame = visible(pigtail_tip=np.zeros(3), crowns=(circle(10, [0.0, 0, 1]), np.array([0.0, 0, 1])))
    assert set(with_frame) == {"PT", "FE1", "FE2"}
    assert with_frame["FE1"][0] < with_frame["PT"][0] < with_frame["FE2"][0]


def test_points_near_the_border_and_outside_are_absent_one_by_one():
    edge = MARGIN * 256 - 0.5
    root = np.array([[edge - 0.1, 100], [edge + 0.1, 100], [300, 100], [100, 255]])
    assert set(visible(root=root)) == {"AA2"}
