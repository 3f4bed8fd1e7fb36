from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from scipy.optimize import approx_fprime

from repatient.recipe._concentration import (
    PooledRecipe,
    dirichlet_loglik,
    dirichlet_multinomial_loglik,
    fit_alpha,
    pool_classes,
)


@pytest.fixture
def counts() -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.multinomial(200, rng.dirichlet([8.0, 4.0, 2.0, 1.0], size=12))


ALPHA = np.array([3.0, 2.0, 0.7, 0.4])


def test_dirichlet_multinomial_is_that_of_scipy_up_to_the_coefficient(counts):
    def reference(alpha: np.ndarray) -> float:
        return sum(stats.dirichlet_multinomial.logpmf(row, alpha, row.sum()) for row in counts)

    other = np.array([1.0, 1.0, 5.0, 2.0])
    ours = dirichlet_multinomial_loglik(counts, ALPHA)[0] - dirichlet_multinomial_loglik(counts, other)[0]
    assert ours == pytest.approx(reference(ALPHA) - reference(other), rel=1e-10)


def test_dirichlet_is_that_of_scipy():
    compositions = np.random.default_rng(1).dirichlet(ALPHA, size=7)
    ours, _ = dirichlet_loglik(np.log(compositions).mean(axis=0), 7, ALPHA)
    assert ours == pytest.approx(sum(stats.dirichlet.logpdf(row, ALPHA) for row in compositions), rel=1e-10)


@pytest.mark.parametrize("family", ["dirichlet_multinomial", "dirichlet"])
def test_gradients(counts, family):
    if family == "dirichlet":
        mean_log = np.log(np.random.default_rng(1).dirichlet(ALPHA, size=7)).mean(axis=0)

        def loglik(alpha):
            return dirichlet_loglik(mean_log, 7, alpha)
    else:

        def loglik(alpha):
            return dirichlet_multinomial_loglik(counts, alpha)

    numeric = approx_fprime(ALPHA, lambda alpha: loglik(alpha)[0], 1e-6)
    np.testing.assert_allclose(loglik(ALPHA)[1], numeric, rtol=1e-4)


def test_fit_is_the_maximum_of_the_documented_objective(counts):
    pool = PooledRecipe(np.array([0.4, 0.3, 0.2, 0.1]), 12.0, 200.0)
    shrinkage, q, n_patients = 1.5, 3, len(counts)

    def objective(alpha: np.ndarray) -> float:
        s = alpha.sum()

        def worth(value: float) -> float:
            return 200 * (value + 1) / (200 + value)

        loglik = sum(stats.dirichlet_multinomial.logpmf(row, alpha, row.sum()) for row in counts)
        return (
            loglik
            + shrinkage * worth(12.0) * pool.mean @ np.log(alpha / s)
            - q / 2 * np.log(n_patients * worth(s) + shrinkage * worth(12.0))
            - (shrinkage * q / 4 + 1 / 8) * np.log(s / 12.0) ** 2
        )

    def loglik(alpha):
        return dirichlet_multinomial_loglik(counts, alpha)

    best = fit_alpha(loglik, n_patients, pool, shrinkage)
    rng = np.random.default_rng(0)
    for scale in (0.003, 0.03, 0.3):
        for _ in range(20):
            assert objective(best) >= objective(best * np.exp(scale * rng.standard_normal(4))) - 1e-9


def test_pool_is_the_mean_patient_and_ignores_differences_between_classes():
    rng = np.random.default_rng(0)
    means = [np.array([0.7, 0.2, 0.1]), np.array([0.1, 0.2, 0.7])]
    counts = np.vstack([rng.multinomial(500, rng.dirichlet(80 * mean, size=40)) for mean in means])
    labels = np.repeat(["a", "b"], 40)
    pool = pool_classes(counts, labels)
    np.testing.assert_allclose(pool.mean, (counts / 500).mean(axis=0), atol=1e-4)
    assert 55 < pool.concentration < 115
    assert pool_classes(counts, np.repeat("a", 80)).concentration < 10
    assert pool.n_cells == pytest.approx(500)
