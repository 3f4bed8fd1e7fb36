from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from repatient.mil import Bags, Linear, load_model
from repatient.mixing import (
    Counterfactual,
    CounterfactualGenerator,
    Reference,
    alignment,
    fit_with_references,
)
from repatient.recipe import Recipes

NAMES = ("a", "b")


def cohort(n: int, *, seed: int, shift: float = 0.0, n_cells: int = 60, signal: float = 1.0):
    """Patients of two classes with three kinds of cells: other shares, and kind 0 lies elsewhere in class b."""
    rng = np.random.default_rng(seed)
    y = np.repeat([0, 1], n)
    shares = np.array([[0.6, 0.3, 0.1], [0.6 - 0.3 * signal, 0.3, 0.1 + 0.3 * signal]])
    centres = np.array([[0.0, 0, 0, 0], [6, 0, 0, 0], [0, 6, 0, 0]])
    X, codes = [], []
    for i, c in enumerate(y):
        kind = rng.choice(3, n_cells, p=rng.dirichlet(40 * shares[c]))
        cells = centres[kind] + rng.standard_normal((n_cells, 4)) + 0.3 * rng.standard_normal(4)
        cells[kind == 0, 2] += 2.0 * signal * c
        X.append(cells + shift)
        codes += [i] * n_cells
    return Bags.from_codes(np.concatenate(X).astype(np.float32), codes, len(y)), y


def reference(seed: int = 1, **options) -> Reference:
    bags, y = cohort(8, seed=seed, **options)
    models = [("mean", Linear(("mean",)))]
    return Reference.learn(bags, np.array(NAMES)[y], n_components=3, models=models)


def only(y, c):
    return np.flatnonzero(y == c)


def test_compositions_follow_the_ratio_of_the_recipes_and_cells_are_the_patients_own():
    means = np.array([[0.5, 0.25, 0.25], [0.25, 0.5, 0.25]])
    recipes = Recipes("mean", NAMES, tuple({"mean": mean} for mean in means))
    components = np.tile(np.repeat([0, 1, 2], [40, 20, 20]), 4)
    generator = CounterfactualGenerator(
        recipes=recipes,
        movable=np.ones((2, 2), dtype=bool),
        shifts=np.arange(2 * 2 * 3 * 2, dtype=np.float32).reshape(2, 2, 3, 2),
        components=components,
        patients=np.repeat(np.arange(4), 80),
        y=np.array([0, 0, 0, 0]),
        noise=False,
    )
    moves = generator.draw(np.ones(400, dtype=np.int64), np.random.default_rng(0))
    owner = np.repeat(moves.sources, np.diff(moves.indptr))
    assert np.array_equal(generator.patients[moves.rows], owner)
    drawn = np.bincount(components[moves.rows]) / len(moves.rows)
    np.testing.assert_allclose(drawn, [0.25, 0.5, 0.25], atol=0.02)
    shift = generator.shift_of(moves)
    np.testing.assert_array_equal(shift, generator.shifts[0, 1, components[moves.rows]])
    # Without replacement as long as cells last: of component 0, 20 of the 40 are drawn.
    first = moves.rows[moves.indptr[0] : moves.indptr[1]]
    of_zero = first[components[first] == 0]
    assert len(np.unique(of_zero)) == len(of_zero)


def test_components_of_few_own_cells_are_filled_from_all_patients():
    recipes = Recipes("mean", NAMES, ({"mean": np.array([0.5, 0.5])}, {"mean": np.array([0.5, 0.5])}))
    generator = CounterfactualGenerator(
        recipes=recipes,
        movable=np.eye(2, dtype=bool),
        shifts=None,
        components=np.array([0] * 10 + [1] * 2 + [1] * 10),
        patients=np.array([0] * 12 + [1] * 10),
        y=np.array([0, 1]),
        noise=False,
    )
    moves = generator.draw(np.zeros(200, dtype=np.int64), np.random.default_rng(0))
    assert set(moves.sources) == {0}
    assert set(moves.rows) >= set(range(12, 22))
    assert generator.shift_of(moves) is None


def test_offsets_come_back_through_the_map():
    """Where the target's cells are scaled, so is what moves them."""
    there = reference()
    bags, y = cohort(8, seed=2)
    scaled = Bags(2 * bags.X + 5, bags.rows, bags.indptr)
    labels = np.array(NAMES)[y]
    place = alignment(scaled, labels, None, there)
    assert place.p_value < 0.01
    assert place.move is not None
    make = Counterfactual(there)
    here = make.generator(scaled, y, np.array(NAMES), there, place.move)
    raw = make.generator(bags, y, np.array(NAMES), there, None)
    largest = np.abs(raw.shifts[0, 1]).max()
    assert largest > 1
    np.testing.assert_allclose(here.shifts, 2 * raw.shifts, atol=0.35 * largest)


def test_alignment_leaves_cohorts_alone_that_donors_do_not_tell_apart():
    bags, y = cohort(6, seed=3)
    assert alignment(bags, np.array(NAMES)[y], None, reference()).move is None
    with pytest.raises(ValueError, match="`align='moments'`"):
        alignment(bags, np.array(["c"] * len(y)), None, reference(), "moments")


