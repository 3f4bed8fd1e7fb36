from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from scipy.spatial.distance import pdist

from repatient.evaluation import energy_distance, mmd_test


def kernel(x, y, bandwidth):
    squared = ((x - y) ** 2).sum() / bandwidth**2
    return np.mean([np.exp(-squared / (2 * factor**2)) for factor in (0.5, 1, 2)])


def brute_force(X, Y, groups_x, groups_y):
    """Equation 3 of Gretton et al. with loops over pairs of groups."""
    bandwidth = np.median(pdist(np.concatenate([X, Y])))
    first = [X[groups_x == g] for g in np.unique(groups_x)]
    second = [Y[groups_y == g] for g in np.unique(groups_y)]

    def mean(a, b):
        return np.mean([kernel(x, y, bandwidth) for x in a for y in b])

    p, q = len(first), len(second)
    within = sum(mean(first[i], first[j]) for i in range(p) for j in range(p) if i != j) / (p * (p - 1))
    within += sum(mean(second[i], second[j]) for i in range(q) for j in range(q) if i != j) / (q * (q - 1))
    return within - 2 * np.mean([mean(a, b) for a in first for b in second])


def test_statistic_is_its_definition():
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(9, 3)), rng.normal(0.7, 2, size=(12, 3))
    by_row = brute_force(X, Y, np.arange(9), np.arange(12))
    assert mmd_test(X, Y, n_permutations=1).statistic == pytest.approx(by_row)
    groups_x, groups_y = rng.permutation([0, 0, 0, 1, 1, 2, 2, 2, 2]), np.repeat(["a", "c", "b"], [2, 7, 3])
    grouped = mmd_test(X, Y, n_permutations=1, groups_x=groups_x, groups_y=groups_y).statistic
    assert grouped == pytest.approx(brute_force(X, Y, groups_x, groups_y))


def test_blocks_do_not_matter(monkeypatch):
    rng = np.random.default_rng(1)
    X, Y = rng.normal(size=(40, 2)), rng.normal(size=(31, 2))
    groups = {"groups_x": rng.integers(5, size=40), "groups_y": rng.integers(4, size=31)}
    whole = mmd_test(X, Y, **groups), energy_distance(X, Y)
    monkeypatch.setattr("repatient.evaluation._discrepancy._BLOCK_ENTRIES", 150)
    blocks = mmd_test(X, Y, **groups), energy_distance(X, Y)
    np.testing.assert_allclose(whole[0], blocks[0])
    assert whole[1] == pytest.approx(blocks[1])


def test_p_value_is_the_share_of_exchanges_that_are_as_far():
    """With 3 and 3 rows there are 20 exchanges, of which the observed one and its mirror image are the furthest."""
    X, Y = np.array([[0.0], [0.1], [0.2]]), np.array([[5.0], [5.1], [5.2]])
    found = mmd_test(X, Y, n_permutations=20_000)
    assert found.p_value == pytest.approx(2 / 20, abs=0.01)


def test_p_value_is_uniform_without_and_small_with_a_shift():
    rng = np.random.default_rng(2)
    calm = [mmd_test(*rng.normal(size=(2, 25, 2)), n_permutations=99, random_state=i).p_value for i in range(200)]
    assert stats.kstest(calm, "uniform").pvalue > 0.001
    assert mmd_test(rng.normal(size=(60, 2)), rng.normal(1, 1, size=(50, 2))).p_value == 1 / 200
    wider = mmd_test(rng.normal(size=(80, 2)), rng.normal(0, 3, size=(80, 2)))
    assert wider.p_value == 1 / 200


def test_groups_keep_a_few_odd_patients_from_looking_like_a_shift():
    """Cells of one patient are alike: as rows they betray their patient, as groups they say nothing of the cohorts."""
    rng = np.random.default_rng(3)
    by_row, by_group = [], []
    for seed in range(60):
        codes = np.repeat(np.arange(8), 20)
        cells = rng.normal(size=(8, 2))[codes] + 0.3 * rng.normal(size=(160, 2))
        X, Y = cells[:80], cells[80:]
        by_row.append(mmd_test(X, Y, n_permutations=99, random_state=seed).p_value)
        groups = {"groups_x": codes[:80], "groups_y": codes[80:]}
        by_group.append(mmd_test(X, Y, **groups, n_permutations=99, random_state=seed).p_value)
    assert np.mean(np.array(by_row) <= 0.05) > 0.8
    assert np.mean(np.array(by_group) <= 0.05) < 0.15


def test_seed_and_order_of_rows():
    rng = np.random.default_rng(4)
    X, Y = rng.normal(size=(2, 30, 3))
    groups_x, groups_y = np.arange(30) % 6, np.arange(30) % 5
    first = mmd_test(X, Y, groups_x=groups_x, groups_y=groups_y)
    assert first == mmd_test(X, Y, groups_x=groups_x, groups_y=groups_y)
    order = rng.permutation(30)
    again = mmd_test(X[order], Y, groups_x=groups_x[order], groups_y=groups_y)
    assert again.statistic == pytest.approx(first.statistic)
    assert again.p_value == first.p_value


def test_equal_rows():
    assert mmd_test(np.zeros((4, 2)), np.zeros((5, 2))) == (0, 1)


def test_energy_distance_is_scipys_in_one_dimension():
    rng = np.random.default_rng(5)
    x, y = rng.normal(size=30), rng.normal(1, 2, size=45)
    assert energy_distance(x[:, None], y[:, None]) == pytest.approx(stats.energy_distance(x, y))
    assert energy_distance(x[:, None], x[:, None]) == pytest.approx(0, abs=1e-7)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ((np.zeros((3, 2)), np.zeros((3, 4))), r"\(3, 2\).*\(3, 4\)"),
        ((np.zeros(3), np.zeros(3)), r"\(3,\)"),
        ((np.zeros((0, 2)), np.zeros((3, 2))), "rows in both"),
        ((np.zeros((3, 2)), np.full((3, 2), np.nan)), "`Y`.*3.*3"),
    ],
)
def test_bad_samples(arguments, match):
    for function in (mmd_test, energy_distance):
        with pytest.raises(ValueError, match=match):
            function(*arguments)


def test_bad_groups():
    X = np.random.default_rng(0).normal(size=(6, 2))
    with pytest.raises(ValueError, match="both"):
        mmd_test(X, X, groups_x=np.arange(6))
    with pytest.raises(ValueError, match=r"`groups_y`.*\(5,\)"):
        mmd_test(X, X, groups_x=np.arange(6), groups_y=np.arange(5))
    with pytest.raises(ValueError, match="`X`.*1.*`Y`.*6"):
        mmd_test(X, X, groups_x=np.zeros(6), groups_y=np.arange(6))
    with pytest.raises(ValueError, match="rows"):
        mmd_test(X[:1], X)
    with pytest.raises(ValueError, match="n_permutations"):
        mmd_test(X, X, n_permutations=0)
