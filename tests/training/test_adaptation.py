"""What learns from frames without labels, and what its guard lets pass; the command from end to end on frames of 64 px."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.utils import set_determinism
from PIL import Image
from tiny_bundle import bright_square
from training_bundle import SIZE, label_of, sop_of, write_studies, write_training_bundle

from monai_tavr.cli import main
from monai_tavr.dicom.writer import XAHeader, write_xa
from monai_tavr.formats.label_json import write_label_json
from monai_tavr.keypoints import TAVR11
from monai_tavr.training import PairedBatches
from monai_tavr.training.adaptation import make_anchor
from monai_tavr.training.datasets import load_datalist
from monai_tavr.training.judging import Guard, Judgement
from monai_tavr.training.unlabelled import hold_out, unlabelled_items

pytestmark = [
    pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning"),  # MONAI's engines
]


def write_cine(path: Path, frames: int, *, study: str, sop: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    header = XAHeader(study_uid=study, series_uid=f"{sop}.1", sop_uid=sop)
    write_xa(path, np.stack([bright_square((64, 64), 20.5 + f, 30.5, half=4) for f in range(frames)]), header=header)


def test_frames_are_spread_over_those_with_neighbours_and_damaged_files_are_left_out(tmp_path: Path, caplog: Any) -> None:
    write_cine(tmp_path / "a" / "long.dcm", 11, study="1.2", sop="1.2.1")
    write_cine(tmp_path / "b" / "short.dcm", 2, study="1.3", sop="1.3.1")
    for name in ("p/1.png", "p/2.png", "top.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(np.full((64, 64), 90, np.uint8)).save(tmp_path / name)
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n no picture")
    with caplog.at_level(logging.WARNING):
        items = unlabelled_items(tmp_path, frames_per_cine=3)
    found = [(Path(i["image"]).relative_to(tmp_path).as_posix(), i["frame"]) for i in items]
    assert found == [
        *[("a/long.dcm", 1), ("a/long.dcm", 5), ("a/long.dcm", 9), ("b/short.dcm", 0), ("b/short.dcm", 1)],
        *[("p/1.png", 0), ("p/2.png", 0), ("top.png", 0)],
    ]
    assert "broken.png" in caplog.text
    units = [i["unit"] for i in items]
    assert units == ["1.2"] * 3 + ["1.3"] * 2 + [str(tmp_path / "p")] * 2 + [str(tmp_path / "top.png")]
    kept, apart = hold_out(items, share=0.5)
    assert [i["unit"] for i in kept] == units[:5]
    assert [i["unit"] for i in apart] == units[5:]
    assert hold_out(items[:3]) == (items[:3], [])
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="none of 0 file"):
        unlabelled_items(tmp_path / "empty")


def test_two_loaders_go_round_side_by_side() -> None:
    batches = PairedBatches([{"image": 1}, {"image": 2}, {"image": 3}], ["a", "b"], length=4)
    assert len(batches) == 4
    first, second = list(batches), list(batches)
    assert [(b["image"], b["unlabelled"]) for b in first + second] == [
        *[(1, "a"), (2, "b"), (3, "a"), (1, "b")],
        *[(2, "a"), (3, "b"), (1, "a"), (2, "b")],
    ]
    with pytest.raises(ValueError, match="no batch of unlabelled frames"):
        next(iter(PairedBatches([{"image": 1}], [], length=1)))


def judged(score: float, invented: float) -> Judgement:
    return Judgement({"score": score}, invented, {})


def test_the_guard_objects_to_what_is_lost_and_to_nothing_else() -> None:
    guard = Guard(score=0.01, invented=0.02)
    start = judged(0.9, 0.05)
    assert guard.objections(start, judged(0.8901, 0.0699)) == []
    assert guard.objections(start, judged(0.95, 0.0)) == []
    [words] = guard.objections(start, judged(0.8899, 0.05))
    assert "from 0.9000 to 0.8899" in words
    [words] = guard.objections(start, judged(0.95, 0.0701))
    assert "invented on 7.0% of the frames" in words
    assert len(guard.objections(start, judged(float("nan"), float("nan")))) == 2


def test_phantoms_to_learn_from_and_to_be_judged_by(tmp_path: Path) -> None:
    datalist = make_anchor(tmp_path, schema=TAVR11, preset="tiny", patients=4, size=64)
    training, validation = ({i["patient"] for i in load_datalist(datalist, s)} for s in ("training", "validation"))
    assert (len(training), len(validation), training & validation) == (3, 1, set())


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle, labelled data, frames without labels, and some without devices."""
    folder = tmp_path_factory.mktemp("site")
    write_training_bundle(folder / "bundle")
    write_studies(folder / "data", patients=3)
    items = {}
    for patient, split in ((1, "training"), (2, "training"), (3, "validation")):
        write_label_json(folder / "data" / f"{patient}.json", label_of(patient))
        item = {"image": f"Secretname{patient}/run1.dcm", "label": f"{patient}.json", "patient": sop_of(patient)}
        items.setdefault(split, []).append(item)
    (folder / "data" / "datalist.json").write_text(json.dumps(items))
    write_studies(folder / "frames", patients=4)
    for number in range(4):
        (folder / "negatives").mkdir(exist_ok=True)
        Image.fromarray(np.full((SIZE, SIZE), 40 * number, np.uint8)).save(folder / "negatives" / f"{number}.png")
    return folder


