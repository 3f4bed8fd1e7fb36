"""Empirical-Bayes fit of a Dirichlet or Dirichlet-multinomial to the patients of one class.

The objective is written out in :mod:`repatient.recipe`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.optimize import minimize, minimize_scalar
from scipy.special import gammaln, psi

from repatient.recipe._composition import proportions

if TYPE_CHECKING:
    from collections.abc import Callable

    LogLikelihood = Callable[[np.ndarray], tuple[float, np.ndarray]]

# Where no class has two patients nothing in the data tells how much patients differ; this centre and
# its width of a factor of e² either way then decide.
_TYPICAL_CONCENTRATION = 50.0
_LOG_CONCENTRATION_SD = 2.0
_BOUNDS = (1e-8, 1e7)


class PooledRecipe(NamedTuple):
    """What all classes together say about a patient: the target of the shrinkage."""

    mean: np.ndarray
    concentration: float
    n_cells: float

    def worth(self, concentration: float) -> tuple[float, float]:
        """Independent cells that one patient is worth, and the derivative by the concentration."""
        n = self.n_cells
        return n * (concentration + 1) / (n + concentration), n * (n - 1) / (n + concentration) ** 2


def dirichlet_multinomial_loglik(counts: np.ndarray, alpha: np.ndarray) -> tuple[float, np.ndarray]:
    """Log-likelihood of the counts up to the multinomial coefficient, and its gradient by alpha."""
    total, sizes = alpha.sum(), counts.sum(axis=1)
    value = (gammaln(total) - gammaln(total + sizes)).sum() + (gammaln(counts + alpha) - gammaln(alpha)).sum()
    gradient = (psi(counts + alpha) - psi(alpha)).sum(axis=0) + (psi(total) - psi(total + sizes)).sum()
    return float(value), gradient


def dirichlet_loglik(mean_log: np.ndarray, n_patients: int, alpha: np.ndarray) -> tuple[float, np.ndarray]:
    """Log-density of proportions with the given mean logarithms, and its gradient by alpha."""
    total = alpha.sum()
    value = gammaln(total) - gammaln(alpha).sum() + ((alpha - 1) * mean_log).sum()
    return float(n_patients * value), n_patients * (psi(total) - psi(alpha) + mean_log)


def pool_classes(counts: np.ndarray, classes: np.ndarray) -> PooledRecipe:
    """Mean composition of all patients and their concentration around the means of their classes."""
    compositions = proportions(counts)
    sizes = counts.sum(axis=1)
    mean = compositions.mean(axis=0) + 0.5 / sizes.sum()
    mean /= mean.sum()
    # The harmonic mean, as it is the inverse of the size that adds to the variance of a composition.
    n_cells = max(float(len(sizes) / (1 / sizes).sum()), 1 + 1e-6)

    _, codes, n_patients = np.unique(classes, return_inverse=True, return_counts=True)
    if n_patients.max() == 1:
        codes, n_patients = np.zeros_like(codes), np.array([len(codes)])
    centres = np.zeros((len(n_patients), counts.shape[1]))
    np.add.at(centres, codes, compositions)
    centres = (centres + mean) / (n_patients[:, None] + 1)
    return PooledRecipe(mean, _common_concentration(counts, centres[codes], n_patients, n_cells), n_cells)


def _common_concentration(counts: np.ndarray, centres: np.ndarray, n_patients: np.ndarray, n_cells: float) -> float:
    """Concentration of patients around given centres, one for all classes."""
    degrees = counts.shape[1] - 1
    sizes = counts.sum(axis=1)
    pool = PooledRecipe(centres[0], np.nan, n_cells)

    def loss(log_s: float) -> float:
        s = np.exp(log_s)
        alpha = s * centres
        value = (gammaln(s) - gammaln(s + sizes)).sum() + (gammaln(counts + alpha) - gammaln(alpha)).sum()
        value -= 0.5 * degrees * np.log(n_patients * pool.worth(s)[0]).sum()
        return -value + 0.5 * ((log_s - np.log(_TYPICAL_CONCENTRATION)) / _LOG_CONCENTRATION_SD) ** 2

    return float(np.exp(minimize_scalar(loss, bounds=(np.log(1e-1), np.log(1e6)), method="bounded").x))


def fit_alpha(loglik: LogLikelihood, n_patients: int, pool: PooledRecipe, shrinkage: float) -> np.ndarray:
    """Maximise the objective of this module; returns alpha = concentration × mean, (K,)."""
    degrees = len(pool.mean) - 1
    pool_cells = shrinkage * pool.worth(pool.concentration)[0]
    precision = shrinkage * degrees / 2 + 1 / _LOG_CONCENTRATION_SD**2

    def loss(log_alpha: np.ndarray) -> tuple[float, np.ndarray]:
        alpha = np.exp(log_alpha)
        total = alpha.sum()
        mean = alpha / total
        value, gradient = loglik(alpha)
        gradient = gradient * alpha
        value += pool_cells * (pool.mean @ np.log(mean))
        gradient += pool_cells * (pool.mean - mean)
        worth, slope = pool.worth(total)
        integrated = n_patients * worth + pool_cells
        value -= 0.5 * degrees * np.log(integrated)
        distance = np.log(total / pool.concentration)
        value -= 0.5 * precision * distance**2
        gradient -= (0.5 * degrees * n_patients * slope * total / integrated + precision * distance) * mean
        return -value, -gradient

    start = np.log(np.maximum(pool.concentration * pool.mean, 10 * _BOUNDS[0]))
    bounds = [tuple(np.log(_BOUNDS))] * len(pool.mean)
    result = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 1000})
    return np.exp(result.x)


def sample_dirichlet(
    mean: np.ndarray, concentration: float | np.ndarray, n_patients: int, rng: np.random.Generator
) -> np.ndarray:
    """Draw compositions (n_patients, K); components of mean 0 have none."""
    mean = np.asarray(mean, dtype=np.float64)
    present = mean > 0
    compositions = np.zeros((n_patients, len(mean)))
    compositions[:, present] = rng.dirichlet(concentration * mean[present], size=n_patients)
    return compositions
