"""What every predictor promises, whatever its kind and outcome."""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch
from sklearn.base import BaseEstimator, clone
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from repatient.mil import (
    PREDICTORS,
    Attention,
    Bags,
    Cells,
    Ensemble,
    Linear,
    Predictor,
    load_model,
    make_predictor,
    register_predictor,
)

NAMES = np.array(["none", "some", "much"])
OUTCOMES = ("class", "ordinal", "continuous")
QUICK = {
    "attention": {"n_steps": 20, "validation_fraction": 0.0, "hidden": 8, "attention_hidden": 4},
    "auto": {"members": [("mean", Linear()), ("cells", Cells()), ("centroid", make_predictor("centroid"))]},
    "composition": {"n_components": 4},
    "likelihood": {"n_components": 4},
    "prototypes": {"n_components": 4},
    "cloudpred": {"n_components": 4},
}


def cohort(n_bags: int = 24, seed: int = 0) -> tuple[Bags, np.ndarray]:
    """Patients of three grades, of sizes of their own, whose cells shift with the grade."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(20, 60, n_bags)
    codes = np.repeat(np.arange(n_bags), sizes)
    grade = np.arange(n_bags) % 3
    X = rng.normal(size=(len(codes), 5)) + 0.2 * rng.normal(size=(n_bags, 5))[codes]
    X[:, 0] += 1.0 * grade[codes]
    return Bags.from_codes(X.astype(np.float32), codes, n_bags), grade


def target(grade: np.ndarray, outcome: str) -> dict:
    if outcome == "continuous":
        return {"y": 10.0 + 2.0 * grade}
    return {"y": NAMES[grade], "classes": NAMES if outcome == "ordinal" else None}


@pytest.mark.filterwarnings("ignore:Training ended near guessing")
@pytest.mark.parametrize("outcome", OUTCOMES)
@pytest.mark.parametrize("name", list(PREDICTORS))
def test_every_predictor_keeps_the_protocol(name, outcome, tmp_path):
    bags, grade = cohort()
    new, truth = cohort(seed=1)
    model = make_predictor(name, outcome=outcome, device="cpu", progress=False, **QUICK.get(name, {}))
    assert isinstance(model, Predictor)
    assert clone(model).get_params(deep=False).keys() == model.get_params(deep=False).keys()
    assert model.fit(bags, **target(grade, outcome)) is model
    p, passes, scores = model.predict_proba(new), model.predict_proba_mc(new, n_passes=7), model.decision_function(new)
    np.testing.assert_allclose(model.link(scores), p, atol=1e-6)
    if outcome == "continuous":
        assert (p.shape, passes.shape) == ((24,), (7, 24))
        means, sds = model.predict_mc(new, n_passes=7)
        assert (means.shape, sds.shape) == ((7, 24), (7, 24))
        assert (sds > 0).all()
        right = np.corrcoef(p, truth)[0, 1]
    else:
        assert (p.shape, passes.shape) == ((24, 3), (7, 24, 3))
        assert sorted(model.classes_) == sorted(NAMES)
        np.testing.assert_allclose(p.sum(axis=1), 1.0, atol=1e-6)
        np.testing.assert_allclose(passes.sum(axis=2), 1.0, atol=1e-6)
        right = np.mean(model.predict(new) == NAMES[truth])
    assert right > 0.5
    assert passes.std(axis=0).max() > 0
    # What cells contribute sums to the score of their patient.
    sums = np.add.reduceat(model.contributions(new), new.indptr[:-1], axis=0) + model.intercept_
    np.testing.assert_allclose(sums, scores, rtol=1e-4, atol=1e-4)
    # The same seed gives the same bits, and so does what was saved.
    again = clone(model).fit(bags, **target(grade, outcome))
    model.save(tmp_path / "model")
    loaded = load_model(tmp_path / "model", device="cpu")
    assert type(loaded) is type(model)
    for other in (again, loaded):
        np.testing.assert_array_equal(other.predict_proba(new), p)
        np.testing.assert_array_equal(other.predict_proba_mc(new, n_passes=7), passes)
        np.testing.assert_array_equal(other.contributions(new), model.contributions(new))


def test_the_mean_into_a_logistic_regression_is_that_of_scikit_learn():
    bags, grade = cohort()
    few = bags.take(grade < 2)
    y = grade[grade < 2]
    X = bags.X.astype(np.float64)
    X = (X - X[few.rows].mean(axis=0)) / X[few.rows].std(axis=0)
    means = np.stack([X[few.rows[a:b]].mean(axis=0) for a, b in zip(few.indptr[:-1], few.indptr[1:], strict=True)])
    reference = LogisticRegression(C=0.5, tol=1e-10, max_iter=10_000).fit(StandardScaler().fit_transform(means), y)
    expected = reference.predict_proba(StandardScaler().fit_transform(means))
    np.testing.assert_allclose(Linear(C=0.5).fit(few, y).predict_proba(few), expected, atol=1e-4)


def test_with_moderation_few_patients_do_not_make_a_feature_large():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(4 * 500, 30))
    # The classes differ in one feature; in two patients chance makes every other one differ by as many spreads.
    X[1000:, 0] += 1.0
    bags = Bags.from_codes(X.astype(np.float32), np.repeat(np.arange(4), 500), 4)
    own, moderated = (Linear(moderation=m).fit(bags.take([0, 2]), [0, 1]) for m in (0.0, 4.0))
    weights = [np.abs(model._head.arrays["coef"][:, 1]) for model in (own, moderated)]
    assert weights[0][0] < 1.01 * weights[0][1:].max()
    assert weights[1][0] > 1.5 * weights[1][1:].max()
    many = [Linear(moderation=m).fit(*cohort()).predict_proba(cohort()[0]) for m in (0.0, 4.0)]
    assert np.abs(many[0] - many[1]).max() < 0.2


def test_features_are_those_of_numpy():
    bags, grade = cohort()
    cells = [bags.X[bags.rows[a:b]].astype(np.float64) for a, b in zip(bags.indptr[:-1], bags.indptr[1:], strict=True)]
    quantiles = np.arange(1, 10) / 10
    expected = {
        "mean": [x.mean(axis=0) for x in cells],
        "moments": [np.r_[x.mean(axis=0), x.std(axis=0)] for x in cells],
        "extremes": [np.r_[x.min(axis=0), x.max(axis=0)] for x in cells],
        "quantiles": [np.quantile(x, quantiles, axis=0).ravel() for x in cells],
    }
    for name, rows in expected.items():
        features = np.stack(rows)
        reference = LogisticRegression(C=0.1, tol=1e-10, max_iter=10_000)
        scaled = StandardScaler().fit_transform(features)
        model = Linear(name, C=0.1, standardize=False).fit(bags, grade)
        np.testing.assert_allclose(
            model.predict_proba(bags), reference.fit(scaled, grade).predict_proba(scaled), atol=2e-3, err_msg=name
        )


@pytest.mark.parametrize("values", ["all different", "counts"])
def test_cells_have_the_quantiles_that_their_ranks_are_near_to(values):
    """Rank by rank, with loops; equal values have the mean of what is near to their ranks."""
    rng, sizes = np.random.default_rng(0), [1, 2, 5, 21, 60]
    X = rng.poisson(0.7, (sum(sizes), 2)) if values == "counts" else rng.standard_normal((sum(sizes), 2))
    bags = Bags.from_codes(X.astype(np.float32), np.repeat(range(len(sizes)), sizes), len(sizes))
    y = np.array([0.0, 1.0, 0.0, 1.0, 1.0])
    model = Linear("quantiles", standardize=False).fit(bags, y.astype(str))
    weights = model._head.arrays["coef"][:, 0] * model._inverse
    parts = ((model._features(bags) - model._centre) * weights).reshape(len(sizes), 9, 2)
    expected = []
    for bag, n in enumerate(sizes):
        cells = bags.X[bags.rows[bags.indptr[bag] : bags.indptr[bag + 1]]]
        found = np.zeros(n)
        for feature in range(2):
            of_ranks = np.zeros(n)
            for q in range(9):
                distance = np.abs(np.arange(n) / max(n - 1, 1) - (q + 1) / 10)
                near = distance <= max(0.05, 0.5 / max(n - 1, 1) + 1e-9)
                near = near if near.any() and n > 1 else np.ones(n, bool)
                of_ranks[near] += parts[bag, q, feature] / near.sum()
            ordered = np.sort(cells[:, feature])
            found += [of_ranks[ordered == value].mean() for value in cells[:, feature]]
        expected.append(found)
    np.testing.assert_allclose(model.contributions(bags)[:, 0], np.concatenate(expected), atol=1e-9)


def test_the_kernel_mean_is_that_of_a_gaussian_kernel():
    """Products of kernel means are the mean kernel between the cells of two patients."""
    bags, grade = cohort(6)
    model = Linear("kernel_mean", n_frequencies=20_000, standardize=False).fit(bags, grade)
    (kind,) = model._kinds
    features = model._features(bags)
    width = kind.arrays["frequencies"].std() ** -1
    cells = [bags.X[bags.rows[a:b]] for a, b in zip(bags.indptr[:-1], bags.indptr[1:], strict=True)]
    distances = [[((x[:, None] - z) ** 2).sum(axis=2) for z in cells] for x in cells]
    kernel = np.array([[np.exp(-d / (2 * width**2)).mean() for d in row] for row in distances])
    np.testing.assert_allclose(features @ features.T, kernel, atol=0.02)


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_generated_patients_stand_for_a_class_that_is_missing(outcome):
    bags, grade = cohort()
    real, generated = bags.take(grade < 2), bags.take(grade == 2)
    y = target(grade, outcome)
    for name in ("mean", "cells", "centroid", "likelihood"):
        model = make_predictor(name, outcome=outcome, **QUICK.get(name, {}))
        model.fit(
            real, y["y"][grade < 2], generated=generated, generated_y=y["y"][grade == 2], classes=y.get("classes")
        )
        p = model.predict_proba(bags.take(grade == 2))
        assert (p.mean() > 12.0) if outcome == "continuous" else (p[:, list(model.classes_).index("much")].mean() > 0.4)


def test_members_are_averaged_and_a_temperature_is_learnt():
    bags, grade = cohort(48)
    few = bags.take(range(12))
    model = Ensemble(QUICK["auto"]["members"]).fit(few, NAMES[grade[:12]])
    expected = np.mean([member.predict_proba(few) for _, member in model.members_], axis=0)
    np.testing.assert_allclose(model.predict_proba(few), expected)
    assert model.temperature_ == 1.0
    assert model.weights_.tolist() == pytest.approx([1 / 3] * 3)
    many = Ensemble(QUICK["auto"]["members"]).fit(bags, NAMES[grade])
    assert many.temperature_ != 1.0
    assert len(many.reasons_) == 3
    powers = np.mean([member.predict_proba(few) for _, member in many.members_], axis=0) ** (1 / many.temperature_)
    np.testing.assert_allclose(many.predict_proba(few), powers / powers.sum(axis=1, keepdims=True))


@pytest.mark.parametrize("outcome", ["class", "ordinal"])
def test_attention_gets_a_temperature_from_donors_that_trainings_left_out(outcome):
    bags, grade = cohort(48)
    noise = np.random.default_rng(0).permutation(grade)
    y = NAMES[noise] if outcome == "class" else noise
    fit = lambda n, **given: Attention(outcome=outcome, n_steps=150, hidden=16, progress=False, **given).fit(
        bags.take(range(n)), y[:n], **({} if outcome == "class" else {"classes": range(3)})
    )
    bold, told = fit(48, calibrate=False), fit(48)
    assert bold.temperature_ == fit(12).temperature_ == fit(48, validation_fraction=0.1).temperature_ == 1.0
    # Nothing was to be learnt, so that what the network is sure of is wrong.
    assert told.temperature_ > 1.2
    if outcome == "class":
        assert told.predict_proba(bags).max() < bold.predict_proba(bags).max()
    logits = bold.decision_function(bags)
    np.testing.assert_allclose(told.decision_function(bags), logits / told.temperature_, atol=1e-6)


def test_settings_go_to_the_members_that_have_them(tmp_path):
    bags, grade = cohort()
    model = make_predictor("auto", n_steps=3, n_frequencies=7, n_passes=5, device="cpu", progress=False).fit(
        bags, grade
    )
    members = dict(model.members_)
    assert members["attention"].n_steps == 3
    assert members["kernel_mean"].n_frequencies == 7
    assert model.n_passes == 5
    model.save(tmp_path / "model")
    loaded = load_model(tmp_path / "model", device="cpu")
    assert loaded.settings == model.settings == {"n_steps": 3, "n_frequencies": 7}
    np.testing.assert_array_equal(loaded.predict_proba(bags), model.predict_proba(bags))


def test_the_default_members_follow_what_there_is_of_patients():
    bags, grade = cohort()
    few = [*np.flatnonzero(grade == 0), *np.flatnonzero(grade == 1)[:2]]
    rare = Ensemble(device="cpu", progress=False).fit(bags.take(few), grade[few])
    assert "attention" not in dict(rare.members_)
    # No member learns from generated patients of classes that have others, and every one where there are no others.
    given = {"generated": bags.take(few[:8]), "generated_y": grade[few[:8]][::-1]}
    other = Ensemble(device="cpu", progress=False).fit(bags.take(few), grade[few], **given)
    assert np.array_equal(other.predict_proba(bags), rare.predict_proba(bags))
    assert any("no generated patients" in reason for reason in other.reasons_)
    known = np.flatnonzero(grade == 0)
    given["generated_y"] = np.full(8, 1)
    missing = Ensemble(device="cpu", progress=False).fit(bags.take(known), grade[known], **given)
    assert missing.classes_.tolist() == [0, 1]
    assert not any("no generated patients" in reason for reason in missing.reasons_)


@pytest.mark.parametrize(
    ("name", "place", "value"),
    [
        ("mean", "centre", np.zeros(4)),
        ("mean", "scale", np.full(5, -1.0)),
        ("mean", "head.coef", np.full((5, 3), np.nan)),
        ("kernel_mean", "features.kernel_mean.phases", np.zeros(7)),
        ("prototypes", "features.prototypes.typical", np.zeros((2, 5))),
        ("cloudpred", "features.posterior.means", np.zeros((4, 2))),
        ("cloudpred", "features.posterior.means", np.full((4, 5), 1e30, np.float32)),
        ("likelihood", "temperature", -1.0),
        ("auto", "weights", np.array([0.5, 0.6, -0.1])),
        ("auto", "temperature", float("inf")),
    ],
)
def test_what_a_file_says_is_checked(name, place, value):
    bags, grade = cohort()
    model = make_predictor(name, device="cpu", progress=False, **QUICK.get(name, {})).fit(bags, grade)
    content, arrays = model.state()
    assert place in (content if np.isscalar(value) else arrays)
    (content if np.isscalar(value) else arrays)[place] = value
    with pytest.raises(ValueError, match=place.split(".")[-1]):
        clone(model).restore(content, arrays)


@pytest.mark.parametrize(
    ("name", "place", "value"),
    [
        ("mean", "head.thresholds", np.array([255, 1], np.uint8)),
        ("attention", "network.network.outcome.start", np.array([-1.7, -2.4], np.float32)),
    ],
)
def test_thresholds_of_a_file_rise(name, place, value):
    bags, grade = cohort()
    settings = {"device": "cpu", "progress": False, "outcome": "ordinal", **QUICK.get(name, {})}
    model = make_predictor(name, **settings).fit(bags, grade, classes=range(3))
    content, arrays = model.state()
    assert arrays[place].shape == value.shape
    with pytest.raises(ValueError, match="thresholds"):
        clone(model).restore(content, arrays | {place: value})


def test_weights_are_learnt_of_many_donors_only():
    bags, grade = cohort(90)
    noise = Bags(np.random.default_rng(0).normal(size=bags.X.shape).astype(np.float32), bags.rows, bags.indptr)
    members = [("mean", Linear()), ("extremes", Linear("extremes", C=1e-4))]
    model = Ensemble(members).fit(bags, grade)
    assert model.weights_[0] > model.weights_[1]
    assert Ensemble(members, weights="equal").fit(bags, grade).weights_.tolist() == [0.5, 0.5]
    # With a single donor of a class nobody can be left out.
    assert Ensemble(members).fit(noise, grade, groups=grade).temperature_ == 1.0


def test_a_predictor_from_outside_has_a_name(monkeypatch, tmp_path):
    monkeypatch.setattr("repatient.mil._registry.PREDICTORS", dict(PREDICTORS))

    class Guess(BaseEstimator):
        def __init__(self, outcome="class", random_state=0, level=1.0):
            self.outcome, self.random_state, self.level = outcome, random_state, level

        def fit(self, bags, y, **_):
            self.classes_ = np.unique(y)
            return self

    register_predictor("guess", Guess)
    model = make_predictor("guess", random_state=3, level=2.0)
    assert (model.random_state, model.level) == (3, 2.0)
    assert make_predictor(model).level == 2.0
    for name in ("guess", "a+b"):
        with pytest.raises(ValueError, match="`name`"):
            register_predictor(name, Guess)
    with pytest.raises(ValueError, match="`model`"):
        make_predictor("gues")
    with pytest.raises(TypeError, match="`model`"):
        make_predictor(3)
    with pytest.raises(ValueError, match="`wings`"):
        make_predictor("mean", wings=2)


def test_torch_in_double_precision_elsewhere_changes_nothing():
    bags, grade = cohort()
    expected = Attention(n_steps=10, device="cpu").fit(bags, grade).predict_proba(bags)
    torch.set_default_dtype(torch.float64)
    try:
        found = Attention(n_steps=10, device="cpu").fit(bags, grade).predict_proba(bags)
    finally:
        torch.set_default_dtype(torch.float32)
    np.testing.assert_array_equal(found, expected)


def test_a_million_cells_take_seconds():
    """A quarter of them."""
    X = np.random.default_rng(0).standard_normal((250_000, 50), dtype=np.float32)
    bags, y = Bags.from_codes(X, np.arange(250_000) // 1_250, 200), np.arange(200) % 2
    start = time.process_time()
    Linear().fit(bags, y).predict_proba(bags)
    assert time.process_time() - start < 2.5


@pytest.mark.parametrize(
    ("model", "argument"),
    [
        (Linear("means"), "features"),
        (Linear(()), "features"),
        (Linear(C=0.0), "C"),
        (Linear(outcome="survival"), "outcome"),
        (Cells(max_cells=0), "max_cells"),
        (Ensemble([]), "members"),
        (Ensemble(weights="best"), "weights"),
        (Linear(moderation=-1.0), "moderation"),
        (Ensemble(settings={"wings": 2}), "wings"),
        (Ensemble([("a", Linear()), ("a", Cells())]), "members"),
    ],
)
def test_parameters_out_of_range_are_named(model, argument):
    bags, grade = cohort(6)
    with pytest.raises(ValueError, match=f"`{argument}`"):
        model.fit(bags, grade)
