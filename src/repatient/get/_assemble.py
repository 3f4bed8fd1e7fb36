"""Real and generated cells as one object, in memory or in a file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anndata as ad
import numpy as np
import pandas as pd
from anndata import AnnData

from repatient import _store
from repatient._progress import progress_bar
from repatient.get._elements import copied_elements, decoded_elements, embedding_element, is_table
from repatient.get._materialise import carried_uns, kept_uns, mark_real, obs_frame, obs_of_generated
from repatient.get._rows import stack
from repatient.get._write import Annotation, write_cells

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mudata import MuData

    from repatient.get._decode import Decoder
    from repatient.get._elements import Element
    from repatient.get._materialise import DrawnCells
    from repatient.get._rows import Block

_BLOCK = 10_000


def check_single_modality(data: AnnData | MuData, what: str) -> AnnData:
    """Refuse a MuData where cells are not rows of it."""
    if not isinstance(data, AnnData):
        msg = (
            f"{what} needs an AnnData, not a MuData. Generate the patients on the modality alone, or on "
            "`AnnData(obs=mdata.obs, obsm={'X_joint': mdata.obsm['X_joint']})` for a joint embedding."
        )
        raise TypeError(msg)
    return data


def assemble_generated(
    data: AnnData,
    cells: DrawnCells,
    key: str,
    decoder: Decoder | None,
    progress: bool | None,  # noqa: FBT001
) -> AnnData:
    """Object of the generated cells: their latent points and, with a decoder, their expression."""
    _, obs = _tables_of_cells(data, cells, decoder)
    if cells.points is not None:
        # Categories of columns that are not known name real patients.
        empty = [name for name, column in obs.items() if column.isna().all() and hasattr(column, "cat")]
        obs = obs.assign(**{name: obs[name].cat.remove_unused_categories() for name in empty})
    made = _assemble(data, obs, key, _elements(data, key, cells, decoder), "generated", progress)
    made.uns = carried_uns(data.uns, cells.params["gmm_key"])
    return made


def assemble_both(
    data: AnnData,
    cells: DrawnCells,
    key: str,
    decoder: Decoder | None,
    progress: bool | None,  # noqa: FBT001
) -> AnnData:
    """Object of what both real and generated cells have: the embedding and, with a decoder, expression."""
    elements = _elements(data, key, cells, decoder)
    real_obs, new_obs = _tables_of_cells(data, cells, decoder)
    real = _assemble(data, real_obs, key, elements, "real", progress)
    new = _assemble(data, new_obs, key, elements, "generated", progress)
    return put_below(real, new)


def put_below(real: AnnData, new: AnnData) -> AnnData:
    """Objects of the same variables beneath each other; names that occur twice make no difference."""
    names = real.var_names
    for part in (real, new):
        part.var_names = [str(i) for i in range(len(names))]
    joined = ad.concat([real, new], join="outer", merge="first", uns_merge="first")
    joined.var_names = names
    return joined


def write_both(
    data: AnnData,
    cells: DrawnCells,
    key: str,
    decoder: Decoder | None,
    path: Path,
    chunk_size: int,
    compression: str | None,
    progress: bool | None,  # noqa: FBT001
) -> Path:
    """Write what :func:`repatient.get.augmented` would return, block by block."""
    elements = _elements(data, key, cells, decoder, chunk_size, path.parent)
    copied = cells.points is None and decoder is None
    real_obs, new_obs = _tables_of_cells(data, cells, decoder)
    raw = {}
    if copied and data.raw is not None:
        raw = {"var": data.raw.var, "varm": dict(data.raw.varm)}
    names = real_obs.index
    annotation = Annotation(
        n_real=len(real_obs),
        obs=_joined(real_obs, new_obs),
        others={
            "var": _store.in_memory(data.var),
            "varm": {name: _store.in_memory(value) for name, value in data.varm.items()},
            "varp": {name: _store.in_memory(value) for name, value in data.varp.items()},
            "uns": kept_uns(data.uns, key),
        },
        tables=_tables(data, cells, names) if copied else {},
        raw=raw,
    )
    del real_obs, new_obs
    write_cells(path, annotation, elements, chunk_size, compression, progress)
    return path


def _elements(
    data: AnnData,
    key: str,
    cells: DrawnCells,
    decoder: Decoder | None,
    step: int = _BLOCK,
    folder: Path | None = None,
) -> list[Element]:
    if decoder is not None:
        return [*decoded_elements(data, decoder), embedding_element(data, cells, step, folder)]
    if cells.points is not None:
        return [embedding_element(data, cells, step, folder)]
    return copied_elements(data, key, cells, step, folder)


def _assemble(
    data: AnnData,
    obs: pd.DataFrame,
    key: str,
    elements: list[Element],
    part: str,
    progress: bool | None,  # noqa: FBT001
) -> AnnData:
    """Object of the elements' real or generated rows."""
    pieces: list[list[Block]] = [[] for _ in elements]
    desc = f"reading {part} cells"
    with progress_bar(desc=desc, total=len(obs), enabled=progress, unit="cell") as bar:
        for start in range(0, len(obs), _BLOCK):
            stop = min(start + _BLOCK, len(obs))
            for element, blocks in zip(elements, pieces, strict=True):
                read: Callable[[int, int], Block] = getattr(element, part)
                blocks.append(read(start, stop))
            bar.update(stop - start)
    matrices = {element.path: stack(blocks, element) for element, blocks in zip(elements, pieces, strict=True)}
    return AnnData(
        X=matrices.get("X"),
        obs=obs,
        var=_store.in_memory(data.var).copy(),
        uns=kept_uns(data.uns, key),
        varm={name: _store.in_memory(value) for name, value in data.varm.items()},
        varp={name: _store.in_memory(value) for name, value in data.varp.items()},
        obsm=_of_folder(matrices, "obsm"),
        layers=_of_folder(matrices, "layers"),
    )


