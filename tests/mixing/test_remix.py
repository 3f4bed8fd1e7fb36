from __future__ import annotations

import warnings

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from repatient.mil import Bags
from repatient.mixing import ReMix
from repatient.mixing._prototypes import reduce


@pytest.fixture
def two_bags():
    """Two bags of one class with three far-apart clusters each, and one of another class far away."""
    rng = np.random.default_rng(0)
    centres = np.array([[0, 0], [50, 0], [0, 50], [1, 2], [51, 2], [1, 52], [500, 500], [550, 500], [500, 550]])
    X = np.concatenate([c + rng.normal(size=(60, 2)) * [1, 3] for c in centres])
    return Bags.from_codes(X, np.repeat([0, 1, 2], 180), 3), np.array([0, 0, 1])


def made(two_bags, augment, n=300, seed=0):
    """Prototypes, and bag 0 as often as it met the other bag of its class."""
    bags, y = two_bags
    sampler = augment.bind(bags, y, np.arange(2), np.arange(3))
    rng = np.random.default_rng(seed)
    steps = [sampler(np.array([0, 2]), rng, None) for _ in range(n)]
    assert all((targets == np.eye(2)).all() for _, targets in steps)
    return sampler.prototypes, [step.X[step.take([0]).rows] for step, _ in steps]


def test_prototypes_are_the_means_of_clusters(two_bags):
    bags, _ = two_bags
    prototypes = reduce(bags, 3, 0)
    assert prototypes.bags.sizes.tolist() == [3, 3, 3]
    groups = np.split(bags.X, 9)
    distances = cdist(prototypes.bags.X, [group.mean(axis=0) for group in groups])
    assert sorted(distances.argmin(axis=1)) == list(range(9))
    np.testing.assert_allclose(distances.min(axis=1), 0, atol=1e-9)
    for k, group in enumerate(distances.argmin(axis=1)):
        residuals = prototypes.residuals[prototypes.indptr[k] : prototypes.indptr[k + 1]]
        np.testing.assert_allclose(np.cov(residuals.T), np.cov(groups[group].T))


def test_defaults_are_those_of_the_paper():
    assert ReMix() == ReMix("covary", n_prototypes=8, rate=0.5)


