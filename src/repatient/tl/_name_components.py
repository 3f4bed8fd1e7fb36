from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from anndata import AnnData

from repatient import _store
from repatient._checks import check_integer, listed
from repatient._docs import shared_docs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mudata import MuData

_MARKERS = "markers"
# Below this share of a component's cells, its largest cell type does not name it alone.
_MAJORITY = 0.5


@shared_docs
def name_components(
    data: AnnData | MuData,
    by: str | Mapping[str, str] | Sequence[str] = _MARKERS,
    *,
    n_markers: int = 2,
    layer: str | None = None,
    gmm_key: str = _store.keys.GMM,
    copy: bool = False,
) -> AnnData | MuData | None:
    """Give the components of the mixture names that people know; figures and tables use them from then on.

    Parameters
    ----------
    %(data)s
    by
        ``"markers"``
            The features that are highest in a component against all other cells
            (:func:`scanpy.tl.rank_genes_groups`, t test), from ``X``, which should hold logarithmic values.
        a column of ``obs``
            What most of a component's cells are, such as their cell type; the two most frequent where none has half.
        names
            One a component, or some of them by number, ``{"3": "B cells"}``.

        Where two components would have one name, their numbers are added.
    n_markers
        Markers in a name.
    layer
        Layer to take instead of ``X``.
    gmm_key
        The mixture.
    %(copy)s

    Returns
    -------
    ``None``, or the copy. Written is ``uns[gmm_key]["names"]``, one name a component. ``obs[gmm_key]`` keeps the numbers.

    Raises
    ------
    KeyError
        If there is no mixture or column.
    TypeError
        If ``by`` is of another type, or markers are wanted of a MuData.
    ValueError
        If there are other numbers of names than of components, or unknown components.

    Examples
    --------
    >>> import repatient as rp
    >>> adata, truth = rp.datasets.pbmc_cohort(n_patients=6, n_cells=60)
    >>> rp.tl.gmm(adata, 4)
    >>> rp.tl.name_components(adata, "state")
    >>> len(set(adata.uns["gmm"]["names"]))
    4
    """
    _store.check_data(data, copy=copy)
    check_integer(n_markers, "n_markers")
    codes, n_components = _store.read_components(data, gmm_key)
    if isinstance(by, str):
        if by == _MARKERS and by not in data.obs:
            names = _by_markers(data, codes, n_components, n_markers, layer)
        else:
            names = _by_column(data, by, codes, n_components)
    else:
        names = _given(data, by, n_components, gmm_key)
    twice = pd.Index(names).duplicated(keep=False)
    names = [f"{name} ({k})" if again else name for k, (name, again) in enumerate(zip(names, twice, strict=True))]
    data = data.copy() if copy else data
    data.uns[gmm_key] = {**data.uns[gmm_key], "names": np.array(names, dtype=object)}
    return data if copy else None


def _given(data: Any, by: Any, n_components: int, gmm_key: str) -> list[str]:
    if isinstance(by, Mapping):
        known = _store.component_names(data, gmm_key)
        unknown = [name for name in by if str(name) not in map(str, range(n_components))]
        if unknown:
            msg = f"`by`: there are no components {listed(unknown)}; they are '0' to '{n_components - 1}'."
            raise ValueError(msg)
        new = {str(k): str(name) for k, name in by.items()}
        return [new.get(k, known.get(k, k)) for k in map(str, range(n_components))]
    if not isinstance(by, list | tuple | np.ndarray | pd.Series | pd.Index):
        msg = f"`by` is 'markers', a column of `obs`, or names, not {type(by).__name__}."
        raise TypeError(msg)
    if len(by) != n_components:
        msg = f"`by`: {len(by)} names for {n_components} components."
        raise ValueError(msg)
    return [str(name) for name in by]


def _by_column(data: Any, by: str, codes: np.ndarray, n_components: int) -> list[str]:
    categories = _store.as_categories(_store.obs_column(data, by, "by"), "by")
    n_groups = len(categories.categories)
    inside = categories.codes >= 0
    counts = np.bincount(
        codes[inside] * n_groups + categories.codes[inside], minlength=n_components * n_groups
    ).reshape(n_components, n_groups)
    names = []
    for k, row in enumerate(counts):
        first, *rest = np.argsort(-row, kind="stable")
        if row[first] == 0:
            names.append(str(k))
        elif row[first] >= _MAJORITY * row.sum() or not rest:
            names.append(str(categories.categories[first]))
        else:
            names.append(f"{categories.categories[first]} + {categories.categories[rest[0]]}")
    return names


def _by_markers(data: Any, codes: np.ndarray, n_components: int, n_markers: int, layer: str | None) -> list[str]:
    import scanpy as sc

    if not isinstance(data, AnnData):
        msg = "`by='markers'` reads `X` of an AnnData; of a MuData, pass a column of `obs` or names."
        raise TypeError(msg)
    if layer is not None and layer not in data.layers:
        msg = f"`layer`: there is no layer {layer!r}; there are {listed(data.layers)}."
        raise KeyError(msg)
    X = data.X if layer is None else data.layers[layer]
    if X is None:
        msg = "`by='markers'`: `data` has no `X`; name a `layer`, or pass a column of `obs` or names."
        raise KeyError(msg)
    # The t test of a group needs two cells, and others besides.
    sizes = np.bincount(codes, minlength=n_components)
    tested = [str(k) for k in range(n_components) if 1 < sizes[k] < len(codes)]
    names = [str(k) for k in range(n_components)]
    if not tested:
        return names
    cells = AnnData(_store.in_memory(X) if hasattr(X, "to_memory") else X, var=pd.DataFrame(index=data.var_names))
    cells.obs["component"] = pd.Categorical([str(k) for k in codes])
    sc.tl.rank_genes_groups(cells, "component", groups=tested, n_genes=n_markers)
    best = cells.uns["rank_genes_groups"]["names"]
    for k in tested:
        names[int(k)] = " ".join(f"{marker}+" for marker in best[k])
    return names
