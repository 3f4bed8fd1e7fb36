from __future__ import annotations

import numpy as np
import pytest

from repatient.evaluation._discrepancy import energy_distance, mmd_test
from repatient.evaluation._grouped_auroc import TooFewPatientsError, grouped_auroc
from repatient.evaluation._realism import (
    class_auroc_within_components,
    component_means,
    discrepancy,
    real_against_generated,
    size_auroc,
    variance_ratio,
)


def names(n, prefix="d"):
    return np.array([f"{prefix}{i}" for i in range(n)])


def test_discrepancy_of_like_and_unlike():
    rng = np.random.default_rng(0)
    real, like, unlike = rng.normal(size=(30, 4)), rng.normal(size=(50, 4)), 0.2 * rng.normal(size=(50, 4))
    near, far = (discrepancy(real, points, names(30), n_permutations=99) for points in (like, unlike))
    assert near.p_value > 0.05
    assert far.p_value == 0.01
    assert abs(near.mmd) < far.mmd
    assert near.energy < far.energy
    assert far.energy == energy_distance(real, unlike)
    assert far.mmd == pytest.approx(mmd_test(real, unlike, n_permutations=9).statistic)


def test_patients_of_one_donor_are_exchanged_together():
    together, apart = [], []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        real = np.repeat(rng.normal(size=(4, 3)), 20, axis=0) + 0.01 * rng.normal(size=(80, 3))
        generated = rng.normal(size=(40, 3))
        together.append(discrepancy(real, generated, np.repeat(names(4), 20), n_permutations=49).p_value)
        apart.append(discrepancy(real, generated, names(80), n_permutations=49).p_value)
    assert np.mean(together) > 0.2
    assert max(apart) < 0.05


def test_copies_cannot_be_told_and_means_can():
    rng = np.random.default_rng(2)
    real, donors = rng.normal(size=(40, 6)), names(40)
    source = rng.integers(40, size=60)
    copies = real[source] + 0.05 * rng.normal(size=(60, 6))
    assert 0.4 < real_against_generated(real, copies, donors, donors[source]) < 0.6
    averages = real[rng.integers(40, size=(60, 10))].mean(axis=1)
    assert real_against_generated(real, averages, donors, donors[source]) > 0.9


def test_real_against_generated_groups_by_donor():
    rng = np.random.default_rng(3)
    real, generated = rng.normal(size=(20, 2)), rng.normal(size=(25, 2))
    main = names(20)[rng.integers(20, size=25)]
    expected = grouped_auroc(
        np.concatenate([real, generated]),
        np.arange(45) >= 20,
        np.concatenate([names(20), main]),
        classifier="linear",
        random_state=7,
    )
    assert real_against_generated(real, generated, names(20), main, classifier="linear", random_state=7) == expected
    with pytest.raises(TooFewPatientsError, match=r"\b1\b"):
        real_against_generated(real, generated, names(20), names(1).repeat(25))


def test_variance_ratio_is_that_of_the_traces():
    rng = np.random.default_rng(4)
    real, generated = rng.normal(size=(9, 3)), 2 * rng.normal(size=(12, 3))
    expected = np.trace(np.cov(generated.T)) / np.trace(np.cov(real.T))
    assert variance_ratio(real, generated) == pytest.approx(expected)
    with pytest.raises(TooFewPatientsError, match=r"\b1\b.*\b12\b"):
        variance_ratio(real[:1], generated)
    with pytest.raises(TooFewPatientsError):
        variance_ratio(np.ones((3, 2)), generated)


def test_averages_of_m_patients_vary_by_one_mth():
    rng = np.random.default_rng(5)
    real = rng.normal(size=(2000, 3))
    averages = real[rng.integers(2000, size=(2000, 8))].mean(axis=1)
    assert variance_ratio(real, averages) == pytest.approx(1 / 8, rel=0.1)
    assert variance_ratio(real, real[rng.integers(2000, size=2000)]) == pytest.approx(1, rel=0.1)


def test_size_auroc():
    sizes = np.array([1.0, 2, 3, 4])
    assert size_auroc(sizes, np.array([False, False, True, True])) == 1
    assert size_auroc(sizes, np.array([True, True, False, False])) == 0
    assert size_auroc(np.ones(4), np.array([True, False, False, True])) == 0.5
    with pytest.raises(TooFewPatientsError, match=r"\b0\b.*\b4\b"):
        size_auroc(sizes, np.zeros(4, dtype=bool))


def cohort(shift_in=None, n_patients=40, n_components=3, seed=0):
    """Patients of two classes; those of the second are shifted within one component."""
    rng = np.random.default_rng(seed)
    patients = np.repeat(np.arange(n_patients), 30)
    components = rng.integers(n_components, size=len(patients))
    X = 8.0 * components[:, None] + rng.normal(size=(len(patients), 2))
    if shift_in is not None:
        X[(components == shift_in) & (patients % 2 == 1)] += 2
    return X, patients, components


def test_means_within_components():
    X, patients, components = cohort()
    patients[:5] = -1
    table = component_means(X, patients, components)
    for row in range(0, len(table.patients), 7):
        inside = (patients == table.patients[row]) & (components == table.components[row])
        assert table.n_cells[row] == inside.sum()
        np.testing.assert_allclose(table.means[row], X[inside].mean(axis=0), rtol=1e-10)
    assert table.n_cells.sum() == (patients >= 0).sum()


def test_the_component_in_which_classes_differ_is_found():
    is_class = np.arange(40) % 2 == 1
    found = class_auroc_within_components(component_means(*cohort(shift_in=1)), is_class, names(40))
    assert found.worst_component == 1
    assert found.worst > 0.95
    assert 0.5 < found.mean < 0.85
    alike = [
        class_auroc_within_components(component_means(*cohort(seed=seed)), is_class, names(40)).mean
        for seed in range(8)
    ]
    assert 0.43 < np.mean(alike) < 0.57


def test_components_that_few_patients_have_are_left_out():
    X, patients, components = cohort(shift_in=1)
    rare = (components == 1) & (patients >= 8)
    components[rare] = 0
    is_class = np.arange(40) % 2 == 1
    found = class_auroc_within_components(component_means(X, patients, components), is_class, names(40))
    assert found.worst_component != 1
    with pytest.raises(TooFewPatientsError, match=r"\b5\b"):
        class_auroc_within_components(component_means(*cohort(n_patients=8)), is_class[:8], names(8))
