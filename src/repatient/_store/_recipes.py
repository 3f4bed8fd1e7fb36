"""Recipes as they are stored in ``uns`` and in recipes files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from repatient._store._validate import listed
from repatient.recipe import Recipes

if TYPE_CHECKING:
    from collections.abc import Sequence


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
        parts = [parameters["compositions"] for parameters in recipes.parameters]
        entry["compositions"] = np.concatenate(parts)
        entry["composition_class"] = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
        return entry
    for name in recipes.parameters[0]:
        if name != "mean":
            entry[name] = np.stack([parameters[name] for parameters in recipes.parameters])
    return entry


def read_recipes_entry(entry: dict[str, Any], key: str) -> tuple[Recipes, list[str]]:
    """Rebuild the recipes, as fitted or as edited since, and where each came from."""
    kind = str(entry["params"]["kind"])
    classes = [str(name) for name in entry["classes"]]
    mean = np.asarray(entry["mean"], dtype=np.float64)
    _check_proportions(mean, f"`uns[{key!r}]['mean']`", classes)
    parameters: list[dict[str, np.ndarray]] = [{"mean": row} for row in mean]
    if kind == "empirical":
        compositions = np.asarray(entry["compositions"], dtype=np.float64)
        of_class = np.asarray(entry["composition_class"])
        _check_proportions(compositions, f"`uns[{key!r}]['compositions']`", [])
        for i, part in enumerate(parameters):
            part["compositions"] = compositions[of_class == i]
    for name in ("concentration", "location", "covariance"):
        if name in entry:
            for part, value in zip(parameters, np.asarray(entry[name], dtype=np.float64), strict=True):
                part[name] = value
    return Recipes(kind, tuple(classes), tuple(parameters)), [str(name) for name in entry["origin"]]


def _check_proportions(values: np.ndarray, what: str, classes: list[str]) -> None:
    wrong = ~np.isfinite(values).all(axis=1) | (values < 0).any(axis=1) | (np.abs(values.sum(axis=1) - 1) > 1e-6)
    if wrong.any():
        rows = listed(np.asarray(classes)[wrong]) if classes else f"{int(wrong.sum())} of {len(wrong)}"
        msg = f"{what}: the rows {rows} are not proportions, which are 0 or more and sum to 1."
        raise ValueError(msg)
