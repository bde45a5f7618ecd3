"""False alarms counted on frames whose answer is stated."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from monai_tavr.evaluation.false_alarms import alarm_report, alarm_table, flags, loudness, wilson_interval
from monai_tavr.evaluation.frames import EvaluatedFrame
from monai_tavr.keypoints import TAVR11, Keypoints
from monai_tavr.predictor import FramePrediction

ABSENT = {name: None for name in TAVR11.names if TAVR11.group_of(name) != "anatomical"}


def frame(reported, presence=(0.9, 0.2, 0.4), typical=None):
    points = {n: (5.0, 5.0) if n in reported else None for n in TAVR11.names}
    found = Keypoints.from_points(TAVR11, points)
    model = FramePrediction(found, found.xy, np.zeros(11), np.array(presence), 64.0, typical)
    return EvaluatedFrame(Path("a.png"), "a.png", Keypoints.from_points(TAVR11, ABSENT), found, model)


def test_wilson_interval_by_hand():
    # z^2 = 3.8415; 0 of 10: upper end z^2 / (n + z^2); 1 of 10 as in the literature
    assert wilson_interval(0, 10) == (0.0, pytest.approx(3.841459 / 13.841459, abs=1e-6))
    assert wilson_interval(1, 10) == pytest.approx((0.0179, 0.4042), abs=1e-4)
    assert wilson_interval(10, 10) == (pytest.approx(10 / 13.841459, abs=1e-6), 1.0)
    with pytest.raises(ValueError, match="3 of 2 is no share"):
        wilson_interval(3, 2)


def test_a_frame_counts_once_however_many_groups_are_invented():
    frames = [frame(["CT", "PT"]), frame(["CP", "CM"]), frame(["AA1"]), frame([])]  # nobody looked for the root
    report = alarm_report(frames)
    assert report["n_frames"] == 4
    assert (report["any_group"]["frames"], report["any_group"]["share"]) == (2, 0.5)
    assert {name: part["frames"] for name, part in report["per_group"].items()} == {"instrumental": 2, "contour": 1}
    assert report["any_group"]["interval_95"] == pytest.approx([0.1500, 0.8500], abs=1e-4)
    lines = alarm_table(report).splitlines()
    assert lines[0] == "4 frames without a device"
    assert lines[1].split()[:5] == ["any", "device", "group", "2", "50.00%"]


def test_a_flag_makes_a_false_alarm_harmless():
    frames = [frame(["CT"], typical=False), frame(["CT"], typical=True), frame([], typical=True), frame([], typical=False)]
    report = alarm_report(frames)
    assert [report[name]["frames"] for name in ("any_group", "flagged", "harmless")] == [2, 2, 3]
    assert "no device, or flagged" in alarm_table(report)
    assert flags([*frames, frame([])]) is None  # of one the model does not say
    assert "harmless" not in alarm_report([frame([])])


def test_more_groups_are_louder_and_a_sure_one_is_louder_than_an_unsure_one():
    # the root's presence of 0.9 does not count
    assert loudness(frame(["AA1"])) == pytest.approx(0.4)
    assert loudness(frame(["CT"])) == pytest.approx(1.4)
    assert loudness(frame(["CT", "PT"])) == pytest.approx(2.4)
    assert loudness(frame(["CT"], presence=(0, 0.8, 0.1))) == pytest.approx(1.8)


def test_no_frames_no_report():
    with pytest.raises(ValueError, match="no frames"):
        alarm_report([])
