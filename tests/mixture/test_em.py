from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture as Reference

from repatient.mixture import GaussianMixture, _chunks
from repatient.mixture._em import Sample, expectation, remaining_gain
from repatient.mixture._features import FEATURE_MAPS
from repatient.mixture._parameters import Parameters
from repatient.mixture._whitening import Whitening, moments_of_rows

TYPES = ["full", "tied", "diag"]


def initial(rows, n_components, covariance_type, seed=0):
    """Rough parameters to start from, with the precisions that scikit-learn wants."""
    rng = np.random.default_rng(seed)
    n_dims = rows.shape[1]
    factors = rng.normal(size=(n_components, n_dims, n_dims))
    full = factors @ np.swapaxes(factors, 1, 2) + 2 * np.eye(n_dims)
    covariances = {"full": full, "tied": full[0], "diag": np.diagonal(full, axis1=1, axis2=2)}[covariance_type]
    precisions = 1 / covariances if covariance_type == "diag" else np.linalg.inv(covariances)
    weights = rng.dirichlet(np.full(n_components, 5.0))
    means = rows[rng.choice(len(rows), n_components, replace=False)]
    return {"weights_init": weights, "means_init": means}, covariances, precisions


def run_passes(rows, n_components, covariance_type, n_passes, **params):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return GaussianMixture(
            n_components, covariance_type=covariance_type, max_iter=n_passes, tol=0, prior=0, **params
        ).fit(rows)


@pytest.mark.parametrize("covariance_type", TYPES)
@pytest.mark.parametrize(("n_components", "reg_covar"), [(1, 1e-6), (5, 0.3), (6, 1e-6)])
def test_one_pass_equals_scikit_learn(plant, covariance_type, reg_covar, n_components):
    # As many components as features is where the shapes of tied and diagonal covariances coincide.
    rows = plant(1500, 5, 6, separation=2.0).rows * np.array([1, 10, 0.1, 3, 1, 50]) + 7
    # The regularisation is a share of the variances, which are 1 here.
    rows /= rows.std(axis=0)
    given, covariances, precisions = initial(rows, n_components, covariance_type)
    ours = run_passes(
        rows, n_components, covariance_type, 1, reg_covar=reg_covar, covariances_init=covariances, **given
    )
    reference = Reference(
        n_components,
        covariance_type=covariance_type,
        max_iter=1,
        reg_covar=reg_covar,
        precisions_init=precisions,
        **given,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        reference.fit(rows)
    order = np.argsort(-reference.weights_)
    expected = reference.covariances_ if covariance_type == "tied" else reference.covariances_[order]
    np.testing.assert_allclose(ours.weights_, reference.weights_[order], rtol=1e-10)
    np.testing.assert_allclose(ours.means_, reference.means_[order], rtol=1e-10, atol=1e-10)
    # A covariance is as exact as the spreads of its two features are.
    variances = np.diagonal(expected, axis1=1, axis2=2) if covariance_type == "full" else np.diagonal(expected)
    scale = 1.0 if covariance_type == "diag" else np.sqrt(variances[..., :, None] * variances[..., None, :])
    np.testing.assert_allclose(ours.covariances_ / scale, expected / scale, rtol=1e-10, atol=1e-10)
    assert ours.log_likelihoods_[0] == pytest.approx(reference.lower_bound_, rel=1e-10)
    assert ours.log_likelihood_ == pytest.approx(reference.score(rows), rel=1e-10)


@pytest.mark.parametrize("covariance_type", TYPES)
@pytest.mark.parametrize("seed", [0, 1])
def test_log_likelihood_never_falls(plant, covariance_type, seed):
    rows = plant(800, 4, 3, separation=1.5, seed=seed).rows
    given, covariances, _ = initial(rows, 4, covariance_type, seed)
    fitted = run_passes(rows, 4, covariance_type, 60, reg_covar=0, covariances_init=covariances, **given)
    assert fitted.n_reseeded_ == 0
    assert fitted.n_iter_ > 10
    course = np.append(fitted.log_likelihoods_, fitted.log_likelihood_)
    assert np.diff(course).min() > -1e-10
    assert course[-1] > course[0] + 0.1


@pytest.mark.parametrize("covariance_type", TYPES)
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-10), (np.float32, 1e-6)])
def test_block_size_does_not_matter(plant, monkeypatch, covariance_type, dtype, tolerance):
    rows = plant(1500, 3, 4).rows.astype(dtype)
    fits = []
    for n_bytes in (1, 40_000, 1 << 24):
        monkeypatch.setattr(_chunks, "FEATURE_BYTES", n_bytes)
        fits.append(GaussianMixture(3, covariance_type=covariance_type, n_init=2).fit(rows))
    for other in fits[1:]:
        np.testing.assert_allclose(other.means_, fits[0].means_, rtol=tolerance, atol=tolerance)
        np.testing.assert_allclose(other.covariances_, fits[0].covariances_, rtol=tolerance, atol=tolerance)
        assert other.log_likelihood_ == pytest.approx(fits[0].log_likelihood_, abs=tolerance)


