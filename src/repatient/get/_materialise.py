"""From generated patients as they are stored to rows of cells."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData

from repatient import _store
from repatient._checks import listed

if TYPE_CHECKING:
    from numpy.typing import NDArray

_NAMES_OF_SCVI = ("_scvi_uuid", "_scvi_manager_uuid")

IS_GENERATED, SOURCE_PATIENT, SOURCE_CELL = "is_generated", "source_patient", "source_cell"


@dataclass(frozen=True, eq=False)
class DrawnCells:
    """Cells of generated patients, patient after patient.

    Parameters
    ----------
    table
        One row a cell, index the names of the cells: ``patient`` and ``label``.
    rows
        Row of the pool that each cell is; empty for points of Gaussians.
    points
        The points; ``None`` for cells of the pool.
    params
        Parameters of :func:`repatient.tl.generate`.
    """

    table: pd.DataFrame
    rows: NDArray[np.integer]
    points: _store.GaussianPatients | None
    params: dict[str, Any]

    def __len__(self) -> int:
        return len(self.table)


def draws(data: AnnData | MuData, key: str, selected: bool | None) -> DrawnCells:  # noqa: FBT001
    """Cells of the generated patients, the selected ones where a selection was made or is asked for."""
    points = None
    if _store.is_gaussian(data, key):
        points, patients = _store.read_gaussian(data, key)
    else:
        counts, patients = _store.read_generated(data, key)
    if selected is True and "selected" not in patients:
        msg = f"`selected`: no selection was made in `uns[{key!r}]`; make one with `rp.tl.select`."
        raise KeyError(msg)
    kept = np.arange(len(patients))
    if selected is not False and "selected" in patients:
        kept = np.flatnonzero(patients["selected"].to_numpy(dtype=bool))
    rows = np.zeros(0, dtype=np.int64)
    if points is not None:
        points = points.take(kept)
        per_patient = np.diff(points.indptr)
    else:
        counts = counts[:, kept].sorted_indices()
        rows = np.repeat(counts.indices, counts.data)
        per_patient = np.asarray(counts.sum(axis=0)).ravel()
    patient = np.repeat(kept, per_patient)
    number = np.arange(len(patient)) - np.repeat(np.cumsum(per_patient) - per_patient, per_patient)
    names = patients.index.to_numpy(dtype=str)[patient]
    index = pd.Index([f"{name}:{i}" for name, i in zip(names, number, strict=True)])
    params = _store.in_memory(data.uns[key]["params"])
    labels = patients["label"].to_numpy(dtype=np.float64 if _store.is_continuous(params) else str)
    table = pd.DataFrame({"patient": names, "label": labels[patient]}, index=index)
    return DrawnCells(table, rows, points, params)


def check_modality_keys(data: AnnData | MuData, params: dict[str, Any]) -> None:
    """Refuse columns that only a modality has: the generated patients' names need a column of their own to go to."""
    for argument in ("patient_key", "label_key"):
        if params[argument] not in data.obs:
            msg = f"`{argument}`: no column {params[argument]!r} in `obs`; there are {listed(data.obs.columns, 40)}."
            raise KeyError(msg)


def materialise(data: AnnData | MuData, cells: DrawnCells, key: str) -> AnnData | MuData:
    """Rows of ``data`` as cells of generated patients."""
    rows, names = cells.rows, cells.table.index
    if isinstance(data, AnnData):
        new: AnnData | MuData = _take(data, rows, names, key)
    else:
        new = _take_mudata(data, rows, names, key)
    for name, values in _columns(data.obs, data.obs_names, cells).items():
        new.obs[name] = values
    return new


def obs_frame(data: AnnData) -> pd.DataFrame:
    """Annotation of the cells as a table in memory, a new one."""
    return data.obs.copy() if isinstance(data.obs, pd.DataFrame) else data.obs.to_memory()


def obs_of_generated(obs: pd.DataFrame, cells: DrawnCells, n_components: int) -> pd.DataFrame:
    """Annotation of the cells of generated patients; of points of Gaussians, what is known of them."""
    names = cells.table.index
    if cells.points is None:
        frame = obs.iloc[cells.rows].set_axis(names)
    else:
        frame = pd.DataFrame({name: _missing(obs[name], len(names)) for name in obs}, index=names)
        frame[cells.params["gmm_key"]] = pd.Categorical.from_codes(
            cells.points.components, [str(k) for k in range(n_components)]
        )
    return frame.assign(**_columns(obs, obs.index, cells))


def mark_real(obs: pd.DataFrame, cells: DrawnCells) -> None:
    """Write the columns of generated cells for real ones, and as text what is text for those."""
    params = cells.params
    for key in {params["patient_key"], params["donor_key"]} & set(obs):
        obs[key] = _as_text(obs[key])
    if _values_of(obs[params["label_key"]], cells.table["label"]) is None:
        obs[params["label_key"]] = _as_text(obs[params["label_key"]])
    obs[IS_GENERATED] = False
    obs[SOURCE_PATIENT] = pd.Categorical(obs[params["patient_key"]].astype(str))
    obs[SOURCE_CELL] = obs.index.to_numpy(dtype=str)


