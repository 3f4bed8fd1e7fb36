"""No row of a test donor is fitted on or drawn, and labels that mean nothing predict nothing."""

from __future__ import annotations

from dataclasses import replace
from functools import wraps

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from repatient.evaluation import DEFAULTS, FittedFold, Method, Scenario, _trained, make_folds, method_names, score
from repatient.mil import Attention, BasePredictor
from repatient.mixing import augmenters
from repatient.mixture import GaussianMixture

SPLITS = {"n_splits": 2, "test_fraction": 0.3, "random_state": 0}
WITH_ALL_CLASSES = [
    *method_names("low_data"),
    *(f"attention+{name}" for name in augmenters()),
    "mean+recipe",
    "cells+psemix",
]
SETTINGS = {"recipe_fixed": {"select": "low", "n_generated": 6}, "alternating": {"of": ["recipe", "psemix"]}}


class Used:
    """Rows of the cells that anything was fitted on or that training saw."""

    def __init__(self, monkeypatch, n_rows: int) -> None:
        self.rows: set[int] = set()
        self.n_rows, self.n_features = n_rows, 4
        self.in_classifier = False
        for fitter in (StandardScaler, PCA, GaussianMixture):
            self._wrap(monkeypatch, fitter)
        # Those whose fit the predictors of an evaluation have.
        for predictor in (BasePredictor, Attention):
            self._wrap_predictor(monkeypatch, predictor)

    def _wrap_predictor(self, monkeypatch, predictor) -> None:
        fit = predictor.fit

        @wraps(fit)
        def watched(model, bags, y, *, augment=None, generated=None, **kwargs):
            # Bags of cells that were moved or made are over arrays of their own, and number other rows.
            if len(bags.X) == self.n_rows:
                self.rows |= set(bags.rows.tolist())
            if generated is not None:
                self.rows |= set(generated.rows.tolist())
            # What it scales and trains on are the rows of these bags.
            outer, self.in_classifier = self.in_classifier, True
            fitted = fit(model, bags, y, augment=augment and Watched(augment, self), generated=generated, **kwargs)
            self.in_classifier = outer
            return fitted

        monkeypatch.setattr(predictor, "fit", watched)

    def _wrap(self, monkeypatch, fitter) -> None:
        fit = fitter.fit

        @wraps(fit)
        def watched(estimator, X, *args, **kwargs):
            # The first column names the row, unless it was scaled: by a scaler that was looked at.
            if not self.in_classifier and X.shape[1] == self.n_features:
                named = np.round(X[:, 0] * self.n_rows)
                if np.allclose(named, X[:, 0] * self.n_rows, atol=1e-3):
                    self.rows |= set(named.astype(int).tolist())
            return fit(estimator, X, *args, **kwargs)

        monkeypatch.setattr(fitter, "fit", watched)


class Watched:
    """An augmenter whose bags are looked at."""

    def __init__(self, augment, used: Used) -> None:
        self.augment, self.used = augment, used

    def bind(self, bags, y, classes, groups):
        self.used.rows |= set(bags.rows.tolist())
        sampler, used = self.augment.bind(bags, y, classes, groups), self.used

        class Sampler:
            class_shares = sampler.class_shares

            def __call__(self, *args):
                made, targets = sampler(*args)
                if made.X is bags.X:
                    used.rows |= set(made.rows.tolist())
                return made, targets

        return Sampler()


def rows_of(cohort, patients) -> set[int]:
    return set(np.flatnonzero(np.isin(cohort.codes, patients)).tolist())


def check_rows(cohort, scenario, method, fold, used) -> None:
    forbidden = np.isin(cohort.donors, cohort.donors[fold.test])
    assert used.rows
    assert not used.rows & rows_of(cohort, np.flatnonzero(forbidden))
    allowed = rows_of(cohort, fold.train)
    if method.method == "full":
        allowed |= rows_of(cohort, fold.withheld)
    if method.method == "external" or "travel" in method.method or method.settings.get("mixture", "target") != "target":
        allowed |= rows_of(cohort, fold.external)
    assert used.rows <= allowed
    assert scenario.name != "low_data" or len(fold.train) == 8


@pytest.mark.parametrize("mixture", ["both", "target", "reference"])
def test_rows_of_mixtures(make_cohort, quick, monkeypatch, mixture):
    cohort = make_cohort(n_patients=36, n_cells=60)
    # In turn with the others, as the first column, which names the row, is no batch shift then.
    cohort = replace(cohort, is_external=np.arange(36) % 6 >= 4)
    scenario = Scenario("missing_class", missing_class=1)
    for fold in make_folds(cohort, scenario, **SPLITS):
        with monkeypatch.context() as patch:
            used = Used(patch, len(cohort.X))
            one = Method("recipe", settings={"mixture": mixture})
            one.predict(FittedFold(cohort, scenario, fold, quick))
        check_rows(cohort, scenario, one, fold, used)
        of_reference = rows_of(cohort, fold.external)
        assert used.rows & of_reference == (set() if mixture == "target" else of_reference)


