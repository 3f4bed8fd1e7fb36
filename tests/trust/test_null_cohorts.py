"""Two classes of one distribution: how often a component is found that differs by chance alone."""

from __future__ import annotations

import os

import pytest

ALL = "REPATIENT_TRUST" in os.environ
N_COHORTS = 500 if ALL else 40
# .05 and what 500 cohorts leave open; of fewer cohorts four standard errors.
MOST = 0.065 if ALL else 0.05 + 4 * (0.05 * 0.95 / N_COHORTS) ** 0.5


@pytest.mark.parametrize("n_components", [4, 10, 30] if ALL else [4])
@pytest.mark.parametrize("n_patients", [2, 3, 5, 10] if ALL else [3])
def test_null_cohorts_seldom_have_a_discovery(n_patients, n_components, load_benchmark):
    benchmark = load_benchmark("compare_recipes")
    for spread in benchmark.SPREADS:
        _, share = benchmark.found(N_COHORTS, 1, n_patients, n_components, spread, doubled=False)
        assert share <= MOST, spread
