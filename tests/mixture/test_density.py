from __future__ import annotations

import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import multivariate_normal
from sklearn.exceptions import NotFittedError
from sklearn.mixture import GaussianMixture as Reference

from repatient.mixture import GaussianMixture

TYPES = ["full", "tied", "diag"]


def stored(planted, covariance_type):
    """The planted mixture with covariances of the given type: as stored, and as one matrix a component."""
    full = planted.covariances
    if covariance_type == "tied":
        return full[0], np.stack([full[0]] * len(full))
    if covariance_type == "diag":
        variances = np.diagonal(full, axis1=1, axis2=2)
        return variances, np.stack([np.diag(values) for values in variances])
    return full, full


def log_joint(planted, matrices):
    terms = zip(planted.weights, planted.means, matrices, strict=True)
    return np.stack([np.log(w) + multivariate_normal(m, c).logpdf(planted.rows) for w, m, c in terms], axis=1)


@pytest.mark.parametrize("covariance_type", TYPES)
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-10), (np.float32, 2e-4)])
def test_densities_and_responsibilities_equal_scipy(plant, covariance_type, dtype, tolerance):
    planted = plant(500, 4, 4, separation=1.0)
    planted = planted._replace(rows=planted.rows.astype(dtype))
    covariances, matrices = stored(planted, covariance_type)
    mixture = GaussianMixture.from_parameters(planted.weights, planted.means, covariances, covariance_type)
    joint = log_joint(planted, matrices)
    expected = logsumexp(joint, axis=1)
    proba = mixture.predict_proba(planted.rows)
    assert proba.dtype == dtype
    np.testing.assert_allclose(mixture.score_samples(planted.rows), expected, atol=tolerance)
    np.testing.assert_allclose(proba, np.exp(joint - expected[:, None]), atol=tolerance)
    assert mixture.score(planted.rows) == pytest.approx(expected.mean(), abs=min(tolerance, 1e-5))
    np.testing.assert_array_equal(mixture.predict(planted.rows), joint.argmax(axis=1))


