"""Distances from usual by numbers worked out by hand, and the file they come from."""

from __future__ import annotations

import json

import numpy as np
import pytest
from plausibility_example import IMAGE, frame_of

from monai_tavr.keypoints import TAVR11
from monai_tavr.plausibility import PoseStatistics, read_statistics, shipped_statistics, write_statistics
from monai_tavr.plausibility.statistics import ChainStatistics, SetStatistics, Spread

EACH = np.eye(4)
TOGETHER = np.kron(np.ones((2, 2)), np.eye(2))


def test_points_that_know_nothing_of_one_another():
    spread = Spread(0.03**2 * EACH, 4.0, 4.0)
    together, alone = spread.distances(np.array([[0.05, 0], [0, 0.1]]), noise=0.04)  # 3-4-5: standard deviation 0.05
    assert together == pytest.approx([1, 2])
    assert alone == pytest.approx([1, 2])
    together, alone = spread.distances(np.array([[0.05, 0], [np.nan, np.nan]]), noise=0.04)
    assert (together.tolist(), alone.tolist()) == (pytest.approx([1, 0]), pytest.approx([1, 0]))


def test_points_that_go_together():
    spread = Spread(TOGETHER, 4.0, 4.0)
    together, alone = spread.distances(np.array([[1.0, 0], [0, 0]]), noise=0.1)
    # variance 1.01 each, of which the other explains 1 / 1.01
    assert together == pytest.approx([1 / np.sqrt(1.01 - 1 / 1.01), 1 / 1.01 / np.sqrt(1.01 - 1 / 1.01)])
    assert alone == pytest.approx([1 / np.sqrt(1.01), 0])
    together, _ = spread.distances(np.array([[1.0, 0], [1.0, 0]]), noise=0.1)
    assert together == pytest.approx([(1 - 1 / 1.01) / np.sqrt(1.01 - 1 / 1.01)] * 2)


def test_where_a_group_lies_says_nothing():
    spread = Spread(0 * EACH, 4.0)
    together, _ = spread.distances(np.array([[1.0, 0.5], [1.0, 0.5]]), noise=0.1, free=True)
    assert together == pytest.approx([0, 0], abs=0.01)
    together, _ = spread.distances(np.array([[0.2, 0], [0, 0]]), noise=0.1, free=True)
    assert together == pytest.approx([0.2 / np.sqrt(0.02)] * 2, rel=1e-3)  # the difference of two clicks


def test_one_neighbour_stands_in_for_two():
    near, far = Spread(EACH, 1.0), Spread(EACH, 2.0)
    known = SetStatistics(("A", "B"), np.zeros((2, 2)), near, (near, None, None, None, None), (far, far, None, None, None))
    assert known.step(1, both=True) is near
    assert known.step(2, both=True) is far
    assert known.step(1, both=False) is far
    assert known.step(3, both=False) is None
    assert known.step(40, both=True) is None


def test_where_a_missing_point_is_expected():
    mean = np.array([[-0.1, 0], [0.1, 0]])
    spread = Spread(0.01**2 * EACH, 4.0)
    nothing: tuple[None, ...] = (None,) * 5
    usual = PoseStatistics(sets=(SetStatistics(("AA1", "AA2"), mean, spread, nothing, nothing),))
    place, sigma = usual.expected(frame_of({"AA1": (100, 300), "AA2": None}), TAVR11.index("AA2"), IMAGE)
    assert place == pytest.approx([100 + 0.2 * 512, 300], abs=0.1)
    assert sigma == pytest.approx(np.sqrt(2) * 0.01 * 512, rel=0.01)


def test_the_file_keeps_all(tmp_path):
    spread, steps = Spread(np.diag([1.0, 2, 3, 4]), 4.5, 5.5), (None,) * 5
    chain = ChainStatistics(("A", "B", "C"), ((0.25, 0.5), (0.5, 0.75)), -90.0, 40.0)
    known = SetStatistics(("A", "B"), np.array([[-1.0, 0], [1, 0]]), spread, (spread, *steps[1:]), steps)
    write_statistics(tmp_path / "s.json", PoseStatistics((known,), (chain,), noise=0.01, model=0.1, fitted_on="three"))
    back = read_statistics(tmp_path / "s.json")
    assert (back.chains, back.noise, back.model, back.fitted_on) == ((chain,), 0.01, 0.1, "three")
    (again,) = back.sets
    assert (again.points, again.mean.tolist(), again.beside) == (("A", "B"), [[-1, 0], [1, 0]], steps)
    assert (again.between[0].together, again.between[0].alone, again.between[1:]) == (4.5, 5.5, steps[1:])
    assert again.pose.covariance.tolist() == spread.covariance.tolist()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update(schema="poses/9"), "'schema' is 'poses/9'; this version reads 'monai-tavr/poses/1'"),
        (lambda c: c.pop("noise"), "'noise' is missing"),
        (lambda c: c["sets"][0]["mean"].pop(), r"sets\[0\].mean must be a list of 8"),
        (lambda c: c["sets"][0]["pose"]["covariance"].pop(), r"sets\[0\].pose.covariance must be a list of 36"),
        (lambda c: c["sets"][0]["pose"]["covariance"].__setitem__(0, -1), "it has a negative variance"),
        (lambda c: c["chains"][0]["parts"].pop(), r"chains\[0\].parts must be a list of 3"),
    ],
)
def test_a_damaged_file_is_named_with_its_fault(tmp_path, change, message):
    path = tmp_path / "s.json"
    write_statistics(path, shipped_statistics())
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=message) as caught:
        read_statistics(path)
    assert str(path) in str(caught.value)


def test_the_shipped_file_is_of_phantoms_and_small():
    from importlib import resources

    file = resources.files("monai_tavr") / "plausibility" / "phantom_poses.json"
    assert len(file.read_bytes()) < 100_000
    shipped = shipped_statistics()
    assert [s.points for s in shipped.sets] == list(TAVR11.groups.values())
    assert [c.points for c in shipped.chains] == list(TAVR11.chains)
    assert "split train" in shipped.fitted_on
