"""Rows that need not be in memory: what a fit asks of them, and the stores that are read piece by piece."""

from __future__ import annotations

from abc import ABC, abstractmethod
from numbers import Integral
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from scipy import sparse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    Result = TypeVar("Result")

# One read: large enough that opening chunks costs little, small enough that a few of them are no memory.
PIECE_BYTES = 4 << 20


class NotFiniteError(ValueError):
    """Row ``row`` holds NaN or infinity."""

    def __init__(self, row: int) -> None:
        super().__init__(row)
        self.row = row

    def __str__(self) -> str:
        return f"`X` contains NaN or infinity (first in row {self.row}): drop or impute these rows first."


class RowSource(ABC):
    """Rows (n, d) that are read in order, piece by piece, and never held as a whole.

    ``shape`` and ``dtype`` are those of the array that the pieces would make.
    """

    shape: tuple[int, int]
    dtype: np.dtype[Any]

    @abstractmethod
    def pieces(self) -> Iterator[NDArray[Any]]:
        """Consecutive rows, as large arrays."""

    @abstractmethod
    def take(self, index: NDArray[np.intp]) -> NDArray[Any]:
        """The rows at increasing positions."""

    @abstractmethod
    def masked(self, mask: NDArray[np.bool_]) -> RowSource:
        """The rows where ``mask`` (n,) is true."""

    def fold(self, summarise: Callable[[Any], Result], merge: Callable[[Result, Result], Result]) -> Result:
        """Summary of all rows; sources in several parts summarise each part where it lies and merge the summaries."""
        return summarise(self)

    def collect(self, describe: Callable[[Any], tuple[NDArray[Any], ...]]) -> tuple[NDArray[Any], ...]:
        """Arrays with one entry a row; sources in several parts describe each part where it lies."""
        return describe(self)


class StoredRows(RowSource):
    """Rows of anything with a shape, a dtype and row slices: zarr arrays, HDF5 datasets."""

    def __init__(self, values: Any, mask: NDArray[np.bool_] | None = None) -> None:
        self._values = values
        self._mask = mask
        n_rows, n_dims = values.shape
        self.shape = (n_rows if mask is None else int(mask.sum()), n_dims)
        self.dtype = values.dtype

    def pieces(self) -> Iterator[NDArray[Any]]:
        for span in self._spans():
            if self._mask is None:
                yield self._read(span)
            elif self._mask[span].any():
                yield self._read(span)[self._mask[span]]

    def take(self, index: NDArray[np.intp]) -> NDArray[Any]:
        stored = index if self._mask is None else np.flatnonzero(self._mask)[index]
        taken = np.empty((len(index), self.shape[1]), dtype=self.dtype)
        for span in self._spans():
            first, last = np.searchsorted(stored, (span.start, span.stop))
            if first < last:
                taken[first:last] = self._read(span)[stored[first:last] - span.start]
        return taken

    def masked(self, mask: NDArray[np.bool_]) -> StoredRows:
        if self._mask is None:
            return StoredRows(self._values, mask)
        combined = self._mask.copy()
        combined[self._mask] = mask
        return StoredRows(self._values, combined)

    def _spans(self) -> Iterator[slice]:
        """Slices of about ``PIECE_BYTES`` that cut no chunk of the store."""
        n_rows, n_dims = self._values.shape
        chunks = getattr(self._values, "chunks", None)
        stored = int(chunks[0]) if chunks and isinstance(chunks[0], Integral) else 1
        step = max(PIECE_BYTES // (n_dims * self.dtype.itemsize * stored), 1) * stored
        for start in range(0, n_rows, step):
            yield slice(start, min(start + step, n_rows))

    def _read(self, span: slice) -> NDArray[Any]:
        """Rows of the store, dense."""
        rows = self._values[span]
        refuse_sparse(rows)
        return np.asarray(rows)


def refuse_sparse(X: Any) -> None:
    """Sparse rows would have to be made dense, which is for the caller to decide."""
    if sparse.issparse(X):
        msg = (
            f"`X` is a sparse {type(X).__name__}, but a mixture of Gaussians needs dense rows: reduce it first "
            "(PCA, scVI), or pass X.toarray() when it has few columns."
        )
        raise TypeError(msg)
