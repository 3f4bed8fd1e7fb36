"""Regularisation that explains the rows of other patients."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.mixture import GaussianMixture as Reference

from repatient.mixture import GaussianMixture, _regularisation


def mostly_zero(n_patients, seed, n_dims=20):
    """Features that are zero in most cells, and how often differs between patients."""
    rng = np.random.default_rng(seed)
    patients = np.repeat(np.arange(n_patients), 20)
    usual = np.random.default_rng(1).uniform(0, 1, n_dims) ** 3
    often = np.clip(usual * rng.lognormal(0, 1.5, size=(n_patients, n_dims)), 0, 1)
    rows = (rng.random((len(patients), n_dims)) < often[patients]) * rng.exponential(size=(len(patients), n_dims))
    return rows, patients


@pytest.mark.parametrize("seed", [2, 6, 7])
def test_other_patients_are_explained_as_by_the_best_fixed_regularisation(seed):
    rows, patients = mostly_zero(12, seed)
    others = mostly_zero(100, 100 + seed)[0]
    best = max(Reference(4, reg_covar=reg, random_state=0).fit(rows).score(others) for reg in (1e-4, 1e-2, 1e-1))
    assert GaussianMixture(4).fit(rows, groups=patients).score(others) > best


def test_more_regularisation_costs_a_quarter_of_a_standard_error_over_patients_at_most():
    """The largest one within it is taken; the error is computed here with loops."""
    rng = np.random.default_rng(0)
    patients = np.repeat(np.arange(6), 10)
    effects = rng.normal(size=6)[patients] + rng.normal(size=60)
    by_share = {1e-3: 0.0, 2e-3: 0.01, 5e-3: 0.02, 1e-2: 0.3}

    def densities(choice):
        share = choice.reg_covar.share
        return -by_share[share] - (share > 1e-3) * (effects - effects.mean())

    best = _regularisation.Regularisation(_regularisation.RegCovar(1e-3, common=True))
    expected = best._replace(reg_covar=best.reg_covar._replace(share=5e-3))
    loss = -densities(expected)
    total = 0.0
    for patient in range(6):
        total += sum(loss[row] - loss.mean() for row in range(60) if patients[row] == patient) ** 2
    assert 0.02 < 0.25 * total**0.5 / 60 < 0.3
    assert _regularisation._cautious(densities, patients, best) == expected
