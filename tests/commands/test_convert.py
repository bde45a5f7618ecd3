"""``monai-tavr convert``: a label through every format and back on the command line, folders, and what it says of failures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from formats_example import cine, file_of, label, outside

from monai_tavr.cli import main
from monai_tavr.formats import FORMATS, Format
from monai_tavr.formats.label_json import read_label_json, write_label_json
from monai_tavr.keypoints import TAVR11, KeypointState
from monai_tavr.phantom.generate import generate_dataset

BOTH = [f for f in FORMATS.values() if f.reader and f.writer]


def convert(*arguments: object) -> int:
    return main(["convert", *map(str, arguments)])


@pytest.mark.parametrize("form", BOTH, ids=lambda f: f.name)
def test_a_label_goes_through_every_format_and_back(form: Format, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    info = cine(tmp_path)
    given = label(info.image_info)
    write_label_json(tmp_path / "given.json", given)
    middle, image = file_of(form, tmp_path / "middle"), ["--image", tmp_path / "run.dcm"]
    middle.parent.mkdir()
    assert convert(tmp_path / "given.json", middle, "--to", form.name, *(image if "write" in form.needs_image else [])) == 0
    said = capsys.readouterr().err
    if [loss for loss in form.loses if loss != "cines"]:
        assert f"not kept by {form.title}: " in said  # what is lost is said, whether or not anybody asked
    outside(form, middle.parent, info, [given])
    assert convert(middle, tmp_path / "back.json", "--from", form.name, *(image if "read" in form.needs_image else [])) == 0
    back = read_label_json(tmp_path / "back.json")
    full = next(k for k in back.frames if k.frame == 2)
    # the numbers of formats_example, by hand: the i-th point lies at (1.25 + 8 i, 60.5 - 5 i)
    assert {n: tuple(full.xy[TAVR11.index(n)].tolist()) for n in ("AA1", "CP", "FE2")} == {
        "AA1": (1.25, 60.5),
        "CP": (33.25, 40.5),
        "FE2": (81.25, 10.5),
    }
    part = next(k for k in back.frames if k.frame == 5)
    state = dict(zip(TAVR11.names, part.state.tolist(), strict=True))
    assert state.pop("AA1") == KeypointState.VISIBLE
    gone = KeypointState.UNLABELLED if "absent" in form.loses else KeypointState.ABSENT
    assert (state.pop("AA2"), state.pop("CT")) == (gone, gone)
    assert set(state.values()) == {KeypointState.UNLABELLED}  # unlabelled never becomes absent


def test_the_folder_of_a_data_set_is_its_labels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """datalist.json and phantom.json lie beside the labels and hold none."""
    generate_dataset(tmp_path / "data", preset="tiny", patients=2, size=64, workers=1, progress=False)
    assert convert(tmp_path / "data", tmp_path / "all.json", "--to", "coco") == 0
    assert len(json.loads((tmp_path / "all.json").read_text())["images"]) == 2 * 2 * 3  # patients, cines, frames
    assert "4 cines" in capsys.readouterr().out


def test_what_cannot_be_read_does_not_stop_the_others(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_label_json(tmp_path / "good.json", label(cine(tmp_path).image_info))
    (tmp_path / "bad.json").write_text('{"schema": "monai-tavr/keypoints/1"}')
    assert convert(tmp_path / "good.json", tmp_path / "bad.json", tmp_path / "none.json", tmp_path / "out.csv") == 1
    assert (tmp_path / "out.csv").is_file()
    err = capsys.readouterr().err
    assert "bad.json: 'frames' is missing" in err
    assert "none.json: no such file or folder" in err
    assert convert(tmp_path / "bad.json", tmp_path / "other.csv") == 2
    assert not (tmp_path / "other.csv").exists()


def test_options_that_nothing_takes_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_label_json(tmp_path / "a.json", label(cine(tmp_path).image_info))
    assert convert(tmp_path / "a.json", tmp_path / "b.csv", "--seed", "3") == 2
    assert "--seed is for --to datalist" in capsys.readouterr().err
    assert convert(tmp_path / "a.json", tmp_path / "b.unknown") == 2
    assert "the name does not tell the format" in capsys.readouterr().err
