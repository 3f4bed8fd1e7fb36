"""Centring and whitening: what makes quadratic features safe in single precision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from repatient.mixture._chunks import block_length, iter_blocks
from repatient.mixture._parameters import Parameters

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Directions with less than this share of the largest variance (of standardised features) are rank deficiency.
_EIGENVALUE_FLOOR = 1e-10
# A spread below this share of the mean is rounding, not variation.
_CONSTANT_TOLERANCE = 1e-12


@dataclass(frozen=True)
class Moments:
    """Mean (d,) and covariance (d, d) of rows, or of a mixture."""

    mean: NDArray[np.float64]
    covariance: NDArray[np.float64]


def moments_of_rows(rows: Any) -> Moments:
    """Mean and covariance (divided by n) in one pass, merging blocks pairwise as Chan et al. (1983) do."""
    n_dims = rows.shape[1]
    count, mean, scatter = 0, np.zeros(n_dims), np.zeros((n_dims, n_dims))
    for _, block in iter_blocks(rows, block_length(n_dims, 8)):
        n_new = len(block)
        block_mean = block.mean(axis=0)
        centred = block - block_mean
        shift = block_mean - mean
        scatter += centred.T @ centred + np.outer(shift, shift) * (count * n_new / (count + n_new))
        count += n_new
        mean = mean + shift * (n_new / count)
    if not np.isfinite(scatter).all():
        msg = "X holds values whose squares overflow: rescale the features first."
        raise ValueError(msg)
    covariance = scatter / count
    constant = np.diag(covariance) <= (_CONSTANT_TOLERANCE * mean) ** 2
    if constant.all():
        msg = f"X is constant: all {count} rows are equal, so there is no mixture to fit."
        raise ValueError(msg)
    covariance[constant] = 0.0
    covariance[:, constant] = 0.0
    return Moments(mean, covariance)


def moments_of_mixture(parameters: Parameters) -> Moments:
    """Mean and covariance of the distribution that the parameters describe (law of total variance)."""
    weights, means, covariances = parameters.weights, parameters.means, parameters.covariances
    mean = weights @ means
    deviation = means - mean
    between = (weights[:, None] * deviation).T @ deviation
    within = {
        "full": lambda: np.tensordot(weights, covariances, axes=1),
        "tied": lambda: covariances,
        "diag": lambda: np.diag(weights @ covariances),
    }
    return Moments(mean, between + within[parameters.covariance_type]())


@dataclass(frozen=True)
class Whitening:
    """The affine map z = (x - mean) @ forward, and back x = mean + z @ backward.

    For diagonal covariances ``forward`` and ``backward`` are vectors of scales, so that features are not mixed.
    """

    mean: NDArray[np.float64]
    forward: NDArray[np.float64]
    backward: NDArray[np.float64]

    @classmethod
    def from_moments(cls, moments: Moments, *, diagonal: bool, reg_covar: float = 0.0) -> Whitening:
        """Whitening of a distribution; ``reg_covar`` joins its variances, as it will join those of the components."""
        n_dims = len(moments.mean)
        covariance = moments.covariance + reg_covar * np.eye(n_dims)
        scale = np.sqrt(np.diag(covariance))
        scale[scale == 0] = 1.0
        if diagonal:
            return cls(moments.mean, 1 / scale, scale)
        eigenvalues, vectors = np.linalg.eigh(covariance / np.outer(scale, scale))
        roots = np.sqrt(np.maximum(eigenvalues, _EIGENVALUE_FLOOR * eigenvalues[-1]))
        return cls(moments.mean, vectors / scale[:, None] / roots, (vectors * roots).T * scale)

    @property
    def diagonal(self) -> bool:
        """Whether every feature is only scaled."""
        return self.forward.ndim == 1

    @property
    def log_jacobian(self) -> float:
        """Logarithm of the volume that one unit of input volume takes in the whitened space."""
        if self.diagonal:
            return float(np.log(self.forward).sum())
        return float(np.linalg.slogdet(self.forward)[1])

    @property
    def metric(self) -> NDArray[np.float64]:
        """The identity covariance of the input space, seen from the whitened space."""
        return self.forward**2 if self.diagonal else self.forward.T @ self.forward

    def columns(self, block: NDArray[np.float64]) -> NDArray[np.float64]:
        """Whitened rows as columns: (rows, d) to (d, rows)."""
        centred = block - self.mean
        return (centred * self.forward).T if self.diagonal else self.forward.T @ centred.T

    def whiten(self, parameters: Parameters) -> Parameters:
        """Parameters of the input space, expressed in the whitened space."""
        centred = parameters.means - self.mean
        means = centred * self.forward if self.diagonal else centred @ self.forward
        covariances = _congruent(parameters.covariances, self.forward)
        return Parameters(parameters.covariance_type, parameters.weights, means, covariances)

    def unwhiten(self, parameters: Parameters) -> Parameters:
        """Parameters of the whitened space, expressed in the input space."""
        offset = parameters.means * self.backward if self.diagonal else parameters.means @ self.backward
        covariances = _congruent(parameters.covariances, self.backward)
        return Parameters(parameters.covariance_type, parameters.weights, self.mean + offset, covariances)

    def covariance(self, moments: Moments) -> NDArray[np.float64]:
        """Second moments about the centre of this whitening, in the whitened space: (d, d) or (d,)."""
        shift = moments.mean - self.mean
        second = moments.covariance + np.outer(shift, shift)
        return _congruent(np.diag(second) if self.diagonal else second, self.forward)


def _congruent(covariances: NDArray[np.float64], factor: NDArray[np.float64]) -> NDArray[np.float64]:
    """Covariances after the linear map ``factor``, exactly symmetric."""
    if factor.ndim == 1:
        return covariances * factor**2
    mapped = factor.T @ covariances @ factor
    return (mapped + np.swapaxes(mapped, -1, -2)) / 2
