"""Patients of an audit as points: standardised moments of their cells, and log-ratios of their compositions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from repatient.evaluation._bag_summaries import summarise_bags
from repatient.recipe import log_ratios, smoothed_proportions

if TYPE_CHECKING:
    from repatient.evaluation._bag_summaries import BagSummaries


# Patients that are summarised at once: memory is that of their cells.
_BLOCK = 1000


@dataclass(frozen=True, eq=False)
class Points:
    """Embeddings of patients, one row each.

    Parameters
    ----------
    sizes
        Cells, (n,).
    raw_means
        Means of the cells, in the units of the embedding, (n, d).
    moments
        Means and log-variances of the cells, standardised over the real patients, (n, d) or up to (n, 2 d).
    compositions
        Isometric log-ratios of the composition, (n, K - 1).
    """

    sizes: np.ndarray
    raw_means: np.ndarray
    moments: np.ndarray
    compositions: np.ndarray

    @property
    def means(self) -> np.ndarray:
        """Means of the cells, standardised over the real patients, (n, d)."""
        return self.moments[:, : self.raw_means.shape[1]]

    def take(self, patients: np.ndarray) -> Points:
        """Return some of the patients."""
        return Points(
            self.sizes[patients], self.raw_means[patients], self.moments[patients], self.compositions[patients]
        )


@dataclass(frozen=True, eq=False)
class Embedder:
    """Maps patients to points on the scale of the real ones.

    Parameters
    ----------
    X
        Embedding of the cells, (n_obs, d).
    membership
        Component of each cell, as a sparse indicator (K, n_obs).
    within_variance
        Variance of the cells within real patients, (d,).
    centre, spread
        Mean and standard deviation of the moments over the real patients.
    """

    X: np.ndarray
    membership: sp.csr_array
    within_variance: np.ndarray
    centre: np.ndarray
    spread: np.ndarray

    @classmethod
    def fit(cls, X: np.ndarray, components: np.ndarray, n_components: int, counts: Any) -> tuple[Embedder, Points]:
        """Scale by the patients of ``counts`` (n_obs, P), the real ones; returns them as points, too."""
        membership = _membership(components, n_components)
        summaries = summarise_bags(X, counts)
        moments = summaries.moments(summaries.within_variance)
        spread = moments.std(axis=0)
        spread[spread == 0] = 1.0
        embedder = cls(X, membership, summaries.within_variance, moments.mean(axis=0), spread)
        return embedder, embedder._points(summaries, membership, counts)

    def embed(self, counts: Any, X: np.ndarray | None = None, components: np.ndarray | None = None) -> Points:
        """Patients of ``counts`` (n_obs, n) as points, block by block; or of other cells (n_cells, d)."""
        cells = self.X if X is None else X
        membership = self.membership if components is None else _membership(components, self.membership.shape[0])
        counts = sp.csc_array(counts)
        blocks = [counts[:, start : start + _BLOCK] for start in range(0, max(counts.shape[1], 1), _BLOCK)]
        parts = [self._points(summarise_bags(cells, block), membership, block) for block in blocks]
        return parts[0] if len(parts) == 1 else Points(*map(np.concatenate, zip(*map(_arrays, parts), strict=True)))

    def _points(self, summaries: BagSummaries, membership: sp.csr_array, counts: Any) -> Points:
        n_components = membership.shape[0]
        of_components = np.asarray((membership @ sp.csc_array(counts)).todense()).T
        shares = smoothed_proportions(of_components, np.full(n_components, 1 / n_components))
        moments = (summaries.moments(self.within_variance) - self.centre) / self.spread
        return Points(summaries.sizes, summaries.means, moments, log_ratios(shares))


def _arrays(points: Points) -> tuple[np.ndarray, ...]:
    return points.sizes, points.raw_means, points.moments, points.compositions


def _membership(components: np.ndarray, n_components: int) -> sp.csr_array:
    """Component of each cell, as a sparse indicator (K, cells)."""
    n_cells = len(components)
    return sp.csr_array((np.ones(n_cells), (components, np.arange(n_cells))), shape=(n_components, n_cells))


def principal_coordinates(fitted: np.ndarray, projected: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points on the first two principal axes of some of them, and the shares of the variance that these explain.

    An axis that there is no variance for is zero. Each axis points to where the furthest point is.
    """
    centre = fitted.mean(axis=0)
    left, spread, axes = np.linalg.svd(fitted - centre, full_matrices=False)
    kept = min(2, len(spread))
    basis, explained = np.zeros((2, fitted.shape[1])), np.zeros(2)
    furthest = left[np.abs(left[:, :kept]).argmax(axis=0), np.arange(kept)]
    basis[:kept] = axes[:kept] * np.where(furthest < 0, -1, 1)[:, None]
    explained[:kept] = spread[:kept] ** 2 / max(float((spread**2).sum()), np.finfo(float).tiny)
    return (projected - centre) @ basis.T, explained
