from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from scipy.optimize import approx_fprime
from scipy.special import logsumexp

from repatient.recipe import fit_recipes
from repatient.recipe._subtypes import _Mixture, _weighted_loglik

MEANS = np.array([[0.45, 0.3, 0.1, 0.1, 0.05], [0.1, 0.15, 0.35, 0.1, 0.3]])


def class_of_two(n_patients=60, share=0.65, concentration=60.0, n_cells=300, seed=0):
    rng = np.random.default_rng(seed)
    subtypes = (rng.random(n_patients) > share).astype(int)
    compositions = np.stack([rng.dirichlet(concentration * MEANS[s]) for s in subtypes])
    return rng.multinomial(n_cells, compositions), subtypes


def fit(counts, **kwargs):
    return fit_recipes(counts, np.repeat("a", len(counts)), **kwargs).parameters[0]


def test_subtypes_are_recovered():
    counts, subtypes = class_of_two()
    found = fit(counts, n_subtypes=2)
    np.testing.assert_allclose(found["subtype_mean"], MEANS, atol=0.035)
    np.testing.assert_allclose(found["subtype_weight"], [1 - subtypes.mean(), subtypes.mean()], atol=0.03)
    assert (found["subtype_concentration"] > 30).all()
    assert (found["subtype_concentration"] < 120).all()
    np.testing.assert_allclose(found["mean"], found["subtype_weight"] @ found["subtype_mean"])


@pytest.mark.parametrize("seed", range(3))
def test_number_of_subtypes_by_patients_left_out(seed):
    two, _ = class_of_two(n_patients=40, seed=seed)
    one, _ = class_of_two(n_patients=40, share=1.0, seed=seed)
    few, _ = class_of_two(n_patients=6, seed=seed)
    assert [len(fit(part, n_subtypes="auto")["subtype_weight"]) for part in (two, one, few)] == [2, 1, 1]


def test_likelihood_is_that_of_a_mixture_of_scipys():
    counts, _ = class_of_two(n_patients=7)
    weights, alphas = np.array([0.3, 0.7]), 40 * MEANS
    mixture = _Mixture(weights, alphas)
    ours = logsumexp(mixture.log_joint(counts), axis=1)
    logpmf = [[stats.dirichlet_multinomial.logpmf(row, alpha, row.sum()) for alpha in alphas] for row in counts]
    theirs = logsumexp(np.array(logpmf) + np.log(weights), axis=1)
    coefficient = [stats.multinomial.logpmf(row, row.sum(), row / row.sum()) for row in counts]
    plain = [(row[row > 0] * np.log(row[row > 0] / row.sum())).sum() for row in counts]
    np.testing.assert_allclose(ours + coefficient - np.array(plain), theirs, rtol=1e-9)


def test_weighted_gradient():
    counts, _ = class_of_two(n_patients=9)
    weights, alpha = np.random.default_rng(0).random(9), np.array([3.0, 2, 1, 0.5, 4])
    numeric = approx_fprime(alpha, lambda a: _weighted_loglik(counts, weights, a)[0], 1e-6)
    np.testing.assert_allclose(_weighted_loglik(counts, weights, alpha)[1], numeric, rtol=1e-4)


def test_one_subtype_is_the_recipe_without():
    counts, _ = class_of_two()
    plain = fit(counts)
    one = fit(np.vstack([counts[:1]] * 20), n_subtypes=3)
    assert len(one["subtype_weight"]) == 1
    auto = fit(class_of_two(share=1.0)[0], n_subtypes="auto")
    same = fit(class_of_two(share=1.0)[0])
    np.testing.assert_allclose(auto["subtype_mean"][0], same["mean"], rtol=1e-6)
    np.testing.assert_allclose(auto["subtype_concentration"][0], same["concentration"], rtol=1e-6)
    assert "subtype_weight" not in plain


def test_generated_compositions_come_in_the_subtypes():
    counts, _ = class_of_two(n_patients=200, n_cells=2000)
    recipes = fit_recipes(counts, np.repeat("a", 200), n_subtypes=2)
    drawn = recipes.sample("a", 4000, np.random.default_rng(0))
    np.testing.assert_allclose(drawn.sum(axis=1), 1)
    # Components 1 and 3 tell the sub-types apart, and few patients lie between them.
    difference = drawn[:, 0] - drawn[:, 2]
    assert (difference > 0.05).mean() == pytest.approx(recipes.parameters[0]["subtype_weight"][0], abs=0.04)
    real = counts / 2000
    np.testing.assert_allclose(np.cov(drawn.T), np.cov(real.T), atol=0.006)
    plain = fit_recipes(counts, np.repeat("a", 200)).sample("a", 4000, np.random.default_rng(0))
    assert np.abs(np.cov(plain.T) - np.cov(real.T)).max() > 2 * np.abs(np.cov(drawn.T) - np.cov(real.T)).max()


def test_subtypes_are_shrunk_towards_the_class():
    counts, _ = class_of_two(n_patients=12)
    distances = [
        np.abs(np.subtract(*fit(counts, n_subtypes=2, shrinkage=shrinkage)["subtype_mean"])).sum()
        for shrinkage in (0.1, 1.0, 10.0)
    ]
    assert distances[0] > distances[1] > distances[2]


def test_same_seed_same_bits():
    counts, _ = class_of_two(n_patients=30)
    first, second = (fit(counts, n_subtypes=2, random_state=1)["subtype_mean"] for _ in "12")
    assert first.tobytes() == second.tobytes()


@pytest.mark.parametrize(
    ("kwargs", "error", "match"),
    [
        ({"n_subtypes": 2, "kind": "mean"}, ValueError, "'dirichlet_multinomial'"),
        ({"n_subtypes": 0}, ValueError, "`n_subtypes`"),
        ({"n_subtypes": "many"}, TypeError, "`n_subtypes`"),
    ],
)
def test_errors(kwargs, error, match):
    with pytest.raises(error, match=match):
        fit(class_of_two(n_patients=8)[0], **kwargs)
