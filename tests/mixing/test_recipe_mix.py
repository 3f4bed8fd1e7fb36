from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from repatient.mil import Bags, MILClassifier
from repatient.mixing import RecipeMix
from repatient.mixture import Components
from repatient.recipe import Recipes, fit_recipes


def generated(cohort, augment, n_steps=60, n=16, seed=0):
    """Generated bags of some steps, one after the other, with their targets; real ones come first in a step."""
    sampler, rng = cohort.bind(augment), np.random.default_rng(seed)
    n_real = n - round(sampler.share * n)
    rows, targets = [], []
    for _ in range(n_steps):
        bags, soft = sampler(rng.permutation(20)[:n], rng, cohort.score)
        rows += [bags.rows[bags.indptr[i] : bags.indptr[i + 1]] for i in range(n_real, n)]
        targets.append(soft[n_real:])
    return rows, np.concatenate(targets)


def compositions(cohort, rows, n_components=5):
    return np.array([np.bincount(cohort.components[r], minlength=n_components) / len(r) for r in rows])


@pytest.mark.parametrize(("share", "n", "expected"), [(0.5, 16, [8]), (0.9, 10, [9]), (0.0, 9, [0]), (1.0, 9, [9])])
def test_the_share_of_a_step_is_generated_and_the_rest_real(cohort, share, n, expected):
    sampler, rng = cohort.bind(RecipeMix(cohort.components, share=share)), np.random.default_rng(0)
    for _ in range(20):
        chosen = rng.permutation(20)[:n]
        bags, targets = sampler(chosen, rng, cohort.score)
        real = cohort.bags.take(chosen[expected[0] :])
        assert len(bags) == n
        assert bags.rows[: len(real.rows)].tolist() == real.rows.tolist()
        assert targets[: len(real)].argmax(axis=1).tolist() == cohort.y[chosen[expected[0] :]].tolist()
        # A generated bag is of many donors' cells.
        sources = np.split(cohort.sources(bags), bags.indptr[1:-1])[len(real) :]
        assert all(len(set(source)) > 5 for source in sources)


def test_only_generated_bags_where_a_class_has_no_real_one(cohort):
    missing = Recipes("mean", ("z",), ({"mean": np.full(5, 0.2)},))
    classes = np.array(["a", "b", "c", "z"])
    for given, share in ((RecipeMix(cohort.components), 0.5), (RecipeMix(cohort.components, share=0.25), 0.25)):
        assert cohort.bind(given).share == share
    for share, expected in ((None, 1.0), (0.5, 0.5)):
        augment = RecipeMix(cohort.components, share=share, recipes=missing)
        assert augment.bind(cohort.bags, cohort.y, classes, cohort.groups).share == expected


def test_offsets_of_real_bags_come_back_with_donor_effects(cohort):
    rng = np.random.default_rng(0)
    X = (np.eye(5)[cohort.components] * 8 + rng.normal(size=(len(cohort.components), 5))).astype(np.float32)
    bag = np.repeat(np.arange(len(cohort.bags)), cohort.bags.sizes)
    X[cohort.bags.rows] += rng.normal(size=(len(cohort.bags), 5))[bag].astype(np.float32)
    bags = Bags(X, cohort.bags.rows, cohort.bags.indptr)

    def variance(**settings):
        augment = RecipeMix(cohort.components, share=1.0, kind="mean", **settings)
        sampler = augment.bind(bags, cohort.y, np.array(["a", "b", "c"]), cohort.groups)
        drawn, _ = sampler(np.zeros(60, dtype=np.int64), np.random.default_rng(1), cohort.score)
        residual = X - np.stack([X[cohort.components == k].mean(axis=0) for k in range(5)])[cohort.components]
        means = np.add.reduceat(residual[drawn.rows], drawn.indptr[:-1]) / drawn.sizes[:, None]
        return means.var(axis=0).sum()

    assert variance(donor_effects=True) > 3 * variance()
    with pytest.raises(ValueError, match="n_donors"):
        RecipeMix(cohort.components, donor_effects=True, n_donors=2)
    with pytest.raises(TypeError, match="donor_effects"):
        RecipeMix(cohort.components, donor_effects="all")


