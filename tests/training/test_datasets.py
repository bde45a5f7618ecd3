"""Datalists, splits by patient, and one item per frame."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from monai.transforms import Compose, Lambdad, RandLambdad

from monai_tavr.formats.label_json import write_label_json
from monai_tavr.keypoints import TAVR11, Keypoints
from monai_tavr.label import CineLabel, ImageInfo
from monai_tavr.training.datasets import (
    FrameDataset,
    expand_frames,
    load_datalist,
    load_datalists,
    require_frames,
    split_by_patient,
)


def write_datalist(folder: Path, **splits: list[dict[str, Any]]) -> Path:
    path = folder / "datalist.json"
    path.write_text(json.dumps({"name": "test", **splits}))
    return path


def test_paths_become_absolute_and_aliases_work(tmp_path: Path) -> None:
    item = {"image": "P0/a.dcm", "label": "P0/a.json", "frame": 3, "patient": "P0"}
    path = write_datalist(tmp_path, training=[item], validation=[], test=[{"image": "b.png"}])
    expected = item | {"image": str(tmp_path / "P0/a.dcm"), "label": str(tmp_path / "P0/a.json")}
    assert load_datalist(tmp_path, "training") == load_datalist(path, "train") == [expected]
    assert load_datalist(tmp_path, "val") == []
    assert load_datalist(tmp_path, "all") == [expected, {"image": str(tmp_path / "b.png")}]


def test_training_parts_of_several_datalists_join_in_order(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write_datalist(tmp_path / name, training=[{"image": f"{name}.dcm"}], validation=[], test=[{"image": "x.dcm"}])
    images = [item["image"] for item in load_datalists([tmp_path / "b", tmp_path / "a"], "training")]
    assert images == [str(tmp_path / "b" / "b.dcm"), str(tmp_path / "a" / "a.dcm")]


def test_datalists_are_checked(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"datalist\.json: no such datalist"):
        load_datalist(tmp_path)
    path = write_datalist(tmp_path, training=[{"image": "a", "patient": "P7"}], test=[{"image": "b", "patient": "P7"}])
    with pytest.raises(ValueError, match="patient 'P7' lies in 'training' and in 'test'"):
        load_datalist(path)
    with pytest.raises(ValueError, match=r"no split 'exam'; it holds \['training'\]"):
        load_datalist(write_datalist(tmp_path, training=[]), "exam")
    with pytest.raises(ValueError, match=r"training\[0\]: 'image' is missing"):
        load_datalist(write_datalist(tmp_path, training=[{"label": "a"}]))
    path.write_text("{")
    with pytest.raises(ValueError, match="not a JSON file"):
        load_datalist(path)


def test_a_bundle_can_be_looked_at_without_data_but_not_run(tmp_path: Path) -> None:
    assert load_datalist(tmp_path, missing_ok=True) == []
    with pytest.raises(ValueError, match=f"no frames in {tmp_path}"):
        require_frames([], tmp_path)


def test_split_keeps_patients_together_whatever_the_order() -> None:
    items = [{"image": f"{p}{f}", "patient": f"P{p}"} for p in range(10) for f in range(p + 1)]
    fractions = {"training": 0.6, "validation": 0.2, "test": 0.2}
    splits = split_by_patient(items, fractions=fractions, seed=4)
    patients = {name: {i["patient"] for i in part} for name, part in splits.items()}
    assert {name: len(p) for name, p in patients.items()} == {"training": 6, "validation": 2, "test": 2}
    assert set.union(*patients.values()) == {f"P{p}" for p in range(10)}
    assert sum(len(part) for part in splits.values()) == len(items)
    again = split_by_patient(items[::-1], fractions=fractions, seed=4)
    assert {name: {i["patient"] for i in part} for name, part in again.items()} == patients


def test_split_is_checked() -> None:
    with pytest.raises(ValueError, match="add up to 1"):
        split_by_patient([], fractions={"training": 0.5})
    with pytest.raises(ValueError, match=r"items\[1\] has no 'patient'"):
        split_by_patient([{"patient": "a"}, {}], fractions={"training": 1.0})


@pytest.fixture
def label(tmp_path: Path) -> str:
    frames = tuple(Keypoints.from_points(TAVR11, {"PT": (5, 5)}, frame=f) for f in (0, 2, 5))
    write_label_json(tmp_path / "a.json", CineLabel(ImageInfo(10, 10, 6), frames))
    return str(tmp_path / "a.json")


def test_items_without_a_frame_stand_for_all_labelled_ones(label: str) -> None:
    expanded = expand_frames([{"image": "a.dcm", "label": label}, {"image": "b.dcm", "frame": 7}])
    assert [(i["image"], i["frame"]) for i in expanded] == [("a.dcm", 0), ("a.dcm", 2), ("a.dcm", 5), ("b.dcm", 7)]
    with pytest.raises(ValueError, match=r"c\.dcm: no 'frame' and no 'label'"):
        expand_frames([{"image": "c.dcm"}])


def test_deterministic_part_is_computed_once(label: str) -> None:
    calls = []
    read = Lambdad("image", lambda path: calls.append(path) or np.zeros(1))
    draw = RandLambdad("image", lambda x: x + len(calls), prob=1.0)
    dataset = FrameDataset([{"image": "a.dcm", "label": label}], Compose([read, draw]), progress=False)
    assert len(dataset) == 3
    assert [float(dataset[i]["image"][0]) for i in (0, 1, 2, 0)] == [3, 3, 3, 3]
    assert len(calls) == 3
    dataset.set_data([{"image": "b.dcm", "frame": 1}])
    assert len(dataset) == 1
