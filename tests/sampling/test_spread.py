from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from repatient.sampling import AffineMap, Spread, donor_spread, mean_shift


def cohort(rng, n_donors=(6, 4), size=30, n_dims=3):
    """Cells of two classes, whose donors differ."""
    classes = np.repeat(np.repeat([0, 1], n_donors), size)
    donors = np.repeat(np.arange(sum(n_donors)), size)
    places = rng.normal(size=(sum(n_donors), n_dims)) * [2.0, 1.0, 0.5]
    return places[donors] + rng.normal(size=(len(donors), n_dims)) + 100.0, classes, donors


def of_means(means):
    return Spread(("a",), means.mean(axis=0)[None], np.cov(means, rowvar=False)[None], np.array([len(means)]))


def test_spread_is_that_of_the_donors_means():
    cells, classes, donors = cohort(np.random.default_rng(0))
    classes[::7] = -1
    found = donor_spread(cells, classes, donors, ["a", "b"])
    assert found.n_donors.tolist() == [6, 4]
    for i in range(2):
        means = np.array([cells[(donors == d) & (classes == i)].mean(axis=0) for d in np.unique(donors[classes == i])])
        np.testing.assert_allclose(found.means[i], means.mean(axis=0))
        np.testing.assert_allclose(found.covariances[i], np.cov(means, rowvar=False), atol=1e-10)


def test_one_donor_has_no_spread_and_one_dimension_is_no_exception():
    found = donor_spread(np.arange(5.0)[:, None], np.array([0, 0, 0, 1, 1]), np.array([0, 1, 1, 2, 2]), ["a", "b"])
    np.testing.assert_array_equal(found.n_donors, [2, 1])
    np.testing.assert_allclose(found.means, [[0.75], [3.5]])
    np.testing.assert_allclose(found.covariances, [[[1.125]], [[0.0]]])
    with pytest.raises(ValueError, match="'b'.*1.*1"):
        mean_shift(found, found, "b", np.ones(1))


def test_spread_of_moved_cells():
    rng = np.random.default_rng(1)
    cells, classes, donors = cohort(rng)
    move = AffineMap(rng.normal(size=(3, 3)), rng.normal(size=3))
    found, wanted = (
        donor_spread(cells, classes, donors, ["a", "b"]).moved(move),
        donor_spread(move(cells), classes, donors, ["a", "b"]),
    )
    np.testing.assert_allclose(found.means, wanted.means)
    np.testing.assert_allclose(found.covariances, wanted.covariances, atol=1e-8)


def test_in_one_dimension_it_is_the_t_test():
    rng = np.random.default_rng(2)
    first, second = rng.normal(size=(7, 1)), rng.normal(0.8, 1.0, size=(5, 1))
    sides = [
        Spread(("a",), x.mean(axis=0)[None], x.var(axis=0, ddof=1).reshape(1, 1, 1), np.array([len(x)]))
        for x in (first, second)
    ]
    found = mean_shift(*sides, "a", np.ones(1))
    assert found.p_value == pytest.approx(stats.ttest_ind(first[:, 0], second[:, 0]).pvalue)


def test_p_values_of_equal_cohorts_are_no_smaller_than_they_should_be():
    rng = np.random.default_rng(3)
    for n_first, n_second, n_dims in ((5, 8, 10), (20, 10, 30), (3, 3, 10)):
        root = rng.normal(size=(n_dims, n_dims)) * np.geomspace(1, 0.05, n_dims)
        values = [
            mean_shift(
                *(of_means(rng.normal(size=(n, n_dims)) @ root.T) for n in (n_first, n_second)), "a", np.ones(n_dims)
            ).p_value
            for _ in range(600)
        ]
        assert np.mean(np.array(values) <= 0.01) <= 0.025
        assert np.mean(np.array(values) <= 0.1) <= 0.14


def test_a_shift_is_found_and_its_size_told():
    rng = np.random.default_rng(4)
    offset = np.zeros(10)
    offset[0] = 2.0
    first, second = rng.normal(size=(30, 10)), rng.normal(size=(30, 10)) + offset
    found = mean_shift(of_means(first), of_means(second), "a", np.full(10, 2.0))
    assert found.p_value < 1e-4
    assert found.statistic == pytest.approx(1.0, abs=0.5)


def test_donors_without_any_spread():
    same = Spread(("a",), np.zeros((1, 2)), np.zeros((1, 2, 2)), np.array([3]))
    moved = Spread(("a",), np.ones((1, 2)), np.zeros((1, 2, 2)), np.array([3]))
    assert mean_shift(same, same, "a", np.ones(2)) == (0.0, 1.0)
    assert mean_shift(same, moved, "a", np.ones(2)) == (2.0, 0.0)