def test_one_pass_gives_labels_density_and_responsibilities(plant):
    planted = plant(1000, 3, 4)
    mixture = GaussianMixture(3).fit(planted.rows)
    labels, density, proba = mixture.predict_with_density(planted.rows, return_proba=True)
    assert (labels.dtype, density.dtype, proba.dtype) == (np.int32, np.float32, np.float32)
    np.testing.assert_array_equal(labels, mixture.predict(planted.rows))
    np.testing.assert_allclose(density, mixture.score_samples(planted.rows), rtol=1e-6)
    np.testing.assert_allclose(proba, mixture.predict_proba(planted.rows), atol=1e-6)
    assert len(mixture.predict_with_density(planted.rows)) == 2


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_far_rows_keep_finite_and_accurate_densities(dtype):
    means, covariances = np.array([[0.0, 0.0], [1.0, 1.0]]), np.stack([np.eye(2)] * 2)
    mixture = GaussianMixture.from_parameters([0.5, 0.5], means, covariances)
    rows = np.array([[1e6, -1e6], [0.0, 3e25]], dtype=dtype)
    expected = -0.5 * (rows.astype(float) ** 2).sum(axis=1)
    np.testing.assert_allclose(mixture.score_samples(rows), expected, rtol=1e-5)
    np.testing.assert_allclose(mixture.predict_proba(rows).sum(axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("covariance_type", TYPES)
def test_information_criteria_follow_scikit_learn(plant, covariance_type):
    planted = plant(600, 3, 5, separation=2.0)
    reference = Reference(3, covariance_type=covariance_type, random_state=0).fit(planted.rows)
    mixture = GaussianMixture.from_parameters(
        reference.weights_, reference.means_, reference.covariances_, covariance_type
    )
    assert mixture.bic(planted.rows) == pytest.approx(reference.bic(planted.rows), rel=1e-10)
    assert mixture.aic(planted.rows) == pytest.approx(reference.aic(planted.rows), rel=1e-10)


@pytest.mark.parametrize("covariance_type", TYPES)
def test_samples_have_the_moments_of_the_mixture(plant, covariance_type):
    planted = plant(10, 3, 3)
    covariances, matrices = stored(planted, covariance_type)
    mixture = GaussianMixture.from_parameters(planted.weights, planted.means, covariances, covariance_type)
    rows, labels = mixture.sample(60_000, random_state=1)
    np.testing.assert_allclose(np.bincount(labels) / len(labels), planted.weights, atol=0.01)
    for k, matrix in enumerate(matrices):
        own = rows[labels == k]
        np.testing.assert_allclose(own.mean(axis=0), planted.means[k], atol=0.06)
        np.testing.assert_allclose(np.cov(own.T), matrix, atol=0.12)


def test_samples_follow_the_seed_only_when_there_is_one(plant):
    mixture = GaussianMixture(2).fit(plant(200, 2, 2).rows)
    np.testing.assert_array_equal(mixture.sample(5, random_state=3)[0], mixture.sample(5, random_state=3)[0])
    assert not np.array_equal(mixture.sample(5)[0], mixture.sample(5)[0])
    with pytest.raises(ValueError, match="n_samples"):
        mixture.sample(0)


def test_stored_parameters_rebuild_the_mixture_in_their_order(plant):
    rows = plant(1000, 3, 3).rows
    fitted = GaussianMixture(3).fit(rows)
    rebuilt = GaussianMixture.from_parameters(fitted.weights_, fitted.means_, fitted.covariances_, "full")
    np.testing.assert_array_equal(rebuilt.score_samples(rows), fitted.score_samples(rows))
    backwards = GaussianMixture.from_parameters(fitted.weights_[::-1], fitted.means_[::-1], fitted.covariances_[::-1])
    np.testing.assert_array_equal(backwards.predict(rows), 2 - fitted.predict(rows))


@pytest.mark.parametrize(
    ("weights", "means", "covariances", "message"),
    [
        ([0.5, 0.5], [[0.0], [1.0]], [[[1.0]]], "`covariances`"),
        ([0.5, 0.4], [[0.0], [1.0]], [[[1.0]], [[1.0]]], "sum"),
        ([0.5, 0.5], [[0.0], [np.nan]], [[[1.0]], [[1.0]]], "NaN"),
        ([0.5, 0.5], [0.0, 1.0], [[[1.0]], [[1.0]]], "n_components, n_features"),
        ([0.5, 0.5], [[0.0], [1.0]], [[[1.0]], [[-1.0]]], "positive definite"),
    ],
)
def test_unsound_parameters_are_refused(weights, means, covariances, message):
    with pytest.raises(ValueError, match=message):
        GaussianMixture.from_parameters(weights, means, covariances)


def test_prediction_needs_a_fit_and_the_same_features(plant):
    rows = plant(100, 2, 3).rows
    with pytest.raises(NotFittedError):
        GaussianMixture(2).predict(rows)
    with pytest.raises(NotFittedError):
        GaussianMixture(2).sample()
    with pytest.raises(ValueError, match=r"\b2\b.*\b3\b"):
        GaussianMixture(2).fit(rows).predict(rows[:, :2])


def test_needles_are_scored_in_double_precision():
    rng = np.random.default_rng(0)
    means = np.array([[-1.0, 0.5], [1.0, -0.3]])
    mixture = GaussianMixture.from_parameters([0.5, 0.5], means, np.stack([np.eye(2) * 1e-8] * 2))
    rows = (means[rng.integers(2, size=200)] + 1e-4 * rng.normal(size=(200, 2))).astype(np.float32)
    np.testing.assert_allclose(mixture.score_samples(rows), mixture.score_samples(rows.astype(float)), atol=1e-6)
