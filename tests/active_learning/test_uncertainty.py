import json

import numpy as np
import pytest

from monai_tavr.active_learning.outputs import FrameOutputs
from monai_tavr.active_learning.uncertainty import (
    TOLERANCE,
    PointUncertainty,
    disagreement,
    fit_uncertainty,
    needs_correction,
    read_uncertainty,
)
from monai_tavr.keypoints import TAVR11

K, G = TAVR11.num_keypoints, TAVR11.num_groups


def make_outputs(n, *, x=0.5, spread=0.01, probability=0.99, reported=True):
    xy = np.full((n, K, 2), 0.5, np.float32)
    xy[..., 0] = np.reshape(x, (-1, 1)) if np.ndim(x) == 1 else x
    return FrameOutputs(
        xy=xy,
        spread=np.broadcast_to(np.float32(spread), (n, K)).copy(),
        probability=np.broadcast_to(np.asarray(probability, np.float32), (n, K)).copy(),
        group_probability=np.full((n, G), 0.99, np.float32),
        reported=np.broadcast_to(reported, (n, K)).copy(),
        features=np.zeros((n, 1), np.float32),
    )


def test_what_needs_correction():
    outputs = make_outputs(1)
    outputs.reported[0, 2:4] = False
    truth, state = outputs.xy.copy(), np.ones((1, K), int)
    truth[0, 0, 0] += 0.9 * TOLERANCE  # near enough
    truth[0, 1, 0] += 1.1 * TOLERANCE  # too far
    state[0, 3] = 0  # rightly not reported, where point 2 is missed
    state[0, 4] = 0  # invented
    state[0, 5] = -1  # nobody knows
    assert np.flatnonzero(needs_correction(outputs, truth, state)[0]).tolist() == [1, 2, 4]


def test_disagreement_of_a_point_that_jumps_away_and_back():
    only_first = np.eye(1, K)[0]
    outputs = make_outputs(4, x=np.array([0.50, 0.55, 0.50, 0.50]), probability=only_first)
    # frames of one cine in another order, and a lone frame of another cine
    found = disagreement(outputs, np.array([0, 0, 0, 1]), np.array([10, 20, 30, 20]))
    # 0.05 of the 0.1 that counts as one point; the ends have one neighbour, half way off is the middle frame
    np.testing.assert_allclose(found, [0.5, 0.5, 0.5, 0], atol=1e-5)
    swapped = disagreement(outputs.select([2, 0, 1, 3]), np.array([0, 0, 0, 1]), np.array([30, 10, 20, 20]))
    np.testing.assert_allclose(swapped, [0.5, 0.5, 0.5, 0], atol=1e-5)


def test_disagreement_of_a_point_that_appears_for_one_frame():
    outputs = make_outputs(3, probability=np.array([[0.0], [1.0], [0.0]]) * np.eye(1, K))
    np.testing.assert_allclose(disagreement(outputs, np.zeros(3, int), np.arange(3)), [1, 1, 1], atol=1e-6)


def simulated(n, seed):
    """Frames whose points are wrong as often as a spread of 0.01, 0.04 or 0.16 says: in 5, 30 and 80 % of the cases."""
    rng = np.random.default_rng(seed)
    kind = rng.integers(0, 3, (n, K))
    outputs = make_outputs(n, spread=np.array([0.01, 0.04, 0.16])[kind])
    truth = outputs.xy.copy()
    truth[..., 0] += np.where(rng.random((n, K)) < np.array([0.05, 0.3, 0.8])[kind], 3 * TOLERANCE, 0)
    return outputs, truth, np.ones((n, K), int), kind


def test_a_fit_is_calibrated_on_frames_it_has_not_seen():
    fitted = fit_uncertainty(*simulated(300, 0)[:3], weights_sha256="a" * 64, fitted_on="made up")
    outputs, truth, state, kind = simulated(300, 1)
    points = fitted.of_points(outputs)
    means = [points[kind == k].mean() for k in range(3)]
    np.testing.assert_allclose(means, [0.05, 0.3, 0.8], atol=0.05)
    assert fitted.check(outputs, truth, state)["ece"] < 0.04
    assert PointUncertainty().check(outputs, truth, state)["ece"] > 0.1
    assert fitted.points == 300 * K
    np.testing.assert_allclose(fitted.of_frames(outputs), points.sum(axis=1))


def test_without_a_fit_doubt_and_spread_still_raise_it():
    guess = PointUncertainty()
    sure = guess.of_points(make_outputs(1))[0, 0]
    assert guess.of_points(make_outputs(1, spread=0.1))[0, 0] > sure
    assert guess.of_points(make_outputs(1, probability=0.6))[0, 0] > sure
    # a point that is surely not there has no place to be wrong about
    absent = make_outputs(1, spread=0.3, probability=0.001, reported=False)
    assert guess.of_points(absent)[0, 0] < 0.01


def test_unlabelled_points_teach_nothing():
    outputs, truth, state, _ = simulated(50, 0)
    state[:, 3:] = -1
    assert fit_uncertainty(outputs, truth, state).points == 150
    with pytest.raises(ValueError, match="nothing to calibrate"):
        fit_uncertainty(outputs, truth, np.full_like(state, -1))


def test_the_file_belongs_to_its_weights(tmp_path):
    path = tmp_path / "uncertainty.json"
    assert read_uncertainty(path) == PointUncertainty()
    fitted = PointUncertainty((1, 2, 3, 4, 5), "a" * 64, "made up", 7, 0.1)
    fitted.write(path)
    assert read_uncertainty(path, weights_sha256="a" * 64) == fitted
    assert read_uncertainty(path, weights_sha256="b" * 64) == PointUncertainty()


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"coefficients": [1, 2]}', '{"coefficients": [1, 2, 3, 4, "x"]}'])
def test_a_damaged_file_is_named(tmp_path, content):
    path = tmp_path / "uncertainty.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=r"uncertainty\.json: not a calibration"):
        read_uncertainty(path)


def test_more_keys_than_known_are_refused(tmp_path):
    path = tmp_path / "uncertainty.json"
    path.write_text(json.dumps({"coefficients": [1, 2, 3, 4, 5], "more": 1}))
    with pytest.raises(ValueError, match="more"):
        read_uncertainty(path)
