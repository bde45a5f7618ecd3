"""``monai-tavr extend``: the shipped model, and a tiny one, with a fourth group."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import torch
from grown_schema import GUIDEWIRE, write_grown_schema
from monai.bundle import verify_net_in_out
from tiny_bundle import write_bundle

from monai_tavr.bundle import Bundle
from monai_tavr.cli import main
from monai_tavr.keypoints import TAVR11, load_schema
from monai_tavr.postprocess import read_thresholds
from monai_tavr.predictor import KeypointPredictor
from monai_tavr.training.extension import extend_bundle

ROOT = Path(__file__).parents[2]

# of MONAI's checks of metadata
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped model with a fourth group, by the command line."""
    folder = tmp_path_factory.mktemp("extended")
    schema = write_grown_schema(folder / "grown.yaml")
    assert main(["extend", "--schema", str(schema), "--out", str(folder / "bundle")]) == 0
    return folder / "bundle"


def test_the_shipped_model_says_of_its_groups_what_it_said(extended: Path) -> None:
    frames = np.random.default_rng(0).integers(0, 255, (3, 200, 256), np.uint8)
    before = list(KeypointPredictor(device="cpu").stream(frames))
    after = list(KeypointPredictor(extended, device="cpu").stream(frames))
    for old, new in zip(before, after, strict=True):
        schema = new.keypoints.schema
        kept = [schema.index(n) for n in TAVR11.names]
        np.testing.assert_allclose(new.located[kept], old.located, rtol=0, atol=1e-3)  # 1e-6 of the image's side
        np.testing.assert_allclose(new.keypoints.score[kept], old.keypoints.score, rtol=0, atol=1e-6)
        np.testing.assert_allclose(new.spread[kept], old.spread, rtol=0, atol=1e-3)
        groups = [schema.group_names.index(g) for g in TAVR11.group_names]
        np.testing.assert_allclose(new.group_probability[groups], old.group_probability, rtol=0, atol=1e-6)
        np.testing.assert_array_equal(new.keypoints.visible[kept], old.keypoints.visible)
        assert new.typical == old.typical
        assert not new.keypoints.visible[[schema.index(n) for n in GUIDEWIRE]].any()


def test_the_bundle_is_whole(extended: Path) -> None:
    bundle = Bundle.find(extended)
    schema = bundle.schema()
    assert schema.names == (*TAVR11.names[:4], *GUIDEWIRE, *TAVR11.names[4:])
    assert schema == load_schema(extended.parent / "grown.yaml")
    old, new = (read_thresholds(b.thresholds, schema=s) for b, s in ((Bundle.find(), TAVR11), (bundle, schema)))
    assert new.points == {**old.points, **dict.fromkeys(GUIDEWIRE, 0.5)}
    assert new.groups == {**old.groups, "guidewire": 0.5}
    assert new.spread_floor == old.spread_floor
    assert new.selected_on.endswith("; 0.5 for the new group(s) guidewire")
    metadata = json.loads((extended / "configs" / "metadata.json").read_text())
    jsonschema.validate(metadata, json.loads((ROOT / "tests" / "data" / "meta_schema_20240725.json").read_text()))
    assert metadata["version"] == f"{Bundle.find().version}+grown13" in metadata["changelog"]
    assert "Finds 13 keypoints in 4 groups (Aortic root, Guidewire, " in metadata["description"]
    channels = metadata["network_data_format"]["outputs"]["pred"]["channel_def"]
    assert list(channels.values()) == [*schema.names, *schema.group_names]
    assert "eval_metrics" not in metadata
    assert "| guidewire | GW1, GW2 |" in (extended / "docs" / "README.md").read_text()
    for name in ("LICENSE", "docs/data_license.txt", "configs/logging.conf", "configs/train.yaml", "configs/evaluate.yaml"):
        assert (extended / name).is_file()


def test_monai_finds_the_network_that_the_metadata_describe(extended: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(extended)
    for name in ("train", "inference"):
        verify_net_in_out("network_def", meta_file="configs/metadata.json", config_file=f"configs/{name}.yaml", device="cpu")


def test_extending_again_gives_the_same_weights(extended: Path, tmp_path: Path) -> None:
    assert extend_bundle(tmp_path / "again", schema=extended.parent / "grown.yaml") == ("guidewire",)
    first, second = (torch.load(b / "models" / "model.pt", weights_only=True) for b in (extended, tmp_path / "again"))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_what_cannot_be_done_is_said_and_nothing_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle = write_bundle(tmp_path / "tiny")
    schema = write_grown_schema(tmp_path / "grown.yaml")

    def refused(*options: object) -> str:
        assert main(["extend", "--schema", str(schema), "--out", str(tmp_path / "new"), *map(str, options)]) == 2
        assert not (tmp_path / "new").exists()
        return capsys.readouterr().err

    assert "CentroidNet has no head per group" in refused("--bundle", bundle)
    assert f"{tmp_path / 'none.pt'}: no weights" in refused("--weights", tmp_path / "none.pt")
    assert "do not fit" in refused("--weights-schema", "authors10")
    schema.write_text(schema.read_text().replace("[PT, FE1, FE2]", "[PT, FE1]").replace("[GW1, GW2]", "[GW1, GW2, FE2]"))
    assert "point 'FE2' moved from group 'contour' to 'guidewire'; move it back" in refused()
    assert main(["extend", "--schema", "tavr11", "--out", str(bundle)]) == 2
    assert f"{bundle} is in use; give another folder" in capsys.readouterr().err
