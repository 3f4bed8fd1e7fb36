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

IS_GENERATED, SOURCE_PATIENT, SOURCE_CELL = _store.keys.IS_GENERATED, "source_patient", "source_cell"
# What of `uns` speaks of genes, colours and components, and of no patient.
_CARRIED = ("log1p", "hvg", "pca")
_OF_MIXTURE = ("params", "weights", "means", "covariances", "log_likelihood", "bic", "n_iter", "converged", "reference")


@dataclass(frozen=True, eq=False)
class DrawnCells:
    """Cells of generated patients, patient after patient.

    Parameters
    ----------
    table
        One row a cell, index the names of the cells: ``patient`` and ``label``.
    rows
        Row of the pool that each cell is; empty for points of Gaussians.
    points, components
        Coordinates and component of each point; ``None`` for cells of the pool.
    params
        Parameters of :func:`repatient.tl.generate`.
    """

    table: pd.DataFrame
    rows: NDArray[np.integer]
    points: NDArray[np.floating] | None
    components: NDArray[np.integer] | None
    params: dict[str, Any]

    def __len__(self) -> int:
        return len(self.table)


def draws(data: AnnData | MuData, key: str, selected: bool | None) -> DrawnCells:  # noqa: FBT001
    """Cells of the generated patients, the selected ones where a selection was made or is asked for."""
    generated = _store.read_generated(data, key).selected(selected)
    sizes = generated.sizes
    patient = np.repeat(np.arange(len(generated)), sizes)
    number = np.arange(len(patient)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    names = generated.table.index.to_numpy(dtype=str)[patient]
    index = pd.Index([f"{name}:{i}" for name, i in zip(names, number, strict=True)])
    while index.isin(data.obs_names).any():
        index += "_"
    table = pd.DataFrame({"patient": names, "label": generated.labels[patient]}, index=index)
    return DrawnCells(table, generated.rows, generated.points, generated.components, generated.params)


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
        new: AnnData | MuData = _take(data, rows, names, key, cells.params["gmm_key"])
    else:
        new = _take_mudata(data, rows, names, key, cells.params["gmm_key"])
    for name, values in _columns(data.obs, data.obs_names, cells).items():
        new.obs[name] = values
    agree(new, cells)
    return new


def agree(data: AnnData | MuData, cells: DrawnCells) -> None:
    """Write what the whole says of patients into the modalities that say it, too."""
    params = cells.params
    names = [params["patient_key"], params["label_key"], params["donor_key"], IS_GENERATED, SOURCE_PATIENT, SOURCE_CELL]
    for part in data.mod.values() if isinstance(data, MuData) else ():
        for name in set(names) & set(part.obs) & set(data.obs):
            part.obs[name] = data.obs[name].reindex(part.obs_names)


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
            cells.components, [str(k) for k in range(n_components)]
        )
    return frame.assign(**_columns(obs, obs.index, cells))


def mark_real(obs: pd.DataFrame, cells: DrawnCells) -> None:
    """Write the columns of generated cells for real ones, and as text what is text for those."""
    params = cells.params
    for key in {params["patient_key"], params["donor_key"]} & set(obs):
        obs[key] = _as_text(obs[key])
    if _values_of(obs[params["label_key"]], cells.table["label"]) is None:
        obs[params["label_key"]] = _as_text(obs[params["label_key"]])
    patient, cell = _patients_of(obs, params), obs.index.to_numpy(dtype=str)
    earlier = np.zeros(len(obs), dtype=bool)
    if IS_GENERATED in obs:
        # Those that were generated before stay what they are.
        earlier = obs[IS_GENERATED].isin([True, "True"]).to_numpy(dtype=bool)
        patient, cell = (
            np.where(earlier, _store.as_names(obs[name], name), own) if name in obs else own
            for name, own in ((SOURCE_PATIENT, patient), (SOURCE_CELL, cell))
        )
    obs[IS_GENERATED] = earlier
    obs[SOURCE_PATIENT] = pd.Categorical(patient)
    obs[SOURCE_CELL] = cell


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


