"""How far two samples are apart, and whether chance alone would do it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.spatial.distance import cdist, pdist

from repatient._threads import one_thread

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

_BLOCK_ENTRIES = 1 << 22
_ROWS_FOR_MEDIAN = 1000


class MMD(NamedTuple):
    """Squared maximum mean discrepancy and its permutation p-value.

    Parameters
    ----------
    statistic
        The squared discrepancy, unbiased, and so possibly below 0.
    p_value
        Share of the permutations with one as large.
    """

    statistic: float
    p_value: float


def mmd_test(
    X: ArrayLike,
    Y: ArrayLike,
    *,
    n_permutations: int = 199,
    groups_x: ArrayLike | None = None,
    groups_y: ArrayLike | None = None,
    random_state: int = 0,
) -> MMD:
    r"""Test whether two samples come from one distribution.

    The kernel is the mean of three Gaussian ones, with half, one and two times the median distance between two rows
    as bandwidth. Scale the features beforehand: their units decide what the distance sees.

    Parameters
    ----------
    X, Y
        The samples, (n, d) and (m, d).
    n_permutations
        Number of exchanges of rows, or of whole groups, between the samples. The smallest p-value that there can be is
        1 / (n_permutations + 1).
    groups_x, groups_y
        Group (patient) of each row, (n,) and (m,), both or none. Rows of a group resemble each other, so groups are
        what is exchanged; each counts the same however many rows it has. A group of ``X`` and one of ``Y`` are
        different groups, whatever their names.
    random_state
        Seed of the permutations, and of the rows that the median is taken over where there are many.

    Returns
    -------
    ``MMD(statistic, p_value)``.

    Raises
    ------
    ValueError
        If shapes do not fit, values are not finite, only one of the groups is given, or a sample has fewer than two
        rows (groups).

    Notes
    -----
    With mean kernel values :math:`k_{ij}` between the rows of groups i and j, p groups in ``X`` and q in ``Y``, the
    statistic is :math:`\sum_{i \ne j \in X} k_{ij} / (p(p-1)) + \sum_{i \ne j \in Y} k_{ij} / (q(q-1)) -
    2 \sum_{i \in X, j \in Y} k_{ij} / (pq)`: equation 3 of Gretton et al. (2012), A kernel two-sample test,
    J. Mach. Learn. Res. 13, with the mean embeddings of groups as the observations.
    """
    first, second = _checked(X, Y)
    if n_permutations < 1:
        msg = f"`n_permutations` is an integer of 1 or more, not {n_permutations}."
        raise ValueError(msg)
    if (groups_x is None) != (groups_y is None):
        msg = "`groups_x` and `groups_y` are given both or not at all."
        raise ValueError(msg)
    codes_x = _codes(groups_x, len(first), "groups_x")
    codes_y = _codes(groups_y, len(second), "groups_y")
    n_first, n_second = int(codes_x.max()) + 1, int(codes_y.max()) + 1
    if min(n_first, n_second) < 2:
        what = "rows" if groups_x is None else "groups"
        msg = f"Two or more {what} are needed in each sample; `X` has {n_first} and `Y` {n_second}."
        raise ValueError(msg)
    rng = np.random.default_rng(random_state)
    rows = np.concatenate([first, second])
    rows -= rows.mean(axis=0)
    with one_thread():
        kernel = _group_kernel(rows, np.concatenate([codes_x, codes_y + n_first]), _median_distance(rows, rng))
        statistics = _statistics(kernel, _memberships(n_first, n_second, n_permutations, rng))
    # Summing in another order must not make an exchange that changes nothing look smaller than what was observed.
    tolerance = 1e-12 * np.abs(kernel).max()
    exceeding = int((statistics[1:] >= statistics[0] - tolerance).sum())
    return MMD(float(statistics[0]), (1 + exceeding) / (n_permutations + 1))


def energy_distance(X: ArrayLike, Y: ArrayLike) -> float:
    r"""Energy distance between two samples.

    Parameters
    ----------
    X, Y
        The samples, (n, d) and (m, d). Scale the features beforehand.

    Returns
    -------
    :math:`\sqrt{2 E|X - Y| - E|X - X'| - E|Y - Y'|}`, 0 for equal samples; in one dimension what
    :func:`scipy.stats.energy_distance` gives.

    Raises
    ------
    ValueError
        If shapes do not fit, or values are not finite.

    References
    ----------
    Székely & Rizzo (2013), Energy statistics: a class of statistics based on distances, J. Stat. Plan. Inference 143.
    """
    first, second = _checked(X, Y)
    within = _mean_distance(first, first) + _mean_distance(second, second)
    return float(np.sqrt(max(2 * _mean_distance(first, second) - within, 0.0)))


def _checked(X: ArrayLike, Y: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    first, second = np.asarray(X, dtype=np.float64), np.asarray(Y, dtype=np.float64)
    if first.ndim != 2 or second.ndim != 2 or first.shape[1] != second.shape[1] or not len(first) or not len(second):
        msg = f"`X` and `Y` are of shape (n, d) and (m, d), with one d and rows in both, not {first.shape}, {second.shape}."
        raise ValueError(msg)
    for name, rows in {"X": first, "Y": second}.items():
        if not np.isfinite(rows).all():
            msg = f"`{name}` has NaN or infinity in {int((~np.isfinite(rows).all(axis=1)).sum())} of {len(rows)} rows."
            raise ValueError(msg)
    return first, second


def _codes(groups: ArrayLike | None, n_rows: int, argument: str) -> NDArray[np.int64]:
    """Groups as numbers; every row is one of its own where none are given."""
    if groups is None:
        return np.arange(n_rows)
    values = np.asarray(groups)
    if values.shape != (n_rows,):
        msg = f"`{argument}` has shape {values.shape}; one group for each of {n_rows} rows is needed."
        raise ValueError(msg)
    return np.unique(values, return_inverse=True)[1]


def _median_distance(rows: NDArray[np.float64], rng: np.random.Generator) -> float:
    if len(rows) > _ROWS_FOR_MEDIAN:
        rows = rows[rng.choice(len(rows), size=_ROWS_FOR_MEDIAN, replace=False)]
    distances = pdist(rows)
    # Where most rows are equal, the median of the others still tells the scale.
    distances = distances[distances > 0]
    return float(np.median(distances)) if len(distances) else 1.0


def _group_kernel(rows: NDArray[np.float64], codes: NDArray[np.int64], bandwidth: float) -> NDArray[np.float64]:
    """Mean kernel value between the rows of two groups, (groups, groups)."""
    order = np.argsort(codes, kind="stable")
    rows, sizes = rows[order] / bandwidth, np.bincount(codes)
    starts = np.cumsum(sizes) - sizes
    sums = np.zeros((len(sizes), len(sizes)))
    step = max(_BLOCK_ENTRIES // len(rows), 1)
    for start in range(0, len(rows), step):
        kernel = _mean_of_gaussians(cdist(rows[start : start + step], rows, "sqeuclidean"))
        np.add.at(sums, codes[order[start : start + step]], np.add.reduceat(kernel, starts, axis=1))
    return sums / np.outer(sizes, sizes)


def _mean_of_gaussians(squared: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean of Gaussian kernels of bandwidths 2, 1 and 1/2: each is the fourth power of the one before."""
    wide = np.exp(squared / -8)
    middle = np.square(np.square(wide))
    return (wide + middle + np.square(np.square(middle))) / 3


def _memberships(n_first: int, n_second: int, n_permutations: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Whether a group is in the first sample, as observed (first row) and permuted, (1 + permutations, groups)."""
    members = np.zeros((n_permutations + 1, n_first + n_second))
    members[:, :n_first] = 1
    members[1:] = rng.permuted(members[1:], axis=1)
    return members


def _statistics(kernel: NDArray[np.float64], members: NDArray[np.float64]) -> NDArray[np.float64]:
    """Unbiased squared MMD of each row of memberships."""
    kernel = kernel - np.diag(np.diag(kernel))
    p = members[0].sum()
    q = members.shape[1] - p
    within_first = ((members @ kernel) * members).sum(axis=1)
    of_first = members @ kernel.sum(axis=1)
    across = of_first - within_first
    within_second = kernel.sum() - of_first - across
    return within_first / (p * (p - 1)) + within_second / (q * (q - 1)) - 2 * across / (p * q)


def _mean_distance(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    step = max(_BLOCK_ENTRIES // len(second), 1)
    total = sum(cdist(first[start : start + step], second).sum() for start in range(0, len(first), step))
    return float(total / (len(first) * len(second)))
