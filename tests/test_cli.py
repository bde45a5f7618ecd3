"""The command line, end to end on a bundle whose answer is known: files, exit codes, and messages without tracebacks."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_bundle import FeaturedNet, bright_square, write_bundle, write_typicality

import label_app.server
from monai_tavr import __version__
from monai_tavr.cli import main
from monai_tavr.commands.options import parse_frames
from monai_tavr.commands.predict import name_outputs
from monai_tavr.dicom import open_cine
from monai_tavr.dicom.writer import XAHeader, write_xa
from monai_tavr.formats import FORMATS
from monai_tavr.formats.label_json import read_label_json, write_label_json
from monai_tavr.keypoints import TAVR11, Keypoints
from monai_tavr.label import CineLabel, ImageInfo
from monai_tavr.phantom.presets import PRESETS
from monai_tavr.postprocess import read_thresholds
from monai_tavr.predictor import KeypointPredictor

PLACES = [(47.5, 31.5), (79.5, 63.5), (63.5, 95.5)]
FRAMES = np.stack([bright_square((128, 128), x, y) for x, y in PLACES])


def cine(path: Path, frames: np.ndarray = FRAMES, uid: str | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    header = XAHeader(frame_time_ms=100.0) if uid is None else XAHeader(frame_time_ms=100.0, sop_uid=uid)
    write_xa(path, frames, header=header)
    return path


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return write_bundle(tmp_path_factory.mktemp("bundle") / "b", present={"PT": 0.3, "FE1": 0.3, "FE2": 0.3})


@pytest.fixture
def call(bundle, capsys):
    def run(*arguments, with_bundle=True):
        model = ["--bundle", str(bundle), "--device", "cpu"] if with_bundle else []
        code = main([*map(str, arguments), *model])
        return code, *capsys.readouterr()

    return run


# ---- predict


def test_the_points_of_a_file_go_to_its_name(call, tmp_path):
    cine(tmp_path / "a" / "b.dcm")
    code, out, err = call("predict", tmp_path / "a" / "b.dcm", "--out", tmp_path / "out")
    assert (code, err) == (0, "")
    assert f"{tmp_path}/a/b.dcm -> {tmp_path}/out/b.json  (3 frames)" in out
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["b.json"]
    label = read_label_json(tmp_path / "out" / "b.json")
    assert [k.frame for k in label.frames] == [0, 1, 2]
    for k, place in zip(label.frames, PLACES, strict=True):
        assert k.xy[:8] == pytest.approx(np.tile(place, (8, 1)), abs=0.02)
        assert k.visible.tolist() == [True] * 8 + [False] * 3
        assert k.labelled.all()


def test_a_window_that_shows_nothing_is_said(call, tmp_path):
    write_xa(tmp_path / "a.dcm", FRAMES[:1], header=XAHeader(window=(2000, 200)))
    code, _, err = call("predict", tmp_path / "a.dcm", "--out", tmp_path / "out")
    assert code == 0
    assert f"{tmp_path}/a.dcm: the window 2000 / 200 shows one grey level only" in err


def test_folders_series_and_pictures(call, tmp_path):
    cine(tmp_path / "in" / "deep" / "run.dcm")
    for n in range(3):
        header = XAHeader(series_uid="1.2.3", instance_number=n + 1, sop_uid=f"1.2.3.{n + 1}")
        (tmp_path / "in" / "series").mkdir(exist_ok=True)
        write_xa(tmp_path / "in" / "series" / f"{n}.dcm", FRAMES[n : n + 1], header=header)
    Image.fromarray(FRAMES[1]).save(tmp_path / "in" / "photo.png")
    (tmp_path / "in" / "notes.txt").write_text("nothing")
    code, out, _ = call("predict", tmp_path / "in", "--out", tmp_path / "out")
    assert code == 0
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["photo.json", "run.json", "series.json"]
    series = read_label_json(tmp_path / "out" / "series.json")
    assert [k.xy[0, 1] for k in series.frames] == pytest.approx([31.5, 63.5, 95.5], abs=0.02)
    assert "7 frames of 3 inputs" in out


@pytest.mark.parametrize("name", [f.name for f in FORMATS.values() if f.writer])
def test_points_are_written_in_any_format(name, call, tmp_path):
    form, source = FORMATS[name], cine(tmp_path / "b.dcm")
    code, _, err = call("predict", source, "--out", tmp_path / "out", "--format", name)
    assert code == 0
    assert ("who placed a point" in err) == ("edits" in form.loses)
    [written] = (tmp_path / "out").iterdir()
    assert written.name == "b" + (form.extensions or ("",))[0]
    told = {"image": open_cine(source).info} if "image" in form.options else {}
    [label] = form.read(written, **told)
    for k, place in zip(label.frames, PLACES, strict=True):
        assert k.xy[:8] == pytest.approx(np.tile(place, (8, 1)), abs=0.02)


def test_one_bad_file_does_not_stop_the_rest(call, tmp_path):
    good = cine(tmp_path / "good.dcm")
    (tmp_path / "bad.dcm").write_bytes(b"no DICOM at all")
    code, out, err = call("predict", tmp_path / "bad.dcm", tmp_path / "gone.dcm", good, "--out", tmp_path / "out")
    assert code == 1
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["good.json"]
    assert err.startswith("2 failed:\n")
    assert f"{tmp_path}/gone.dcm: no such file or folder" in err
    assert f"{tmp_path}/bad.dcm: " in err
    assert "Traceback" not in err
    assert "3 frames of 2 inputs" in out


def test_an_empty_folder_is_a_failure(call, tmp_path):
    (tmp_path / "empty").mkdir()
    code, _, err = call("predict", tmp_path / "empty", "--out", tmp_path / "out")
    assert code == 1
    assert "no cine in this folder" in err


def test_two_inputs_of_one_name_do_not_overwrite_each_other(call, tmp_path):
    a, c = cine(tmp_path / "a" / "b.dcm"), cine(tmp_path / "c" / "b.dcm", FRAMES[:1])
    code, out, _ = call("predict", a, c, a, "--out", tmp_path / "out")
    assert code == 0
    assert len(read_label_json(tmp_path / "out" / "b.json").frames) == 3
    assert len(read_label_json(tmp_path / "out" / "c_b.json").frames) == 1
    assert f"c/b.dcm -> {tmp_path}/out/c_b.json" in out
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["b.json", "c_b.json"]


def test_names_are_found_by_parents_and_ignore_case():
    sources = [Path(p) for p in ("/x/a/b.dcm", "/y/a/B.dcm", "/x/a/b.png", "/x/a.b.nii.gz", "/x/1.2.840.7", "/x/c", "/z/c")]
    names = [job.name for job in name_outputs(sources)]
    assert names == ["b", "a_B", "x_a_b", "a.b", "1.2.840.7", "c", "z_c"]
    assert [j.name for j in name_outputs([Path("/b.dcm"), Path("/b.png"), Path("/b.jpg")])] == ["b", "b_2", "b_3"]


def test_a_rerun_replaces_whole_files_and_gives_the_same_bytes(call, tmp_path):
    source = cine(tmp_path / "b.dcm")
    target = tmp_path / "out" / "b.json"
    target.parent.mkdir()
    target.write_text("x" * 100000)
    call("predict", source, "--out", tmp_path / "out")
    first = target.read_bytes()
    call("predict", source, "--out", tmp_path / "out")
    assert target.read_bytes() == first
    assert [p.name for p in target.parent.iterdir()] == ["b.json"]


def test_frames_and_groups_are_chosen(call, tmp_path):
    source = cine(tmp_path / "b.dcm")
    code, *_ = call("predict", source, "--out", tmp_path, "--frames", "0,2", "--allowed-groups", "anatomical")
    assert code == 0
    label = read_label_json(tmp_path / "b.json")
    assert [k.frame for k in label.frames] == [0, 2]
    assert label.frames[0].visible.tolist() == [True] * 4 + [False] * 7
    code, _, err = call("predict", source, "--out", tmp_path, "--frames", "1-9")
    assert code == 1
    assert "no frame 3: the source has frames 0 to 2" in err
    code, _, err = call("predict", source, "--out", tmp_path, "--allowed-groups", "valve")
    assert code == 2
    assert "unknown group 'valve'; groups of TAVR11 are ['anatomical', 'instrumental', 'contour']" in err


def test_a_stage_rules_groups_out(call, tmp_path, capsys):
    source = cine(tmp_path / "b.dcm")
    assert call("predict", source, "--out", tmp_path, "--frames", "0", "--stage", "survey")[0] == 0
    assert read_label_json(tmp_path / "b.json").frames[0].visible.tolist() == [True] * 4 + [False] * 7
    code, _, err = call("predict", source, "--out", tmp_path, "--stage", "lunch")
    assert code == 2
    assert "no stage 'lunch'; stages of TAVR11 are ['any', 'survey', 'crossing', 'deployment', 'follow-up']" in err
    with pytest.raises(SystemExit):
        call("predict", source, "--out", tmp_path, "--stage", "survey", "--allowed-groups", "contour")
    assert "not allowed with argument --stage" in capsys.readouterr().err


def test_overlays_of_a_cine(call, tmp_path):
    source = cine(tmp_path / "b.dcm")
    code, *_ = call("predict", source, "--out", tmp_path, "--overlay", "png", "--overlay", "gif", "--overlay", "mp4")
    assert code == 0
    with Image.open(tmp_path / "b.gif") as gif:
        assert (gif.n_frames, gif.info["duration"], gif.size) == (3, 100, (128, 128))
    with Image.open(tmp_path / "b.png") as sheet:
        assert sheet.size == (128 * 2 + 4, 128 * 2 + 4)
    assert (tmp_path / "b.mp4").stat().st_size > 500


def test_the_overlay_of_one_frame_is_enlarged(call, tmp_path):
    source = cine(tmp_path / "b.dcm")
    call("predict", source, "--out", tmp_path, "--overlay", "png", "--frames", "1")
    with Image.open(tmp_path / "b.png") as picture:
        assert picture.size == (1024, 1024)


def test_quiet_prints_failures_only(call, tmp_path):
    code, out, err = call("predict", cine(tmp_path / "b.dcm"), tmp_path / "gone", "--out", tmp_path, "--quiet")
    assert (code, out) == (1, "")
    assert err.splitlines()[0] == "1 failed:"


@pytest.mark.parametrize(("text", "frames"), [("0", [0]), ("0-3,7", [0, 1, 2, 3, 7]), ("5, 1-2,2", [1, 2, 5])])
def test_frame_lists(text, frames):
    assert parse_frames(text) == frames


@pytest.mark.parametrize("text", ["", "a", "3-1", "-1", "1-", "1,,2", "1.5"])
def test_bad_frame_lists_are_usage_errors(text, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["predict", "x.dcm", "--out", "out", f"--frames={text}"])
    assert stop.value.code == 2
    assert "write for example 0-10,20" in capsys.readouterr().err


# ---- evaluate and thresholds


@pytest.fixture
def data(tmp_path):
    """Two patients who test and one who validates; the catheter is labelled 3 px right and 4 px below where it is found."""
    datalist: dict[str, list[dict[str, str]]] = {"validation": [], "test": []}
    for n, (patient, split) in enumerate([("P0", "test"), ("P1", "test"), ("P2", "validation")]):
        folder = tmp_path / "data" / patient
        cine(folder / "C00.dcm", uid=f"1.2.{n + 1}")
        points = [
            {name: (x + 3, y + 4) if TAVR11.group_of(name) == "instrumental" else None for name in TAVR11.names}
            for x, y in PLACES
        ]
        frames = tuple(Keypoints.from_points(TAVR11, p, frame=f) for f, p in enumerate(points))
        image = ImageInfo(rows=128, columns=128, number_of_frames=3, sop_instance_uid=f"1.2.{n + 1}")
        write_label_json(folder / "C00.json", CineLabel(image=image, frames=frames))
        datalist[split].append({"image": f"{patient}/C00.dcm", "label": f"{patient}/C00.json", "patient": patient})
    (tmp_path / "data" / "datalist.json").write_text(json.dumps(datalist))
    return tmp_path / "data"


def test_evaluate_writes_the_figures(call, data, tmp_path):
    scores = tmp_path / "deep" / "scores.json"
    code, out, _ = call("evaluate", "--data", data, "--split", "test", "--json", scores, "--csv", tmp_path / "scores.csv")
    assert code == 0
    report = json.loads(scores.read_text())
    # 8 points reported, 4 of them there, 5 px off
    assert (report["precision"], report["recall"], report["localisation_accuracy_20px"]) == (0.5, 1.0, 1.0)
    for name in ("mean_error_px", "median_error_px", "p95_error_px"):
        assert report[name] == pytest.approx(5, abs=0.03)
    assert (report["sdr_px"]["2.5"], report["sdr_px"]["10"]) == (0.0, 1.0)
    assert report["group_accuracy"] == pytest.approx(2 / 3)
    assert (report["n_frames"], report["n_patients"], report["split"]) == (6, 2, "test")
    assert set(report["per_patient"]) == {"P0", "P1"}
    assert report["per_group"]["anatomical"]["precision"] == 0.0
    assert len(report["weights_sha256"]) == 64
    assert (tmp_path / "scores.csv").read_text().startswith("level,name,precision")
    assert "6 frames of 2 patients" in out
    assert "frames per second" in out


def test_evaluate_judges_stored_predictions(call, data, tmp_path):
    paths = [data / f"P{n}" / "C00.dcm" for n in range(3)]
    call("predict", *paths, "--out", tmp_path / "found")
    assert sorted(p.name for p in (tmp_path / "found").iterdir()) == ["C00.json", "P1_C00.json", "P2_C00.json"]
    call("evaluate", "--data", data, "--split", "all", "--json", tmp_path / "model.json")
    code, out, _ = call(
        "evaluate", "--data", data, "--split", "all", "--json", tmp_path / "stored.json", "--predictions", tmp_path / "found"
    )
    assert code == 0
    model, stored = (json.loads((tmp_path / f"{n}.json").read_text()) for n in ("model", "stored"))
    assert stored["f1"] == model["f1"]
    assert stored["mean_error_px"] == pytest.approx(model["mean_error_px"], abs=1e-3)
    assert "frames per second" not in out


def test_evaluate_draws_the_worst_frames_and_the_errors(call, data, tmp_path):
    worst = tmp_path / "worst"
    worst.mkdir()
    (worst / "worst_99_old.png").write_text("of an earlier run")
    code, *_ = call(
        "evaluate", "--data", data, "--json", tmp_path / "s.json", "--overlays", worst, "--worst", 2, "--plot", tmp_path / "p.png"
    )
    assert code == 0
    assert [p.name[:8] for p in sorted(worst.iterdir())] == ["worst_00", "worst_01"]
    with Image.open(sorted(worst.iterdir())[0]) as picture:
        assert picture.size == (256, 256)
    assert (tmp_path / "p.png").is_file()


def test_the_group_rule_can_be_left_out(tmp_path, data, capsys):
    # the group output denies the contour group, the points do not
    root = write_bundle(tmp_path / "b", groups={"contour": 0.1})
    scores = {}
    for option in ([], ["--no-group-rule"]):
        path = tmp_path / "s.json"
        arguments = ["evaluate", "--data", str(data), "--json", str(path), "--bundle", str(root), "--device", "cpu", *option]
        assert main(arguments) == 0
        scores[len(option)] = json.loads(path.read_text())["precision"]
    assert scores == {0: pytest.approx(4 / 8), 1: pytest.approx(4 / 11)}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "nowhere"], "nowhere: no such datalist"),
        (["--split", "train"], "no split 'train'"),
    ],
)
def test_evaluate_says_what_is_missing(call, data, tmp_path, arguments, message):
    given = ["--data", data, "--json", tmp_path / "s.json", *arguments]
    code, _, err = call("evaluate", *given)
    assert code == 2
    assert message in err
    assert not (tmp_path / "s.json").exists()


def test_thresholds_are_chosen_on_validation(tmp_path, data, capsys):
    root = write_bundle(tmp_path / "b", present={"CP": 0.4, "AA1": 0.8})
    target = root / "models" / "thresholds.json"
    code = main(["thresholds", "--data", str(data), "--out", str(target), "--bundle", str(root), "--device", "cpu"])
    assert code == 0
    chosen = read_thresholds(target)
    # in these data every point is always, or never, there: nothing to learn from
    assert set(chosen.points.values()) == {0.5}
    assert set(chosen.groups) == {"anatomical", "instrumental", "contour"}
    assert chosen.spread_floor == pytest.approx(0.1)  # what the network always says
    assert chosen.selected_on.startswith("split val of data: 3 frames of 1 patients; F1; weights ")
    assert "CP" in capsys.readouterr().out


@pytest.fixture
def negatives(tmp_path):
    """Three pictures on which the networks here find their points as on any other."""
    folder = tmp_path / "coronaries"
    folder.mkdir()
    for n, picture in enumerate(FRAMES):
        Image.fromarray(picture).save(folder / f"{n}.png")
    return folder


def test_thresholds_keep_the_negatives_quiet(tmp_path, data, negatives, capsys):
    root = write_bundle(tmp_path / "b")  # says of every point of every frame that it is there
    target = root / "models" / "thresholds.json"
    given = ["thresholds", "--data", str(data), "--out", str(target), "--bundle", str(root), "--device", "cpu"]
    assert main([*given, "--negatives", str(negatives)]) == 0
    out = capsys.readouterr().out
    assert "false alarms on 0 of 3 negatives: 0.00% (95 % interval 0.00% to 56.15%)" in out
    assert "calibration error of instrumental: " in out
    chosen = read_thresholds(target)
    assert set(chosen.group_calibration) == {"instrumental"}  # there on the labelled frames, and not on the negatives
    assert "; 3 frames without instrumental and contour of coronaries, of which at most 0.01 give a false alarm; F1" in (
        chosen.selected_on
    )
    assert main([*given, "--negatives", str(negatives), "--absent", "wire"]) == 2
    assert "no group 'wire'" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([*given, "--max-false-alarms", "1.5"])
    assert "'1.5' is no number from 0 to 1" in capsys.readouterr().err


def test_evaluate_counts_false_alarms(call, negatives, tmp_path, capsys):
    worst = tmp_path / "worst"
    given = ["--negatives", negatives, "--json", tmp_path / "s.json", "--overlays", worst, "--worst", 2]
    code, out, _ = call("evaluate", *given)
    assert code == 0
    report = json.loads((tmp_path / "s.json").read_text())
    assert "f1" not in report
    # the catheter is found on every frame, the contour's points lie below 0.5
    assert {name: part["share"] for name, part in report["negatives"]["per_group"].items()} == {"instrumental": 1, "contour": 0}
    assert report["negatives"]["any_group"]["frames"] == 3
    assert len(report["weights_sha256"]) == 64
    assert len(list((worst / "negatives").glob("worst_0*.png"))) == 2
    assert "3 frames without a device" in out
    code, _, err = call("evaluate", "--json", tmp_path / "s.json")
    assert (code, "give --data, or --negatives" in err) == (2, True)
    code, _, err = call("evaluate", *given, "--predictions", tmp_path)
    assert (code, "--negatives judges the model" in err or "nothing to evaluate" in err) == (2, True)


def test_frames_of_another_kind_are_counted(tmp_path, data, negatives, capsys):
    root = write_bundle(tmp_path / "b", network=FeaturedNet)
    write_typicality(root)
    model = ["--bundle", str(root), "--device", "cpu"]
    assert main(["predict", str(data / "P0"), "--out", str(tmp_path / "out"), "--overlay", "png", *model]) == 0
    # of centroids at 47.5, 79.5 and 63.5 of 128 one lies right of the middle
    assert "(3 frames, 1 of them perhaps not of a TAVR)" in capsys.readouterr().out
    given = ["--data", str(data), "--negatives", str(negatives), "--json", str(tmp_path / "s.json")]
    assert main(["evaluate", *given, *model]) == 0
    report = json.loads((tmp_path / "s.json").read_text())
    assert (report["flagged"]["frames"], report["n_frames"]) == (2, 6)
    assert [report["negatives"][name]["frames"] for name in ("any_group", "flagged", "harmless")] == [3, 1, 1]
    assert "flagged as not typical: 2 frames, 33.33%" in capsys.readouterr().out


def test_what_is_typical_is_fitted_and_used(tmp_path, data, capsys):
    """Labelled frames are squares; the network's features are where they lie, and grey levels tell noise from squares."""
    root = write_bundle(tmp_path / "b", network=FeaturedNet)
    folder = tmp_path / "coronaries"
    folder.mkdir()
    for n in range(6):
        Image.fromarray(bright_square((128, 128), 31.5 + 8 * n, 47.5, half=20)).save(folder / f"{n}.png")
    given = ["typical", "--data", str(data), "--negatives", str(folder), "--bundle", str(root), "--device", "cpu"]
    assert main([*given, "--each", "2"]) == 0
    out = capsys.readouterr().out
    assert "noise                   2 of    2 marked" in out
    assert "data                    0 of    3 marked" in out
    assert "typical.npz: " in out
    predictor = KeypointPredictor(root, device="cpu")
    noise = np.random.default_rng(9).normal(size=(1, 128, 128)).astype(np.float32)
    found = [next(iter(predictor.stream(frames))).typical for frames in (FRAMES[:1], noise)]
    assert found == [True, False]
    assert predictor.typicality.fitted_on == "9 frames of data, 4 of coronaries, 2 of a kind"
    assert main([*given, "--frames", "5"]) == 2
    assert "--frames 5 and --each 24 are too few" in capsys.readouterr().err


