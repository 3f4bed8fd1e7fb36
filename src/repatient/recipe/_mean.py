"""Recipe without spread: every patient of a class has its mean composition."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from repatient.recipe._composition import proportions

if TYPE_CHECKING:
    from repatient.recipe._concentration import Pool


def fit(counts: np.ndarray, pool: Pool, shrinkage: float) -> dict[str, np.ndarray]:
    """Mean composition of one class, the pool counting as ``shrinkage`` patients."""
    mean = (proportions(counts).sum(axis=0) + shrinkage * pool.mean) / (len(counts) + shrinkage)
    return {"mean": mean}


def sample(parameters: dict[str, np.ndarray], n_patients: int, rng: np.random.Generator) -> np.ndarray:
    """Compositions of new patients, (n_patients, K)."""
    del rng
    return np.tile(np.asarray(parameters["mean"], dtype=np.float64), (n_patients, 1))
