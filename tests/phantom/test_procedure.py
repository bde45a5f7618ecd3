from collections import Counter
from dataclasses import fields

import numpy as np
import pytest

from monai_tavr.phantom.motion import follow_weight, sample_motion
from monai_tavr.phantom.presets import PRESETS, preset_named
from monai_tavr.phantom.procedure import plan_cine, sample_patient
from monai_tavr.phantom.seeding import child_seed, root_seed
from monai_tavr.phantom.valves import opening_profile

TAVR81 = preset_named("tavr81")


@pytest.fixture(scope="module")
def plans():
    """(patient, phase, plan) of 40 patients."""
    found = []
    for index in range(40):
        patient = sample_patient(TAVR81, seed=0, index=index)
        found += [
            (patient, phase, plan_cine(patient, c, preset=TAVR81, size=512)) for c, (phase, _, _) in enumerate(patient.cines)
        ]
    return found


def test_children_of_a_seed_are_the_same_at_every_call():
    seed = root_seed("x", 1, 2)
    assert child_seed(seed, 3).generate_state(2).tolist() == child_seed(seed, 3).generate_state(2).tolist()
    assert child_seed(seed, 3).generate_state(2).tolist() != child_seed(seed, 4).generate_state(2).tolist()
    assert root_seed("ab", 1).generate_state(1)[0] != root_seed("a", 98, 1).generate_state(1)[0]


def test_unknown_preset_is_refused_by_name():
    with pytest.raises(ValueError, match="'tavr82'"):
        preset_named("tavr82")


def test_a_patient_is_the_same_whenever_he_is_drawn():
    one, again, other = (sample_patient(TAVR81, seed=s, index=5) for s in (0, 0, 1))
    np.testing.assert_array_equal(one.anatomy.centreline, again.anatomy.centreline)
    assert one.system == again.system
    assert one.system != other.system
    first, second = (plan_cine(one, 0, preset=TAVR81, size=256) for _ in range(2))
    assert first.states == second.states
    assert first.contrast == second.contrast


def test_the_data_set_has_about_as_many_frames_as_the_papers():
    frames = [n for index in range(81) for _, n, _ in sample_patient(TAVR81, seed=0, index=index).cines]
    assert 2700 < sum(frames) < 3000
    assert min(frames) >= 8
    assert max(frames) <= 12


def test_size_changes_the_grid_and_nothing_else():
    patient = sample_patient(TAVR81, seed=0, index=1)
    small, large = (plan_cine(patient, 1, preset=TAVR81, size=s) for s in (256, 512))
    assert small.camera.field_mm == large.camera.field_mm
    assert small.states == large.states


def test_phases_do_not_foretell_what_is_there(plans):
    """In every phase there are cines with and without contrast, and with and without a catheter."""
    seen = {phase: Counter() for phase in TAVR81.phases}
    for _, phase, plan in plans:
        contrast = max(c.filling for c in plan.contrast) > 0.3
        seen[phase]["contrast"] += contrast
        seen[phase]["catheter"] += plan.equipment.system is not None
        seen[phase]["cines"] += 1
    for phase, count in seen.items():
        assert 0 < count["contrast"] < count["cines"], phase
        assert 0 < count["catheter"] < count["cines"], phase


def test_implant_depths_range_far_beyond_what_surgeons_aim_at(plans):
    depths = [plan.states[0].depth for _, _, plan in plans if plan.equipment.valve is not None and not plan.equipment.loaded]
    assert min(depths) < -5
    assert max(depths) > 10


def test_several_systems_and_makes(plans):
    kinds = Counter(patient.system.kind for patient, _, _ in plans)
    assert set(kinds) == {"retract", "split", "balloon"}
    assert min(kinds.values()) > 10


def test_a_deployment_only_goes_forward_and_avoids_doubtful_openings(plans):
    for patient, _, plan in plans:
        opening = np.array([s.opening for s in plan.states])
        assert (np.diff(opening) >= 0).all()
        inflow = np.array([float(opening_profile(patient.valve, o, 0.0)) for o in opening])
        assert not ((inflow > 0.32) & (inflow < 0.66)).any()


def test_contrast_is_either_plain_or_a_trace_but_for_a_few_frames(plans):
    filling = np.array([c.filling for _, _, plan in plans for c in plan.contrast])
    assert ((filling > 0.04) & (filling < 0.6)).mean() < 0.06
    assert 0.3 < (filling > 0.6).mean() < 0.7


def test_some_tables_glide_and_most_stand(plans):
    gliding = [plan.pan.any() for _, _, plan in plans]
    assert 0.03 < np.mean(gliding) < 0.3
    for _, _, plan in plans:
        assert (plan.pan[0] == 0).all() or plan.pan.any()
        assert np.abs(plan.pan).max() <= 0.046 * 512


