import argparse
import json
import re
import shutil
import subprocess

import nibabel
import numpy as np
import pydicom
import pytest
from grown_schema import GUIDEWIRE, write_grown_schema

from monai_tavr.commands.phantom import add_arguments, run
from monai_tavr.dicom import find_cines
from monai_tavr.dicom.writer import SYNTAXES
from monai_tavr.formats.label_json import read_label_json
from monai_tavr.formats.root_masks import OUTSIDE, ROOT, UNKNOWN
from monai_tavr.keypoints import KeypointSchema, KeypointState, load_schema
from monai_tavr.phantom import generate
from monai_tavr.phantom.generate import generate_dataset, split_of_patient
from monai_tavr.phantom.procedure import sample_patient


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    out = tmp_path_factory.mktemp("phantom") / "tiny"
    generate_dataset(out, preset="tiny", seed=3, workers=1, progress=False)
    return out


def contents(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_datalist_names_existing_files_of_disjoint_patients(dataset):
    datalist = json.loads((dataset / "datalist.json").read_text())
    assert datalist["schema"] == "TAVR11"
    assert datalist["generator"] == {"preset": "tiny", "seed": 3, "size": 128, "bits": 8, "syntax": "explicit-le", "version": "1"}
    parts = {part: {item["patient"] for item in datalist[part]} for part in ("training", "validation", "test")}
    assert parts == {"training": {"P000", "P003"}, "validation": {"P002"}, "test": {"P001"}}
    items = [item for part in parts for item in datalist[part]]
    assert len(items) == 8
    for item in items:
        assert (dataset / item["image"]).is_file()
        assert (dataset / item["label"]).is_file()
        assert item["image"].startswith(item["patient"] + "/")


def test_labels_of_another_schema_leave_unlabelled_what_is_not_drawn(dataset, tmp_path):
    schema = load_schema(write_grown_schema(tmp_path / "grown.yaml"))
    generate_dataset(tmp_path / "grown", preset="tiny", seed=3, patients=1, schema=schema, workers=1, progress=False)
    assert json.loads((tmp_path / "grown" / "datalist.json").read_text())["schema"] == "GROWN13"
    first, second = (read_label_json(d / "P000/C00.json", schema=schema) for d in (dataset, tmp_path / "grown"))
    assert first.frames  # labels of TAVR11 are labels of a schema that extends it
    for a, b in zip(first.frames, second.frames, strict=True):
        assert (b.state[[schema.index(n) for n in GUIDEWIRE]] == KeypointState.UNLABELLED).all()
        np.testing.assert_array_equal(a.state, b.state)
        np.testing.assert_array_equal(a.xy, b.xy)
    assert (dataset / "P000/C00.dcm").read_bytes() == (tmp_path / "grown" / "P000/C00.dcm").read_bytes()
    with pytest.raises(ValueError, match=r"holds a data set made with .*'schema': 'GROWN13'.*give another folder"):
        generate_dataset(tmp_path / "grown", preset="tiny", seed=3, workers=1, progress=False)
    other = KeypointSchema("OTHER", {"only": ("ML",)})
    with pytest.raises(ValueError, match=r"the phantom draws no point of schema 'OTHER'; it draws \['AA1', "):
        generate_dataset(tmp_path / "other", preset="tiny", schema=other, progress=False)
    assert not (tmp_path / "other").exists()


def test_masks_of_the_root_come_beside_unchanged_cines(dataset, tmp_path):
    options = {"preset": "tiny", "seed": 3, "patients": 2, "workers": 1, "progress": False, "root_masks": True}
    generate_dataset(tmp_path / "masks", **options)
    datalist = json.loads((tmp_path / "masks" / "datalist.json").read_text())
    known = 0
    for item in datalist["training"] + datalist["test"]:
        for kind in ("image", "label"):
            assert (tmp_path / "masks" / item[kind]).read_bytes() == (dataset / item[kind]).read_bytes()
        masks = np.asarray(nibabel.load(tmp_path / "masks" / item["root_mask"]).dataobj)  # (columns, rows, frames)
        assert (masks.shape, masks.dtype) == ((128, 128, 3), np.uint8)
        for points in read_label_json(dataset / item["label"]).frames:
            mask = masks[..., points.frame]
            if not points.visible[:4].any():
                assert (mask == UNKNOWN).all()
                continue
            assert set(np.unique(mask)) == {OUTSIDE, ROOT}
            if points.visible[:4].all():
                x, y = np.rint(points.xy[:4].mean(axis=0)).astype(int)
                assert mask[x, y] == ROOT
                known += 1
    assert known > 2
    assert len(find_cines(tmp_path / "masks")) == 4  # no mask is taken for a cine
    lost = tmp_path / "masks" / datalist["test"][0]["root_mask"]
    before = lost.read_bytes()
    lost.unlink()
    generate_dataset(tmp_path / "masks", **options)
    assert lost.read_bytes() == before
    with pytest.raises(ValueError, match=r"holds a data set made with .*'root_masks': True"):
        generate_dataset(tmp_path / "masks", **{**options, "root_masks": False})


def test_split_of_81_patients_is_55_10_16():
    parts = [split_of_patient(i) for i in range(81)]
    assert [parts.count(p) for p in ("training", "validation", "test")] == [55, 10, 16]


def test_a_preset_for_training_has_no_other_part_and_short_cines(tmp_path):
    out = tmp_path / "variety"
    generate_dataset(out, preset="variety", patients=3, size=64, workers=1, progress=False)
    datalist = json.loads((out / "datalist.json").read_text())
    assert {item["patient"] for item in datalist["training"]} == {"P000", "P001", "P002"}
    assert (datalist["validation"], datalist["test"]) == ([], [])
    assert {len(read_label_json(path).frames) for path in out.rglob("C*.json")} == {2}


def test_labels_fit_their_cines(dataset):
    for path in sorted(dataset.rglob("*.dcm")):
        header, label = pydicom.dcmread(path), read_label_json(path.with_suffix(".json"))
        assert (header.Rows, header.Columns, header.NumberOfFrames) == (label.image.rows, label.image.columns, len(label.frames))
        assert label.image.sop_instance_uid == header.SOPInstanceUID
        assert label.image.series_instance_uid == header.SeriesInstanceUID
        assert label.image.study_instance_uid == header.StudyInstanceUID
        magnification = header.DistanceSourceToDetector / header.DistanceSourceToPatient
        assert label.image.spacing[0] == pytest.approx(float(header.ImagerPixelSpacing[0]) / magnification, rel=1e-4)
        assert [k.frame for k in label.frames] == list(range(header.NumberOfFrames))
        assert all(k.labelled.all() for k in label.frames)


def test_identifiers_are_synthetic_and_uids_valid_and_different(dataset):
    headers = [pydicom.dcmread(p, stop_before_pixels=True) for p in sorted(dataset.rglob("*.dcm"))]
    for header in headers:
        assert "PHANTOM" in str(header.PatientName)
        assert "SYNTHETIC" in str(header.PatientName)
        assert header.PatientID.startswith("PHANTOM-TINY-3-P00")
        assert "Synthetic" in header.StudyDescription
        for uid in (header.SOPInstanceUID, header.SeriesInstanceUID, header.StudyInstanceUID):
            assert uid.is_valid
    assert len({h.SOPInstanceUID for h in headers}) == len({h.SeriesInstanceUID for h in headers}) == 8
    assert len({h.StudyInstanceUID for h in headers}) == 4


@pytest.mark.slow
def test_processes_and_order_do_not_change_a_byte(dataset, tmp_path):
    generate_dataset(tmp_path / "two", preset="tiny", seed=3, workers=2, progress=False)
    assert contents(tmp_path / "two") == contents(dataset)


def test_patients_do_not_depend_on_their_number_and_seeds_differ(dataset, tmp_path):
    generate_dataset(tmp_path / "one", preset="tiny", seed=3, patients=1, workers=1, progress=False)
    generate_dataset(tmp_path / "other", preset="tiny", seed=4, patients=1, workers=1, progress=False)
    same = contents(tmp_path / "one")
    assert same["P000/C00.dcm"] == (dataset / "P000/C00.dcm").read_bytes()
    assert same["P000/C01.json"] == (dataset / "P000/C01.json").read_bytes()
    assert same["P000/C00.dcm"] != (tmp_path / "other/P000/C00.dcm").read_bytes()


def test_an_interrupted_data_set_is_finished_and_whole_cines_are_kept(dataset, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(dataset, copy)
    (copy / "P001/C00.json").unlink()  # the cine was written, its label not yet
    (copy / "P002/C01.dcm").unlink()
    (copy / "datalist.json").unlink()
    kept = (copy / "P003/C00.dcm").stat().st_mtime_ns
    generate_dataset(copy, preset="tiny", seed=3, workers=1, progress=False)
    assert contents(copy) == contents(dataset)
    assert (copy / "P003/C00.dcm").stat().st_mtime_ns == kept


def test_a_folder_of_other_settings_is_refused(dataset):
    before = contents(dataset)
    with pytest.raises(ValueError, match="give another folder"):
        generate_dataset(dataset, preset="tiny", seed=4, workers=1, progress=False)
    assert contents(dataset) == before


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"preset": "huge"}, "'huge'"),
        ({"patients": 0}, "patients = 0"),
        ({"seed": -1}, "seed = -1"),
        ({"size": 100}, "size = 100"),
        ({"bits": 10}, "bits = 10"),
        ({"syntax": "gif"}, "'gif'"),
        ({"bits": 12, "syntax": "jpeg-baseline"}, "8 bits"),
        ({"workers": 0}, "workers = 0"),
    ],
)
def test_wrong_arguments_are_named_and_nothing_is_made(tmp_path, wrong, message):
    with pytest.raises(ValueError, match=message):
        generate_dataset(tmp_path / "x", **{"preset": "tiny", **wrong})
    assert not (tmp_path / "x").exists()


