"""A mixture that few cells can bear: fewer axes where cells are few."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
from sklearn.decomposition import PCA

from repatient._threads import one_thread
from repatient.mixture._gaussian_mixture import GaussianMixture

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MOST_AXES = 20
_FEWEST_CELLS = 5
# The components that few patients bear are as well known from so many cells as from all of a large cohort.
_MOST_CELLS = 20_000


@dataclass(frozen=True)
class Components:
    """Mixture of Gaussians over as many directions as the cells can bear.

    Where cells are fewer than full covariances have parameters, it is fitted on principal components, one for every two
    cells that a component of the mixture has on average, at most 20. The number of components falls where they would
    have less than five cells. Of more than 20,000 cells, so many random ones are fitted to.

    Parameters
    ----------
    mixture
        The fitted mixture.
    rotation
        Principal components before it, ``None`` where there are none.
    """

    mixture: GaussianMixture
    rotation: PCA | None

    @classmethod
    def fit(cls, X: NDArray[np.floating], n_components: int, *, random_state: int) -> Self:
        """Fit to cells, shape (n, d).

        Parameters
        ----------
        X
            Cells that may be learnt from, their features in comparable units.
        n_components
            Number of components wanted.
        random_state
            Seed.
        """
        if len(X) > _MOST_CELLS:
            X = X[np.sort(np.random.default_rng(random_state).choice(len(X), _MOST_CELLS, replace=False))]
        n_cells, n_features = X.shape
        n_components = max(2, min(n_components, n_cells // _FEWEST_CELLS))
        rotation = None
        with one_thread():
            if n_cells < n_components * n_features * (n_features + 3) // 2:
                n_axes = min(n_features, n_cells - 1, _MOST_AXES, max(2, n_cells // (2 * n_components)))
                rotation = PCA(n_axes, svd_solver="covariance_eigh" if n_cells >= n_features else "full").fit(X)
                X = rotation.transform(X)
            mixture = GaussianMixture(n_components, tol=1e-3, n_init=2, random_state=random_state, progress=False)
            return cls(mixture.fit(X), rotation)

    @property
    def n_components(self) -> int:
        """Number of components fitted."""
        return int(self.mixture.n_components)

    def assign(self, X: NDArray[np.floating]) -> NDArray[np.int64]:
        """Most probable component of each cell, shape (n,)."""
        with one_thread():
            if self.rotation is not None:
                X = self.rotation.transform(X)
            return self.mixture.predict(X).astype(np.int64)
