"""The table and its page say the same, formats are guessed right, and ``predict`` and ``convert`` go by it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from formats_example import cine, file_of, label
from PIL import ExifTags, Image

from monai_tavr.cli import main
from monai_tavr.dicom import open_cine
from monai_tavr.formats import FORMATS, LOSSES, Format, LossWarning
from monai_tavr.formats.guess import format_of_name, guess_format
from monai_tavr.formats.label_json import read_label_json, write_label_json

PAGE = Path(__file__).resolve().parents[2] / "docs/formats.md"


def row(form: Format) -> str:
    files = ", ".join([f"`{e}`" for e in form.extensions] or ["folder"]) + ", one cine" * form.one_cine
    lost = "; ".join(LOSSES[loss] for loss in form.loses) or "keeps all"
    can = ["no" if f is None else "yes" for f in (form.reader, form.writer)]
    return f"| {form.title} | `{form.name}` | {files} | {can[0]} | {can[1]} | {lost} |"


def test_the_page_is_the_table() -> None:
    text = PAGE.read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if re.match(r"\| .* \| `[\w-]+` \|", line)]
    assert rows == [row(form) for form in FORMATS.values()]
    sections = dict(re.findall(r"^## ([\w-]+): [^\n]*\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL))
    assert list(sections) == list(FORMATS)
    assert [name for name, section in sections.items() if "monai-tavr convert" not in section] == []


@pytest.mark.parametrize("form", [f for f in FORMATS.values() if f.writer], ids=lambda f: f.name)
def test_formats_are_known_by_what_they_hold(form: Format, tmp_path: Path) -> None:
    info = cine(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LossWarning)
        form.write(file_of(form, tmp_path), [label(info.image_info)], image=info)
    assert guess_format(file_of(form, tmp_path)) is form


def test_formats_to_write_are_known_by_name() -> None:
    for name, expected in (
        ("a.json", "json"),
        ("a.csv", "csv"),
        ("a.mrk.json", "markups"),
        ("A.SLP", "sleap"),
        ("a.dcm", "dicom-sr"),
    ):
        assert format_of_name(name).name == expected
    with pytest.raises(ValueError, match="the name does not tell the format; state it with --to"):
        format_of_name("folder")


def test_what_is_no_label_is_refused(tmp_path: Path) -> None:
    for name, content in (("a.txt", "x"), ("a.json", "5"), ("b.json", "{}")):
        (tmp_path / name).write_text(content)
        with pytest.raises(ValueError, match=rf"{name}: of no known label format; state it with --from"):
            guess_format(tmp_path / name)


def test_the_table_is_cheap() -> None:
    code = (
        "import sys, monai_tavr.formats as f\n"
        "print([m for m in ('torch', 'monai', 'pydicom', 'highdicom', 'PIL', 'sleap_io', 'gdcm', 'cv2') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Two label files, as predict writes them."""
    info = cine(tmp_path / "image")
    for name in ("a", "b"):
        given = label(info.image_info)
        write_label_json(tmp_path / "results" / f"{name}.json", type(given)(image=given.image, frames=given.frames))
    return tmp_path / "results"


def test_a_folder_of_labels_becomes_one_file_and_back(results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["convert", str(results), str(tmp_path / "coco.json"), "--to", "coco"]) == 0
    printed = capsys.readouterr()
    assert "COCO keypoints, 8 frames of 2 cines" in printed.out
    assert printed.err == "not kept by COCO keypoints: visibility scores\n"
    assert main(["convert", str(tmp_path / "coco.json"), str(tmp_path / "back"), "--to", "json", "--quiet"]) == 0
    assert capsys.readouterr().out == ""
    assert sorted(p.name for p in (tmp_path / "back").iterdir()) == ["a.json", "b.json"]
    assert (
        read_label_json(tmp_path / "back/a.json").frames[0].xy.tolist()
        == read_label_json(results / "a.json").frames[0].xy.tolist()
    )


def test_one_bad_input_does_not_stop_the_others(results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (results / "c.json").write_text("{")
    assert main(["convert", str(results), str(tmp_path / "a.csv")]) == 1
    assert "c.json: not a JSON file" in capsys.readouterr().err
    assert "b,b,64,96" in (tmp_path / "a.csv").read_text()
    assert main(["convert", str(results / "c.json"), str(tmp_path / "none.csv")]) == 2
    assert not (tmp_path / "none.csv").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--others-absent"], "--others-absent says nothing to label JSON"),
        (["--patient", "x"], "--patient is for --to datalist"),
        (["--to", "markups"], "give the image that the points belong to"),
        (["--schema", "authors10"], "keypoints of schema 'TAVR11', expected 'AUTHORS10'"),
    ],
)
def test_what_makes_no_sense_is_refused(
    arguments: list[str], words: str, results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["convert", str(results / "a.json"), str(tmp_path / "out.csv"), *arguments]) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "out.csv").exists()


def test_a_full_folder_is_not_written_into(results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["convert", str(results), str(results), "--to", "supervisely"]) == 2
    assert "is there already and not empty" in capsys.readouterr().err
    assert sorted(p.name for p in results.iterdir()) == ["a.json", "b.json"]


