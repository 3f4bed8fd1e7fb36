"""Cells of generated patients as points of the components' Gaussians, of which none is a real cell."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.special import ndtri

from repatient._threads import one_thread
from repatient.sampling._streams import PatientStreams, patient_keys

if TYPE_CHECKING:
    from numpy.typing import NDArray

_COVARIANCE_TYPES = ("full", "tied", "diag")


class GaussianDraw(NamedTuple):
    """Cells of generated patients.

    Parameters
    ----------
    embedding
        Coordinates of the cells, patient after patient and within it component after component, (cells, d) float32.
    indptr
        Where each patient begins and ends, (patients + 1,) int64.
    components
        Component that each cell was drawn from, (cells,) int32.
    """

    embedding: NDArray[np.float32]
    indptr: NDArray[np.int64]
    components: NDArray[np.int32]


def draw_gaussians(
    counts: NDArray[np.integer],
    means: NDArray[np.floating],
    covariances: NDArray[np.floating],
    covariance_type: str,
    *,
    seed: int,
) -> GaussianDraw:
    """Draw the cells of generated patients from the Gaussians of the components.

    Parameters
    ----------
    counts
        Cells of each component in each patient, (patients, K).
    means
        Means of the components, (K, d).
    covariances
        (K, d, d) for ``"full"``, (d, d) for ``"tied"``, (K, d) for ``"diag"``.
    covariance_type
        One of these three.
    seed
        Seed, not negative.

    Returns
    -------
    The cells.

    Raises
    ------
    ValueError
        If the covariance type is unknown, or a covariance is not positive definite.

    Notes
    -----
    Each cell has a random stream of its own, keyed by the seed, the number of its patient and its number in it. Normal
    numbers are those at which the distribution function has uniform values.
    """
    sizes = counts.sum(axis=1)
    patients, requested = np.nonzero(counts)
    components = np.repeat(requested, counts[patients, requested]).astype(np.int32)
    streams = PatientStreams(patient_keys(seed, 0, len(counts))).take(sizes)
    embedding = np.empty((len(components), means.shape[1]), dtype=np.float32)
    order = np.argsort(components, kind="stable")
    ends = np.cumsum(np.bincount(components, minlength=len(means)))
    with one_thread():
        for k in np.unique(components).tolist():
            cells = order[ends[k - 1] if k else 0 : ends[k]]
            embedding[cells] = means[k] + _spread(
                _normals(streams[cells], means.shape[1]), covariances, covariance_type, k
            )
    return GaussianDraw(embedding, np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64), components)


def _normals(streams: NDArray[np.uint64], n_dims: int) -> NDArray[np.float64]:
    """Standard normal numbers of each stream, (streams, n_dims)."""
    words = PatientStreams(streams).take(np.full(len(streams), n_dims))
    # The middles of 2**52 equal parts of the unit interval, of which neither 0 nor 1 is one.
    return ndtri(((words >> np.uint64(12)) + 0.5) * 2.0**-52).reshape(len(streams), n_dims)


def _spread(
    normals: NDArray[np.float64], covariances: NDArray[np.floating], covariance_type: str, component: int
) -> NDArray[np.float64]:
    """Standard normal rows given the covariance of a component."""
    if covariance_type == "diag":
        variances = covariances[component]
        if not (variances > 0).all():
            raise _not_positive(component)
        return normals * np.sqrt(variances)
    if covariance_type not in _COVARIANCE_TYPES:
        msg = f"`covariance_type` is one of {list(_COVARIANCE_TYPES)}, not {covariance_type!r}."
        raise ValueError(msg)
    try:
        factor = np.linalg.cholesky(covariances if covariance_type == "tied" else covariances[component])
    except np.linalg.LinAlgError as error:
        raise _not_positive(component) from error
    return normals @ factor.T


def _not_positive(component: int) -> ValueError:
    msg = f"`covariances`: that of component {component} is not positive definite; fit the mixture with a larger `reg_covar`."
    return ValueError(msg)