def test_a_share_that_is_no_whole_number_is_met_on_average(cohort):
    sampler, rng = cohort.bind(RecipeMix(cohort.components, share=0.5)), np.random.default_rng(0)
    targets = [sampler(np.array([0, 1, 2]), rng, cohort.score)[1] for _ in range(600)]
    n_generated = 3 - np.array([(t[:, 0] == 1).sum() for t in targets]) * 1.0
    # All three chosen are of class a, as is a third of the generated.
    assert n_generated.mean() == pytest.approx(1.5 * 2 / 3, abs=0.1)


def test_classes_of_generated_patients_are_balanced(cohort):
    _, targets = generated(cohort, RecipeMix(cohort.components))
    np.testing.assert_allclose(targets.mean(axis=0), 1 / 3, atol=0.01)
    assert set(np.unique(targets)) == {0, 1}


def test_patients_are_new_at_every_step(cohort):
    rows, _ = generated(cohort, RecipeMix(cohort.components), n_steps=40)
    assert len({tuple(sorted(r)) for r in rows}) == len(rows) == 320


def test_compositions_follow_the_recipe_of_the_class(cohort):
    rows, targets = generated(cohort, RecipeMix(cohort.components), n_steps=250)
    bag = np.repeat(np.arange(20), cohort.bags.sizes)
    counts = np.zeros((20, 5), dtype=int)
    np.add.at(counts, (bag, cohort.components[cohort.bags.rows]), 1)
    recipes = fit_recipes(counts, cohort.y)
    found = compositions(cohort, rows)
    for c in range(3):
        own = found[targets[:, c] == 1]
        np.testing.assert_allclose(own.mean(axis=0), recipes.mean[c], atol=0.015)
    mean = recipes.mean
    assert np.abs(mean[0] - mean[1]).max() > 0.2


def test_sizes_are_those_of_real_bags_whatever_the_class(cohort):
    rows, targets = generated(cohort, RecipeMix(cohort.components), n_steps=250)
    sizes = np.array([len(r) for r in rows])
    assert set(sizes) <= set(cohort.bags.sizes)
    means = [sizes[targets[:, c] == 1].mean() for c in range(3)]
    np.testing.assert_allclose(means, cohort.bags.sizes.mean(), rtol=0.06)


def test_pool_same_takes_the_cells_of_the_class(cohort):
    sampler, rng = cohort.bind(RecipeMix(cohort.components, share=1.0, pool="same")), np.random.default_rng(0)
    for _ in range(20):
        bags, targets = sampler(np.arange(16), rng, cohort.score)
        for source, target in zip(np.split(cohort.sources(bags), bags.indptr[1:-1]), targets, strict=True):
            assert set(cohort.y[source]) == {target.argmax()}
        assert set(bags.sizes) <= set(cohort.bags.sizes)


def test_donors_are_as_many_as_asked(cohort):
    sampler, rng = cohort.bind(RecipeMix(cohort.components, share=1.0, n_donors=3)), np.random.default_rng(0)
    bags, _ = sampler(np.arange(20), rng, cohort.score)
    donors = [set(cohort.groups[source]) for source in np.split(cohort.sources(bags), bags.indptr[1:-1])]
    assert {len(some) for some in donors} == {3}
    assert len({tuple(sorted(some)) for some in donors}) > 5
    with pytest.raises(ValueError, match="`n_donors`"):
        cohort.step(RecipeMix(cohort.components, n_donors=11))


