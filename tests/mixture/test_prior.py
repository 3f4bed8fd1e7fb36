"""Covariances that few rows can bear."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from scipy.stats import multivariate_normal
from sklearn.mixture import GaussianMixture as Reference

from repatient.mixture import Components, GaussianMixture, default_n_components


def drawn(n_rows, n_dims=20, seed=0):
    rng = np.random.default_rng(seed)
    mixing = np.random.default_rng(9).normal(size=(n_dims, n_dims)) / np.sqrt(n_dims) + np.eye(n_dims)
    labels = rng.integers(3, size=n_rows)
    return 3 * np.eye(n_dims)[labels] + rng.normal(size=(n_rows, n_dims)) @ mixing


def test_few_rows_explain_others_better_than_with_any_fixed_regularisation():
    train, test = drawn(150), drawn(2000, seed=1)
    best = max(
        Reference(3, covariance_type=kind, reg_covar=reg, random_state=0).fit(train).score(test)
        for kind in ("full", "diag")
        for reg in (1e-6, 1e-3, 1e-1)
    )
    assert GaussianMixture(3).fit(train).score(test) > best


def test_with_many_rows_the_prior_is_gone():
    rows = drawn(6000, 5)
    fits = [GaussianMixture(3, prior=prior).fit(rows).log_likelihood_ for prior in (0, "auto")]
    assert fits[0] == pytest.approx(fits[1], abs=2e-3)


def test_an_ample_subsample_is_searched_as_without_a_prior():
    # Components that overlap: on the way, a prior that makes them alike leads to another optimum, .07 nats lower.
    rng, n_dims, n_components = np.random.default_rng(0), 32, 30
    means = rng.normal(size=(n_components, n_dims)) * 3 / np.sqrt(n_dims)
    factors = rng.normal(size=(n_components, n_dims, n_dims)) * 0.5 / np.sqrt(n_dims) + 0.8 * np.eye(n_dims)
    kind = rng.integers(n_components, size=50_000)
    noise = rng.standard_normal((50_000, n_dims)) * np.sqrt(6 / rng.chisquare(6, size=(50_000, 1)))
    rows = (means[kind] + np.einsum("nd,ned->ne", noise, factors[kind])).astype(np.float32)
    fits = [GaussianMixture(n_components, prior=prior).fit(rows[:40_000]) for prior in (0, "auto")]
    none, auto = (fit.score(rows[40_000:]) for fit in fits)
    assert auto == pytest.approx(none, abs=2e-3)


def test_groups_held_out_tell_what_patients_do_not_share():
    rng = np.random.default_rng(0)
    patients = np.repeat(np.arange(24), 20)
    # Each patient lies elsewhere and spreads little: cells in mixed order hold no patient out unless they are named.
    rows = (3 * rng.normal(size=(24, 6)))[patients] + 0.1 * rng.normal(size=(480, 6))
    test = 3 * rng.normal(size=(2000, 6))
    order = rng.permutation(480)
    named, unnamed = (GaussianMixture(6).fit(rows[order], groups=groups) for groups in (patients[order], None))
    assert named.score(test) > unnamed.score(test) + 1
    with pytest.raises(ValueError, match="`groups`"):
        GaussianMixture(2).fit(rows, groups=patients[1:])


@pytest.mark.parametrize("far", [1e6, 1e8, 1e12])
@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag"])
def test_a_row_in_the_far_distance_does_not_stop_a_fit(covariance_type, far):
    rows = np.vstack([drawn(600, 5), np.full((1, 5), far)]).astype(np.float32)
    fitted = GaussianMixture(4, covariance_type=covariance_type).fit(rows)
    assert np.isfinite(fitted.log_likelihood_)
    full = {"tied": lambda c: [c] * 4, "diag": lambda c: [np.diag(of) for of in c], "full": list}[covariance_type]
    exact = np.logaddexp.reduce(
        [
            np.log(weight) + multivariate_normal(mean, covariance, allow_singular=True).logpdf(rows[:-1])
            for weight, mean, covariance in zip(fitted.weights_, fitted.means_, full(fitted.covariances_), strict=True)
        ]
    )
    np.testing.assert_allclose(fitted.score_samples(rows)[:-1], exact, rtol=1e-3, atol=0.1)


@pytest.mark.parametrize("unit", [1e-6, 1e6])
def test_components_do_not_depend_on_the_unit(unit):
    rows = drawn(300, 4)
    np.testing.assert_array_equal(GaussianMixture(3).fit_predict(rows), GaussianMixture(3).fit_predict(unit * rows))


def test_one_far_row_hides_nothing():
    rows = np.vstack([drawn(400, 3), np.full((1, 3), 1e5)]).astype(np.float32)
    fitted = GaussianMixture(4).fit(rows)
    exact = GaussianMixture.from_parameters(fitted.weights_, fitted.means_, fitted.covariances_)
    np.testing.assert_allclose(fitted.score_samples(rows), exact.score_samples(rows.astype(np.float64)), atol=1e-2)
    assert np.diagonal(fitted.covariances_, axis1=1, axis2=2).min() > 1e-3


def test_default_number_follows_cells_dimensions_and_patients():
    assert [default_n_components(n, 10) for n in (500, 10_000, 100_000, 10**7)] == [5, 15, 32, 40]
    assert default_n_components(500, 166) == 2
    assert default_n_components(100_000, 10, 4) == 5
    assert default_n_components(1, 1) == 1
    with pytest.raises(TypeError, match="`n_cells`"):
        default_n_components(1.5, 2)


@pytest.mark.parametrize("seed", [0, 5, 42, 55])
def test_features_that_hardly_ever_vary_overflow_nowhere(seed):
    rng = np.random.default_rng(seed)
    X = (rng.random((40, 60)) < 0.06) * rng.standard_normal((40, 60))
    X = (X - X.mean(axis=0)) / np.where(X.std(axis=0) > 0, X.std(axis=0), 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        fitted = Components.fit(X.astype(np.float32), 5, random_state=seed)
    assert len(np.unique(fitted.assign(X.astype(np.float32)))) > 1