@pytest.mark.parametrize("beta", ["0", "-1", "nan", "inf", "two"])
def test_beta_is_a_number_above_0(beta, tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["thresholds", "--data", "data", "--out", str(tmp_path / "t.json"), f"--beta={beta}"])
    assert stop.value.code == 2
    assert f"'{beta}' is no number above 0" in capsys.readouterr().err


# ---- info, serve, phantom, and the frame around them


def test_info_names_model_and_packages(call, bundle, capsys):
    code, out, _ = call("info", "--json", "--bundle", bundle, with_bundle=False)
    assert code == 0
    report = json.loads(out)
    assert report["version"] == __version__
    assert report["bundle"]["version"] == "9.8.7"
    assert report["bundle"]["points"] == list(TAVR11.names)
    assert len(report["bundle"]["weights_sha256"]) == 64
    assert report["bundle"]["typical_fitted_on"] is None
    assert report["packages"]["torch"]
    assert report["devices"][0].startswith("cpu")
    assert "schema: TAVR11" in call("info", "--bundle", bundle, with_bundle=False)[1]


def test_info_reports_faults_instead_of_failing(call, tmp_path):
    code, out, _ = call("info", "--bundle", tmp_path, with_bundle=False)
    assert code == 0
    assert "error: " in out
    root = write_bundle(tmp_path / "b", thresholds={"AA1": 0.25})
    (root / "models" / "model.pt").unlink()
    report = json.loads(call("info", "--json", "--bundle", root, with_bundle=False)[1])
    assert report["bundle"]["weights"] is None
    assert report["bundle"]["thresholds"]["AA1"] == 0.25
    assert report["bundle"]["thresholds_selected_on"] == "nothing"


