from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, map_coordinates

from monai_tavr.formats.root_masks import OUTSIDE, ROOT, UNKNOWN
from monai_tavr.phantom.collimator import Collimator
from monai_tavr.phantom.contrast import ContrastState
from monai_tavr.phantom.landmarks import CONTRAST_RISE
from monai_tavr.phantom.presets import preset_named
from monai_tavr.phantom.procedure import plan_cine, sample_patient
from monai_tavr.phantom.render import frame_layers, render_cine

TAVR81 = preset_named("tavr81")
STILL = {"root": 0.0, "beat": 0.0, "breath": 0.0}


def plan_of(index, cine=0, *, size=512, frames=1):
    patient = sample_patient(TAVR81, seed=0, index=index)
    plan = plan_cine(patient, cine, preset=TAVR81, size=size)
    chosen = slice(-frames, None)
    return patient.anatomy, replace(
        plan,
        states=plan.states[chosen],
        contrast=plan.contrast[chosen],
        pan=plan.pan[chosen],
        motion=replace(plan.motion, **{k: getattr(plan.motion, k)[chosen] for k in STILL}),
    )


def points_of(keypoints):
    return {n: xy for n, xy, v in zip(keypoints.schema.names, keypoints.xy, keypoints.visible, strict=True) if v}


def steepest(layer, end, outward):
    """Distance in pixels from ``end`` along ``outward`` (2,) to where the layer falls most steeply."""
    t = np.arange(-8, 8.1, 0.5)
    values = map_coordinates(layer, (end + t[:, None] * outward)[:, ::-1].T, order=1)
    return t[np.argmax(-np.gradient(values))]


def test_annulus_and_junction_ends_lie_on_the_contour_of_the_contrast():
    distances = []
    for index in range(14):
        anatomy, plan = plan_of(index)
        plain = ContrastState(filling=1.0, fade_mm=60.0, coronary_filling=0.0)
        (layers,) = frame_layers(replace(anatomy, calcified=0), replace(plan, contrast=(plain,)))
        layer, points = gaussian_filter(layers.contrast, 1.0), points_of(layers.keypoints)
        for left, right in (("AA1", "AA2"), ("STJ1", "STJ2")):
            if left in points and right in points:
                outward = (points[left] - points[right]) / np.linalg.norm(points[left] - points[right])
                distances += [steepest(layer, points[left], outward), steepest(layer, points[right], -outward)]
    assert len(distances) > 40
    assert np.median(np.abs(distances)) < 3


def test_the_annulus_lies_on_the_outline_of_the_mask_and_no_point_means_no_mask():
    distances = []
    for index in range(14):
        anatomy, plan = plan_of(index)
        (layers,) = frame_layers(anatomy, plan)
        points = points_of(layers.keypoints)
        if not points.keys() & {"AA1", "AA2", "STJ1", "STJ2"}:
            assert (layers.root_mask == UNKNOWN).all()
        elif points.keys() >= {"AA1", "AA2"}:
            assert set(np.unique(layers.root_mask)) == {OUTSIDE, ROOT}
            outward = (points["AA1"] - points["AA2"]) / np.linalg.norm(points["AA1"] - points["AA2"])
            mask = layers.root_mask.astype(float)
            distances += [steepest(mask, points["AA1"], outward), steepest(mask, points["AA2"], -outward)]
    assert len(distances) > 6
    assert np.median(np.abs(distances)) <= 1.5


def test_contrast_makes_the_group_visible_and_its_absence_does_not():
    anatomy, plan = plan_of(3)
    (full,), (empty,) = (list(frame_layers(anatomy, replace(plan, contrast=(ContrastState(filling=f),)))) for f in (1.0, 0.0))
    assert full.keypoints.group_state[0] == 1
    assert full.rise > 1.5 * CONTRAST_RISE
    assert empty.keypoints.group_state[0] == 0
    assert empty.rise < 0.3 * CONTRAST_RISE


def test_a_group_is_there_as_a_whole():
    for index in range(6):
        anatomy, plan = plan_of(index, 1, size=256, frames=3)
        for layers in frame_layers(anatomy, plan):
            low, high = 0.02 * 256, 0.98 * 256
            points = points_of(layers.keypoints)
            for group in ("anatomical", "instrumental"):
                names = layers.keypoints.schema.groups[group]
                there = [n in points for n in names]
                assert all(there) or not any(there) or any(0 < c < 256 for n in names if n in points for c in points[n])
            assert all(low - 1 <= c <= high for xy in points.values() for c in xy)


def test_devices_are_drawn_where_the_points_say():
    """Catheter points and frame ends lie on metal: the device layer is dense within 2 pixels."""
    on_metal = []
    for index in range(8):
        for cine in (1, 2):
            anatomy, plan = plan_of(index, cine)
            (layers,) = frame_layers(anatomy, plan)
            for name, (x, y) in points_of(layers.keypoints).items():
                if name[:2] in ("CP", "CM", "CD", "CT", "FE", "PT"):
                    row, column = round(float(y)), round(float(x))
                    on_metal.append(layers.devices[row - 2 : row + 3, column - 2 : column + 3].max() > 0.03)
    assert len(on_metal) > 40
    assert all(on_metal)


def test_frames_are_the_plans_and_of_the_asked_depth():
    anatomy, plan = plan_of(0, 1, size=128, frames=2)
    eight, twelve = (render_cine(anatomy, plan, bits=b) for b in (8, 12))
    assert eight.frames.shape == (2, 128, 128)
    assert eight.frames.dtype == np.uint8
    assert twelve.frames.dtype == np.uint16
    assert twelve.frames.max() > 255
    assert twelve.frames.max() < 4096
    # the same picture at two depths
    np.testing.assert_allclose(twelve.frames / 4095, eight.frames / 255, atol=0.54 / 255)
    for a, b in zip(eight.keypoints, twelve.keypoints, strict=True):
        np.testing.assert_array_equal(a.xy, b.xy)


