from __future__ import annotations

import numpy as np
import pytest

from repatient.mixture import _chunks
from repatient.mixture._parameters import Parameters
from repatient.mixture._whitening import Whitening, moments_of_mixture, moments_of_rows


@pytest.fixture
def rows():
    rng = np.random.default_rng(0)
    return rng.normal(size=(700, 4)) @ rng.normal(size=(4, 4)) * [1, 100, 0.01, 1] + 1e3


@pytest.mark.parametrize("n_bytes", [1, 1 << 20])
def test_moments_equal_numpy(rows, monkeypatch, n_bytes):
    monkeypatch.setattr(_chunks, "FEATURE_BYTES", n_bytes)
    moments = moments_of_rows(np.sort(rows, axis=0))
    np.testing.assert_allclose(moments.mean, rows.mean(axis=0), rtol=1e-13)
    expected = np.cov(np.sort(rows, axis=0).T, ddof=0)
    np.testing.assert_allclose(moments.covariance, expected, rtol=1e-9)
    np.testing.assert_array_equal(moments.extremes, [rows.min(axis=0), rows.max(axis=0)])


@pytest.mark.parametrize("diagonal", [True, False])
def test_no_whitened_value_is_beyond_its_reach(rows, diagonal):
    moments = moments_of_rows(rows)
    whitening = Whitening.from_moments(moments, diagonal=diagonal)
    largest = np.abs(whitening.columns(rows)).max()
    assert largest <= whitening.reach(moments.extremes)
    corner = np.where(whitening.forward > 0, *moments.extremes[::-1]) if diagonal else moments.extremes[1]
    assert np.abs(whitening.columns(corner[None])).max() <= whitening.reach(moments.extremes) * (1 + 1e-12)
    if diagonal:
        assert largest == pytest.approx(whitening.reach(moments.extremes))


def test_whitened_rows_are_uncorrelated_with_unit_variance(rows):
    whitening = Whitening.from_moments(moments_of_rows(rows), diagonal=False)
    np.testing.assert_allclose(np.cov(whitening.columns(rows), ddof=0), np.eye(4), atol=1e-9)
    scaled = Whitening.from_moments(moments_of_rows(rows), diagonal=True).columns(rows)
    np.testing.assert_allclose(scaled.std(axis=1), 1)
    np.testing.assert_allclose(np.corrcoef(scaled), np.corrcoef(rows.T), atol=1e-9)


@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag"])
def test_parameters_survive_the_way_there_and_back(rows, covariance_type):
    rng = np.random.default_rng(1)
    covariances = {"full": np.stack([np.cov(rows.T)] * 4), "tied": np.cov(rows.T), "diag": rng.random((4, 4)) + 1}
    given = Parameters(covariance_type, np.full(4, 0.25), rows[:4], covariances[covariance_type])
    whitening = Whitening.from_moments(moments_of_rows(rows), diagonal=covariance_type == "diag")
    back = whitening.unwhiten(whitening.whiten(given))
    np.testing.assert_allclose(back.means, given.means, rtol=1e-10)
    np.testing.assert_allclose(back.covariances, given.covariances, rtol=1e-8)


def test_rank_deficient_rows_have_an_invertible_whitening():
    rng = np.random.default_rng(0)
    flat = rng.normal(size=(50, 2)) @ rng.normal(size=(2, 5))
    flat[:, 4] = 3.0
    whitening = Whitening.from_moments(moments_of_rows(flat), diagonal=False)
    np.testing.assert_allclose(whitening.forward @ whitening.backward, np.eye(5), atol=1e-6)
    assert np.isfinite(whitening.columns(flat)).all()


def test_mixture_moments_equal_those_of_its_labelled_rows(plant):
    planted = plant(900, 3, 3)
    own = [planted.rows[planted.labels == k] for k in range(3)]
    weights = np.array([len(part) for part in own]) / 900
    means, covariances = np.stack([p.mean(axis=0) for p in own]), np.stack([np.cov(p.T, ddof=0) for p in own])
    moments = moments_of_mixture(Parameters("full", weights, means, covariances))
    np.testing.assert_allclose(moments.mean, planted.rows.mean(axis=0), atol=1e-12)
    np.testing.assert_allclose(moments.covariance, np.cov(planted.rows.T, ddof=0), atol=1e-10)


def test_rounding_of_a_constant_is_no_variance(rows):
    # The mean of these equal values is not exactly their value.
    constant = np.full(len(rows), 1e3 / 3)
    assert constant.var() > 0
    covariance = moments_of_rows(np.column_stack([rows, constant])).covariance
    assert (covariance[4] == 0).all()
    assert (covariance[:, 4] == 0).all()
    np.testing.assert_allclose(covariance[:4, :4], np.cov(rows.T, ddof=0), rtol=1e-9)


@pytest.mark.parametrize("diagonal", [False, True])
def test_rounded_map_is_exact_in_float32_and_nearly_white(rows, diagonal):
    whitening = Whitening.from_moments(moments_of_rows(rows), diagonal=diagonal).rounded()
    assert whitening.suits_float32
    for values in (whitening.mean, whitening.forward):
        np.testing.assert_array_equal(values.astype(np.float32), values)
    product = whitening.forward * whitening.backward if diagonal else whitening.forward @ whitening.backward
    np.testing.assert_allclose(product, np.ones(4) if diagonal else np.eye(4), atol=1e-12)
    single = rows.astype(np.float32)
    columns = whitening.columns(single)
    assert columns.dtype == np.float32
    np.testing.assert_allclose(columns, whitening.columns(single.astype(np.float64)), atol=2e-5)
    np.testing.assert_allclose(columns.std(axis=1), 1, atol=1e-2)


def test_ill_conditioned_map_is_left_to_double_precision():
    rng = np.random.default_rng(0)
    base = rng.normal(size=(500, 3))
    collinear = np.column_stack([base, base @ [1.0, 1.0, 1.0] + 1e-4 * rng.normal(size=500)])
    whitening = Whitening.from_moments(moments_of_rows(collinear), diagonal=False)
    assert whitening.rounded() is whitening
    assert not whitening.suits_float32


@pytest.mark.parametrize("n_dims", [64, 80])
def test_variances_are_enough_for_diagonal_mixtures_of_many_features(n_dims, monkeypatch):
    monkeypatch.setattr(_chunks, "FEATURE_BYTES", 1 << 16)
    rows = np.random.default_rng(1).normal(size=(900, n_dims)) * np.geomspace(1e-2, 1e2, n_dims) + 50
    rows[:, 3] = 7.0
    moments = moments_of_rows(rows, diagonal=True)
    expected = rows.var(axis=0)
    expected[3] = 0.0
    np.testing.assert_allclose(np.diag(moments.covariance), expected, rtol=1e-9)
    np.testing.assert_allclose(moments.mean, rows.mean(axis=0), rtol=1e-12)
    assert (np.count_nonzero(moments.covariance - np.diag(np.diag(moments.covariance))) == 0) == (n_dims > 64)
