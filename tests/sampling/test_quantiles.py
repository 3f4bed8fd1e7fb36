from __future__ import annotations

import numpy as np
import pytest

from repatient.evaluation import energy_distance
from repatient.sampling import CellsOfClasses, quantile_map

ONE = ["healthy"]


def cells(rows, classes=None, patients=None):
    n = len(rows)
    return CellsOfClasses(
        rows, np.zeros(n, int) if classes is None else classes, np.arange(n) if patients is None else patients
    )


def correlated(rng, n):
    return rng.normal(size=(n, 3)) @ np.array([[1.0, 0.6, 0.0], [0.0, 0.8, 0.0], [0.0, 0.0, 2.0]])


def bent(x):
    """Another increasing function of each feature."""
    return np.column_stack([np.sinh(x[:, 0]), np.exp(x[:, 1]), 5 - 3 * np.exp(-0.3 * x[:, 2])])


def test_what_bends_each_feature_is_taken_off():
    rng = np.random.default_rng(0)
    source, target, unseen = correlated(rng, 4000), correlated(rng, 4000), correlated(rng, 4000)
    move = quantile_map(cells(bent(source)), cells(target), ONE)
    moved = move(bent(unseen))
    inside = (np.abs(unseen / unseen.std(axis=0)) < 2).all(axis=1)
    assert np.abs(moved - unseen)[inside].mean() < 0.1
    fresh = correlated(rng, 2000)
    assert energy_distance(moved[:2000], fresh) < 1.2 * energy_distance(unseen[:2000], fresh)


def test_quantiles_and_moments_of_the_target():
    rng = np.random.default_rng(1)
    source, target = rng.gamma(2.0, size=(3000, 3)), correlated(rng, 3000)
    moved = quantile_map(cells(source), cells(target), ONE)(source)
    np.testing.assert_allclose(moved.mean(axis=0), target.mean(axis=0), atol=1e-8)
    np.testing.assert_allclose(np.cov(moved.T), np.cov(target.T), atol=1e-8)
    levels = [0.05, 0.25, 0.5, 0.75, 0.95]
    found, wanted = (np.quantile(rows / target.std(axis=0), levels, axis=0) for rows in (moved, target))
    np.testing.assert_allclose(found, wanted, atol=0.2)


def test_equal_cohorts_stay_where_they_are():
    rows = correlated(np.random.default_rng(2), 2000)
    np.testing.assert_allclose(quantile_map(cells(rows), cells(rows), ONE)(rows), rows, atol=1e-6)


def test_each_feature_keeps_its_order_before_the_moments_are_matched():
    rng = np.random.default_rng(3)
    move = quantile_map(cells(rng.gamma(1.0, size=(500, 2))), cells(correlated(rng, 400)[:, :2]), ONE)
    grid = np.linspace(-5, 20, 2000)
    assert (np.diff(move.monotone(np.column_stack([grid, grid])), axis=0) >= 0).all()


def test_patients_and_classes_count_the_same_whatever_their_cells():
    rng = np.random.default_rng(4)
    target = CellsOfClasses(rng.normal(size=(3000, 1)), np.arange(3000) % 2, np.arange(3000))
    sizes, places = [2000, 100, 100, 40], [0.0, 4.0, 10.0, 14.0]
    rows = np.concatenate([rng.normal(place, 1.0, size=(n, 1)) for n, place in zip(sizes, places, strict=True)])
    patients = np.repeat(np.arange(4), sizes)
    classes = np.repeat([0, 0, 1, 1], sizes)
    move = quantile_map(CellsOfClasses(rows, classes, patients), target, ["a", "b"])
    even = np.concatenate([rng.normal(place, 1.0, size=(1000, 1)) for place in places])
    by_even = quantile_map(
        CellsOfClasses(even, np.repeat([0, 0, 1, 1], 1000), np.repeat(np.arange(4), 1000)), target, ["a", "b"]
    )
    grid = np.linspace(-1, 15, 50)[:, None]
    np.testing.assert_allclose(move(grid), by_even(grid), atol=0.15)


@pytest.mark.parametrize("n", [1, 3, 15])
def test_few_cells(n):
    rng = np.random.default_rng(5)
    target = correlated(rng, 50)
    moved = quantile_map(cells(target[:n] * 2 + 1), cells(target), ONE)(rng.normal(size=(20, 3)))
    assert np.isfinite(moved).all()


def test_ties_and_constant_features():
    rng = np.random.default_rng(6)
    source = np.column_stack([rng.poisson(0.3, 500), np.full(500, 7.0), rng.normal(size=500)])
    target = np.column_stack([rng.normal(size=400), np.full(400, 2.0), rng.poisson(0.3, 400)])
    move = quantile_map(cells(source), cells(target), ONE)
    moved = move(source)
    assert np.isfinite(moved).all()
    np.testing.assert_allclose(moved[:, 1], 2.0)
    assert len(np.unique(move.monotone(source)[source[:, 0] == 0, 0])) == 1


def test_far_cells_go_on_as_the_last_ones():
    rng = np.random.default_rng(7)
    rows = rng.uniform(size=(5000, 1))
    moved = quantile_map(cells(3 * rows + 1), cells(rows), ONE)(np.array([[-8.0], [31.0]]))
    np.testing.assert_allclose(moved, [[-3.0], [10.0]], rtol=0.15)