@pytest.mark.parametrize("missing", [0, 1])
@pytest.mark.parametrize("shift", [0.0, 4.0])
def test_a_missing_class_is_recognised(missing, shift):
    bags, y = cohort(8, seed=4, shift=shift)
    new, truth = cohort(10, seed=5, shift=shift)
    kept = only(y, 1 - missing)
    found = fit_with_references(
        bags.take(kept), y[kept], NAMES, kept.astype(str), [reference().only(["recipes", "offsets"])]
    )
    assert (found.predictor.predict(new) == np.array(NAMES)[truth]).mean() >= 0.9
    assert "likelihood ratio" in found.line


@pytest.mark.parametrize("model", ["mean", "attention"])
def test_a_predictor_learns_a_missing_class_from_counterfactual_patients(model):
    bags, y = cohort(8, seed=4)
    new, truth = cohort(10, seed=5)
    kept = only(y, 0)
    found = fit_with_references(bags.take(kept), y[kept], NAMES, kept.astype(str), [reference()], model=model)
    p = found.predictor.predict_proba(new)[:, 1]
    assert p[truth == 1].mean() > p[truth == 0].mean() + 0.2


def test_a_reference_of_permuted_labels_is_left_out():
    bags, y = cohort(3, seed=6)
    there, labels = cohort(10, seed=7)
    wrong = Reference.learn(there, np.array(NAMES)[np.tile([0, 1], 10)], n_components=3)
    found = fit_with_references(bags, y, NAMES, np.arange(6).astype(str), [wrong])
    assert found.trust["reference"].belief < 0.1
    assert any("left out" in part for part in found.used)
    assert any("by chance" in concern for concern in found.concerns)
    right = Reference.learn(there, np.array(NAMES)[labels], n_components=3)
    found = fit_with_references(bags, y, NAMES, np.arange(6).astype(str), [right])
    assert found.trust["reference"].belief > 0.9
    assert not found.concerns


def test_another_disease_is_noticed_by_the_patients_here():
    bags, y = cohort(5, seed=6)
    there, labels = cohort(10, seed=7)
    other = Reference.learn(there, np.array(NAMES)[1 - labels], n_components=3)
    found = fit_with_references(bags, y, NAMES, np.arange(10).astype(str), [other])
    assert found.trust["reference"].odds < 0.1
    assert found.trust["reference"].belief < 0.3


def test_several_references_are_pooled_and_models_are_used(tmp_path):
    parts = [
        Reference.learn(*_named(cohort(8, seed=s)), name=f"h{s}", n_components=3, models=[("mean", Linear(("mean",)))])
        for s in (1, 2, 3)
    ]
    bags, y = cohort(2, seed=8)
    new, truth = cohort(10, seed=9)
    found = fit_with_references(bags, y, NAMES, np.arange(4).astype(str), parts)
    assert set(found.discrepancy) == {"h1", "h2", "h3"}
    assert "its model" in found.line
    assert (found.predictor.predict(new) == np.array(NAMES)[truth]).mean() >= 0.9
    found.predictor.save(tmp_path / "model")
    again = load_model(tmp_path / "model")
    np.testing.assert_array_equal(again.predict_proba(new), found.predictor.predict_proba(new))
    parts = np.add.reduceat(again.contributions(new), new.indptr[:-1], axis=0)
    np.testing.assert_allclose(parts + again.intercept_, again.decision_function(new), atol=1e-4)


def _named(part):
    return part[0], np.array(NAMES)[part[1]]


def test_without_a_reference_the_cohort_itself_serves_a_rare_class():
    bags, y = cohort(6, seed=10)
    kept = np.concatenate([only(y, 0), only(y, 1)[:2]])
    new, truth = cohort(10, seed=11)
    names = np.array(NAMES)
    model = Linear(("mean",)).fit(bags.take(kept), names[y[kept]], augment=Counterfactual(n_components=3))
    assert (model.predict(new) == names[truth]).mean() >= 0.85


def test_refusals():
    bags, y = cohort(3, seed=1)
    groups = np.arange(6).astype(str)
    there = reference()
    with pytest.raises(ValueError, match="`reference`"):
        fit_with_references(bags, y, ("a", "b", "c"), groups, [there])
    with pytest.raises(ValueError, match="`reference`"):
        fit_with_references(bags, y, ("c", "d"), groups, [there])
    with pytest.raises(ValueError, match="`travels`"):
        there.only(["secrets"])
    with pytest.raises(ValueError, match="`share`"):
        Counterfactual(there, share=2)
    with pytest.raises(TypeError, match="`reference`"):
        Counterfactual("file.h5")
    with pytest.raises(ValueError, match="`labels`"):
        Reference.learn(bags, ["a"])


def test_patients_of_a_known_class_say_how_sure_the_model_is():
    bags, y = cohort(8, seed=4)
    kept = only(y, 0)
    sent = reference().only(["recipes", "offsets"])
    sure = fit_with_references(bags.take(kept), y[kept], NAMES, kept.astype(str), [sent])
    p = sure.predictor.predict_proba(bags.take(kept))[:, 0].mean()
    assert sure.certainty == pytest.approx(p)
    assert f"{p:.2f} of their own class" in sure.line
    assert not sure.concerns
    unsure = replace(sure, certainty=0.6)
    assert any("0.60" in concern for concern in unsure.concerns)
    both = fit_with_references(bags, y, NAMES, np.arange(16).astype(str), [sent])
    assert np.isnan(both.certainty)
    assert not both.concerns
