"""Which device computes, and which of them has bfloat16 of its own."""

from __future__ import annotations

import pytest
import torch

from monai_tavr.devices import bf16_is_fast, fastest_precision, select_device


@pytest.mark.parametrize(
    ("capability", "fast"),
    [((7, 0), False), ((7, 5), False), ((8, 0), True), ((8, 9), True), ((9, 0), True)],  # Volta, Turing, Ampere, Ada, Hopper
)
def test_cards_before_ampere_imitate_bfloat16(monkeypatch, capability, fast):
    asked = []
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: asked.append(str(device)) or capability)
    assert bf16_is_fast("cuda:1") is fast
    assert fastest_precision(torch.device("cuda:1")) == ("bf16" if fast else "fp32")
    assert set(asked) == {"cuda:1"}  # not whichever card is the current one


@pytest.mark.parametrize(("avx", "amx", "fast"), [(False, False, False), (True, False, True), (False, True, True)])
def test_processors_have_it_or_imitate_it(monkeypatch, avx, amx, fast):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx, raising=False)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx, raising=False)
    assert bf16_is_fast("cpu") is fast
    assert fastest_precision("cpu") == ("bf16" if fast else "fp32")


def test_other_devices_are_not_guessed_at():
    assert fastest_precision("meta") == "fp32"


def test_a_device_that_is_not_there_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert select_device("auto") == torch.device("cpu")
    with pytest.raises(ValueError, match="PyTorch finds no CUDA device"):
        select_device("cuda")
