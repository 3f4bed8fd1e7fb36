"""Covariates of generated patients: as requested for, or as real patients of the class have them."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from repatient._checks import listed
from repatient._messages import warn

if TYPE_CHECKING:
    from collections.abc import Callable

    from repatient.recipe import Design, Recipes


def covariate_values(
    recipes: Recipes, patients: pd.DataFrame, requested: Mapping[str, Any] | None, *, of_values: bool = False
) -> Callable[[str, int, np.random.Generator], pd.DataFrame | None]:
    """How to draw the covariates of a number of patients of a class; ``None`` where the recipes have none.

    Parameters
    ----------
    recipes
        Recipes, with or without covariates.
    patients
        Real patients, with their label and covariates.
    requested
        Values that are the same for all generated patients.
    of_values
        Whether the labels of the patients are values, and all of them of one class.
    """
    if recipes.design is None:
        if requested is not None:
            msg = "`covariates`: the recipes were learnt without; pass `covariates=[…]` to `rp.tl.recipes` first."
            raise ValueError(msg)
        return lambda name, number, rng: None
    levels = recipes.design.covariates
    fixed = _checked(requested, levels)
    _warn_of_extrapolation(fixed, recipes.design, recipes)

    def values(name: str, number: int, rng: np.random.Generator) -> pd.DataFrame:
        missing = [key for key in levels if key not in fixed]
        labels = patients["label"]
        real = patients.loc[labels.notna() if of_values else labels.notna() & (labels.astype(str) == name)]
        if missing and real.empty:
            msg = (
                f"`covariates`: the class {name!r} has no patient here to draw from; give values of {listed(missing)}."
            )
            raise ValueError(msg)
        rows = rng.integers(len(real), size=number) if missing else np.zeros(number, dtype=np.int64)
        columns = {
            key: pd.Series([fixed[key]] * number) if key in fixed else real[key].iloc[rows].reset_index(drop=True)
            for key in levels
        }
        typed = {
            key: column.astype(np.float64) if of_key is None else pd.Categorical(column.astype(str), categories=of_key)
            for (key, column), of_key in zip(columns.items(), levels.values(), strict=True)
        }
        return pd.DataFrame(typed)

    return values


def _checked(requested: Any, levels: dict[str, list[str] | None]) -> dict[str, Any]:
    """Values requested for, numbers as floats and levels as strings."""
    if requested is None:
        return {}
    if not isinstance(requested, Mapping):
        msg = f"`covariates` is a mapping of covariates to values, not {type(requested).__name__}."
        raise TypeError(msg)
    unknown = [name for name in requested if name not in levels]
    if unknown:
        msg = f"`covariates`: the recipes do not know {listed(unknown)}; they were learnt with {listed(levels)}."
        raise ValueError(msg)
    return {name: _checked_value(name, value, levels[name]) for name, value in requested.items()}


def _checked_value(name: str, value: Any, levels: list[str] | None) -> Any:
    if levels is not None:
        if str(value) not in levels:
            msg = f"`covariates[{name!r}]`: no patient had the level {value!r}; there are {listed(levels)}."
            raise ValueError(msg)
        return str(value)
    if isinstance(value, bool | np.bool_) or not isinstance(value, Real) or not np.isfinite(float(value)):
        msg = f"`covariates[{name!r}]` is a finite number, not {value!r}."
        raise ValueError(msg)
    return float(value)


def _warn_of_extrapolation(fixed: Mapping[str, Any], design: Design, recipes: Recipes) -> None:
    """Say which values lie where no patient was."""
    for column, (name, level) in enumerate(zip(design.names, design.levels, strict=True)):
        if level is not None or name not in fixed:
            continue
        low = min(float(parameters["covariate_low"][column]) for parameters in recipes.parameters)
        high = max(float(parameters["covariate_high"][column]) for parameters in recipes.parameters)
        if not low <= fixed[name] <= high:
            msg = (
                f"`covariates[{name!r}]`: {fixed[name]:g} lies outside {low:g} to {high:g}, where the patients of the "
                "recipes are; their effect is extrapolated."
            )
            warn(msg)
