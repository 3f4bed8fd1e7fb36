"""Recipes with a mean composition and a concentration: with and without allowance for few cells."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from repatient.recipe import _subtypes
from repatient.recipe._composition import proportions, smoothed_proportions
from repatient.recipe._concentration import (
    dirichlet_loglik,
    dirichlet_multinomial_loglik,
    fit_alpha,
    sample_dirichlet,
)
from repatient.recipe._kinds import Array, Kind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from repatient.recipe._kinds import Learning, Parameters


class Dirichlet(Kind):
    """Takes each patient's composition as exact."""

    name = "dirichlet"
    arrays = {"concentration": Array((), "positive")}

    def fit(self, counts: np.ndarray, learning: Learning) -> Parameters:
        mean_log = np.log(smoothed_proportions(counts, learning.pool.mean)).mean(axis=0)
        loglik = partial(dirichlet_loglik, mean_log, len(counts))
        return _mean_and_concentration(fit_alpha(loglik, len(counts), learning.pool, learning.shrinkage))

    def sample(self, parameters: Parameters, n_patients: int, rng: np.random.Generator) -> np.ndarray:
        return sample_dirichlet(parameters["mean"], parameters["concentration"], n_patients, rng)

    def shift(self, parameters: Parameters, factor: np.ndarray) -> Parameters:
        return {**parameters, "mean": proportions(parameters["mean"][None] * factor)[0]}

    def concentration(self, parameters: Parameters) -> float:
        return float(parameters["concentration"])


class DirichletMultinomial(Dirichlet):
    """Tells apart how much patients differ and how few cells were counted of each; a class can have sub-types."""

    name = "dirichlet_multinomial"
    arrays = {**Dirichlet.arrays, **_subtypes.ARRAYS}
    has_subtypes = True

    def fit(self, counts: np.ndarray, learning: Learning) -> Parameters:
        pool, shrinkage = learning.pool, learning.shrinkage
        if learning.n_subtypes != 1:
            return _subtypes.fit(counts, pool, shrinkage, learning.n_subtypes, learning.random_state)
        loglik = partial(dirichlet_multinomial_loglik, counts)
        return _mean_and_concentration(fit_alpha(loglik, len(counts), pool, shrinkage))

    def sample(self, parameters: Parameters, n_patients: int, rng: np.random.Generator) -> np.ndarray:
        of_class = _subtypes.sample if "subtype_weight" in parameters else super().sample
        return of_class(parameters, n_patients, rng)

    def shift(self, parameters: Parameters, factor: np.ndarray) -> Parameters:
        if "subtype_weight" not in parameters:
            return super().shift(parameters, factor)
        means = proportions(parameters["subtype_mean"] * factor)
        return {**parameters, "subtype_mean": means, "mean": parameters["subtype_weight"] @ means}

    def concentration(self, parameters: Parameters) -> float:
        of_class: Any = Kind if "subtype_weight" in parameters else Dirichlet
        return float(of_class.concentration(self, parameters))

    def alike(self, parameters: Sequence[Parameters]) -> Sequence[Parameters]:
        """A class without sub-types beside one that has them is a class of one."""
        if not any("subtype_weight" in part for part in parameters):
            return parameters
        return [_subtypes.of_one(part) for part in parameters]


def _mean_and_concentration(alpha: np.ndarray) -> Parameters:
    return {"mean": alpha / alpha.sum(), "concentration": np.asarray(alpha.sum())}