def carried_uns(uns: Any, gmm_key: str) -> dict[str, Any]:
    """What an object of generated cells alone carries: nothing that names, counts or scores real patients."""
    carried: dict[str, Any] = {}
    for name, value in uns.items():
        if name in _CARRIED or name.endswith("_colors"):
            carried[name] = value
        elif name == gmm_key:
            carried[name] = {part: value[part] for part in _OF_MIXTURE if part in value}
        elif isinstance(value, dict) and {"params", "history", "predictions"} <= set(value):
            # How a model was trained; its table of real patients without its rows.
            carried[name] = {part: value[part] for part in ("params", "history")}
            carried[name]["predictions"] = _store.in_memory(value["predictions"]).iloc[:0]
    return {name: deepcopy(_store.in_memory(value)) for name, value in carried.items()}


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
    columns[SOURCE_PATIENT] = pd.Categorical(_patients_of(obs, params)[cells.rows])
    return columns | {SOURCE_CELL: obs_names.to_numpy(dtype=str)[cells.rows]}


def _patients_of(obs: Any, params: dict[str, Any]) -> NDArray[Any]:
    """Name of the patient of each cell; ``None`` where it has none."""
    return _store.as_names(obs[params["patient_key"]], "patient_key")


def _labels_like(column: pd.Series, labels: pd.Series) -> Any:
    """Labels as the column of the real cells has them, as text where it has not all of them."""
    values = _values_of(column, labels)
    return pd.Categorical(labels) if values is None else values


def _values_of(column: pd.Series, labels: pd.Series) -> Any:
    """Labels, which are names, as values of a column: numbers, grades in their order; None where it lacks one."""
    if labels.dtype.kind == "f":
        return labels.to_numpy()
    if isinstance(column.dtype, pd.CategoricalDtype):
        if _store.is_text(column) and not column.cat.ordered:
            return pd.Categorical(labels)
        codes = column.cat.categories.map(str).get_indexer(labels.astype(str))
        return pd.Categorical.from_codes(codes, dtype=column.dtype) if (codes >= 0).all() else None
    if _store.is_text(column):
        return pd.Categorical(labels)
    of_name = {str(value): value for value in column.dropna().unique()}
    if not set(labels.astype(str)) <= set(of_name):
        return None
    return pd.Series([of_name[str(label)] for label in labels], dtype=column.dtype).array


def _as_text(column: pd.Series) -> Any:
    """A column beside names: as it is if it holds text, else its values as text."""
    if _store.is_text(column):
        return column
    return pd.Categorical(_store.as_names(column, str(column.name)))


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


def _take(data: AnnData, rows: np.ndarray, names: pd.Index, key: str, gmm_key: str) -> AnnData:
    # Pairwise graphs speak of the original cells; a cell drawn twice has no place in them.
    keep = {name: value for name, value in data.obsm.items() if name != key}
    new = AnnData(
        X=None if data.X is None else data.X[rows],
        obs=data.obs.iloc[rows].set_axis(names),
        var=data.var.copy(),
        uns=carried_uns(data.uns, gmm_key),
        obsm={name: _rows_of(value, rows, names) for name, value in keep.items()},
        varm={name: value.copy() for name, value in data.varm.items()},
        # From anndata 0.13 on, `layers[None]` is X.
        layers={name: value[rows] for name, value in data.layers.items() if name is not None},
    )
    if data.raw is not None:
        new.raw = AnnData(X=data.raw.X[rows], var=data.raw.var.copy(), obs=pd.DataFrame(index=names))
    return new


def _take_mudata(data: MuData, rows: np.ndarray, names: pd.Index, key: str, gmm_key: str) -> MuData:
    modalities = {}
    for modality, part in data.mod.items():
        position = part.obs_names.get_indexer(data.obs_names)[rows]
        inside = position >= 0
        modalities[modality] = _take(part, position[inside], names[inside], key, gmm_key)
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
    new.uns.update(carried_uns(data.uns, gmm_key))
    return new


def _rows_of(value: Any, rows: np.ndarray, names: pd.Index) -> Any:
    return value.iloc[rows].set_axis(names) if isinstance(value, pd.DataFrame) else value[rows]
