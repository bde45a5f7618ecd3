"""Errors in BAMNet's units, worked out by hand, and the table they stand in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from monai_tavr.evaluation.frames import LabelledCine
from monai_tavr.keypoints import TAVR11, Keypoints
from monai_tavr.label import CineLabel, ImageInfo
from monai_tavr.predictor import FramePrediction
from monai_tavr.rival.errors import JudgedFrame, judge, read_judged, spread_over_folds, summarise, write_judged
from monai_tavr.rival.report import comparison_table, write_landmark_csv

PLACES = {"AA1": (100.0, 200.0), "AA2": (300.0, 200.0), "STJ1": (100.0, 60.0)}


def frame(offset: tuple[float, float], *, patient: str = "8", spacing: tuple[float, float] | None = (0.2, 0.4)) -> JudgedFrame:
    """A frame of 1280 x 960 pixels on which the model puts every point beside its place; it does not report AA2."""
    truth = Keypoints.from_points(TAVR11, {**PLACES, "STJ2": None}, frame=0, spacing=spacing)
    located = np.tile(np.array([[500.0, 500.0]], np.float32), (11, 1))
    for name, xy in PLACES.items():
        located[TAVR11.index(name)] = np.add(xy, offset)
    found = Keypoints(schema=TAVR11, xy=located, score=np.full(11, 0.9))
    said = found.keep(np.array([n != "AA2" for n in TAVR11.names]))
    label = CineLabel(image=ImageInfo(rows=960, columns=1280, spacing=spacing), frames=(truth,), pictures={0: "008/img/a.png"})
    cine = LabelledCine(Path("a.png"), patient, label, (0,))
    return judge(cine, FramePrediction(said, located, np.zeros(11), np.ones(3), 384.0))


def test_errors_are_those_of_a_picture_640_pixels_long() -> None:
    judged = frame((6.0, 8.0))
    assert judged.picture == "008/img/a.png"
    # the centre of pixel 100 lies 100.5 pixels from the edge, and 50.25 in half the size
    assert judged.truth.xy[0].tolist() == [49.75, 99.75]
    report = summarise([judged])
    # 10 px in the frame are 5 at half its size; sqrt((6 * 0.2)^2 + (8 * 0.4)^2) mm
    assert report["mean_error_px"] == pytest.approx(5.0)
    assert report["mean_error_mm"] == pytest.approx(np.hypot(1.2, 3.2), rel=1e-5)
    # an absent landmark has no error; one that is not reported has
    assert (report["n_points"], report["reported"]) == (3, pytest.approx(2 / 3))
    assert report["per_point"]["AA2"]["mean_error_px"] == pytest.approx(5.0)
    assert report["per_point"]["STJ2"]["mean_error_px"] is None


def test_folds_have_equal_weight_and_patients_the_intervals() -> None:
    folds = [[frame((2.0, 0.0)), frame((4.0, 0.0))], [frame((0.0, 10.0), patient="9")]]
    spread = spread_over_folds([summarise(f) for f in folds])
    assert spread["mean_error_px"].mean == pytest.approx((1.5 + 5) / 2)
    assert spread["mean_error_px"].sd == pytest.approx(3.5 / 2**0.5)
    assert spread["hold-out mean_error_mm"].mean == pytest.approx(0.6, rel=1e-5)
    assert "STJ2 mean_error_px" not in spread
    low, high = summarise([f for part in folds for f in part], bootstrap=200)["intervals_95"]["mean_error_px"]
    assert (low, high) == (pytest.approx(1.5), pytest.approx(5.0))  # either patient may be drawn twice


def test_frames_come_back_from_their_file(tmp_path: Path) -> None:
    frames = [frame((6.0, 8.0)), frame((1.0, 0.0), spacing=None)]
    write_judged(tmp_path / "f.json", frames)
    again = read_judged(tmp_path / "f.json")
    assert [f.patient for f in again] == ["8", "8"]
    for a, b in zip(frames, again, strict=True):
        np.testing.assert_allclose(a.truth.xy, b.truth.xy, atol=1e-3)
        np.testing.assert_allclose(a.located.xy, b.located.xy, atol=1e-3)
        assert a.reported.tolist() == b.reported.tolist()
        assert a.truth.spacing == b.truth.spacing
    (tmp_path / "f.json").write_text((tmp_path / "f.json").read_text().replace("[49.75, 99.75]", "[49.75]", 1))
    with pytest.raises(ValueError, match=r"f\.json: frames\[0\].*made anew"):
        read_judged(tmp_path / "f.json")


def test_the_table_holds_both(tmp_path: Path) -> None:
    folds = [[frame((2.0, 0.0))], [frame((0.0, 10.0), patient="9")]]
    figures = [summarise(f) for f in folds]
    pooled = summarise([f for part in folds for f in part], bootstrap=50)
    table = comparison_table({"ours": {"over_folds": spread_over_folds(figures), "pooled": pooled}})
    rows = {cells[0]: cells[1:] for line in table.splitlines() if (cells := [c.strip() for c in line.strip("|").split("|")])}
    assert rows["mean error, px at 640"] == ["10.02 ± 0.17", "3.00 ± 2.83"]
    assert rows["STJ2, mean error, px at 640"] == ["10.02 ± 1.46", "-"]
    assert rows["visible landmarks that are reported"] == ["100.0 %", "66.7 %"]
    assert rows["95 % interval over patients, mean error, px"] == ["-", "1.00 to 5.00"]
    write_landmark_csv(tmp_path / "l.csv", {"ours": folds})
    lines = (tmp_path / "l.csv").read_text().splitlines()
    assert len(lines) == 1 + 2 * 3
    assert lines[1] == "ours,1,8,008/img/a.png,AA1,1.000,0.4000,1"
    assert lines[5] == "ours,2,9,008/img/a.png,AA2,5.000,4.0000,0"


def test_a_frame_without_spacing_has_no_millimetres() -> None:
    assert summarise([frame((2.0, 0.0), spacing=None)])["mean_error_mm"] is None
