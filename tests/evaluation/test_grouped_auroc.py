from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler

from repatient.evaluation._grouped_auroc import (
    TooFewPatientsError,
    _deal,
    _ridge_scores,
    _standardised,
    auroc,
    grouped_auroc,
)


def two_sets(n=40, d=5, shift=0.0, scale=1.0, seed=0):
    rng = np.random.default_rng(seed)
    X = np.concatenate([rng.normal(size=(n, d)), shift + scale * rng.normal(size=(n, d))])
    return X, np.arange(2 * n) >= n, np.arange(2 * n)


def test_auroc_is_that_of_scikit_learn():
    rng = np.random.default_rng(0)
    scores, y = rng.integers(0, 6, size=50).astype(float), rng.random(50) < 0.3
    assert auroc(scores, y) == pytest.approx(roc_auc_score(y, scores))


def test_ridge_is_that_of_scikit_learn():
    X, y, _ = two_sets(n=15, shift=1)
    X, y = X[:22], y[:22]
    train = np.arange(0, 22, 2)
    weights = np.where(y[train], 0.5 / y[train].sum(), 0.5 / (~y[train]).sum())
    scaler = StandardScaler().fit(X[train], sample_weight=weights)
    ridge = Ridge(alpha=X.shape[1] / len(train), fit_intercept=False)
    ridge.fit(scaler.transform(X[train]), np.where(y[train], 0.5, -0.5), sample_weight=weights)
    found = _ridge_scores(_standardised(X, train, y), train, y)
    np.testing.assert_allclose(found, ridge.predict(scaler.transform(X)), rtol=1e-8)


@pytest.mark.parametrize("classifier", ["linear", "quadratic"])
def test_nothing_to_tell_is_about_one_half(classifier):
    found = [grouped_auroc(*two_sets(seed=seed), classifier=classifier) for seed in range(20)]
    assert 0.44 < np.mean(found) < 0.56


def test_only_the_quadratic_one_sees_a_spread():
    sets = two_sets(scale=0.3)
    assert grouped_auroc(*sets, classifier="quadratic") > 0.9
    assert grouped_auroc(*sets, classifier="linear") < 0.65
    assert grouped_auroc(*two_sets(shift=2), classifier="linear") > 0.95


def test_copies_within_a_group_do_not_leak():
    """With copies of one patient in training and test, its label could be remembered."""
    rng = np.random.default_rng(1)
    points = rng.normal(size=(30, 40))
    X, y = np.repeat(points, 6, axis=0), np.repeat(rng.random(30) < 0.5, 6)
    kept = grouped_auroc(X, y, np.repeat(np.arange(30), 6))
    leaking = grouped_auroc(X, y, np.arange(180))
    assert leaking > 0.95
    assert 0.25 < kept < 0.75


def test_groups_are_kept_together_and_every_fold_has_both_kinds():
    rng = np.random.default_rng(3)
    codes = np.repeat(np.arange(23), rng.integers(1, 9, size=23))
    y = np.isin(codes, np.arange(7)) | (np.isin(codes, np.arange(7, 10)) & (rng.random(len(codes)) < 0.5))
    for _ in range(20):
        folds = _deal(codes, y, 5, rng)
        assert len(folds) == 23
        for fold in range(5):
            inside = folds[codes] == fold
            assert y[inside].any()
            assert (~y[inside]).any()
        assert np.bincount(folds).max() - np.bincount(folds).min() <= 1


def test_same_seed_same_number():
    X, y, groups = two_sets(shift=0.5)
    assert grouped_auroc(X, y, groups, random_state=4) == grouped_auroc(X, y, groups, random_state=4)
    assert grouped_auroc(X, y, groups, random_state=4) != grouped_auroc(X, y, groups, random_state=5)


def test_units_and_constant_features_do_not_matter():
    X, y, groups = two_sets(shift=0.5)
    expected = grouped_auroc(X, y, groups, classifier="quadratic")
    assert grouped_auroc(1e6 * X + 1e4, y, groups, classifier="quadratic") == pytest.approx(expected)
    constant = np.hstack([X, np.full((len(X), 1), 1 / 3)])
    assert 0.5 < grouped_auroc(constant, y, groups, classifier="quadratic") <= 1


def test_too_few():
    X, y, groups = two_sets(n=10)
    with pytest.raises(TooFewPatientsError, match=r"\b3\b.*\b2\b"):
        grouped_auroc(X, y, np.where(y, groups, groups % 2))
    with pytest.raises(TooFewPatientsError, match=r"\b0\b"):
        grouped_auroc(X, np.zeros(20, dtype=bool), groups)
    with pytest.raises(ValueError, match="`classifier`"):
        grouped_auroc(X, y, groups, classifier="forest")
