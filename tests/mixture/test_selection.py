from __future__ import annotations

import numpy as np
import pytest
from sklearn.mixture import GaussianMixture as Reference
from sklearn.model_selection import GroupKFold

from repatient.mixture import GaussianMixture, select_n_components


@pytest.fixture
def cohort(plant):
    planted = plant(1500, 4, 3, separation=4.0)
    groups = np.array([f"p{i}" for i in np.random.default_rng(2).integers(12, size=1500)])
    return planted.rows, groups


def test_planted_number_is_found(cohort):
    best, table = select_n_components(*cohort, [8, 2, 4, 1], n_splits=3, n_init=2)
    assert best == 4
    np.testing.assert_array_equal(table["n_components"], [1, 2, 4, 8])
    assert table["log_likelihood"].argmax() == 2
    assert (table["standard_error"] > 0).all()


@pytest.mark.parametrize("seed", [1, 5, 7])
def test_few_components_are_not_taken_for_worse_because_their_start_was_bad(seed):
    rng = np.random.default_rng(seed)
    centres, kind = 4 * rng.standard_normal((8, 10)), rng.integers(0, 8, 3000)
    spread = np.exp(0.5 * rng.standard_normal((8, 10)))
    X = centres[kind] + spread[kind] * rng.standard_normal((3000, 10))
    best, _ = select_n_components(X.astype(np.float32), np.arange(3000) % 20, [4, 8, 16], random_state=seed)
    assert best == 8


def test_groups_never_straddle(cohort, monkeypatch):
    rows, groups = cohort
    owner = {row.tobytes(): group for row, group in zip(rows, groups, strict=True)}
    folds = []
    fit, score = GaussianMixture._fit, GaussianMixture.score_samples

    def spy_fit(self, X, *arguments):
        folds.append([{owner[row.tobytes()] for row in X}, None])
        return fit(self, X, *arguments)

    def spy_score(self, X):
        folds[-1][1] = {owner[row.tobytes()] for row in X}
        return score(self, X)

    monkeypatch.setattr(GaussianMixture, "_fit", spy_fit)
    monkeypatch.setattr(GaussianMixture, "score_samples", spy_score)
    select_n_components(rows, groups, [2], n_splits=4)
    assert len(folds) == 4
    assert all(not train & test for train, test in folds)
    assert set.union(*(test for _, test in folds)) == set(groups)


def test_one_component_table_equals_scikit_learn(cohort):
    rows, groups = cohort
    _, table = select_n_components(rows, groups, [1], n_splits=3, random_state=4, prior=0, reg_covar=0)
    density = np.empty(len(rows))
    for train, test in GroupKFold(3, shuffle=True, random_state=4).split(rows, groups=groups):
        density[test] = Reference(1, reg_covar=0).fit(rows[train]).score_samples(rows[test])
    means = np.array([density[groups == group].mean() for group in np.unique(groups)])
    assert table["log_likelihood"][0] == pytest.approx(means.mean(), abs=1e-9)
    assert table["standard_error"][0] == pytest.approx(means.std(ddof=1) / np.sqrt(len(means)), abs=1e-9)


def test_unusable_arguments_are_explained(cohort):
    rows, groups = cohort
    with pytest.raises(ValueError, match="`candidates`"):
        select_n_components(rows, groups, [])
    with pytest.raises(ValueError, match=r"\b1500\b"):
        select_n_components(rows, groups[:-1], [2])
    with pytest.raises(ValueError, match=r"\(12\)"):
        select_n_components(rows, groups, [2], n_splits=13)