@pytest.mark.parametrize("method", [name for name in WITH_ALL_CLASSES if name != "size_only"])
def test_rows_of_low_data(make_cohort, quick, monkeypatch, method):
    external = 10 if "travel" in method else 0
    cohort, scenario = make_cohort(n_cells=50, external=external), Scenario("low_data", n_patients=4)
    folds = list(zip((True, False), make_folds(cohort, scenario, **SPLITS), strict=True))
    # What travels takes ten trainings a fold.
    for scale, fold in folds[:1] if external else folds:
        with monkeypatch.context() as patch:
            used = Used(patch, len(cohort.X))
            one = Method(method, settings=SETTINGS.get(method, {}))
            one.predict(FittedFold(cohort, scenario, fold, replace(quick, scale=scale)))
        check_rows(cohort, scenario, one, fold, used)


@pytest.mark.parametrize(
    "method", ["attention+recipe", "mean+recipe", "recipe_fixed", "random_selection", "null", "full", "external"]
)
def test_rows_of_a_missing_class(make_cohort, quick, monkeypatch, method):
    cohort = make_cohort(n_patients=24, n_cells=60, external=10)
    scenario = Scenario("missing_class", missing_class=1)
    settings = {"align": "moments"} if method in ("attention+recipe", "external") else {}
    for fold in make_folds(cohort, scenario, **SPLITS):
        with monkeypatch.context() as patch:
            used = Used(patch, len(cohort.X))
            one = Method(method, settings=settings)
            one.predict(FittedFold(cohort, scenario, fold, quick))
        check_rows(cohort, scenario, one, fold, used)


@pytest.mark.parametrize("missing_class", [None, 1])
def test_sizes_of_test_patients_are_not_fitted_on(make_cohort, quick, monkeypatch, missing_class):
    cohort = make_cohort(n_patients=24, n_cells=60, external=10)
    scenario = Scenario() if missing_class is None else Scenario("missing_class", missing_class=missing_class)
    for fold in make_folds(cohort, scenario, **SPLITS):
        seen = []

        class Watching(_trained.LogisticRegression):
            def fit(self, X, y, seen=seen):
                seen.append((X, y))
                return super().fit(X, y)

        with monkeypatch.context() as patch:
            patch.setattr(_trained, "LogisticRegression", Watching)
            fitted = FittedFold(cohort, scenario, fold, quick)
            Method("size_only").predict(fitted)
        patients = np.concatenate([fold.train, fitted.external_patients])
        sizes = np.log(cohort.bags.sizes[patients])
        ((X, y),) = seen
        np.testing.assert_allclose(X[:, 0], sizes - sizes.mean())
        np.testing.assert_array_equal(y, cohort.y[patients])
        assert not set(cohort.donors[patients]) & set(cohort.donors[fold.test])


def test_predictions_do_not_depend_on_the_labels_of_test_patients(make_cohort, quick):
    cohort, scenario = make_cohort(), Scenario()
    fold = make_folds(cohort, scenario, **SPLITS)[0]
    y = cohort.y.copy()
    y[fold.test] = 1 - y[fold.test]
    for name in ("recipe", "recipe_fixed", "psemix"):
        first, second = (
            Method(name).predict(FittedFold(one, scenario, fold, quick)) for one in (cohort, replace(cohort, y=y))
        )
        np.testing.assert_array_equal(first, second)


def test_nor_on_the_company_of_test_cells(make_cohort, quick):
    cohort, scenario = make_cohort(), Scenario()
    fold = make_folds(cohort, scenario, **SPLITS)[0]
    first, others = fold.test[0], np.isin(cohort.codes, fold.test[1:])
    X = cohort.X.copy()
    X[others] += 100.0
    for name in ("recipe", "psemix"):
        a, b = (Method(name).predict(FittedFold(one, scenario, fold, quick)) for one in (cohort, replace(cohort, X=X)))
        np.testing.assert_allclose(a[0], b[0], atol=1e-6)
    assert first in fold.test


@pytest.mark.parametrize(
    ("scenario", "methods"),
    [
        (Scenario("full"), ("none", "recipe", "psemix")),
        (Scenario("low_data", n_patients=5), DEFAULTS["low_data"]),
        (Scenario("missing_class", missing_class=1), DEFAULTS["missing_class"]),
    ],
)
def test_permuted_labels_predict_nothing(make_cohort, quick, scenario, methods):
    values = {name: [] for name in methods}
    # Few trainings and many patients to predict: labels are drawn anew for the latter, too.
    for seed in range(3):
        cohort = make_cohort(n_patients=320, n_cells=12, external=40, mixed=0, seed=seed)
        labels = np.random.default_rng(seed).permutation(cohort.y)
        if scenario.name != "missing_class":
            keep = ~cohort.is_external
            codes = np.where(keep[cohort.codes], cohort.codes, -1)
            cohort = replace(
                cohort, y=labels[keep], donors=cohort.donors[keep], codes=codes, is_external=cohort.is_external[keep]
            )
        else:
            cohort = replace(cohort, y=labels)
        fold = make_folds(cohort, scenario, n_splits=1, test_fraction=0.875, random_state=seed)[0]
        fitted = FittedFold(cohort, scenario, fold, replace(quick, n_steps=6))
        for name in methods:
            values[name].append(score(cohort.y[fold.test], Method(name).predict(fitted))["auroc"])
    # 280 test patients in each of three cohorts: a standard error of about .02.
    means = {name: np.mean(of_method) for name, of_method in values.items()}
    assert all(abs(mean - 0.5) < 0.06 for mean in means.values()), means
