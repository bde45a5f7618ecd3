"""Labelled pictures become a datalist: BAMNet's folders end to end, the authors' split, and what must not happen."""

from __future__ import annotations

import base64
import io
import json
import zlib
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from monai.transforms import Compose
from PIL import Image

from monai_tavr.cli import main
from monai_tavr.formats.supervisely_mask import read_supervisely_mask
from monai_tavr.keypoints import TAVR11, KeypointState
from monai_tavr.training.datasets import FrameDataset, load_datalist
from monai_tavr.transforms.points import LoadFramed

STATE = {name: i for i, name in enumerate(TAVR11.names)}


def bitmap(mask: np.ndarray, x: int, y: int) -> dict[str, Any]:
    """As Supervisely packs a mask."""
    packed = io.BytesIO()
    Image.fromarray(mask.astype(np.uint8) * 255).convert("1").save(packed, format="PNG")
    data = base64.b64encode(zlib.compress(packed.getvalue())).decode()
    return {"classTitle": "Aorta", "geometryType": "bitmap", "bitmap": {"data": data, "origin": [x, y]}}


def annotation(points: dict[str, tuple[float, float]], *objects: dict[str, Any], width: int = 40, height: int = 30) -> str:
    placed = [
        {"classTitle": n, "geometryType": "point", "points": {"exterior": [list(xy)], "interior": []}} for n, xy in points.items()
    ]
    return json.dumps({"description": "", "tags": [], "size": {"width": width, "height": height}, "objects": [*placed, *objects]})


def add(
    folder: Path, name: str, content: str, *, picture: str | None = None, grey: int = 0, size: tuple[int, int] = (40, 30)
) -> None:
    (folder / "ann").mkdir(parents=True, exist_ok=True)
    (folder / "ann" / f"{name}.json").write_text(content)
    if picture is not None:
        (folder / "img").mkdir(exist_ok=True)
        Image.new("L", size, grey).save(folder / "img" / picture)


@pytest.fixture
def bamnet(tmp_path: Path) -> Path:
    """Three patients in the layout of Zenodo 10.5281/zenodo.19219901."""
    root = tmp_path / "segmentation_point"
    for patient in range(3):
        for frame in range(2):
            points = {"AA1": (10.0 + patient, 20.0 + frame), "AA2": (30.5, 21.25), "STJ1": (12.0, 5.0)}
            # the annotation is called after a .png, the picture is a .bmp of an export's other kind: here .jpg
            add(
                root / f"{patient + 1:03d}",
                f"run_{frame:03d}.png",
                annotation(points, bitmap(np.ones((4, 5)), 3, 2), bitmap(np.eye(2), 20, 10)),
                picture=f"run_{frame:03d}.jpg",
                grey=50 * patient + 25 * frame,
            )
    add(root / "003", "run_009.png", annotation({}), picture="run_009.png")
    classes = [{"title": n, "shape": "point", "color": "#FF0000"} for n in ("AA1", "AA2", "STJ1", "STJ2")]
    (root / "meta.json").write_text(
        json.dumps({"classes": [*classes, {"title": "Aorta", "shape": "bitmap", "color": "#00FF00"}]})
    )
    (tmp_path / "spacing.csv").write_text("patient,pixel_spacing_row_mm\n001,0.25\n002,0.3\n003,0.3\n")
    return root


