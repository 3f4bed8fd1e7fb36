"""From counts of cells to rows of cells."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData

from repatient import _store

IS_GENERATED, SOURCE_PATIENT, SOURCE_CELL = "is_generated", "source_patient", "source_cell"


def draws(data: AnnData | MuData, key: str, selected: bool | None) -> tuple[np.ndarray, pd.DataFrame]:  # noqa: FBT001
    """Rows of the drawn cells, patient after patient, with the patient of each; a table of one row a drawn cell."""
    counts, patients = _store.read_generated(data, key)
    if selected is True and "selected" not in patients:
        msg = f"`selected`: no selection was made in `uns[{key!r}]`; make one with `rp.tl.select`."
        raise KeyError(msg)
    kept = np.arange(len(patients))
    if selected is not False and "selected" in patients:
        kept = np.flatnonzero(patients["selected"].to_numpy(dtype=bool))
    counts = counts[:, kept].sorted_indices()
    rows = np.repeat(counts.indices, counts.data)
    per_patient = np.asarray(counts.sum(axis=0)).ravel()
    patient = np.repeat(kept, per_patient)
    number = np.arange(len(rows)) - np.repeat(np.cumsum(per_patient) - per_patient, per_patient)
    names = patients.index.to_numpy(dtype=str)[patient]
    index = pd.Index([f"{name}:{i}" for name, i in zip(names, number, strict=True)])
    return rows, pd.DataFrame({"patient": names, "label": patients["label"].to_numpy(dtype=str)[patient]}, index=index)


def check_modality_keys(data: AnnData | MuData, params: dict[str, Any]) -> None:
    """Refuse columns that only a modality has: the generated patients' names need a column of their own to go to."""
    for argument in ("patient_key", "label_key"):
        if params[argument] not in data.obs:
            msg = f"`{argument}`: no column {params[argument]!r} in `obs`; there are {_store.listed(data.obs.columns, 40)}."
            raise KeyError(msg)


def materialise(
    data: AnnData | MuData, rows: np.ndarray, table: pd.DataFrame, params: dict[str, Any], key: str
) -> AnnData | MuData:
    """Rows of ``data`` as cells of generated patients."""
    source_patient = data.obs[params["patient_key"]].astype(str).to_numpy()[rows]
    source_cell = data.obs_names.to_numpy(dtype=str)[rows]
    new = (
        _take(data, rows, table.index, key) if isinstance(data, AnnData) else _take_mudata(data, rows, table.index, key)
    )
    new.obs[params["patient_key"]] = pd.Categorical(table["patient"])
    new.obs[params["label_key"]] = pd.Categorical(table["label"])
    if params["donor_key"] is not None and params["donor_key"] in new.obs:
        # A generated patient has no donor; the donors of its cells are those of `source_patient`.
        new.obs[params["donor_key"]] = pd.Categorical(table["patient"])
    new.obs[IS_GENERATED] = True
    new.obs[SOURCE_PATIENT] = pd.Categorical(source_patient)
    new.obs[SOURCE_CELL] = source_cell
    return new


def mark_real(data: AnnData | MuData, params: dict[str, Any]) -> None:
    """Write the columns of generated cells for real ones."""
    data.obs[IS_GENERATED] = False
    data.obs[SOURCE_PATIENT] = pd.Categorical(data.obs[params["patient_key"]].astype(str))
    data.obs[SOURCE_CELL] = data.obs_names.to_numpy(dtype=str)


def without_generated(data: AnnData | MuData, key: str) -> AnnData | MuData:
    """Copy without the counts of the generated patients, whose rows are those of the original."""
    new = data.copy()
    del new.obsm[key]
    for name in [name for name in new.uns if name not in _kept(data.uns, key)]:
        del new.uns[name]
    return new


def _kept(uns: Any, key: str) -> dict[str, Any]:
    """Unstructured results that hold for the new cells too: neither the generated patients nor a graph of the cells."""
    return {
        name: deepcopy(value)
        for name, value in uns.items()
        if name != key and not (isinstance(value, dict) and "connectivities_key" in value)
    }


def _take(data: AnnData, rows: np.ndarray, names: pd.Index, key: str) -> AnnData:
    # Pairwise graphs speak of the original cells; a cell drawn twice has no place in them.
    keep = {name: value for name, value in data.obsm.items() if name != key}
    new = AnnData(
        X=None if data.X is None else data.X[rows],
        obs=data.obs.iloc[rows].set_axis(names),
        var=data.var.copy(),
        uns=_kept(data.uns, key),
        obsm={name: _rows_of(value, rows, names) for name, value in keep.items()},
        varm={name: value.copy() for name, value in data.varm.items()},
        layers={name: value[rows] for name, value in data.layers.items()},
    )
    if data.raw is not None:
        new.raw = AnnData(X=data.raw.X[rows], var=data.raw.var.copy(), obs=pd.DataFrame(index=names))
    return new


def _take_mudata(data: MuData, rows: np.ndarray, names: pd.Index, key: str) -> MuData:
    modalities = {}
    for modality, part in data.mod.items():
        position = part.obs_names.get_indexer(data.obs_names)[rows]
        inside = position >= 0
        modalities[modality] = _take(part, position[inside], names[inside], key)
    new = MuData(modalities)
    new = new[names].copy()
    for column in data.obs:
        if column not in new.obs:
            new.obs[column] = data.obs[column].iloc[rows].to_numpy()
            if isinstance(data.obs[column].dtype, pd.CategoricalDtype):
                new.obs[column] = pd.Categorical(new.obs[column], dtype=data.obs[column].dtype)
    for name, value in data.obsm.items():
        if name != key and name not in data.mod:
            new.obsm[name] = _rows_of(value, rows, names)
    new.uns.update(_kept(data.uns, key))
    return new


def _rows_of(value: Any, rows: np.ndarray, names: pd.Index) -> Any:
    return value.iloc[rows].set_axis(names) if isinstance(value, pd.DataFrame) else value[rows]
