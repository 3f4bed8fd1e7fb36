"""How far the donors of a class lie apart, and whether another cohort's lie farther: from statistics alone."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
from scipy import sparse, stats

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from repatient.sampling._alignment import AffineMap

_BLOCK_ROWS = 1 << 16


@dataclass(frozen=True)
class Spread:
    """Mean and covariance of the donors' mean cells in each class.

    Parameters
    ----------
    classes
        Names of the classes.
    means
        Mean of the donors' means, (classes, d).
    covariances
        Their covariance, unbiased, (classes, d, d); 0 for a class of one donor.
    n_donors
        Number of donors, (classes,).
    """

    classes: tuple[str, ...]
    means: NDArray[np.float64]
    covariances: NDArray[np.float64]
    n_donors: NDArray[np.int64]

    def moved(self, move: AffineMap) -> Self:
        """That of cells which were moved."""
        covariances = move.matrix @ self.covariances @ move.matrix.T
        return replace(self, means=move(self.means), covariances=covariances)


class MeanShift(NamedTuple):
    """Distance between the means of two cohorts.

    Parameters
    ----------
    statistic
        Squared distance, less what the spread of the donors adds to it, and so possibly below 0.
    p_value
        Probability of as large a distance between as many donors of one distribution.
    """

    statistic: float
    p_value: float


def donor_spread(X: Any, classes: NDArray[np.int64], donors: NDArray[np.int64], names: Sequence[str]) -> Spread:
    """Measure the spread of the donors of each class.

    Parameters
    ----------
    X
        Cells (n, d): an array, or anything with row slices, which is read in blocks.
    classes
        Class of each cell as a position in ``names``, -1 for cells to leave out, (n,).
    donors
        Donor of each cell, (n,).
    names
        Names of the classes.

    Returns
    -------
    The spread; a donor with cells of two classes is one in both.
    """
    inside = np.flatnonzero(classes >= 0)
    pairs, of_cells = np.unique(np.stack([classes[inside], donors[inside]]), axis=1, return_inverse=True)
    codes = np.full(len(classes), -1)
    codes[inside] = of_cells.ravel()
    n_dims = X.shape[1]
    # Sums around one of the cells, as those around zero lose digits where the cells are far from it.
    pilot = np.asarray(X[inside[0] : inside[0] + 1], dtype=np.float64)[0] if len(inside) else np.zeros(n_dims)
    sums = np.zeros((pairs.shape[1], n_dims))
    for start in range(0, X.shape[0], _BLOCK_ROWS):
        code = codes[start : start + _BLOCK_ROWS]
        rows = np.flatnonzero(code >= 0)
        if len(rows):
            block = np.asarray(X[start : start + _BLOCK_ROWS], dtype=np.float64)[rows] - pilot
            member = sparse.csr_array((np.ones(len(rows)), (code[rows], np.arange(len(rows)))), (len(sums), len(rows)))
            sums += member @ block
    means = sums / np.bincount(of_cells.ravel(), minlength=len(sums))[:, None]
    of_class = [means[pairs[0] == i] for i in range(len(names))]
    covariances = [
        np.cov(part, rowvar=False).reshape(n_dims, n_dims) if len(part) > 1 else np.zeros((n_dims, n_dims))
        for part in of_class
    ]
    centres = [part.mean(axis=0) + pilot if len(part) else pilot for part in of_class]
    return Spread(tuple(names), np.array(centres), np.array(covariances), np.array([len(part) for part in of_class]))


def mean_shift(first: Spread, second: Spread, name: str, scale: NDArray[np.float64]) -> MeanShift:
    r"""Test whether the donors of two cohorts have one mean.

    Parameters
    ----------
    first, second
        Spreads of the cohorts, two donors or more in each.
    name
        The class.
    scale
        Unit of each feature, (d,).

    Returns
    -------
    ``MeanShift(statistic, p_value)``.

    Raises
    ------
    ValueError
        If a cohort has fewer than two donors of the class.

    Notes
    -----
    The squared distance of the means is the squared maximum mean discrepancy of a linear kernel. In units of its
    expectation it has an F distribution, of :math:`r` and :math:`r \nu` degrees of freedom with :math:`\nu` those of the
    pooled covariance S and :math:`r = \mathrm{tr}(S)^2 / \mathrm{tr}(S^2)`: the non-exact test of Dempster (1958), A high
    dimensional two sample significance test, Ann. Math. Stat. 29, which allows for more features than donors. Of few
    donors, r is estimated too low, on the safe side.
    """
    sides = [(part.classes.index(name), part) for part in (first, second)]
    numbers = [int(part.n_donors[i]) for i, part in sides]
    if min(numbers) < 2:
        msg = f"Two or more donors of {name!r} are needed in each cohort; there are {numbers[0]} and {numbers[1]}."
        raise ValueError(msg)
    covariances = [part.covariances[i] / np.outer(scale, scale) for i, part in sides]
    degrees = sum(numbers) - 2
    pooled = sum((n - 1) * covariance for n, covariance in zip(numbers, covariances, strict=True)) / degrees
    difference = (first.means[sides[0][0]] - second.means[sides[1][0]]) / scale
    distance = float(difference @ difference)
    noise = sum(float(np.trace(covariance)) / n for n, covariance in zip(numbers, covariances, strict=True))
    expected = float(np.trace(pooled)) * sum(1 / n for n in numbers)
    if expected <= 0:
        return MeanShift(distance, 0.0 if distance > 0 else 1.0)
    r = float(np.trace(pooled) ** 2 / np.square(pooled).sum())
    return MeanShift(distance - noise, float(stats.f.sf(distance / expected, r, r * degrees)))
