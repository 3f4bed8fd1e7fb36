"""Matrices of AnnData files, written block by block."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import scipy.sparse as sp

if TYPE_CHECKING:
    from repatient.get._rows import Block

_SPARSE_CHUNK = 1 << 17
_DENSE_CHUNK_BYTES = 1 << 20


class DenseWriter:
    """A dense array of known shape.

    Parameters
    ----------
    group
        HDF5 or zarr group.
    name
        Name of the array in it.
    shape
        Shape, rows first.
    dtype
        Type of the numbers.
    compression
        Of HDF5.
    """

    def __init__(
        self, group: Any, name: str, shape: tuple[int, ...], dtype: np.dtype[Any], compression: str | None = None
    ) -> None:
        if isinstance(group, h5py.Group):
            # HDF5 compresses chunks, and an empty array has none.
            how = {"compression": compression, "chunks": True} if compression and 0 not in shape else {}
            self._array = group.create_dataset(name, shape=shape, dtype=dtype, **how)
        else:
            row_bytes = max(int(np.prod(shape[1:])) * dtype.itemsize, 1)
            chunks = (max(min(_DENSE_CHUNK_BYTES // row_bytes, shape[0]), 1), *(max(size, 1) for size in shape[1:]))
            self._array = group.create_array(name, shape=shape, chunks=chunks, dtype=dtype)
        _mark(self._array, "array", "0.2.0")
        self._n_rows = 0

    def append(self, block: Block) -> None:
        """Write the next rows."""
        self._array[self._n_rows : self._n_rows + block.shape[0]] = block
        self._n_rows += block.shape[0]

    def close(self) -> None:
        """Nothing is left to write."""


class SparseWriter:
    """A sparse matrix, compressed by rows, that grows.

    Parameters
    ----------
    group
        HDF5 or zarr group.
    name
        Name of the matrix in it.
    shape
        Rows and columns that it will have.
    dtype
        Type of the numbers.
    compression
        Of HDF5.
    """

    def __init__(
        self, group: Any, name: str, shape: tuple[int, ...], dtype: np.dtype[Any], compression: str | None = None
    ) -> None:
        self._group = group.create_group(name)
        _mark(self._group, "csr_matrix", "0.1.0")
        self._group.attrs["shape"] = list(shape)
        index_type = np.dtype(np.int32 if shape[1] <= np.iinfo(np.int32).max else np.int64)
        self._data = _growing(self._group, "data", dtype, compression)
        self._indices = _growing(self._group, "indices", index_type, compression)
        self._ends = [np.zeros(1, dtype=np.int64)]
        self._n_values = 0

    def append(self, block: Block) -> None:
        """Write the next rows."""
        block = sp.csr_matrix(block)
        after = self._n_values + len(block.data)
        for array, values in ((self._data, block.data), (self._indices, block.indices)):
            array.resize((after,))
            if len(values):
                array[self._n_values :] = values
        self._ends.append(block.indptr[1:].astype(np.int64) + self._n_values)
        self._n_values = after

    def close(self) -> None:
        """Write where the rows begin and end."""
        indptr = np.concatenate(self._ends)
        if isinstance(self._group, h5py.Group):
            self._group.create_dataset("indptr", data=indptr)
        else:
            array = self._group.create_array("indptr", shape=indptr.shape, chunks=(_SPARSE_CHUNK,), dtype=indptr.dtype)
            array[...] = indptr


def _growing(group: Any, name: str, dtype: np.dtype[Any], compression: str | None) -> Any:
    if isinstance(group, h5py.Group):
        sizes: dict[str, Any] = {"shape": (0,), "maxshape": (None,), "chunks": (_SPARSE_CHUNK,)}
        return group.create_dataset(name, dtype=dtype, compression=compression, **sizes)
    return group.create_array(name, shape=(0,), chunks=(_SPARSE_CHUNK,), dtype=dtype)


def _mark(element: Any, encoding: str, version: str) -> None:
    """Say, as AnnData does, what an element of a file is."""
    element.attrs["encoding-type"] = encoding
    element.attrs["encoding-version"] = version
