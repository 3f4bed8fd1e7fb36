"""What defines oversampling, same-class mixing, InsMix, Mixup, RankMix and taking turns."""

from __future__ import annotations

import numpy as np
import pytest

from repatient.mixing import Alternating, InsMix, Mixup, Oversampling, RankMix, SameClassMixing


def test_oversampling_gives_whole_bags_and_equal_classes(cohort):
    sampler, rng = cohort.bind(Oversampling()), np.random.default_rng(0)
    seen = np.zeros(20)
    for _ in range(200):
        bags, targets = sampler(np.arange(16), rng, cohort.score)
        per_class = targets.sum(axis=0)
        assert sorted(per_class) == [5, 5, 6]
        owners = cohort.sources(bags)[bags.indptr[:-1]]
        assert (bags.sizes == cohort.bags.sizes[owners]).all()
        assert (targets.argmax(axis=1) == cohort.y[owners]).all()
        seen += np.bincount(owners, minlength=20)
    # Within a class all bags come up alike.
    for c in range(3):
        np.testing.assert_allclose(seen[cohort.y == c] / seen[cohort.y == c].mean(), 1, atol=0.25)
    np.testing.assert_allclose(sampler.class_shares, 1 / 3)


def test_oversampling_leaves_out_classes_without_a_bag(cohort):
    sampler = Oversampling().bind(cohort.bags, np.minimum(cohort.y, 1), cohort.classes, cohort.groups)
    _, targets = sampler(np.arange(10), np.random.default_rng(0), cohort.score)
    assert targets.sum(axis=0).tolist() == [5, 5, 0]
    assert sampler.class_shares.tolist() == [0.5, 0.5, 0]


def test_same_class_mixing_never_mixes_classes_and_keeps_labels(cohort):
    sampler, rng = cohort.bind(SameClassMixing()), np.random.default_rng(0)
    shares = []
    for _ in range(100):
        chosen = rng.permutation(20)[:12]
        bags, targets = sampler(chosen, rng, cohort.score)
        owners = np.split(cohort.sources(bags), bags.indptr[1:-1])
        assert set(np.unique(targets)) == {0, 1}
        assert (targets.argmax(axis=1) == cohort.y[chosen]).all()
        for own, bag, rows in zip(chosen, owners, np.split(bags.rows, bags.indptr[1:-1]), strict=True):
            assert set(cohort.y[bag]) == {cohort.y[own]}
            assert len(set(bag)) <= 2
            assert len(set(rows)) == len(rows)
            if len(set(bag)) == 2:
                shares.append((bag == own).sum() / cohort.bags.sizes[own])
    assert np.mean(shares) == pytest.approx(0.5, abs=0.05)
    assert np.std(shares) == pytest.approx(12**-0.5, abs=0.04)


def test_the_only_bag_of_a_class_stays_as_it_is(cohort):
    y = np.arange(20) // 19
    sampler = SameClassMixing().bind(cohort.bags, y, cohort.classes, cohort.groups)
    bags, _ = sampler(np.array([19, 19]), np.random.default_rng(0), cohort.score)
    assert sorted(bags.take([0]).rows) == sorted(cohort.bags.take([19]).rows)


def test_insmix_is_labelled_by_the_cells_of_each_bag(cohort):
    sampler, rng = cohort.bind(InsMix()), np.random.default_rng(0)
    shares = []
    for _ in range(150):
        bags, targets = sampler(np.arange(20), rng, cohort.score)
        owners = np.split(cohort.sources(bags), bags.indptr[1:-1])
        for own, bag, target in zip(range(20), owners, targets, strict=True):
            assert len(set(bag)) <= 2
            expected = np.bincount(cohort.y[bag], minlength=3) / len(bag)
            np.testing.assert_allclose(target, expected, atol=1e-6)
            shares.append((bag == own).sum() / cohort.bags.sizes[own])
    # One share a step, uniform at alpha = 1.
    assert np.mean(shares) == pytest.approx(0.5, abs=0.08)
    assert np.std(np.reshape(shares, (-1, 20)).mean(axis=1)) > 0.2


