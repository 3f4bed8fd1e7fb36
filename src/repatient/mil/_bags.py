"""Bags of instances as slices of one flat array."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from scipy import sparse

from repatient._checks import unmasked

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True, eq=False)
class Bags:
    """Multisets of rows of one array: the patients, real or generated, of a cohort.

    Cells are never copied: every bag is a slice of ``rows``, and a row may appear in several bags, or several times in
    one.

    Parameters
    ----------
    X
        Instances by features, shape (n, d), dense and real.
    rows
        Indices into ``X``, shape (m,), those of one bag beside each other.
    indptr
        Bag ``b`` is ``rows[indptr[b]:indptr[b + 1]]``, shape (number of bags + 1,).

    Raises
    ------
    ValueError
        If the three arrays do not fit together.

    Examples
    --------
    >>> import numpy as np
    >>> bags = Bags.from_codes(np.arange(8.0).reshape(4, 2), [0, 1, 0, -1], 2)
    >>> bags.rows.tolist(), bags.sizes.tolist()
    ([0, 2, 1], [2, 1])
    """

    X: NDArray[Any]
    rows: NDArray[np.int64]
    indptr: NDArray[np.int64]

    def __post_init__(self) -> None:
        X = _check_array(self.X)
        rows, indptr = _as_integers(self.rows, "rows"), _as_integers(self.indptr, "indptr")
        if len(indptr) == 0 or indptr[0] != 0 or indptr[-1] != len(rows) or np.any(np.diff(indptr) < 0):
            msg = f"indptr must rise from 0 to the {len(rows)} entries of rows."
            raise ValueError(msg)
        _check_range(rows, 0, len(X), "rows")
        object.__setattr__(self, "rows", rows)
        object.__setattr__(self, "indptr", indptr)

    @classmethod
    def from_codes(cls, X: NDArray[Any], codes: ArrayLike, n_bags: int) -> Self:
        """Bags of a partition of the instances.

        Parameters
        ----------
        X
            Instances by features, shape (n, d).
        codes
            Bag of each instance, shape (n,), from 0 to ``n_bags - 1``; -1 where an instance belongs to none.
        n_bags
            Number of bags, some of which may be empty.

        Returns
        -------
        The bags; inside a bag the instances keep their order.
        """
        _check_array(X)
        codes = _as_integers(codes, "codes")
        _check_length(codes, X, "codes")
        _check_range(codes, -1, n_bags, "codes")
        in_a_bag = np.flatnonzero(codes >= 0)
        rows = in_a_bag[np.argsort(codes[in_a_bag], kind="stable")]
        return cls(X, rows, cumulative(np.bincount(codes[in_a_bag], minlength=n_bags)))

    @classmethod
    def from_counts(cls, X: NDArray[Any], counts: Any) -> Self:
        """Bags from how many times each instance is in each bag.

        Parameters
        ----------
        X
            Instances by features, shape (n, d).
        counts
            Non-negative whole numbers, shape (n, number of bags), sparse (CSC is read without a copy) or dense.

        Returns
        -------
        The bags; an instance counted twice has two entries.
        """
        _check_array(X)
        counts = sparse.csc_array(counts)
        _check_length(counts, X, "counts")
        if np.any(counts.data < 0) or np.any(counts.data != np.floor(counts.data)):
            msg = "counts must be non-negative whole numbers."
            raise ValueError(msg)
        times = counts.data.astype(np.int64)
        return cls(X, np.repeat(counts.indices, times), cumulative(times)[counts.indptr])

    @classmethod
    def concatenate(cls, a: Bags, b: Bags) -> Self:
        """All bags of ``a``, then all of ``b``; both must share one ``X`` object."""
        if a.X is not b.X:
            msg = "Bags can be concatenated only over the same array X; found two different ones."
            raise ValueError(msg)
        return cls(a.X, np.concatenate([a.rows, b.rows]), np.concatenate([a.indptr, b.indptr[1:] + a.indptr[-1]]))

    def __len__(self) -> int:
        return len(self.indptr) - 1

    @property
    def sizes(self) -> NDArray[np.int64]:
        """Number of instances of each bag, shape (number of bags,)."""
        return np.diff(self.indptr)

    def take(self, bag_indices: ArrayLike) -> Bags:
        """Some of the bags, in the order of ``bag_indices`` (whole numbers, or one boolean a bag)."""
        wanted = np.asarray(bag_indices)
        if wanted.dtype == bool:
            _check_length(wanted, self.sizes, "bag_indices", of="bags")
            wanted = np.flatnonzero(wanted)
        wanted = _as_integers(wanted, "bag_indices")
        _check_range(wanted, 0, len(self), "bag_indices")
        indptr = cumulative(self.sizes[wanted])
        shift = np.repeat(self.indptr[wanted] - indptr[:-1], np.diff(indptr))
        return Bags(self.X, self.rows[np.arange(indptr[-1]) + shift], indptr)

    def drop_rows(self, mask: ArrayLike) -> Bags:
        """The same bags without some instances; a bag may be left empty.

        Parameters
        ----------
        mask
            True where a row of ``X`` is to go, shape (n,).

        Returns
        -------
        As many bags, over the same ``X``.
        """
        mask = np.asarray(mask, dtype=bool)
        _check_length(mask, self.X, "mask")
        kept = ~mask[self.rows]
        return Bags(self.X, self.rows[kept], cumulative(kept)[self.indptr])

    def incidence(self) -> sparse.csc_array:
        """How many times each instance is in each bag, shape (n, number of bags)."""
        ones = np.ones(len(self.rows), dtype=np.int64)
        # Copies, because summing duplicates and sorting work in place.
        counts = sparse.csc_array((ones, self.rows.copy(), self.indptr.copy()), shape=(len(self.X), len(self)))
        counts.sum_duplicates()
        return counts


def used_rows(*parts: Bags) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows of the shared ``X`` that some bags use, rising, and where in them each row of ``X`` stands, if it does."""
    used = np.zeros(len(parts[0].X), dtype=bool)
    for part in parts:
        used[part.rows] = True
    return np.flatnonzero(used), np.cumsum(used) - 1


def cumulative(sizes: NDArray[Any]) -> NDArray[np.int64]:
    """0, then the running sums."""
    return np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])


def _check_array(X: Any) -> NDArray[Any]:
    """Accept a dense, real matrix."""
    X = unmasked(X, "X")
    if not isinstance(X, np.ndarray) or X.ndim != 2 or X.dtype.kind not in "biuf":
        found = f"{X.dtype} array of shape {X.shape}" if isinstance(X, np.ndarray) else type(X).__name__
        msg = f"X must be a dense, real array of instances by features, found {found}."
        raise ValueError(msg)
    return X


def _as_integers(values: ArrayLike, name: str) -> NDArray[np.int64]:
    array = np.asarray(values)
    if array.ndim != 1 or (array.dtype.kind not in "iu" and array.size > 0):
        msg = f"{name} must be one-dimensional and of integers, found {array.dtype} of shape {array.shape}."
        raise ValueError(msg)
    return array.astype(np.int64, copy=False)


def _check_range(values: NDArray[np.int64], low: int, stop: int, name: str) -> None:
    if len(values) and (values.min() < low or values.max() >= stop):
        msg = f"{name} must lie between {low} and {stop - 1}, found {values.min()} to {values.max()}."
        raise ValueError(msg)


def _check_length(values: Any, reference: NDArray[Any], name: str, of: str = "rows of X") -> None:
    if values.shape[0] != len(reference):
        msg = f"{name} has {values.shape[0]} entries for {len(reference)} {of}."
        raise ValueError(msg)
