"""Frames without devices in the training: what their items say, and how batches are mixed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from monai_tavr.dicom.writer import write_xa
from monai_tavr.keypoints import TAVR11, KeypointState
from monai_tavr.training import MixedBatches, negative_items
from monai_tavr.training.negatives import negative_cines
from monai_tavr.transforms import LoadFramed


def test_devices_are_absent_and_the_root_is_unlabelled(tmp_path: Path):
    Image.fromarray(np.full((64, 64), 90, np.uint8)).save(tmp_path / "a.png")
    write_xa(tmp_path / "b.dcm", np.zeros((9, 64, 64), np.uint8))
    items = negative_items(tmp_path, frames_per_cine=3)
    assert [(Path(i["image"]).name, i["frame"]) for i in items] == [("a.png", 0), ("b.dcm", 0), ("b.dcm", 4), ("b.dcm", 8)]
    loaded = LoadFramed()(items[0])
    state = dict(zip(TAVR11.names, loaded["state"].tolist(), strict=True))
    assert {n for n, s in state.items() if s == KeypointState.UNLABELLED} == {"AA1", "AA2", "STJ1", "STJ2"}
    assert {n for n, s in state.items() if s == KeypointState.ABSENT} == {"CP", "CM", "CD", "CT", "PT", "FE1", "FE2"}
    assert np.isnan(loaded["keypoints"].numpy()).all()


def test_what_is_known_of_negatives_as_labels(tmp_path: Path):
    write_xa(tmp_path / "b.dcm", np.zeros((9, 48, 64), np.uint8))
    [cine] = negative_cines(tmp_path, frames_per_cine=2)
    assert (cine.image.name, cine.frames, cine.label.image.columns) == ("b.dcm", (0, 8), 64)
    assert [k.frame for k in cine.label.frames] == [0, 8]
    assert cine.label.frames[0].group_state.tolist() == [KeypointState.UNLABELLED, KeypointState.ABSENT, KeypointState.ABSENT]


def test_wrong_folders_and_groups_are_refused(tmp_path: Path):
    with pytest.raises(ValueError, match="no frames there"):
        negative_items(tmp_path)
    with pytest.raises(ValueError, match="no group 'wire'"):
        negative_items(tmp_path, absent=["wire"])


def test_every_batch_has_its_share():
    batches = MixedBatches(20 + 3, batch_size=8, extra=3, share=0.25, seed=1)  # 6 usual and 2 extra ones
    assert len(batches) == 3
    first, second = list(batches), list(batches)
    assert [len(b) for b in first] == [8, 8, 8]
    usual = [i for b in first for i in b if i < 20]
    assert len(set(usual)) == len(usual) == 18  # each once; two are left out
    extra = [i for b in first for i in b if i >= 20]
    assert sorted(set(extra)) == [20, 21, 22]
    assert len(extra) == 6
    assert first != second  # another order in every epoch


def test_without_extra_items_an_epoch_is_every_item_once():
    assert sorted(i for b in MixedBatches(12, batch_size=4) for i in b) == list(range(12))
    assert len(MixedBatches(0, batch_size=4)) == 0


def test_fewer_frames_than_a_batch_are_refused_not_trained_on_in_silence():
    assert len(MixedBatches(6 + 3, batch_size=8, extra=3, share=0.25)) == 1
    with pytest.raises(ValueError, match=r"5 training frames do not fill a batch: batch_size 8 takes 6 of them"):
        MixedBatches(5 + 3, batch_size=8, extra=3, share=0.25)
    with pytest.raises(ValueError, match=r"3 training frames do not fill a batch: batch_size 4 takes 4 of them"):
        MixedBatches(7, batch_size=4, rank=1, replicas=2)


def test_processes_share_an_epoch():
    parts = [[i for b in MixedBatches(21, batch_size=4, extra=5, share=0.25, rank=r, replicas=2) for i in b] for r in (0, 1)]
    usual = [i for part in parts for i in part if i < 16]
    assert len(set(usual)) == len(usual) == 12
    assert [sum(i >= 16 for i in part) for part in parts] == [2, 2]


@pytest.mark.parametrize("options", [{"share": 1.0}, {"batch_size": 0}, {"extra": 30}, {"rank": 1}])
def test_numbers_out_of_range_are_refused(options):
    with pytest.raises(ValueError, match=r"share|batch_size"):
        MixedBatches(20, **{"batch_size": 4} | options)
