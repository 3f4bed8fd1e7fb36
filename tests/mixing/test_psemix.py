from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics.pairwise import cosine_similarity

from repatient.mil import Bags
from repatient.mixing import PseMix
from repatient.mixing._phenotypes import phenotypes
from repatient.mixing._psemix import divide


def test_defaults_are_those_of_the_paper():
    assert PseMix() == PseMix(n_pseudo_bags=30, n_phenotypes=8, mixing_probability=0.4, alpha=1.0, n_iterations=8)


def test_the_share_of_the_partner_is_the_weight_of_its_label(cohort):
    augment = PseMix(mixing_probability=1.0)
    sampler, rng = cohort.bind(augment), np.random.default_rng(0)
    weights = []
    for _ in range(120):
        bags, targets = sampler(np.arange(20), rng, cohort.score)
        pseudo_bags = np.full(len(cohort.bags.X), -1)
        pseudo_bags[cohort.bags.rows] = sampler.pseudo_bags
        owners = np.split(cohort.sources(bags), bags.indptr[1:-1])
        for own, bag, rows, target in zip(
            range(20), owners, np.split(bags.rows, bags.indptr[1:-1]), targets, strict=True
        ):
            parts = {b: {pseudo_bags[r] for r in rows[bag == b]} for b in set(bag)}
            # Whole pseudo-bags: every cell of those that are there.
            for b, there in parts.items():
                expected = np.isin(sampler.pseudo_bags[cohort.bags.indptr[b] : cohort.bags.indptr[b + 1]], list(there))
                assert expected.sum() * (1 if len(parts) > 1 else 0) == (bag == b).sum() * (len(parts) > 1)
            if len(parts) == 2:
                (partner,) = set(parts) - {own}
                share = len(parts[partner]) / 30
                assert len(parts[own]) + len(parts[partner]) == 30
                if cohort.y[own] != cohort.y[partner]:
                    assert target[cohort.y[partner]] == pytest.approx(share, abs=1e-5)
                    weights.append(share)
    # One share a step, all numbers of pseudo-bags equally probable.
    assert np.mean(weights) == pytest.approx(0.5, abs=0.08)
    assert min(weights) < 0.1
    assert max(weights) > 0.9


def test_bags_that_are_not_mixed_keep_some_pseudo_bags_and_their_label(cohort):
    sampler, rng = cohort.bind(PseMix(mixing_probability=0.0)), np.random.default_rng(0)
    sizes = []
    for _ in range(100):
        bags, targets = sampler(np.arange(20), rng, cohort.score)
        owners = np.split(cohort.sources(bags), bags.indptr[1:-1])
        assert all(len(set(bag)) == 1 for bag in owners)
        assert [target.argmax() for target in targets] == [cohort.y[bag[0]] for bag in owners]
        assert set(np.unique(targets)) == {0, 1}
        kept = [bag[0] for bag in owners]
        sizes += list(bags.sizes / cohort.bags.sizes[kept])
    assert 0.4 < np.mean(sizes) < 0.65


def test_the_probability_is_that_of_mixing(cohort):
    sampler, rng = cohort.bind(PseMix(mixing_probability=0.4)), np.random.default_rng(0)
    n_mixed = []
    for _ in range(200):
        bags, _ = sampler(np.arange(20), rng, cohort.score)
        n_mixed += [len(set(bag)) == 2 for bag in np.split(cohort.sources(bags), bags.indptr[1:-1])]
    # Less the bags that meet themselves, and the steps that keep all or nothing.
    assert np.mean(n_mixed) == pytest.approx(0.4 * (19 / 20) * (29 / 31), abs=0.04)


def test_pseudo_bags_stratify_the_phenotypes(cohort):
    rng = np.random.default_rng(0)
    strata = phenotypes(cohort.bags, 4, 3)
    pseudo_bags = divide(cohort.bags, strata, 6, rng)
    for start, stop in zip(cohort.bags.indptr[:-1], cohort.bags.indptr[1:], strict=True):
        table = np.zeros((4, 6), dtype=int)
        np.add.at(table, (strata[start:stop], pseudo_bags[start:stop]), 1)
        assert (table.max(axis=1) - table.min(axis=1) <= 1).all()
        assert np.ptp(table.sum(axis=0)) <= 1
    again = divide(cohort.bags, strata, 6, rng)
    assert (pseudo_bags != again).any()


def test_a_bag_of_few_cells_has_a_pseudo_bag_for_each():
    bags = Bags.from_codes(np.random.default_rng(0).normal(size=(7, 3)), [0, 0, 0, 1, 1, 1, 1], 2)
    pseudo_bags = divide(bags, phenotypes(bags, 8, 8), 30, np.random.default_rng(0))
    assert sorted(pseudo_bags[:3]) == [0, 1, 2]
    assert sorted(pseudo_bags[3:]) == [0, 1, 2, 3]


def test_bags_of_few_cells_are_labelled_by_the_shares_they_give():
    X = np.arange(44.0)[:, None] + 1
    bags = Bags.from_codes(X, np.repeat([0, 1], [4, 40]), 2)
    sampler = PseMix(mixing_probability=1.0).bind(bags, np.array([0, 1]), np.arange(2), np.arange(2))
    rng = np.random.default_rng(0)
    mixed = 0
    for _ in range(200):
        made, targets = sampler(np.array([0, 1]), rng, None)
        # At most two cells a pseudo-bag: from 30 of 40 cells on, their share is known to one in 30.
        small = (made.take([0]).rows < 4).sum() / 4
        large = (made.take([0]).rows >= 4).sum() / 40
        if small * large > 0:
            assert targets[0, 1] == pytest.approx(large / (small + large), abs=0.09)
            mixed += 1
    assert mixed > 50


def test_phenotypes_follow_the_cosines():
    rng = np.random.default_rng(0)
    bags = Bags.from_codes(rng.normal(size=(300, 4)) + 1, np.arange(300) % 3, 3)
    first = phenotypes(bags, 5, 0)
    last = phenotypes(bags, 5, 1)
    for start, stop in zip(bags.indptr[:-1], bags.indptr[1:], strict=True):
        cells = bags.X[bags.rows[start:stop]]
        cosine = cosine_similarity(cells, cells.mean(axis=0)[None])[:, 0]
        expected = np.digitize(cosine, np.linspace(-1, 1, 6)[1:-1])
        assert (first[start:stop] == expected).mean() > 0.99
        present = np.unique(expected)
        means = np.stack([cells[expected == k].mean(axis=0) for k in present])
        assert (last[start:stop] == present[cosine_similarity(cells, means).argmax(axis=1)]).all()
