"""What the parts of a recipes file must be, wherever they come from."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from repatient import _store
from repatient.io._format import COHORT, EMBEDDING, GMM, RECIPES
from repatient.mixture import GaussianMixture

_TEXTS = ("kind", "mixture", "gmm_key", "patient_key", "label_key")
_COVARIATES = ("covariate", "level", "numeric")


def as_stored(recipes: dict[str, Any]) -> dict[str, Any]:
    """Recipes with arrays in place of tables, whose columns would each have to be trusted."""
    stored = {**recipes, "mean": np.asarray(recipes["mean"], dtype=np.float64)}
    if "covariates" in recipes:
        stored["covariates"] = {name: recipes["covariates"][name].to_numpy() for name in _COVARIATES}
        for name in ("covariate", "level"):
            stored["covariates"][name] = stored["covariates"][name].astype(object)
    return stored


def as_read(recipes: dict[str, Any]) -> dict[str, Any]:
    """Inverse of :func:`as_stored`; recipes of earlier versions of the file have tables already."""
    read = dict(recipes)
    if not isinstance(read["mean"], pd.DataFrame):
        mean = np.asarray(read["mean"])
        if mean.ndim != 2 or mean.shape[0] != len(read["classes"]):
            msg = f"'mean' of the recipes has shape {mean.shape}; (classes, components) is needed."
            raise ValueError(msg)
        names = pd.Index([str(name) for name in read["classes"]], name="class")
        read["mean"] = pd.DataFrame(mean, index=names, columns=[str(k) for k in range(mean.shape[1])])
    if "covariates" in read and not isinstance(read["covariates"], pd.DataFrame):
        table = {name: np.asarray(read["covariates"][name]) for name in _COVARIATES}
        read["covariates"] = pd.DataFrame(table, index=[str(i) for i in range(len(table["numeric"]))])
    return read


def check_content(content: dict[str, Any]) -> None:
    """Refuse a mixture and recipes that do not fit together, or cannot be drawn from.

    Everything is rebuilt once, so that what is wrong shows here and not in the middle of a later call.
    """
    gmm, recipes = content[GMM], content[RECIPES]
    if not isinstance(gmm["params"].get("use_rep"), str):
        msg = f"'use_rep' of the mixture is the name of an embedding, not {gmm['params'].get('use_rep')!r}."
        raise ValueError(msg)
    mixture = GaussianMixture.from_parameters(
        gmm["weights"], gmm["means"], gmm["covariances"], covariance_type=str(gmm["params"]["covariance_type"])
    )
    n_components, n_dimensions = mixture.means_.shape
    if "log_density_quantiles" in gmm:
        _check_quantiles(gmm["log_density_quantiles"])
    _check_params(recipes["params"])
    fitted, _ = _store.read_recipes_entry(recipes, _store.keys.RECIPES)
    if fitted.mean.shape[1] != n_components or recipes["params"]["mixture"] != _store.fingerprint(gmm):
        msg = "its recipes do not belong to its mixture."
        raise ValueError(msg)
    _store.read_offsets(recipes, n_components, n_dimensions)
    if COHORT in content:
        _check_cohort(content[COHORT], n_dimensions)
    if EMBEDDING in content:
        origin = _store.read_origin(content[EMBEDDING])
        if (origin.use_rep, origin.n_features) != (gmm["params"]["use_rep"], n_dimensions):
            msg = (
                f"the origin of its embedding is that of {origin.use_rep!r} with {origin.n_features} dimensions, and its "
                f"mixture is of {gmm['params']['use_rep']!r} with {n_dimensions}."
            )
            raise ValueError(msg)


def _check_params(params: dict[str, Any]) -> None:
    wrong = [name for name in _TEXTS if not isinstance(params.get(name), str)]
    wrong += [name for name in ("donor_key", "outcome") if not isinstance(params.get(name), str | None)]
    shrinkage = params.get("shrinkage", 1.0)
    if not isinstance(shrinkage, int | float | np.number) or not 0 <= float(shrinkage) < np.inf:
        wrong.append("shrinkage")
    if wrong:
        found = {name: params.get(name) for name in wrong}
        msg = f"the parameters of its recipes are not what they have to be: {found}."
        raise ValueError(msg)


def _check_quantiles(quantiles: dict[str, Any]) -> None:
    probability, value = (np.asarray(quantiles[name], dtype=np.float64) for name in ("probability", "value"))
    fitting = probability.ndim == 1 and probability.shape == value.shape and len(value) > 0
    if not fitting or not np.isfinite(value).all() or not ((probability >= 0) & (probability <= 1)).all():
        msg = "'log_density_quantiles' are not a finite value for each probability."
        raise ValueError(msg)
    if (np.diff(probability) < 0).any() or (np.diff(value) < 0).any():
        msg = "'log_density_quantiles' do not rise."
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
