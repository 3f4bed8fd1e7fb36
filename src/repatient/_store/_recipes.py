"""Recipes as they are stored in ``uns`` and in recipes files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from repatient._checks import listed
from repatient._store._lazy import in_memory
from repatient.recipe import KINDS, Array, Design, Offsets, Recipes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from repatient.recipe import Kind

_COVARIATES = {
    "effects": Array(("P", "K")),
    "covariate_mean": Array(("P",)),
    "covariate_low": Array(("P",)),
    "covariate_high": Array(("P",)),
}
_MEAN = Array(("K",), "proportions")


def recipes_entry(recipes: Recipes, origin: Sequence[str], offsets: Offsets | None = None) -> dict[str, Any]:
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
    parts = recipes.family.alike(recipes.parameters)
    for name, array in {**recipes.family.arrays, **_COVARIATES}.items():
        if not all(name in part for part in parts):
            continue
        if array.rows is None:
            entry[name] = np.stack([part[name] for part in parts])
        else:
            entry[name] = np.concatenate([part[name] for part in parts])
            entry[array.rows] = np.repeat(np.arange(len(parts)), [len(part[name]) for part in parts])
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
    if offsets is not None:
        entry["offsets"] = offsets_entry(offsets)
    return entry


def read_recipes_entry(entry: dict[str, Any], key: str) -> tuple[Recipes, list[str]]:
    """Rebuild the recipes, as fitted or as edited since, and where each came from.

    Every array is checked against what its kind says of it, as users edit recipes and files come from strangers.
    """
    entry = in_memory(entry)
    what = f"`uns[{key!r}]`"
    kind = _kind(str(entry["params"]["kind"]), what)
    classes, origin = ([str(name) for name in np.atleast_1d(entry[name])] for name in ("classes", "origin"))
    if not classes or len(set(classes)) < len(classes) or len(origin) != len(classes):
        msg = f"{what}: it is of the classes {listed(classes)}, which came from {listed(origin)}; one origin a class."
        raise ValueError(msg)
    mean = np.asarray(entry["mean"])
    if mean.ndim != 2 or len(mean) != len(classes) or mean.shape[1] < 2 or mean.dtype.kind not in "iuf":
        msg = f"`uns[{key!r}]['mean']` has shape {mean.shape}; (classes, components) are needed for {listed(classes)}."
        raise ValueError(msg)
    design = _read_design(entry)
    n_columns = 0 if design is None else len(design.names)
    sizes = {"K": mean.shape[1], "K-1": mean.shape[1] - 1, "P": n_columns}
    parameters: list[dict[str, np.ndarray]] = [{} for _ in classes]
    for name, array in {"mean": _MEAN, **kind.arrays, **(_COVARIATES if design is not None else {})}.items():
        if name not in entry:
            continue
        values = _of_classes(entry, name, array, classes, what)
        for of_class, part, value in zip(classes, parameters, values, strict=True):
            part[name] = array.check(value, f"{what}: {name!r} of {of_class!r}", sizes)
    _check_complete(kind, parameters, classes, what)
    if design is not None and (lacking := [name for name in _COVARIATES if name not in entry]):
        msg = f"{what} has covariates, but no {listed(lacking)}."
        raise ValueError(msg)
    # What is edited is the part that is drawn from.
    for part in parameters:
        if "subtype_mean" in part:
            part["mean"] = part["subtype_weight"] @ part["subtype_mean"]
    return Recipes(kind.name, tuple(classes), tuple(parameters), design), origin


def offsets_entry(offsets: Offsets) -> dict[str, Any]:
    """Offsets as they are stored; their classes need not be those of the recipes."""
    return {
        "classes": np.array(offsets.classes, dtype=object),
        "means": offsets.means,
        "variances": offsets.variances,
        "n_donors": offsets.n_donors,
        "n_cells": offsets.n_cells,
    }


def read_offsets(entry: Mapping[str, Any], n_components: int, n_dimensions: int | None = None) -> Offsets | None:
    """Rebuild the offsets of stored recipes, ``None`` where they have none; refuse what cannot be."""
    if "offsets" not in entry:
        return None
    part = in_memory(entry["offsets"])
    classes = tuple(str(name) for name in np.atleast_1d(part["classes"]))
    means = np.asarray(part["means"])
    n_dimensions = means.shape[-1] if n_dimensions is None and means.ndim == 3 else n_dimensions
    sizes = {"C": len(classes), "K": n_components, "D": n_dimensions or 0}
    cube = Array(("C", "K", "D"))
    places = [cube.check(part[name], f"'{name}' of the offsets", sizes) for name in ("means", "variances")]
    numbers = [np.asarray(part[name]) for name in ("n_donors", "n_cells")]
    for name, number in zip(("n_donors", "n_cells"), numbers, strict=True):
        Array(("C", "K")).check(number, f"'{name}' of the offsets", sizes)
        if number.dtype.kind not in "iu" or (number < 0).any():
            msg = f"'{name}' of the offsets are not numbers of 0 or more."
            raise ValueError(msg)
    n_donors, n_cells = (number.astype(np.int64) for number in numbers)
    if (places[1] < 0).any() or (n_cells < 2 * n_donors).any() or len(set(classes)) < len(classes):
        msg = "The offsets have a variance below 0, fewer than two cells a donor, or a class twice."
        raise ValueError(msg)
    return Offsets(classes, places[0], places[1], n_donors, n_cells)


def read_reference_recipes(entry: Mapping[str, Any], key: str) -> tuple[Recipes, Offsets | None] | None:
    """All recipes and offsets of the other cohort that stored recipes were completed from, ``None`` without one."""
    if "reference" not in entry:
        return None
    recipes, _ = read_recipes_entry(entry["reference"], key)
    return recipes, read_offsets(entry["reference"], recipes.mean.shape[1])


def offsets_of(entry: Mapping[str, Any], key: str, names: Sequence[str]) -> Offsets | None:
    """Offsets of one cohort that has all these classes: this one, else the reference; ``None`` if neither has."""
    own = read_offsets(entry, np.shape(entry["mean"])[1])
    reference = read_reference_recipes(entry, key)
    for offsets in (own, None if reference is None else reference[1]):
        if offsets is not None and set(names) <= set(offsets.classes):
            return offsets
    return None


def _kind(name: str, what: str) -> Kind:
    if name not in KINDS:
        msg = (
            f"{what}: recipes of kind {name!r} are not known here; there are {listed(KINDS)}. Another package's kind is "
            "known once `repatient.recipe.register_kind` was called."
        )
        raise ValueError(msg)
    return KINDS[name]


def _of_classes(entry: dict[str, Any], name: str, array: Array, classes: Sequence[str], what: str) -> list[np.ndarray]:
    """The array of each class."""
    values = np.asarray(entry[name])
    if array.rows is None:
        if values.ndim == 0 or len(values) != len(classes):
            msg = f"{what}: {name!r} has shape {values.shape}; its first axis is that of {len(classes)} classes."
            raise ValueError(msg)
        return list(values)
    rows = np.asarray(entry[array.rows]) if array.rows in entry else np.array(None)
    fitting = values.ndim > 0 and rows.shape == values.shape[:1] and rows.dtype.kind in "iu"
    if not fitting or set(rows.tolist()) != set(range(len(classes))):
        msg = f"{what}: {array.rows!r} is not the number of the class of each row of {name!r}, or a class has no row."
        raise ValueError(msg)
    return [values[rows == i] for i in range(len(classes))]


def _check_complete(kind: Kind, parameters: Sequence[dict[str, np.ndarray]], classes: Sequence[str], what: str) -> None:
    """Refuse recipes that lack what they are drawn from."""
    rng = np.random.default_rng(0)
    for name, part in zip(classes, parameters, strict=True):
        try:
            drawn = kind.sample(part, 1, rng)
        except KeyError as error:
            msg = f"{what}: the recipe of {name!r} lacks {error.args[0]!r}, which one of kind {kind.name!r} has."
            raise ValueError(msg) from error
        if drawn.shape != (1, len(part["mean"])) or not np.isfinite(drawn).all():
            msg = f"{what}: no patient can be drawn from the recipe of {name!r}, whose values are out of any range."
            raise ValueError(msg)


def _read_design(entry: dict[str, Any]) -> Design | None:
    if "covariates" not in entry:
        return None
    table = entry["covariates"]
    levels = zip(table["level"], table["numeric"], strict=True)
    return Design(
        tuple(str(name) for name in table["covariate"]),
        tuple(None if numeric else str(level) for level, numeric in levels),
    )
