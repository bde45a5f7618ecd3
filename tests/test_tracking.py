"""Tracking between key frames on cines whose every point is known: discs that move over a still, uneven ground."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from monai_tavr.cine import Cine, CineInfo
from monai_tavr.keypoints import TAVR11, Keypoints, KeypointSchema, KeypointState
from monai_tavr.label import CineLabel, ImageInfo
from monai_tavr.tracking import Tracker, track_between

CT, PT, AA1 = (TAVR11.index(n) for n in ("CT", "PT", "AA1"))


def cine_of(frames: np.ndarray) -> Cine:
    info = CineInfo(path="x", rows=frames.shape[1], columns=frames.shape[2], number_of_frames=len(frames))
    return Cine(info, lambda i: frames[i].astype(np.float32))


def ground(number: int, side: int) -> np.ndarray:
    """Uneven and noisy, the noise new in every frame."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:side, 0:side]
    still = 100 + 10 * np.sin(x / 9) * np.cos(y / 13)
    return still + rng.normal(0, 4, (number, side, side))


def disc(frame: np.ndarray, place: tuple[float, float], radius: float = 4.0) -> None:
    y, x = np.mgrid[0 : frame.shape[0], 0 : frame.shape[1]]
    frame -= 60 * np.clip(radius + 0.5 - np.hypot(x - place[0], y - place[1]), 0, 1)


def beating(number: int = 11) -> list[tuple[float, float]]:
    """Twelve pixels to the side and back between the key frames, while drifting downwards."""
    return [(60.0 + 12 * np.sin(np.pi * i / (number - 1)), 50.0 + 2 * i) for i in range(number)]


def key(frame: int, **points: tuple[float, float] | None) -> Keypoints:
    return Keypoints.from_points(TAVR11, points, frame=frame)


def predicted(frames: list[Keypoints], spread: float = 0.0) -> CineLabel:
    image = ImageInfo(rows=128, columns=128, number_of_frames=100)
    return CineLabel(image, tuple(frames), spread={(k.frame, n): spread for k in frames for n in TAVR11.names})


def scored(k: Keypoints, score: float) -> Keypoints:
    return replace(k, score=np.full(11, score), labelled=None)


FLAT = np.full((11, 128, 128), 90.0)


def test_a_beating_point_is_followed_where_a_straight_line_fails() -> None:
    places = beating()
    frames = ground(len(places), 128)
    for frame, place in zip(frames, places, strict=True):
        disc(frame, place)
    found = Tracker().track(cine_of(frames), key(0, CT=places[0]), key(10, CT=places[10]))
    assert [t.keypoints.frame for t in found] == list(range(1, 10))
    for t in found:
        # a straight line would be up to 12 pixels off
        assert t.keypoints.xy[CT] == pytest.approx(places[t.keypoints.frame], abs=0.7)
        assert 0 < t.spread[CT] < 3
        assert np.isnan(t.spread[PT])


def test_pixels_are_native_ones_in_a_frame_that_is_scaled_down() -> None:
    places = [(2 * x + 0.5, 2 * y + 0.5) for x, y in beating()]
    frames = ground(len(places), 256)
    for frame, place in zip(frames, places, strict=True):
        disc(frame, place, radius=8.0)
    found = Tracker(side=128).track(cine_of(frames), key(0, CT=places[0]), key(10, CT=places[10]))
    for t in found:
        assert t.keypoints.xy[CT] == pytest.approx(places[t.keypoints.frame], abs=1.4)


def test_where_nothing_shows_a_point_moves_straight_and_its_spread_grows_to_the_middle() -> None:
    found = Tracker(step=5).track(cine_of(FLAT), key(0, CT=(40, 60)), key(4, CT=(60, 60)))
    assert [t.keypoints.xy[CT, 0] for t in found] == pytest.approx([45, 50, 55], abs=0.5)
    assert [t.keypoints.xy[CT, 1] for t in found] == pytest.approx([60, 60, 60], abs=0.2)
    # a Brownian bridge of n steps: 5 * sqrt(t * (n - t) / n), and somewhat more for steps of any length
    assert found[1].spread[CT] == pytest.approx(5.0, abs=1.0)
    assert found[0].spread[CT] == pytest.approx(5 * np.sqrt(3 / 4), abs=1.0)


