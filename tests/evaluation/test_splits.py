from __future__ import annotations

import numpy as np
import pytest

from repatient.evaluation import group_splits
from repatient.evaluation._splits import draw_per_class


def cohort(seed: int, n_donors: int = 40, n_classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Patients of donors of one to three patients, some of two classes."""
    rng = np.random.default_rng(seed)
    donors = np.repeat(np.arange(n_donors), rng.integers(1, 4, n_donors))
    y = (donors % n_classes + (rng.random(len(donors)) < 0.15)) % n_classes
    order = rng.permutation(len(y))
    return y[order], donors[order]


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("fraction", [0.1, 0.25, 0.5])
def test_no_donor_is_on_both_sides(seed, fraction):
    y, donors = cohort(seed)
    test = group_splits(y, donors, n_splits=30, test_fraction=fraction, random_state=seed)
    assert test.shape == (30, len(y))
    for held_out in test:
        assert not set(donors[held_out]) & set(donors[~held_out])
        assert set(y[held_out]) == set(y[~held_out]) == {0, 1, 2}


@pytest.mark.parametrize("fraction", [0.2, 0.25, 0.5])
def test_proportions_of_the_classes_are_kept(fraction):
    y, donors = np.repeat([0, 1], [80, 20]), np.arange(100)
    test = group_splits(y, donors, n_splits=50, test_fraction=fraction, random_state=1)
    for c, total in ((0, 80), (1, 20)):
        held = test[:, y == c].sum(axis=1)
        # Systematic sampling is off by less than a donor.
        assert np.all(np.abs(held - fraction * total) < 1)


def test_every_donor_is_as_likely():
    y, donors = cohort(3)
    test = group_splits(y, donors, n_splits=2000, test_fraction=0.25, random_state=0)
    shares = np.array([test[:, donors == donor][:, 0].mean() for donor in range(40)])
    # Binomial standard error .0097.
    np.testing.assert_allclose(shares, 0.25, atol=0.05)


def test_splits_differ_and_do_not_depend_on_their_number():
    y, donors = cohort(0)
    many = group_splits(y, donors, n_splits=100, test_fraction=0.3, random_state=7)
    few = group_splits(y, donors, n_splits=9, test_fraction=0.3, random_state=7)
    np.testing.assert_array_equal(many[:9], few)
    assert len(np.unique(many, axis=0)) > 95
    other = group_splits(y, donors, n_splits=100, test_fraction=0.3, random_state=8)
    assert (many != other).any()


def test_mixed_donors_alone_decide_nothing():
    # Both patients of class 1 are of donors who also have patients of class 0.
    y, donors = np.array([0, 1, 0, 1, 0, 0, 0, 0]), np.array([0, 0, 1, 1, 2, 3, 4, 5])
    test = group_splits(y, donors, n_splits=20, test_fraction=0.3, random_state=0)
    np.testing.assert_array_equal(test[:, 0], test[:, 1])
    np.testing.assert_array_equal(test[:, 2], test[:, 3])
    assert np.all(test[:, 1] != test[:, 3])


def test_too_few_donors_are_named():
    y, donors = np.array([0, 0, 0, 0, 1, 1]), np.array([0, 1, 2, 3, 4, 4])
    with pytest.raises(ValueError, match=r"0.*\[4, 2\].*\[4, 1\]"):
        group_splits(y, donors, n_splits=3, test_fraction=0.25, random_state=0)


def test_as_many_patients_of_each_class_are_drawn():
    y, donors = cohort(5)
    train = ~group_splits(y, donors, n_splits=25, test_fraction=0.25, random_state=2, least_train=4)
    drawn = draw_per_class(y, train, 4, 2)
    assert not (drawn & ~train).any()
    for c in range(3):
        np.testing.assert_array_equal(drawn[:, y == c].sum(axis=1), 4)
    np.testing.assert_array_equal(draw_per_class(y, train[:5], 4, 2), drawn[:5])
    assert len(np.unique(drawn, axis=0)) == 25
