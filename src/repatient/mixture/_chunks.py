"""Rows of any array-like, in contiguous float64 blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

# The features of one block stay within the cache between the product that scores them and the one that sums them.
FEATURE_BYTES = 2 << 20
_MIN_ROWS, _MAX_ROWS = 64, 8192


def as_rows(X: Any) -> Any:
    """Check that ``X`` is a numeric table of rows; return it as it is, or as an array where it is a sequence."""
    if sparse.issparse(X):
        msg = (
            f"X is a sparse {type(X).__name__}, but a mixture of Gaussians needs dense rows: reduce it first "
            "(PCA, scVI), or pass X.toarray() when it has few columns."
        )
        raise TypeError(msg)
    rows = X if isinstance(getattr(X, "dtype", None), np.dtype) and hasattr(X, "shape") else np.asarray(X)
    if len(rows.shape) != 2:
        msg = f"X must be two-dimensional (rows, features), but its shape is {tuple(rows.shape)}."
        raise ValueError(msg)
    if 0 in rows.shape:
        msg = f"X must have at least one row and one feature, but its shape is {tuple(rows.shape)}."
        raise ValueError(msg)
    if rows.dtype.kind not in "biuf":
        msg = f"X must hold real numbers, but its dtype is {rows.dtype}."
        raise TypeError(msg)
    return rows


def compute_dtype(rows: Any) -> np.dtype[Any]:
    """Dtype of the large products: float64 stays float64, everything else is computed in float32."""
    return np.dtype(np.float64) if rows.dtype == np.float64 else np.dtype(np.float32)


def block_length(n_features: int, itemsize: int) -> int:
    """Rows of one block, such that its features take about ``FEATURE_BYTES``."""
    return int(np.clip(FEATURE_BYTES // (n_features * itemsize), _MIN_ROWS, _MAX_ROWS))


def iter_blocks(rows: Any, length: int) -> Iterator[tuple[slice, NDArray[np.float64]]]:
    """Yield consecutive slices of the rows with their values; NaN and infinity are an error."""
    n_rows = rows.shape[0]
    for start in range(0, n_rows, length):
        where = slice(start, min(start + length, n_rows))
        block = np.ascontiguousarray(rows[where], dtype=np.float64)
        if not np.isfinite(block).all():
            bad = start + int(np.flatnonzero(~np.isfinite(block).all(axis=1))[0])
            msg = f"X contains NaN or infinity (first in row {bad}): drop or impute these rows first."
            raise ValueError(msg)
        yield where, block


def take_rows(rows: Any, index: NDArray[np.intp], length: int) -> NDArray[np.float64]:
    """Gather the rows at the increasing positions ``index`` in one pass over the blocks."""
    parts = []
    for where, block in iter_blocks(rows, length):
        first, last = np.searchsorted(index, (where.start, where.stop))
        parts.append(block[index[first:last] - where.start])
    return np.concatenate(parts)
