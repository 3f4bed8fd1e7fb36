from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from repatient import mixing
from repatient.evaluation import BASELINES, DEFAULTS, SCENARIOS, FittedFold, Method, Scenario, check_methods, make_folds
from repatient.evaluation._recipe_mix import Null, choose_patients, draw_patients_once, recipe_mix
from repatient.mixture import Components


@pytest.fixture
def fitted(make_cohort, quick):
    cohort, scenario = make_cohort(n_patients=24, n_cells=60), Scenario()
    fold = make_folds(cohort, scenario, n_splits=1, test_fraction=0.25, random_state=0)[0]
    return FittedFold(cohort, scenario, fold, quick)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_defaults_make_sense(scenario):
    methods = check_methods(None, scenario)
    assert [method.name for method in methods] == list(DEFAULTS[scenario])
    assert BASELINES[scenario] in DEFAULTS[scenario]
    assert {"null", "size_only"} < set(DEFAULTS[scenario])


def test_names_and_settings():
    method = Method.of({"method": "recipe", "name": "five", "n_components": 5, "share": 0.3})
    assert (method.method, method.name) == ("recipe", "five")
    assert method.record == {"method": "recipe", "n_components": 5, "share": 0.3}
    assert Method.of("psemix").name == "psemix"
    assert Method.of(method) is method
    turns = Method.of({"method": "alternating", "of": ["psemix", {"method": "recipe", "n_components": 5}]})
    assert turns.record["of"] == ["psemix", {"method": "recipe", "n_components": 5}]


@pytest.mark.parametrize(
    ("name", "same"), [("none", "attention"), ("recipe", "attention+recipe"), ("psemix", "attention+psemix")]
)
def test_old_names_are_of_the_attention_network(name, same):
    ways = [vars(Method(given).way) for given in (name, same)]
    assert ways[0] == ways[1]


def test_a_setting_goes_to_what_has_it():
    way = Method("mean+recipe", settings={"C": 0.1, "n_components": 4}).way
    assert (way.of_predictor, way.of_augment) == ({"C": 0.1}, {"n_components": 4})


@pytest.mark.parametrize(
    ("given", "scenario", "error", "message"),
    [
        (["recip"], "full", ValueError, "'recip'"),
        (["mean+recip"], "full", ValueError, "'recip'"),
        ([{"method": "recipe", "chare": 1}], "full", ValueError, r"\['chare'\]"),
        ([{"method": "mean", "share": 1}], "full", ValueError, r"\['share'\]"),
        ([{"name": "x"}], "full", TypeError, "`methods`"),
        (["none", "none"], "full", ValueError, r"\['none'\]"),
        (["external"], "full", ValueError, r"\['external'\]"),
        (["psemix"], "missing_class", ValueError, r"\['psemix'\]"),
        ("none", "full", TypeError, "`methods`"),
        ([], "full", TypeError, "`methods`"),
    ],
)
def test_what_is_wrong_is_named(given, scenario, error, message):
    with pytest.raises(error, match=message):
        check_methods(given, scenario)


def test_recipes_of_a_fold_are_over_a_mixture_of_its_training_cells(fitted):
    mix = recipe_mix(fitted, {"share": 0.4, "n_components": 4})
    assert isinstance(mix, mixing.RecipeMix)
    assert (mix.share, mix.n_components, mix.components) == (0.4, 4, None)
    train = fitted.fold.train
    bags = fitted.bags.take(train)
    sampler = mix.bind(bags, fitted.cohort.y[train], np.arange(2), fitted.cohort.donors[train])
    expected = Components.fit(bags.X[bags.rows], 4, random_state=fitted.fold.seed).assign(bags.X[bags.rows])
    np.testing.assert_array_equal(sampler.generator.components, expected)


@pytest.fixture
def missing(make_cohort, quick):
    cohort, scenario = make_cohort(n_patients=24, n_cells=60, external=12), Scenario("missing_class", missing_class=1)
    fold = make_folds(cohort, scenario, n_splits=1, test_fraction=0.25, random_state=0)[0]
    return FittedFold(cohort, scenario, fold, quick)


def test_the_recipe_of_a_missing_class_relative_to_the_shared_one(missing):
    raw, moved = (recipe_mix(missing, {"transfer": how}).recipes for how in ("raw", "log_ratio"))
    assert raw.classes == moved.classes == ("1",)
    external, own = (missing.recipes(some, None) for some in (missing.fold.external, missing.fold.train))
    ratio = (0.99 * own.take(["0"]).mean + 0.01 / 3) / (0.99 * external.take(["0"]).mean + 0.01 / 3)
    np.testing.assert_allclose(moved.mean, (raw.mean * ratio) / (raw.mean * ratio).sum(), rtol=1e-6)
    assert np.abs(moved.mean - raw.mean).max() > 1e-4


@pytest.mark.parametrize("mixture", ["both", "target", "reference"])
def test_whose_mixture_the_recipe_is_of(missing, mixture):
    mix = recipe_mix(missing, {"mixture": mixture})
    fold, bags = missing.fold, missing.bags
    patients = {"target": [fold.train], "reference": [fold.external], "both": [fold.train, fold.external]}[mixture]
    cells = bags.X[bags.take(np.concatenate(patients)).rows]
    expected = Components.fit(cells, 3, random_state=fold.seed)
    train = bags.take(fold.train).rows
    np.testing.assert_array_equal(mix.components[train], expected.assign(bags.X[train]))
    # The recipe is that of the external patients of the class, whosever the components are.
    codes = mix.components[bags.take(missing.external_patients).rows]
    np.testing.assert_allclose(mix.recipes.mean[0], np.bincount(codes, minlength=3) / len(codes), atol=0.1)
    if mixture == "target":
        np.testing.assert_array_equal(recipe_mix(missing, {}).components, mix.components)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"mixture": "union"}, "`mixture`"),
        ({"transfer": "ratio"}, "`transfer`"),
        ({"transfer": "log_ratio", "shared_class": "b"}, "`shared_class`"),
    ],
)
def test_transfers_that_cannot_be(missing, settings, message):
    with pytest.raises(ValueError, match=message):
        recipe_mix(missing, settings)


