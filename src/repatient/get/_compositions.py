from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import scipy.sparse as sp

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
    for proportions. Patients without a label have a missing one.

    Raises
    ------
    KeyError
        If there are no recipes, or no generated patients.
    TypeError
        If an argument, or what it names, is of a wrong type.
    ValueError
        If the recipes or the generated patients belong to a mixture that was refitted since.
    """
    _store.check_data(data)
    entry = _store.uns_entry(data, recipes_key, "recipes_key", "recipes")
    real = entry["counts"].set_axis(_index(entry["patients"], is_generated=False))
    if generated_key is None:
        return real
    if _store.is_gaussian(data, generated_key):
        points, table = _store.read_gaussian(data, generated_key)
        counts, components, n_components = points.counts, points.components, real.shape[1]
    else:
        counts, table = _store.read_generated(data, generated_key)
        components, n_components = _store.read_components(data, data.uns[generated_key]["params"]["gmm_key"])
    n_cells = len(components)
    membership = sp.csr_matrix(
        (np.ones(n_cells, dtype=np.int64), (components, np.arange(n_cells))), shape=(n_components, n_cells)
    )
    of_generated = np.asarray((membership @ counts).todense()).T
    generated = pd.DataFrame(of_generated, index=_index(table, is_generated=True), columns=real.columns)
    return pd.concat([real, generated])


def _index(table: pd.DataFrame, *, is_generated: bool) -> pd.MultiIndex:
    labels = table["label"].astype(object)
    return pd.MultiIndex.from_arrays(
        [labels, np.full(len(table), is_generated), table.index.astype(str)], names=["label", "is_generated", "patient"]
    )