def test_foreign_coco_goes_by_names_and_says_what_it_does_not_know(tmp_path: Path) -> None:
    """As CVAT exports: no object of ours, points of another order, occluded ones, a category per group."""
    image = {"id": 7, "file_name": "P1/run_0003.png", "width": 96, "height": 64}
    content = {
        "images": [image],
        "categories": [
            {"id": 1, "name": "a", "keypoints": ["STJ1", "AA1"]},
            {"id": 2, "name": "b", "keypoints": ["PT", "FE1", "FE2"]},
        ],
        "annotations": [
            {"id": 1, "image_id": 7, "category_id": 1, "keypoints": [5.5, 6.5, 1, 7, 8, 2], "attributes": {"occluded": False}},
            {
                "id": 2,
                "image_id": 7,
                "category_id": 2,
                "keypoints": [9, 10, 2, 0, 0, 0, 0, 0, 0],
                "attributes": {"absent": "FE2"},
            },
        ],
    }
    (tmp_path / "a.json").write_text(json.dumps(content))
    for others, fe1 in ((False, "UNLABELLED"), (True, "ABSENT")):
        [found] = FORMATS["coco"].read(tmp_path / "a.json", others_absent=others)
        assert (found.name, found.pictures[3], found.image.number_of_frames) == ("P1/run", "P1/run_0003.png", 4)
        [frame] = found.frames
        placed = {n: frame.xy[frame.schema.index(n)].tolist() for n in ("STJ1", "AA1", "PT")}
        assert placed == {"STJ1": [5.5, 6.5], "AA1": [7.0, 8.0], "PT": [9.0, 10.0]}
        states = {
            n: {-1: "UNLABELLED", 0: "ABSENT", 1: "VISIBLE"}[int(frame.state[frame.schema.index(n)])]
            for n in ("FE1", "FE2", "CP")
        }
        assert states == {"FE1": fe1, "FE2": "ABSENT", "CP": "UNLABELLED"}
    content["categories"][0]["keypoints"][0] = "nose"  # type: ignore[index]
    (tmp_path / "a.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"annotations\[0\]: no keypoint of schema 'TAVR11' is called 'nose'"):
        FORMATS["coco"].read(tmp_path / "a.json")
    [found] = FORMATS["coco"].read(tmp_path / "a.json", ignore=["nose"])
    assert found.frames[0].visible.sum() == 2


def test_label_studio_counts_from_the_pictures_corner(tmp_path: Path) -> None:
    """50 % of 96 pixels is the border between pixels 47 and 48: 47.5 from the first pixel's centre."""
    common = {"original_width": 96, "original_height": 64, "type": "keypointlabels", "from_name": "kp", "to_name": "img"}
    result = [common | {"id": "1", "value": {"x": 50.0, "y": 25.0, "width": 1, "keypointlabels": ["PT"]}}]
    tasks = [
        {"data": {"image": "/data/upload/3/8f1b-run_0002.png"}, "annotations": [{"result": result}]},
        {"data": {"image": "/data/upload/3/8f1c-run_0003.png"}, "annotations": []},
    ]
    (tmp_path / "a.json").write_text(json.dumps(tasks))
    [found] = FORMATS["label-studio"].read(tmp_path / "a.json")
    assert found.pictures == {2: "8f1b-run_0002.png"}
    assert found.frames[0].xy[found.frames[0].schema.index("PT")].tolist() == [47.5, 15.5]
    tasks[0]["annotations"] *= 2  # type: ignore[operator]
    (tmp_path / "a.json").write_text(json.dumps(tasks))
    with pytest.raises(ValueError, match="task 0: 2 annotations; keep one per task"):
        FORMATS["label-studio"].read(tmp_path / "a.json")


def test_deeplabcuts_predictions_say_by_likelihood_what_is_absent(tmp_path: Path) -> None:
    text = "scorer,m,m,m,m,m,m\nbodyparts,AA1,AA1,AA1,PT,PT,PT\ncoords,x,y,likelihood,x,y,likelihood\n3,1.5,2.5,0.75,9,9,0.25\n"
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(ValueError, match="a table says no sizes"):
        FORMATS["deeplabcut"].read(tmp_path / "a.csv")
    info = cine(tmp_path)
    [found] = FORMATS["deeplabcut"].read(tmp_path / "a.csv", image=info)
    [frame] = found.frames
    assert (frame.frame, found.image) == (3, info.image_info)
    assert [int(frame.state[frame.schema.index(n)]) for n in ("AA1", "PT", "CP")] == [1, 0, -1]
    assert frame.score is not None
    assert frame.score[frame.schema.index("PT")] == 0.25


@pytest.mark.parametrize(("orientation", "size"), [(1, (32, 48)), (3, (32, 48)), (6, (48, 32))])
def test_deeplabcuts_pictures_have_the_size_in_which_they_are_read(
    tmp_path: Path, orientation: int, size: tuple[int, int]
) -> None:
    """Their EXIF orientation turns them, as viewers do: rows and columns may change places."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    Image.fromarray(np.zeros((32, 48), np.uint8)).save(tmp_path / "img0.jpg", exif=exif)
    (tmp_path / "a.csv").write_text("scorer,m,m\nbodyparts,AA1,AA1\ncoords,x,y\nlabeled-data/run/img0.jpg,1.5,2.5\n")
    [found] = FORMATS["deeplabcut"].read(tmp_path / "a.csv")
    assert (found.image.rows, found.image.columns) == size == open_cine(tmp_path / "img0.jpg").frame(0).shape
