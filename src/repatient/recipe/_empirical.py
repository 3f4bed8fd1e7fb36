"""Recipes without a distribution of their own: the compositions of real patients, and their mean."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from repatient.recipe._composition import proportions
from repatient.recipe._kinds import Array, Kind

if TYPE_CHECKING:
    from repatient.recipe._kinds import Learning, Parameters


class Empirical(Kind):
    """Repeats the compositions of real patients, moved towards the pooled mean.

    The pool has the weight of ``shrinkage`` patients among those of the class.
    """

    name = "empirical"
    arrays = {"compositions": Array(("*", "K"), "proportions", "composition_class")}

    def fit(self, counts: np.ndarray, learning: Learning) -> Parameters:
        weight = learning.shrinkage / (len(counts) + learning.shrinkage)
        compositions = (1 - weight) * proportions(counts) + weight * learning.pool.mean
        return {"mean": compositions.mean(axis=0), "compositions": compositions}

    def sample(self, parameters: Parameters, n_patients: int, rng: np.random.Generator) -> np.ndarray:
        compositions = np.asarray(parameters["compositions"])
        return compositions[rng.integers(len(compositions), size=n_patients)]

    def shift(self, parameters: Parameters, factor: np.ndarray) -> Parameters:
        compositions = proportions(parameters["compositions"] * factor)
        return {**parameters, "compositions": compositions, "mean": compositions.mean(axis=0)}


class MeanComposition(Kind):
    """The mean composition, without spread; the pool counts as ``shrinkage`` patients."""

    name = "mean"

    def fit(self, counts: np.ndarray, learning: Learning) -> Parameters:
        total = proportions(counts).sum(axis=0) + learning.shrinkage * learning.pool.mean
        return {"mean": total / (len(counts) + learning.shrinkage)}

    def sample(self, parameters: Parameters, n_patients: int, rng: np.random.Generator) -> np.ndarray:
        del rng
        return np.tile(np.asarray(parameters["mean"], dtype=np.float64), (n_patients, 1))

    def shift(self, parameters: Parameters, factor: np.ndarray) -> Parameters:
        return {**parameters, "mean": proportions(parameters["mean"][None] * factor)[0]}
