"""The posterior of mean compositions: is it that of the model, and are its intervals right in repeated samples?"""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats
from scipy.special import logit, logsumexp

from repatient.recipe import contrast, mean_posteriors


def draw(rng, mean, concentration, n_patients, n_cells):
    sizes = rng.integers(n_cells // 2, 2 * n_cells, n_patients)
    compositions = rng.dirichlet(concentration * mean, n_patients)
    return np.stack([rng.multinomial(size, row) for size, row in zip(sizes, compositions, strict=True)])


def centred(mean):
    return np.log2(mean) - np.log2(mean).mean()


def simulate(n_cohorts, *, shift, n_patients=(4, 5), n_components=6, concentration=20.0):
    """Cohorts of two classes of few patients who differ much: what is found, and what is true."""
    rng = np.random.default_rng(0)
    cohorts = []
    for _ in range(n_cohorts):
        first = np.maximum(rng.dirichlet(np.ones(n_components)), 2e-3)
        first /= first.sum()
        second = first * np.exp(rng.normal(0, shift, n_components))
        second /= second.sum()
        counts = [draw(rng, m, concentration, n, 300) for m, n in zip((first, second), n_patients, strict=True)]
        these, those = mean_posteriors(counts)
        found = contrast(these, those, interval=0.95, n_draws=1000, rng=rng)
        truth = {
            "difference": first - second,
            "log2_fold_change": np.log2(first / second),
            "clr_difference": centred(first) - centred(second),
        }
        cohorts.append(SimpleNamespace(counts=counts, found=found, truth=truth))
    return cohorts


@pytest.fixture(scope="module")
def null():
    return simulate(60, shift=0.0)


@pytest.fixture(scope="module")
def shifted():
    return simulate(60, shift=0.7)


@pytest.mark.parametrize("effect", ["difference", "log2_fold_change", "clr_difference"])
@pytest.mark.parametrize("cohorts", ["null", "shifted"])
def test_intervals_cover_the_truth_as_often_as_they_say(request, cohorts, effect):
    covered = []
    for cohort in request.getfixturevalue(cohorts):
        _, low, high = cohort.found.effects[effect].T
        covered.append((low <= cohort.truth[effect]) & (cohort.truth[effect] <= high))
    # 360 components, not independent within a cohort: a standard error of about .012.
    assert np.mean(covered) == pytest.approx(0.95, abs=0.035)


@pytest.mark.parametrize("test", ["proportion", "clr"])
def test_without_a_difference_tail_probabilities_are_those_of_chance(null, test):
    tails = np.array([cohort.found.tail_probability[test] for cohort in null])
    assert (tails < 0.05).mean() < 0.08
    assert (tails < 0.5).mean() == pytest.approx(0.5, abs=0.1)
    significant = np.array([stats.false_discovery_control(row) <= 0.1 for row in tails])
    assert significant.any(axis=1).mean() < 0.2
    assert significant.mean() < 0.05


def test_cells_are_no_replicates(null):
    """The test that takes cells for replicates finds differences between patients of one class."""
    naive = []
    for cohort in null:
        inside = np.array([counts.sum(axis=0) for counts in cohort.counts])
        outside = inside.sum(axis=1, keepdims=True) - inside
        tables = np.stack([inside, outside]).transpose(2, 0, 1)
        usable = tables.min(axis=(1, 2)) > 0
        naive.append([stats.chi2_contingency(table).pvalue < 0.05 for table in tables[usable]])
    assert np.concatenate(naive).mean() > 0.5


def test_a_real_shift_is_found():
    rng = np.random.default_rng(1)
    first = np.full(8, 1 / 8)
    second = first * np.array([4.0, *[1] * 7])
    second /= second.sum()
    found = []
    for _ in range(15):
        these, those = mean_posteriors([draw(rng, mean, 40.0, 8, 300) for mean in (second, first)])
        result = contrast(these, those, interval=0.95, n_draws=1000, rng=rng)
        found.append(stats.false_discovery_control(result.tail_probability["clr"]) <= 0.1)
    found = np.array(found)
    assert found[:, 0].mean() > 0.9
    # The others shrink to make room, which centred log-ratios see less of than proportions.
    assert found[:, 1:].mean() < 0.2


def test_the_posterior_is_that_of_the_model():
    """Sum over all unknowns of the model as it is written, with scipy's beta-binomial."""
    rng = np.random.default_rng(2)
    mean = np.array([0.45, 0.3, 0.15, 0.07, 0.03])
    groups = [draw(rng, mean, 15.0, 3, 200), draw(rng, mean[::-1], 15.0, 5, 200)]
    mu, tau = np.linspace(np.log(50) - 6, np.log(50) + 6, 41), np.exp(np.linspace(np.log(0.1), np.log(3.0), 21))
    log_s, m = np.linspace(np.log(0.3), np.log(3e4), 90), 1 / (1 + np.exp(-np.linspace(-9, 5, 400)))
    s = np.exp(log_s)[:, None]
    columns = []
    for counts in groups:
        for y in counts.T:
            terms = [
                stats.betabinom.logpmf(*pair, s * m, s * (1 - m)) for pair in zip(y, counts.sum(axis=1), strict=True)
            ]
            columns.append(np.sum(terms, axis=0) + stats.beta.logpdf(m, 0.5, 0.5) + np.log(m * (1 - m)))
    prior = stats.norm.logpdf(mu, np.log(50), 2)[:, None] + stats.norm.logpdf(np.log(tau), np.log(0.6), 0.7)
    of_s = stats.norm.logpdf(log_s, mu[:, None, None], tau[:, None])
    evidence = np.stack([logsumexp(of_s + logsumexp(column, axis=1), axis=2) for column in columns])
    found = [row for posterior in mean_posteriors(groups) for row in posterior.quantiles(np.array([0.025, 0.5, 0.975]))]
    for i, (column, quantiles) in enumerate(zip(columns, found, strict=True)):
        weight = prior + np.delete(evidence, i, axis=0).sum(axis=0)
        weights = np.exp(weight - weight.max())
        log_prior = np.log(np.einsum("mt,mts->s", weights, np.exp(of_s)))
        density = np.exp(column - column.max() + log_prior[:, None] - log_prior.max()).sum(axis=0)
        expected = np.interp([0.025, 0.5, 0.975], np.cumsum(density) / density.sum(), m)
        width = logit(expected[2]) - logit(expected[0])
        np.testing.assert_allclose(logit(quantiles), logit(expected), atol=0.06 * width)


def test_patients_who_are_alike_leave_the_uncertainty_of_their_cells():
    rng = np.random.default_rng(3)
    counts = rng.multinomial(50, [0.6, 0.3, 0.1], size=60)
    (posterior,) = mean_posteriors([counts])
    cells = counts.sum(axis=0)
    expected = stats.beta(cells + 0.5, cells.sum() - cells + 0.5)
    np.testing.assert_allclose(posterior.mean, expected.mean(), rtol=0.02)
    np.testing.assert_allclose(np.sqrt(posterior.variance), expected.std(), rtol=0.15)


def test_many_cells_leave_the_uncertainty_of_the_patients():
    rng = np.random.default_rng(4)
    compositions = rng.dirichlet([6.0, 3.0, 3.0], size=40)
    (posterior,) = mean_posteriors([np.round(compositions * 1e6).astype(int)])
    np.testing.assert_allclose(posterior.mean, compositions.mean(axis=0), rtol=0.05)
    np.testing.assert_allclose(np.sqrt(posterior.variance), compositions.std(axis=0, ddof=1) / np.sqrt(40), rtol=0.2)


def test_sides_can_be_exchanged():
    rng = np.random.default_rng(5)
    mean = np.array([0.5, 0.3, 0.2])
    these, those = mean_posteriors([draw(rng, mean, 20.0, 4, 300), draw(rng, mean[::-1], 20.0, 6, 300)])
    np.testing.assert_allclose(these.above(those) + those.above(these), 1, atol=0.01)
    one, other = (contrast(*pair, interval=0.9, n_draws=4000, rng=rng) for pair in ((these, those), (those, these)))
    for name, values in one.effects.items():
        np.testing.assert_allclose(values[:, [0, 2, 1]], -other.effects[name], atol=0.12)
    draws = [posterior.quantiles(rng.random(20_000)) for posterior in (these, those)]
    np.testing.assert_allclose(these.above(those), (draws[0] > draws[1]).mean(axis=1), atol=0.015)


def test_the_centred_log_ratio_of_two_components_is_half_their_log_odds():
    rng = np.random.default_rng(6)
    these, those = mean_posteriors([draw(rng, np.array([p, 1 - p]), 30.0, 10, 300) for p in (0.3, 0.6)])
    found = contrast(these, those, interval=0.95, n_draws=4000, rng=rng).effects["clr_difference"][0]
    odds = [logit(posterior.quantiles(rng.random(20_000))[0]) for posterior in (these, those)]
    expected = np.quantile((odds[0] - odds[1]) / 2 / np.log(2), [0.5, 0.025, 0.975])
    np.testing.assert_allclose(found, expected, atol=0.12 * (expected[2] - expected[1]))


def test_components_without_a_cell():
    counts = np.array([[50, 50, 0], [60, 40, 0], [45, 55, 0]])
    these, those = mean_posteriors([counts, counts[:, [0, 2, 1]]])
    found = contrast(these, those, interval=0.95, n_draws=1000, rng=np.random.default_rng(0))
    assert all(np.isfinite(values).all() for values in found.effects.values())
    assert found.effects["log2_fold_change"][1, 1] > 2
    assert found.tail_probability["proportion"][2] < 0.01
