"""The benchmark command on a bundle whose answer is known and a path whose distance from a straight line is."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tiny_bundle import bright_square, write_bundle

from monai_tavr.cli import main
from monai_tavr.devices import fastest_precision
from monai_tavr.dicom.writer import XAHeader, write_xa
from monai_tavr.formats.label_json import write_label_json
from monai_tavr.keypoints import TAVR11, Keypoints
from monai_tavr.label import CineLabel, ImageInfo

# 8, 16 and 8 pixels beside the straight line between the ends
PATH = [(39.5, 63.5), (47.5, 71.5), (55.5, 79.5), (63.5, 71.5), (71.5, 63.5)]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("bundle") / "b", present={"PT": 0.3, "FE1": 0.3, "FE2": 0.3})


@pytest.fixture
def data(tmp_path: Path) -> Path:
    pictures = np.stack([bright_square((128, 128), x, y, half=6) for x, y in PATH])
    write_xa(tmp_path / "C.dcm", pictures, header=XAHeader(sop_uid="1.2"))
    frames = tuple(Keypoints.from_points(TAVR11, dict.fromkeys(TAVR11.names, p), frame=f) for f, p in enumerate(PATH))
    image = ImageInfo(rows=128, columns=128, number_of_frames=5, sop_instance_uid="1.2")
    write_label_json(tmp_path / "C.json", CineLabel(image=image, frames=frames))
    (tmp_path / "datalist.json").write_text(json.dumps({"test": [{"image": "C.dcm", "label": "C.json", "patient": "P"}]}))
    return tmp_path


def run(bundle: Path, *arguments: object) -> int:
    return main(["benchmark", *map(str, arguments), "--bundle", str(bundle), "--device", "cpu"])


def test_tracking_is_held_against_a_straight_line_and_the_model(bundle: Path, data: Path, tmp_path: Path, capsys) -> None:
    assert run(bundle, "tracking", "--data", data, "--every", 4, "--json", tmp_path / "t.json") == 0
    report = json.loads((tmp_path / "t.json").read_text())
    methods = report["methods"]
    # the model lacks three of eleven points; errors count where all three have the point
    assert (report["frames"], report["points"], report["cines"]) == (3, 24, 1)
    assert methods["line"]["median_error_px"] == pytest.approx(8)
    assert methods["line"]["mean_error_px"] == pytest.approx(32 / 3)
    assert methods["model"]["median_error_px"] == pytest.approx(0, abs=0.05)
    assert methods["tracking"]["median_error_px"] < 1
    assert methods["model"]["presence_accuracy"] == pytest.approx(8 / 11)
    assert methods["tracking"]["presence_accuracy"] == methods["line"]["presence_accuracy"] == 1
    assert "3 frames of 1 cines between key frames 4 apart" in capsys.readouterr().out


def test_the_time_of_a_cine_and_the_shares_of_its_stages(bundle: Path, data: Path, tmp_path: Path, capsys) -> None:
    assert run(bundle, "predict", "--source", data / "C.dcm", "--repeat", 2, "--json", tmp_path / "p.json") == 0
    report = json.loads((tmp_path / "p.json").read_text())
    assert report["frames"] == 5
    assert 0 < report["median_s"] <= report["p95_s"]
    assert list(report["stages"]) == ["read", "prepare", "network", "decode"]
    assert sum(report["stages"].values()) == pytest.approx(1)
    assert (report["precision"], report["device"]) == (fastest_precision("cpu"), "cpu")  # the default is auto
    assert "5 frames: median" in capsys.readouterr().out


def test_wrong_settings_are_refused(bundle: Path, data: Path, capsys) -> None:
    with pytest.raises(SystemExit):
        run(bundle, "tracking")
    assert "required: --data" in capsys.readouterr().err
    assert run(bundle, "tracking", "--data", data, "--every", 1) == 2
    assert "--every must be at least 2" in capsys.readouterr().err


def test_reading_in_a_process_of_its_own_is_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_xa(tmp_path / "a.dcm", np.zeros((3, 64, 64), np.uint8), syntax="rle")
    assert (
        main(["benchmark", "read", "--source", str(tmp_path / "a.dcm"), "--repeat", "2", "--json", str(tmp_path / "r.json")]) == 0
    )
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["outside"] == pytest.approx(report["inside"] + report["cost"])
    assert "in one of its own" in capsys.readouterr().out
