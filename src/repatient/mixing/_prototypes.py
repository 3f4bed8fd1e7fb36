"""Bags reduced to the means of clusters of their cells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.cluster import KMeans

from repatient._threads import one_thread
from repatient.mil import Bags

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class ReducedBags:
    """Clusters of the cells of each bag.

    Parameters
    ----------
    bags
        Bags of the means of the clusters, over an array of these.
    residuals
        Cells minus the mean of their cluster, cluster after cluster, (cells, d).
    indptr
        Where each cluster begins and ends in ``residuals``, (clusters + 1,).
    """

    bags: Bags
    residuals: NDArray[Any]
    indptr: NDArray[np.int64]

    def closest(self, prototypes: NDArray[np.int64], others: NDArray[np.int64]) -> NDArray[np.int64]:
        """The prototype of bag ``others[i]`` that is nearest to ``prototypes[i]``, for all of them."""
        sizes, starts = self.bags.sizes[others], self.bags.indptr[others]
        number = np.arange(sizes.max())
        candidates = starts[:, None] + np.minimum(number, sizes[:, None] - 1)
        distances = ((self.bags.X[candidates] - self.bags.X[prototypes][:, None]) ** 2).sum(axis=2)
        return candidates[np.arange(len(candidates)), distances.argmin(axis=1)]

    def shifts(self, clusters: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.float64]:
        """A draw for each cluster from the normal distribution around 0 with its covariance, (clusters, d).

        A sum of the residuals with independent normal weights is such a draw, and needs no covariance matrix.
        """
        n_cells = np.diff(self.indptr)[clusters]
        starts = np.cumsum(n_cells) - n_cells
        rows = np.arange(n_cells.sum()) + np.repeat(self.indptr[clusters] - starts, n_cells)
        weights = rng.standard_normal(len(rows)) / np.sqrt(np.repeat(np.maximum(n_cells - 1, 1), n_cells))
        return np.add.reduceat(self.residuals[rows] * weights[:, None], starts) if len(rows) else np.zeros((0, 1))


def reduce(bags: Bags, n_prototypes: int, random_state: int) -> ReducedBags:
    """Cluster the cells of each bag by K-means."""
    means, residuals, n_cells, n_clusters = [], [], [], []
    for start, stop in zip(bags.indptr[:-1], bags.indptr[1:], strict=True):
        cells = bags.X[bags.rows[start:stop]]
        codes, centres = _cluster(cells, n_prototypes, random_state)
        order = np.argsort(codes, kind="stable")
        means.append(centres)
        residuals.append(cells[order] - centres[codes[order]])
        n_cells.append(np.bincount(codes, minlength=len(centres)))
        n_clusters.append(len(centres))
    X, sizes = np.concatenate(means), np.concatenate(n_cells)
    reduced = Bags(X, np.arange(len(X)), np.concatenate([[0], np.cumsum(n_clusters)]))
    return ReducedBags(reduced, np.concatenate(residuals), np.concatenate([[0], np.cumsum(sizes)]))


def _cluster(cells: NDArray[Any], n: int, random_state: int) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """Cluster of each cell, and the mean of each cluster."""
    if _differ(cells, n):
        with one_thread():
            codes = KMeans(n, n_init=1, random_state=random_state).fit(cells).labels_
        # K-means may leave a cluster empty; the others are numbered anew.
        _, codes = np.unique(codes, return_inverse=True)
    else:
        _, codes = np.unique(cells, axis=0, return_inverse=True)
    sums = np.zeros((codes.max() + 1, cells.shape[1]))
    np.add.at(sums, codes, cells)
    dtype = np.result_type(cells.dtype, np.float32)
    return codes, (sums / np.bincount(codes)[:, None]).astype(dtype)


def _differ(cells: NDArray[Any], n: int) -> bool:
    """Whether more than ``n`` of the cells differ; sums with odd weights tell most cells apart, and fast."""
    weights = np.sqrt(np.arange(2, cells.shape[1] + 2))
    return len(np.unique((cells * weights).sum(axis=1))) > n