def test_the_model_is_shifted_by_what_was_corrected_in_the_key_frames() -> None:
    places = beating()
    # 8 pixels too far right at the first key frame, 4 at the last
    wrong = [(x + 8 - 0.4 * i, y) for i, (x, y) in enumerate(places)]
    model = predicted([scored(key(i, CT=p), 0.95) for i, p in enumerate(wrong)])
    found = Tracker().track(cine_of(FLAT), key(0, CT=places[0]), key(10, CT=places[10]), predictions=model)
    for t in found:
        assert t.keypoints.xy[CT] == pytest.approx(places[t.keypoints.frame], abs=2.0)


def test_one_wild_prediction_does_not_throw_a_point_off() -> None:
    places = beating()
    frames = ground(len(places), 128)
    for frame, place in zip(frames, places, strict=True):
        disc(frame, place)
    wild = [scored(key(i, CT=(20.0, 110.0) if i == 5 else p), 0.95) for i, p in enumerate(places)]
    found = track_between(cine_of(frames), key(0, CT=places[0]), key(10, CT=places[10]), predictions=predicted(wild))
    assert found[4].xy[CT] == pytest.approx(places[5], abs=1.0)


def test_a_point_of_one_key_frame_is_there_on_its_half() -> None:
    found = track_between(cine_of(FLAT), key(0, CT=None, PT=(30, 30)), key(5, CT=(60, 60), PT=None))
    assert [bool(k.visible[CT]) for k in found] == [False, False, True, True]
    assert [bool(k.visible[PT]) for k in found] == [True, True, False, False]
    # known from one side only: it stays where it was last seen
    assert found[3].xy[CT] == pytest.approx((60, 60), abs=0.2)


def test_a_point_appears_where_the_model_begins_to_see_it() -> None:
    seen = [scored(key(i, CT=(60, 60) if i >= 2 else None), 0.97 if i >= 2 else 0.03) for i in range(11)]
    found = track_between(cine_of(FLAT), key(0, CT=None), key(10, CT=(60, 60)), predictions=predicted(seen))
    assert [bool(k.visible[CT]) for k in found] == [False] + [True] * 8
    assert found[0].score[CT] < 0.1
    assert found[1].score[CT] > 0.9


def test_two_key_frames_that_agree_are_believed_unless_the_model_is_firm() -> None:
    start, end = key(0, CT=(60, 60)), key(10, CT=(60, 60))
    doubtful = [scored(key(i, CT=None if i == 5 else (60, 60)), 0.1 if i == 5 else 0.9) for i in range(11)]
    assert all(k.visible[CT] for k in track_between(cine_of(FLAT), start, end, predictions=predicted(doubtful)))
    gone = [scored(key(i, CT=None if 3 <= i <= 7 else (60, 60)), 0.01 if 3 <= i <= 7 else 0.99) for i in range(11)]
    found = track_between(cine_of(FLAT), start, end, predictions=predicted(gone))
    assert [bool(k.visible[CT]) for k in found] == [True, True] + [False] * 5 + [True, True]


def test_unlabelled_stays_unlabelled_and_one_label_is_enough() -> None:
    seen = [scored(key(i, CT=(50, 50), PT=(20, 20)), 0.9) for i in range(5)]
    found = track_between(cine_of(FLAT), key(0, CT=(50, 50), AA1=None), key(4), predictions=predicted(seen))
    assert len(found) == 3
    for k in found:
        assert k.state[CT] == KeypointState.VISIBLE
        assert k.state[AA1] == KeypointState.ABSENT
        assert k.state[PT] == KeypointState.UNLABELLED


def test_points_at_the_border_stay_in_the_picture() -> None:
    found = track_between(cine_of(ground(5, 64)), key(0, CT=(0, 0), PT=(63, 20)), key(4, CT=(0, 8), PT=(63, 40)))
    for k in found:
        assert ((k.xy[[CT, PT]] >= 0) & (k.xy[[CT, PT]] <= 63)).all()


def test_neighbouring_key_frames_have_nothing_between_them() -> None:
    assert track_between(cine_of(FLAT), key(3, CT=(5, 5)), key(4, CT=(5, 5))) == []


def test_key_frames_must_be_two_of_the_cine_in_order() -> None:
    for a, b in ((5, 5), (6, 5), (0, 11)):
        with pytest.raises(ValueError, match=f"key frames {a} and {b}: .* the cine has frames 0 to 10"):
            track_between(cine_of(FLAT), key(a), key(b))
    other = Keypoints.from_points(KeypointSchema(name="ONE", groups={"g": ("A",)}), {}, frame=5)
    with pytest.raises(ValueError, match="key frames of different schemas: 'TAVR11' and 'ONE'"):
        track_between(cine_of(FLAT), key(0), other)
