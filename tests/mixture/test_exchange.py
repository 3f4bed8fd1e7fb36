from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import multivariate_normal
from sklearn.metrics import adjusted_rand_score

from repatient.mixture import GaussianMixture
from repatient.mixture._em import RegCovar, Sample, Settings, expectation, run_em
from repatient.mixture._exchange import _TRIAL_PASSES, _log_volumes, _mergers, _neighbours, _split, exchange_components
from repatient.mixture._features import FEATURE_MAPS
from repatient.mixture._parameters import Parameters
from repatient.mixture._whitening import Whitening, moments_of_rows

TYPES = ["full", "tied", "diag"]
SETTINGS = Settings(reg_covar=RegCovar(1e-6), tol=1e-6, max_iter=500)


def sample_of(rows: np.ndarray, covariance_type: str) -> Sample:
    moments = moments_of_rows(rows)
    return Sample.of(rows, Whitening.from_moments(moments, diagonal=covariance_type == "diag"), moments)


def as_type(covariances: np.ndarray, covariance_type: str) -> np.ndarray:
    reduced = {"full": lambda: covariances, "tied": lambda: covariances.mean(axis=0)}
    reduced["diag"] = lambda: np.diagonal(covariances, axis1=1, axis2=2).copy()
    return reduced[covariance_type]()


def misplaced(planted, covariance_type: str, sample: Sample) -> Parameters:
    """Two components in one planted cluster, one over two others: a state that EM does not leave."""
    means, covariances, weights = planted.means.copy(), planted.covariances.copy(), planted.weights.copy()
    axis = np.linalg.eigh(covariances[0])[1][:, -1]
    between = (means[1] + means[2]) / 2
    means[1], means[2] = between, means[0] + axis
    means[0] = means[0] - axis
    covariances[1] += np.outer(planted.means[1] - between, planted.means[1] - between)
    covariances[2] = covariances[0]
    given = Parameters(covariance_type, weights, means, as_type(covariances, covariance_type))
    return sample.whitening.whiten(given)


def log_likelihood(sample: Sample, parameters: Parameters) -> float:
    feature_map = FEATURE_MAPS[parameters.covariance_type](sample.rows.shape[1])
    return expectation(sample, feature_map, feature_map.coefficients(parameters)).log_likelihood


@pytest.mark.parametrize("covariance_type", TYPES)
@pytest.mark.parametrize("seed", [0, 1])
def test_a_state_that_em_does_not_leave_is_left(plant, covariance_type, seed):
    planted = plant(6000, 5, 4, separation=6.0, seed=seed)
    sample = sample_of(planted.rows, covariance_type)
    feature_map = FEATURE_MAPS[covariance_type](4)
    truth = Parameters(covariance_type, planted.weights, planted.means, as_type(planted.covariances, covariance_type))
    best = run_em(sample, feature_map, sample.whitening.whiten(truth), SETTINGS).log_likelihoods[-1]
    start = misplaced(planted, covariance_type, sample)
    stuck = run_em(sample, feature_map, start, SETTINGS)
    assert stuck.log_likelihoods[-1] < best - 0.05
    exchanged = exchange_components(sample, feature_map, stuck.parameters, SETTINGS).parameters
    assert run_em(sample, feature_map, exchanged, SETTINGS).log_likelihoods[-1] > best - 1e-3


@pytest.mark.parametrize("covariance_type", TYPES)
def test_the_likelihood_never_falls(plant, covariance_type):
    planted = plant(3000, 8, 3, separation=1.0)
    sample = sample_of(planted.rows, covariance_type)
    feature_map = FEATURE_MAPS[covariance_type](3)
    rng = np.random.default_rng(0)
    for _ in range(5):
        means = planted.rows[rng.choice(3000, 8, replace=False)]
        start = Parameters(covariance_type, np.full(8, 1 / 8), means, as_type(planted.covariances, covariance_type))
        start = sample.whitening.whiten(start)
        alone = run_em(sample, feature_map, start, replace(SETTINGS, max_iter=_TRIAL_PASSES)).log_likelihoods[-1]
        assert log_likelihood(sample, exchange_components(sample, feature_map, start, SETTINGS).parameters) > alone


@pytest.mark.parametrize("n_components", [1, 2])
def test_fewer_than_three_components_have_nothing_to_exchange(plant, n_components):
    planted = plant(2000, n_components, 3)
    sample = sample_of(planted.rows, "full")
    feature_map = FEATURE_MAPS["full"](3)
    start = sample.whitening.whiten(Parameters("full", planted.weights, planted.means, planted.covariances))
    kept = exchange_components(sample, feature_map, start, SETTINGS).parameters
    expected = run_em(sample, feature_map, start, replace(SETTINGS, max_iter=_TRIAL_PASSES)).parameters
    np.testing.assert_array_equal(kept.means, expected.means)


