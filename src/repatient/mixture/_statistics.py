"""What one pass of EM takes and gives: coefficients of the features, and sums of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Float = NDArray[np.float64]

# The squares of rows beyond this distance (in global standard deviations) leave float32 too few digits.
FLOAT32_DISTANCE = 1e3
# Smaller responsibilities change no sum; as subnormal numbers they would slow the products down.
LEAST_EXPONENT = -80.0
# Of a component: no weight has no logarithm.
SMALLEST_WEIGHT = 1e-300
# Not 1: a component that holds exactly one row sums to it only up to rounding.
MIN_EFFECTIVE_ROWS = 0.999
# Sums of absolute terms up to which float32 keeps the mean log density to about 1e-5 nats, and EM stable: the first
# for the average row, the second for the rows of any component.
_USUAL_TERMS, _LARGEST_TERMS = 3e4, 3e5


@dataclass(frozen=True)
class Coefficients:
    """Coefficients (K, p) of the features, and the mean features (K, p) of rows drawn from each component.

    For tied covariances ``factor`` is what makes the shared quadratic form a sum of squares.
    """

    values: Float
    expected: Float
    weights: Float
    factor: Float | None = None

    def linear(self, n_features: int) -> Coefficients:
        """Those of the first features alone."""
        return Coefficients(self.values[:, :n_features], self.expected[:, :n_features], self.weights)

    def before(self, linear_map: Float) -> Coefficients:
        """Those of features 1 and u, for features 1 and z = u @ ``linear_map``, as densities of u."""
        log_volume = np.linalg.slogdet(linear_map)[1]
        values = np.column_stack([self.values[:, 0] + log_volume, self.values[:, 1:] @ linear_map.T])
        expected = np.column_stack([self.expected[:, 0], self.expected[:, 1:] @ np.linalg.inv(linear_map)])
        return Coefficients(values, expected, self.weights)

    def suits_float32(self, margin: float = 1.0) -> bool:
        """Whether the terms of the log densities, times ``margin``, are small enough to cancel in single precision."""
        terms = margin * np.abs(self.values * self.expected).sum(axis=1)
        return bool(terms.max() < _LARGEST_TERMS and terms @ self.weights < _USUAL_TERMS)

    def rounding(self, dtype: np.dtype[Any]) -> Float:
        """By how much rounded coefficients overstate the mean log density of each component's own rows.

        Rounding moves all rows of a component alike, so that it would not average out as the rounding of rows does.
        """
        return ((self.values.astype(dtype) - self.values) * self.expected).sum(axis=1)


@dataclass(frozen=True)
class Sums:
    """Sums (K, p) of the features of all rows, weighted with the responsibilities."""

    values: Float
    n_rows: int

    @property
    def counts(self) -> Float:
        """Effective number of rows of each component."""
        return self.values[:, 0]

    @property
    def alive(self) -> NDArray[np.bool_]:
        """Components with rows enough to estimate them from."""
        return self.counts >= MIN_EFFECTIVE_ROWS

    def per_row(self, first: int, last: int | None = None) -> Float:
        """Weighted means of the features ``first:last``."""
        return self.values[:, first:last] / np.maximum(self.counts, MIN_EFFECTIVE_ROWS)[:, None]