def test_a_bag_of_fewer_different_cells_is_its_cells():
    X = np.array([[1.0, 2], [1, 2], [3, 4], [5, 6], [5, 6], [7, 8]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        prototypes = reduce(Bags.from_codes(X, [0, 0, 0, 1, 1, 1], 2), 2, 0)
    assert prototypes.bags.X.tolist() == [[1, 2], [3, 4], [5, 6], [7, 8]]
    rng = np.random.default_rng(0)
    assert (prototypes.shifts(np.array([0, 1, 2, 3]), rng) == 0).all()


def test_closest_prototypes_are_found(cohort):
    prototypes = reduce(cohort.bags, 6, 0)
    rng = np.random.default_rng(0)
    some, others = rng.integers(len(prototypes.bags.X), size=50), rng.integers(20, size=50)
    for prototype, other, found in zip(some, others, prototypes.closest(some, others), strict=True):
        there = prototypes.bags.take([other]).rows
        assert found == there[cdist(prototypes.bags.X[[prototype]], prototypes.bags.X[there]).argmin()]


def test_replace_keeps_the_number_and_swaps_for_the_closest(two_bags):
    prototypes, bags = made(two_bags, ReMix("replace", n_prototypes=3))
    own, other = prototypes.bags.X[:3], prototypes.bags.X[3:6]
    met = other[cdist(own, other).argmin(axis=1)]
    swapped = np.array([[not np.allclose(v, o) for v, o in zip(bag, own, strict=True)] for bag in bags])
    assert all(len(bag) == 3 for bag in bags)
    for bag, swap in zip(bags, swapped, strict=True):
        np.testing.assert_allclose(bag, np.where(swap[:, None], met, own))
    # Half of the time the bag meets itself, where replacing shows nothing.
    assert swapped.mean() == pytest.approx(0.25, abs=0.05)


def test_append_adds_the_closest(two_bags):
    prototypes, bags = made(two_bags, ReMix("append", n_prototypes=3, rate=0.3))
    own, other = prototypes.bags.X[:3], prototypes.bags.X[3:6]
    assert np.mean([len(bag) - 3 for bag in bags]) == pytest.approx(0.9, abs=0.15)
    for bag in bags:
        np.testing.assert_allclose(bag[:3], own)
        if len(bag) > 3:
            np.testing.assert_allclose(cdist(bag[3:], np.concatenate([own, other])).min(axis=1), 0, atol=1e-9)
    assert any(np.isclose(cdist(bag[3:], other), 0).any() for bag in bags if len(bag) > 3)


def test_interpolate_adds_points_between(two_bags):
    prototypes, bags = made(two_bags, ReMix("interpolate", n_prototypes=3, rate=1.0))
    own, other = prototypes.bags.X[:3], prototypes.bags.X[3:6]
    met = other[cdist(own, other).argmin(axis=1)]
    places = []
    for bag in bags:
        np.testing.assert_allclose(bag[:3], own)
        step, way = bag[3:] - own, met - own
        place = (step * way).sum(axis=1) / (way**2).sum(axis=1)
        np.testing.assert_allclose(step, place[:, None] * way, atol=1e-9)
        assert np.ptp(place) < 1e-9
        places.append(place[0])
    places = np.array(places)
    met_other = places > 1e-9
    assert met_other.mean() == pytest.approx(0.5, abs=0.1)
    assert places[met_other].mean() == pytest.approx(0.5, abs=0.1)
    assert places.max() <= 1


def test_covary_moves_by_the_covariance_of_the_matched_cluster(two_bags):
    bags, _ = two_bags
    X = bags.X.copy()
    # The other bag's first cluster is tilted, so that it is told from the bag's own.
    X[180:240] = X[180:240].mean(axis=0) + (X[180:240] - X[180:240].mean(axis=0)) @ np.array([[1.0, 1], [-2, 2]])
    prototypes, made_bags = made((Bags(X, bags.rows, bags.indptr), two_bags[1]), ReMix("covary", 3, rate=1.0), n=3000)
    own = prototypes.bags.X[:3]
    first = int(np.linalg.norm(own, axis=1).argmin())
    shifts = np.array([bag[3:][first] - own[first] for bag in made_bags])
    np.testing.assert_allclose([bag[:3] for bag in made_bags[:5]], [own] * 5)
    # A uniform strength has the mean square 1/3; half of the time the bag meets itself.
    expected = (np.cov(X[:60].T) + np.cov(X[180:240].T)) / 2 / 3
    np.testing.assert_allclose(np.cov(shifts.T), expected, rtol=0.15, atol=0.2)
    np.testing.assert_allclose(shifts.mean(axis=0), 0, atol=0.15)


def test_shifts_have_the_covariance_of_their_cluster(two_bags):
    bags, _ = two_bags
    prototypes = reduce(bags, 3, 0)
    rng = np.random.default_rng(0)
    draws = prototypes.shifts(np.tile([4, 7], 4000), rng)
    for k, some in ((4, draws[::2]), (7, draws[1::2])):
        residuals = prototypes.residuals[prototypes.indptr[k] : prototypes.indptr[k + 1]]
        np.testing.assert_allclose(np.cov(some.T), np.cov(residuals.T), rtol=0.1, atol=0.2)


def test_joint_does_all_of_them(two_bags):
    _, bags = made(two_bags, ReMix("joint", n_prototypes=3, rate=0.5), n=600)
    assert np.mean([len(bag) for bag in bags]) == pytest.approx(3 + 3 * 3 * 0.5, abs=0.2)
    assert max(len(bag) for bag in bags) <= 12


def test_prototypes_never_meet_those_of_another_class(two_bags):
    _, bags = made(two_bags, ReMix("joint", n_prototypes=3))
    assert np.concatenate(bags).max() < 100
