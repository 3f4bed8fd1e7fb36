"""Recipes of another cohort, relative to a class that both have."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import helmert

from repatient.recipe._composition import proportions
from repatient.recipe._recipes import Recipes

if TYPE_CHECKING:
    from collections.abc import Sequence

_SMOOTHING = 0.01
_MEAN_DRAWS = 20_000


def log_ratio_transfer(external: Recipes, own: Recipes, names: Sequence[str]) -> Recipes:
    """Move recipes by what this cohort's class differs from the other cohort's class of the same name.

    Every composition of the other cohort is multiplied by own / external mean composition of the shared class, and
    renormalised: a translation of its log-ratios (Aitchison 1986, The Statistical Analysis of Compositional Data,
    sec. 2.7). One per cent of a uniform composition is mixed into both means, so that the ratio of components that are
    rare in both stays near one.

    Parameters
    ----------
    external
        Recipes of the other cohort, those of ``names`` and of the shared class among them.
    own
        Recipe of the shared class in this cohort, alone.
    names
        Classes to transfer.

    Returns
    -------
    Their recipes. Concentrations and covariances of log-ratios, how much patients differ, remain the other cohort's.
    """
    shared = own.classes[0]
    factor = _smoothed(own.mean[0]) / _smoothed(external.take([shared]).mean[0])
    taken = external.take(names)
    parameters = tuple(_moved(taken.kind, part, factor) for part in taken.parameters)
    return Recipes(taken.kind, taken.classes, parameters, taken.design)


def _moved(kind: str, parameters: dict[str, np.ndarray], factor: np.ndarray) -> dict[str, np.ndarray]:
    """Parameters of one recipe after each composition was multiplied by ``factor`` and renormalised."""
    moved = dict(parameters)
    moved["mean"] = proportions(parameters["mean"][None] * factor)[0]
    if "subtype_mean" in parameters:
        moved["subtype_mean"] = proportions(parameters["subtype_mean"] * factor)
        moved["mean"] = moved["subtype_weight"] @ moved["subtype_mean"]
    if kind == "empirical":
        moved["compositions"] = proportions(parameters["compositions"] * factor)
        moved["mean"] = moved["compositions"].mean(axis=0)
    if kind == "logistic_normal":
        moved["location"] = parameters["location"] + helmert(len(factor)) @ np.log(factor)
        # The mean of a logistic-normal is no function of its location alone.
        draws = Recipes(kind, ("moved",), (moved,)).sample("moved", _MEAN_DRAWS, np.random.default_rng(0))
        moved["mean"] = draws.mean(axis=0)
    return moved


def _smoothed(mean: np.ndarray) -> np.ndarray:
    return (1 - _SMOOTHING) * mean + _SMOOTHING / len(mean)
