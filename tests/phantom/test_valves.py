import numpy as np
import pytest

from monai_tavr.phantom.anatomy import sample_anatomy
from monai_tavr.phantom.camera import Camera
from monai_tavr.phantom.curves import Curve, draw_tubes
from monai_tavr.phantom.landmarks import outline_ends
from monai_tavr.phantom.valves import MAKES, frame_axis, frame_tubes, inflow_crowns, opening_profile, sample_valve


@pytest.fixture(scope="module")
def anatomy():
    return sample_anatomy(np.random.SeedSequence(11))


def frame_of(anatomy, make, seed=0):
    return sample_valve(anatomy, np.random.default_rng(seed), make=make, folded_radius=2.5)


def implanted(anatomy, frame, depth):
    return frame_axis(frame, anatomy, Curve(anatomy.centreline), inflow=0.0, depth=depth, freedom=1.0)


def test_unknown_make_is_refused_by_name(anatomy):
    with pytest.raises(ValueError, match="'paper'"):
        sample_valve(anatomy, np.random.default_rng(0), make="paper", folded_radius=2.0)


@pytest.mark.parametrize("make", MAKES)
def test_a_frame_is_folded_at_first_and_open_at_last(anatomy, make):
    frame, f = frame_of(anatomy, make), np.linspace(0, 1, 11)
    assert opening_profile(frame, 0.0, f).max() < 0.03
    assert opening_profile(frame, 1.0, f).min() > 0.97


def test_which_end_opens_first(anatomy):
    inflow_outflow = {m: opening_profile(frame_of(anatomy, m), 0.5, np.array([0.0, 1.0])) for m in MAKES}
    assert inflow_outflow["evolut"][0] > 0.9 > 0.1 > inflow_outflow["evolut"][1]
    assert inflow_outflow["acurate"][1] > 0.9 > 0.1 > inflow_outflow["acurate"][0]
    assert inflow_outflow["sapien"][0] == pytest.approx(inflow_outflow["sapien"][1])


@pytest.mark.parametrize("make", MAKES)
@pytest.mark.parametrize("depth", [-8.0, 6.0])
def test_an_implanted_frames_inflow_lies_at_its_depth(anatomy, make, depth):
    frame = frame_of(anatomy, make)
    crowns = inflow_crowns(frame, implanted(anatomy, frame, depth), opening=1.0)
    assert (crowns.mean(axis=0) @ anatomy.axis) == pytest.approx(-depth, abs=0.5)
    centre = crowns.mean(axis=0)
    assert np.linalg.norm(crowns - centre, axis=1).mean() == pytest.approx(frame.inflow_radius, rel=0.1)


def test_a_held_frame_lies_on_the_wire(anatomy):
    frame, wire = frame_of(anatomy, "evolut"), Curve(np.stack([np.zeros(101), np.zeros(101), np.arange(101.0)], axis=1))
    axis = frame_axis(frame, anatomy, wire, inflow=80.0, depth=3.0, freedom=0.0)
    np.testing.assert_allclose(axis.points[0], [0, 0, 80])
    np.testing.assert_allclose(axis.points[-1], [0, 0, 80 - 1.14 * frame.length])


@pytest.mark.parametrize("make", MAKES)
@pytest.mark.parametrize("seed", range(3))
def test_the_labels_lie_on_the_drawn_frames_outline(anatomy, make, seed):
    rng = np.random.default_rng(seed)
    frame = frame_of(anatomy, make, seed)
    axis = implanted(anatomy, frame, 4.0)
    camera = Camera(primary_deg=rng.uniform(-25, 25), secondary_deg=rng.uniform(-20, 20), size=512, field_mm=120)
    layer = np.zeros((512, 512))
    draw_tubes(layer, camera, frame_tubes(frame, axis, opening=1.0))
    ends = outline_ends(camera, inflow_crowns(frame, axis, opening=1.0), axis.at(6.0) - axis.at(0.0))
    rows, columns = np.nonzero(layer > 0.02)
    outward = ends - ends.mean(axis=0)
    for end, direction in zip(ends, outward / np.linalg.norm(outward, axis=1, keepdims=True), strict=True):
        assert np.hypot(columns - end[0], rows - end[1]).min() < 1.5  # on metal
        along = axis.at(0.0) - axis.at(6.0)
        line, _ = camera.project(np.stack([axis.at(0.0), axis.at(0.0) + along]))
        down = (line[1] - line[0]) / np.linalg.norm(line[1] - line[0])
        offset = np.stack([columns, rows], axis=1) - end
        low = np.abs(offset @ down) < 3
        # at this height no metal lies farther out than the label
        assert (offset[low] @ direction).max() < 4