def without_generated(data: AnnData | MuData, key: str) -> AnnData | MuData:
    """Copy without the counts of the generated patients, whose rows are those of the original."""
    new = data.copy()
    del new.obsm[key]
    for name in [name for name in new.uns if name not in kept_uns(data.uns, key)]:
        del new.uns[name]
    return new


def kept_uns(uns: Any, key: str) -> dict[str, Any]:
    """Unstructured results that hold for the new cells too.

    Neither the generated patients, nor a graph of the cells, nor the name under which scvi-tools knows the object.
    """
    return {
        name: deepcopy(_store.in_memory(value))
        for name, value in uns.items()
        if name != key
        and name not in _NAMES_OF_SCVI
        and not (isinstance(value, dict) and "connectivities_key" in value)
    }


def _columns(obs: Any, obs_names: pd.Index, cells: DrawnCells) -> dict[str, Any]:
    """Columns of ``obs`` that say what a generated cell is."""
    table, params = cells.table, cells.params
    columns = {
        params["patient_key"]: pd.Categorical(table["patient"]),
        params["label_key"]: _labels_like(obs[params["label_key"]], table["label"]),
    }
    if params["donor_key"] is not None and params["donor_key"] in obs:
        # A generated patient has no donor; the donors of its cells are those of `source_patient`.
        columns[params["donor_key"]] = pd.Categorical(table["patient"])
    columns[IS_GENERATED] = True
    if cells.points is not None:
        return columns | {SOURCE_PATIENT: pd.Categorical([""] * len(table)), SOURCE_CELL: ""}
    columns[SOURCE_PATIENT] = pd.Categorical(obs[params["patient_key"]].astype(str).to_numpy()[cells.rows])
    return columns | {SOURCE_CELL: obs_names.to_numpy(dtype=str)[cells.rows]}


def _labels_like(column: pd.Series, labels: pd.Series) -> Any:
    """Labels as the column of the real cells has them, as text where it has not all of them."""
    values = _values_of(column, labels)
    return pd.Categorical(labels) if values is None else values


def _values_of(column: pd.Series, labels: pd.Series) -> Any:
    """Labels, which are names, as values of a column: numbers, grades in their order; None where it lacks one."""
    if labels.dtype.kind == "f":
        return labels.to_numpy()
    if isinstance(column.dtype, pd.CategoricalDtype):
        if _is_text(column) and not column.cat.ordered:
            return pd.Categorical(labels)
        codes = pd.Index(column.cat.categories.astype(str)).get_indexer(labels.astype(str))
        return pd.Categorical.from_codes(codes, dtype=column.dtype) if (codes >= 0).all() else None
    if _is_text(column):
        return pd.Categorical(labels)
    of_name = {str(value): value for value in column.dropna().unique()}
    if not set(labels.astype(str)) <= set(of_name):
        return None
    return pd.Series([of_name[str(label)] for label in labels], dtype=column.dtype).array


def _is_text(column: pd.Series) -> bool:
    values = column.cat.categories if isinstance(column.dtype, pd.CategoricalDtype) else column.dropna().unique()
    return all(isinstance(value, str) for value in values)


def _as_text(column: pd.Series) -> Any:
    """A column beside names: as it is if it holds text, else its values as text."""
    if _is_text(column):
        return column
    return pd.Categorical(column.astype(object).map(str, na_action="ignore"))


def _missing(column: pd.Series, number: int) -> Any:
    """Values of a column that are not known, of a type that files hold beside the known ones."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        return pd.Categorical.from_codes(np.full(number, -1), dtype=column.dtype)
    if pd.api.types.is_bool_dtype(column.dtype):
        return pd.array([pd.NA] * number, dtype="boolean")
    if pd.api.types.is_integer_dtype(column.dtype):
        return pd.array([pd.NA] * number, dtype="Int64")
    if pd.api.types.is_float_dtype(column.dtype):
        return pd.array(np.full(number, np.nan), dtype=column.dtype)
    if pd.api.types.is_datetime64_any_dtype(column.dtype) or pd.api.types.is_timedelta64_dtype(column.dtype):
        return pd.array([pd.NaT] * number, dtype=column.dtype)
    return [""] * number


def _take(data: AnnData, rows: np.ndarray, names: pd.Index, key: str) -> AnnData:
    # Pairwise graphs speak of the original cells; a cell drawn twice has no place in them.
    keep = {name: value for name, value in data.obsm.items() if name != key}
    new = AnnData(
        X=None if data.X is None else data.X[rows],
        obs=data.obs.iloc[rows].set_axis(names),
        var=data.var.copy(),
        uns=kept_uns(data.uns, key),
        obsm={name: _rows_of(value, rows, names) for name, value in keep.items()},
        varm={name: value.copy() for name, value in data.varm.items()},
        # From anndata 0.13 on, `layers[None]` is X.
        layers={name: value[rows] for name, value in data.layers.items() if name is not None},
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
    new.uns.update(kept_uns(data.uns, key))
    return new


def _rows_of(value: Any, rows: np.ndarray, names: pd.Index) -> Any:
    return value.iloc[rows].set_axis(names) if isinstance(value, pd.DataFrame) else value[rows]
