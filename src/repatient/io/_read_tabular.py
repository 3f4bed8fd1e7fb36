"""Cells of one sample or tube with named features: FCS, AnnData, Parquet and CSV files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp

from repatient._checks import listed
from repatient.io._read_arrays import Content, Outline

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from repatient.io._read_arrays import Options

_PLACES = ("x", "y")


def outline_fcs(path: Path, options: Options) -> Outline:
    """Markers and number of events, from the header."""
    data = _flow_data(path, only_text=True)
    kinds = ["scatter" if i in data.scatter_indices else "marker" for i in range(data.channel_count)]
    if data.time_index is not None:
        kinds[data.time_index] = "time"
    attributes = {name: data.text[name] for name in ("cyt", "date") if name in data.text}
    attributes["compensated"] = options.compensate and _spillover(data) is not None
    names = _marker_names(data)
    return Outline(int(data.event_count), len(names), names, attributes=attributes, kinds=tuple(kinds))


def read_fcs(path: Path, options: Options) -> Content:
    """Intensities on their linear scale, compensated where the file brings its spillover."""
    data = _flow_data(path)
    X = np.asarray(data.as_array(preprocess=True), dtype=np.float64)
    spill = _spillover(data) if options.compensate else None
    if spill is not None:
        columns, matrix = spill
        X[:, columns] = np.linalg.solve(matrix.T, X[:, columns].T).T
    return Content(X.astype(np.float32))


def _flow_data(path: Path, **settings: Any) -> Any:
    try:
        import flowio
    except ImportError as error:
        msg = "FCS files are read by flowio: `pip install 'repatient[cytometry]'`."
        raise ImportError(msg) from error
    try:
        return flowio.FlowData(path, **settings)
    except flowio.exceptions.FlowIOException as error:
        raise ValueError(str(error)) from error


def _marker_names(data: Any) -> tuple[str, ...]:
    """The stain of each channel where it has one of its own, else the name of the channel."""
    channels, stains = [name.strip() for name in data.pnn_labels], [name.strip() for name in data.pns_labels]
    return _distinct(
        [
            stain if stain and stains.count(stain) == 1 and stain not in channels else channel
            for channel, stain in zip(channels, stains, strict=True)
        ]
    )


def _spillover(data: Any) -> tuple[list[int], NDArray[np.float64]] | None:
    """Channels (by position) and the spillover matrix, rows the emitting fluorochrome; ``None`` where there is none."""
    text = next((data.text[key] for key in ("spillover", "spill", "comp") if key in data.text), None)
    if text is None:
        return None
    parts = [part.strip() for part in text.replace("\n", "").split(",")]
    try:
        n_channels = int(parts[0])
        names = parts[1 : 1 + n_channels]
        matrix = np.array(parts[1 + n_channels :], dtype=np.float64).reshape(n_channels, n_channels)
        columns = [data.pnn_labels.index(name) for name in names]
        return columns, matrix
    except ValueError as error:
        msg = f"its spillover matrix cannot be read ({error}); `compensate=False` reads it uncompensated"
        raise ValueError(msg) from error


def outline_anndata(path: Path, options: Options) -> Outline:
    """Names of the features and number of cells."""
    data = ad.read_h5ad(path, backed="r")
    try:
        values, names = _values(data, options.features)
        sparse = not hasattr(values, "dtype") or hasattr(values, "format") or sp.issparse(values)
        width = int(values.shape[1])
        has_coords = "spatial" in data.obsm
        distinct = None if names is None else _distinct(names)
        return Outline(data.n_obs, width, distinct, has_coords=has_coords, sparse=sparse)
    finally:
        data.file.close()


def read_anndata(path: Path, options: Options) -> Content:
    """Features, places, and the columns that the cells have already."""
    data = ad.read_h5ad(path)
    values, _ = _values(data, options.features)
    X = sp.csr_matrix(values) if sp.issparse(values) else np.asarray(values, dtype=np.float32)
    coords = np.asarray(data.obsm["spatial"])[:, :2] if "spatial" in data.obsm else None
    return Content(X, coords, data.obs, data.obs_names)


def _values(data: ad.AnnData, features: str | None) -> tuple[Any, list[str] | None]:
    """The matrix, a layer or an embedding, and the names of its columns where it has any."""
    if features in (None, "X"):
        if data.X is None:
            msg = f"it has no `X`; `features` names a layer or an embedding of it: {listed([*data.layers, *data.obsm])}"
            raise ValueError(msg)
        return data.X, list(data.var_names)
    if features in data.layers:
        return data.layers[features], list(data.var_names)
    if features in data.obsm:
        return data.obsm[features], None
    msg = f"it has no {features!r} (`features`), but {listed(['X', *data.layers, *data.obsm])}"
    raise ValueError(msg)


def outline_table(path: Path, options: Options) -> Outline:
    """Names of the numeric columns and number of rows."""
    if path.suffix.lower() == ".parquet":
        import pyarrow.parquet as pq

        table = pq.ParquetFile(path)
        frame, n_rows = table.schema_arrow.empty_table().to_pandas(), table.metadata.num_rows
    else:
        frame = _frame(path)
        n_rows = len(frame)
    names, places, _ = _columns(frame)
    return Outline(int(n_rows), len(names), _distinct(names), has_coords=bool(places))


def read_table(path: Path, options: Options) -> Content:
    """Numeric columns as features, ``x`` and ``y`` as places, others as columns of the rows."""
    frame = _frame(path)
    names, places, others = _columns(frame)
    coords = frame[places].to_numpy(dtype=np.float64) if places else None
    return Content(frame[names].to_numpy(dtype=np.float32), coords, frame[others])


def _frame(path: Path) -> pd.DataFrame:
    suffix = path.suffix.lower()
    return pd.read_parquet(path) if suffix == ".parquet" else pd.read_csv(path, sep="\t" if suffix == ".tsv" else ",")


def _columns(frame: pd.DataFrame) -> tuple[list[str], list[str], list[str]]:
    """Features, places and everything else; a column without a name is a row number that was written, too."""
    places = [column for column in frame.columns if str(column).lower() in _PLACES]
    places = places if len(places) == 2 else []
    rest = [column for column in frame.columns if column not in places and not str(column).startswith("Unnamed:")]
    names = [column for column in rest if frame[column].dtype.kind in "fiu"]
    if not names:
        msg = f"it has no numeric column, but {listed(frame.columns)}"
        raise ValueError(msg)
    return names, places, [column for column in rest if column not in names]


def _distinct(names: list[str]) -> tuple[str, ...]:
    names = [str(name) for name in names]
    twice = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
    if twice:
        msg = f"the names of its features are not unique: {listed(twice)}"
        raise ValueError(msg)
    return tuple(names)
