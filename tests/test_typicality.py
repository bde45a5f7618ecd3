"""Distances and logits of figures that can be worked out by hand, and what is read from a file."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import torch

from monai_tavr.typicality import Typicality, describe_frames, read_typicality

# two figures with mean (10, 0) and deviations (2, 1); they differ along the first one, with variance 4
EXAMPLE = Typicality(
    centre=np.array([10.0, 0.0]),
    scale=np.array([2.0, 1.0]),
    axes=np.array([[1.0, 0.0]]),
    variances=np.array([4.0]),
    rest=0.25,
    furthest=2.0,
    probes=np.array([[0.0, 1.0, -3.0]]),
    limits=np.array([0.0]),
    weights_sha256="ab" * 32,
    fitted_on="nothing",
)


def test_distance_by_hand():
    # z = (2, 1): 2^2 / 4 along the axis, 1 / 0.25 beyond it; of two figures the mean is 2.5
    assert EXAMPLE.distance(np.array([[14.0, 1.0], [10.0, 0.0]])) == pytest.approx([np.sqrt(2.5), 0.0])


def test_a_frame_is_typical_that_is_near_and_passes_every_probe():
    figures = np.array([[10.0, 0.0], [14.0, 1.0], [24.0, 0.0], [10.0, -2.0], [10.0, 3.5]])
    # distances 0, 1.58, sqrt(49 / 4 / 2) = 2.47, sqrt(4 / 0.25 / 2) = 2.83, and 4.95 for the last, whose logit is 0.5
    assert EXAMPLE.typical(figures).tolist() == [True, True, False, False, False]
    far = replace(EXAMPLE, furthest=9.0)
    assert far.typical(figures).tolist() == [True, True, True, True, False]
    assert EXAMPLE.logits(figures)[:, 0].tolist() == [-3, -2, -3, -5, 0.5]


def test_a_file_comes_back_the_same_for_its_weights_only(tmp_path):
    path = tmp_path / "models" / "typical.npz"
    EXAMPLE.write(path)
    back = read_typicality(path, weights_sha256="ab" * 32)
    assert back is not None
    assert (back.fitted_on, back.fingerprint) == ("nothing", EXAMPLE.fingerprint)
    figures = np.array([[14.0, 1.0], [3.0, -2.0]])
    assert back.distance(figures).tolist() == EXAMPLE.distance(figures).tolist()
    assert read_typicality(path, weights_sha256="cd" * 32) is None
    assert read_typicality(tmp_path / "none.npz", weights_sha256="") is None
    assert replace(EXAMPLE, furthest=2.5).fingerprint != EXAMPLE.fingerprint


def changed(path, **members):
    """The file with some arrays replaced; None takes one out, and bytes are put in as they are."""
    EXAMPLE.write(path)
    with np.load(path) as content:
        values = {name: content[name] for name in content.files} | members
    with zipfile.ZipFile(path, "w") as archive:
        for name, value in values.items():
            if value is None:
                continue
            buffer = io.BytesIO()
            np.save(buffer, np.asarray(value), allow_pickle=True)
            archive.writestr(f"{name}.npy", value if isinstance(value, bytes) else buffer.getvalue())


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"axes": None}, "axes"),
        ({"scale": [2.0, 0.0]}, "scale must be above 0"),
        ({"scale": [2.0]}, r"scale has shape \(1,\), expected \(2,\)"),
        ({"probes": [[0.0, np.nan, 1.0]]}, "probes holds something that is no finite number"),
        ({"centre": ["a", "b"]}, "centre holds something that is no finite number"),
        ({"centre": np.array([{}, {}], object)}, "pickle"),
        ({"axes": b"no array"}, "axes|magic|header|pickle"),
        ({"rest": [1.0, 2.0]}, "scalar|size"),
        ({"about": "no JSON"}, "Expecting value"),
        ({"about": json.dumps({"fitted_on": "x"})}, "does not say whose it is"),
        ({"more": np.zeros(3 << 20)}, "holds more than 16 MiB"),
    ],
)
def test_a_damaged_file_is_named(tmp_path, members, message):
    path = tmp_path / "typical.npz"
    changed(path, **members)
    with pytest.raises(ValueError, match=message) as caught:
        read_typicality(path, weights_sha256="ab" * 32)
    assert str(path) in str(caught.value)
    assert "fit it anew or delete it" in str(caught.value)


def test_no_zip_is_no_file_of_ours(tmp_path):
    path = tmp_path / "typical.npz"
    path.write_bytes(b"PK no more")
    with pytest.raises(ValueError, match="not what `monai-tavr typical` writes"):
        read_typicality(path, weights_sha256="")


def test_figures_of_another_length_are_refused():
    with pytest.raises(ValueError, match=r"figures have shape \(1, 3\); this was fitted on \(N, 2\)"):
        EXAMPLE.distance(np.zeros((1, 3)))


def test_figures_by_hand():
    """A chessboard of -1 and 1, pixel by pixel: all its detail is at the finest scale."""
    y, x = np.indices((64, 64))
    board = torch.from_numpy(np.where((x + y) % 2, 1.0, -1.0).astype(np.float32))[None, None]
    [figures] = describe_frames(board, torch.tensor([[4.0, -9.0, 0.0]]))
    assert figures[:3].tolist() == [2.0, -3.0, 0.0]  # signed square roots
    nothing = np.log(1e-6)
    assert figures[3:9] == pytest.approx([np.log(1 + 1e-6), *[nothing] * 5], abs=1e-3)
    # third moment 0, fourth 1, half of the pixels are as dark, half as bright as can be
    assert figures[9:] == pytest.approx([0, np.log(2), np.sqrt(0.5), np.sqrt(0.5)], abs=1e-5)


def test_a_frame_of_one_grey_level_has_figures():
    figures = describe_frames(torch.zeros(2, 1, 48, 40), torch.zeros(2, 3))
    assert figures.shape == (2, 13)
    assert np.isfinite(figures).all()
    assert figures[0, -2:].tolist() == [1, 1]