def _of_folder(matrices: dict[str, Block], folder: str) -> dict[str, Block]:
    return {path.split("/", 1)[1]: value for path, value in matrices.items() if path.startswith(f"{folder}/")}


def _tables_of_cells(data: AnnData, cells: DrawnCells, decoder: Decoder | None) -> tuple[pd.DataFrame, pd.DataFrame]:
    """``obs`` of the real and of the generated cells."""
    real = obs_frame(data)
    n_components = len(_store.uns_entry(data, cells.params["gmm_key"], "gmm_key", "gmm")["weights"])
    new = obs_of_generated(real, cells, n_components)
    mark_real(real, cells)
    if decoder is not None and decoder.batch_key is not None:
        new[decoder.batch_key] = decoder.batch_column
    return real, new


def _joined(real: pd.DataFrame, new: pd.DataFrame) -> pd.DataFrame:
    """Tables beneath each other, as AnnData joins them, if files can hold them."""
    joined = ad.concat([AnnData(obs=real), AnnData(obs=new)], join="outer").obs
    return joined.assign(**{name: _for_files(column, str(name)) for name, column in joined.items()})


def _for_files(column: pd.Series, name: str) -> Any:
    """A column as h5ad and zarr hold it: nullable and Arrow floats as plain ones; what they cannot hold is refused."""
    dtype = column.dtype
    if isinstance(dtype, pd.ArrowDtype):
        column = column.convert_dtypes(dtype_backend="numpy_nullable", infer_objects=False)
        dtype = column.dtype
    if pd.api.types.is_float_dtype(dtype) and not isinstance(dtype, np.dtype):
        return column.to_numpy(dtype=dtype.numpy_dtype, na_value=np.nan)
    values = column.cat.categories if isinstance(dtype, pd.CategoricalDtype) else column
    kinds = sorted({type(value).__name__ for value in values.dropna()}) if values.dtype == object else []
    if isinstance(values.dtype, pd.IntervalDtype) or values.dtype.kind in "mM":
        kinds = [str(values.dtype)]
    if kinds not in ([], ["str"]):
        msg = (
            f"`data`: the column {name!r} of `obs` holds {' and '.join(kinds)}, which h5ad and zarr cannot; turn it into "
            "text (`.astype(str)`) or a category of text."
        )
        raise TypeError(msg)
    return column.array


def _tables(data: AnnData, cells: DrawnCells, names: pd.Index) -> dict[str, pd.DataFrame]:
    """Tables of ``obsm`` with the rows of real and generated cells."""
    rows = np.concatenate([np.arange(data.n_obs), cells.rows])
    index = names.append(cells.table.index)
    tables = {name: _store.in_memory(value) for name, value in data.obsm.items() if is_table(value)}
    return {name: table.iloc[rows].set_axis(index) for name, table in tables.items()}
