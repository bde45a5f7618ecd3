import numpy as np
import pytest

from monai_tavr.active_learning.strategies import STRATEGIES, FramePool, SpacingRules, choose_frames

FREE = SpacingRules(gap=1, patient_lead=None)


def make_pool(cine, frame, *, patient=None, uncertainty=None, disagreement=None, features=None):
    n = len(cine)
    return FramePool(
        cine=np.array(cine),
        frame=np.array(frame),
        patient=np.array(cine if patient is None else patient),
        uncertainty=np.array(np.ones(n) if uncertainty is None else uncertainty, float),
        disagreement=np.array(np.zeros(n) if disagreement is None else disagreement, float),
        features=np.array(np.arange(n)[:, None] if features is None else features, float),
    )


def chosen(*args, **kwargs):
    return [index for index, _ in choose_frames(*args, **kwargs)]


def test_uncertainty_keeps_a_gap_between_frames_of_a_cine():
    pool = make_pool([0] * 10, range(10), uncertainty=[0, 1, 2, 3, 8, 9, 7, 6, 5, 4])
    # 5 is worst; 3 to 7 are too near; 8 is the worst of the rest, then 2
    assert chosen(pool, "uncertainty", count=4, rules=SpacingRules(gap=3, patient_lead=None)) == [5, 8, 2]
    assert chosen(pool, "uncertainty", count=3, rules=FREE) == [5, 4, 6]


def test_the_gap_holds_for_labelled_frames_that_are_not_in_the_pool():
    pool = make_pool([0, 0, 1], [0, 10, 0], uncertainty=[3, 2, 1])
    assert chosen(pool, "uncertainty", taken=[(0, 2)], rules=SpacingRules(gap=3)) == [1]
    assert chosen(pool, "uncertainty", taken=[(0, 2), (0, 8), (1, 1)], rules=SpacingRules(gap=3)) == []


def test_a_patient_waits_while_ahead_of_the_others():
    pool = make_pool([0, 0, 0, 1, 1, 1], [0, 1, 2] * 2, uncertainty=[9, 8, 7, 3, 2, 1])
    assert chosen(pool, "uncertainty", count=6, rules=SpacingRules(gap=1, patient_lead=1)) == [0, 3, 1, 4, 2, 5]
    assert chosen(pool, "uncertainty", count=4, rules=SpacingRules(gap=1, patient_lead=2)) == [0, 1, 3, 2]
    # two labels of patient 0 count as well
    assert chosen(pool, "uncertainty", taken=[(0, 0), (0, 1)], rules=SpacingRules(gap=1, patient_lead=2)) == [3]


def test_a_patient_without_open_frames_holds_nobody_up():
    pool = make_pool([0, 0, 1], [0, 1, 0], uncertainty=[3, 2, 1])
    assert chosen(pool, "uncertainty", count=2, taken=[(1, 0)], rules=SpacingRules(gap=1, patient_lead=1)) == [0, 1]


def test_disagreement_takes_the_least_steady():
    assert chosen(make_pool([0, 1, 2], [0, 0, 0], disagreement=[0.1, 0.4, 0.2]), "disagreement", count=2) == [1, 2]


def test_diversity_goes_where_no_label_is():
    pool = make_pool([0, 1, 2, 3], [0] * 4, features=[[0.0], [1], [9], [10]])
    assert chosen(pool, "diversity", count=2, taken=[(0, 0)], rules=FREE) == [3, 1]  # 10 away; then 1 and 9 are both 1 away
    assert chosen(pool, "diversity", rules=FREE) in ([1], [2])  # nearest to the mean, 5


def test_hybrid_helps_the_crowd_before_the_outlier_and_goes_there_next():
    # cines 0 to 9 look the same; cine 10 looks like nothing else and is the most uncertain
    pool = make_pool(range(11), [0] * 11, uncertainty=[1.0] * 10 + [3.0], features=[[0.0]] * 10 + [[5.0]])
    assert chosen(pool, "uncertainty", rules=FREE) == [10]
    first, second = chosen(pool, "hybrid", count=2, rules=FREE)
    # a label of the crowd helps ten frames in need of 1 each, more than the outlier's 3; a second one would help nobody
    assert first in range(10)
    assert second == 10


def test_hybrid_prefers_the_uncertain_and_the_unsteady_among_equals():
    places = [[0.0], [1.0]]
    assert chosen(make_pool([0, 1], [0, 0], uncertainty=[1, 2], features=places), "hybrid", rules=FREE) == [1]
    unsteady = make_pool([0, 1], [0, 0], disagreement=[3, 0], features=places)
    assert chosen(unsteady, "hybrid", rules=FREE) == [0]


def test_hybrid_leaves_what_a_label_of_the_same_cine_covers():
    pool = make_pool([0, 0, 1], [0, 9, 0], features=[[0.0], [0.1], [5.0]])
    assert chosen(pool, "hybrid", taken=[(0, 1)], rules=FREE) == [2]


def test_sequential_and_random_know_no_rules_and_take_nothing_twice():
    pool = make_pool([1, 0, 0], [0, 1, 0], patient=[0, 0, 0])
    strict = SpacingRules(gap=9, patient_lead=1)
    assert chosen(pool, "sequential", count=9, rules=strict) == [2, 1, 0]
    assert chosen(pool, "sequential", taken=[(0, 0)], rules=strict) == [1]
    large = make_pool([0] * 50, range(50))
    assert sorted(chosen(large, "random", count=99)) == list(range(50))
    assert chosen(large, "random", count=5, seed=1) == chosen(large, "random", count=5, seed=1)
    assert chosen(large, "random", count=5, seed=1) != chosen(large, "random", count=5, seed=2)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_strategy_works_without_frames_and_with_one(strategy):
    empty = make_pool([], [], features=np.empty((0, 2)))
    assert choose_frames(empty, strategy) == []
    ((index, score),) = choose_frames(make_pool([7], [3]), strategy, count=2)
    assert index == 0
    assert np.isfinite(score)


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="no strategy 'best'"):
        choose_frames(make_pool([0], [0]), "best")
    with pytest.raises(ValueError, match="at least 1"):
        SpacingRules(gap=0)
    with pytest.raises(ValueError, match="one length"):
        make_pool([0, 1], [0])
