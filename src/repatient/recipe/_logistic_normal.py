"""Recipe in which components can rise and fall together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import helmert

from repatient.recipe._composition import from_log_ratios, log_ratios, smoothed_proportions
from repatient.recipe._kinds import Array, Kind

if TYPE_CHECKING:
    from repatient.recipe._concentration import PooledRecipe
    from repatient.recipe._kinds import Learning, Parameters

_MEAN_DRAWS = 20_000


class LogisticNormal(Kind):
    """Normal distribution of the log-ratios, shrunk towards the pool's.

    The pool counts as ``shrinkage`` patients for the location and as ``shrinkage`` × (K - 1) patients, as many as the
    covariance has dimensions, for the covariance. The mean is no function of the location alone, and so is that of draws.
    """

    name = "logistic_normal"
    arrays = {"location": Array(("K-1",)), "covariance": Array(("K-1", "K-1"), "covariance")}

    def fit(self, counts: np.ndarray, learning: Learning) -> Parameters:
        pool, shrinkage = learning.pool, learning.shrinkage
        coordinates = log_ratios(smoothed_proportions(counts, pool.mean))
        n_patients, degrees = coordinates.shape
        centre = log_ratios(pool.mean[None])[0]
        location = (coordinates.sum(axis=0) + shrinkage * centre) / (n_patients + shrinkage)
        centred = coordinates - coordinates.mean(axis=0)
        weight = shrinkage * degrees
        # One patient without shrinkage says nothing of the spread, so the pool must.
        weight = weight if n_patients - 1 + weight > 0 else 1.0
        covariance = _pooled_covariance(learning.counts, learning.labels, pool)
        shrunk = (centred.T @ centred + weight * covariance) / (n_patients - 1 + weight)
        return self._with_mean({"location": location, "covariance": shrunk}, learning.random_state)

    def sample(self, parameters: Parameters, n_patients: int, rng: np.random.Generator) -> np.ndarray:
        location, covariance = parameters["location"], parameters["covariance"]
        return from_log_ratios(rng.multivariate_normal(location, covariance, size=n_patients, method="eigh"))

    def shift(self, parameters: Parameters, factor: np.ndarray) -> Parameters:
        location = parameters["location"] + helmert(len(factor)) @ np.log(factor)
        return self._with_mean({**parameters, "location": location}, 0)

    def merge(self, parameters: Parameters, groups: np.ndarray) -> Parameters:
        """The sums of log-normal shares have no logistic-normal distribution: that of the same moments takes its place."""
        draws = self.sample(parameters, _MEAN_DRAWS, np.random.default_rng(0)) @ np.eye(int(groups.max()) + 1)[groups]
        coordinates = log_ratios(draws)
        covariance = np.cov(coordinates, rowvar=False).reshape(coordinates.shape[1], -1)
        return self._with_mean({**parameters, "location": coordinates.mean(axis=0), "covariance": covariance}, 0)

    def _with_mean(self, parameters: Parameters, random_state: int) -> Parameters:
        draws = self.sample(parameters, _MEAN_DRAWS, np.random.default_rng(random_state))
        return {**parameters, "mean": draws.mean(axis=0)}


def _pooled_covariance(counts: np.ndarray, classes: np.ndarray, pool: PooledRecipe) -> np.ndarray:
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
