from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from repatient import _store
from repatient._checks import check_integer, check_number
from repatient._docs import shared_docs

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData

_DRAWS = 4000


@shared_docs
def recipes(
    data: AnnData | MuData,
    *,
    recipes_key: str = _store.keys.RECIPES,
    interval: float = 0.8,
    random_state: int = 0,
) -> pd.DataFrame:
    """Recipes as a tidy table: the mean of each component in each class, and the spread over patients.

    Parameters
    ----------
    %(data)s
    %(recipes_key)s
    interval
        Share of the patients between ``low`` and ``high``.
    %(random_state)s It serves the quantiles, which come from draws of the recipe.

    Returns
    -------
    One row a class and component: ``class``, ``component`` (and ``name``, where :func:`repatient.tl.name_components` ran), ``mean``, ``sd``, ``low``, ``high`` (of a patient's
    proportion) and ``origin``.

    Raises
    ------
    KeyError
        If there are no recipes.
    TypeError
        If an argument, or what it names, is of a wrong type.
    ValueError
        If ``interval`` is no share, or the recipes were edited into what is none.

    Examples
    --------
    %(example_recipes)s
    >>> len(rp.get.recipes(adata))
    10
    """
    _store.check_data(data)
    check_number(interval, "interval", above=0, maximum=1)
    rng = np.random.default_rng(check_integer(random_state, "random_state", minimum=0))
    entry = _store.uns_entry(data, recipes_key, "recipes_key", "recipes")
    fitted, origin = _store.read_recipes_entry(entry, recipes_key)
    tables = []
    names = _store.component_names(data, str(entry["params"]["gmm_key"]))
    for name, mean, where in zip(fitted.classes, fitted.mean, origin, strict=True):
        patients = fitted.sample(name, _DRAWS, rng)
        low, high = np.quantile(patients, [(1 - interval) / 2, (1 + interval) / 2], axis=0)
        tables.append(
            pd.DataFrame(
                {
                    "class": name,
                    "component": [str(k) for k in range(len(mean))],
                    **({"name": [names[str(k)] for k in range(len(mean))]} if len(names) == len(mean) else {}),
                    "mean": mean,
                    "sd": patients.std(axis=0),
                    "low": low,
                    "high": high,
                    "origin": where,
                }
            )
        )
    return pd.concat(tables, ignore_index=True)
