"""Parameters of clusters of rows, for EM to start from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from repatient.mixture._parameters import Parameters

if TYPE_CHECKING:
    from numpy.typing import NDArray


def parameters_of_clusters(
    z: NDArray[np.float64],
    labels: NDArray[np.integer[Any]],
    n_components: int,
    covariance_type: str,
    ridge: NDArray[np.float64],
) -> Parameters:
    """Moments of each cluster, its covariance shrunk towards the pooled one as d + 2 further rows would shrink it.

    Small clusters would otherwise start as needles, which EM never widens again.
    """
    n_rows, n_dims = z.shape
    counts = np.bincount(labels, minlength=n_components).astype(float)
    members = [z[labels == k] if counts[k] else z for k in range(n_components)]
    means = np.stack([rows.mean(axis=0) for rows in members])
    centred = z - means[labels]
    diagonal = covariance_type == "diag"
    pooled = np.square(centred).mean(axis=0) if diagonal else centred.T @ centred / n_rows
    if covariance_type == "tied":
        return Parameters("tied", np.maximum(counts, 1) / np.maximum(counts, 1).sum(), means, pooled + ridge)
    own = np.stack([centred_moments(centred[labels == k], diagonal=diagonal) for k in range(n_components)])
    prior = n_dims + 2
    size = counts.reshape(-1, *[1] * pooled.ndim)
    covariances = (own + prior * pooled) / (size + prior) + ridge
    weights = np.maximum(counts, 1)
    return Parameters(covariance_type, weights / weights.sum(), means, covariances)


def centred_moments(centred: NDArray[np.float64], *, diagonal: bool) -> NDArray[np.float64]:
    """Sum of squares, or of outer products, of centred rows."""
    return np.square(centred).sum(axis=0) if diagonal else centred.T @ centred
