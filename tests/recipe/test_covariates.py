from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from scipy.linalg import helmert
from sklearn.linear_model import Ridge

from repatient.recipe import KINDS, Design, fit_recipes
from repatient.recipe._composition import log_ratios, smoothed_proportions
from repatient.recipe._covariates import (
    _variance_ratio,
    _within_classes,
    design_of,
    fit_effects,
    moved,
    without_effects,
)

MEANS = np.array([[0.4, 0.3, 0.2, 0.1], [0.1, 0.2, 0.3, 0.4]])
PER_YEAR = np.array([0.03, -0.01, -0.02, 0.0])
OF_SEX = np.array([0.4, -0.4, 0.0, 0.0])


def cohort(n_patients=60, n_cells=500, strength=1.0, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.repeat(["a", "b"], n_patients)
    age, sex = rng.uniform(20, 80, 2 * n_patients), rng.choice(["f", "m"], 2 * n_patients)
    shift = strength * ((age[:, None] - 50) * PER_YEAR + np.where(sex == "f", 0.5, -0.5)[:, None] * OF_SEX)
    base = np.stack([rng.dirichlet(80 * MEANS[int(label == "b")]) for label in labels])
    return rng.multinomial(n_cells, moved(base, shift)), labels, {"age": age, "sex": sex}


@pytest.mark.parametrize("kind", KINDS)
def test_effects_are_recovered(kind):
    counts, labels, covariates = cohort()
    recipes = fit_recipes(counts, labels, kind=kind, covariates=covariates)
    assert recipes.design == Design(("age", "sex", "sex"), (None, "f", "m"))
    effects = recipes.parameters[0]["effects"]
    np.testing.assert_allclose(effects.sum(axis=1), 0, atol=1e-12)
    np.testing.assert_allclose(effects[0], PER_YEAR - PER_YEAR.mean(), atol=0.006)
    np.testing.assert_allclose(effects[1] - effects[2], OF_SEX - OF_SEX.mean(), atol=0.2)


@pytest.mark.parametrize("kind", KINDS)
def test_patients_are_drawn_at_the_values_asked_for(kind):
    counts, labels, covariates = cohort(n_patients=150)
    recipes = fit_recipes(counts, labels, kind=kind, covariates=covariates)
    rng = np.random.default_rng(0)
    young, old = (
        recipes.sample("a", 2000, rng, {"age": np.full(2000, age), "sex": np.repeat("m", 2000)}) for age in (30.0, 70.0)
    )
    np.testing.assert_allclose(old.sum(axis=1), 1)
    expected = 40 * (PER_YEAR - PER_YEAR.mean())
    centred = [np.log(part).mean(axis=0) - np.log(part).mean() for part in (old, young)]
    np.testing.assert_allclose(centred[0] - centred[1], expected, atol=0.2)
    here = (labels == "a") & (covariates["age"] > 60) & (covariates["sex"] == "m")
    np.testing.assert_allclose(old.mean(axis=0), (counts[here] / 500).mean(axis=0), atol=0.05)


def test_a_recipe_stands_at_the_mean_covariates_of_its_class():
    counts, labels, covariates = cohort(n_patients=100)
    covariates["age"] = np.where(labels == "a", covariates["age"] / 2, covariates["age"])
    recipes = fit_recipes(counts, labels, covariates=covariates)
    for name, parameters in zip(recipes.classes, recipes.parameters, strict=True):
        assert parameters["covariate_mean"][0] == pytest.approx(covariates["age"][labels == name].mean())
        assert parameters["covariate_mean"][1] == pytest.approx((covariates["sex"][labels == name] == "f").mean())
        np.testing.assert_allclose(parameters["mean"], (counts[labels == name] / 500).mean(axis=0), atol=0.03)
    assert recipes.parameters[0]["covariate_low"][0] == covariates["age"].min()


def test_spread_is_that_around_the_effects():
    counts, labels, covariates = cohort(n_patients=150, n_cells=3000)
    without = fit_recipes(counts, labels).parameters[0]["concentration"]
    with_covariates = fit_recipes(counts, labels, covariates=covariates).parameters[0]["concentration"]
    assert without < 30
    assert 55 < with_covariates < 110


def test_slopes_are_those_of_ridge_regression_at_the_ratio_of_most_likelihood():
    counts, labels, covariates = cohort(n_patients=15)
    codes = np.unique(labels, return_inverse=True)[1]
    x = np.stack([covariates["age"], covariates["age"] ** 2], axis=1)
    centre = counts.sum(axis=0) / counts.sum()
    effects = fit_effects(counts, codes, x, centre)
    scaled = _within_classes(x / x.std(axis=0), codes)
    y = _within_classes(log_ratios(smoothed_proportions(counts, centre)), codes)

    def log_marginal(ratio):
        # A basis of what is orthogonal to the classes' means, in which the residuals are independent.
        basis = np.linalg.svd(_within_classes(np.eye(30), codes))[0][:, :28]
        covariance = basis.T @ (np.eye(30) + ratio * scaled @ scaled.T) @ basis
        z = basis.T @ y
        variance = np.trace(z.T @ np.linalg.solve(covariance, z)) / z.size
        return sum(stats.multivariate_normal(np.zeros(28), variance * covariance).logpdf(column) for column in z.T)

    grid = np.exp(np.linspace(-8, 4, 121))
    best = grid[np.argmax([log_marginal(ratio) for ratio in grid])]
    ridge = Ridge(1 / best, fit_intercept=False).fit(scaled, y)
    np.testing.assert_allclose(effects * x.std(axis=0)[:, None], ridge.coef_.T @ helmert(4), atol=0.01)


def test_covariates_without_effect_are_shrunk_to_nothing():
    counts, labels, covariates = cohort(n_patients=8, strength=0.0)
    rng = np.random.default_rng(0)
    covariates = {"age": covariates["age"], **{f"noise {i}": rng.normal(size=16) for i in range(4)}}
    effects = fit_recipes(counts, labels, covariates=covariates).parameters[0]["effects"]
    y = _within_classes(log_ratios(smoothed_proportions(counts, MEANS.mean(axis=0))), (labels == "b").astype(int))
    x = np.stack(list(covariates.values()), axis=1)
    x = _within_classes(x, (labels == "b").astype(int))
    unshrunk = np.linalg.lstsq(x, y, rcond=None)[0]
    assert np.abs(effects[1:]).max() < 0.5 * np.abs(unshrunk[1:] @ helmert(4)).max()


def test_no_slope_where_every_class_has_one_patient():
    assert _variance_ratio(np.zeros(0), np.zeros((0, 3)), 1.0, 0) == 0
    counts = np.array([[5, 3, 2], [1, 4, 5]])
    recipes = fit_recipes(counts, np.array(["a", "b"]), covariates={"age": np.array([20.0, 70.0])})
    np.testing.assert_array_equal(recipes.parameters[0]["effects"], 0)


def test_taking_effects_out_and_putting_them_in_again():
    counts, labels, covariates = cohort()
    codes = (labels == "b").astype(int)
    x = design_of(covariates).matrix(covariates)
    effects = np.random.default_rng(0).normal(size=(3, 4))
    effects[0] /= 100
    plain = without_effects(counts, codes, x, effects)
    np.testing.assert_allclose(plain.sum(axis=1), 500)
    back = 500 * moved(plain / 500, _within_classes(x, codes) @ effects)
    np.testing.assert_allclose(back, counts, atol=1e-8)


def test_design():
    design = design_of({"age": np.array([1, 2]), "sex": np.array(["m", "f"]), "treated": np.array([True, False])})
    assert design.covariates == {"age": None, "sex": ["f", "m"], "treated": ["False", "True"]}
    np.testing.assert_array_equal(design.matrix({"age": [3], "sex": ["m"], "treated": [True]}), [[3, 0, 1, 0, 1]])


def test_joined_recipes_have_the_same_covariates():
    counts, labels, covariates = cohort()
    recipes = fit_recipes(counts, labels, covariates=covariates)
    a, b = recipes.take(["a"]), recipes.take(["b"])
    assert a.join(b).design == recipes.design
    plain = fit_recipes(counts, labels).take(["b"])
    with pytest.raises(ValueError, match=r"\{\}.*\{'age': None, 'sex': \['f', 'm'\]\}"):
        a.join(plain)
