"""Centring and whitening: what makes quadratic features safe in single precision."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from repatient.mixture._chunks import block_length, fold, iter_blocks, take_rows
from repatient.mixture._parameters import Parameters

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Float = NDArray[np.float64]
    RunningMoments = tuple[int, Float, Float, Float]

# Features from which on the products of all of them take longer than everything that a diagonal mixture needs.
_MANY_FEATURES = 64
# Directions with less than this share of the largest variance (of standardised features) are rank deficiency.
_EIGENVALUE_FLOOR = 1e-10
# Distances beyond which a component hides the spread of the others, in such spreads.
_LOST = 1e5
# A spread below this share of the mean is rounding, not variation.
_CONSTANT_TOLERANCE = 1e-12
# Standard deviations beyond which a row is far, and shares of what a single row could reach: from 25 such rows on they
# are no exceptions.
_FAR, _SHARE, _SHARE_OF_FEW = 8.0, 0.2, 0.7
_FEWEST_ROWS, _MOST_ROWS, _ROWS_A_FAR_ONE = 20, 10_000, 500
# Sums of absolute terms (for features one standard deviation from the mean) up to which float32 whitens well enough,
# and how far (in standard deviations) rounding to float32 may move the map.
_FLOAT32_AMPLIFICATION, _FLOAT32_MOVE = 50.0, 1e-2


@dataclass(frozen=True)
class RowMoments:
    """Mean (d,) and covariance (d, d) of rows, or of a mixture; of rows also their least and largest values (2, d)."""

    mean: NDArray[np.float64]
    covariance: NDArray[np.float64]
    extremes: NDArray[np.float64] | None = None


def moments_of_rows(rows: Any, *, may_be_constant: bool = False, diagonal: bool = False) -> RowMoments:
    """Mean, covariance (divided by n) and extremes in one pass; of many features variances alone, if they are enough."""
    alone = diagonal and rows.shape[1] > _MANY_FEATURES
    count, mean, scatter, extremes = fold(rows, partial(_running_moments, alone=alone), _merge_moments)
    if alone:
        scatter = np.diag(scatter)
    if not np.isfinite(scatter).all():
        msg = "X holds values whose squares overflow: rescale the features first."
        raise ValueError(msg)
    covariance = scatter / count
    constant = np.diag(covariance) <= (_CONSTANT_TOLERANCE * mean) ** 2
    if constant.all() and not may_be_constant:
        msg = f"X is constant: all {count} rows are equal, so there is no mixture to fit."
        raise ValueError(msg)
    covariance[constant] = 0.0
    covariance[:, constant] = 0.0
    return RowMoments(mean, covariance, extremes)


def spreads(moments: RowMoments) -> Float:
    """Standard deviation of each feature, by which regularisation is measured; constant ones get the others' mean."""
    variances = np.diag(moments.covariance)
    varies = variances > 0
    return np.sqrt(np.where(varies, variances, variances[varies].mean() if varies.any() else 1.0))


