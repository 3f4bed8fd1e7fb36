"""Rows of any array-like, in contiguous float64 blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from repatient._checks import unmasked
from repatient.mixture._sources import NotFiniteError, RowSource, StoredRows, refuse_sparse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from numpy.typing import NDArray

    Result = TypeVar("Result")

# The features of one block stay within the cache between the product that scores them and the one that sums them.
FEATURE_BYTES = 2_160_000
# Rows summed in the dtype of the features before double precision takes over: longer sums would round by more.
# Blocks are multiples of it: powers of two would send the features of a row to the same few lines of the cache.
ROWS_SUMMED = 480
_MIN_ROWS, _MAX_ROWS = 64, 15 * ROWS_SUMMED


def as_rows(X: Any) -> Any:
    """Check that ``X`` is a numeric table of rows; return it as an array, or as a source where it is not in memory."""
    if isinstance(X, RowSource):
        return X
    refuse_sparse(X)
    X = unmasked(X, "X")
    rows = X if isinstance(getattr(X, "dtype", None), np.dtype) and hasattr(X, "shape") else _as_array(X)
    if len(rows.shape) != 2:
        msg = f"`X` is two-dimensional (rows, features), but its shape is {tuple(rows.shape)}."
        raise ValueError(msg)
    if 0 in rows.shape:
        msg = f"`X` has at least one row and one feature, but its shape is {tuple(rows.shape)}."
        raise ValueError(msg)
    if rows.dtype.kind not in "biuf":
        msg = f"`X` holds real numbers, but its dtype is {rows.dtype}."
        raise TypeError(msg)
    if hasattr(rows, "__dask_graph__"):
        from repatient.mixture._dask import DaskRows

        return DaskRows(rows)
    return rows if isinstance(rows, np.ndarray) else StoredRows(rows)


def _as_array(X: Any) -> NDArray[Any]:
    """Sequences and tensors as arrays; a tensor in main memory is not copied."""
    return np.asarray(X.detach() if hasattr(X, "detach") else X)


def masked_rows(X: Any, mask: NDArray[np.bool_]) -> Any:
    """Rows of ``X`` where ``mask`` is true; of what is not in memory, a source that filters every piece it reads.

    Parameters
    ----------
    X
        Rows (n, d): an array, or whatever else :class:`GaussianMixture` reads.
    mask
        Boolean (n,).

    Returns
    -------
    An array, or a source of rows that :class:`GaussianMixture` takes in its place.

    Raises
    ------
    ValueError
        If the mask is not boolean or does not have one value a row.
    """
    rows, mask = as_rows(X), np.asarray(mask)
    if mask.dtype != bool or mask.shape != rows.shape[:1]:
        msg = f"`mask` holds {rows.shape[0]} booleans, one a row, not {mask.dtype} of shape {mask.shape}."
        raise ValueError(msg)
    return rows.masked(mask) if isinstance(rows, RowSource) else rows[mask]


def group_codes(groups: Any, n_rows: int) -> NDArray[np.intp]:
    """The groups of the rows as consecutive integers."""
    values = np.asarray(groups)
    if values.shape != (n_rows,):
        msg = f"`groups` names one group for each of the {n_rows} rows, but its shape is {values.shape}."
        raise ValueError(msg)
    return np.unique(values, return_inverse=True)[1]


def compute_dtype(rows: Any) -> np.dtype[Any]:
    """Dtype of the large products: float64 stays float64, everything else is computed in float32."""
    return np.dtype(np.float64) if rows.dtype == np.float64 else np.dtype(np.float32)


def block_length(n_features: int, itemsize: int) -> int:
    """Rows of one block, such that its features take about ``FEATURE_BYTES``."""
    length = int(np.clip(FEATURE_BYTES // (n_features * itemsize), _MIN_ROWS, _MAX_ROWS))
    return length // ROWS_SUMMED * ROWS_SUMMED or length


def iter_blocks(
    rows: Any, length: int, dtype: Any = np.float64, *, finite: bool = False
) -> Iterator[tuple[slice, NDArray[Any]]]:
    """Yield consecutive slices of the rows with their values; NaN and infinity, unless known to be absent, are an error."""
    start = 0
    for values in _cut(rows.pieces(), length) if isinstance(rows, RowSource) else _cut([rows], length):
        block = np.ascontiguousarray(values, dtype=dtype)
        if not (finite or _is_finite(block)):
            raise NotFiniteError(start + int(np.flatnonzero(~np.isfinite(block).all(axis=1))[0]))
        yield slice(start, start + len(block)), block
        start += len(block)


def _is_finite(values: NDArray[Any]) -> bool:
    """Whether there is neither NaN nor infinity; a finite sum of squares is the cheaper proof."""
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(sum_of_squares(values)) or np.isfinite(values).all())


def sum_of_squares(values: NDArray[Any]) -> float:
    """Over all entries; where they follow each other in memory, as the product that BLAS is quickest at."""
    if values.flags.forc:
        flat = values.ravel(order="K")
        return float(np.dot(flat, flat))
    return float(np.einsum("ij,ij->", values, values))


def _cut(pieces: Iterable[NDArray[Any]], length: int) -> Iterator[NDArray[Any]]:
    """Cut pieces of any lengths at the multiples of ``length``, where one array of all rows would be cut, too.

    Sums over the blocks then have the same bits wherever the rows come from.
    """
    rest: NDArray[Any] | None = None
    for piece in pieces:
        first = 0
        if rest is not None:
            first = length - len(rest)
            rest = np.concatenate([rest, piece[:first]])
            if len(rest) < length:
                continue
            yield rest
        last = first + (len(piece) - first) // length * length
        for start in range(first, last, length):
            yield piece[start : start + length]
        rest = piece[last:].copy() if last < len(piece) else None
    if rest is not None:
        yield rest


def take_rows(rows: Any, index: NDArray[np.intp]) -> NDArray[Any]:
    """Gather the rows at the increasing positions ``index``."""
    taken: NDArray[Any] = rows.take(index) if isinstance(rows, RowSource) else rows[index]
    return taken


def read_small(rows: Any, max_rows: int) -> Any:
    """Read a source of at most ``max_rows`` rows into memory, leave larger ones where they are."""
    n_rows = rows.shape[0]
    return rows.take(np.arange(n_rows)) if isinstance(rows, RowSource) and n_rows <= max_rows else rows


def fold(rows: Any, summarise: Callable[[Any], Result], merge: Callable[[Result, Result], Result]) -> Result:
    """Summary of all rows, from summaries of their parts where they lie in parts."""
    return rows.fold(summarise, merge) if isinstance(rows, RowSource) else summarise(rows)


def collect(rows: Any, describe: Callable[[Any], tuple[NDArray[Any], ...]]) -> tuple[NDArray[Any], ...]:
    """Arrays with one entry a row, described part by part where the rows lie in parts."""
    return rows.collect(describe) if isinstance(rows, RowSource) else describe(rows)
