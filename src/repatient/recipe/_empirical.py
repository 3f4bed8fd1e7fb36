"""Recipe that repeats the compositions of real patients."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from repatient.recipe._composition import proportions

if TYPE_CHECKING:
    from repatient.recipe._concentration import Pool


def fit(counts: np.ndarray, pool: Pool, shrinkage: float) -> dict[str, np.ndarray]:
    """Composition of every patient of the class, moved towards the pooled mean.

    The pool has the weight of ``shrinkage`` patients among those of the class.
    """
    weight = shrinkage / (len(counts) + shrinkage)
    compositions = (1 - weight) * proportions(counts) + weight * pool.mean
    return {"mean": compositions.mean(axis=0), "compositions": compositions}


def sample(parameters: dict[str, np.ndarray], n_patients: int, rng: np.random.Generator) -> np.ndarray:
    """Compositions of new patients, (n_patients, K)."""
    compositions = np.asarray(parameters["compositions"])
    return compositions[rng.integers(len(compositions), size=n_patients)]
