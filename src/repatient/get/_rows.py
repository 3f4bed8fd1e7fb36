"""Rows of a matrix, wherever it lies: in memory, in an HDF5 file, in a zarr store, or as a dask array."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import scipy.sparse as sp
from anndata.abc import CSCDataset, CSRDataset

if TYPE_CHECKING:
    from numpy.typing import NDArray

Block: TypeAlias = Any  # np.ndarray or scipy.sparse.csr_matrix


class Rows:
    """Rows of a matrix, read in blocks.

    Parameters
    ----------
    matrix
        Dense or sparse, of shape (n, …): a NumPy array, a SciPy matrix, an HDF5 or zarr array, a sparse dataset of
        AnnData, or a dask array of dense or sparse chunks.
    name
        What it is called in messages.

    Raises
    ------
    TypeError
        If it is something else.
    ValueError
        If it is on disk and compressed by columns, so that a row cannot be read without all others.
    """

    def __init__(self, matrix: Any, name: str) -> None:
        self.is_dask = hasattr(matrix, "__dask_graph__")
        self.in_memory = isinstance(matrix, np.ndarray) or sp.issparse(matrix)
        on_disk = isinstance(matrix, CSRDataset) or all(hasattr(matrix, part) for part in ("shape", "dtype", "chunks"))
        sample = getattr(matrix, "_meta", None) if self.is_dask else matrix
        if isinstance(matrix, CSCDataset) or (self.is_dask and getattr(sample, "format", "") == "csc"):
            msg = (
                f"{name} is compressed by columns (CSC) on disk, where no row can be read without all others; "
                "write the object with `.tocsr()` of it first."
            )
            raise ValueError(msg)
        if not (self.in_memory or on_disk):
            msg = f"{name} is a {type(matrix).__name__}, which cannot be read row by row; leave it out, or make it an array."
            raise TypeError(msg)
        self.is_sparse = sp.issparse(sample) or isinstance(matrix, CSRDataset)
        self.n_rows = int(matrix.shape[0])
        self.columns: tuple[int, ...] = tuple(int(size) for size in matrix.shape[1:])
        self.dtype = np.dtype(matrix.dtype)
        self._matrix: Any = _OnDisk(matrix) if isinstance(matrix, CSRDataset) else matrix

    def block(self, start: int, stop: int) -> Block:
        """Rows from ``start`` up to ``stop``; sparse ones as CSR."""
        rows = self._matrix[start:stop]
        if self.is_dask:
            rows = rows.compute()
        return sp.csr_matrix(rows) if self.is_sparse else np.asarray(rows)

    def take(self, rows: NDArray[np.integer]) -> Block:
        """Some rows of what is in memory, in any order and any number of times."""
        taken = self._matrix[rows]
        return sp.csr_matrix(taken) if self.is_sparse else np.asarray(taken)


class _OnDisk:
    """Slices of a CSR matrix on disk, without what AnnData looks up at each one."""

    def __init__(self, matrix: CSRDataset) -> None:
        self._data, self._indices = matrix.group["data"], matrix.group["indices"]
        self._indptr = matrix.group["indptr"][...]
        self._n_columns = matrix.shape[1]

    def __getitem__(self, rows: slice) -> sp.csr_matrix:
        indptr = self._indptr[rows.start : rows.stop + 1]
        inside = slice(int(indptr[0]), int(indptr[-1]))
        parts = (self._data[inside], self._indices[inside], indptr - indptr[0])
        return sp.csr_matrix(parts, shape=(len(indptr) - 1, self._n_columns))


def stack(pieces: list[Block], like: Any) -> Block:
    """Blocks of rows beneath each other; where there is none, no rows of what ``like`` has."""
    if pieces:
        return sp.vstack(pieces, format="csr") if like.is_sparse else np.concatenate(pieces)
    empty = np.empty((0, *like.columns), dtype=like.dtype)
    return sp.csr_matrix(empty) if like.is_sparse else empty
