import json

import pytest
from tiny_bundle import write_bundle

from monai_tavr import dicom
from monai_tavr.cli import main
from monai_tavr.dicom.open import open_cine
from monai_tavr.phantom.generate import generate_dataset


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A patient to train, one to test and one to validate on; two cines of three frames each."""
    return generate_dataset(tmp_path_factory.mktemp("al") / "data", preset="tiny", patients=3, workers=1, progress=False).parent


@pytest.mark.slow
def test_simulate_writes_table_plot_and_saving_and_goes_on(data, tmp_path, capsys):
    out = tmp_path / "out"
    command = ["active-learning", "simulate", "--data", str(data), "--out", str(out), "--strategies", "random,hybrid"]
    small = {"seeds": 1, "rounds": 1, "batch": 1, "iterations": 1, "start-iterations": 2, "image-size": 64, "every": 1}
    for name, value in small.items():
        command += [f"--{name}", str(value)]
    assert main(command) == 0
    printed = capsys.readouterr().out
    assert "whole pool: hybrid" in printed
    assert "of random's labels" in printed
    rounds = [json.loads(line) for line in (out / "rounds.jsonl").read_text().splitlines()]
    assert [(r["strategy"], r["labels"]) for r in rounds[1:]] == [("random", 0), ("random", 1), ("hybrid", 0), ("hybrid", 1)]
    assert (out / "curves.png").is_file()
    assert (out / "rounds.csv").read_text().count("\n") == 5
    assert main(command) == 0  # nothing is left to do
    assert len((out / "rounds.jsonl").read_text().splitlines()) == 5
    assert main([*command, "--batch", "2"]) == 2
    assert "give another folder with --out" in capsys.readouterr().err


def test_calibrate_writes_beside_the_weights(data, tmp_path, capsys):
    bundle = write_bundle(tmp_path / "bundle")
    assert main(["active-learning", "calibrate", "--data", str(data), "--split", "test", "--bundle", str(bundle)]) == 0
    content = json.loads((bundle / "models" / "uncertainty.json").read_text())
    assert content["points"] == 2 * 3 * 11
    assert content["fitted_on"] == "data test, 6 frames"
    assert len(content["weights_sha256"]) == 64
    assert "expected calibration error" in capsys.readouterr().out


def test_a_cine_is_opened_once_where_every_frame_is_an_item(data, tmp_path, monkeypatch):
    bundle = write_bundle(tmp_path / "bundle")
    items = json.loads((data / "datalist.json").read_text())["test"]
    files = {item["image"]: {k: str(data / item[k]) for k in ("image", "label")} for item in items}
    # as a training from submitted labels writes them
    by_frame = [{**file, "patient": "P", "frame": frame} for file in files.values() for frame in (0, 1, 2)]
    assert len(by_frame) == 6
    (tmp_path / "datalist.json").write_text(json.dumps({"validation": by_frame}))
    opened = []
    monkeypatch.setattr(dicom, "open_cine", lambda path, **options: opened.append(path) or open_cine(path, **options))
    assert main(["active-learning", "calibrate", "--data", str(tmp_path), "--bundle", str(bundle)]) == 0
    assert len(opened) == len(set(opened)) == 2
    content = json.loads((bundle / "models" / "uncertainty.json").read_text())
    assert content["points"] == 6 * 11


def test_bad_arguments_are_named(data, tmp_path, capsys):
    command = ["active-learning", "simulate", "--data", str(data), "--out", str(tmp_path)]
    assert main([*command, "--seeds", "0"]) == 2
    assert main([*command, "--rounds", "0"]) == 2
    assert main([*command, "--strategies", "best"]) == 2
    errors = capsys.readouterr().err
    assert "--seeds 0" in errors
    assert "rounds" in errors
    assert "no strategy 'best'" in errors
