"""The bundle: its properties, its metadata, and a training that is stopped, resumed, evaluated and used."""

from __future__ import annotations

import csv
import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import torch
from monai.bundle import ConfigWorkflow, ckpt_export, run, verify_net_in_out
from monai.utils import set_determinism

from monai_tavr.formats.label_json import read_label_json
from monai_tavr.keypoints import TAVR11
from monai_tavr.networks import GroupedKeypointNet
from monai_tavr.phantom.generate import generate_dataset

ROOT = Path(__file__).parents[1]
CONFIGS = ROOT / "configs"
FORMER_CONFIGS = ROOT / "tests" / "data" / "configs_0.1"  # as they were before the modules moved into rooms
METADATA = json.loads((CONFIGS / "metadata.json").read_text())
SMALL: dict[str, Any] = {"image_size": [64, 64], "batch_size": 4, "num_workers": 0}

pytestmark = [
    # MONAI's engines and its export still use what torch calls deprecated
    pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning"),
    # LoadImage tries to set up every reader it knows
    pytest.mark.filterwarnings("ignore:NvImgCodecPydicomReader"),
    # monai.bundle.run reminds of what a configuration from strangers could do
    pytest.mark.filterwarnings("ignore:parsing config_file"),
]


@pytest.fixture(autouse=True)
def _leave_no_traces(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Running a bundle extends sys.path, fixes random seeds, and reconfigures logging unless told not to."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    level = logging.getLogger().level
    logging.getLogger().setLevel(logging.INFO)
    yield
    logging.getLogger().setLevel(level)
    set_determinism(None)


def bundle(name: str, *, configs: Path = CONFIGS, **settings: Any) -> None:
    run(config_file=str(configs / name), bundle_root=str(ROOT), logging_file=False, **settings)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("phantom")
    generate_dataset(folder, preset="tiny", workers=1, progress=False)
    return folder


@pytest.mark.parametrize("configs", [CONFIGS, FORMER_CONFIGS], ids=["configs", "former"])
@pytest.mark.parametrize(("name", "kind"), [("train", "train"), ("evaluate", "eval"), ("inference", "infer")])
def test_no_property_is_missing_even_without_data(configs: Path, name: str, kind: str, tmp_path: Path) -> None:
    workflow = ConfigWorkflow(
        str(configs / f"{name}.yaml"),
        workflow_type=kind,
        logging_file=False,
        bundle_root=str(ROOT),
        dataset_dir=str(tmp_path),
        output_dir=str(tmp_path),
    )
    workflow.initialize()
    assert workflow.check_properties() == []


@pytest.mark.parametrize("name", ["train.yaml", "evaluate.yaml"])
def test_running_without_data_says_so(name: str, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="Failed to evaluate") as caught:
        bundle(name, dataset_dir=str(tmp_path), output_dir=str(tmp_path))
    assert "set dataset_dir to a folder with datalist.json" in str(caught.value.__cause__)


def test_metadata_follows_the_schema_and_the_keypoints() -> None:
    jsonschema.validate(METADATA, json.loads((ROOT / "tests" / "data" / "meta_schema_20240725.json").read_text()))
    assert METADATA["version"] in METADATA["changelog"]
    output = METADATA["network_data_format"]["outputs"]["pred"]
    assert list(output["channel_def"].values()) == [*TAVR11.names, *TAVR11.group_names]
    assert list(output["channel_def"]) == [str(i) for i in range(output["num_channels"])]
    for name in ("LICENSE", "docs/data_license.txt", "configs/logging.conf"):
        assert (ROOT / name).is_file()


@pytest.mark.parametrize("name", ["train", "evaluate", "inference"])
def test_the_network_is_what_the_metadata_say(name: str) -> None:
    verify_net_in_out(
        "network_def",
        meta_file=str(CONFIGS / "metadata.json"),
        config_file=str(CONFIGS / f"{name}.yaml"),
        device="cpu",
    )
    shape = METADATA["network_data_format"]["inputs"]["image"]["spatial_shape"]
    output = GroupedKeypointNet().eval()(torch.zeros(1, 1, *shape))
    expected = METADATA["network_data_format"]["outputs"]["pred"]
    assert list(output.shape[1:]) == [expected["num_channels"], *expected["spatial_shape"]]


def test_torchscript_export(tmp_path: Path) -> None:
    network = GroupedKeypointNet()
    torch.save(network.state_dict(), tmp_path / "model.pt")
    ckpt_export(
        "network_def",
        filepath=str(tmp_path / "model.ts"),
        ckpt_file=str(tmp_path / "model.pt"),
        meta_file=str(CONFIGS / "metadata.json"),
        config_file=str(CONFIGS / "inference.yaml"),
    )
    image = torch.rand(2, 1, 64, 96)
    with torch.no_grad():
        expected = network.eval()(image)
        torch.testing.assert_close(torch.jit.load(str(tmp_path / "model.ts")).eval()(image), expected)


@pytest.mark.slow
def test_train_resume_evaluate_infer(data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    out = tmp_path / "run"
    options = {"dataset_dir": str(data), "output_dir": str(out), "val_interval": 1, "log_interval": 1, **SMALL}
    bundle("train.yaml", max_epochs=1, **options)
    first = torch.load(out / "checkpoint.pt", weights_only=True)
    assert first["epoch"] == 1
    bundle("train.yaml", max_epochs=2, **options)
    assert "resumed after epoch 1" in caplog.text
    second = torch.load(out / "checkpoint.pt", weights_only=True)
    steps = [int(c["optimizer"]["state"][0]["step"]) for c in (first, second)]
    assert second["epoch"] == 2
    assert steps[1] == 2 * steps[0] > 0

    log = (out / "train.log").read_text()
    for words in ("epoch 1/1  iteration 1/", "heatmap", "resumed after epoch 1", "epoch 2/2", "mean_error_px", "score"):
        assert words in log
    assert list(out.glob("events.out.tfevents.*"))
    assert list((out / "worst").glob("worst_00_*.png"))
    GroupedKeypointNet().load_state_dict(torch.load(out / "model.pt", weights_only=True))

    small = {"dataset_dir": str(data), "image_size": SMALL["image_size"], "ckpt_path": str(out / "model.pt")}
    bundle("evaluate.yaml", output_dir=str(tmp_path / "eval"), split="test", bootstrap=20, **small)
    report = json.loads((tmp_path / "eval" / "metrics.json").read_text())
    items = json.loads((data / "datalist.json").read_text())["test"]
    frames = sum(len(read_label_json(data / item["label"]).frames) for item in items)
    assert report["n_frames"] == frames > 0
    with (tmp_path / "eval" / "metrics.csv").open(newline="") as stream:
        assert {row["level"] for row in csv.DictReader(stream)} == {"all", "point", "group", "patient"}

    bundle("inference.yaml", output_dir=str(tmp_path / "labels"), **small)
    written = sorted(p.relative_to(tmp_path / "labels") for p in (tmp_path / "labels").rglob("*.json"))
    assert written == sorted(p.relative_to(data).with_suffix(".json") for p in data.rglob("*.dcm"))
    label, truth = (read_label_json(folder / written[0]) for folder in (tmp_path / "labels", data))
    assert label.image.sop_instance_uid == truth.image.sop_instance_uid
    assert label.image.spacing == pytest.approx(truth.image.spacing)
    assert len(label.frames) == label.image.number_of_frames


@pytest.mark.slow
def test_configurations_that_name_former_modules_still_run(data: Path, tmp_path: Path) -> None:
    options = {"configs": FORMER_CONFIGS, "dataset_dir": str(data)}
    train = {"max_epochs": 1, "val_interval": 1, "log_interval": 1, **SMALL}
    bundle("train.yaml", output_dir=str(tmp_path / "run"), **train, **options)
    small = {"image_size": SMALL["image_size"], "ckpt_path": str(tmp_path / "run" / "model.pt")}
    bundle("evaluate.yaml", output_dir=str(tmp_path / "eval"), split="test", bootstrap=0, **small, **options)
    assert json.loads((tmp_path / "eval" / "metrics.json").read_text())["n_frames"] > 0
    bundle("inference.yaml", output_dir=str(tmp_path / "labels"), **small, **options)
    assert len(list((tmp_path / "labels").rglob("*.json"))) == len(list(data.rglob("*.dcm")))


@pytest.mark.slow
def test_two_processes_train_as_one(data: Path, tmp_path: Path) -> None:
    configs = "['configs/train.yaml','configs/multi_gpu_train.yaml']"
    settings = {
        "dataset_dir": data,
        "output_dir": tmp_path,
        "max_epochs": 1,
        "val_interval": 1,
        "log_interval": 1,
        "device": "cpu",
        "backend": "gloo",
        **SMALL,
        "batch_size": 2,
    }
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    command += ["-m", "monai.bundle", "run", "--config_file", configs]
    command += [word for name, value in settings.items() for word in (f"--{name}", str(value))]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=550, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    assert done.stdout.count("epoch 1/1  iteration 1/") == 1  # the first process logs
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["epoch"] == 1
    GroupedKeypointNet().load_state_dict(torch.load(tmp_path / "model.pt", weights_only=True))