def test_files_pass_dciodvfy(dataset, tmp_path):
    generate_dataset(tmp_path / "j", preset="tiny", patients=1, bits=12, syntax="jpeg-lossless-sv1", workers=1, progress=False)
    for path in (dataset / "P000/C00.dcm", dataset / "P001/C01.dcm", tmp_path / "j/P000/C01.dcm"):
        report = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, check=False)
        found = [line for line in (report.stdout + report.stderr).splitlines() if re.match(r"\s*(Abort|Error)", line)]
        assert found == []
        assert "XAImage" in report.stdout + report.stderr


def test_another_syntax_and_depth_keep_picture_and_points(dataset, tmp_path):
    generate_dataset(
        tmp_path / "j", preset="tiny", seed=3, patients=1, bits=12, syntax="jpeg2000-lossless", workers=1, progress=False
    )
    plain, packed = (pydicom.dcmread(d / "P000/C00.dcm") for d in (dataset, tmp_path / "j"))
    assert packed.file_meta.TransferSyntaxUID == SYNTAXES["jpeg2000-lossless"]
    assert packed.BitsStored == 12
    np.testing.assert_allclose(packed.pixel_array / 4095, plain.pixel_array / 255, atol=0.54 / 255)
    one, other = (read_label_json(d / "P000/C00.json") for d in (dataset, tmp_path / "j"))
    for a, b in zip(one.frames, other.frames, strict=True):
        np.testing.assert_array_equal(a.xy, b.xy)


def test_the_command_makes_a_data_set_and_prints_its_speed(tmp_path, capsys):
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    line = f"--preset tiny --patients 1 --seed 5 --size 64 --bits 8 --syntax rle --workers 1 --out {tmp_path / 'd'}"
    assert run(parser.parse_args(line.split())) == 0
    printed = capsys.readouterr().out
    assert re.search(r"6 frames of 64x64: [\d.]+ frames per second per core", printed)
    assert (tmp_path / "d" / "datalist.json").is_file()


def test_a_patient_is_drawn_once_in_a_process(tmp_path, monkeypatch):
    drawn = []

    def draw(preset, *, seed, index):
        drawn.append(index)
        return sample_patient(preset, seed=seed, index=index)

    monkeypatch.setattr(generate, "sample_patient", draw)
    generate.generate_dataset(tmp_path / "data", preset="tiny", patients=2, size=64, workers=1, progress=False)
    assert drawn == [0, 1]
    generate._patient_of.cache_clear()
    first = generate._patient_of("tiny", 0, 1)
    assert generate._patient_of("tiny", 0, 1) is first  # as a process of the pool does for its cines
    assert drawn == [0, 1, 1]
