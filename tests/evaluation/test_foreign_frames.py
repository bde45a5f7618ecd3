"""Frames that are none: of every kind, the same again by their seed, and what spoils an angiogram leaves its size."""

from __future__ import annotations

import numpy as np
import pytest

from monai_tavr.evaluation.foreign_frames import DRAWN, SPOILT, foreign_frames

ANGIOGRAM = np.add.outer(np.arange(96.0), np.arange(128.0)).astype(np.float32)


@pytest.fixture(scope="module")
def made():
    found = {}
    for kind, frame in foreign_frames([ANGIOGRAM], each=3, side=64):
        found.setdefault(kind, []).append(frame)
    return found


def test_there_are_frames_of_every_kind(made):
    assert list(made) == [*DRAWN, *SPOILT]
    for kind, frames in made.items():
        assert len(frames) == 3
        for frame in frames:
            assert (frame.dtype, frame.ndim) == (np.float32, 2)
            assert np.isfinite(frame).all(), kind
        if kind not in ("flat", "inverted"):
            assert not np.array_equal(frames[0], frames[1]), kind


def test_a_seed_gives_the_same_frames_again(made):
    again = list(foreign_frames([ANGIOGRAM], each=1, side=64))
    assert all(np.array_equal(frame, made[kind][0]) for kind, frame in again)
    other = dict(foreign_frames([], each=1, side=64, seed=1))
    assert list(other) == list(DRAWN)
    assert not np.array_equal(other["noise"], made["noise"][0])


def test_what_is_made_of_an_angiogram(made):
    np.testing.assert_array_equal(made["inverted"][0], -ANGIOGRAM)
    for frame in made["tiles"]:
        n = min(frame.shape)
        assert 80 <= n <= 96
        assert not np.array_equal(frame, ANGIOGRAM[: frame.shape[0], : frame.shape[1]])
    # a ramp blurred is a ramp but for its ends; a detail of it is small
    assert made["blurred"][0].std() < ANGIOGRAM.std()
    assert all(np.ptp(f) < 0.4 * np.ptp(ANGIOGRAM) and f.shape == ANGIOGRAM.shape for f in made["enlarged"])
