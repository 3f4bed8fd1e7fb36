from __future__ import annotations

import numpy as np
import pytest

from repatient.pl._density import density_on_grid, level_around
from repatient.pl._map import point_size, spread
from repatient.pl._swarm import swarm

ROOM = np.array([0.05, 0.04])


def overlaps(places: np.ndarray) -> int:
    apart = np.abs(places[:, None] - places[None]) < ROOM - 1e-3
    return int(apart.all(axis=2).sum() - len(places))


@pytest.mark.parametrize("scale", [0.0, 0.01, 0.1, 1.0])
def test_crowded_places_part(scale):
    places = 0.1 + scale * 0.9 * np.random.default_rng(0).random((30, 2))
    parted = spread(places, ROOM)
    assert overlaps(parted) == 0
    assert (parted >= 0).all()
    assert (parted <= 1).all()


def test_a_full_map_leaves_the_rest_where_they_are():
    np.testing.assert_array_equal(spread(np.full((4, 2), 0.5), np.array([1.0, 1.0])), np.full((4, 2), 0.5))


def test_places_with_room_stay():
    places = np.array([[0.1, 0.1], [0.1, 0.2], [0.5, 0.1]])
    np.testing.assert_allclose(spread(places, ROOM), places)


def test_points_shrink_with_their_number():
    assert point_size(1_000_000, None) == pytest.approx(0.12)
    assert point_size(1, None) == point_size(100, None)
    assert point_size(1_000_000, 5.0) == 5.0


def test_density_is_a_distribution_around_the_cells():
    rng = np.random.default_rng(0)
    xy = rng.normal([3, -2], [0.5, 0.2], size=(5000, 2))
    density, x, y = density_on_grid(xy, np.ones(5000), np.array([0, -5]), np.array([6, 1]))
    assert density.sum() == pytest.approx(1)
    np.testing.assert_allclose([(density.sum(axis=1) * x).sum(), (density.sum(axis=0) * y).sum()], [3, -2], atol=0.03)


def test_weights_count_as_repeated_cells():
    rng = np.random.default_rng(0)
    xy, times = rng.random((50, 2)), np.full(50, 3)
    box = np.zeros(2), np.ones(2)
    weighted, _, _ = density_on_grid(xy, times.astype(float), *box)
    once, _, _ = density_on_grid(xy, np.ones(50), *box)
    np.testing.assert_allclose(weighted, once)
    without, _, _ = density_on_grid(xy[:25], np.ones(25), *box)
    zeros, _, _ = density_on_grid(xy, np.repeat([1.0, 0.0], 25), *box)
    np.testing.assert_allclose(zeros, without)


@pytest.mark.parametrize("share", [0.25, 0.5, 0.75])
def test_contours_hold_their_share_of_the_cells(share):
    rng = np.random.default_rng(1)
    xy = np.concatenate([rng.normal(0, 1, (20_000, 2)), rng.normal(6, 0.5, (10_000, 2))])
    density, x, y = density_on_grid(xy, np.ones(len(xy)), xy.min(axis=0), xy.max(axis=0))
    level = level_around(density, share)
    column = np.clip(np.searchsorted((x[1:] + x[:-1]) / 2, xy[:, 0]), 0, len(x) - 1)
    row = np.clip(np.searchsorted((y[1:] + y[:-1]) / 2, xy[:, 1]), 0, len(y) - 1)
    assert (density[column, row] >= level).mean() == pytest.approx(share, abs=0.04)


def test_swarm_stands_about_its_group():
    values = np.array([0.0, 1.0, 1.0, 1.0, 0.5, 0.5])
    groups = np.array(["a", "a", "a", "a", "b", "b"])
    x = swarm(values, groups, ["b", "a"])
    assert x[0] == 1
    np.testing.assert_allclose(np.sort(x[1:4]), 1 + (x[2] - x[1]) * np.array([-1, 0, 1]))
    assert x[4:].mean() == pytest.approx(0)
    assert x[4] != x[5]


def test_swarm_keeps_to_its_column():
    x = swarm(np.ones(500), np.full(500, "a"), ["a"])
    assert len(np.unique(x)) == 500
    assert np.abs(x).max() < 0.5
