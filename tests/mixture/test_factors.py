"""Full covariances of many features: the factors of their precisions beside the products of all features."""

from __future__ import annotations

from dataclasses import replace

import dask.array as da
import numpy as np
import pytest
from scipy.stats import multivariate_normal

from repatient.mixture import GaussianMixture
from repatient.mixture._em import Sample, expectation
from repatient.mixture._features import FEATURE_MAPS, feature_map_of
from repatient.mixture._parameters import Parameters
from repatient.mixture._whitening import Whitening, moments_of_rows

DIMS, COMPONENTS = 70, 4


@pytest.fixture
def drawn():
    """Rows of components that overlap, and the parameters that they are drawn from."""
    rng = np.random.default_rng(0)
    means = 0.3 * rng.standard_normal((COMPONENTS, DIMS))
    axes = np.eye(DIMS) + 0.3 * rng.standard_normal((COMPONENTS, DIMS, DIMS)) / np.sqrt(DIMS)
    weights, labels = np.full(COMPONENTS, 1 / COMPONENTS), rng.integers(COMPONENTS, size=2000)
    rows = np.stack([axes[k] @ rng.standard_normal(DIMS) + means[k] for k in labels])
    return rows, Parameters("full", weights, means, axes @ np.swapaxes(axes, 1, 2))


def passes(rows, parameters):
    """Parameters after one pass, and its log-likelihood, by factors and by products."""
    moments = moments_of_rows(rows)
    whitening = Whitening.from_moments(moments, diagonal=False).rounded()
    sample, given = Sample.of(rows, whitening, moments), whitening.whiten(parameters)
    for feature_map in (feature_map_of("full", DIMS, COMPONENTS), FEATURE_MAPS["full"](DIMS)):
        expected = expectation(sample, feature_map, feature_map.coefficients(given))
        yield (
            feature_map.parameters(expected.sums, given, sample.scatter, np.zeros((DIMS, DIMS))),
            expected.log_likelihood,
        )


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-10), (np.float32, 2e-4)])
def test_a_pass_by_factors_is_one_by_products(drawn, dtype, tolerance):
    rows, parameters = drawn
    (by_factors, likelihood), (by_products, same) = passes(rows.astype(dtype), parameters)
    assert likelihood == pytest.approx(same, abs=tolerance)
    for name in ("weights", "means", "covariances"):
        np.testing.assert_allclose(getattr(by_factors, name), getattr(by_products, name), atol=tolerance)


def test_densities_are_those_of_scipy(drawn):
    rows, parameters = drawn
    mixture = GaussianMixture.from_parameters(parameters.weights, parameters.means, parameters.covariances)
    parts = [
        weight * multivariate_normal(mean, covariance).pdf(rows)
        for weight, mean, covariance in zip(parameters.weights, parameters.means, parameters.covariances, strict=True)
    ]
    expected = np.log(np.sum(parts, axis=0))
    np.testing.assert_allclose(mixture.score_samples(rows), expected, rtol=1e-9)
    np.testing.assert_allclose(mixture.score_samples(rows.astype(np.float32)), expected, atol=2e-3)
    np.testing.assert_array_equal(mixture.predict(rows), np.argmax(parts, axis=0))


def test_far_rows_are_scored_in_double_precision(drawn):
    rows, parameters = drawn
    mixture = GaussianMixture.from_parameters(parameters.weights, parameters.means, parameters.covariances)
    far = (1e5 * rows[:10]).astype(np.float32)
    np.testing.assert_allclose(mixture.score_samples(far), mixture.score_samples(far.astype(np.float64)), rtol=1e-6)


def test_needles_are_scored_in_double_precision(drawn):
    _, parameters = drawn
    covariances = parameters.covariances.copy()
    covariances[0] = 1e-12 * np.eye(DIMS)
    mixture = GaussianMixture.from_parameters(parameters.weights, parameters.means, covariances)
    rows = np.repeat(parameters.means[:1], 3, axis=0).astype(np.float32)
    np.testing.assert_allclose(mixture.score_samples(rows), mixture.score_samples(rows.astype(np.float64)))


def test_rows_in_pieces_give_the_same_fit(drawn):
    rows = drawn[0].astype(np.float32)
    whole = GaussianMixture(COMPONENTS, n_init=1, init_max_samples=500, progress=False).fit(rows)
    pieces = GaussianMixture(COMPONENTS, n_init=1, init_max_samples=500, progress=False).fit(
        da.from_array(rows, chunks=(700, DIMS))
    )
    np.testing.assert_allclose(pieces.means_, whole.means_, atol=1e-4)


def test_products_where_they_are_quicker():
    assert isinstance(feature_map_of("full", 95, 17), FEATURE_MAPS["full"])
    assert not isinstance(feature_map_of("full", 96, 17), FEATURE_MAPS["full"])
    assert isinstance(feature_map_of("full", DIMS, COMPONENTS, "cuda"), FEATURE_MAPS["full"])


def test_a_covariance_that_is_not_positive_definite_is_refused(drawn):
    _, parameters = drawn
    singular = replace(parameters, covariances=np.zeros_like(parameters.covariances))
    with pytest.raises(np.linalg.LinAlgError):
        feature_map_of("full", DIMS, COMPONENTS).coefficients(singular)
