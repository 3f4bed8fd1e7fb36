"""What the parts of a recipes file must be, wherever they come from."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from repatient import _store
from repatient.io._format import COHORT
from repatient.mixture import GaussianMixture

# Of C classes, K components and P columns of covariates; further parts are of a length of their own.
_SHAPES: dict[str, tuple[str, ...]] = {
    "classes": ("C",),
    "origin": ("C",),
    "mean": ("C", "K"),
    "concentration": ("C",),
    "location": ("C", "K-1"),
    "covariance": ("C", "K-1", "K-1"),
    "compositions": ("*", "K"),
    "composition_class": ("*",),
    "subtype_weight": ("*",),
    "subtype_mean": ("*", "K"),
    "subtype_concentration": ("*",),
    "subtype_class": ("*",),
    "effects": ("C", "P", "K"),
    "covariate_mean": ("C", "P"),
    "covariate_low": ("C", "P"),
    "covariate_high": ("C", "P"),
}
_POSITIVE = ("concentration", "subtype_concentration")


def check_content(content: dict[str, Any]) -> None:
    """Refuse a mixture and recipes that do not fit together, or cannot be drawn from.

    Everything is rebuilt once, so that what is wrong shows here and not in the middle of a later call.
    """
    gmm, recipes = content[_store.keys.GMM], content[_store.keys.RECIPES]
    mixture = GaussianMixture.from_parameters(
        gmm["weights"], gmm["means"], gmm["covariances"], covariance_type=str(gmm["params"]["covariance_type"])
    )
    for name in (part for part in recipes if part != "params"):
        _check_finite(recipes[name], name)
    _check_shapes(recipes, len(gmm["weights"]))
    _store.read_recipes_entry(recipes, _store.keys.RECIPES)
    if recipes["params"]["mixture"] != _store.fingerprint(gmm):
        msg = "its recipes do not belong to its mixture."
        raise ValueError(msg)
    if "log_density_quantiles" in gmm:
        _check_quantiles(gmm["log_density_quantiles"])
    if COHORT in content:
        _check_cohort(content[COHORT], mixture.means_.shape[1])


def _check_shapes(recipes: dict[str, Any], n_components: int) -> None:
    sizes = {"C": len(recipes["classes"]), "K": n_components, "K-1": n_components - 1}
    sizes["P"] = len(recipes["covariates"]) if "covariates" in recipes else 0
    for name, dimensions in _SHAPES.items():
        if name not in recipes:
            continue
        shape = np.shape(recipes[name])
        wanted = tuple(sizes.get(size, shape[i] if i < len(shape) else -1) for i, size in enumerate(dimensions))
        if shape != wanted:
            msg = f"'{name}' of the recipes has shape {shape}; ({', '.join(dimensions)}) = {wanted} is needed."
            raise ValueError(msg)
    for name in _POSITIVE:
        if name in recipes and (np.asarray(recipes[name]) <= 0).any():
            msg = f"'{name}' of the recipes is not above 0 everywhere."
            raise ValueError(msg)


def _check_finite(values: Any, name: str) -> None:
    if isinstance(values, pd.DataFrame):
        values = values.select_dtypes("number").to_numpy()
    if not (array := np.asarray(values)).dtype.kind == "f":
        return
    if not np.isfinite(array).all():
        msg = f"'{name}' has NaN or infinity."
        raise ValueError(msg)


def _check_quantiles(quantiles: dict[str, Any]) -> None:
    probability, value = (np.asarray(quantiles[name], dtype=np.float64) for name in ("probability", "value"))
    if probability.ndim != 1 or probability.shape != value.shape or not len(value) or not np.isfinite(value).all():
        msg = "'log_density_quantiles' are not a finite value for each probability."
        raise ValueError(msg)


def _check_cohort(cohort: dict[str, Any], n_dimensions: int) -> None:
    moments = _store.read_moments(cohort)
    _store.read_spread(cohort, moments)
    if moments.means.shape[1] != n_dimensions:
        msg = (
            f"The moments of the classes have {moments.means.shape[1]} dimensions and the mixture {n_dimensions}; "
            "they are of different embeddings."
        )
        raise ValueError(msg)
    if "log_density_quantiles" in cohort:
        _check_quantiles(cohort["log_density_quantiles"])
