"""Which patients are judged when: the published folds, dealt ones, and those of a file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from monai_tavr.rival.folds import choose_folds, deal_folds, hold_out, read_folds


def test_the_published_folds_are_taken_where_their_patients_are() -> None:
    everybody = [str(n) for n in range(1, 85)]
    name, folds = choose_folds(None, everybody)
    assert name == "as published"
    assert [len(f) for f in folds] == [8, 8, 12, 12, 13]
    assert folds[0] == ("8", "9", "11", "12", "13", "14", "15", "16")
    assert (folds[4][0], folds[4][-1]) == ("69", "81")
    few = [str(n) for n in range(1, 12)]
    assert choose_folds(None, few)[1] == deal_folds(few, 5)
    with pytest.raises(ValueError, match="folds published: patient 12 of fold 1 is not in the data"):
        choose_folds("published", few)


def test_patients_are_dealt_out_by_number() -> None:
    patients = ["10", "2", "1", "30", "4"]
    assert deal_folds(patients, 2) == (("1", "4", "30"), ("2", "10"))
    assert deal_folds(patients[::-1], 2) == deal_folds(patients, 2)
    with pytest.raises(ValueError, match="6 folds of 5 patients"):
        choose_folds("6", patients)


def test_folds_come_from_a_file_or_from_bamnets_manifests(tmp_path: Path) -> None:
    (tmp_path / "folds.txt").write_text("008, 9\n\n0011 12\n")
    assert read_folds(tmp_path / "folds.txt") == (("8", "9"), ("11", "12"))
    content = {"folds": [{"fold": 1, "val_patient_ids": ["0008", "0009"]}, {"fold": 2, "val_patient_ids": ["0011"]}]}
    (tmp_path / "summary.json").write_text(json.dumps(content))
    assert read_folds(tmp_path) == (("8", "9"), ("11",))
    assert choose_folds(str(tmp_path / "folds.txt"), ["8", "9", "11", "12"])[0] == "as in folds.txt"


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("1 2\n2 3\n", "patient 2 stands in fold 1 and in fold 2"),
        ("1 2 3\n", "fold 1 leaves fewer than two patients"),
        ("1 two\n", "fold 1: 'two' is no patient number"),
        ("9\n", "patient 9 of fold 1 is not in the data"),
        ("\n", "there is none"),
    ],
)
def test_impossible_folds_are_refused(lines: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "f.txt").write_text(lines)
    with pytest.raises(ValueError, match=words):
        choose_folds(str(tmp_path / "f.txt"), ["1", "2", "3", "4"])


def test_a_tenth_of_the_training_patients_chooses_the_epoch() -> None:
    patients = [str(n) for n in range(70)]
    chosen = hold_out(patients, seed=1)
    assert len(set(chosen)) == 7
    assert set(chosen) <= set(patients)
    assert hold_out(patients[::-1], seed=1) == chosen
    assert hold_out(patients, seed=2) != chosen
    assert len(hold_out(["1", "2"], seed=1)) == 1
