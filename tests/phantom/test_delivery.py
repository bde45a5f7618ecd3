import numpy as np
import pytest

from monai_tavr.phantom.camera import Camera
from monai_tavr.phantom.curves import Curve, draw_tubes
from monai_tavr.phantom.delivery import KINDS, delivery_landmarks, delivery_tubes, sample_delivery

# a straight wire from left to right through the middle of the image: arc length 200 mm is the origin
WIRE = Curve(np.stack([np.linspace(-200, 200, 801), np.zeros(801), np.zeros(801)], axis=1))
CAMERA = Camera(primary_deg=0, secondary_deg=0, size=512, field_mm=160, source_object_mm=750, source_detector_mm=1100)


def system_of(kind, seed=0):
    return sample_delivery(np.random.default_rng(seed), kind=kind)


def test_unknown_kind_is_refused_by_name():
    with pytest.raises(ValueError, match="'clamp'"):
        sample_delivery(np.random.default_rng(0), kind="clamp")


@pytest.mark.parametrize("kind", KINDS)
def test_folded_markers_lie_at_their_distances(kind):
    system = system_of(kind)
    at = {name: p[0] for name, p in delivery_landmarks(system, WIRE, distal=210.0).items()}
    assert at["CD"] == pytest.approx(10.0)
    assert at["CD"] - at["CP"] == pytest.approx(system.length)
    assert at["CD"] - at["CM"] == pytest.approx(system.middle * system.length)
    assert at["CT"] - at["CD"] == pytest.approx(system.nose_length)


def moved_by(kind, **pull):
    system = system_of(kind)
    before, after = (delivery_landmarks(system, WIRE, distal=210.0, **more) for more in ({}, pull))
    return {name: round(float(after[name][0] - before[name][0]), 6) for name in before}


def test_pulling_a_capsule_takes_all_its_markers_but_not_the_nose():
    assert moved_by("retract", retraction=20.0) == {"CP": -20, "CM": -20, "CD": -20, "CT": 0}


def test_a_split_capsule_parts_in_the_middle():
    assert moved_by("split", retraction=20.0, release=6.0) == {"CP": -20, "CM": 6, "CD": 6, "CT": 6}


def test_a_balloon_stays():
    assert moved_by("balloon") == {"CP": 0, "CM": 0, "CD": 0, "CT": 0}


def drawn(system, **more):
    layer = np.zeros((512, 512))
    draw_tubes(layer, CAMERA, delivery_tubes(system, WIRE, distal=210.0, **more))
    return layer


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(4))
def test_marker_labels_lie_on_the_densest_place_along_the_catheter(kind, seed):
    system = system_of(kind, seed)
    layer = drawn(system)
    profile = np.convolve(layer[230:282].sum(axis=0), np.ones(5) / 5, mode="same")
    places = delivery_landmarks(system, WIRE, distal=210.0)
    for name in ("CP", "CM", "CD"):
        x, y = CAMERA.project(places[name])[0]
        assert y == pytest.approx(255.5, abs=0.01)
        window = profile[round(x) - 9 : round(x) + 10]
        heavy = np.clip(window - np.percentile(window, 30), 0, None)
        assert (heavy * np.arange(-9, 10)).sum() / heavy.sum() == pytest.approx(x - round(x), abs=2.0)
        assert window.max() > 1.25 * np.percentile(window, 20)


@pytest.mark.parametrize("kind", KINDS)
def test_the_nose_ends_at_its_label(kind):
    system = system_of(kind)
    layer = drawn(system)
    x, y = CAMERA.project(delivery_landmarks(system, WIRE, distal=210.0)["CT"])[0]
    row = layer[round(float(y)) - 1 : round(float(y)) + 2].sum(axis=0)
    assert row[: round(x)].max() > 0.2
    assert row[round(x) - 2] > 0.05
    assert row[round(x) + 3 :].max() < 1e-9  # the guide wire is not part of this layer


def test_a_folded_valve_darkens_its_stretch_only():
    system = system_of("retract")
    extra = drawn(system, folded=(190.0, 205.0)) - drawn(system)
    columns = np.flatnonzero(extra.sum(axis=0) > 1e-6)
    (left, right), _ = CAMERA.project(np.array([[-10.0, 0, 0], [5.0, 0, 0]]))
    assert columns.min() == pytest.approx(left[0], abs=6)
    assert columns.max() == pytest.approx(right[0], abs=4)


def test_a_full_balloon_is_as_wide_as_asked():
    layer = drawn(system_of("balloon"), inflation=1.0, balloon_radius=12.0)
    column = layer[:, round(float(CAMERA.project(np.array([-3.0, 0, 0]))[0][0]))]
    rows = np.flatnonzero(column > 0.02)
    assert (rows.max() - rows.min()) * CAMERA.pixel_mm == pytest.approx(24, abs=1.5)


def test_makes_differ():
    lengths = {round(system_of(kind, seed).length, 3) for kind in KINDS for seed in range(5)}
    blocks = {len(system_of("retract", seed).blocks) for seed in range(20)}
    assert len(lengths) == 15
    assert {0, 1, 2} <= blocks
