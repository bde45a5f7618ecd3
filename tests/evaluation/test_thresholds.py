"""What is said where there is nothing to choose thresholds from; the choice itself is tested beside the rules that use it."""

from __future__ import annotations

from pathlib import Path

import pytest

from monai_tavr.evaluation.frames import EvaluatedFrame
from monai_tavr.evaluation.thresholds import choose_thresholds
from monai_tavr.keypoints import TAVR11, Keypoints


def test_frames_that_the_model_did_not_predict_choose_nothing():
    with pytest.raises(ValueError, match=r"no thresholds can be chosen: 0 frame\(s\)"):
        choose_thresholds([], schema=TAVR11, selected_on="nothing")
    label = Keypoints.from_points(TAVR11, {"AA1": (1, 1)})
    stored = EvaluatedFrame(Path("a.dcm"), "P0", label, label)
    with pytest.raises(ValueError, match=r"1 frame\(s\), and the model predicted none of them"):
        choose_thresholds([stored], schema=TAVR11, selected_on="stored predictions")
