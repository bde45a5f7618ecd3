import json
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from monai_tavr.active_learning.simulation import Replay, ReplaySettings, frame_errors, run_replays
from monai_tavr.active_learning.student import FrameArrays, Student, load_frames
from monai_tavr.active_learning.uncertainty import PointUncertainty
from monai_tavr.evaluation.frames import group_by_cine
from monai_tavr.keypoints import TAVR11, KeypointState
from monai_tavr.phantom.generate import generate_dataset

K = TAVR11.num_keypoints
SETTINGS = ReplaySettings(rounds=2, batch=2, iterations=2, pool_share=0.5, image_size=64, every=1, gap=2)


def make_frames(patients, *, frames=4, seed=0):
    """A cine per patient; every point of a frame lies on a bright dot."""
    rng = np.random.default_rng(seed)
    n = patients * frames
    xy = np.repeat(rng.uniform(0.2, 0.8, (n, 1, 2)), K, axis=1).astype(np.float32)
    y, x = np.mgrid[0:64, 0:64] / 64
    images = np.exp(-((x - xy[:, 0, 0, None, None]) ** 2 + (y - xy[:, 0, 1, None, None]) ** 2) / 0.005)
    cine = np.repeat(np.arange(patients), frames)
    state = np.full((n, K), KeypointState.VISIBLE, np.int8)
    return FrameArrays(images[:, None].astype(np.float16), xy, state, cine, np.tile(np.arange(frames), patients), cine)


@pytest.fixture(scope="module")
def replay():
    torch.set_num_threads(1)
    student = Student(image_size=64)
    memory = student.lessons(make_frames(1, seed=2))
    return Replay(student, student.state(), memory, PointUncertainty(), make_frames(4), make_frames(1, seed=1), SETTINGS)


def test_the_error_of_a_frame_by_hand(replay):
    frames = make_frames(1, frames=1)
    outputs = replay.student.ask(frames)
    outputs.reported[:] = True
    outputs.xy[:] = frames.xy + np.float32([0, 8 / 512])  # 8 px low
    outputs.xy[0, 0] += 1  # 50 at most
    outputs.reported[0, 1] = False  # missed: 50
    frames.state[0, 2] = KeypointState.ABSENT  # invented: 50
    frames.state[0, 3] = KeypointState.UNLABELLED
    assert frame_errors(outputs, frames)[0] == pytest.approx((3 * 50 + (K - 4) * 8) / (K - 1), abs=1e-3)


def test_training_lowers_the_error_and_leaves_the_common_start_alone(replay):
    frames, student = make_frames(2), Student(image_size=64)
    start = student.state()
    before = frame_errors(student.ask(frames), frames).mean()
    student.train([student.lessons(frames)], iterations=60, learning_rate=5e-3, per_batch=(8,))
    assert frame_errors(student.ask(frames), frames).mean() < 0.7 * before
    student.restore(start)
    assert frame_errors(student.ask(frames), frames).mean() == pytest.approx(before)


def test_fixed_statistics_stay(replay):
    student = Student(image_size=64)
    student.train([student.lessons(make_frames(1))], iterations=1, learning_rate=1e-3, fixed_statistics=True)
    assert float(student.network.backbone.stem[1].running_mean.abs().sum()) == 0


def test_rounds_label_what_was_asked_for(replay, tmp_path):
    rounds = run_replays(replay, tmp_path / "rounds.jsonl", strategies=["random", "hybrid"], seeds=2)
    assert [(r["strategy"], r["seed"], r["round"], r["labels"]) for r in rounds[:6]] == [
        *[("random", 0, k, 2 * k) for k in range(3)],
        *[("hybrid", 0, k, 2 * k) for k in range(3)],
    ]
    first = {s: next(r for r in rounds if (r["strategy"], r["seed"]) == (s, 0)) for s in ("random", "hybrid")}
    assert first["random"]["pool_error"] == first["hybrid"]["pool_error"]  # the same pool, nothing labelled yet
    for seed in (0, 1):
        patients = set(replay.pool_of(seed).patient.tolist())
        assert len(patients) == 2
        for strategy in ("random", "hybrid"):
            pairs = [tuple(p) for r in rounds if (r["strategy"], r["seed"]) == (strategy, seed) for p in r["chosen"]]
            assert len(set(pairs)) == 4
            assert {c for c, _ in pairs} <= patients  # a cine per patient here
    hybrid = sorted(tuple(p) for r in rounds if (r["strategy"], r["seed"]) == ("hybrid", 0) for p in r["chosen"])
    assert all(b[0] != a[0] or b[1] - a[1] >= 2 for a, b in pairwise(hybrid))


