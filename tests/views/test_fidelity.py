from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from repatient import views


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_foscttm_is_what_its_definition_says(rng):
    a, b = rng.normal(size=(2, 40, 3))
    distances = cdist(a, b)
    expected = np.empty(40)
    for i in range(40):
        forth = sum(distances[i, j] < distances[i, i] for j in range(40) if j != i) / 39
        back = sum(distances[j, i] < distances[i, i] for j in range(40) if j != i) / 39
        expected[i] = (forth + back) / 2
    np.testing.assert_allclose(views.foscttm(a, b), expected)


def test_foscttm_of_perfect_random_and_collapsed_maps(rng):
    a, b = rng.normal(size=(2, 600, 4))
    assert views.foscttm(a, a).max() == 0
    assert abs(views.foscttm(a, b).mean() - 0.5) < 0.03
    collapsed = np.broadcast_to(a.mean(axis=0), a.shape)
    assert abs(views.foscttm(collapsed, a).mean() - 0.5) < 0.03


def test_feature_correlation_is_pearson(rng):
    a, b = rng.normal(size=(2, 50, 3))
    b[:, 2] = 1.0
    found = views.feature_correlation(a, b)
    expected = [np.corrcoef(a[:, i], b[:, i])[0, 1] for i in range(2)]
    np.testing.assert_allclose(found[:2], expected)
    assert np.isnan(found[2])


def test_neighbour_overlap(rng):
    a, b = rng.normal(size=(2, 200, 5))
    np.testing.assert_array_equal(views.neighbour_overlap(a, 3 * a + 1), 1.0)
    assert abs(views.neighbour_overlap(a, b, 20).mean() - 20 / 199) < 0.04


def test_distribution_match(rng):
    a, b = rng.normal(size=(2, 400, 3))
    assert views.distribution_match(a, a) == pytest.approx(0, abs=1e-9)
    assert views.distribution_match(a, b) < 0.02
    assert views.distribution_match(a, b + 100) > 0.9


def test_read_as_and_by_group_show_what_an_average_hides(rng):
    groups = np.repeat(["a", "b", "c"], 60)
    measured = rng.normal(size=(180, 2)) + np.repeat([[0, 0], [20, 0], [0, 20]], 60, axis=0)
    translated = measured.copy()
    translated[groups == "c"] = measured[groups == "a"] + 0.1
    look = views.read_as(translated, measured, groups)
    assert (look[groups == "b"] == "b").all()
    assert (look[groups == "c"] == "a").all()
    table = views.by_group(translated, measured, np.where(np.arange(180) == 0, None, groups))
    assert table["n"].to_dict() == {"a": 59, "b": 60, "c": 60}
    assert table.loc["b", "foscttm"] == 0
    assert table.loc["c", "error"] > 10
    assert table.loc["c", "foscttm"] > 0.3
    assert table.loc["c", "within_foscttm"] > 0.4


def test_agreement(rng):
    a, b = rng.normal(size=(2, 300, 3))
    assert views.agreement([a, 2 * a, a]) == pytest.approx(1)
    assert abs(views.agreement([a, b])) < 0.1
