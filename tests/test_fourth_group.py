"""TAVR11 with a fourth group, by the YAML alone, through every command: phantom, extend, train, evaluate, thresholds, predict.

The server and the page have theirs in ``tests/label_app``.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from grown_schema import GUIDEWIRE, write_grown_schema
from monai.bundle import run
from monai.utils import set_determinism

from monai_tavr.cli import main
from monai_tavr.formats.label_json import read_label_json, write_label_json
from monai_tavr.keypoints import Keypoints, KeypointSchema, KeypointState, load_schema

pytestmark = [
    pytest.mark.slow,
    # MONAI's engines use what torch calls deprecated, and monai.bundle.run reminds of what a stranger's configuration could do
    pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore:parsing config_file"),
]


@pytest.fixture(autouse=True)
def _leave_no_traces(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Running a bundle extends sys.path, fixes random seeds, and reconfigures logging."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    level = logging.getLogger().level
    yield
    logging.getLogger().setLevel(level)
    set_determinism(None)


def command(*words: object) -> None:
    assert main([str(w) for w in words]) == 0, words


def place_guidewire(path: Path, schema: KeypointSchema) -> None:
    """Label GW1 on every frame of a label file and leave GW2 unlabelled."""
    label = read_label_json(path, schema=schema)
    frames = []
    for k in label.frames:
        assert (k.state[[schema.index(n) for n in GUIDEWIRE]] == KeypointState.UNLABELLED).all()
        points = {n: tuple(k.xy[i]) if k.visible[i] else None for i, n in enumerate(schema.names) if k.state[i] >= 0}
        frames.append(Keypoints.from_points(schema, points | {"GW1": (20.0, 30.0)}, frame=k.frame, spacing=k.spacing))
    write_label_json(path, replace(label, frames=tuple(frames)))


def test_a_group_goes_through_every_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    yaml, data, bundle, runs = (tmp_path / name for name in ("grown.yaml", "data", "bundle", "runs"))
    schema = load_schema(write_grown_schema(yaml))
    # patient 0 trains, 1 tests, 2 validates; two cines each
    command("phantom", "--schema", yaml, "--preset", "tiny", "--patients", 3, "--size", 64, "--out", data, "--quiet")
    for path in (data / "P000").glob("*.json"):
        place_guidewire(path, schema)
    place_guidewire(data / "P001" / "C00.json", schema)

    command("extend", "--schema", yaml, "--out", bundle)
    for config in (bundle / "configs").glob("*.yaml"):
        config.write_text(config.read_text().replace("image_size: [384, 384]", "image_size: [64, 64]"))
    length = {"max_epochs": 1, "iterations_per_epoch": 2, "val_interval": 1, "batch_size": 2, "num_workers": 0}
    folders = {"bundle_root": str(bundle), "dataset_dir": str(data), "output_dir": str(runs)}
    run(config_file=str(bundle / "configs" / "train.yaml"), logging_file=False, **folders, **length)
    model = ["--bundle", bundle, "--weights", runs / "model.pt"]

    command("thresholds", "--data", data, *model, "--out", runs / "thresholds.json")
    chosen = json.loads((runs / "thresholds.json").read_text())
    assert (chosen["schema"], list(chosen["thresholds"])) == ("GROWN13", list(schema.names))
    command("active-learning", "calibrate", "--data", data, *model)
    # the validation patient's two cines of three frames, all points but the guidewire's
    assert json.loads((runs / "uncertainty.json").read_text())["points"] == 2 * 3 * 11
    small = "--seeds 1 --rounds 1 --batch 1 --iterations 1 --start-iterations 1 --image-size 64 --every 1 --strategies random"
    command("active-learning", "simulate", "--schema", yaml, "--data", data, "--out", tmp_path / "replays", *small.split())

    command("evaluate", "--data", data, "--split", "test", *model, "--json", runs / "scores.json", "--bootstrap", 0)
    scores = json.loads((runs / "scores.json").read_text())
    counts = {name: scores["per_point"][name]["n_points"] for name in ("AA1", *GUIDEWIRE)}
    assert counts == {"AA1": 6, "GW1": 3, "GW2": 0}  # what nobody looked for counts in no figure
    command("predict", data / "P001" / "C00.dcm", *model, "--stage", "wiring", "--out", tmp_path / "out", "--overlay", "png")
    (first, *_) = read_label_json(tmp_path / "out" / "C00.json", schema=schema).frames
    assert first.labelled is not None
    assert first.labelled.all()
    assert not first.visible[[schema.index(n) for n in ("CP", "CT", "PT", "FE1")]].any()
    capsys.readouterr()
    command("info", "--bundle", bundle, "--json")
    said = json.loads(capsys.readouterr().out)["bundle"]
    assert (said["schema"], said["groups"]) == ("GROWN13", list(schema.groups))
