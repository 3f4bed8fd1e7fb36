from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from repatient import _store
from repatient._docs import shared_docs

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData


@shared_docs
def compositions(
    data: AnnData | MuData,
    *,
    recipes_key: str = _store.keys.RECIPES,
    generated_key: str | None = None,
) -> pd.DataFrame:
    """Cells of each patient in each component, real patients and generated ones.

    Parameters
    ----------
    %(data)s
    %(recipes_key)s
    generated_key
        Where :func:`repatient.tl.generate` stored patients to add; points of Gaussians are counted in the component
        that they were drawn from. ``None``: real patients only.

    Returns
    -------
    Table of counts, index ``label``, ``is_generated`` and ``patient``, one column a component. Divide by the row sums
    for proportions. Patients without a label have a missing one. Cells are counted as they are in the object now, of the
    patients that the recipes were learnt on (of those of the same names, where that was a mask given as an array).

    Raises
    ------
    KeyError
        If there are no recipes, or no generated patients.
    TypeError
        If an argument, or what it names, is of a wrong type.
    ValueError
        If the recipes or the generated patients belong to a mixture that was refitted since.

    Examples
    --------
    %(example_recipes)s
    >>> rp.get.compositions(adata).shape
    (12, 5)
    """
    _store.check_data(data)
    entry = _store.uns_entry(data, recipes_key, "recipes_key", "recipes")
    params = entry["params"]
    _store.check_recipes(data, entry)
    components, n_components = _store.read_components(data, params["gmm_key"])
    real = _real(data, entry, components, n_components)
    names = _store.component_names(data, params["gmm_key"])
    if generated_key is None:
        return real.rename(columns=names)
    drawn = _store.read_generated(data, generated_key)
    counts = drawn.compositions(components, n_components)
    labels = drawn.table["label"].astype(object)
    return pd.concat(
        [real, pd.DataFrame(counts, index=_index(labels, drawn.table.index, is_generated=True), columns=real.columns)]
    ).rename(columns=names)


def _real(data: AnnData | MuData, entry: dict[str, Any], components: np.ndarray, n_components: int) -> pd.DataFrame:
    """Cells of the patients of the object that recipes were learnt on, patients × components."""
    params = entry["params"]
    mask_obs = params.get("mask_obs")
    recorded = mask_obs is None or mask_obs in data.obs
    mask = _store.real_cells(data, _store.read_mask(data, mask_obs if recorded else None), quiet=True)
    patients = _store.read_recorded_patients(data, params, mask)
    cells = np.flatnonzero(patients.codes >= 0)
    places = patients.codes[cells] * n_components + components[cells]
    counts = np.bincount(places, minlength=len(patients.names) * n_components).reshape(-1, n_components)
    columns = [str(k) for k in range(n_components)]
    table = pd.DataFrame(counts, index=_index(patients.labels, patients.names, is_generated=False), columns=columns)
    return table if recorded else table[np.isin(patients.names.astype(str), entry["patients"].index.astype(str))]


def _index(labels: Any, names: Any, *, is_generated: bool) -> pd.MultiIndex:
    return pd.MultiIndex.from_arrays(
        [np.asarray(labels, dtype=object), np.full(len(names), is_generated), np.asarray(names, dtype=str)],
        names=["label", "is_generated", "patient"],
    )