def test_typical_demo_studies_show_their_phase():
    demo = preset_named("demo")
    for index in range(demo.patients):
        patient = sample_patient(demo, seed=0, index=index)
        ((phase, frames, _),) = patient.cines
        plan = plan_cine(patient, 0, preset=demo, size=256)
        assert phase == demo.phases[index]
        assert 22 <= frames <= 30
        assert plan.equipment.pigtail is not None
        assert (plan.equipment.system is not None) == (phase in ("positioning", "deployment"))
        assert plan.states[-1].opening == (1.0 if phase == "deployment" else 0.0)


@pytest.fixture(scope="module")
def clinical():
    """Phase -> plans of 24 patients of the preset ``clinical``."""
    preset, found = preset_named("clinical"), {}
    for index in range(24):
        patient = sample_patient(preset, seed=0, index=index)
        for c, (phase, _, _) in enumerate(patient.cines):
            found.setdefault(phase, []).append((patient, plan_cine(patient, c, preset=preset, size=128)))
    return found


def test_other_runs_of_the_laboratory_show_neither_catheter_nor_valve(clinical):
    assert set(clinical) == {"survey", "positioning", "deployment", "follow-up", "coronary", "aortogram"}
    for phase in ("coronary", "aortogram"):
        assert len(clinical[phase]) > 14
        for patient, plan in clinical[phase]:
            kit = plan.equipment
            assert (kit.system, kit.valve, kit.previous) == (None, None, None)
            assert (kit.pigtail is None) == (phase == "coronary")
            assert {s.selective for s in plan.contrast} <= ({0, 2} if phase == "coronary" else {None})
            if phase == "coronary":
                assert len(kit.passive) > len(patient.distractors)  # the guiding catheter
                assert all(s.root_share <= 0.15 for s in plan.contrast)


def test_contrast_collimator_and_shading_vary_in_a_clinic_and_nowhere_else(clinical, plans):
    both = [plan for runs in clinical.values() for _, plan in runs]
    closed = [plan for plan in both if plan.collimator is not None]
    assert len(closed) / len(both) == pytest.approx(0.5, abs=0.15)
    assert all((plan.detector.glow == 0).all() for plan in closed)  # one kind of edge, not two
    assert min(p.shading for p in both) < 0.5 < 1.2 < max(p.shading for p in both)
    peaks = [max(s.filling for s in plan.contrast) for _, plan in clinical["aortogram"]]
    assert min(peaks) < 0.7
    assert max(peaks) > 1.6
    lungs = [patient.anatomy.lung_density for patient, _ in clinical["survey"]]
    assert min(lungs) < 0.3
    assert max(lungs) > 0.9
    assert {(plan.collimator, plan.shading) for _, _, plan in plans} == {(None, 0.0)}


def test_shift_differs_in_dose_blur_valves_angles_and_distractors():
    shift = PRESETS["shift"]
    assert shift.detector.photons[1] <= TAVR81.detector.photons[0]
    assert shift.detector.blur[0] >= 0.9 * TAVR81.detector.blur[1]
    assert set(shift.makes) - set(TAVR81.makes) == {"braided"}
    assert shift.primary[1] > TAVR81.primary[1]
    assert all(shift.distractors[k] > TAVR81.distractors[k] for k in TAVR81.distractors)
    different = {f.name for f in fields(shift) if getattr(shift, f.name) != getattr(TAVR81, f.name)}
    assert {"detector", "makes", "primary", "secondary", "field_mm", "distractors"} <= different


def test_the_heart_moves_and_the_skin_does_not():
    weight = follow_weight(np.array([[0.0, 0, 0], [0, -30, 40], [0, 0, 140], [40, 60, -80]]))
    assert weight[:2].tolist() == [1, 1]
    assert weight[2] < 0.2
    assert weight[3] < 0.15


def test_pacing_is_fast_and_shallow():
    anatomy = sample_patient(TAVR81, seed=0, index=0).anatomy
    free, paced = (
        sample_motion(anatomy, np.random.default_rng(1), frames=200, frame_time_ms=20.0, paced=p) for p in (False, True)
    )

    def beats_per_second(motion):
        spectrum = np.abs(np.fft.rfft(motion.beat - motion.beat.mean()))
        return np.fft.rfftfreq(200, 0.02)[spectrum.argmax()]

    assert 0.8 < beats_per_second(free) < 1.7
    assert 2.7 < beats_per_second(paced) < 3.6
    assert np.ptp(paced.beat) < 0.5 * np.ptp(free.beat)
