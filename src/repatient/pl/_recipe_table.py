"""Recipes as matrices of classes by components, in the order in which they are drawn."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from repatient import _store, get
from repatient._checks import check_option, listed
from repatient.pl._axes import verbatim

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from anndata import AnnData
    from mudata import MuData

ORDERS = ("number", "share", "difference")


@dataclass(frozen=True)
class RecipeTable:
    """What is drawn of the recipes.

    Parameters
    ----------
    mean, low, high
        Mean share of each component and the ends of the interval over patients, classes × components.
    every_class
        All classes that have a recipe, drawn or not.
    n_components
        All components, drawn or not.
    n_patients
        Patients that each class's recipe was learnt from; none where it came from elsewhere.
    gmm_key, label_key
        Columns of ``obs`` that the recipes were learnt from.
    names
        What components are called, by number; none where they have no names.
    """

    mean: pd.DataFrame
    low: pd.DataFrame
    high: pd.DataFrame
    every_class: list[str]
    n_components: int
    n_patients: dict[str, int]
    gmm_key: str
    label_key: str
    names: dict[str, str]

    @property
    def written(self) -> list[str]:
        """Components that are drawn, under their names."""
        return [verbatim(self.names.get(name, name)) for name in self.components]

    @property
    def classes(self) -> list[str]:
        """Classes that are drawn."""
        return list(self.mean.index)

    @property
    def components(self) -> list[str]:
        """Components that are drawn."""
        return list(self.mean.columns)


def read_recipe_table(
    data: AnnData | MuData,
    recipes_key: str,
    *,
    classes: Sequence[str] | None = None,
    order: str | Sequence[Any] = "number",
    interval: float = 0.8,
) -> RecipeTable:
    """Read the recipes of some classes, components in an order."""
    tidy = get.recipes(data, recipes_key=recipes_key, interval=interval)
    every_class, every_component = list(tidy["class"].unique()), list(tidy["component"].unique())
    rows = chosen_classes(classes, every_class, "recipe", "there are recipes of")
    mean, low, high = (
        tidy.pivot(index="class", columns="component", values=name).loc[rows, every_component]
        for name in ("mean", "low", "high")
    )
    columns = _ordered(mean, order)
    params = data.uns[recipes_key]["params"]
    return RecipeTable(
        mean[columns],
        low[columns],
        high[columns],
        every_class,
        len(every_component),
        {} if _store.is_continuous(params) else _numbers(data, recipes_key),
        params["gmm_key"],
        params["label_key"],
        _store.component_names(data, params["gmm_key"]),
    )


def _numbers(data: AnnData | MuData, recipes_key: str) -> dict[str, int]:
    labels = _store.uns_entry(data, recipes_key, "recipes_key", "recipes")["patients"]["label"].dropna().astype(str)
    return {str(name): int(number) for name, number in labels.value_counts().items()}


def chosen_classes(classes: Any, every: list[str], what: str, found: str) -> list[str]:
    """Classes to draw, all without a choice; an error says that there is no ``what``, and ``found`` that there is."""
    if classes is None:
        return every
    if isinstance(classes, str):
        msg = f"`classes` is a sequence of class names, not the string {classes!r}; write [{classes!r}]."
        raise TypeError(msg)
    if not isinstance(classes, Iterable):
        msg = f"`classes` is a sequence of class names, not {classes!r}."
        raise TypeError(msg)
    names = list(dict.fromkeys(str(name) for name in classes))
    unknown = [name for name in names if name not in every]
    if unknown or not names:
        wrong = f"there is no {what} of {listed(unknown)}" if unknown else "it is empty"
        msg = f"`classes`: {wrong}; {found} {listed(every)}."
        raise ValueError(msg)
    return names


def _ordered(mean: pd.DataFrame, order: Any) -> list[str]:
    """Components by number, by share, by how much more the last class has than the first, or as listed."""
    every = list(mean.columns)
    if isinstance(order, str):
        check_option(order, "order", ORDERS)
        if order == "number":
            return every
        # The shares of a fitted recipe are above 0; those of an edited one need not be.
        shares = mean.clip(lower=1e-6)
        values = mean.mean() if order == "share" else np.log(shares.iloc[0] / shares.iloc[-1])
        return list(values.sort_values(ascending=False, kind="stable").index)
    if not isinstance(order, Iterable):
        msg = f"`order` is one of {listed(ORDERS)} or a list of components, not {order!r}."
        raise TypeError(msg)
    names = list(dict.fromkeys(str(name) for name in order))
    unknown = [name for name in names if name not in every]
    if unknown or not names:
        what = f"there are no components {listed(unknown)}" if unknown else "it is empty"
        msg = f"`order`: {what}; components are '0' to '{len(every) - 1}', and orders {listed(ORDERS)}."
        raise ValueError(msg)
    return names