@pytest.mark.parametrize("covariance_type", ["full", "diag"])
def test_mergers_keep_mean_and_covariance_and_cost_what_scipy_says(covariance_type):
    rng = np.random.default_rng(0)
    labels = rng.permutation(np.repeat([0, 1, 2], [900, 1500, 600]))
    rows = rng.normal(size=(3, 3))[labels] * 2 + rng.normal(size=(3000, 3)) * (1 + labels[:, None])
    own = [rows[labels == k] for k in range(3)]
    covariances = np.stack([np.cov(part.T, bias=True) for part in own])
    weights, means = np.array([0.3, 0.5, 0.2]), np.stack([part.mean(axis=0) for part in own])
    parameters = Parameters(covariance_type, weights, means, as_type(covariances, covariance_type))
    mergers = _mergers(parameters, 3000)
    np.testing.assert_array_equal(np.column_stack([mergers.first, mergers.second]), [[0, 1], [0, 2], [1, 2]])

    for pair, (one, other) in enumerate(zip(mergers.first, mergers.second, strict=True)):
        both = np.concatenate([own[one], own[other]])
        np.testing.assert_allclose(mergers.means[pair], both.mean(axis=0))
        expected = as_type(np.cov(both.T, bias=True)[None], covariance_type)[0]
        np.testing.assert_allclose(mergers.covariances[pair], expected)
        apart = [density(own[k], weights[k], covariance_type) for k in (one, other)]
        together = density(both, weights[one] + weights[other], covariance_type)
        assert mergers.losses[pair] == pytest.approx(sum(apart) - together)


@pytest.mark.parametrize("covariance_type", ["full", "diag"])
def test_a_component_over_two_clusters_gains_by_its_split(covariance_type):
    labels = np.repeat([0, 1], [1800, 1200])
    rows = np.random.default_rng(0).normal(size=(3000, 3)) * [1, 2, 3] + 8 * labels[:, None]
    ridge = 1e-6 * (np.eye(3) if covariance_type == "full" else np.ones(3))
    two = _split(rows, 8, covariance_type, ridge)
    one = _split(rows[labels == 0], 8, covariance_type, ridge)
    clusters = [rows[labels == k] for k in range(2)]
    apart = [density(cluster, len(cluster) / 3000, covariance_type) for cluster in clusters]
    assert two.gain == pytest.approx(sum(apart) - density(rows, 1, covariance_type), rel=0.1)
    assert two.gain > 0 > one.gain
    np.testing.assert_allclose(np.sort(two.halves.weights), [0.4, 0.6], atol=0.02)
    assert _split(rows[:15], 8, covariance_type, ridge) is None
    assert _split(np.repeat(rows[:1], 40, axis=0), 8, covariance_type, ridge) is None
    two_values = np.repeat([[0.0, 0.0, 0.0], [1.0, 2.0, 4.0]], 32, axis=0)
    assert _split(two_values, 8, covariance_type, ridge).gain > 0
    assert _split(two_values, 8, covariance_type, 0 * ridge) is None


@pytest.mark.parametrize("covariance_type", TYPES)
def test_a_component_of_two_values_does_no_harm(plant, covariance_type):
    planted = plant(6000, 3, 3, separation=6.0)
    rows = planted.rows.copy()
    rows[:600] = np.repeat([[40.0, 0.0, 0.0], [41.0, 0.0, 0.0]], 300, axis=0)
    sample = sample_of(rows, covariance_type)
    feature_map = FEATURE_MAPS[covariance_type](3)
    given = Parameters(
        covariance_type,
        np.full(4, 0.25),
        np.vstack([planted.means, [40.5, 0, 0]]),
        as_type(np.concatenate([planted.covariances, [np.eye(3)]]), covariance_type),
    )
    start = sample.whitening.whiten(given)
    exchanged = exchange_components(sample, feature_map, start, SETTINGS).parameters
    assert np.isfinite(exchanged.means).all()
    assert np.isfinite(exchanged.covariances).all()


def test_neighbours_are_pairs_of_different_components_even_in_one_place():
    means = np.array([[0.0, 0.0], [0.0, 0.0], [0.0, 0.0], [5.0, 0.0]])
    first, second = _neighbours(means)
    np.testing.assert_array_equal(np.column_stack([first, second]), [[0, 1], [0, 2], [0, 3], [1, 2], [1, 3], [2, 3]])
    line = np.arange(40.0)[:, None]
    first, second = _neighbours(line)
    assert (first < second).all()
    assert set(zip(range(39), range(1, 40), strict=True)) <= set(zip(first.tolist(), second.tolist(), strict=True))
    assert len(first) < 40 * 39 / 4


def test_log_volumes_are_log_determinants():
    covariances = np.array([[[2.0, 0.5], [0.5, 1.0]], [[3.0, 0.0], [0.0, 4.0]]])
    np.testing.assert_allclose(_log_volumes(covariances), np.log(np.linalg.det(covariances)))
    np.testing.assert_allclose(_log_volumes(np.array([[3.0, 4.0]])), np.log([12.0]))


def test_with_many_rows_every_seed_finds_the_planted_clusters(plant):
    planted = plant(12_000, 12, 4, separation=6.0)
    alone = [fit_with(planted, seed, max_samples=12_000) for seed in range(6)]
    assert min(alone) < 0.97, "the starts alone find them too: nothing is tested"
    assert min(fit_with(planted, seed, max_samples=4_000) for seed in range(6)) > 0.97


def density(rows: np.ndarray, weight: float, covariance_type: str) -> float:
    """Classification log-likelihood of the rows of one component."""
    covariance = np.cov(rows.T, bias=True)
    if covariance_type == "diag":
        covariance = np.diag(np.diag(covariance))
    normal = multivariate_normal(rows.mean(axis=0), covariance)
    return float(normal.logpdf(rows).sum() + len(rows) * np.log(weight))


def fit_with(planted, seed: int, max_samples: int) -> float:
    """Agreement with the planted labels."""
    mixture = GaussianMixture(12, n_init=1, random_state=seed, init_max_samples=max_samples)
    return float(adjusted_rand_score(mixture.fit_predict(planted.rows), planted.labels))
