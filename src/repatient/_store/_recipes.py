"""Recipes as they are stored in ``uns`` and in recipes files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from repatient._checks import listed
from repatient._store._lazy import in_memory
from repatient.recipe import Design, Recipes

if TYPE_CHECKING:
    from collections.abc import Sequence


_BY_CLASS = ("concentration", "location", "covariance", "effects", "covariate_mean", "covariate_low", "covariate_high")
_SUBTYPES = ("subtype_weight", "subtype_mean", "subtype_concentration")


def recipes_entry(recipes: Recipes, origin: Sequence[str]) -> dict[str, Any]:
    """Fitted parameters of each class: ``mean`` as a table, the others as arrays with classes first."""
    entry: dict[str, Any] = {
        "classes": np.array(recipes.classes, dtype=object),
        "origin": np.array(origin, dtype=object),
        "mean": pd.DataFrame(
            recipes.mean,
            index=pd.Index(recipes.classes, name="class"),
            columns=[str(k) for k in range(recipes.mean.shape[1])],
        ),
    }
    if recipes.kind == "empirical":
        entry |= _concatenated(recipes.parameters, ("compositions",), "composition_class")
    if any("subtype_weight" in parameters for parameters in recipes.parameters):
        entry |= _concatenated([_in_subtypes(part) for part in recipes.parameters], _SUBTYPES, "subtype_class")
    for name in _BY_CLASS:
        if all(name in parameters for parameters in recipes.parameters):
            entry[name] = np.stack([parameters[name] for parameters in recipes.parameters])
    if recipes.design is not None:
        numeric = [level is None for level in recipes.design.levels]
        entry["covariates"] = pd.DataFrame(
            {
                "covariate": list(recipes.design.names),
                "level": ["" if level is None else level for level in recipes.design.levels],
                "numeric": numeric,
            },
            index=[str(i) for i in range(len(numeric))],
        )
    return entry


def read_recipes_entry(entry: dict[str, Any], key: str) -> tuple[Recipes, list[str]]:
    """Rebuild the recipes, as fitted or as edited since, and where each came from."""
    entry = in_memory(entry)
    kind = str(entry["params"]["kind"])
    classes = [str(name) for name in entry["classes"]]
    mean = np.asarray(entry["mean"], dtype=np.float64)
    _check_proportions(mean, f"`uns[{key!r}]['mean']`", classes)
    parameters: list[dict[str, np.ndarray]] = [{"mean": row} for row in mean]
    if kind == "empirical":
        _check_proportions(np.asarray(entry["compositions"]), f"`uns[{key!r}]['compositions']`", [])
        _split(entry, ("compositions",), "composition_class", parameters)
    if "subtype_mean" in entry:
        _check_proportions(np.asarray(entry["subtype_mean"]), f"`uns[{key!r}]['subtype_mean']`", [])
        _split(entry, _SUBTYPES, "subtype_class", parameters)
        _check_subtypes(parameters, classes, key)
        for part in parameters:
            part["mean"] = part["subtype_weight"] @ part["subtype_mean"]
    for name in _BY_CLASS:
        if name in entry:
            for part, value in zip(parameters, np.asarray(entry[name], dtype=np.float64), strict=True):
                part[name] = value
    recipes = Recipes(kind, tuple(classes), tuple(parameters), _read_design(entry))
    return recipes, [str(name) for name in entry["origin"]]


def _concatenated(parts: Sequence[dict[str, np.ndarray]], names: Sequence[str], of_class: str) -> dict[str, np.ndarray]:
    """Arrays of a length of its own for each class, one after another, and whose each row is."""
    lengths = [len(part[names[0]]) for part in parts]
    joined = {name: np.concatenate([part[name] for part in parts]) for name in names}
    return {**joined, of_class: np.repeat(np.arange(len(parts)), lengths)}


def _split(
    entry: dict[str, Any], names: Sequence[str], of_class: str, parameters: Sequence[dict[str, np.ndarray]]
) -> None:
    """Inverse of :func:`_concatenated`."""
    for name in names:
        values = np.asarray(entry[name], dtype=np.float64)
        for i, part in enumerate(parameters):
            part[name] = values[np.asarray(entry[of_class]) == i]


def _in_subtypes(parameters: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """A class without sub-types beside one that has them is a class of one."""
    if "subtype_weight" in parameters:
        return parameters
    return {
        "subtype_weight": np.ones(1),
        "subtype_mean": parameters["mean"][None],
        "subtype_concentration": np.atleast_1d(parameters["concentration"]),
    }


def _check_subtypes(parameters: Sequence[dict[str, np.ndarray]], classes: Sequence[str], key: str) -> None:
    for name, part in zip(classes, parameters, strict=True):
        if not len(part["subtype_weight"]) or (part["subtype_concentration"] <= 0).any():
            msg = f"`uns[{key!r}]`: the class {name!r} has no sub-type, or one whose concentration is not above 0."
            raise ValueError(msg)
        _check_proportions(part["subtype_weight"][None], f"`uns[{key!r}]['subtype_weight']`", [name])


def _read_design(entry: dict[str, Any]) -> Design | None:
    if "covariates" not in entry:
        return None
    table = entry["covariates"]
    levels = zip(table["level"], table["numeric"], strict=True)
    return Design(
        tuple(str(name) for name in table["covariate"]),
        tuple(None if numeric else str(level) for level, numeric in levels),
    )


def _check_proportions(values: np.ndarray, what: str, classes: list[str]) -> None:
    wrong = ~np.isfinite(values).all(axis=1) | (values < 0).any(axis=1) | (np.abs(values.sum(axis=1) - 1) > 1e-6)
    if wrong.any():
        rows = listed(np.asarray(classes)[wrong]) if classes else f"{int(wrong.sum())} of {len(wrong)}"
        msg = f"{what}: the rows {rows} are not proportions, which are 0 or more and sum to 1."
        raise ValueError(msg)
