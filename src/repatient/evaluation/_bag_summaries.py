"""Bags as points: the mean of each and the logarithm of its variances, from sparse counts of instances."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp

if TYPE_CHECKING:
    from numpy.typing import NDArray

_ROWS_OF_A_CHUNK = 1 << 16


@dataclass(frozen=True, eq=False)
class BagSummaries:
    """Sizes, means and scatter of bags.

    Parameters
    ----------
    sizes
        Instances of each bag, (bags,).
    means
        Mean of each bag, (bags, d).
    scatter
        Sum of the squared deviations of a bag's instances from its mean, (bags, d).
    """

    sizes: NDArray[np.float64]
    means: NDArray[np.float64]
    scatter: NDArray[np.float64]

    def take(self, bags: NDArray[np.integer] | NDArray[np.bool_]) -> BagSummaries:
        """Return some of the bags."""
        return BagSummaries(self.sizes[bags], self.means[bags], self.scatter[bags])

    @property
    def within_variance(self) -> NDArray[np.float64]:
        """Variance of instances around the means of their bags, pooled over the bags, (d,)."""
        return self.scatter.sum(axis=0) / max(float((self.sizes - 1).sum()), 1.0)

    def moments(self, within_variance: NDArray[np.float64]) -> NDArray[np.float64]:
        """Means beside the logarithms of the variances, (bags, 2 d).

        One instance's worth of ``within_variance`` is added to each bag, so that the expected variance does not
        depend on the size, and a bag of one instance has a variance, too.

        Parameters
        ----------
        within_variance
            Variance of instances within bags, (d,), usually that of the real bags for real and generated ones alike.

        Returns
        -------
        The embedding of the bags. Features without any variance within bags are left out of the second half.
        """
        varies = within_variance > 0
        shrunk = (self.scatter[:, varies] + within_variance[varies]) / self.sizes[:, None]
        return np.hstack([self.means, np.log(shrunk)])


def summarise_bags(X: NDArray[np.floating], counts: sp.spmatrix | sp.sparray) -> BagSummaries:
    """Summarise bags by the moments of their instances.

    Parameters
    ----------
    X
        Instances by features, (n, d).
    counts
        How many times each instance is in each bag, (n, bags), sparse.

    Returns
    -------
    The summaries, in the order of the columns of ``counts``.

    Raises
    ------
    ValueError
        If the two have different numbers of rows, or a bag is empty.
    """
    incidence = sp.csc_array(counts, dtype=np.float64).T.tocsr()
    if incidence.shape[1] != len(X):
        msg = f"`counts` has {incidence.shape[1]} rows and `X` {len(X)}; both have one row an instance."
        raise ValueError(msg)
    sizes = np.asarray(incidence.sum(axis=1)).ravel()
    if (sizes == 0).any():
        msg = f"`counts`: {int((sizes == 0).sum())} of {len(sizes)} bags have no instance; leave them out."
        raise ValueError(msg)
    means = _weighted_sums(incidence, X, np.zeros(X.shape[1])) / sizes[:, None]
    # Squares of deviations from one common centre lose no digits to an offset of the embedding.
    centre = means.mean(axis=0)
    squares = _weighted_sums(incidence, X, centre, power=2)
    scatter = np.maximum(squares - sizes[:, None] * (means - centre) ** 2, 0)
    return BagSummaries(sizes, means, scatter)


def _weighted_sums(
    incidence: sp.csr_array, X: NDArray[np.floating], centre: NDArray[np.float64], power: int = 1
) -> NDArray[np.float64]:
    """Sums over each bag of the powers of its instances' deviations from a centre, (bags, d), chunk by chunk."""
    total = np.zeros((incidence.shape[0], X.shape[1]))
    by_instance = incidence.tocsc()
    for start in range(0, len(X), _ROWS_OF_A_CHUNK):
        stop = min(start + _ROWS_OF_A_CHUNK, len(X))
        total += by_instance[:, start:stop] @ (X[start:stop].astype(np.float64) - centre) ** power
    return total
