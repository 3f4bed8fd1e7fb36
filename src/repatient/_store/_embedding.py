"""Embeddings as arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata.abc import CSCDataset, CSRDataset
from mudata import MuData

from repatient._checks import check_integer, listed
from repatient._files._scratch import MEMORY_BUDGET, filled
from repatient._store._keys import DEFAULT_EMBEDDINGS
from repatient._store._lazy import column, is_lazy

if TYPE_CHECKING:
    from anndata import AnnData

_READ_BYTES = 8 << 20
_PATIENT_COLUMNS = ("patient", "sample", "donor")


def read_embedding(
    data: AnnData | MuData,
    use_rep: str | None = None,
    *,
    patient_key: str | None = None,
    lazy: bool = False,
    to_learn_from: bool = False,
    memory_budget: int = MEMORY_BUDGET,
) -> tuple[Any, str]:
    """Embedding as a finite floating-point array (n_obs, d), and its name.

    ``None`` is the embedding of ``pp.embed``, else ``X_pca``; ``"X"`` the matrix; ``"modality:X_pca"`` an embedding of one
    modality of a MuData. ``patient_key`` serves to say whose cells are not finite. What is not in memory (a dask
    or zarr array, an HDF5 dataset) is read piece by piece: into memory where it takes up to ``memory_budget`` bytes, else
    into a temporary file of which any rows can be read. ``lazy`` asks for it as it is, ``to_learn_from`` for one whose
    cells are not all alike.
    """
    check_integer(memory_budget, "memory_budget", minimum=0)
    if use_rep is None:
        use_rep = _default(data)
    name = use_rep
    values = _dense(_look_up(data, use_rep), name)
    if not is_lazy(values):
        values = _in_memory(values)
    if values.dtype.kind != "f":
        msg = (
            f"The embedding {name!r} is of type {values.dtype}; coordinates are floating-point numbers. "
            "Counts want a normalisation and a PCA first; coordinates an `.astype('float32')`."
        )
        raise TypeError(msg)
    if values.ndim != 2 or values.shape[1] == 0:
        msg = f"The embedding {name!r} has shape {values.shape}; (n_obs, dimensions) is needed."
        raise ValueError(msg)
    if is_lazy(values) and not lazy:
        values = _native(_within_reach(values, memory_budget))
    _check_finite(data, values, name, patient_key)
    if to_learn_from and isinstance(values, np.ndarray):
        _check_varies(data, values, name)
    return values, name


def _in_memory(values: Any) -> np.ndarray:
    """Coordinates as an array of this machine's single or double precision; what is masked is not known."""
    if np.ma.is_masked(values):
        values = np.ma.filled(values.astype(np.float64), np.nan)
    return _native(np.asarray(values))


def _native(values: np.ndarray) -> np.ndarray:
    """Half precision as single, and more than double as double: no file and no other package has them all."""
    if values.dtype.kind != "f":
        return values
    size = min(max(values.dtype.itemsize, 4), 8)
    return values if values.dtype == f"=f{size}" else values.astype(f"=f{size}")


def _within_reach(values: Any, memory_budget: int) -> np.ndarray:
    """What is not in memory, as an array of which any rows can be read."""
    return filled(
        lambda part: np.asarray(values[part]),
        values.shape,
        values.dtype,
        in_file=values.shape[0] * values.shape[1] * values.dtype.itemsize > memory_budget,
        rows_of_a_block=_rows_of_a_read(values),
    )


def _embeddings(data: AnnData | MuData) -> list[str]:
    if isinstance(data, MuData):
        own = [key for key in data.obsm if key not in data.mod]
        return own + [f"{name}:{key}" for name, modality in data.mod.items() for key in _embeddings(modality)]
    return [*data.obsm, *(["X"] if data.X is not None else [])]


def _default(data: AnnData | MuData) -> str:
    for key in DEFAULT_EMBEDDINGS:
        if key in data.obsm:
            return key
    msg = (
        f"`use_rep`: there is no {' or '.join(repr(key) for key in DEFAULT_EMBEDDINGS)} to default to; "
        f"name one of {listed(_embeddings(data), 40)}."
    )
    raise KeyError(msg)


