from dataclasses import replace

import numpy as np
import pytest

from monai_tavr.phantom.anatomy import sample_anatomy
from monai_tavr.phantom.delivery import sample_delivery
from monai_tavr.phantom.devices import DeviceState, Equipment, place_devices
from monai_tavr.phantom.valves import sample_valve
from monai_tavr.phantom.wires import guide_wire, pigtail

MAKES = (("retract", "evolut"), ("split", "acurate"), ("balloon", "sapien"))


def kit(kind, make, seed=0):
    anatomy, rng = sample_anatomy(np.random.SeedSequence([5, seed])), np.random.default_rng(seed)
    system = sample_delivery(rng, kind=kind)
    valve = sample_valve(anatomy, rng, make=make, folded_radius=0.8 * system.radius)
    wire, catheter = guide_wire(anatomy, rng), pigtail(anatomy, rng)
    return anatomy, Equipment(wire, catheter, system, True, valve, None, ())


@pytest.mark.parametrize(("kind", "make"), MAKES)
def test_a_folded_valve_has_no_contour_and_an_open_one_has(kind, make):
    anatomy, equipment = kit(kind, make)
    folded, opened = (place_devices(anatomy, equipment, DeviceState(6.0, 4.0, o)) for o in (0.0, 1.0))
    assert folded.crowns is None
    assert set(folded.catheter) == {"CP", "CM", "CD", "CT"}
    assert opened.crowns is not None
    radius = np.linalg.norm(opened.crowns[0] - opened.crowns[0].mean(axis=0), axis=1).mean()
    assert radius == pytest.approx(equipment.valve.inflow_radius, rel=0.1)


@pytest.mark.parametrize(("kind", "make"), MAKES)
def test_the_contour_appears_once_during_a_deployment(kind, make):
    anatomy, equipment = kit(kind, make)
    there = [place_devices(anatomy, equipment, DeviceState(6.0, 4.0, o)).crowns is not None for o in np.linspace(0, 1, 21)]
    assert there == sorted(there)


def test_markers_are_at_the_distance_of_the_state():
    anatomy, equipment = kit("retract", "evolut")
    wire = equipment.wire
    placed = place_devices(anatomy, equipment, DeviceState(distal=-30.0))
    np.testing.assert_allclose(placed.catheter["CD"], wire.curve.at(wire.annulus_arc - 30.0))


def test_an_implanted_valve_needs_no_catheter():
    anatomy, equipment = kit("split", "acurate")
    placed = place_devices(anatomy, replace(equipment, system=None, wire=None, loaded=False), DeviceState(depth=9.0))
    assert placed.catheter is None
    assert placed.crowns[0].mean(axis=0) @ anatomy.axis == pytest.approx(-9, abs=0.5)


def test_an_earlier_valve_shows_while_the_new_one_is_folded():
    anatomy, equipment = kit("retract", "evolut")
    old = sample_valve(anatomy, np.random.default_rng(9), make="sapien", folded_radius=2.0)
    placed = place_devices(anatomy, replace(equipment, previous=(old, 2.0)), DeviceState(distal=-40.0))
    assert len(placed.crowns[0]) == old.cells
    assert placed.catheter is not None


def test_impossible_equipment_is_refused():
    anatomy, equipment = kit("retract", "evolut")
    with pytest.raises(ValueError, match="wire"):
        place_devices(anatomy, replace(equipment, wire=None), DeviceState())
    with pytest.raises(ValueError, match="needs a system and a valve"):
        place_devices(anatomy, replace(equipment, valve=None), DeviceState())


def test_motion_moves_devices_and_points_alike():
    anatomy, equipment = kit("retract", "evolut")
    rest = place_devices(anatomy, equipment, DeviceState(6.0, 4.0, 1.0))
    moved = rest.moved(lambda p: np.full_like(p, 3.0))
    np.testing.assert_allclose(moved.pigtail_tip, rest.pigtail_tip + 3)
    np.testing.assert_allclose(moved.catheter["CT"], rest.catheter["CT"] + 3)
    np.testing.assert_allclose(moved.crowns[0], rest.crowns[0] + 3)
    np.testing.assert_allclose(moved.tubes[0].points, rest.tubes[0].points + 3)
