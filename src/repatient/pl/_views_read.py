"""A synthetic view, its source and the measured view, as arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from mudata import MuData
from sklearn.neighbors import NearestNeighbors

from repatient import _store
from repatient._checks import listed

if TYPE_CHECKING:
    from anndata import AnnData

    from repatient.views import Translator

_MOST_MEASURED = 5000


@dataclass(frozen=True)
class ViewsRead:
    """What is drawn of two modalities.

    Parameters
    ----------
    names
        Of source and target.
    modalities
        The modalities.
    source, synthetic, measured
        Rows of the source, their translations and measured rows of the target.
    features
        Names of the target's features; empty for images.
    entry
        What :func:`repatient.tl.synthesize` stored.
    """

    names: tuple[str, str]
    modalities: tuple[AnnData, AnnData]
    source: np.ndarray
    synthetic: np.ndarray
    measured: np.ndarray
    features: list[str]
    entry: dict[str, Any]


def read_views(
    data: AnnData | MuData,
    names: tuple[str, str],
    target_data: AnnData | None,
    reps: tuple[str | None, str | None],
    key: str | None,
    translator: Translator | None,
) -> ViewsRead:
    """Look everything up, and make the synthetic view where it is not stored."""
    _store.check_data(data)
    modalities = _modalities(data, names, target_data)
    key = _store.keys.synthetic(names[1]) if key is None else key
    entry = _store.uns_entry(modalities[0], key, "synthetic_key", "synthesize")
    params = entry["params"]
    used = [rep if rep is not None else params.get(which) for rep, which in zip(reps, _REPS, strict=True)]
    source, measured = (_rows(*of) for of in zip(modalities, used, _REPS, strict=True))
    if key in modalities[0].obsm:
        synthetic = np.asarray(modalities[0].obsm[key])
    elif translator is not None:
        synthetic = translator.translate(source)
    else:
        msg = f"`translator`: the synthetic view {key!r} was not stored; pass what `rp.tl.synthesize` returned."
        raise ValueError(msg)
    in_matrix = used[1] in (None, "X") and synthetic.ndim == 2
    width = synthetic.shape[1] if synthetic.ndim == 2 else 0
    features = [str(name) for name in modalities[1].var_names] if in_matrix else [str(i) for i in range(width)]
    return ViewsRead(names, modalities, source, synthetic, measured, features, entry)


_REPS = ("source_rep", "target_rep")


def comparable(pair: ViewsRead) -> tuple[np.ndarray, np.ndarray]:
    """Translated and measured rows, counts as logarithms, in standard deviations of the measured ones."""
    rows = [view.reshape(len(view), -1).astype(np.float64) for view in (pair.synthetic, pair.measured)]
    if pair.measured.ndim == 2 and pair.measured.min() >= 0 and (rows[1] == np.rint(rows[1])).all():
        rows = [np.log1p(np.maximum(view, 0)) for view in rows]
    if pair.measured.ndim == 4:
        return rows[0], rows[1]
    scale = rows[1].std(axis=0)
    mean, scale = rows[1].mean(axis=0), np.where(scale > 0, scale, 1.0)
    return (rows[0] - mean) / scale, (rows[1] - mean) / scale


def nearest_measured(pair: ViewsRead, rows: np.ndarray) -> np.ndarray:
    """Measured row that each translated one is nearest to."""
    translated, measured = comparable(pair)
    few = np.linspace(0, len(measured) - 1, min(len(measured), _MOST_MEASURED)).astype(np.int64)
    search = NearestNeighbors(n_neighbors=1, algorithm="brute").fit(measured[few])
    return few[search.kneighbors(translated[rows], return_distance=False)[:, 0]]


def _modalities(data: AnnData | MuData, names: tuple[str, str], target_data: AnnData | None) -> tuple[AnnData, AnnData]:
    if not isinstance(data, MuData):
        if target_data is None:
            msg = "`target_data`: the source is an AnnData; pass that of the target, or a MuData that has both."
            raise ValueError(msg)
        return data, target_data
    for name, argument in zip(names, ("source", "target"), strict=True):
        if name not in data.mod:
            msg = f"`{argument}`: no modality {name!r}; there are {listed(data.mod)}."
            raise KeyError(msg)
    return data.mod[names[0]], data.mod[names[1]]


def _rows(adata: AnnData, use_rep: str | None, argument: str) -> np.ndarray:
    name = "X" if use_rep is None else use_rep
    values = adata.X if name == "X" and "X" not in adata.obsm else adata.obsm.get(name)
    if values is None:
        msg = f"`{argument}`: no view {name!r}; there are {listed(adata.obsm, 40)}."
        raise KeyError(msg)
    return np.asarray(values.toarray() if hasattr(values, "toarray") else values)