@pytest.mark.parametrize("covariance_type", TYPES)
def test_neither_does_it_where_single_precision_has_the_last_word(plant, monkeypatch, covariance_type):
    rows = plant(9000, 3, 4).rows.astype(np.float32)
    fits = []
    for n_bytes in (40_000, 1 << 24):
        monkeypatch.setattr(_chunks, "FEATURE_BYTES", n_bytes)
        fits.append(GaussianMixture(3, covariance_type=covariance_type, n_init=2).fit(rows))
    for name in ("weights_", "means_", "covariances_"):
        one, other = (getattr(fitted, name) for fitted in fits)
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-6 * np.abs(other).max())
    double = GaussianMixture(3, covariance_type=covariance_type, n_init=2).fit(rows.astype(np.float64))
    assert fits[0].log_likelihood_ == pytest.approx(double.log_likelihood_, abs=1e-6)


@pytest.mark.parametrize("covariance_type", TYPES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_of_many_rows_the_last_pass_tells_the_likelihood(plant, covariance_type, dtype):
    rows = plant(9000, 3, 4).rows.astype(dtype)
    fitted = GaussianMixture(3, covariance_type=covariance_type, means_init=rows[:3]).fit(rows)
    assert fitted.n_iter_ > 3
    assert fitted.log_likelihood_ == fitted.log_likelihoods_[-1]
    assert fitted.log_likelihood_ == pytest.approx(fitted.score(rows), abs=1e-6)
    further = GaussianMixture(3, covariance_type=covariance_type, means_init=rows[:3], tol=1e-7, max_iter=500).fit(rows)
    assert 0 <= further.log_likelihood_ - fitted.log_likelihood_ < 1e-3
    assert 0 < fitted.gap_ < 1e-3
    near = GaussianMixture(3, covariance_type=covariance_type).fit(rows)
    assert near.n_iter_ == 2
    assert near.log_likelihood_ > near.log_likelihoods_[-1]
    assert np.isfinite(near.gap_)


@pytest.mark.parametrize("covariance_type", TYPES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_pass_is_the_same_whether_or_not_rows_are_known_to_be_near(plant, covariance_type, dtype):
    planted = plant(3000, 3, 4)
    rows = planted.rows.astype(dtype)
    moments = moments_of_rows(rows)
    whitening = Whitening.from_moments(moments, diagonal=covariance_type == "diag").rounded()
    near = Sample.of(rows, whitening, moments)
    assert near.is_near(whitening)
    unknown = Sample.of(rows, whitening, replace(moments, extremes=None))
    far = Sample.of(rows, whitening, replace(moments, extremes=1e4 * moments.extremes))
    assert not unknown.is_near(whitening)
    assert not far.is_near(whitening)
    feature_map = FEATURE_MAPS[covariance_type](4)
    given, covariances, _ = initial(rows, 3, covariance_type)
    parameters = Parameters(covariance_type, given["weights_init"], given["means_init"], covariances)
    coefficients = feature_map.coefficients(whitening.whiten(parameters))
    passes = [expectation(sample, feature_map, coefficients) for sample in (near, unknown, far)]
    for other in passes[1:]:
        np.testing.assert_array_equal(other.sums.values, passes[0].sums.values)
        assert other.log_likelihood == passes[0].log_likelihood


@pytest.mark.parametrize("covariance_type", TYPES)
def test_component_without_rows_is_reseeded(plant, covariance_type):
    rows = plant(2000, 3, 2, separation=8.0).rows
    means = np.array([rows[0], rows[1], [1e4, 1e4]])
    fitted = GaussianMixture(3, covariance_type=covariance_type, means_init=means, tol=1e-5, max_iter=500).fit(rows)
    assert fitted.n_reseeded_ >= 1
    assert fitted.weights_.min() * len(rows) > 1
    assert np.abs(fitted.means_).max() < 100
    assert all(np.isfinite(values).all() for values in (fitted.weights_, fitted.means_, fitted.covariances_))


def test_regularisation_is_raised_when_a_covariance_is_singular():
    rng = np.random.default_rng(0)
    rows = np.repeat(rng.normal(size=(6, 3)), 4, axis=0)
    fitted = GaussianMixture(6, prior=0, reg_covar=1e-18, means_init=rows[::4]).fit(rows)
    assert fitted.reg_covar_ > 1e-18
    assert np.isfinite(fitted.covariances_).all()


def test_singular_covariance_without_regularisation_is_explained():
    rows = np.repeat(np.random.default_rng(0).normal(size=(6, 3)), 4, axis=0)
    with pytest.raises(ValueError, match="components"):
        GaussianMixture(6, prior=0, reg_covar=0, means_init=rows[::4]).fit(rows)


@pytest.mark.parametrize("covariance_type", TYPES)
def test_constant_feature_without_regularisation_is_explained(plant, covariance_type):
    rows = plant(500, 2, 3).rows
    rows[:, 1] = 3.0
    with pytest.raises(ValueError, match="reg_covar=0"):
        GaussianMixture(2, covariance_type=covariance_type, reg_covar=0).fit(rows)


def test_likelihood_of_nearly_collinear_features_is_that_of_the_parameters():
    # Of many rows the last pass tells the likelihood, but not where whitening has to leave a direction out.
    rng = np.random.default_rng(0)
    first = 3 * rng.normal(size=(3000, 1))
    rows = np.hstack([first, 2 * first + 1e-7 * rng.normal(size=first.shape)])
    fitted = GaussianMixture(1, prior=0, reg_covar=0, init_max_samples=1500).fit(rows)
    assert fitted.log_likelihood_ == pytest.approx(fitted.score(rows), abs=1e-9)


def test_remaining_gain_is_exact_for_geometric_gains():
    course = 5.0 - 3.0 * 0.8 ** np.arange(6)
    assert remaining_gain(course) == pytest.approx(5.0 - course[-1], rel=1e-9)
    assert np.isnan(remaining_gain(course[:2]))
    assert remaining_gain(np.array([1.0, 1.5, 1.5])) == 0
    assert remaining_gain(np.array([1.0, 1.1, 1.3])) == np.inf


def test_gap_tells_what_convergence_would_still_gain(plant):
    rows = plant(3000, 4, 3, separation=1.5).rows
    given = {"means_init": rows[:4], "max_iter": 5000}
    early = GaussianMixture(4, tol=3e-5, **given).fit(rows)
    late = GaussianMixture(4, tol=1e-12, **given).fit(rows)
    missing = late.log_likelihood_ - early.log_likelihood_
    assert missing > 3e-5
    assert missing / 4 < early.gap_ < missing * 4
    assert late.gap_ < 1e-8


@pytest.mark.parametrize("n_dims", [5, 40])
def test_float32_passes_equal_float64_passes(plant, n_dims):
    planted = plant(4000, 5, n_dims, separation=1.0)
    rows = (planted.rows + 100).astype(np.float32)
    given = {"means_init": rows[:5], "reg_covar": 1e-3}
    single = run_passes(rows, 5, "tied", 6, **given)
    double = run_passes(rows.astype(np.float64), 5, "tied", 6, **given)
    np.testing.assert_allclose(single.log_likelihoods_, double.log_likelihoods_, atol=2e-5)
    np.testing.assert_allclose(single.covariances_, double.covariances_, atol=1e-4)
