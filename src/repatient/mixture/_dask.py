"""Rows of a dask array: every part is summarised where it lies, and the summaries are merged in a tree."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from dask.base import compute
from dask.delayed import delayed

from repatient.mixture._sources import NotFiniteError, RowSource, refuse_sparse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    Result = TypeVar("Result")

# Rows of one task: its products cost a hundred times what scheduling it does.
PART_ROWS = 65_536
_MERGED_AT_ONCE = 8


class DaskRows(RowSource):
    """Rows of a dask array, in parts of about ``PART_ROWS`` rows; the scheduler is the one that dask is set to."""

    def __init__(self, array: Any) -> None:
        refuse_sparse(array._meta)
        if np.isnan(array.shape).any():
            msg = f"`X` has chunks of unknown size, its shape is {array.shape}: call X.compute_chunk_sizes() first."
            raise ValueError(msg)
        self._array = array
        self.shape = array.shape
        self.dtype = array.dtype
        lengths = part_lengths(array.chunks[0])
        self._starts = np.cumsum((0, *lengths[:-1])).tolist()
        self._parts = array.rechunk({0: lengths, 1: -1}).to_delayed().ravel()

    def pieces(self) -> Iterator[NDArray[Any]]:
        for part in self._parts:
            yield np.asarray(part.compute())

    def take(self, index: NDArray[np.intp]) -> NDArray[Any]:
        taken = np.empty((len(index), self.shape[1]), self.dtype)
        bounds = np.searchsorted(index, [*self._starts, self.shape[0]])
        rows_of = delayed(_rows_of, pure=False)
        parts = [
            (slice(first, last), rows_of(part, index[first:last] - start))
            for part, start, first, last in zip(self._parts, self._starts, bounds[:-1], bounds[1:], strict=True)
            if last > first
        ]
        # Some at a time, so that what was taken is not held twice.
        for start in range(0, len(parts), _MERGED_AT_ONCE):
            places, rows = zip(*parts[start : start + _MERGED_AT_ONCE], strict=True)
            for place, values in zip(places, compute(*rows), strict=True):
                taken[place] = values
        return taken

    def masked(self, mask: NDArray[np.bool_]) -> DaskRows:
        return DaskRows(self._array[np.flatnonzero(mask)])

    def fold(self, summarise: Callable[[Any], Result], merge: Callable[[Result, Result], Result]) -> Result:
        summaries = self._apply(summarise)
        while len(summaries) > 1:
            summaries = [
                delayed(_merge_all, pure=False)(merge, summaries[start : start + _MERGED_AT_ONCE])
                for start in range(0, len(summaries), _MERGED_AT_ONCE)
            ]
        return summaries[0].compute()

    def collect(self, describe: Callable[[Any], tuple[NDArray[Any], ...]]) -> tuple[NDArray[Any], ...]:
        described = compute(*self._apply(describe))
        return tuple(np.concatenate(arrays) for arrays in zip(*described, strict=True))

    def _apply(self, function: Callable[[Any], Any]) -> list[Any]:
        """One task a part; the function, with the parameters that it holds, travels once a worker."""
        shared = delayed(function, pure=False, traverse=False)
        call = delayed(_call, pure=False)
        return [call(shared, part, start) for part, start in zip(self._parts, self._starts, strict=True)]


def part_lengths(chunks: tuple[int, ...]) -> tuple[int, ...]:
    """Lengths of the parts: small neighbouring chunks together, large ones cut evenly."""
    ends = np.cumsum(chunks)
    cuts = [0]
    while cuts[-1] < ends[-1]:
        ahead = ends[ends > cuts[-1]]
        within = ahead[ahead <= cuts[-1] + PART_ROWS]
        end = int(within[-1] if within.size else ahead[0])
        n_parts = max(round((end - cuts[-1]) / PART_ROWS), 1)
        cuts.extend(int(cut) for cut in np.linspace(cuts[-1], end, n_parts + 1)[1:])
    return tuple(int(length) for length in np.diff(cuts))


def _call(function: Callable[[Any], Any], rows: Any, start: int) -> Any:
    """Apply the function to the part that begins at row ``start``.

    The fit's limit of one BLAS thread holds for the whole process, and so for the tasks of the threaded scheduler;
    processes of a cluster are started with one thread by dask.
    """
    try:
        return function(np.asarray(rows))
    except NotFiniteError as error:
        raise NotFiniteError(start + error.row) from None


def _rows_of(rows: Any, index: NDArray[np.intp]) -> NDArray[Any]:
    """Some rows of a part."""
    return np.asarray(rows)[index]


def _merge_all(merge: Callable[[Any, Any], Any], summaries: list[Any]) -> Any:
    """Merge neighbouring summaries in their order."""
    merged = summaries[0]
    for summary in summaries[1:]:
        merged = merge(merged, summary)
    return merged
