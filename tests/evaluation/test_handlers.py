"""What a validation, an evaluation and an inference leave on disk."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from ignite.engine import Engine
from monai.data import MetaTensor
from PIL import Image

from monai_tavr.dicom.writer import XAHeader, write_xa
from monai_tavr.evaluation.frames import frame_error
from monai_tavr.evaluation.handlers import MetricsReport, WorstFrames
from monai_tavr.formats.label_json import read_label_json
from monai_tavr.keypoints import TAVR11, Keypoints
from monai_tavr.postprocess import Thresholds, load_postprocess, write_thresholds
from monai_tavr.transforms.saving import SaveKeypointsd


def keypoints(offset: float = 0.0, *, frame: int = 0, missing: tuple[str, ...] = ()) -> Keypoints:
    xy = np.stack([np.arange(11) * 4.0 + 5, np.full(11, 20.0 + offset)], axis=1)
    xy[[TAVR11.index(name) for name in missing]] = np.nan
    return Keypoints(TAVR11, xy, frame=frame)


def test_frame_error() -> None:
    truth = keypoints(missing=("PT",))
    assert frame_error(truth, truth) == 0
    assert frame_error(keypoints(3, missing=("PT",)), truth) == pytest.approx(10 * 3 / 11)
    assert frame_error(keypoints(), truth) == pytest.approx(50 / 11)  # PT invented
    assert frame_error(keypoints(missing=("PT", "CP")), truth) == pytest.approx(50 / 11)  # CP missed
    assert frame_error(keypoints(400, missing=("PT",)), truth) == pytest.approx(10 * 50 / 11)
    unlabelled = Keypoints.from_points(TAVR11, {"AA1": (5, 22)})
    assert frame_error(keypoints(), unlabelled) == pytest.approx(2)
    assert frame_error(keypoints(), Keypoints.from_points(TAVR11, {})) == 0


@pytest.fixture
def cine(tmp_path: Path) -> Path:
    path = tmp_path / "data" / "P0" / "run.dcm"
    path.parent.mkdir(parents=True)
    write_xa(path, np.full((4, 48, 64), 100, np.uint8), header=XAHeader())
    return path


def evaluator(cine: Path, offsets: list[float], patients: list[str]) -> Engine:
    """An engine that has predicted frame i with a given error."""

    def step(engine: Engine, i: int) -> list[dict[str, Keypoints]]:
        image = MetaTensor(torch.zeros(1, 8, 8), meta={"filename_or_obj": str(cine)})
        engine.state.batch = [{"image": image, "patient": patients[i]}]
        return [{"pred": keypoints(offsets[i], frame=i), "truth": keypoints(frame=i)}]

    engine = Engine(step)
    engine.state.rank = 0
    return engine


def test_worst_frames_are_drawn_worst_first_and_replaced(tmp_path: Path, cine: Path) -> None:
    folder = tmp_path / "worst"
    engine = evaluator(cine, [1, 8, 0, 4], ["P0"] * 4)
    WorstFrames(folder, count=2, zoom=2).attach(engine)
    engine.run(range(4))
    assert sorted(p.name for p in folder.iterdir()) == ["worst_00_P0_run_frame001.png", "worst_01_P0_run_frame003.png"]
    with Image.open(folder / "worst_00_P0_run_frame001.png") as picture:
        assert picture.size == (128, 96)
    engine = evaluator(cine, [9, 0, 0, 0], ["P0"] * 4)
    WorstFrames(folder, count=1).attach(engine)
    engine.run(range(4))
    assert [p.name for p in folder.iterdir()] == ["worst_00_P0_run_frame000.png"]


def test_report_as_json_and_csv(tmp_path: Path, cine: Path) -> None:
    engine = evaluator(cine, [1, 3, 30, 30], ["P0", "P0", "P1", "P1"])
    MetricsReport(tmp_path / "out", bootstrap=50).attach(engine)
    engine.run(range(4))
    report = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert report["mean_error_px"] == pytest.approx(16)
    assert report["localisation_accuracy_20px"] == pytest.approx(0.5)
    assert (report["n_frames"], report["n_patients"]) == (4, 2)
    with (tmp_path / "out" / "metrics.csv").open(newline="") as stream:
        rows = {(row["level"], row["name"]): row for row in csv.DictReader(stream)}
    assert float(rows["all", ""]["mean_error_px"]) == pytest.approx(16)
    assert float(rows["patient", "P0"]["mean_error_px"]) == pytest.approx(2)
    assert (float(rows["all", ""]["sdr_20px"]), float(rows["patient", "P0"]["sdr_2.5px"])) == (0.5, 0.5)
    assert float(rows["point", "CT"]["median_error_px"]) == pytest.approx(16.5)
    assert {name for level, name in rows if level == "group"} == set(TAVR11.groups)
    assert len(rows) == 1 + 11 + 3 + 2


def test_cines_keep_their_folders(tmp_path: Path, cine: Path) -> None:
    image = MetaTensor(torch.zeros(2, 8, 8), meta={"filename_or_obj": str(cine)})
    frames = [keypoints(frame=0), keypoints(frame=1, missing=("PT",))]
    save = SaveKeypointsd("pred", output_dir=tmp_path / "out", data_root=cine.parents[1])
    assert save({"image": image, "pred": frames})["pred"] is frames
    label = read_label_json(tmp_path / "out" / "P0" / "run.json")
    assert (label.image.rows, label.image.columns, label.image.number_of_frames) == (48, 64, 4)
    np.testing.assert_allclose(label.frame(1).xy, frames[1].xy)
    assert label.edits[1, "PT"].source == "model"
    SaveKeypointsd("pred", output_dir=tmp_path / "out")({"image": image, "pred": frames})
    assert (tmp_path / "out" / "run.json").is_file()


def test_thresholds_come_from_the_file_where_there_is_one(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "thresholds.json"
    assert load_postprocess(path).thresholds["PT"] == 0.5  # type: ignore[index]
    assert "0.5" in caplog.text
    write_thresholds(path, Thresholds("TAVR11", {"PT": 0.3}))
    rules = load_postprocess(path, allowed_groups=["contour"])
    assert rules.thresholds["PT"] == 0.3  # type: ignore[index]
    assert rules.allowed_groups == ("contour",)
