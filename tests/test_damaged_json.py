"""Damaged JSON of every kind is refused by a ValueError that names the file; `tests/json_mutations.py` does many more."""

from __future__ import annotations

import json

import json_mutations
import pytest

from monai_tavr.active_learning.uncertainty import read_uncertainty
from monai_tavr.postprocess import read_thresholds
from monai_tavr.training.datasets import load_datalist


def test_mutants_are_read_or_refused_in_words():
    outcomes, faults = json_mutations.run(1200)
    assert faults == []
    assert outcomes["read"] > 50
    assert outcomes["refused"] > 600


@pytest.mark.parametrize(
    ("item", "words"),
    [
        ({"image": ["a"]}, r"datalist\.json: training\[1\]\.image must be text, got \['a'\]"),
        ({"image": "a", "label": 5}, r"training\[1\]\.label must be text, got 5"),
        ({"image": "a", "patient": {}}, r"training\[1\]\.patient must be text, got \{\}"),
        ({"image": "a", "frame": -1}, r"training\[1\]\.frame must be a whole number of at least 0, got -1"),
        ({"image": "a", "frame": "3"}, r"training\[1\]\.frame must be a finite number, got '3'"),
        ({"label": "a"}, r"training\[1\]: 'image' is missing"),
        ("a", r"training\[1\]: expected an object, got str"),
    ],
)
def test_a_datalist_names_the_item(tmp_path, item, words):
    path = tmp_path / "datalist.json"
    path.write_text(json.dumps({"training": [{"image": "b"}, item]}))
    with pytest.raises(ValueError, match=words):
        load_datalist(path)


@pytest.mark.parametrize("read", [load_datalist, read_thresholds, read_uncertainty])
def test_nesting_without_end_is_refused(tmp_path, read):
    path = tmp_path / "deep.json"
    path.write_text("[" * 100_000)
    with pytest.raises(ValueError, match=r"deep\.json: .*not a JSON file"):
        read(path)


def test_a_number_of_a_hundred_digits_is_refused(tmp_path):
    path = tmp_path / "uncertainty.json"
    path.write_text(json.dumps({"coefficients": [10**400, 0, 0, 0, 0]}))
    with pytest.raises(ValueError, match=r"uncertainty\.json: .*coefficients\[0\] must be a finite number"):
        read_uncertainty(path)
