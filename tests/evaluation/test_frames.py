"""From a datalist to frames with truth and prediction, and the reports and plots made of them."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from monai_tavr.evaluation.frames import LabelledCine, StoredPredictions, evaluate_cines, frame_error, group_by_cine
from monai_tavr.evaluation.metrics import evaluate_keypoints
from monai_tavr.evaluation.plots import write_error_plot
from monai_tavr.evaluation.report import figures_table, write_metrics_csv
from monai_tavr.formats.label_json import write_label_json
from monai_tavr.keypoints import TAVR11, Keypoints
from monai_tavr.label import CineLabel, ImageInfo

IMAGE = ImageInfo(rows=100, columns=100, number_of_frames=4, sop_instance_uid="1.2.3")


def points(frame=0, **given):
    return Keypoints.from_points(TAVR11, given, frame=frame)


def write(path, *frames, image=IMAGE):
    write_label_json(path, CineLabel(image=image, frames=frames))
    return str(path)


def test_frame_error_adds_distance_and_misses():
    truth = points(AA1=(10, 10), AA2=(20, 20), STJ1=None, STJ2=(5, 5), CP=None)
    prediction = points(AA1=(13, 14), AA2=None, STJ1=(1, 1), STJ2=(99, 99), CP=None, CT=(7, 7))
    # 5 px, a miss, an invention, a distance that counts as 50 at most, a right absence; CT is unlabelled
    assert frame_error(prediction, truth) == pytest.approx((5 + 50 + 50 + 50 + 0) / 5)
    assert frame_error(prediction, points()) == 0.0


def test_items_are_grouped_by_file(tmp_path):
    a = write(tmp_path / "a.json", points(1, AA1=None), points(3, AA1=(1, 1)))
    b = write(tmp_path / "b.json", points(0, AA1=None))
    items = [
        {"image": "a.dcm", "label": a, "frame": 3, "patient": "P0"},
        {"image": "b.dcm", "label": b},
        {"image": "a.dcm", "label": a, "frame": 1, "patient": "P0"},
    ]
    first, second = group_by_cine(items)
    assert (first.image, first.patient, first.frames) == (Path("a.dcm"), "P0", (1, 3))
    assert (second.image, second.patient, second.frames) == (Path("b.dcm"), "b.dcm", (0,))


def test_labels_are_needed_for_every_frame(tmp_path):
    a = write(tmp_path / "a.json", points(1, AA1=None))
    with pytest.raises(ValueError, match=r"a\.dcm: the datalist names no label"):
        group_by_cine([{"image": "a.dcm"}])
    with pytest.raises(ValueError, match=r"a\.json: no label for frame 2"):
        group_by_cine([{"image": "a.dcm", "label": a, "frame": 2}])


def test_stored_predictions_are_found_by_uid_then_by_name(tmp_path):
    write(tmp_path / "any.json", points(0, AA1=(1, 1)), points(1, AA1=(2, 2)))
    no_uid = ImageInfo(rows=100, columns=100)
    write(tmp_path / "deep" / "photo.json", points(0, AA1=(9, 9)), image=no_uid)
    stored = StoredPredictions(tmp_path)
    by_uid = LabelledCine(Path("x/run.dcm"), "P0", CineLabel(IMAGE, (points(1, AA1=None),)), (1,))
    [found] = stored(by_uid)
    assert (found.frame, found.xy[0].tolist()) == (1, [2, 2])
    by_name = LabelledCine(Path("y/photo.jpg"), "P0", CineLabel(no_uid, (points(0, AA1=None),)), (0,))
    [found] = stored(by_name)
    assert found.xy[0].tolist() == [9, 9]
    unknown = replace(by_name, image=Path("z/other.jpg"))
    with pytest.raises(ValueError, match=r"0 predictions for z/other\.jpg; .* by the name other\.json"):
        list(stored(unknown))
    with pytest.raises(ValueError, match=r"no prediction for frame 3 of x/run\.dcm"):
        list(stored(replace(by_uid, frames=(3,))))


def test_a_prediction_of_another_image_is_not_taken_for_its_name(tmp_path):
    write(tmp_path / "run.json", points(1, AA1=(9, 9)))
    other = LabelledCine(
        Path("y/run.dcm"), "P0", CineLabel(replace(IMAGE, sop_instance_uid="1.2.4"), (points(1, AA1=None),)), (1,)
    )
    with pytest.raises(ValueError, match=r"0 predictions for y.run.dcm"):
        list(StoredPredictions(tmp_path)(other))


def test_two_predictions_of_one_name_are_not_guessed_between(tmp_path):
    no_uid = ImageInfo(rows=100, columns=100)
    for folder in ("a", "b"):
        write(tmp_path / folder / "photo.json", points(0, AA1=(9, 9)), image=no_uid)
    cine = LabelledCine(Path("photo.jpg"), "P0", CineLabel(no_uid, (points(0, AA1=None),)), (0,))
    with pytest.raises(ValueError, match=r"2 predictions, a/photo\.json, b/photo\.json for photo\.jpg"):
        list(StoredPredictions(tmp_path)(cine))


def test_two_predictions_of_one_uid_are_not_guessed_between(tmp_path):
    for name, place in (("first", (1, 1)), ("second", (9, 9))):
        write(tmp_path / f"{name}.json", points(0, AA1=place))
    cine = LabelledCine(Path("first.dcm"), "P0", CineLabel(IMAGE, (points(0, AA1=None),)), (0,))
    with pytest.raises(ValueError, match=r"2 predictions, first\.json, second\.json for first\.dcm; expected one"):
        list(StoredPredictions(tmp_path)(cine))


def test_a_folder_without_predictions_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="no predictions"):
        StoredPredictions(tmp_path)


def test_truth_and_prediction_meet_frame_by_frame(tmp_path):
    label = CineLabel(IMAGE, (points(1, AA1=None), points(3, AA1=(1, 1))))
    cine = LabelledCine(Path("run.dcm"), "P0", label, (1, 3))
    done = []
    frames = evaluate_cines([cine], lambda c: [points(f, AA1=(f, f)) for f in c.frames], progress=done.append)
    assert [(f.truth.frame, f.prediction.frame, f.patient) for f in frames] == [(1, 1, "P0"), (3, 3, "P0")]
    assert frames[1].truth.visible[0]
    assert done == [2]


@pytest.fixture(scope="module")
def pairs():
    rng = np.random.default_rng(1)
    xy = rng.uniform(100, 400, (12, 11, 2))
    xy[:4, 8:] = np.nan
    truths = [Keypoints(schema=TAVR11, xy=x, spacing=(0.3, 0.3)) for x in xy]
    score = np.where(np.isnan(xy[..., 0]), 0.2, 0.9)
    predictions = [Keypoints(schema=TAVR11, xy=x + 3, score=s) for x, s in zip(xy, score, strict=True)]
    return predictions, truths


def test_the_table_shows_all_groups_and_points(pairs):
    report = evaluate_keypoints(*pairs, patients=[f"P{i // 3}" for i in range(12)], bootstrap=50)
    table = figures_table(report)
    lines = {line.split()[0]: line.split() for line in table.splitlines() if line.strip()}
    assert lines["anatomical"][1:4] == ["1.000", "1.000", "1.000"]
    assert lines["FE1"][5] == "4.24"  # 3 px in x and in y
    assert {"instrumental", "contour", *TAVR11.names} <= set(lines)
    assert "12 frames of 4 patients" in table
    assert "95 % interval over patients, f1: 1.000 to 1.000" in table
    assert "mean over images (the paper's): precision 1.000" in table


def test_what_cannot_be_judged_is_a_dash():
    table = figures_table(evaluate_keypoints([points(AA1=None)], [points(AA1=None)]))
    assert table.splitlines()[1].split()[2:4] == ["-", "-"]


def test_the_csv_has_a_row_per_point_group_and_patient(pairs, tmp_path):
    report = evaluate_keypoints(*pairs, patients=[f"P{i // 3}" for i in range(12)], bootstrap=0)
    write_metrics_csv(tmp_path / "deep" / "scores.csv", report)
    with (tmp_path / "deep" / "scores.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 1 + 3 + 11 + 4
    assert float(rows[0]["mean_error_px"]) == pytest.approx(18**0.5, rel=1e-5)
    by_name = {(r["level"], r["name"]): r for r in rows}
    assert by_name["point", "FE1"]["n_visible"] == "8"
    assert by_name["point", "FE1"]["group_accuracy"] == ""
    assert by_name["patient", "P0"]["sdr_5px"] == "1.0"
    assert by_name["group", "contour"]["n_patients"] == ""


def test_the_plot_is_a_picture(pairs, tmp_path):
    write_error_plot(tmp_path / "deep" / "plot.png", *pairs)
    with Image.open(tmp_path / "deep" / "plot.png") as image:
        assert image.size == (1650, 506)
    nothing = [points(AA1=None)]
    write_error_plot(tmp_path / "empty.png", nothing, nothing)
    assert (tmp_path / "empty.png").stat().st_size > 1000
    with pytest.raises(ValueError, match="at least one, got 0 and 0"):
        write_error_plot(tmp_path / "no.png", [], [])
