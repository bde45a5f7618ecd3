"""``monai-tavr labels``, end to end: what is found is printed, written and drawn; what cannot be read is named."""

from __future__ import annotations

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from plausibility_example import IMAGE, changed, label_of

from monai_tavr.cli import main
from monai_tavr.dicom.writer import XAHeader, write_xa
from monai_tavr.formats.label_json import write_label_json
from monai_tavr.label import Revision
from monai_tavr.plausibility import read_statistics

UID = "1.2.826.0.1.3680043.8.498.1"
WRONG = changed(changed(label_of(), 1, {"AA1": (62, -67), "AA2": (-62, 67)}), 3, {"PT": (0, 20)})


@pytest.fixture
def folder(tmp_path):
    write_label_json(tmp_path / "data" / "good.json", label_of())
    write_label_json(tmp_path / "data" / "wrong.json", WRONG)
    return tmp_path / "data"


def test_the_worst_comes_first(folder, capsys):
    assert main(["labels", "check", str(folder)]) == 0
    out, err = capsys.readouterr()
    first, second, summary = out.splitlines()
    assert "swapped" in first
    assert first.endswith(f"{folder}/wrong.json frame 1: AA1 lies to the right of AA2: AA1 is the end on the image's left")
    assert "jump" in second
    assert "wrong.json frame 3: PT stands elsewhere" in second
    assert summary == "2 findings on 2 of 10 labelled frames (20.0%) of 2 cines"
    assert err == ""


def test_pipelines_may_fail(folder, capsys):
    assert main(["labels", "check", str(folder), "--fail"]) == 1
    assert main(["labels", "check", str(folder / "good.json"), "--fail"]) == 0
    assert main(["labels", "check", str(folder), "--fail", "--ignore", "swapped,jump"]) == 0
    assert "0 findings on 0 of 10" in capsys.readouterr().out


def test_files_hold_all_and_the_list_the_worst(folder, tmp_path, capsys):
    places = {name: str(tmp_path / f"f.{name}") for name in ("json", "csv")}
    assert main(["labels", "check", str(folder), "--worst", "1", "--json", places["json"], "--csv", places["csv"]]) == 0
    assert "... and 1 more frames (--worst)" in capsys.readouterr().out
    content = json.loads((tmp_path / "f.json").read_text())
    assert (content["labels"], content["flagged_frames"]) == (2, 2)
    assert [(f["rule"], f["frame"], f["points"][0]) for f in content["findings"]] == [("swapped", 1, "AA1"), ("jump", 3, "PT")]
    with (tmp_path / "f.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [(r["rule"], r["points"]) for r in rows] == [("swapped", "AA1 AA2"), ("jump", "PT")]


def test_a_servers_labels_with_their_authors_and_pictures(tmp_path, capsys):
    revision = Revision(2, "Ann", "2026-01-31T12:00:00+00:00")
    label = replace(WRONG, image=replace(IMAGE, sop_instance_uid=UID), revision=revision)
    write_label_json(tmp_path / "l" / "labels" / "x" / "final.0001.json", label_of())
    write_label_json(tmp_path / "l" / "labels" / "x" / "final.0002.json", label)
    write_xa(tmp_path / "s" / "run.dcm", np.full((5, 512, 512), 90, np.uint8), header=XAHeader(sop_uid=UID))
    options = ["--studies", str(tmp_path / "s"), "--html", str(tmp_path / "p.html"), "--overlays", str(tmp_path / "o")]
    assert main(["labels", "check", str(tmp_path / "l"), *options]) == 0
    out, err = capsys.readouterr()
    assert "final.0002.json frame 1, version 2 by Ann: AA1 lies" in out
    assert err == ""
    assert (tmp_path / "p.html").read_text().count("<img") == 2
    names = sorted(p.name for p in (tmp_path / "o").iterdir())
    assert names == ["suspicious_00_run_frame001.png", "suspicious_01_run_frame003.png"]
    with Image.open(tmp_path / "o" / names[0]) as picture:
        assert picture.size == (512, 512)
    assert main(["labels", "check", str(tmp_path / "l"), "--html", str(tmp_path / "p.html")]) == 0
    assert "2 frames have no picture" in capsys.readouterr().err


def test_the_model_is_asked_where_its_answers_are_there(folder, tmp_path, capsys):
    good = label_of()
    slipped = replace(good, frames=tuple(replace(k, score=np.ones(11)) for k in good.frames))
    write_label_json(tmp_path / "predicted" / "wrong.json", slipped)
    assert main(["labels", "check", str(folder), "--predictions", str(tmp_path / "predicted")]) == 0
    out, err = capsys.readouterr()
    assert "PT lies 20 px from where the model is sure to see it" in out
    assert "1 of 2 labels have no predictions there" in err


def test_what_cannot_be_read_does_not_stop_the_others(folder, capsys):
    (folder / "torn.json").write_text('{"schema": "monai-tavr/keypoints/1"}')
    (folder / "scores.json").write_text("{}")
    assert main(["labels", "check", str(folder)]) == 1
    out, err = capsys.readouterr()
    assert "2 findings on 2 of 10" in out
    assert f"1 failed:\n  {folder}/torn.json: 'frames' is missing" in err
    assert "1 JSON files there hold no labels" in err
    assert main(["labels", "check", str(folder / "nowhere")]) == 2
    assert main(["labels", "check", str(folder), "--ignore", "bordr"]) == 2
    assert "--ignore bordr: rules are outside," in capsys.readouterr().err


def write_data(folder, patients):
    items = []
    rng = np.random.default_rng(0)
    for n in range(patients):
        label = label_of(frames=12)
        grown = tuple(replace(k, xy=256 + (k.xy - 256) * (0.8 + 0.04 * n) + rng.normal(0, 0.5, 2)) for k in label.frames)
        write_label_json(folder / f"{n}.json", replace(label, frames=grown))
        items.append({"image": f"{n}.dcm", "label": f"{n}.json", "patient": f"P{n}"})
    (folder / "datalist.json").write_text(json.dumps({"training": items[1:], "test": items[:1]}))


def test_what_is_usual_is_fitted_and_measured(tmp_path, capsys):
    write_data(tmp_path, 6)  # the first is for the test
    out = str(tmp_path / "usual.json")
    assert main(["labels", "fit", "--data", str(tmp_path), "--out", out]) == 0
    usual = read_statistics(out)
    assert usual.fitted_on == f"60 frames of {tmp_path.name}, split train"
    assert [s.points[0] for s in usual.sets] == ["AA1", "CP", "PT"]
    assert usual.sets[0].between[0].together == 4.3  # what clicks explain is never reported
    # CP to CT is as steep as in the example: 131 to the right, 171 down
    assert usual.chains[0].direction == pytest.approx(np.degrees(np.arctan2(171, 131)), abs=0.1)
    report = str(tmp_path / "r.json")
    assert main(["labels", "measure", "--data", str(tmp_path), "--statistics", out, "--json", report]) == 0
    assert "clean frames reported: 0 of 12, 0.00%" in capsys.readouterr().out
    content = json.loads((tmp_path / "r.json").read_text())
    assert {kind: e["found_share"] for kind, e in content["errors"].items()} == dict.fromkeys(content["errors"], 1.0)


def test_too_few_patients_are_refused(tmp_path, capsys):
    write_data(tmp_path, 5)
    assert main(["labels", "fit", "--data", str(tmp_path), "--out", str(tmp_path / "usual.json")]) == 2
    assert "labels of 4 patients are too few to fit on; give those of at least 5" in capsys.readouterr().err
