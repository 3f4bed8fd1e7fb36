from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from repatient.evaluation import Cohort, Plan

if TYPE_CHECKING:
    from collections.abc import Callable

CENTRES = np.array([[-2.5, 0.0, 0.0], [2.5, 0.0, 0.0], [0.0, 3.0, 0.0]])
RECIPES = np.array([[0.7, 0.2, 0.1], [0.1, 0.2, 0.7], [0.1, 0.8, 0.1]])


@pytest.fixture
def make_cohort() -> Callable[..., Cohort]:
    """Patients of cells from three Gaussians, in shares that depend on the class; the first column names the row."""

    def make(
        n_patients: int = 20, n_cells: int = 30, *, n_classes: int = 2, external: int = 0, mixed: int = 3, seed: int = 0
    ) -> Cohort:
        rng = np.random.default_rng(seed)
        total = n_patients + external
        y = np.arange(total) % n_classes
        sizes = rng.integers(n_cells // 2, n_cells + 1, total)
        codes = np.repeat(np.arange(total), sizes)
        states = (rng.random(len(codes))[:, None] > np.cumsum(RECIPES[y[codes]], axis=1)).sum(axis=1)
        X = CENTRES[states] + rng.standard_normal((len(codes), 3))
        donors = np.arange(total)
        # Some donors have patients of two classes, and one of them is also in the external cohort.
        donors[1 : 2 * mixed : 2] = donors[0 : 2 * mixed : 2]
        if external and mixed:
            donors[n_patients : n_patients + 2] = donors[0]
        donors = np.unique(donors, return_inverse=True)[1]
        X = np.column_stack([np.arange(len(codes)) / len(codes), X])
        classes = tuple("abc"[:n_classes])
        return Cohort(X.astype(np.float64), codes, y, donors, classes, np.arange(total) >= n_patients)

    return make


@pytest.fixture
def quick() -> Plan:
    """Little training of a small network."""
    return Plan(n_components=3, n_steps=12, scale=False, classifier={"hidden": 16, "attention_hidden": 8})
