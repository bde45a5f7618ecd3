import numpy as np
import pytest

from monai_tavr.phantom.anatomy import sample_anatomy
from monai_tavr.phantom.curves import Curve
from monai_tavr.phantom.wires import guide_wire, pacing_lead, pigtail, rotate


def patients(n=8):
    return [(sample_anatomy(np.random.SeedSequence([7, i])), np.random.default_rng([8, i])) for i in range(n)]


def turning_radius(curve):
    """Smallest radius of curvature in mm over pieces of 3 mm."""
    points = curve.resampled(1.5).points
    t = np.diff(points, axis=0)
    t /= np.linalg.norm(t, axis=1, keepdims=True)
    angle = np.arccos(np.clip((t[1:] * t[:-1]).sum(axis=1), -1, 1))
    return 1.5 / angle.max()


def test_rotate_turns_about_the_axis():
    turned = rotate(np.array([1.0, 0, 0]), np.array([0.0, 0, 1]), np.array([0, np.pi / 2, np.pi]))
    np.testing.assert_allclose(turned, [[1, 0, 0], [0, 1, 0], [-1, 0, 0]], atol=1e-12)


def test_the_wire_crosses_the_annulus_inside_its_ring():
    for anatomy, rng in patients():
        wire = guide_wire(anatomy, rng)
        crossing = wire.curve.at(wire.annulus_arc)
        assert abs(crossing @ anatomy.axis) < 3
        assert np.linalg.norm(crossing) < 0.75 * anatomy.annulus_radius


def test_the_wire_has_no_kink():
    for anatomy, rng in patients():
        assert turning_radius(guide_wire(anatomy, rng).curve) > 3.0


def test_the_wire_ends_in_a_loop_in_the_ventricle():
    for anatomy, rng in patients():
        wire = guide_wire(anatomy, rng)
        beyond = wire.curve.span(wire.annulus_arc + 10, wire.curve.length)
        assert (beyond @ anatomy.axis < 5).all()  # below the valve
        assert (np.linalg.norm(beyond, axis=1) < 120).all()
        headings = np.diff(beyond[::4], axis=0)
        assert (headings @ headings[0]).min() < 0  # it turns back


def test_the_pigtails_tip_is_its_last_point_and_lies_in_the_root():
    for anatomy, rng in patients():
        catheter = pigtail(anatomy, rng)
        np.testing.assert_array_equal(catheter.tip, catheter.curve.points[-1])
        height = catheter.tip @ anatomy.axis
        assert -1 < height < anatomy.sinus_height + 5
        assert np.linalg.norm(catheter.tip - height * anatomy.axis) < anatomy.sinus_radius + 4


def test_a_lifted_pigtail_hangs_higher():
    anatomy, _ = patients(1)[0]
    low, high = (pigtail(anatomy, np.random.default_rng(3), lift=lift) for lift in (0.0, 15.0))
    assert (high.tip - low.tip) @ anatomy.axis == pytest.approx(15, abs=1.5)


def test_the_pacing_lead_has_two_electrodes_apart():
    for anatomy, rng in patients():
        shaft, _core, tip, ring = pacing_lead(anatomy, rng)
        end = Curve(shaft.points).length
        first, second = (Curve(shaft.points).nearest(t.points.mean(axis=0)) for t in (tip, ring))
        assert end - first < 3
        assert 8 < first - second < 18
        assert tip.mu > 2 * np.max(shaft.mu)
