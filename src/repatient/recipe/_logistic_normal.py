"""Recipe in which components can rise and fall together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from repatient.recipe._composition import from_log_ratios, log_ratios, smoothed_proportions

if TYPE_CHECKING:
    from repatient.recipe._concentration import Pool

_MEAN_DRAWS = 20_000


def fit(
    counts: np.ndarray, pool: Pool, shrinkage: float, covariance: np.ndarray, random_state: int
) -> dict[str, np.ndarray]:
    """Location and covariance in log-ratio coordinates, shrunk towards the pool's ``covariance``.

    The pool counts as ``shrinkage`` patients for the location and as ``shrinkage`` × (K - 1) patients,
    as many as the covariance has dimensions, for the covariance.
    """
    coordinates = log_ratios(smoothed_proportions(counts, pool.mean))
    n_patients, degrees = coordinates.shape
    centre = log_ratios(pool.mean[None])[0]
    location = (coordinates.sum(axis=0) + shrinkage * centre) / (n_patients + shrinkage)
    centred = coordinates - coordinates.mean(axis=0)
    weight = shrinkage * degrees
    # One patient without shrinkage says nothing of the spread, so the pool must.
    weight = weight if n_patients - 1 + weight > 0 else 1.0
    shrunk = (centred.T @ centred + weight * covariance) / (n_patients - 1 + weight)
    draws = sample({"location": location, "covariance": shrunk}, _MEAN_DRAWS, np.random.default_rng(random_state))
    return {"mean": draws.mean(axis=0), "location": location, "covariance": shrunk}


def pooled_covariance(counts: np.ndarray, classes: np.ndarray, pool: Pool) -> np.ndarray:
    """Covariance of all patients around the means of their classes, conditioned by Ledoit and Wolf (2004)."""
    from sklearn.covariance import ledoit_wolf

    coordinates = log_ratios(smoothed_proportions(counts, pool.mean))
    _, codes, n_patients = np.unique(classes, return_inverse=True, return_counts=True)
    if n_patients.max() == 1:
        codes, n_patients = np.zeros_like(codes), np.array([len(codes)])
    if len(coordinates) == 1:
        # A Dirichlet's log-ratios have about this variance; it stands in where one patient is all there is.
        return np.diag(np.full(coordinates.shape[1], coordinates.shape[1] / pool.concentration))
    centres = np.zeros((len(n_patients), coordinates.shape[1]))
    np.add.at(centres, codes, coordinates)
    residuals = coordinates - (centres / n_patients[:, None])[codes]
    covariance, _ = ledoit_wolf(residuals, assume_centered=True)
    return covariance * len(residuals) / max(len(residuals) - len(n_patients), 1)


def sample(parameters: dict[str, np.ndarray], n_patients: int, rng: np.random.Generator) -> np.ndarray:
    """Compositions of new patients, (n_patients, K)."""
    coordinates = rng.multivariate_normal(
        parameters["location"], parameters["covariance"], size=n_patients, method="eigh"
    )
    return from_log_ratios(coordinates)