def test_bamnets_folders_train(bamnet: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "data"
    arguments = ["convert", str(bamnet), str(out), "--to", "datalist", "--others-absent"]
    assert (
        main([*arguments, "--spacing", str(tmp_path / "spacing.csv"), "--fractions", "0.34,0.33,0.33", "--root-mask", "Aorta"])
        == 0
    )
    printed = capsys.readouterr()
    assert "Supervisely, 18 points on 7 frames of 3 cines" in printed.out
    assert "left out: 1 without a labelled point" in printed.out
    assert "6 pictures have masks" in printed.err
    patients = {split: {i["patient"] for i in load_datalist(out, split)} for split in ("training", "validation", "test")}
    assert sorted(len(p) for p in patients.values()) == [1, 1, 1]
    assert set.union(*patients.values()) == {"001", "002", "003"}
    items = load_datalist(out, "all")
    dataset = FrameDataset(items, Compose([LoadFramed()]), progress=False)
    assert len(dataset) == 6
    frame = next(dataset[i] for i in range(6) if items[i]["image"].endswith("002/img/run_001.jpg"))
    assert frame["image"].shape == (1, 30, 40)
    assert abs(float(frame["image"][0, 15, 20]) - 75) < 2
    assert frame["keypoints"][STATE["AA1"]].tolist() == [11.0, 21.0]
    assert frame["keypoints"][STATE["AA2"]].tolist() == [30.5, 21.25]
    states = {name: KeypointState(int(frame["state"][i])).name for name, i in STATE.items()}
    # the project asks for four points: its missing one is absent, points it does not know are unlabelled
    assert {n for n, s in states.items() if s == "VISIBLE"} == {"AA1", "AA2", "STJ1"}
    assert {n for n, s in states.items() if s == "ABSENT"} == {"STJ2"}
    assert frame["image"].meta["spacing"].tolist() == [0.3, 0.3]
    assert all(item["root_mask"].endswith(f"masks/{item['patient']}/img/{Path(item['image']).name}.nii.gz") for item in items)
    mask = np.asarray(nibabel.load(items[0]["root_mask"]).dataobj)
    assert (mask.shape, mask.dtype, int(mask.sum())) == ((40, 30, 1), np.uint8, 22)  # 4 x 5 pixels and a diagonal of two


def test_the_mask_is_all_bitmaps_together(bamnet: Path) -> None:
    expected = np.zeros((30, 40), bool)
    expected[2:6, 3:8] = True
    expected[10, 20] = expected[11, 21] = True
    file = bamnet / "001/ann/run_000.png.json"
    np.testing.assert_array_equal(read_supervisely_mask(file), expected)
    np.testing.assert_array_equal(read_supervisely_mask(file, classes=["Aorta"]), expected)
    assert read_supervisely_mask(file, classes=["Lung"]) is None
    assert read_supervisely_mask(bamnet / "003/ann/run_009.png.json") is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"origin": [38, 2]}, r"5 x 4 pixels at \(38, 2\) reach beyond the picture of 40 x 30"),
        ({"origin": [-1, 2]}, "whole number of at least 0"),
        ({"data": "%%%"}, "the bitmap is damaged"),
        ({"data": base64.b64encode(b"no zlib").decode()}, "the bitmap is damaged"),
        ({"data": base64.b64encode(zlib.compress(b"no png")).decode()}, "the bitmap is damaged"),
    ],
)
def test_a_damaged_mask_is_named(change: dict[str, Any], words: str, tmp_path: Path) -> None:
    broken = bitmap(np.ones((4, 5)), 3, 2)
    broken["bitmap"] |= change
    (tmp_path / "a.png.json").write_text(annotation({}, broken))
    with pytest.raises(ValueError, match=rf"a\.png\.json: objects\[0\]\.bitmap.*{words}"):
        read_supervisely_mask(tmp_path / "a.png.json")