def test_mixed_labels_are_where_the_composition_is(cohort):
    # The mean recipe has no spread, so that the place between two classes can be read off the composition.
    augment = RecipeMix(cohort.components, share=1.0, kind="mean", shrinkage=0, label_mixing=0.5)
    rows, targets = generated(cohort, augment, n_steps=80)
    mixed = (targets > 0).sum(axis=1) == 2
    assert mixed.mean() == pytest.approx(0.5, abs=0.06)
    assert targets[mixed].max(axis=1).mean() == pytest.approx(0.75, abs=0.02)
    assert cohort.bind(augment).class_shares.tolist() == pytest.approx([1 / 3] * 3)
    recipes = cohort.bind(augment).generator.recipes
    means = np.concatenate([recipe.mean for recipe in recipes])
    residuals = compositions(cohort, rows) - targets @ means
    np.testing.assert_allclose(residuals.mean(axis=0), 0, atol=0.01)
    assert residuals.std() < 0.08


def test_a_class_without_a_bag_comes_from_the_recipes_given(cohort):
    only = Recipes("mean", ("a", "z"), ({"mean": np.full(5, 0.2)}, {"mean": np.array([0, 0, 0, 0.5, 0.5])}))
    classes = np.array(["a", "b", "c", "z"])
    sampler = RecipeMix(cohort.components, share=1.0, recipes=only).bind(cohort.bags, cohort.y, classes, cohort.groups)
    bags, targets = sampler(np.arange(16), np.random.default_rng(0), cohort.score)
    assert targets.sum(axis=0).tolist() == [4, 4, 4, 4]
    found = compositions(cohort, [bags.take([i]).rows for i in range(16)])
    assert (found[targets[:, 3] == 1][:, :3] == 0).all()
    # Classes with bags have recipes of their own.
    assert np.abs(found[targets[:, 0] == 1].mean(axis=0) - 0.2).max() > 0.1
    assert sampler.class_shares.tolist() == [0.25] * 4


def test_a_class_without_bag_and_recipe_is_an_error(cohort):
    classes = np.array(["a", "b", "c", "z"])
    with pytest.raises(ValueError, match=r"`recipes`.*\['z'\]"):
        RecipeMix(cohort.components).bind(cohort.bags, cohort.y, classes, cohort.groups)
    wrong = Recipes("mean", ("z",), ({"mean": np.full(4, 0.25)},))
    with pytest.raises(ValueError, match="`recipes`.*4.*5"):
        RecipeMix(cohort.components, recipes=wrong).bind(cohort.bags, cohort.y, classes, cohort.groups)


def test_components_must_be_those_of_the_rows(cohort):
    with pytest.raises(ValueError, match=r"\b2142\b"):
        cohort.bind(RecipeMix(cohort.components[:-1]))
    with pytest.raises(ValueError, match="`components`.*0.*3"):
        cohort.bind(RecipeMix(cohort.components, n_components=4))
    with pytest.raises(ValueError, match="`components`.*0.*4"):
        cohort.bind(RecipeMix(np.where(cohort.components == 3, -1, cohort.components), 5))


def test_a_component_without_a_cell_leaves_its_part_to_the_others(cohort):
    recipe = Recipes("mean", ("z",), ({"mean": np.array([0, 0, 0, 0.25, 0.25, 0.5])},))
    classes = np.array(["a", "b", "c", "z"])
    augment = RecipeMix(cohort.components, n_components=6, share=1.0, recipes=recipe)
    with pytest.warns(UserWarning, match="`pool`: 50.0%.*'z'"):
        sampler = augment.bind(cohort.bags, cohort.y, classes, cohort.groups)
    bags, targets = sampler(np.arange(20), np.random.default_rng(0), cohort.score)
    found = compositions(cohort, [bags.take([i]).rows for i in range(20)])[targets[:, 3] == 1]
    assert (found[:, :3] == 0).all()
    np.testing.assert_allclose(found[:, 3:].mean(axis=0), 0.5, atol=0.1)