def robust_moments(rows: Any, moments: RowMoments) -> RowMoments:
    """The moments, but where values lie far beyond all others those without what the few of them contribute.

    Units that a single row decides would leave single precision and the regularisation blind to everything else. Then
    every feature of some evenly spaced rows is cut off beyond the values that one in 500 rows exceeds.
    """
    n_rows, spread = rows.shape[0], np.sqrt(np.diag(moments.covariance))
    if moments.extremes is None or n_rows < _FEWEST_ROWS:
        return moments
    furthest = np.maximum(moments.extremes[1] - moments.mean, moments.mean - moments.extremes[0])
    alone = np.sqrt(n_rows)
    if not (furthest > min(max(_FAR, _SHARE * alone), _SHARE_OF_FEW * alone) * spread).any():
        return moments
    some = np.unique(np.linspace(0, n_rows - 1, min(n_rows, _MOST_ROWS)).astype(np.intp))
    values = np.asarray(take_rows(rows, some), dtype=np.float64)
    cut = max(1, len(values) // _ROWS_A_FAR_ONE)
    low, high = np.partition(values, [cut, -1 - cut], axis=0)[[cut, -1 - cut]]
    plain = low == high
    values = np.clip(values, low, high)
    covariance = np.atleast_2d(np.cov(values.T, ddof=0))
    covariance[plain], covariance[:, plain] = 0.0, 0.0
    covariance[plain, plain] = np.diag(moments.covariance)[plain]
    mean = np.where(plain, moments.mean, values.mean(axis=0))
    return RowMoments(mean, covariance, moments.extremes)


def _running_moments(rows: Any, *, alone: bool) -> RunningMoments:
    """Moments of the rows, block by block; with the sums of squares ``alone`` in place of the scatter."""
    n_dims = rows.shape[1]
    nowhere = np.stack([np.full(n_dims, np.inf), np.full(n_dims, -np.inf)])
    running: RunningMoments = (0, np.zeros(n_dims), np.zeros(n_dims if alone else (n_dims, n_dims)), nowhere)
    for _, block in iter_blocks(rows, block_length(n_dims, 8)):
        mean = block.mean(axis=0)
        centred = block - mean
        extremes = np.stack([block.min(axis=0), block.max(axis=0)])
        own = np.einsum("ij,ij->j", centred, centred) if alone else centred.T @ centred
        running = _merge_moments(running, (len(block), mean, own, extremes))
    return running


def _merge_moments(one: RunningMoments, other: RunningMoments) -> RunningMoments:
    """Number of rows, mean, scatter and extremes of the rows of both, the first three as Chan et al. (1983) merge them."""
    (n_one, mean, scatter, (low, high)), (n_other, other_mean, other_scatter, (other_low, other_high)) = one, other
    count, shift = n_one + n_other, other_mean - mean
    products = shift * shift if scatter.ndim == 1 else np.outer(shift, shift)
    between = products * (n_one * n_other / count)
    extremes = np.stack([np.minimum(low, other_low), np.maximum(high, other_high)])
    return count, mean + shift * (n_other / count), scatter + (other_scatter + between), extremes


def moments_of_mixture(parameters: Parameters) -> RowMoments:
    """Mean and covariance of the distribution that the parameters describe (law of total variance).

    Components so far from all others that the units of these would be lost in rounding are left out.
    """
    weights, means, covariances = parameters.weights, parameters.means, parameters.covariances
    usual = _are_usual(parameters)
    if not usual.all():
        weights, means = weights[usual] / weights[usual].sum(), means[usual]
        covariances = covariances if parameters.covariance_type == "tied" else covariances[usual]
    mean = weights @ means
    deviation = means - mean
    between = (weights[:, None] * deviation).T @ deviation
    within: dict[str, Callable[[], NDArray[np.float64]]] = {
        "full": lambda: np.tensordot(weights, covariances, axes=1),
        "tied": lambda: covariances,
        "diag": lambda: np.diag(weights @ covariances),
    }
    return RowMoments(mean, between + within[parameters.covariance_type]())


def _are_usual(parameters: Parameters) -> NDArray[np.bool_]:
    """Which components lie within a distance, in their usual spread, that double precision squares without loss."""
    full = parameters.covariance_type != "diag"
    variances = np.diagonal(parameters.covariances, axis1=-2, axis2=-1) if full else parameters.covariances
    variances = np.broadcast_to(variances, parameters.means.shape)
    heavy = parameters.weights >= np.median(parameters.weights)
    middle = np.median(parameters.means[heavy], axis=0)
    distances = np.abs(parameters.means - middle)
    spread = np.sqrt(np.median(variances[heavy], axis=0)) + np.median(distances[heavy], axis=0)
    usual = np.all(distances <= _LOST * np.where(spread > 0, spread, np.inf), axis=1)
    return usual if usual.any() else np.ones_like(usual)


@dataclass(frozen=True)
class Whitening:
    """The affine map z = (x - mean) @ forward, and back x = mean + z @ backward.

    For diagonal covariances ``forward`` and ``backward`` are vectors of scales, so that features are not mixed.
    ``suits_float32`` tells whether float32 rows may be mapped in float32.
    """

    mean: NDArray[np.float64]
    forward: NDArray[np.float64]
    backward: NDArray[np.float64]
    suits_float32: bool = False

    @classmethod
    def from_moments(
        cls, moments: RowMoments, *, diagonal: bool, ridge: NDArray[np.float64] | float = 0.0
    ) -> Whitening:
        """Whitening of a distribution; ``ridge`` joins its variances, as it will join those of the components."""
        covariance = moments.covariance + np.diag(np.broadcast_to(ridge, len(moments.mean)))
        scale = np.sqrt(np.diag(covariance))
        scale[scale == 0] = 1.0
        if diagonal:
            return cls(moments.mean, 1 / scale, scale)
        eigenvalues, vectors = np.linalg.eigh(covariance / np.outer(scale, scale))
        roots = np.sqrt(np.maximum(eigenvalues, _EIGENVALUE_FLOOR * eigenvalues[-1]))
        return cls(moments.mean, vectors / scale[:, None] / roots, (vectors * roots).T * scale)

    def rounded(self) -> Whitening:
        """The nearby map that float32 holds exactly, where it exists and float32 applies it accurately; else this one.

        Any map that is nearly white serves; one that needs no rounding leaves only the errors of single rows, which
        average out.
        """
        spread = self.backward if self.diagonal else np.sqrt(np.square(self.backward).sum(axis=0))
        with np.errstate(over="ignore", invalid="ignore"):
            mean, forward = (values.astype(np.float32).astype(np.float64) for values in (self.mean, self.forward))
            terms = np.abs(forward.T) * spread
            move = max(np.max(np.abs(mean - self.mean) / spread), np.max(np.abs((forward - self.forward).T) * spread))
        amplification = np.max(terms if self.diagonal else terms.sum(axis=1))
        if not (amplification <= _FLOAT32_AMPLIFICATION and move <= _FLOAT32_MOVE):
            return self
        backward = np.array(1 / forward if self.diagonal else np.linalg.inv(forward), dtype=np.float64)
        return Whitening(mean, forward, backward, suits_float32=True)

    def scaling(self) -> tuple[Whitening, NDArray[np.float64]]:
        """The part that only scales features, and the matrix (d, d) that turns what it returns into z."""
        scale = np.sqrt(np.square(self.backward).sum(axis=0))
        scaling = Whitening(self.mean, 1 / scale, scale)
        if self.suits_float32:
            # The centre is rounded already, so that both have the same.
            scaling = scaling.rounded()
        return scaling, scaling.backward[:, None] * self.forward

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

    def of_spreads(self, spreads: NDArray[np.float64]) -> NDArray[np.float64]:
        """The covariance of independent features with these standard deviations, seen from the whitened space."""
        scaled = (spreads * self.forward.T).T
        return scaled**2 if self.diagonal else scaled.T @ scaled

    def reach(self, extremes: NDArray[np.float64]) -> float:
        """No whitened value of rows with these extremes (2, d) is larger in size."""
        furthest = np.maximum(extremes[1] - self.mean, self.mean - extremes[0])
        terms = np.abs(self.forward)
        return float((furthest * terms if self.diagonal else furthest @ terms).max())

    def columns(self, block: NDArray[Any], out: NDArray[Any] | None = None) -> NDArray[Any]:
        """Whitened rows as columns: (rows, d) to (d, rows), computed in the dtype of the rows."""
        mean, forward = self.mean.astype(block.dtype), self.forward.astype(block.dtype)
        if not self.diagonal:
            return np.matmul(forward.T, (block - mean).T, out=out)
        centred = np.subtract(block.T, mean[:, None], out=out)
        centred *= forward[:, None]
        return centred

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

    def covariance(self, moments: RowMoments) -> NDArray[np.float64]:
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
