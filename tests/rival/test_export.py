"""BAMNet's data as a datalist: as exported, without pictures beside, and as its authors prepare them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import nibabel
import numpy as np
import pytest
from bamnet_export import write_export
from PIL import Image

from monai_tavr.formats.label_json import read_label_json
from monai_tavr.formats.spacings import read_spacings
from monai_tavr.formats.supervisely_mask import read_supervisely_mask
from monai_tavr.keypoints import TAVR11, KeypointState
from monai_tavr.phantom.generate import generate_dataset
from monai_tavr.rival.export import prepare_export
from monai_tavr.training.datasets import load_datalist


@pytest.fixture(scope="module")
def bamnet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``segmentation_point`` of three patients, and ``image_mapping.csv`` beside it."""
    root = tmp_path_factory.mktemp("bamnet")
    generate_dataset(root / "phantom", preset="tiny", patients=3, size=64, workers=1, progress=False)
    return write_export(root, root / "phantom", per_cine=1)


def test_the_export_becomes_a_datalist_with_masks_and_spacing(bamnet: Path, tmp_path: Path) -> None:
    spacings = read_spacings(bamnet.parent / "image_mapping.csv")
    export = prepare_export(tmp_path / "data", bamnet, schema=TAVR11, spacings=spacings)
    items = export.items()
    assert {i["patient"] for i in items} == {"1", "2", "3"}
    assert len(items) == len(list(bamnet.glob("*/img/*.png")))
    item = next(i for i in load_datalist(tmp_path / "data", "training") if i["patient"] == "2")
    name = Path(item["image"]).name
    label = read_label_json(item["label"])
    annotation = json.loads((bamnet / "002" / "ann" / f"{name}.json").read_text())
    assert label.frames[0].xy[TAVR11.index("AA2")] == pytest.approx(annotation["objects"][1]["points"]["exterior"][0])
    states = dict(zip(TAVR11.names, label.frames[0].state, strict=True))
    assert {n for n, s in states.items() if s == KeypointState.VISIBLE} == {"AA1", "AA2", "STJ1", "STJ2"}
    assert {s for n, s in states.items() if n[:2] not in ("AA", "ST")} == {KeypointState.UNLABELLED}
    phantom = read_label_json(bamnet.parent / "phantom" / "P001" / f"C{int(name.split('_')[1]):02d}.json")
    # the table's images are half as large, with pixels twice as wide
    assert label.image.spacing == pytest.approx(phantom.image.spacing)
    mask = nibabel.load(tmp_path / "data" / item["root_mask"])
    assert (mask.shape, mask.get_data_dtype()) == ((64, 64, 1), np.uint8)
    expected = read_supervisely_mask(bamnet / "002" / "ann" / f"{name}.json")
    np.testing.assert_array_equal(np.asarray(mask.dataobj)[..., 0].T.astype(bool), expected)
    # what is there already is taken as it is
    assert prepare_export(tmp_path / "data", tmp_path / "gone", schema=TAVR11).items() == items


def test_pictures_may_lie_elsewhere(bamnet: Path, tmp_path: Path) -> None:
    bare = tmp_path / "segmentation_point"
    shutil.copytree(bamnet, bare, ignore=shutil.ignore_patterns("img"))
    with pytest.raises(ValueError, match=r"no labelled picture that can be used; 001/img/.*there is no such picture"):
        prepare_export(tmp_path / "none", bare, schema=TAVR11)
    flat = tmp_path / "flat"
    flat.mkdir()
    for picture in bamnet.glob("*/img/*.png"):
        shutil.copy(picture, flat)
    for name, place in (("as exported", bamnet), ("all in one", flat)):
        items = prepare_export(tmp_path / name, bare, schema=TAVR11, pictures=place).items()
        assert {i["patient"] for i in items} == {"1", "2", "3"}
        assert all("root_mask" in i for i in items)


def test_what_its_authors_prepare_is_read_too(tmp_path: Path) -> None:
    """Names tell the patients: ``8_0_23`` and ``0011_003_004``; the sizes stand at the top of the file."""
    for split, name in (("train", "8_0_23"), ("val", "0011_003_004")):
        for folder in ("images", "points", "masks"):
            (tmp_path / "in" / split / folder).mkdir(parents=True)
        for folder in ("images", "masks"):
            Image.new("L", (40, 30), 255).save(tmp_path / "in" / split / folder / f"{name}.png")
        content = {"width": 40, "height": 30, "points": {"AA1": {"x": 5, "y": 6, "visible": 1}}}
        (tmp_path / "in" / split / "points" / f"{name}.json").write_text(json.dumps(content))
    (tmp_path / "t.csv").write_text("seg_patient,image_name,pixel_spacing_row_mm,rows,cols\n8,8_0_23.png,0.4,15,20\n")
    export = prepare_export(tmp_path / "out", tmp_path / "in", schema=TAVR11, spacings=read_spacings(tmp_path / "t.csv"))
    first, second = export.items()
    assert (first["patient"], second["patient"]) == ("8", "11")
    assert read_label_json(tmp_path / "out" / first["label"]).image.spacing == pytest.approx((0.2, 0.2))
    assert read_label_json(tmp_path / "out" / second["label"]).image.spacing is None
    assert np.asarray(nibabel.load(tmp_path / "out" / first["root_mask"]).dataobj).all()


def test_a_folder_of_something_else_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no Supervisely project"):
        prepare_export(tmp_path / "out", tmp_path, schema=TAVR11)
