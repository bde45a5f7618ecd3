"""Label files of folders: those of data sets, and the newest of a store's versions."""

from __future__ import annotations

import json

import pytest

from monai_tavr.formats.label_json import write_label_json
from monai_tavr.formats.stored_labels import find_label_files
from monai_tavr.label import CineLabel, ImageInfo

EMPTY = CineLabel(ImageInfo(64, 64), ())


def test_labels_beside_cines(tmp_path):
    for name in ("P1/C0.json", "P1/C1.json"):
        write_label_json(tmp_path / name, EMPTY)
    (tmp_path / "datalist.json").write_text("{}")
    (tmp_path / "scores.json").write_text(json.dumps({"f1": 1}))
    found, others = find_label_files(tmp_path)
    assert [p.relative_to(tmp_path).as_posix() for p in found] == ["P1/C0.json", "P1/C1.json"]
    assert others == [tmp_path / "scores.json"]
    assert find_label_files(tmp_path / "P1" / "C0.json") == ([tmp_path / "P1" / "C0.json"], [])


def test_of_a_servers_versions_the_last_submitted_count(tmp_path):
    for name in ("a/final.0001.json", "a/final.0002.json", "a/final.10000.json", "a/prediction.0003.json", "b/final.0001.json"):
        write_label_json(tmp_path / "labels" / name, EMPTY)
    write_label_json(tmp_path / "cache" / "c.json", EMPTY)  # predictions kept: nobody's label
    for top in (tmp_path, tmp_path / "labels"):
        found, others = find_label_files(top)
        assert [p.relative_to(tmp_path / "labels").as_posix() for p in found] == ["a/final.10000.json", "b/final.0001.json"]
        assert others == []


def test_what_is_no_folder_of_labels_is_said(tmp_path):
    with pytest.raises(ValueError, match="nowhere: no such file or folder"):
        find_label_files(tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"no label file \(\*.json\) in this folder"):
        find_label_files(tmp_path)
    (tmp_path / "torn.json").write_text("{")
    with pytest.raises(ValueError, match=r"torn.json: not a JSON file"):
        find_label_files(tmp_path)