def test_rendering_twice_gives_the_same_frames():
    anatomy, plan = plan_of(2, 0, size=128, frames=2)
    first, second = (render_cine(anatomy, plan) for _ in range(2))
    np.testing.assert_array_equal(first.frames, second.frames)


@pytest.mark.parametrize(
    ("preset", "index", "cine", "points", "mean"),
    [
        ("tavr81", 7, 2, {"PT": (26.58, 29.6), "FE1": (23.64, 33.36), "FE2": (30.67, 29.24)}, 121.5),
        ("variety", 5, 0, {"AA1": (24.44, 34.64), "AA2": (30.59, 28.96), "STJ1": (20.52, 30.68), "STJ2": (27.03, 24.74)}, 127.7),
        ("shift", 1, 1, {"CP": (26.97, 26.07), "CM": (29.63, 29.85), "CD": (32.89, 32.46), "CT": (34.75, 33.0)}, 104.4),
    ],
)
def test_published_data_sets_stay_as_they_were(preset, index, cine, points, mean):
    """Points and mean grey level as version 1 of the generator has made them since it was published."""
    patient = sample_patient(preset_named(preset), seed=0, index=index)
    made = render_cine(patient.anatomy, plan_cine(patient, cine, preset=preset_named(preset), size=64))
    found = points_of(made.keypoints[0])
    assert found.keys() == points.keys()
    for name, xy in points.items():
        np.testing.assert_allclose(found[name], xy, atol=0.006)
    assert made.frames[0].mean() == pytest.approx(mean, abs=0.1)


def test_points_and_mask_behind_the_blades_are_gone():
    anatomy, plan = plan_of(3, size=128)
    plan = replace(plan, contrast=(ContrastState(),))
    whole = render_cine(anatomy, plan)
    points = points_of(whole.keypoints[0])
    middle = (points["AA1"] + points["AA2"] + points["STJ1"] + points["STJ2"]) / 4
    blades = np.array([middle[0] / 128, 0, 0, 0])
    sharp = Collimator(blades, 0.0, 0.0, softness=0.5, glow=0, glow_width=0.01, surround=20, leak=0, shutter=2)
    half = render_cine(anatomy, replace(plan, collimator=sharp))
    expected = {name for name, xy in points.items() if xy[0] > middle[0]}
    assert set(points_of(half.keypoints[0])) == expected
    assert {"AA2", "STJ2"} <= expected
    assert half.keypoints[0].labelled.all()
    edge = round(middle[0])
    assert (half.root_masks[0, :, : edge - 1] == OUTSIDE).all()
    np.testing.assert_array_equal(half.root_masks[0, :, edge + 2 :], whole.root_masks[0, :, edge + 2 :])
    assert half.frames[0, :, : edge - 6].max() < 40


def test_the_table_moves_chest_devices_and_points_together():
    anatomy, plan = plan_of(4, 1, size=256)
    motion = replace(plan.motion, **{k: np.zeros_like(getattr(plan.motion, k)) for k in STILL})
    here = replace(plan, motion=motion, pan=np.array([[0, 0]]))
    there = replace(here, pan=np.array([[9, -5]]))
    (a,), (b,) = frame_layers(anatomy, here), frame_layers(anatomy, there)
    pa, pb = points_of(a.keypoints), points_of(b.keypoints)
    both = pa.keys() & pb.keys()
    assert both
    for name in both:
        # points nearer to or farther from the detector than the centre move a little more or less
        np.testing.assert_allclose(pb[name] - pa[name], [9, -5], atol=1.0)
    # two frames of one gliding cine: the chest in the second is that of the first, shifted
    both_frames = replace(
        here,
        states=here.states * 2,
        contrast=(ContrastState(filling=0.0),) * 2,
        pan=np.array([[0, 0], [12, 0]]),
        motion=replace(motion, **{k: np.concatenate([getattr(motion, k)] * 2) for k in STILL}),
    )
    frames = render_cine(anatomy, both_frames).frames.astype(float)
    still, shifted = frames[0][40:-40, 40:-40], frames[1][40:-40, 52:-28]
    unshifted = frames[1][40:-40, 40:-40]
    assert np.corrcoef(still.ravel(), shifted.ravel())[0, 1] > 0.9
    assert np.corrcoef(still.ravel(), shifted.ravel())[0, 1] > np.corrcoef(still.ravel(), unshifted.ravel())[0, 1] + 0.1


def test_a_pigtail_beside_an_open_valve_is_mostly_seen():
    """Where the valve is open and a pigtail is there, its tip is mostly seen."""
    absent = visible = 0
    for index in range(14):
        patient = sample_patient(TAVR81, seed=0, index=index)
        for cine, (phase, _, _) in enumerate(patient.cines):
            if phase != "follow-up":
                continue
            anatomy, plan = plan_of(index, cine, size=256)
            (layers,) = frame_layers(anatomy, plan)
            if layers.keypoints.group_state[2] == 1 and plan.equipment.pigtail is not None:
                seen = "PT" in points_of(layers.keypoints)
                visible += seen
                absent += not seen
    assert visible > 4
    assert absent < 0.5 * visible


@pytest.mark.parametrize("preset", ["shift", "tiny", "clinical"])
def test_every_preset_renders(preset):
    chosen = preset_named(preset)
    patient = sample_patient(chosen, seed=1, index=0)
    plan = plan_cine(patient, 0, preset=chosen, size=64)
    frames = render_cine(patient.anatomy, plan).frames
    assert frames.shape == (patient.cines[0][1], 64, 64)
    assert frames.std() > 10
