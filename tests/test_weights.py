"""Which of a file's networks counts, and what is said of a file that has none."""

from __future__ import annotations

import pytest
import torch
from tiny_bundle import CentroidNet, write_bundle

from monai_tavr.bundle import Bundle
from monai_tavr.training.handlers import start_network
from monai_tavr.weights import read_weights


def state(value):
    return {name: torch.full_like(v, value) for name, v in CentroidNet().state_dict().items()}


@pytest.mark.parametrize(
    ("content", "value"),
    [
        ({"network": 1.0}, 1.0),
        ({"network": 1.0, "ema": 2.0}, 2.0),  # what was validated, and what model.pt is a copy of
        ({"network": 1.0, "ema": 2.0, "model": 3.0}, 3.0),
    ],
)
def test_a_checkpoint_means_the_same_to_the_predictor_and_to_the_training(tmp_path, content, value):
    file = tmp_path / "checkpoint.pt"
    torch.save({name: state(v) for name, v in content.items()} | {"optimizer": {"lr": 0.1}, "epoch": 3}, file)
    predictor, _, _ = Bundle.find(write_bundle(tmp_path / "b")).network(file)
    assert set(predictor.visibility.tolist()) == {value}
    assert set(start_network(CentroidNet(), file, "cpu").visibility.tolist()) == {value}


def test_a_plain_state_dict_is_taken_as_it_is(tmp_path):
    torch.save(state(4.0), tmp_path / "model.pt")
    assert set(read_weights(tmp_path / "model.pt")["visibility"].tolist()) == {4.0}


@pytest.mark.parametrize("content", [{"optimizer": {}, "epoch": 3}, torch.zeros(3), [1]])
def test_a_file_without_a_network_is_named(tmp_path, content):
    torch.save(content, tmp_path / "model.pt")
    with pytest.raises(ValueError, match=r"model\.pt: expected a state dict"):
        read_weights(tmp_path / "model.pt")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no archive", b"hello"])
def test_a_damaged_file_is_named(tmp_path, content):
    (tmp_path / "model.pt").write_bytes(content)
    with pytest.raises(ValueError, match=r"model\.pt: not a file of weights that can be read safely"):
        read_weights(tmp_path / "model.pt")