def test_mixup_interpolates_cells_and_labels_alike(cohort):
    chosen = np.array([0, 12])
    sampler, rng = cohort.bind(Mixup(alpha=1.0)), np.random.default_rng(3)
    for _ in range(20):
        bags, targets = sampler(chosen, rng, cohort.score)
        assert (bags.sizes == cohort.bags.sizes[chosen]).all()
        share = targets[0, 1]
        own = cohort.bags.take([0])
        rest = bags.X[bags.indptr[0] : bags.indptr[1]] - (1 - share) * own.X[own.rows]
        if share == 0:
            # A bag that meets itself stays as it is.
            np.testing.assert_allclose(bags.X, cohort.bags.X[cohort.bags.take(chosen).rows])
            continue
        if share < 1e-3:
            continue
        # What is left is the share times a cell of the other bag, each as often as the next.
        partners = np.round(rest[:, 0] / share).astype(int)
        others = cohort.bags.take([12]).rows
        assert set(partners) <= set(others)
        times = np.bincount(partners)[others]
        assert times.max() - times.min() <= 1
        np.testing.assert_allclose(rest, share * cohort.bags.X[partners], atol=1e-3)


def test_mixup_shares_follow_the_beta_distribution(cohort):
    def second_moment(alpha):
        sampler, rng = cohort.bind(Mixup(alpha=alpha)), np.random.default_rng(0)
        drawn = [sampler(np.array([0, 12]), rng, cohort.score)[1][0, 1] for _ in range(600)]
        mixed = np.array(drawn)[np.array(drawn) > 0]
        return len(mixed) / 600, ((mixed - 0.5) ** 2).mean()

    for alpha in (0.2, 2.0):
        there, variance = second_moment(alpha)
        assert variance == pytest.approx(0.25 / (2 * alpha + 1), rel=0.2)
        # In half of the steps both bags meet themselves.
        assert there == pytest.approx(0.5, abs=0.06)


def test_rankmix_interpolates_cells_of_equal_rank_as_many_as_the_smaller_bag_has(cohort):
    sampler, rng = cohort.bind(RankMix(alpha=1.0)), np.random.default_rng(0)
    checked = 0
    for _ in range(30):
        bags, targets = sampler(np.array([0]), rng, cohort.score)
        share = 1 - targets[0, 0]
        if share < 0.01:
            continue
        n = bags.sizes[0]
        assert n <= cohort.bags.sizes[0]
        top = -np.sort(-cohort.bags.take([0]).rows)[:n]
        partner = np.round((bags.X[:, 0] - (1 - share) * top) / share)
        # Only one bag has these as its highest, and it is of the class of the label.
        found = [
            b
            for b in range(20)
            if cohort.bags.sizes[b] >= n and np.abs(-np.sort(-cohort.bags.take([b]).rows)[:n] - partner).max() <= 1
        ]
        assert len(found) == 1
        assert n == min(cohort.bags.sizes[0], cohort.bags.sizes[found[0]])
        assert targets[0, cohort.y[found[0]]] == pytest.approx(share)
        checked += 1
    assert checked > 10


def test_rankmix_draws_the_other_bag_from_all_classes_alike(cohort):
    sampler, rng = cohort.bind(RankMix(alpha=1e6, beta=1e-6)), np.random.default_rng(0)
    targets = [sampler(np.arange(20), rng, cohort.score)[1] for _ in range(60)]
    np.testing.assert_allclose(np.concatenate(targets).mean(axis=0), 1 / 3, atol=0.04)


def test_rankmix_warms_up_without_mixing(cohort):
    sampler, rng = cohort.bind(RankMix(warm_up=2)), np.random.default_rng(0)
    made = [sampler(np.arange(20), rng, cohort.score)[0] for _ in range(3)]
    assert [bags.X is cohort.bags.X for bags in made] == [True, True, False]


def test_augmenters_take_turns(cohort):
    class Named:
        def __init__(self, name):
            self.name = name

        def bind(self, bags, y, classes, groups):
            self.class_shares = np.eye(2)[self.name]
            return self

        def __call__(self, chosen, rng, score):
            return self.name

    sampler = Alternating(Named(0), Named(1), Named(1)).bind(cohort.bags, cohort.y, cohort.classes, cohort.groups)
    assert [sampler(None, None, None) for _ in range(7)] == [0, 1, 1, 0, 1, 1, 0]
    np.testing.assert_allclose(sampler.class_shares, [1 / 3, 2 / 3])
