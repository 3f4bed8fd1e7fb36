from __future__ import annotations

import numpy as np
import pytest
from sklearn.preprocessing import StandardScaler

from repatient.mil import Bags
from repatient.mil._inputs import CLIP, _finite_rows, apply_scaler, check_bags, fit_scaler


@pytest.mark.parametrize("offset", [0.0, 1.0, 1e3, 1e6])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int64, np.bool_])
def test_means_and_scales_are_those_of_scikit_learn(offset, dtype):
    rng = np.random.default_rng(0)
    n_bags, n_cells, d = 20, 200, 200
    # Patients that lie far apart, in the order of the blocks that are read.
    shift = np.repeat(30 * rng.normal(size=(n_bags, d)), n_cells, axis=0)
    X = rng.normal(size=(n_bags * n_cells, d)) * np.geomspace(0.1, 10, d) + shift
    X = np.clip(X + min(offset, 1e3 if dtype == np.float16 else np.inf), -6e4, 6e4 if dtype == np.float16 else np.inf)
    X[:, 3] = 7.1
    X = (X > offset) if dtype == np.bool_ else X.astype(dtype)
    bags = Bags.from_codes(X, np.repeat(np.arange(n_bags), n_cells), n_bags).take(np.arange(2, n_bags))
    mean, scale = fit_scaler(bags, standardize=True)
    expected = StandardScaler().fit(X[bags.rows].astype(np.float64))
    single = dtype in (np.float16, np.float32, np.bool_)
    np.testing.assert_allclose(mean, expected.mean_, rtol=1e-6 if single else 1e-12, atol=1e-5 if single else 1e-9)
    np.testing.assert_allclose(scale, expected.scale_, rtol=1e-5 if single else 1e-10)


def test_large_values_have_a_scale():
    X = (np.random.default_rng(0).normal(size=(50, 3)) * 1e25).astype(np.float32)
    mean, scale = fit_scaler(Bags(X, np.arange(50), np.array([0, 20, 50])), standardize=True)
    np.testing.assert_allclose(scale, X.std(axis=0, dtype=np.float64), rtol=1e-6)
    np.testing.assert_allclose(mean, X.mean(axis=0, dtype=np.float64), rtol=1e-4)


@pytest.mark.parametrize("offset", [0.0, 0.003, 1.0, 1e3, 1e6])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_standardised_values_are_those_of_double_precision(offset, dtype):
    rng = np.random.default_rng(0)
    X = (rng.normal(size=(500, 6)) * np.geomspace(0.1, 10, 6) + offset).astype(dtype)
    mean, scale = X.mean(axis=0, dtype=np.float64), X.std(axis=0, dtype=np.float64)
    given = X.copy()
    scaled = apply_scaler(X, mean, scale, clip=True)
    assert scaled.dtype == np.float32
    np.testing.assert_array_equal(X, given)
    np.testing.assert_allclose(scaled, (X.astype(np.float64) - mean) / scale, rtol=1e-6, atol=2e-7)


def test_far_values_are_clipped_only_if_wished():
    X = np.array([[0.0], [50.0], [-1e9]], dtype=np.float32)
    zero, one = np.zeros(1), np.ones(1)
    np.testing.assert_array_equal(apply_scaler(X, zero, one, clip=True)[:, 0], [0.0, CLIP, -CLIP])
    np.testing.assert_array_equal(apply_scaler(X, zero, one, clip=False), X)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("large", [1.0, 1e30])
def test_rows_that_are_not_finite_are_named(bad, large):
    X = np.full((40, 3), large, dtype=np.float32)
    assert _finite_rows(X, np.arange(40)).all()
    X[7, 1] = bad
    np.testing.assert_array_equal(np.flatnonzero(~_finite_rows(X, np.arange(40))), [7])
    bags = Bags(X, np.arange(5, 10), np.array([0, 2, 5]))
    with pytest.raises(ValueError, match=r"\b1\b.*\b7\b"):
        check_bags(bags, "bags")
    assert check_bags(Bags(X, np.arange(10, 14), np.array([0, 4])), "bags").X is X
