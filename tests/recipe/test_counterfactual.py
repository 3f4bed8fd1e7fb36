from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from repatient.recipe import Recipes, counterfactual_compositions, fit_recipes, log_likelihood

MEANS = np.array([[0.4, 0.3, 0.2, 0.1], [0.1, 0.2, 0.3, 0.4]])


@pytest.fixture
def recipes():
    rng = np.random.default_rng(0)
    counts = np.vstack([rng.multinomial(400, rng.dirichlet(60 * mean, size=15)) for mean in MEANS])
    return fit_recipes(counts, np.repeat(["ill", "well"], 15))


def test_the_ratio_of_the_recipes_moves_a_patient(recipes):
    patient = np.array([[4000.0, 1000, 4000, 1000]])
    found = counterfactual_compositions(
        patient, ["well"], ["ill"], recipes, np.random.default_rng(0), noise=False, smoothing=0
    )
    expected = patient[0] * recipes.mean[0] / recipes.mean[1]
    np.testing.assert_allclose(found[0], expected / expected.sum(), rtol=2e-3)
    # A patient of no cell in a component, and of few cells, comes to the recipe there.
    few = counterfactual_compositions([[1, 0, 0, 0]], "well", "ill", recipes, np.random.default_rng(0), noise=False)
    assert (few > 0.01).all()


def test_noise_has_the_concentration_of_the_recipe(recipes):
    patients = np.tile([400, 100, 400, 100], (20_000, 1))
    drawn = counterfactual_compositions(patients, "well", "ill", recipes, np.random.default_rng(0))
    centre = counterfactual_compositions(patients[:1], "well", "ill", recipes, np.random.default_rng(0), noise=False)[0]
    np.testing.assert_allclose(drawn.sum(axis=1), 1)
    np.testing.assert_allclose(drawn.mean(axis=0), centre, atol=0.01)
    variance = centre * (1 - centre) / (recipes.concentration[0] + 1)
    np.testing.assert_allclose(drawn.var(axis=0), variance, rtol=0.1)
    own = counterfactual_compositions(patients, "well", "well", recipes, np.random.default_rng(0))
    np.testing.assert_allclose(own.mean(axis=0), [0.4, 0.1, 0.4, 0.1], atol=0.01)


def test_recipes_without_spread_have_no_noise():
    recipes = Recipes("mean", ("a", "b"), tuple({"mean": mean} for mean in MEANS))
    assert np.isinf(recipes.concentration).all()
    first, second = (
        counterfactual_compositions([[10, 5, 5, 1]], "a", "b", recipes, np.random.default_rng(seed)) for seed in (0, 1)
    )
    np.testing.assert_array_equal(first, second)


def test_concentration_of_a_kind_without_one():
    rng = np.random.default_rng(0)
    counts = rng.multinomial(3000, rng.dirichlet(50 * MEANS[0], size=300))
    for kind in ("logistic_normal", "empirical"):
        assert fit_recipes(counts, np.repeat("a", 300), kind=kind).concentration[0] == pytest.approx(50, rel=0.3)


def test_log_likelihood_is_that_of_scipy(recipes):
    counts = np.random.default_rng(1).multinomial(50, MEANS[0], size=6)
    tied = np.sqrt(recipes.concentration.prod())
    coefficient = stats.multinomial.logpmf(counts, 50, MEANS[0]) - (counts * np.log(MEANS[0])).sum(axis=1)
    found = log_likelihood(counts, recipes, smoothing=0)
    for c, mean in enumerate(recipes.mean):
        expected = stats.dirichlet_multinomial.logpmf(counts, tied * mean, 50) - coefficient
        np.testing.assert_allclose(found[:, c], expected)
    infinite = log_likelihood(counts, recipes, concentration=np.inf, smoothing=0)
    np.testing.assert_allclose(infinite, counts @ np.log(recipes.mean).T)
    nearly = log_likelihood(counts, recipes, concentration=1e9, smoothing=0)
    np.testing.assert_allclose(nearly, infinite, atol=1e-3)


def test_patients_are_told_apart(recipes):
    rng = np.random.default_rng(2)
    counts = np.vstack([rng.multinomial(300, rng.dirichlet(60 * mean, size=40)) for mean in MEANS])
    ratio = np.diff(log_likelihood(counts, recipes), axis=1)[:, 0]
    assert ((ratio > 0) == np.repeat([False, True], 40)).mean() > 0.9


@pytest.mark.parametrize("counts", [[[1, 2, 3]], [[0, 0, 0, 0]], [[1, -1, 2, 3]], [[np.nan, 1, 1, 1]]])
def test_counts_that_are_none(recipes, counts):
    with pytest.raises(ValueError, match="`counts`"):
        log_likelihood(counts, recipes)
    with pytest.raises(ValueError, match="`wanted`"):
        counterfactual_compositions([[1, 1, 1, 1]], "ill", "flu", recipes, np.random.default_rng(0))