def test_a_replay_that_was_stopped_goes_on_as_if_it_had_not_been(replay, tmp_path):
    file = tmp_path / "rounds.jsonl"
    whole = run_replays(replay, file, strategies=["hybrid"], seeds=1)
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join(lines[:3]) + lines[3][:20])  # settings, rounds 0 and 1, and a line that was cut off
    again = run_replays(replay, file, strategies=["hybrid"], seeds=1)
    for a, b in zip(whole, again, strict=True):
        assert {k: v for k, v in a.items() if k not in ("seconds", "chosen")} == pytest.approx(
            {k: v for k, v in b.items() if k not in ("seconds", "chosen")}
        )
        assert [tuple(p) for p in a["chosen"]] == [tuple(p) for p in b["chosen"]]
    kept = file.read_text()
    assert run_replays(replay, file, strategies=["hybrid"], seeds=1) == [json.loads(x) for x in kept.splitlines()[1:]]
    assert file.read_text() == kept


def test_other_settings_and_unknown_strategies_are_refused(replay, tmp_path):
    with pytest.raises(ValueError, match="no strategy 'best'"):
        run_replays(replay, tmp_path / "a.jsonl", strategies=["best"], seeds=1)
    file = tmp_path / "rounds.jsonl"
    file.write_text(json.dumps({"settings": {}}) + "\n")
    with pytest.raises(ValueError, match=r"rounds\.jsonl belongs to replays with"):
        run_replays(replay, file, strategies=["random"], seeds=1)
    with pytest.raises(ValueError, match="pool_share"):
        ReplaySettings(pool_share=0)


def test_frames_are_read_once(tmp_path):
    folder = generate_dataset(tmp_path / "data", preset="tiny", patients=1, workers=1, progress=False).parent
    (cine, *_) = sorted(folder.glob("P000/*.dcm"))
    item = {"image": str(cine), "label": str(cine.with_suffix(".json")), "patient": "P000"}
    cines = group_by_cine([item])
    cache = tmp_path / "frames.npz"
    frames = load_frames(cines, image_size=64, every=2, cache=cache)
    assert frames.frame.tolist() == [0, 2]
    truth = cines[0].label.frames[2]
    # a tiny frame is 128 wide: half its pixels in the network's input, and the first pixel's centre moves by a quarter
    expected = np.where(truth.visible[:, None], (truth.xy / 2 - 0.25) / 64, 0)
    np.testing.assert_allclose(frames.xy[1], expected, atol=1e-5)
    np.testing.assert_array_equal(frames.state[1], truth.state)
    made = cache.stat().st_mtime_ns
    np.testing.assert_array_equal(load_frames(cines, image_size=64, every=2, cache=cache).images, frames.images)
    assert cache.stat().st_mtime_ns == made


def test_a_cache_of_other_data_of_the_same_count_is_made_anew(tmp_path):
    folder = generate_dataset(tmp_path / "data", preset="tiny", patients=1, workers=1, progress=False).parent
    first, second = (
        group_by_cine([{"image": str(p), "label": str(p.with_suffix(".json")), "patient": "P000"}])
        for p in sorted(folder.glob("P000/*.dcm"))[:2]
    )
    options = {"image_size": 64, "every": 1, "cache": tmp_path / "frames.npz"}
    images = load_frames(first, **options).images
    other = load_frames(second, **options)
    assert other.images.shape == images.shape
    assert not np.array_equal(other.images, images)
    # the same file with another label
    [cine] = second
    label = cine.label.frames[0]
    corrected = replace(label, xy=label.xy + 4)
    relabelled = replace(cine, label=replace(cine.label, frames=(corrected, *cine.label.frames[1:]), edits={}, spread={}))
    changed = load_frames([relabelled], **options)
    np.testing.assert_allclose((changed.xy[0] - other.xy[0])[label.visible], 4 / 128, atol=1e-5)
    # another picture under the same name
    cine.image.write_bytes(first[0].image.read_bytes())
    np.testing.assert_array_equal(load_frames(second, **options).images, images)


def test_replays_of_other_data_of_the_same_count_are_refused(replay, tmp_path):
    file = tmp_path / "rounds.jsonl"
    quick = replace(replay, settings=replace(SETTINGS, rounds=1))
    run_replays(quick, file, strategies=["random"], seeds=1)
    other = replace(quick, pool=make_frames(4, seed=5))
    assert len(other.pool) == len(replay.pool)
    with pytest.raises(ValueError, match=r"rounds\.jsonl belongs to replays with"):
        run_replays(other, file, strategies=["random"], seeds=1)
