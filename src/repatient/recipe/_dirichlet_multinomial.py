"""Recipe that tells apart how much patients differ and how few cells were counted of each."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from repatient.recipe._concentration import dirichlet_multinomial_loglik, fit_alpha

if TYPE_CHECKING:
    from repatient.recipe._concentration import Pool


def fit(counts: np.ndarray, pool: Pool, shrinkage: float) -> dict[str, np.ndarray]:
    """Mean composition and concentration of one class."""
    alpha = fit_alpha(partial(dirichlet_multinomial_loglik, counts), len(counts), pool, shrinkage)
    return {"mean": alpha / alpha.sum(), "concentration": np.asarray(alpha.sum())}


def sample(parameters: dict[str, np.ndarray], n_patients: int, rng: np.random.Generator) -> np.ndarray:
    """Compositions of new patients, (n_patients, K)."""
    mean = np.asarray(parameters["mean"], dtype=np.float64)
    present = mean > 0
    compositions = np.zeros((n_patients, len(mean)))
    compositions[:, present] = rng.dirichlet(parameters["concentration"] * mean[present], size=n_patients)
    return compositions
