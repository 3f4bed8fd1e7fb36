from __future__ import annotations

import numpy as np
import pytest

from repatient.mil._split import groups_needed, validation_split


@pytest.mark.parametrize("seed", range(5))
def test_each_class_is_held_out_in_proportion(seed):
    y = np.repeat([0, 1, 2], [50, 20, 5])
    held_out = validation_split(y, np.arange(75), 0.2, np.random.default_rng(seed), 3)
    assert np.bincount(y[held_out]).tolist() == [10, 4, 1]
    assert np.all(np.diff(held_out) > 0)


@pytest.mark.parametrize("seed", range(20))
def test_groups_stay_whole_and_no_class_is_emptied(seed):
    rng = np.random.default_rng(seed)
    donors = rng.integers(0, 25, size=60)
    y = rng.integers(0, 3, size=60)
    held_out = validation_split(y, donors, 0.2, rng, 3)
    outside = np.setdiff1d(np.arange(60), held_out)
    assert len(held_out) > 0
    assert not set(donors[held_out]) & set(donors[outside])
    assert set(y[held_out]) == set(y[outside]) == {0, 1, 2}
    assert 0.1 <= len(held_out) / 60 <= 0.4


def test_a_class_of_too_few_groups_means_no_validation_at_all():
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], [30, 4])
    assert len(validation_split(y, np.arange(34), 0.2, rng, 2)) == 0
    assert len(validation_split(y, np.arange(34), 0.25, rng, 2)) > 0
    # Ten bags of one donor are one group.
    y, donors = np.repeat([0, 1], [30, 10]), np.r_[np.arange(30), np.full(10, 99)]
    assert len(validation_split(y, donors, 0.2, rng, 2)) == 0
    # A class of generated bags only.
    assert len(validation_split(np.zeros(30, int), np.arange(30), 0.2, rng, 2)) == 0


def test_the_smallest_group_is_held_out_where_all_overshoot():
    sizes = [4, 3, 2, 3, 4]
    donors, y = np.repeat(np.arange(5), sizes), np.zeros(16, int)
    y = np.r_[y, np.ones(20, int)]
    donors = np.r_[donors, np.arange(100, 120)]
    held_out = validation_split(y, donors, 0.05, np.random.default_rng(0), 2)
    assert len(held_out) == 0  # 5 groups are too few for a twentieth
    held_out = validation_split(y, donors, 0.2, np.random.default_rng(0), 2)
    assert 2 <= np.count_nonzero(y[held_out] == 0) <= 5


def test_one_group_in_all_bags_is_never_split():
    y = np.tile([0, 1], 10)
    assert len(validation_split(y, np.zeros(20, int), 0.2, np.random.default_rng(0), 2)) == 0


def test_groups_needed_is_not_fooled_by_rounding():
    assert [groups_needed(f) for f in (0.5, 0.3, 0.2, 0.1, 1 / 3, 1 / 49)] == [2, 4, 5, 10, 3, 49]


def test_the_seed_decides():
    y, groups = np.repeat([0, 1], 40), np.arange(80)
    a, b, c = (validation_split(y, groups, 0.2, np.random.default_rng(s), 2) for s in (1, 1, 2))
    assert a.tolist() == b.tolist() != c.tolist()