def test_the_null_exchanges_recipes(fitted):
    mix = recipe_mix(fitted, {})
    patients = fitted.fold.train
    given = (fitted.bags.take(patients), fitted.cohort.y[patients], np.arange(2), fitted.cohort.donors[patients])
    right, wrong = mix.bind(*given).generator.recipes, Null(mix, None).bind(*given).generator.recipes
    np.testing.assert_array_equal(wrong[0].mean, right[1].mean)
    np.testing.assert_array_equal(wrong[1].mean, right[0].mean)
    of_missing = Null(mix, 1).bind(*given).generator.recipes
    np.testing.assert_array_equal(of_missing[0].mean, right[0].mean)
    np.testing.assert_array_equal(of_missing[1].mean, right[0].mean)


def test_patients_are_generated_once(fitted):
    mix = recipe_mix(fitted, {})
    bags, y = draw_patients_once(fitted, mix, 7)
    assert np.bincount(y).tolist() == [7, 7]
    again, _ = draw_patients_once(fitted, mix, 7)
    np.testing.assert_array_equal(bags.rows, again.rows)
    by_share, _ = draw_patients_once(fitted, recipe_mix(fitted, {"share": 0.25}), None)
    assert len(by_share) == round(len(fitted.fold.train) / 3)


@pytest.mark.parametrize("keep", ["low", "high", "band", "random"])
def test_selection_keeps_a_share_of_each_class(fitted, keep):
    bags, y = draw_patients_once(fitted, recipe_mix(fitted, {}), 8)
    kept, labels = choose_patients(fitted, bags, y, "attention", keep=keep, fraction=0.25)
    assert np.bincount(labels).tolist() == [2, 2]
    assert len(kept) == 4


def test_low_and_high_are_ends(fitted):
    from repatient.mil import total_entropy

    bags, y = draw_patients_once(fitted, recipe_mix(fitted, {}), 8)
    model = fitted.train(fitted.fold.train, generated=(bags, y))
    mean = {
        keep: total_entropy(model.predict_proba_mc(choose_patients(fitted, bags, y, "attention", keep=keep)[0])).mean()
        for keep in ("low", "band", "high")
    }
    assert mean["low"] < mean["band"] < mean["high"]
    correct, labels = choose_patients(fitted, bags, y, "attention", keep="correct")
    np.testing.assert_array_equal(model.predict_proba_mc(correct).mean(axis=0).argmax(axis=1), labels)
    assert len(choose_patients(fitted, bags, y, "attention")[1]) == 16


@pytest.mark.parametrize("name", ["none", "recipe", "recipe_fixed"])
def test_several_models_are_averaged(fitted, name):
    fitted.plan = replace(fitted.plan, n_models=3)
    singles = [Method(name).way.predict(fitted.member(number)) for number in range(3)]
    averaged = Method(name).predict(fitted)
    np.testing.assert_allclose(averaged, np.mean(singles, axis=0))
    np.testing.assert_array_equal(singles[0], Method(name).way.predict(fitted))
    assert np.abs(singles[1] - singles[2]).max() > 1e-6


def test_options_are_named(missing, fitted):
    bags, y = draw_patients_once(fitted, recipe_mix(fitted, {}), 4)
    with pytest.raises(ValueError, match="`select`"):
        choose_patients(fitted, bags, y, "attention", keep="best")
    with pytest.raises(ValueError, match="`align`"):
        missing.components(3, "affine")
    with pytest.raises(ValueError, match="'reference'"):
        fitted.components(3, mixture="reference")
    with pytest.raises(ValueError, match="`align='moments'`"):
        fitted.components(3, "moments")
    with pytest.raises(ValueError, match="`methods`"):
        recipe_mix(fitted, {"align": "moments"})


def test_settings_of_every_method_can_be_listed():
    def settings(name):
        method = Method(name)
        parts = (
            {"predictor": method.way.predictor, "augment": method.way.augment} if name in ("psemix", "recipe") else {}
        )
        return set(type(method.way).settings(**parts))

    assert "n_pseudo_bags" in settings("psemix")
    assert {"n_components", "kind", "pool", "n_donors", "share", "align", "select"} <= settings("recipe_fixed")
    assert {"mixture", "label_mixing", "hidden"} <= settings("recipe")
    assert "components" not in settings("recipe")
    assert "label_mixing" not in settings("recipe_fixed")


def test_a_rare_class(make_cohort):
    cohort = make_cohort(n_patients=40)
    scenario = Scenario("rare_class", n_patients=2)
    for fold in make_folds(cohort, scenario, n_splits=4, test_fraction=0.25, random_state=0):
        counts = np.bincount(cohort.y[fold.train])
        assert counts[fold.number % 2] == 2
        assert counts[1 - fold.number % 2] > 10
    fold = make_folds(cohort, replace(scenario, rare_class=1), n_splits=1, test_fraction=0.25, random_state=0)[0]
    assert np.bincount(cohort.y[fold.train])[1] == 2
