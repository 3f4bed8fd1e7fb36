from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from repatient.evaluation import _privacy
from repatient.evaluation._grouped_auroc import TooFewPatientsError
from repatient.evaluation._privacy import (
    donor_shares,
    effective_donors,
    membership_auroc,
    reidentification,
    repeated_share,
)


def test_shares_of_donors_are_counted():
    rng = np.random.default_rng(0)
    counts = rng.poisson(0.5, size=(40, 6))
    donors = rng.integers(-1, 4, size=40)
    counts[donors < 0] = 0
    shares = donor_shares(sp.csc_matrix(counts), donors, 5)
    for patient in range(6):
        cells = np.repeat(donors, counts[:, patient])
        np.testing.assert_allclose(shares[patient], np.bincount(cells, minlength=5) / len(cells))
    np.testing.assert_allclose(shares.sum(axis=1), 1)


def test_cells_of_no_donor_are_nobodys():
    shares = donor_shares(sp.csc_array(np.array([[1], [3]])), np.array([0, -1]), 1)
    assert shares.tolist() == [[0.25]]


def test_effective_donors():
    shares = np.array([[1, 0, 0, 0], [0.25] * 4, [0.5, 0.5, 0, 0], [0.7, 0.1, 0.1, 0.1]])
    np.testing.assert_allclose(effective_donors(shares), [1, 4, 2, 1 / 0.52])


def test_repeated_share():
    assert repeated_share(sp.csc_array(np.array([[1, 0], [3, 1], [0, 2]]))) == pytest.approx(3 / 7)
    assert repeated_share(sp.csc_array(np.eye(3))) == 0


def test_copies_are_reidentified():
    rng = np.random.default_rng(1)
    real = rng.normal(size=(20, 3))
    donors = np.array([f"d{i}" for i in range(20)])
    source = np.tile(np.arange(20), 5)
    found = reidentification(real[source] + 1e-6 * rng.normal(size=(100, 3)), real, donors[source], donors)
    assert found.rate == 1
    assert found.chance == pytest.approx(4 / 99)


def test_chance_is_that_of_exchanged_donors():
    """A patient in the middle is nearest to many, and the main donor of many."""
    rng = np.random.default_rng(2)
    real, generated = rng.normal(size=(8, 2)), 0.3 * rng.normal(size=(60, 2))
    donors = np.arange(8) // 2
    main = rng.choice(4, size=60, p=[0.7, 0.1, 0.1, 0.1])
    found = reidentification(generated, real, main, donors)
    nearest = donors[np.linalg.norm(generated[:, None] - real, axis=2).argmin(axis=1)]
    assert found.rate == (nearest == main).mean()
    # An exchange never leaves a main donor where it was.
    exchanged = [np.mean(np.roll(main, shift) == nearest) for shift in range(1, 60)]
    assert found.chance == pytest.approx(np.mean(exchanged))


def test_a_copying_generator_betrays_its_members():
    rng = np.random.default_rng(3)
    members, outsiders = rng.normal(size=(40, 5)), rng.normal(size=(40, 5))
    assert membership_auroc(members, outsiders, members[rng.integers(40, size=300)] + 1e-3) > 0.95
    fair = [
        membership_auroc(*np.random.default_rng(seed).normal(size=(2, 40, 5)), rng.normal(size=(50, 5)))
        for seed in range(20)
    ]
    assert 0.45 < np.mean(fair) < 0.55


def test_blocks_do_not_matter(monkeypatch):
    rng = np.random.default_rng(4)
    points = rng.normal(size=(3, 30, 2))
    whole = membership_auroc(*points)
    monkeypatch.setattr(_privacy, "_BLOCK_ENTRIES", 31)
    assert membership_auroc(*points) == whole


def test_too_few():
    points = np.zeros((5, 2))
    with pytest.raises(TooFewPatientsError, match=r"\b2\b.*\b5\b.*\b1\b"):
        membership_auroc(points, points[:1], points)
    with pytest.raises(TooFewPatientsError, match=r"\b1\b.*\b5\b"):
        reidentification(points[:1], points, np.zeros(1), np.zeros(5))
