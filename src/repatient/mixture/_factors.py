"""Full covariances of many features, each seen through a linear map of its own component.

All products of some hundred features take longer to write than a product with the factor of each precision, and most rows
have one component only, whose second moments are all that they add to.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.linalg import get_blas_funcs, get_lapack_funcs

from repatient.mixture._scores import Scores, Workspace
from repatient.mixture._statistics import SMALLEST_WEIGHT

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Float = NDArray[np.float64]

# Squares of the sums of absolute terms up to which the distances of rows keep their digits in single precision: first for
# the average row, then for the rows of any component. Their errors have no sign, so that they average out over rows.
_USUAL_TERMS, _LARGEST_TERMS = 1e8, 1e9
# Rows with a smaller share in a component add nothing to its sums that single precision would tell.
_LEAST_SHARE = 1e-12


@dataclass(frozen=True)
class Factors:
    """What scores whitened rows under components: log w_k + log N(z | m_k, S_k) = c_k - |F_k (z - m_k)|² / 2.

    ``constants`` (K,) are c, ``factors`` (K, d, d) the inverses F of the lower Cholesky factors of S, ``means`` (K, d) are
    m, and ``weights`` (K,) w; ``terms`` (K,) are the squared sums of the absolute terms of F_k z, for usual rows.
    """

    constants: Float
    factors: Float
    means: Float
    weights: Float
    terms: Float

    @classmethod
    def of(cls, weights: Float, means: Float, covariances: Float) -> Factors:
        """Those of a mixture; a covariance that is not positive definite is a LinAlgError."""
        log_weights = np.log(np.maximum(weights, SMALLEST_WEIGHT))
        lower = np.linalg.cholesky(covariances)
        log_det = 2 * np.log(np.diagonal(lower, axis1=1, axis2=2)).sum(axis=1)
        constants = log_weights - 0.5 * (means.shape[1] * np.log(2 * np.pi) + log_det)
        (invert,) = get_lapack_funcs(("trtri",), (lower,))
        factors = np.stack([np.ascontiguousarray(invert(matrix, lower=1)[0]) for matrix in lower])
        sizes = np.sqrt(np.diagonal(covariances, axis1=1, axis2=2) + means**2)
        terms = np.square(np.einsum("kij,kj->ki", np.abs(factors), sizes)).sum(axis=1)
        return cls(constants, factors, means, weights, terms)

    def suits_float32(self, margin: float = 1.0) -> bool:
        """Whether distances keep digits enough in single precision with terms that are ``margin`` times as large."""
        terms = margin**2 * self.terms
        return bool(terms.max() < _LARGEST_TERMS and terms @ self.weights < _USUAL_TERMS)


class FactorScores(Scores):
    """Scores whose sums need the rows alone."""

    def add_sums(self, sums: NDArray[np.float64]) -> None:
        """Sums of 1, z and all of z zᵀ, over the rows that each component has a share in."""
        n_dims = len(self.z)
        for all_shares, own in zip(self.log_joint, sums, strict=True):
            rows = np.flatnonzero(all_shares > _LEAST_SHARE)
            shares, z = all_shares[rows], self.z.T[rows]
            own[0] += shares.sum()
            own[1 : n_dims + 1] += shares @ z
            z *= np.sqrt(shares)[:, None]
            own[n_dims + 1 :] += (z.T @ z).ravel()


class FactorWorkspace(Workspace):
    """Factors of one dtype, and room for a block of at most ``length`` rows."""

    def __init__(self, factors: Factors, length: int, dtype: np.dtype[Any]) -> None:
        # What all have in common is added in double precision.
        self.common = float(factors.constants.max())
        self.constants = (factors.constants - self.common).astype(dtype)[:, None]
        self.means = factors.means.astype(dtype)
        # Upper triangles in the order of Fortran, which is what a product in place takes.
        self.factors = [factor.T for factor in factors.factors.astype(dtype)]
        self.multiply = get_blas_funcs("trmm", (self.factors[0],))
        n_dims = self.means.shape[1]
        self.z, self.centred = np.empty((length, n_dims), dtype), np.empty((length, n_dims), dtype)
        self.log_joint = np.empty((len(self.means), length), dtype)

    def whitened(self, n_rows: int) -> NDArray[Any]:
        """Rows one after the other in memory."""
        return self.z[:n_rows].T

    def score(self, where: slice, log_jacobian: float) -> FactorScores:
        """A triangular product for each component."""
        n_rows = where.stop - where.start
        z, centred, log_joint = self.z[:n_rows], self.centred[:n_rows], self.log_joint[:, :n_rows]
        for factor, mean, own in zip(self.factors, self.means, log_joint, strict=True):
            np.subtract(z, mean, out=centred)
            spherical = self.multiply(1.0, factor, centred.T, trans_a=1, overwrite_b=1).T
            np.einsum("ij,ij->i", spherical, spherical, out=own)
        log_joint *= -0.5
        log_joint += self.constants
        return FactorScores(where, z.T, log_joint, log_jacobian + self.common)
