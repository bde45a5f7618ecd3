"""The whole benchmark on a phantom that lies there as BAMNet's data do: one fold is trained, once, with a tiny network."""

from __future__ import annotations

import csv
import errno
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from bamnet_export import write_export
from monai.utils import set_determinism
from PIL import Image
from training_bundle import write_training_bundle

from monai_tavr.cli import main
from monai_tavr.phantom.generate import generate_dataset
from monai_tavr.rival import cross_validation
from monai_tavr.training.datasets import load_datalist


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The export, a file with one fold, and a bundle that reports every point, so that a validation always finds some."""
    root = tmp_path_factory.mktemp("site")
    generate_dataset(root / "phantom", preset="tiny", patients=3, size=64, workers=1, progress=False)
    write_export(root, root / "phantom", per_cine=2)
    weights = write_training_bundle(root / "bundle") / "models" / "model.pt"
    state = torch.load(weights, weights_only=True)
    state["out.bias"][2::4] = 3.0
    torch.save(state, weights)
    (root / "folds.txt").write_text("2\n")
    return root


@pytest.fixture(autouse=True)
def _leave_no_traces(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A training extends sys.path and fixes random seeds."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    set_determinism(None)


def rival(site: Path, *more: object) -> int:
    arguments = ["--data", site / "segmentation_point", "--spacing", site / "image_mapping.csv", "--output", site / "out"]
    model = ["--bundle", site / "bundle", "--device", "cpu", "--folds", site / "folds.txt"]
    return main(["benchmark", "rival", *map(str, [*arguments, *model, *more])])


def test_shipped_and_fine_tuned_stand_beside_bamnet(
    site: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert rival(site, "--zero-shot-only") == 0
    assert list(json.loads((site / "out" / "rival.json").read_text())["models"]) == ["as shipped"]
    with monkeypatch.context() as patch:
        patch.setattr(cross_validation, "write_judged", disk_full)
        assert rival(site, "--epochs", 1) == 2
    assert "epoch 1 of 1: loss" in capsys.readouterr().out
    # the training was over: what is missing is done
    assert rival(site, "--epochs", 1) == 0
    shown = capsys.readouterr().out
    assert "labelled frames of 3 patients; 1 fold, as in folds.txt" in shown
    assert "BAMNet, published" in shown
    assert "epoch 1" not in shown
    check_split(site)
    check_figures(site)
    with Image.open(site / "out" / "rival.png") as picture:
        assert picture.size[0] > picture.size[1] > 300

    # what is finished is not done again
    def never(*_: Any) -> None:
        raise AssertionError("trained a second time")

    monkeypatch.setattr(cross_validation, "fine_tune", never)
    before = (site / "out" / "rival.md").read_text()
    assert rival(site, "--epochs", 1) == 0
    assert (site / "out" / "rival.md").read_text() == before
    assert rival(site, "--epochs", 2) == 2
    assert "holds results of other epochs; give another --output" in capsys.readouterr().err


def disk_full(*_: Any) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def check_split(site: Path) -> None:
    """One patient teaches, another chooses the epoch, the third is judged."""
    parts = {s: {i["patient"] for i in load_datalist(site / "out/data/fold_1.json", s)} for s in ("train", "val", "test")}
    assert parts["test"] == {"2"}
    assert sorted(parts["train"] | parts["val"]) == ["1", "3"]
    assert len(parts["train"]) == len(parts["val"]) == 1
    assert (site / "out/fold_1/model.pt").is_file()
    assert not (site / "out/fold_1/checkpoint.pt").exists()


def check_figures(site: Path) -> None:
    """The report agrees with every single error that is written beside it."""
    models = json.loads((site / "out" / "rival.json").read_text())["models"]
    with (site / "out" / "landmarks.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    pictures = len(list((site / "segmentation_point" / "002" / "img").iterdir()))
    for name in ("as shipped", "fine-tuned"):
        own = [r for r in rows if r["model"] == name]
        assert len(own) == 4 * pictures
        errors = [float(r["error_px_640"]) for r in own]
        figures = models[name]["folds"][0]
        assert figures["mean_error_px"] == pytest.approx(sum(errors) / len(errors), abs=1e-3)
        assert models[name]["over_folds"]["mean_error_px"] == {"mean": pytest.approx(figures["mean_error_px"]), "sd": None}
        cine = site / "phantom" / "P001" / f"C{int(Path(own[0]['picture']).name.split('_')[1]):02d}.json"
        millimetres = json.loads(cine.read_text())["image"]["spacing"][0] / 10  # a pixel of 640 is a tenth of one of 64
        assert float(own[0]["error_mm"]) == pytest.approx(float(own[0]["error_px_640"]) * millimetres, rel=0.01)
    assert models["as shipped"]["folds"][0]["mean_error_px"] != models["fine-tuned"]["folds"][0]["mean_error_px"]


def test_settings_that_cannot_work_are_refused(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert rival(site, "--epochs", 0) == 2
    assert "--epochs must be at least 1" in capsys.readouterr().err
    assert rival(site, "--folds", "published") == 2
    assert "patient 8 of fold 1 is not in the data" in capsys.readouterr().err
