"""The examples do what they say, as a newcomer runs them."""

from __future__ import annotations

import ast
import json
import logging
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.utils import set_determinism
from PIL import Image

from monai_tavr import read_label_json

EXAMPLES = Path(__file__).parents[2] / "examples"

pytestmark = [
    # MONAI's engines use what torch calls deprecated, and monai.bundle.run reminds of what a stranger's configuration could do
    pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore:parsing config_file"),
]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch):
    """Run an example with arguments, in this process, for importing MONAI takes longer than all of it; and tidy up after it."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    level = logging.getLogger().level

    def example(name: str, *arguments: object) -> None:
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        runpy.run_path(str(EXAMPLES / name), run_name="__main__")

    yield example
    logging.getLogger().setLevel(level)
    set_determinism(None)


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_an_example_is_short(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 60


def test_predict(run, tmp_path, capsys):
    run("predict.py", "--out", tmp_path)
    assert "frame 0: AA1 (" in capsys.readouterr().out
    found = read_label_json(tmp_path / "points.json")
    truth = read_label_json(tmp_path / "phantom" / "P000" / "C00.json")
    assert len(found.frames) == len(truth.frames) == 3
    both = [(f.xy, t.xy) for f, t in zip(found.frames, truth.frames, strict=True)]
    errors = np.linalg.norm(np.concatenate([f - t for f, t in both]), axis=1)
    assert np.isfinite(errors).sum() >= 9  # points that label and model both show
    assert np.nanmax(errors) < 20  # of 256 pixels
    with Image.open(tmp_path / "overlay.gif") as film:
        assert (film.n_frames, film.size) == (3, (256, 256))


@pytest.mark.slow
def test_train_on_phantoms(run, tmp_path, capsys):
    run("train_on_phantoms.py", "--out", tmp_path)
    figures = json.loads((tmp_path / "test" / "metrics.json").read_text())
    assert figures["n_frames"] == 6  # of two cines of the one test patient
    assert figures["f1_within_20px"] > 0.9
    assert f"weights: {tmp_path / 'train' / 'model.pt'}" in capsys.readouterr().out
    torch.load(tmp_path / "train" / "model.pt", weights_only=True)


def test_timm_backbone(run, capsys):
    run("timm_backbone.py")
    assert "feature maps of [40, 80, 160, 320] channels; (1, 14, 4)" in capsys.readouterr().out


@pytest.mark.slow
def test_add_a_group(run, tmp_path, capsys):
    run("add_a_group.py", "--out", tmp_path)
    said = capsys.readouterr().out.splitlines()
    assert "new groups: ('centre',)" in said
    found = ast.literal_eval(said[-1].replace("nan", "None"))
    assert len(found) == 12
    truth = json.loads((tmp_path / "data" / "P001" / "C00.json").read_text())["frames"][0]["points"]["AC"]
    assert np.hypot(found["AC"][0] - truth["x"], found["AC"][1] - truth["y"]) < 8  # of 128 pixels
