"""The matrices of real and generated cells, block by block."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from repatient import _store
from repatient.get._copies import Copies
from repatient.get._rows import Rows

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from anndata import AnnData
    from numpy.typing import NDArray

    from repatient.get._decode import Decoder
    from repatient.get._materialise import DrawnCells
    from repatient.get._rows import Block

NORMALIZED = "normalized"


@dataclass(frozen=True, eq=False)
class Element:
    """One matrix of the result.

    Parameters
    ----------
    path
        Where it goes: ``"X"``, ``"layers/<name>"``, ``"obsm/<name>"``, ``"raw/X"``.
    columns
        Shape of a row.
    dtype
        Type of the numbers.
    is_sparse
        Whether blocks are CSR matrices.
    real, generated
        Rows from a start up to a stop, of the real cells and of the generated ones.
    """

    path: str
    columns: tuple[int, ...]
    dtype: np.dtype[Any]
    is_sparse: bool
    real: Callable[[int, int], Block]
    generated: Callable[[int, int], Block]


def copied_elements(data: AnnData, key: str, cells: DrawnCells, step: int, folder: Path | None) -> list[Element]:
    """All matrices, generated cells being rows of the real ones.

    ``step`` rows of what is on disk are read at once; their copies are set aside in ``folder``.
    """
    matrices = {} if data.X is None else {"X": data.X}
    # From anndata 0.13 on, `layers[None]` is X.
    matrices |= {f"layers/{name}": value for name, value in data.layers.items() if name is not None}
    matrices |= {f"obsm/{name}": value for name, value in data.obsm.items() if name != key and not is_table(value)}
    if data.raw is not None:
        matrices["raw/X"] = data.raw.X
    return [_copied(Rows(matrix, path), path, cells, step, folder) for path, matrix in matrices.items()]


def _copied(rows: Rows, path: str, cells: DrawnCells, step: int, folder: Path | None) -> Element:
    shape = (path, rows.columns, rows.dtype, rows.is_sparse)
    if rows.in_memory:
        return Element(*shape, rows.block, partial(_taken, rows, cells.rows))
    copies = Copies(rows, cells.rows, step, folder)
    return Element(*shape, copies.real, copies.generated)


def embedding_element(data: AnnData, cells: DrawnCells, step: int, folder: Path | None) -> Element:
    """The embedding that the generated cells are points of."""
    points, use_rep = cells.points, cells.params["use_rep"]
    path = "X" if use_rep == "X" else f"obsm/{use_rep}"
    rows = Rows(_store.read_embedding(data, use_rep, lazy=True)[0], path)
    if points is None:
        return _copied(rows, path, cells, step, folder)
    dtype = np.result_type(rows.dtype, points.dtype)
    return Element(path, rows.columns, dtype, False, rows.block, lambda start, stop: points[start:stop])  # noqa: FBT003


def decoded_elements(data: AnnData, decoder: Decoder) -> list[Element]:
    """Counts, those of generated cells drawn by a model, and what it expects of all cells."""
    counts = Rows(data.X if decoder.layer is None else data.layers[decoder.layer], "the counts")
    n_genes = (data.n_vars,)
    single = np.dtype(np.float32)
    elements = [
        Element(
            "X",
            n_genes,
            single,
            is_sparse=True,
            real=lambda start, stop: sp.csr_matrix(counts.block(start, stop), dtype=single),
            generated=decoder.counts,
        )
    ]
    if decoder.normalized:
        layer = f"layers/{NORMALIZED}"
        element = Element(layer, n_genes, single, False, decoder.expression_of_real, decoder.expression)  # noqa: FBT003
        elements.append(element)
    return elements


def is_table(value: Any) -> bool:
    """Whether something is a table, in memory or not."""
    return isinstance(value, pd.DataFrame) or (hasattr(value, "to_memory") and hasattr(value, "columns"))


def _taken(rows: Rows, which: NDArray[np.integer], start: int, stop: int) -> Block:
    return rows.take(which[start:stop])
