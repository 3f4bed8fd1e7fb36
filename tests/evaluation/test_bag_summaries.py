from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from repatient.evaluation import _bag_summaries
from repatient.evaluation._bag_summaries import summarise_bags


@pytest.fixture
def cells():
    rng = np.random.default_rng(0)
    X = (rng.normal(size=(60, 4)) * [1, 5, 0.1, 2] + [0, 1000, -3, 0]).astype(np.float32)
    counts = rng.poisson(0.3, size=(60, 7))
    counts[0] += 1
    return X, counts


def test_moments_of_repeated_cells(cells):
    X, counts = cells
    summaries = summarise_bags(X, sp.csc_matrix(counts))
    for bag in range(counts.shape[1]):
        rows = np.repeat(X, counts[:, bag], axis=0).astype(np.float64)
        assert summaries.sizes[bag] == len(rows)
        np.testing.assert_allclose(summaries.means[bag], rows.mean(axis=0), rtol=1e-10)
        np.testing.assert_allclose(summaries.scatter[bag], len(rows) * rows.var(axis=0), rtol=1e-6, atol=1e-9)


def test_chunks_do_not_matter(cells, monkeypatch):
    X, counts = cells
    whole = summarise_bags(X, sp.csc_matrix(counts))
    monkeypatch.setattr(_bag_summaries, "_ROWS_OF_A_CHUNK", 7)
    parts = summarise_bags(X, sp.csc_matrix(counts))
    np.testing.assert_allclose(parts.means, whole.means, rtol=1e-12)
    np.testing.assert_allclose(parts.scatter, whole.scatter, rtol=1e-8, atol=1e-9)


def test_within_variance_is_the_pooled_one():
    rng = np.random.default_rng(1)
    codes = np.repeat(np.arange(5), [2, 3, 4, 5, 6])
    X = rng.normal(size=(20, 2)) + 10 * codes[:, None]
    counts = sp.csc_array((np.ones(20), (np.arange(20), codes)))
    expected = sum((codes == k).sum() * X[codes == k].var(axis=0) for k in range(5)) / (20 - 5)
    np.testing.assert_allclose(summarise_bags(X, counts).within_variance, expected)


def test_expected_variance_does_not_depend_on_the_size():
    rng = np.random.default_rng(2)
    sizes = np.repeat([1, 2, 30], 4000)
    codes = np.repeat(np.arange(len(sizes)), sizes)
    X = 3 * rng.normal(size=(len(codes), 1))
    summaries = summarise_bags(X, sp.csc_array((np.ones(len(codes)), (np.arange(len(codes)), codes))))
    variances = np.exp(summaries.moments(np.array([9.0]))[:, 1])
    for size in (1, 2, 30):
        assert variances[sizes == size].mean() == pytest.approx(9, rel=0.05)
    assert np.allclose(variances[sizes == 1], 9)


def test_constant_features_have_no_log_variance():
    X = np.array([[0.0, 7.0], [1.0, 7.0], [2.0, 7.0]])
    summaries = summarise_bags(X, sp.csc_array(np.array([[1, 0], [1, 1], [0, 1]])))
    assert summaries.moments(summaries.within_variance).shape == (2, 3)


def test_take(cells):
    X, counts = cells
    summaries = summarise_bags(X, sp.csc_matrix(counts))
    some = summaries.take(np.array([4, 1]))
    np.testing.assert_array_equal(some.means, summarise_bags(X, sp.csc_matrix(counts[:, [4, 1]])).means)
    np.testing.assert_array_equal(some.sizes, summaries.sizes[[4, 1]])


def test_what_does_not_fit():
    with pytest.raises(ValueError, match="`counts`.*3.*`X`.*4"):
        summarise_bags(np.zeros((4, 2)), sp.csc_array(np.ones((3, 2))))
    with pytest.raises(ValueError, match=r"\b1\b.*\b2\b"):
        summarise_bags(np.zeros((2, 2)), sp.csc_array(np.array([[1, 0], [1, 0]])))
