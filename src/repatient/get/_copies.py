"""Rows of a matrix that is not in memory, and copies of some of them in another order, in one pass over it."""

from __future__ import annotations

import os
import tempfile
import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from repatient.get._rows import stack

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from repatient.get._rows import Block, Rows


@dataclass(frozen=True, eq=False)
class _Piece:
    """Copies of rows that were read together.

    Parameters
    ----------
    places
        Their places among all copies.
    blocks
        Blocks of copies that these are in, rising.
    ends
        Where the values of each begin and end, in the order of ``places``.
    offset
        Where in the file they all begin.
    """

    places: NDArray[np.int64]
    blocks: NDArray[np.int64]
    ends: NDArray[np.int64]
    offset: int


class Copies:
    """Rows in their order, and copies of some of them.

    Rows are read once, from the first to the last; what is copied of them is set aside in a temporary file without a
    name, block of copies by block of copies, and read from there.

    Parameters
    ----------
    rows
        The rows.
    which
        Row of each copy, (copies,), in any order and any number of times.
    step
        Rows read at once where they have to be read for the copies alone, and copies that lie together in the file.
    folder
        Where the temporary file is; ``None`` for the system's folder.
    """

    def __init__(self, rows: Rows, which: NDArray[np.integer], step: int, folder: Path | None) -> None:
        self._rows, self._step = rows, step
        self._which = which
        self._order = np.argsort(which, kind="stable")
        self._n_read, self._end = 0, 0
        self._pieces: list[_Piece] = []
        self._index_type = np.dtype(np.int32 if max(rows.columns, default=0) <= np.iinfo(np.int32).max else np.int64)
        self._file = tempfile.TemporaryFile(prefix=".repatient-", dir=folder)
        weakref.finalize(self, self._file.close)

    def real(self, start: int, stop: int) -> Block:
        """Rows from ``start`` up to ``stop``."""
        block = self._rows.block(start, stop)
        if start == self._n_read:
            self._set_aside(start, stop, block)
            self._n_read = stop
        return block

    def generated(self, start: int, stop: int) -> Block:
        """Copies from ``start`` up to ``stop``."""
        while self._n_read < self._rows.n_rows:
            self.real(self._n_read, min(self._n_read + self._step, self._rows.n_rows))
        found, places = [], []
        for piece in self._pieces:
            blocks = (start // self._step, (stop - 1) // self._step + 1)
            first, last = (int(end) for end in np.searchsorted(piece.blocks, blocks))
            of_blocks = piece.places[first:last]
            inside = np.flatnonzero((of_blocks >= start) & (of_blocks < stop))
            if len(inside):
                found.append(self._read(piece, first, last)[inside])
                places.append(of_blocks[inside])
        order = np.argsort(np.concatenate(places)) if places else np.zeros(0, dtype=np.int64)
        return stack(found, self._rows)[order]

    def _set_aside(self, start: int, stop: int, block: Block) -> None:
        inside = slice(*np.searchsorted(self._which, [start, stop], sorter=self._order))
        places = self._order[inside]
        if not len(places):
            return
        places = places[np.argsort(places // self._step, kind="stable")]
        copies = block[self._which[places] - start]
        if self._rows.is_sparse:
            n_values = np.diff(copies.indptr).astype(np.int64)
            parts = [
                copies.data.astype(self._rows.dtype, copy=False),
                copies.indices.astype(self._index_type, copy=False),
            ]
        else:
            n_values = np.full(len(places), int(np.prod(self._rows.columns)), dtype=np.int64)
            parts = [np.ascontiguousarray(copies, dtype=self._rows.dtype)]
        self._pieces.append(_Piece(places, places // self._step, np.concatenate([[0], np.cumsum(n_values)]), self._end))
        for part in parts:
            if part.size:
                self._file.write(part.data)
            self._end += part.nbytes

    def _read(self, piece: _Piece, first: int, last: int) -> Block:
        """Some consecutive copies of a piece."""
        low, high, dtype = int(piece.ends[first]), int(piece.ends[last]), self._rows.dtype
        values = self._values(piece.offset + low * dtype.itemsize, high - low, dtype)
        if not self._rows.is_sparse:
            return values.reshape(last - first, *self._rows.columns)
        at = piece.offset + int(piece.ends[-1]) * dtype.itemsize + low * self._index_type.itemsize
        columns = self._values(at, high - low, self._index_type)
        parts = (values, columns, piece.ends[first : last + 1] - low)
        return sp.csr_matrix(parts, shape=(last - first, *self._rows.columns))

    def _values(self, offset: int, n: int, dtype: np.dtype[Any]) -> NDArray[Any]:
        values = np.empty(n, dtype=dtype)
        self._file.seek(offset, os.SEEK_SET)
        if n and self._file.readinto(values.data) != values.nbytes:
            msg = "the temporary file of copied rows was cut off"
            raise OSError(msg)
        return values
