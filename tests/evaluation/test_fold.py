from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from repatient.evaluation import Scenario, make_folds

SETTINGS = {"n_splits": 12, "test_fraction": 0.3, "random_state": 0}


def donors_of(cohort, patients):
    return set(cohort.donors[patients].tolist())


def test_full_uses_everybody(make_cohort):
    cohort = make_cohort()
    for fold in make_folds(cohort, Scenario(), **SETTINGS):
        np.testing.assert_array_equal(np.union1d(fold.train, fold.test), np.arange(20))
        assert not donors_of(cohort, fold.train) & donors_of(cohort, fold.test)
        assert len(fold.withheld) == len(fold.external) == 0


def test_low_data_trains_on_exactly_so_many_of_each_class(make_cohort):
    cohort = make_cohort(n_patients=30, n_classes=3)
    folds = make_folds(cohort, Scenario("low_data", n_patients=4), **SETTINGS)
    for fold in folds:
        np.testing.assert_array_equal(np.bincount(cohort.y[fold.train]), [4, 4, 4])
        assert not donors_of(cohort, fold.train) & donors_of(cohort, fold.test)
    # The numbers are about training: the test sets are those of all the data.
    full = make_folds(cohort, Scenario(), **SETTINGS)
    assert sum(np.array_equal(a.test, b.test) for a, b in zip(folds, full, strict=True)) > 6


def test_a_missing_class_is_withheld(make_cohort):
    cohort = make_cohort(n_patients=24, external=10)
    for fold in make_folds(cohort, Scenario("missing_class", missing_class=1), **SETTINGS):
        assert set(cohort.y[fold.train]) == {0}
        assert set(cohort.y[fold.withheld]) == {1}
        assert set(cohort.y[fold.test]) == {0, 1}
        assert cohort.is_external[fold.external].all()
        assert not cohort.is_external[np.concatenate([fold.train, fold.withheld, fold.test])].any()


def test_external_patients_of_a_test_donor_are_left_out(make_cohort):
    cohort = make_cohort(n_patients=24, external=10)
    folds = make_folds(cohort, Scenario("missing_class", missing_class=1), **SETTINGS)
    numbers = {len(fold.external) for fold in folds}
    # The donor of two external patients is tested on in some splits.
    assert numbers == {8, 10}
    for fold in folds:
        assert not donors_of(cohort, fold.external) & donors_of(cohort, fold.test)


def test_a_split_has_a_seed_of_its_own_whatever_their_number(make_cohort):
    cohort = make_cohort()
    folds = make_folds(cohort, Scenario("low_data", n_patients=3), **SETTINGS)
    fewer = make_folds(cohort, Scenario("low_data", n_patients=3), **SETTINGS | {"n_splits": 5})
    for a, b in zip(folds, fewer, strict=False):
        assert a.seed == b.seed
        np.testing.assert_array_equal(a.train, b.train)
        np.testing.assert_array_equal(a.test, b.test)
    assert len({fold.seed for fold in folds}) == 12


def test_too_few_patients_are_named(make_cohort):
    with pytest.raises(ValueError, match=r"\b8\b"):
        make_folds(make_cohort(), Scenario("low_data", n_patients=8), **SETTINGS)
    cohort = make_cohort(n_patients=24, external=6, mixed=0)
    without = replace(cohort, y=np.where(cohort.is_external, 0, cohort.y))
    with pytest.raises(ValueError, match="'b'"):
        make_folds(without, Scenario("missing_class", missing_class=1), **SETTINGS)