def test_a_recipe_that_the_pool_cannot_make_is_an_error(cohort):
    recipe = Recipes("mean", ("z",), ({"mean": np.array([0.1, 0.1, 0.1, 0.05, 0.05, 0.6])},))
    classes = np.array(["a", "b", "c", "z"])
    augment = RecipeMix(cohort.components, n_components=6, recipes=recipe)
    with pytest.raises(ValueError, match="`pool`: 60.0%.*'z'"):
        augment.bind(cohort.bags, cohort.y, classes, cohort.groups)
    same = RecipeMix(cohort.components, n_components=6, recipes=recipe, pool="same")
    with pytest.raises(ValueError, match="`pool`: 100.0%.*'z'"):
        same.bind(cohort.bags, cohort.y, classes, cohort.groups)


def test_a_mixture_is_fitted_to_the_bags_that_are_bound(cohort, monkeypatch):
    rng = np.random.default_rng(0)
    # A feature of large unit, which is no reason to have components along it.
    X = (8 * np.eye(5)[cohort.components] + rng.normal(size=(len(cohort.components), 5))).astype(np.float32)
    X = np.column_stack([X, 1e4 * rng.normal(size=len(X))]).astype(np.float32)
    bags, cache = Bags(X, cohort.bags.rows, cohort.bags.indptr), {}
    classes = np.array(["a", "b", "c"])

    def components(**settings):
        bound = RecipeMix(n_components=5, share=1.0, **settings).bind(bags, cohort.y, classes, cohort.groups)
        return bound.generator.components

    def agreement(found):
        return adjusted_rand_score(cohort.components[bags.rows], found)

    found = components(cache=cache)
    assert agreement(found) > 0.95
    spreads, fit = [], Components.fit

    def watched(cells, *args, **kwargs):
        spreads.append(cells.std(axis=0).max())
        return fit(cells, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(Components, "fit", watched)
        components()
        components(standardize=False)
    assert spreads == [pytest.approx(1, rel=1e-3), pytest.approx(1e4, rel=0.1)]
    assert len(cache) == 1
    assert components(cache=cache) is found
    assert components(cache=cache, random_state=1) is not found
    np.testing.assert_array_equal(components(), found)
    other = bags.take(np.arange(10, 20))
    RecipeMix(n_components=5, cache=cache).bind(
        other, cohort.y[10:], classes[np.unique(cohort.y[10:])], cohort.groups[10:]
    )
    assert len(cache) == 3
    with pytest.raises(TypeError, match="`n_components`"):
        RecipeMix(n_components="many")


@pytest.mark.parametrize("kind", ["dirichlet", "logistic_normal", "empirical", "mean"])
def test_every_kind_of_recipe_generates(cohort, kind):
    bags, _ = cohort.step(RecipeMix(cohort.components, kind=kind, shrinkage=0.5), np.arange(16))
    assert len(bags) == 16


def test_a_missing_class_is_learnt_from_its_recipe_alone():
    def plant(seed):
        rng = np.random.default_rng(seed)
        y = np.arange(40) % 2
        codes = np.repeat(np.arange(40), 40)
        kind = (rng.random(len(codes)) < np.where(y[codes] == 1, 0.6, 0.3)).astype(int)
        X = rng.normal(size=(len(codes), 3)) + 4 * kind[:, None]
        return Bags.from_codes(X, codes, 40), np.array(["control", "case"])[y], kind

    bags, y, kind = plant(0)
    test, y_test, _ = plant(1)
    counts = np.stack([40 - bags.incidence().T @ kind, bags.incidence().T @ kind], axis=1)
    recipes = fit_recipes(counts, y).take(["case"])
    controls = bags.take(y == "control")
    model = MILClassifier(n_steps=120, validation_fraction=0.0).fit(
        controls, y[y == "control"], augment=RecipeMix(kind, recipes=recipes), classes=["case", "control"]
    )
    assert (model.predict(test) == y_test).mean() > 0.9