def test_serve_hands_over_to_the_label_app(monkeypatch, bundle, tmp_path, capsys):
    calls = []
    monkeypatch.setattr(label_app.server, "serve", lambda **options: calls.append(options))
    assert main(["serve", "--studies", str(tmp_path), "--port", "8123", "--bundle", str(bundle), "--device", "cpu"]) == 0
    [options] = calls
    assert (options["studies"], options["access"].host, options["port"]) == (str(tmp_path), "127.0.0.1", 8123)
    assert options["load_predictor"]().version == "9.8.7"


def test_phantom_says_which_data_sets_there_are(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["phantom", "--help"])
    assert stop.value.code == 0
    out = capsys.readouterr().out
    for word in ("--preset", "--patients", "--seed", "--out", "--syntax", "--bits", "datalist.json"):
        assert word in out
    assert all(f"  {name:10s}{preset.description}" in out for name, preset in PRESETS.items())


@pytest.mark.parametrize(
    "command",
    [
        "predict",
        "evaluate",
        "thresholds",
        "adapt",
        "active-learning",
        "benchmark",
        "convert",
        "phantom",
        "serve",
        "token",
        "info",
    ],
)
def test_help_shows_how(command, capsys):
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    assert stop.value.code == 0
    out = capsys.readouterr().out
    assert "--debug" in out
    assert command == "info" or f"  monai-tavr {command} " in out


