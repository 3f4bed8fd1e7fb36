"""Covariates and values of generated patients: as requested for, or as real patients have them."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from repatient import _store
from repatient._checks import listed
from repatient._messages import warn

if TYPE_CHECKING:
    from collections.abc import Callable

    from repatient.recipe import Design, Recipes

# The value that recipes are conditioned on counts as a covariate; the tables of patients hold it as their label.
VALUE = "label"


def check_of_values(params: Mapping[str, Any], n_patients: Any, method: str) -> None:
    """Refuse what needs classes for recipes of a value."""
    if not _store.is_continuous(params):
        return
    if isinstance(n_patients, str):
        msg = f"`n_patients={n_patients!r}` balances classes, and recipes of a value have none; give a number."
        raise ValueError(msg)
    if method != "recipe":
        msg = f"`method={method!r}` mixes patients of a class, and recipes of a value have none; use 'recipe'."
        raise ValueError(msg)


def values_of_patients(
    recipes: Recipes, entry: Mapping[str, Any], requested: Mapping[str, Any] | None, numbers: Mapping[str, int]
) -> Callable[[str, int, np.random.Generator], pd.DataFrame | None]:
    """How to draw the covariates of a number of patients, the value of recipes of a value among them."""
    patients, label_key = entry["patients"], str(entry["params"]["label_key"])
    if requested is not None and not isinstance(requested, Mapping):
        msg = f"`covariates` is a mapping of covariates to values, not {type(requested).__name__}."
        raise TypeError(msg)
    if not _store.is_continuous(entry["params"]):
        return _covariate_values(recipes, patients, requested)
    requested = requested or {}
    others = {name: value for name, value in requested.items() if name not in (VALUE, label_key)}
    given = [value for name, value in requested.items() if name in (VALUE, label_key)]
    fixed = _checked(given[0], label_key, next(iter(numbers.values()))) if given else None
    if fixed is not None:
        _warn_of_extrapolation(fixed, label_key, recipes)
    draw_row = _covariate_values(recipes, patients, others or None, of_values=True)
    real = np.unique(patients[VALUE].dropna().to_numpy(dtype=np.float64))

    def values(name: str, number: int, rng: np.random.Generator) -> pd.DataFrame | None:
        table = draw_row(name, number, rng)
        if table is not None:
            table[VALUE] = around(table[VALUE].to_numpy(), real, rng) if fixed is None else fixed
        return table

    return values


def around(
    values: np.ndarray[Any, np.dtype[np.float64]],
    real: np.ndarray[Any, np.dtype[np.float64]],
    rng: np.random.Generator,
) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Values anywhere between halfway to the next lower and halfway to the next higher of the real ones, which rise."""
    halfway = (real[1:] + real[:-1]) / 2
    low, high = np.append(real[0], halfway), np.append(halfway, real[-1])
    place = np.searchsorted(real, values)
    return low[place] + rng.random(len(values)) * (high - low)[place]


def _checked(requested: Any, label_key: str, number: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """One value for each of the patients to generate."""
    array = np.asarray(requested)
    if array.dtype.kind not in "iuf" or array.ndim > 1 or not np.isfinite(array).all():
        msg = f"`covariates[{label_key!r}]` is a finite number, or one for each generated patient, not {requested!r}."
        raise ValueError(msg)
    if array.ndim == 1 and len(array) != number:
        msg = (
            f"`covariates[{label_key!r}]` has {len(array)} values for {number} patients; give as many, or one for all."
        )
        raise ValueError(msg)
    return np.broadcast_to(array.astype(np.float64), (number,)).copy()


def _warn_of_extrapolation(values: np.ndarray[Any, np.dtype[np.float64]], label_key: str, recipes: Recipes) -> None:
    parameters = recipes.parameters[0]
    low, high = (float(parameters[name][0]) for name in ("covariate_low", "covariate_high"))
    outside = np.unique(values[(values < low) | (values > high)])
    if len(outside):
        msg = (
            f"`covariates[{label_key!r}]`: the patients of the recipe lie within {low:g} to {high:g}, and the values "
            f"{listed(f'{value:g}' for value in outside)} outside; the effect is extrapolated."
        )
        warn(msg)


def _covariate_values(
    recipes: Recipes, patients: pd.DataFrame, requested: Mapping[str, Any] | None, *, of_values: bool = False
) -> Callable[[str, int, np.random.Generator], pd.DataFrame | None]:
    """How to draw the covariates of a number of patients of a class; ``None`` where the recipes have none."""
    if recipes.design is None:
        if requested is not None:
            msg = "`covariates`: the recipes were learnt without; pass `covariates=[…]` to `rp.tl.recipes` first."
            raise ValueError(msg)
        return lambda name, number, rng: None
    levels = recipes.design.covariates
    fixed = _checked_covariates(requested, levels)
    _warn_of_far_covariates(fixed, recipes.design, recipes)

    def values(name: str, number: int, rng: np.random.Generator) -> pd.DataFrame:
        missing = [key for key in levels if key not in fixed]
        labels = patients["label"]
        real = patients.loc[labels.notna() if of_values else _store.of_class(labels, name)]
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


def _checked_covariates(requested: Any, levels: dict[str, list[str] | None]) -> dict[str, Any]:
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


def _warn_of_far_covariates(fixed: Mapping[str, Any], design: Design, recipes: Recipes) -> None:
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
