"""Recipe that takes each patient's composition as exact."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from repatient.recipe._composition import smoothed_proportions
from repatient.recipe._concentration import dirichlet_loglik, fit_alpha
from repatient.recipe._dirichlet_multinomial import sample

if TYPE_CHECKING:
    from repatient.recipe._concentration import Pool

__all__ = ["fit", "sample"]


def fit(counts: np.ndarray, pool: Pool, shrinkage: float) -> dict[str, np.ndarray]:
    """Mean composition and concentration of one class."""
    mean_log = np.log(smoothed_proportions(counts, pool.mean)).mean(axis=0)
    alpha = fit_alpha(partial(dirichlet_loglik, mean_log, len(counts)), len(counts), pool, shrinkage)
    return {"mean": alpha / alpha.sum(), "concentration": np.asarray(alpha.sum())}