def test_help_lists_every_command(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    assert stop.value.code == 0
    out = capsys.readouterr().out
    for command in ("predict", "evaluate", "thresholds", "phantom", "serve", "info"):
        assert f"\n  {command} " in out


@pytest.mark.parametrize(
    "arguments", [[], ["paint"], ["predict"], ["predict", "x.dcm"], ["evaluate", "--data", "x", "--split", "all"]]
)
def test_usage_errors_exit_with_2(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    assert "usage: monai-tavr" in capsys.readouterr().err


def test_version(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out == f"monai-tavr {__version__}\n"


def test_errors_are_words_unless_debugging(tmp_path, capsys):
    arguments = ["predict", str(cine(tmp_path / "b.dcm")), "--out", str(tmp_path), "--bundle", str(tmp_path)]
    assert main(arguments) == 2
    err = capsys.readouterr().err
    assert err.startswith("monai-tavr predict: error: ")
    assert len(err.splitlines()) == 1
    with pytest.raises(FileNotFoundError):
        main([*arguments, "--debug"])


def test_a_fault_of_ours_asks_for_a_report(monkeypatch, tmp_path, capsys):
    def broken(args):
        raise KeyError("x")

    monkeypatch.setattr("monai_tavr.commands.info.run", broken)
    assert main(["info"]) == 2
    assert "KeyError: 'x' (run it again with --debug and report this)" in capsys.readouterr().err


def test_an_interrupt_is_no_traceback(monkeypatch, capsys):
    def interrupted(args):
        raise KeyboardInterrupt

    monkeypatch.setattr("monai_tavr.commands.info.run", interrupted)
    assert main(["info"]) == 130
    assert capsys.readouterr().err == "interrupted\n"
