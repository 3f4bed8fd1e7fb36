from __future__ import annotations

import numpy as np
import pytest

from repatient.recipe import KINDS, Recipes, fit_recipes

MEANS = np.array([[0.4, 0.3, 0.15, 0.1, 0.05], [0.1, 0.2, 0.3, 0.25, 0.15]])


def cohort(n_patients: int, concentration: float, n_cells: int = 400, seed: int = 0):
    rng = np.random.default_rng(seed)
    counts = np.vstack([rng.multinomial(n_cells, rng.dirichlet(concentration * m, size=n_patients)) for m in MEANS])
    return counts, np.repeat(["a", "b"], n_patients)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_recovers_the_mean(kind):
    recipes = fit_recipes(*cohort(200, 60), kind=kind)
    assert recipes.classes == ("a", "b")
    assert np.abs(recipes.mean - MEANS).sum(axis=1).max() < 0.05


@pytest.mark.parametrize("concentration", [10, 60, 300])
@pytest.mark.parametrize("n_cells", [60, 1000])
def test_dirichlet_multinomial_tells_spread_from_few_cells(concentration, n_cells):
    recipes = fit_recipes(*cohort(80, concentration, n_cells, seed=1))
    for parameters in recipes.parameters:
        assert concentration / 1.5 < parameters["concentration"] < concentration * 1.5


@pytest.mark.parametrize("n_patients", [2, 3, 5])
def test_few_patients_do_not_look_alike_by_chance(n_patients):
    found = [
        float(parameters["concentration"])
        for seed in range(10)
        for parameters in fit_recipes(*cohort(n_patients, 30, seed=seed)).parameters
    ]
    assert 15 < np.exp(np.mean(np.log(found))) < 60


def test_one_patient_a_class_is_not_taken_for_a_class_without_spread():
    # Nothing tells the difference of classes from that of patients then, and all of it counts as the latter.
    for seed in range(5):
        for parameters in fit_recipes(*cohort(1, 30, seed=seed)).parameters:
            assert 1 < parameters["concentration"] < 60


@pytest.mark.parametrize("kind", ["dirichlet_multinomial", "dirichlet", "logistic_normal"])
def test_generated_compositions_spread_as_patients_do(kind):
    counts, labels = cohort(300, 40, n_cells=5000)
    recipes = fit_recipes(counts, labels, kind=kind)
    drawn = recipes.sample("a", 5000, np.random.default_rng(0))
    real = counts[labels == "a"] / 5000
    np.testing.assert_allclose(drawn.sum(axis=1), 1, atol=1e-12)
    np.testing.assert_allclose(drawn.mean(axis=0), real.mean(axis=0), atol=0.02)
    np.testing.assert_allclose(drawn.std(axis=0), real.std(axis=0), rtol=0.3)


def test_logistic_normal_keeps_components_that_rise_together():
    rng = np.random.default_rng(0)
    shared = rng.normal(size=200)
    logits = np.stack([shared, shared, -shared, 0.3 * rng.normal(size=200)], axis=1)
    compositions = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    counts = rng.multinomial(2000, compositions)
    labels = np.repeat("a", 200)
    real = np.corrcoef(counts.T / counts.sum(axis=1))[0, 1]
    correlation = {
        kind: np.corrcoef(fit_recipes(counts, labels, kind=kind).sample("a", 4000, rng).T)[0, 1]
        for kind in ("logistic_normal", "dirichlet_multinomial")
    }
    assert real > 0.9
    assert correlation["logistic_normal"] > 0.75
    assert correlation["dirichlet_multinomial"] < 0


@pytest.mark.parametrize("kind", KINDS)
def test_shrinkage_moves_a_lone_patient_towards_the_pool(kind):
    rng = np.random.default_rng(0)
    counts = np.vstack([rng.multinomial(300, MEANS[0], size=9), rng.multinomial(300, MEANS[1], size=1)])
    labels = np.array(["a"] * 9 + ["b"])
    pooled = (counts / 300).mean(axis=0)
    distance = [
        np.abs(fit_recipes(counts, labels, kind=kind, shrinkage=shrinkage).take(["b"]).mean[0] - pooled).sum()
        for shrinkage in (0.1, 1.0, 10.0)
    ]
    assert distance[0] > distance[1] > distance[2]


def test_mean_without_shrinkage_is_the_mean():
    counts, labels = cohort(4, 20)
    mean = fit_recipes(counts, labels, kind="mean", shrinkage=0).mean
    np.testing.assert_allclose(mean[0], (counts[:4] / 400).mean(axis=0))
    with_one = fit_recipes(counts, labels, kind="mean", shrinkage=1).mean
    pooled = (counts / 400).mean(axis=0)
    np.testing.assert_allclose(with_one[0], 0.8 * mean[0] + 0.2 * pooled, atol=1e-3)


def test_empirical_draws_the_patients():
    counts, labels = cohort(6, 20)
    recipes = fit_recipes(counts, labels, kind="empirical", shrinkage=0)
    drawn = recipes.sample("b", 500, np.random.default_rng(0))
    assert {tuple(row) for row in drawn.round(9)} == {tuple(row) for row in (counts[6:] / 400).round(9)}


@pytest.mark.parametrize("kind", KINDS)
def test_one_patient_in_all_is_enough(kind):
    recipes = fit_recipes(np.array([[5, 3, 2]]), np.array(["a"]), kind=kind)
    drawn = recipes.sample("a", 10, np.random.default_rng(0))
    assert np.isfinite(drawn).all()
    np.testing.assert_allclose(drawn.sum(axis=1), 1)


@pytest.mark.parametrize("kind", KINDS)
def test_same_seed_same_bits(kind):
    data = cohort(5, 20)
    first, second = (
        fit_recipes(*data, kind=kind, random_state=3).sample("a", 4, np.random.default_rng(1)) for _ in "12"
    )
    assert first.tobytes() == second.tobytes()


def test_join_and_take():
    counts, labels = cohort(5, 20)
    recipes = fit_recipes(counts, labels)
    a, b = recipes.take(["a"]), recipes.take(["b"])
    joined = b.join(a)
    assert joined.classes == ("b", "a")
    np.testing.assert_array_equal(joined.mean, recipes.mean[::-1])
    with pytest.raises(ValueError, match="both|Both"):
        recipes.join(a)
    with pytest.raises(ValueError, match="kind 'mean'"):
        a.join(Recipes("mean", ("b",), ({"mean": MEANS[0]},)))


def test_errors():
    counts, labels = cohort(3, 20)
    with pytest.raises(ValueError, match="`kind`.*'gamma'"):
        fit_recipes(counts, labels, kind="gamma")
    with pytest.raises(ValueError, match="shrinkage"):
        fit_recipes(counts, labels, shrinkage=-1)
    counts[1] = 0
    with pytest.raises(ValueError, match=r"\b1\b"):
        fit_recipes(counts, labels)