def _look_up(data: AnnData | MuData, use_rep: Any) -> Any:
    if not isinstance(use_rep, str):
        msg = f"`use_rep` is the name of an embedding, not {type(use_rep).__name__}."
        raise TypeError(msg)
    is_mudata = isinstance(data, MuData)
    if use_rep in data.obsm and not (is_mudata and use_rep in data.mod):
        return data.obsm[use_rep]
    if not is_mudata and use_rep == "X" and data.X is not None:
        return data.X
    modality, _, key = use_rep.partition(":")
    if is_mudata and modality in data.mod and key:
        return _of_modality(data, modality, key)
    msg = f"`use_rep`: no embedding {use_rep!r}; there are {listed(_embeddings(data), 40)}."
    raise KeyError(msg)


def _of_modality(data: MuData, modality: str, key: str) -> Any:
    part = data.mod[modality]
    missing = data.n_obs - part.n_obs
    if missing:
        msg = (
            f"`use_rep`: {missing} of {data.n_obs} observations are not in modality {modality!r}; keep those "
            "that all modalities have (`mudata.MuData` of the intersection), or use a joint embedding."
        )
        raise ValueError(msg)
    values = _look_up(part, key)
    order = part.obs_names.get_indexer(data.obs_names)
    if (order == np.arange(data.n_obs)).all():
        return values
    return values.iloc[order] if isinstance(values, pd.DataFrame) else values[order]


def _dense(values: Any, name: str) -> Any:
    if isinstance(values, CSRDataset | CSCDataset) or sp.issparse(getattr(values, "_meta", values)):
        msg = (
            f"The embedding {name!r} is sparse, {values.shape[0]} × {values.shape[1]}; a Gaussian mixture needs "
            "dense coordinates. Reduce it first (`scanpy.pp.pca`), or store `.toarray()` in `obsm`."
        )
        raise TypeError(msg)
    # What `read_lazy` hands out for a table.
    values = values.to_memory() if hasattr(values, "to_memory") else values
    if not isinstance(values, pd.DataFrame):
        return values
    # Nullable columns, whose missing values are not known either.
    nullable = all(pd.api.types.is_float_dtype(kind) for kind in values.dtypes)
    return (
        values.to_numpy(dtype=np.float64, na_value=np.nan)
        if nullable and values.to_numpy().dtype == object
        else values.to_numpy()
    )


def _check_finite(data: AnnData | MuData, values: Any, name: str, patient_key: str | None) -> None:
    bad = _not_finite(values)
    if not bad.any():
        return
    keys = [key for key in (patient_key, *_PATIENT_COLUMNS) if key is not None and key in data.obs]
    where = f", of {column(data, keys[0])[bad].nunique()} patients (`obs[{keys[0]!r}]`)" if keys else ""
    msg = (
        f"The embedding {name!r} has NaN or infinity in {int(bad.sum())} of {len(bad)} cells{where}: "
        f"{listed(data.obs_names[bad], 3)}. Leave these cells out, or recompute the embedding."
    )
    raise ValueError(msg)


def _check_varies(data: AnnData | MuData, values: np.ndarray, name: str) -> None:
    # In most embeddings the last cell answers.
    if len(values) < 2 or (values[-1] != values[0]).any() or (values != values[0]).any():
        return
    msg = (
        f"`use_rep`: all {len(values)} cells have the same coordinates in {name!r}, of which nothing can be learnt; "
        f"there are {listed(_embeddings(data), 40)}."
    )
    raise ValueError(msg)


def _not_finite(values: Any) -> np.ndarray:
    """Cells with NaN or infinity, (n_obs,)."""
    if hasattr(values, "__dask_graph__"):
        return np.asarray((~np.isfinite(values).all(axis=1)).compute())
    n_cells = values.shape[0]
    bad = np.zeros(n_cells, dtype=bool)
    step = n_cells if isinstance(values, np.ndarray) else _rows_of_a_read(values)
    for start in range(0, n_cells, step):
        piece = np.asarray(values[start : start + step])
        # The sum is finite unless a value is not, or unless it overflows: one pass without a mask in memory.
        with np.errstate(over="ignore", invalid="ignore"):
            if not np.isfinite(piece.sum(dtype=np.float64)):
                bad[start : start + step] = ~np.isfinite(piece).all(axis=1)
    return bad


def _rows_of_a_read(values: Any) -> int:
    """Rows of about ``_READ_BYTES``, in whole chunks."""
    chunk = values.chunks[0] if values.chunks else 1
    chunk = max(chunk) if isinstance(chunk, tuple) else chunk
    return max(_READ_BYTES // (values.shape[1] * values.dtype.itemsize * chunk), 1) * chunk
