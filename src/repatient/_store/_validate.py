"""Checks of what a user passes: each names the argument, what was found and what would be right."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData

from repatient._checks import check_key, listed
from repatient._store._lazy import column, in_memory


def check_data(data: Any, *, copy: bool | None = None) -> None:
    """Accept AnnData and MuData with distinct names of their observations.

    ``copy`` is given by functions that write: whether they write to a copy.
    """
    if not isinstance(data, AnnData | MuData):
        msg = f"`data` is an AnnData or a MuData, not {type(data).__name__}."
        raise TypeError(msg)
    if data.n_obs == 0:
        msg = "`data` has no observations."
        raise ValueError(msg)
    if not data.obs_names.is_unique:
        twice = data.obs_names[data.obs_names.duplicated()].unique()
        msg = (
            f"`obs_names` are not unique: {len(twice)} names occur more than once, {listed(twice, 5)}. "
            "Call `data.obs_names_make_unique()` first."
        )
        raise ValueError(msg)
    if copy is not None and isinstance(data, AnnData) and data.filename is not None and (copy or data.is_view):
        what = "`copy=True`" if copy else "`data` is a view, and writing to it makes a copy"
        msg = (
            f"{what}: an object that lies in {str(data.filename)!r} cannot be copied without being read. Pass the object "
            "as it was opened (results are kept in memory, the file stays as it is), or `data.to_memory()`."
        )
        raise ValueError(msg)


def obs_column(data: AnnData | MuData, key: Any, argument: str) -> pd.Series:
    """Column of ``obs``; ``"modality:column"`` reaches into a modality of a MuData."""
    if not isinstance(key, str):
        msg = f"`{argument}` is the name of a column of `obs`, not {type(key).__name__}."
        raise TypeError(msg)
    if key in data.obs:
        return _only(column(data, key), key, argument)
    modality, _, name = key.partition(":")
    if isinstance(data, MuData) and modality in data.mod and name in data.mod[modality].obs:
        return _only(column(data.mod[modality], name), name, argument).reindex(data.obs_names)
    msg = f"`{argument}`: no column {key!r} in `obs`; there are {listed(data.obs.columns, 40)}."
    raise KeyError(msg)


def _only(values: Any, key: str, argument: str) -> pd.Series:
    if isinstance(values, pd.DataFrame):
        msg = f"`{argument}`: `obs` has {values.shape[1]} columns called {key!r}; rename or drop all but one."
        raise ValueError(msg)
    return values


def read_mask(data: AnnData | MuData, mask_obs: Any, argument: str = "mask_obs") -> np.ndarray | None:
    """Boolean mask over the observations from a column or an array; ``None`` where none was given."""
    if mask_obs is None:
        return None
    values = obs_column(data, mask_obs, argument) if isinstance(mask_obs, str) else mask_obs
    if isinstance(values, pd.Series) and not isinstance(mask_obs, str) and not values.index.equals(data.obs_names):
        msg = f"`{argument}` is a Series whose index is not `obs_names`; pass its values, or align it first."
        raise ValueError(msg)
    if isinstance(values, pd.Series) and values.isna().any():
        msg = f"`{argument}` has {int(values.isna().sum())} missing values; every cell is in or out."
        raise ValueError(msg)
    if np.ma.is_masked(values):
        msg = f"`{argument}` has {int(np.ma.getmaskarray(values).sum())} masked values; every cell is in or out."
        raise ValueError(msg)
    values = np.asarray(values)
    if values.dtype == object and all(isinstance(value, bool | np.bool_) for value in values):
        values = values.astype(bool)
    if values.dtype != bool:
        msg = f"`{argument}` is boolean, not {values.dtype}."
        raise TypeError(msg)
    if values.shape != (data.n_obs,):
        msg = f"`{argument}` has shape {values.shape}; one value for each of {data.n_obs} observations is needed."
        raise ValueError(msg)
    if not values.any():
        msg = f"`{argument}` selects no cell."
        raise ValueError(msg)
    return values


# What a result must have, and its parameters, to be the function's: joining objects keeps parts of it.
def uns_entry(data: AnnData | MuData, key: Any, argument: str, written_by: str) -> dict[str, Any]:
    """Result of an earlier function in ``uns``, in memory, if it is one."""
    check_key(key, argument)
    if key not in data.uns:
        msg = f"`{argument}`: no {key!r} in `uns`; it is written by `rp.tl.{written_by}`. There are {listed(data.uns)}."
        raise KeyError(msg)
    return _as_written(in_memory(data.uns[key]), key, argument, written_by)


# What readers rely on, of a result and of its parameters. What else there is depends on how it was made.
_FIELDS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "gmm": (("params", "weights", "means", "covariances"), ("use_rep",)),
    "recipes": (
        ("params", "classes", "origin", "mean", "counts", "patients"),
        ("kind", "gmm_key", "mixture", "patient_key", "label_key"),
    ),
    "generate": (("params", "patients"), ("gmm_key", "mixture", "use_rep", "patient_key", "label_key", "donor_key")),
    "mil": (("params", "predictions", "history"), ("patient_key", "label_key")),
    "evaluate": (("params", "results"), ("baseline", "test_fraction")),
    "audit": (("params", "measures", "patients"), ("label_key",)),
    "explain": (("params", "components", "scores", "names"), ("patient_key",)),
    "compare_recipes": (("params", "results"), ("gmm_key", "interval", "fdr")),
    "synthesize": (("params",), ()),
}


def _as_written(entry: Any, key: str, argument: str, written_by: str) -> dict[str, Any]:
    """Refuse what another tool keeps under the key, and what `anndata.concat` leaves where objects differ."""
    fields, params = _FIELDS.get(written_by, ((), ()))
    missing = [name for name in fields if not isinstance(entry, dict) or name not in entry]
    if not missing:
        found = entry.get("params")
        missing = [f"params: {name}" for name in params if not isinstance(found, dict) or name not in found]
    if missing:
        msg = (
            f"`{argument}`: `uns[{key!r}]` is not what `rp.tl.{written_by}` wrote: there is no {listed(missing)}. It is of "
            f"another tool, or was merged from objects that differ; run `rp.tl.{written_by}` again, or name another key."
        )
        raise ValueError(msg)
    return entry
