"""The steps of scanpy's principal components, from an object that still holds what they began with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from repatient._store._axes import kept_variance
from repatient._store._lazy import in_memory
from repatient._store._project import Measured, part_of
from repatient._store._projection import Projection
from repatient._threads import one_thread

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData
    from numpy.typing import NDArray

# Rows by which two embeddings are compared, and those that tell how much of them is chance.
N_ROWS, _ROWS_FOR_KEPT = 512, 4_000
# Names under which scanpy writes what belongs to its default embedding; else all have the name of the embedding.
_LOADINGS, _RECORD = {"X_pca": "PCs"}, {"X_pca": "pca"}
_AGREE = 1e-3
# Features of unit spread and mean zero were standardised over one object, which new cells cannot repeat.
_STANDARDISED = 0.1


def scanpy_projection(
    data: AnnData | MuData, use_rep: str, embedding: NDArray[Any], training: NDArray[np.bool_]
) -> Projection | None:
    """The steps from ``X`` or a layer to an embedding of :func:`scanpy.pp.pca`.

    Parameters
    ----------
    data
        The object.
    use_rep
        Key of ``obsm``, or ``"modality:key"``.
    embedding
        What is there, (n_obs, d).
    training
        Cells that are trained on, (n_obs,): means of features, and what the components keep, are of these alone.

    Returns
    -------
    ``None`` where loadings or features are not there, where these do not lead to the embedding (as after a correction of
    batches, or where ``X`` was changed since), and where the features were standardised over the object.
    """
    part, key = part_of(data, use_rep)
    name = _LOADINGS.get(key, key)
    if not hasattr(part, "varm") or name not in part.varm or key not in part.obsm or len(embedding) != part.n_obs:
        return None
    # Often the first components are taken.
    loadings = np.asarray(in_memory(part.varm[name]), dtype=np.float64)[:, : embedding.shape[1]]
    entry = part.uns.get(_RECORD.get(key, key))
    params = entry.get("params") if isinstance(entry, Mapping) else None
    source = str(params["layer"]) if isinstance(params, Mapping) and params.get("layer") is not None else "X"
    if (
        loadings.shape != (part.n_vars, embedding.shape[1])
        or not np.isfinite(loadings).all()
        or not part.var_names.is_unique
    ):
        return None
    used = (loadings != 0).any(axis=1)
    rows = sample(part.n_obs)
    there, inside = np.asarray(embedding[rows], dtype=np.float64), training[rows]
    if not inside.any():
        return None
    try:
        measured = Measured(part, source)
        X = _dense(measured.block(rows)[:, used])
        loadings, mean = loadings[used], X[inside].mean(axis=0)
        rest = X @ loadings - there
        if not agrees(rest - rest.mean(axis=0), there) or _standardised(X):
            return None
        kept = _kept(measured, used, training, loadings.shape[1])
    except (KeyError, TypeError, ValueError):
        # Nothing but the embedding is needed to train on it.
        return None
    # Of all points that the components may be centred on, the one next to the mean of the cells that were looked at.
    center = mean + np.linalg.pinv(loadings.T) @ (rest.mean(axis=0) - mean @ loadings)
    arrays = {
        "used": np.ones(len(mean), dtype=bool),
        "mean": mean.astype(np.float32),
        "center": center,
        "loadings": loadings,
        "kept": kept,
    }
    return Projection("features", measured.names[used], {"source": source, "named": True, "transform": None}, arrays)


def _kept(measured: Measured, used: NDArray[np.bool_], training: NDArray[np.bool_], n_axes: int) -> NDArray[np.float64]:
    """What the components keep of their variance in other cells, from some of those that they are of."""
    rows = sample(measured.shape[0], _ROWS_FOR_KEPT)
    X = _dense(measured.block(rows)[:, used])[training[rows]]
    halves = [X[::2], X[1::2]]
    n_half = min(map(len, halves))
    if n_half < 2:
        return np.ones(n_axes)
    with one_thread():
        return kept_variance([np.cov(half, rowvar=False) for half in halves], n_axes, n_half, measured.shape[0])


def _dense(X: Any) -> NDArray[np.float64]:
    return np.asarray(X.toarray() if sp.issparse(X) else X, dtype=np.float64)


def sample(n_obs: int, n_rows: int = N_ROWS) -> slice:
    """About so many rows, all over the object."""
    return slice(0, n_obs, max(n_obs // n_rows, 1))


def agrees(difference: NDArray[Any], embedding: NDArray[Any]) -> bool:
    """Whether two embeddings are the same but for rounding, from their difference at some rows."""
    spread = float(np.sqrt(np.mean((embedding - embedding.mean(axis=0)) ** 2)))
    return bool(np.sqrt(np.mean(np.asarray(difference, dtype=np.float64) ** 2)) <= _AGREE * spread)


def _standardised(X: NDArray[np.float64]) -> bool:
    spread = X.std(axis=0)
    spread = spread[spread > 0]
    return bool(
        spread.size
        and np.sqrt(np.mean(X.mean(axis=0) ** 2)) < _STANDARDISED
        and abs(np.median(spread) - 1) < _STANDARDISED
    )
