"""Two views of one object as arrays: where they are, and which of their rows belong together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from mudata import MuData

from repatient import _store
from repatient._checks import check_key, check_option, listed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData


@dataclass(frozen=True)
class ViewPair:
    """The primary modality and, where the object has it, the privileged one.

    Parameters
    ----------
    primary, privileged
        Modalities; the latter None where the primary one came as an AnnData of its own.
    names
        Their names.
    data
        The object that they were found in.
    """

    primary: AnnData
    privileged: AnnData | None
    names: tuple[str, str]
    data: AnnData | MuData

    @classmethod
    def of(cls, data: AnnData | MuData, primary: Any, privileged: Any) -> ViewPair:
        """Find two modalities in an object."""
        _store.check_data(data)
        for name, argument in ((primary, "primary"), (privileged, "privileged")):
            check_key(name, argument)
        if primary == privileged:
            msg = f"`privileged`: {privileged!r} is the primary modality itself; a second view is needed."
            raise ValueError(msg)
        if not isinstance(data, MuData):
            return cls(data, None, (primary, privileged), data)
        for name, argument in ((primary, "primary"), (privileged, "privileged")):
            if name not in data.mod:
                msg = f"`{argument}`: no modality {name!r}; there are {listed(data.mod)}."
                raise KeyError(msg)
            _store.check_data(data.mod[name])
        return cls(data.mod[primary], data.mod[privileged], (primary, privileged), data)

    def column(self, key: Any, argument: str) -> pd.Series:
        """Column of the primary modality, or of the whole object, of each observation of the primary modality."""
        if self.data is self.primary or not isinstance(key, str) or key in self.primary.obs or key not in self.data.obs:
            return _store.obs_column(self.primary, key, argument)
        return self.data.obs[key].reindex(self.primary.obs_names)

    def mask(self, mask_obs: Any) -> np.ndarray | None:
        """Which observations of the primary modality are trained on; ``None`` for all."""
        values = self.column(mask_obs, "mask_obs").to_numpy() if isinstance(mask_obs, str) else mask_obs
        return _store.read_mask(self.primary, values)

    def patients(self, patient_key: Any) -> np.ndarray | None:
        """Code of the patient of each observation of the primary modality; ``None`` without such a column."""
        if patient_key is None:
            return None
        column = self.column(patient_key, "patient_key")
        if column.isna().any():
            msg = f"`patient_key`: {int(column.isna().sum())} observations have no patient in {patient_key!r}; leave them out."
            raise ValueError(msg)
        return np.unique(_store.as_names(column, "patient_key").astype(str), return_inverse=True)[1]

    def measured(self, privileged_rep: str | None, purpose: str) -> np.ndarray:
        """Rows of the privileged modality."""
        if self.privileged is None:
            msg = f"{purpose} needs the measured view; pass a MuData with the modalities {listed(self.names)}."
            raise ValueError(msg)
        return read_rows(self.privileged, privileged_rep, "privileged_rep")

    def pairs(self, pairs: Any, purpose: str) -> np.ndarray:
        """Table (n_pairs, 2) of rows of both that belong together, in the order given."""
        if pairs is None:
            msg = (
                f"{purpose} needs `pairs`: 'obs_names' where equal names mean the same observation, or a table of row "
                "numbers of both modalities. Equal names alone prove nothing."
            )
            raise ValueError(msg)
        if self.privileged is None:
            msg = f"{purpose} needs the measured view; pass a MuData with the modalities {listed(self.names)}."
            raise ValueError(msg)
        if isinstance(pairs, str):
            check_option(pairs, "pairs", ["obs_names"])
            partner = self.privileged.obs_names.get_indexer(self.primary.obs_names)
            table = np.column_stack([np.flatnonzero(partner >= 0), partner[partner >= 0]])
        else:
            table = _check_table(pairs, self.primary.n_obs, self.privileged.n_obs)
        if len(table) < 2:
            msg = f"`pairs`: {len(table)} observations are in both modalities; two or more are needed."
            raise ValueError(msg)
        return table


def read_rows(adata: AnnData, use_rep: str | None, argument: str, *, finite: bool = False) -> np.ndarray:
    """Dense rows of a view as real numbers: ``X`` for ``None``, or a key of ``obsm``, vectors or images.

    ``finite`` refuses NaN and infinity, where every row is needed.
    """
    name = "X" if use_rep is None else use_rep
    if not isinstance(name, str):
        msg = f"`{argument}` is the name of a view, not {type(use_rep).__name__}."
        raise TypeError(msg)
    if name in adata.obsm:
        values = adata.obsm[name]
    elif name == "X" and adata.X is not None:
        values = adata.X
    else:
        available = [*adata.obsm, *(["X"] if adata.X is not None else [])]
        msg = f"`{argument}`: no view {name!r}; there are {listed(available, 40)}."
        raise KeyError(msg)
    if sp.issparse(values):
        values = values.toarray()
    rows = values.to_numpy() if isinstance(values, pd.DataFrame) else np.asarray(values)
    if rows.dtype.kind not in "fiub":
        msg = f"`{argument}`: the view {name!r} is of type {rows.dtype}; a view holds real numbers."
        raise TypeError(msg)
    bad = ~np.isfinite(rows.reshape(len(rows), -1)).all(axis=1) if finite else np.zeros(len(rows), dtype=bool)
    if bad.any():
        msg = (
            f"`{argument}`: the view {name!r} has NaN or infinity in {int(bad.sum())} of {len(rows)} rows; fill or leave "
            "out those rows."
        )
        raise ValueError(msg)
    return rows.astype(np.float32) if rows.dtype == bool else rows


def feature_names(adata: AnnData, use_rep: str | None) -> Sequence[str] | None:
    """Names of the columns of a view, where it is ``X`` or a table."""
    name = "X" if use_rep is None else use_rep
    names = (
        getattr(adata.obsm[name], "columns", None) if name in adata.obsm else adata.var_names if name == "X" else None
    )
    return None if names is None else [str(column) for column in names]


def repeated(names: Sequence[Any]) -> list[Any]:
    """Names that occur more than once."""
    index = pd.Index(names)
    return list(index[index.duplicated()].unique())


def _check_table(pairs: Any, n_primary: int, n_privileged: int) -> np.ndarray:
    table = np.asarray(pairs)
    if table.ndim != 2 or table.shape[1] != 2 or table.dtype.kind not in "iu":
        msg = f"`pairs` is 'obs_names' or a table (n_pairs, 2) of row numbers, found {table.dtype} of shape {table.shape}."
        raise ValueError(msg)
    outside = (table < 0).any(axis=1) | (table[:, 0] >= n_primary) | (table[:, 1] >= n_privileged)
    if outside.any():
        msg = f"`pairs` has {int(outside.sum())} rows outside of the {n_primary} and {n_privileged} observations."
        raise ValueError(msg)
    if len(np.unique(table[:, 0])) < len(table):
        msg = "`pairs` gives an observation of the primary modality more than one partner."
        raise ValueError(msg)
    return table.astype(np.int64)
