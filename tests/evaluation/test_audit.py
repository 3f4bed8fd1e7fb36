"""Audits of many patients, and how near generated ones are."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import scipy.sparse as sp

from repatient.evaluation import TooFewPatientsError
from repatient.evaluation.audit import (
    GeneratedPatients,
    RealPatients,
    audit_patients,
    nearest_cell_ratio,
    nearest_patient_ratio,
)


def test_ratios_of_distances():
    rng = np.random.default_rng(0)
    donors = np.repeat(np.arange(40), 50).astype(str)
    real = rng.normal(size=(2000, 3))
    for ratio in (nearest_patient_ratio, lambda *args: nearest_cell_ratio(*args, 0)):
        assert ratio(real[:500], real, donors) == 0
        assert ratio(rng.normal(size=(500, 3)), real, donors) == pytest.approx(1, abs=0.1)
        assert ratio(rng.normal(size=(500, 3)) + 100, real, donors) > 20
    # Neighbours of one donor do not count as neighbours.
    twins = np.concatenate([real, real + 1e-9])
    assert nearest_patient_ratio(real[:200] + 1e-3, twins, np.tile(donors, 2)) < 0.1
    with pytest.raises(TooFewPatientsError, match=r"\b2\b.*\b1\b"):
        nearest_patient_ratio(real, real, np.zeros(2000))
    with pytest.raises(TooFewPatientsError, match=r"\b2\b.*\b1\b"):
        nearest_cell_ratio(real, real, np.zeros(2000), 0)


@pytest.mark.parametrize(("n_real", "n_generated"), [(20, 3000), (3000, 20)])
def test_many_patients_need_the_memory_of_their_cells(n_real, n_generated):
    rng = np.random.default_rng(0)
    n_cells = max(10 * n_real, 2000)
    X, components = rng.normal(size=(n_cells, 4)).astype(np.float32), rng.integers(3, size=n_cells)
    names = np.array([f"p{i}" for i in range(n_real)], dtype=object)
    labels = np.where(np.arange(n_real) % 2, "a", "b").astype(object)
    roles = np.where(np.arange(n_real) % 4 < 2, "pool", "held out")
    real = RealPatients(names, labels, names, ["a", "b"], np.arange(n_cells) % n_real, roles)
    rows = rng.integers(n_cells, size=(n_generated, 10))
    counts = sp.csc_array(
        (np.ones(rows.size), (rows.ravel(), np.repeat(np.arange(n_generated), 10))), shape=(n_cells, n_generated)
    )
    drawn = GeneratedPatients(counts, np.full(n_generated, "a"), np.array([f"g{i}" for i in range(n_generated)]))
    tracemalloc.start()
    found = audit_patients(X, components, 3, real, drawn, n_permutations=9, n_repeats=1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # A kernel of all pairs alone takes 73 MB.
    assert peak < 70e6
    assert len(found.patients) == n_real + n_generated
    assert found.measures.drop(columns="notes").notna().all(axis=None)
    assert found.measures.loc["a", "mmd_mean_p"] > 0.05
