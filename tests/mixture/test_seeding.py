from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture as Reference

from repatient.mixture import GaussianMixture, _exchange, _gaussian_mixture, _seeding
from repatient.mixture._seeding import _without_slivers


def test_small_clusters_give_way_to_halves_of_the_largest():
    points = np.concatenate([np.linspace(0, 1, 40), np.full(12, 5.0), [4.9, 9.0]])[:, None]
    labels = np.repeat([0, 1, 2, 3], [40, 12, 1, 1])
    centres = np.array([[0.5], [5.0], [4.9], [9.0]])
    given = labels.copy()
    merged = _without_slivers(points, labels, centres, min_rows=10)
    assert np.bincount(merged, minlength=4).min() >= 10
    np.testing.assert_array_equal(merged[40:], 1)
    assert (np.diff([points[merged == k].mean() for k in (0, 3, 2)]) != 0).all()
    np.testing.assert_array_equal(labels, given)


def test_nothing_is_split_below_twice_the_smallest_size():
    points = np.arange(16.0)[:, None]
    labels = np.repeat([0, 1], [15, 1])
    np.testing.assert_array_equal(_without_slivers(points, labels, np.array([[7.0], [15.0]]), min_rows=10), labels)


def test_features_of_unequal_scale_do_not_hide_the_clusters():
    rng = np.random.default_rng(1)
    labels = rng.integers(4, size=2000)
    corners = np.array([[0, 0], [0, 1], [1, 0], [1, 1]]) * 8.0
    rows = np.column_stack([corners[labels] + rng.normal(size=(2000, 2)), 1e4 * rng.normal(size=2000)])
    assert adjusted_rand_score(GaussianMixture(4).fit_predict(rows), labels) > 0.99


def test_heavy_tails_do_not_make_needles():
    # A component with no more rows than features has a singular covariance: likely in training, useless elsewhere.
    rng = np.random.default_rng(0)
    labels = rng.integers(4, size=3000)
    scale = np.sqrt(3 / rng.chisquare(3, size=(3000, 1)))
    rows = rng.normal(size=(4, 12))[labels] * 3 + rng.normal(size=(3000, 12)) * scale
    fitted = GaussianMixture(10).fit(rows[:1500])
    reference = Reference(10, n_init=2, random_state=0, tol=1e-4, max_iter=300).fit(rows[:1500])
    assert fitted.weights_.min() * 1500 > 13
    assert fitted.score(rows[1500:]) > reference.score(rows[1500:])


@pytest.mark.parametrize(
    ("n_rows", "expected"), [(400, {400}), (3000, {125, 500, 3000}), (6000, {125, 500, 2000, 6000})]
)
def test_rows_that_em_runs_on_grow(plant, monkeypatch, n_rows, expected):
    seen = set()
    for module in (_seeding, _exchange, _gaussian_mixture):
        monkeypatch.setattr(module, "run_em", spy(module.run_em, seen))
    GaussianMixture(3, prior=0, init_max_samples=500).fit(plant(n_rows, 3, 2).rows)
    assert seen == expected


def spy(run_em, seen: set[int]):
    def run(sample, *arguments):
        seen.add(len(sample.rows))
        return run_em(sample, *arguments)

    return run


@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag"])
def test_a_subsample_may_be_constant(covariance_type):
    rows = np.full((3000, 2), 5.0)
    rows[:5] = np.random.default_rng(0).normal(size=(5, 2))
    fitted = GaussianMixture(2, covariance_type=covariance_type, init_max_samples=20, random_state=0).fit(rows)
    assert np.isfinite(fitted.log_likelihood_)
    assert np.abs(fitted.means_ - 5).max(axis=1).min() < 0.1


def test_many_wide_rows_start_in_few_directions(monkeypatch):
    """The clusters are found, in nearly as good an optimum as starts in all directions find: .01 nats a feature."""
    rng = np.random.default_rng(0)
    labels = rng.integers(4, size=6_000)
    centres = np.zeros((4, 80))
    centres[:, :5] = rng.normal(scale=4, size=(4, 5))
    spread = rng.uniform(0.1, 10, 80)
    rows = ((centres[labels] + rng.normal(size=(6_000, 80))) * spread).astype(np.float32)
    few = GaussianMixture(4, progress=False).fit(rows)
    assert adjusted_rand_score(labels, few.predict(rows)) > 0.97
    monkeypatch.setattr(_seeding, "_WIDE", 80)
    everywhere = GaussianMixture(4, progress=False).fit(rows)
    assert few.log_likelihood_ > everywhere.log_likelihood_ - 0.01 * 80