@pytest.fixture(autouse=True)
def _leave_no_traces(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Running a bundle fixes random seeds; the command shows its log."""
    monkeypatch.setattr(logging, "basicConfig", lambda **options: None)
    level = logging.getLogger().level
    logging.getLogger().setLevel(logging.INFO)
    yield
    logging.getLogger().setLevel(level)
    set_determinism(None)


def run(site: Path, out: Path, *more: str, epochs: int = 1) -> int:
    folders = {name: str(site / name) for name in ("frames", "negatives", "bundle")} | {"phantom": str(site / "data")}
    arguments = [word for name, folder in folders.items() for word in (f"--{name}", folder)]
    return main(["adapt", *arguments, "--out", str(out), "--epochs", str(epochs), "--device", "cpu", "--batch-size", "4", *more])


def test_adapt_goes_on_where_it_stopped_and_publishes_what_lost_nothing(
    site: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    out = tmp_path / "adapted"
    objecting = Guard(score=-1000.0)  # whatever is not a thousand better
    monkeypatch.setattr("monai_tavr.training.adaptation.Guard", lambda: objecting)
    assert run(site, out) == 1
    said = capsys.readouterr().out
    assert "not kept: the validation score" in said
    assert not (out / "model.pt").exists()
    refused = json.loads((out / "adaptation.json").read_text())
    assert refused["published"] is False
    assert len(refused["objections"]) == 1
    steps = torch.load(out / "run" / "checkpoint.pt", weights_only=True)["optimizer"]["state"][0]["step"]
    # three of four studies teach, with two frames each that have both neighbours: one batch of four
    assert (len(load_datalist(out / "run" / "unlabelled.json")), int(steps)) == (6, 1)
    assert len(load_datalist(out / "run" / "negatives.json")) == 3  # of four: one is for the guard

    monkeypatch.setattr("monai_tavr.training.adaptation.Guard", lambda: Guard(score=1000.0, invented=1.0))
    assert run(site, out, epochs=2) == 0
    assert "resumed after epoch 1" in caplog.text
    assert str(out / "model.pt") in capsys.readouterr().out
    report = json.loads((out / "adaptation.json").read_text())
    assert report["published"] is True
    assert report["start"] == refused["start"]
    checkpoint = torch.load(out / "run" / "checkpoint.pt", weights_only=True)
    published = torch.load(out / "model.pt", weights_only=True)
    assert checkpoint["epoch"] == 2
    assert all(torch.equal(checkpoint["ema"][name], value) for name, value in published.items())
    shipped = torch.load(site / "bundle" / "models" / "model.pt", weights_only=True)
    assert any(not torch.equal(shipped[name], value) for name, value in published.items())
    log = (out / "run" / "train.log").read_text()
    assert all(words in log for words in ("presence", "taught", "heatmap"))
    assert list((out / "run").glob("events.out.tfevents.*"))

    assert run(site, out) == 2
    assert "holds an adapted model already" in capsys.readouterr().err


def test_what_cannot_be_adapted_is_refused_before_anything_is_written(
    site: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(site, tmp_path / "a", epochs=0) == 2
    assert "epochs must be at least 1" in capsys.readouterr().err
    (tmp_path / "b" / "run").mkdir(parents=True)
    (tmp_path / "b" / "run" / "settings.json").write_text(json.dumps({"seed": 7}))
    assert run(site, tmp_path / "b") == 2
    assert "begun with {'seed': 7}" in capsys.readouterr().err
    assert not (tmp_path / "a").exists()
