"""What :func:`anndata.experimental.read_lazy` leaves in the file: columns, tables and arrays, read when asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData

# What stands in files for an index without a name.
_NO_NAME = "_index"


def column(data: AnnData | MuData, key: str) -> pd.Series:
    """A column of ``obs``, in memory."""
    obs: Any = data.obs
    return obs[key] if isinstance(obs, pd.DataFrame) else obs[[key]].to_memory()[key]


def in_memory(value: Any) -> Any:
    """A stored result with all tables and arrays in memory; what is there already is not copied."""
    if isinstance(value, dict):
        return {name: in_memory(item) for name, item in value.items()}
    if isinstance(value, np.ndarray | pd.DataFrame):
        return value
    if hasattr(value, "__dask_graph__"):
        return value.compute()
    return _table_in_memory(value) if hasattr(value, "to_memory") else value


def _table_in_memory(value: Any) -> Any:
    """A table with the name of its index, which anndata 0.12.0 loses."""
    table = value.to_memory()
    name = getattr(value, "index_dim", _NO_NAME)
    if isinstance(table, pd.DataFrame) and table.index.name is None and name != _NO_NAME:
        table.index.name = name
    return table


def is_lazy(values: Any) -> bool:
    """Whether an array lies in chunks that are not in memory: dask, zarr, HDF5."""
    return not isinstance(values, np.ndarray) and all(hasattr(values, name) for name in ("shape", "dtype", "chunks"))