def test_exports_without_pictures_still_hold_labels(bamnet: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for picture in bamnet.glob("00[12]/img/*"):
        picture.unlink()
    assert main(["convert", str(bamnet), str(tmp_path / "a.csv"), "--to", "csv"]) == 0
    assert main(["convert", str(bamnet), str(tmp_path / "data"), "--to", "datalist"]) == 1
    printed = capsys.readouterr()
    assert "001/img/run_000.png: there is no such picture below" in printed.err
    assert len(load_datalist(tmp_path / "data", "all")) == 2
    for picture in bamnet.glob("003/img/*"):
        picture.unlink()
    assert main(["convert", str(bamnet), str(tmp_path / "none"), "--to", "datalist"]) == 2
    assert not (tmp_path / "none").exists()
    assert not list(tmp_path.glob(".none*"))


def test_the_authors_folders_state_the_split(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """``<split>/<case>/ann/0005_001_002.png.json``; objects of old exports name no geometry."""
    root = tmp_path / "tavi"
    for split, case in (("train", "0005"), ("train", "0006"), ("val", "0007")):
        entry = {"classTitle": "CP", "points": {"exterior": [[7, 8]], "interior": []}}
        content = {"size": {"width": 40, "height": 30}, "objects": [entry]}
        add(root / split / case, f"{case}_001_002.png", json.dumps(content), picture=f"{case}_001_002.png")
    arguments = ["convert", str(root), str(tmp_path / "out"), "--to", "datalist", "--schema", "authors10"]
    assert main(arguments) == 0
    assert "split as the folders state it" in capsys.readouterr().out
    splits = {s: [i["patient"] for i in load_datalist(tmp_path / "out", s)] for s in ("training", "validation", "test")}
    assert splits == {"training": ["0005", "0006"], "validation": ["0007"], "test": []}
    (item,) = load_datalist(tmp_path / "out", "validation")
    frame = LoadFramed(schema="authors10")(item)
    assert frame["keypoints"][0].tolist() == [7.0, 8.0]
    # one patient in two splits, by an expression that sees the same digits everywhere
    assert main([*arguments[:2], str(tmp_path / "bad"), *arguments[3:], "--patient", r"^\w+/(00)"]) == 2
    assert "patient '00' lies in training and validation" in capsys.readouterr().err


def test_a_picture_of_another_size_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    add(tmp_path / "in/001", "a.png", annotation({"AA1": (1, 2)}), picture="a.png", size=(80, 60))
    assert main(["convert", str(tmp_path / "in"), str(tmp_path / "out"), "--to", "datalist"]) == 2
    assert "80 x 60 pixels and was labelled at 40 x 30" in capsys.readouterr().err


def test_unknown_classes_are_refused_until_they_are_ignored(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    add(tmp_path / "in/001", "a.png", annotation({"AA1": (1, 2), "EC9": (3, 4)}))
    assert main(["convert", str(tmp_path / "in"), str(tmp_path / "a.csv")]) == 2
    assert "no keypoint of schema 'TAVR11' is called 'EC9'" in capsys.readouterr().err
    assert main(["convert", str(tmp_path / "in"), str(tmp_path / "a.csv"), "--to", "csv", "--ignore", "EC9"]) == 0


def test_bamnets_prepared_folders(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for split, name in (("train", "001_a"), ("val", "002_b")):
        for folder in ("images", "points"):
            (tmp_path / "in" / split / folder).mkdir(parents=True)
        Image.new("L", (40, 30)).save(tmp_path / "in" / split / "images" / f"{name}.png")
        points = {"AA1": {"x": 5.5, "y": 6.5, "visible": 1}, "AA2": {"x": 0, "y": 0, "visible": 0}}
        content = {"image_size": {"width": 40, "height": 30}, "points": points}
        (tmp_path / "in" / split / "points" / f"{name}.json").write_text(json.dumps(content))
    arguments = ["convert", str(tmp_path / "in"), str(tmp_path / "out"), "--to", "datalist", "--patient", r"/(\d+)_"]
    assert main(arguments) == 0
    (item,) = load_datalist(tmp_path / "out", "training")
    assert item["patient"] == "001"
    frame = LoadFramed()(item)
    assert frame["keypoints"][STATE["AA1"]].tolist() == [5.5, 6.5]
    assert [KeypointState(int(frame["state"][STATE[n]])).name for n in ("AA1", "AA2", "CP")] == [
        "VISIBLE",
        "ABSENT",
        "UNLABELLED",
    ]


def test_coco_with_pictures_needs_to_know_the_patients(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "in/annotations").mkdir(parents=True)
    (tmp_path / "in/images").mkdir()
    images = [{"id": k, "file_name": f"p{k}_0.png", "width": 40, "height": 30} for k in (1, 2)]
    category = {"id": 1, "name": "root", "keypoints": ["STJ1", "AA1"], "skeleton": []}
    annotations = [{"id": k, "image_id": k, "category_id": 1, "keypoints": [0, 0, 0, 9, 8, 2]} for k in (1, 2)]
    for image in images:
        Image.new("L", (40, 30)).save(tmp_path / "in/images" / str(image["file_name"]))
    file = tmp_path / "in/annotations/person_keypoints_default.json"
    file.write_text(json.dumps({"images": images, "annotations": annotations, "categories": [category]}))
    arguments = ["convert", str(file), str(tmp_path / "out"), "--to", "datalist"]
    assert main(arguments) == 2
    assert "give --patient" in capsys.readouterr().err
    assert main([*arguments, "--patient", r"(p\d+)_", "--fractions", "0.5,0.5,0"]) == 0
    (item,) = load_datalist(tmp_path / "out", "training")
    assert LoadFramed()(item)["keypoints"][STATE["AA1"]].tolist() == [9.0, 8.0]
