"""Real frames as backgrounds; here they are made by hand, so that what is drawn onto them is known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from monai_tavr.dicom import open_cine
from monai_tavr.formats.label_json import read_label_json
from monai_tavr.formats.root_masks import OUTSIDE, ROOT, UNKNOWN
from monai_tavr.keypoints import TAVR11, KeypointState
from monai_tavr.phantom.backgrounds import RealBackground, list_backgrounds, load_background
from monai_tavr.phantom.contrast import ContrastState
from monai_tavr.phantom.generate import generate_dataset
from monai_tavr.phantom.landmarks import ROOT_POINTS
from monai_tavr.phantom.presets import preset_named
from monai_tavr.phantom.procedure import plan_cine, sample_patient
from monai_tavr.phantom.render import render_cine


def flat(level: float = 150.0, *, gain: float = 100.0, veil: float = 0.0, noise: float = 0.0, size: int = 64) -> RealBackground:
    grey = np.full((size, size), level, np.float32)
    return RealBackground(grey=grey, field=np.ones_like(grey), gain=gain, noise=noise, blur=0.5, veil=veil)


def block(size: int = 64, value: float = 0.5) -> np.ndarray:
    attenuation = np.zeros((size, size), np.float32)
    attenuation[16:48, 16:48] = value
    return attenuation


def test_attenuation_becomes_grey_levels_on_a_logarithmic_scale():
    frame = flat().draw(block(), np.random.default_rng(0))
    assert frame[32, 32] == 150 - 100 * 0.5  # gain times attenuation
    assert frame[4, 4] == 150  # nothing is touched where nothing was added
    assert flat().draw(block(), np.random.default_rng(0), bits=12)[32, 32] == round(100 * 4095 / 255)


def test_scatter_is_not_dimmed():
    frame = flat(veil=0.25).draw(block(), np.random.default_rng(0))
    assert frame[32, 32] == round(150 + 100 * np.log(0.75 * np.exp(-0.5) + 0.25))


def test_noise_comes_with_what_was_added_and_nowhere_else():
    noisy = flat(noise=4.0).draw(block(), np.random.default_rng(0))
    assert np.ptp(noisy[:8]) == 0
    expected = 4.0 * (np.exp(0.25) - 1)  # fewer quanta: the root of the dimming
    assert noisy[20:44, 20:44].std() == pytest.approx(expected, rel=0.25)


def test_dense_metal_does_not_go_below_what_the_display_shows():
    frame = flat(level=60.0).draw(block(value=5.0), np.random.default_rng(0))
    assert 14 <= frame[32, 32] <= 24


def collimated(size: int = 256) -> np.ndarray:
    rng = np.random.default_rng(3)
    frame = 140 + 10 * rng.standard_normal((size, size))
    frame[:40], frame[:, -24:] = 12, 12  # blades above and on the right
    return np.clip(frame, 0, 255).astype(np.uint8)


def test_blades_are_found_and_nothing_is_drawn_behind_them(tmp_path: Path):
    Image.fromarray(collimated()).save(tmp_path / "a.png")
    rng = np.random.default_rng(0)
    background = next(
        b for b in (load_background([tmp_path / "a.png"], rng, size=256) for _ in range(40)) if b.grey[:40].max() <= 14
    )
    inside, behind = (128.0, 128.0), (128.0, 20.0)
    assert background.shows(np.array([inside, behind, (np.nan, np.nan)])).tolist() == [True, False, False]
    drawn = background.draw(np.ones((256, 256)), rng)
    assert np.abs(drawn[:36].astype(float) - background.grey[:36]).max() <= 1
    assert drawn[100:150, 100:150].mean() < background.grey[100:150, 100:150].mean() - 30


def test_the_same_numbers_give_the_same_part_of_the_same_file(tmp_path: Path):
    for i in range(3):
        Image.fromarray(np.full((80, 64), 50 * i, np.uint8)).save(tmp_path / f"{i}.png")
    files = list_backgrounds(tmp_path)
    one, two = (load_background(files, np.random.default_rng(5), size=64) for _ in range(2))
    np.testing.assert_array_equal(one.grey, two.grey)
    assert one.gain == two.gain


def test_a_data_set_on_real_frames(tmp_path: Path):
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    Image.fromarray(collimated()).save(pictures / "a.png")
    options = {"preset": "tiny", "patients": 2, "seed": 2, "workers": 1, "progress": False}
    generate_dataset(tmp_path / "data", backgrounds=pictures, **options)
    generate_dataset(tmp_path / "plain", **options)
    unlabelled = 0
    for path in sorted((tmp_path / "data").rglob("*.json")):
        if path.name in ("datalist.json", "phantom.json"):
            continue
        label = read_label_json(path)
        plain = read_label_json(tmp_path / "plain" / path.relative_to(tmp_path / "data"))
        assert label.image.sop_instance_uid != plain.image.sop_instance_uid
        frames = open_cine(path.with_suffix(".dcm"))
        assert len(frames) == len(label.frames) == 3
        for points, same in zip(label.frames, plain.frames, strict=True):
            root = np.isin(TAVR11.names, ROOT_POINTS)
            seen = points.visible
            np.testing.assert_allclose(points.xy[seen], same.xy[seen], atol=1e-3)  # labels as exact as before
            assert (points.state[~root] != KeypointState.UNLABELLED).all()
            if not same.visible[root].any():
                assert (points.state[root] == KeypointState.UNLABELLED).all()  # the real frame may show a root
                unlabelled += 1
    assert unlabelled > 0


def test_the_mask_ends_where_the_collimator_does():
    patient = sample_patient(preset_named("tiny"), seed=2, index=0)
    plan = plan_cine(patient, 0, preset=preset_named("tiny"), size=128)
    plan = replace(plan, contrast=(ContrastState(), ContrastState(), ContrastState(filling=0.0)))
    open_, closed = np.ones((128, 128), np.float32), np.ones((128, 128), np.float32)
    whole = render_cine(patient.anatomy, plan, background=replace(flat(size=128), field=open_))
    middle = int(np.argwhere(whole.root_masks[0] == ROOT)[:, 0].mean())
    closed[:middle] = 0
    half = render_cine(patient.anatomy, plan, background=replace(flat(size=128), field=closed)).root_masks
    assert (whole.root_masks[2] == UNKNOWN).all()
    assert (half[:2, :middle] == OUTSIDE).all()
    np.testing.assert_array_equal(half[:, middle:], whole.root_masks[:, middle:])


def test_other_backgrounds_are_another_data_set(tmp_path: Path):
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    Image.fromarray(collimated(128)).save(pictures / "a.png")
    options = {"preset": "tiny", "patients": 1, "workers": 1, "progress": False, "size": 64}
    generate_dataset(tmp_path / "data", backgrounds=pictures, **options)
    with pytest.raises(ValueError, match="holds a data set made with"):
        generate_dataset(tmp_path / "data", **options)
    with pytest.raises(ValueError, match="no X-ray frames there"):
        generate_dataset(tmp_path / "other", backgrounds=tmp_path / "nowhere", **options)
