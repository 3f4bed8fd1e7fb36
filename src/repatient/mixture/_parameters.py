"""The parameters of a mixture, in whichever space they are expressed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from repatient._checks import check_option
from repatient._messages import warn

if TYPE_CHECKING:
    from numpy.typing import NDArray

COVARIANCE_TYPES = ("full", "tied", "diag")
_MANY_DIMENSIONS = 64


@dataclass(frozen=True)
class Parameters:
    """Covariance type, weights (K,), means (K, d) and covariances (K, d, d), (d, d) or (K, d), all float64."""

    covariance_type: str
    weights: NDArray[np.float64]
    means: NDArray[np.float64]
    covariances: NDArray[np.float64]

    def ordered(self) -> Parameters:
        """The same mixture with the heaviest component first."""
        order = np.argsort(-self.weights, kind="stable")
        covariances = self.covariances if self.covariance_type == "tied" else self.covariances[order]
        return Parameters(self.covariance_type, self.weights[order], self.means[order], covariances)


def covariance_shape(covariance_type: str, n_components: int, n_dims: int) -> tuple[int, ...]:
    """Shape of the covariances of a mixture."""
    shapes = {"full": (n_components, n_dims, n_dims), "tied": (n_dims, n_dims), "diag": (n_components, n_dims)}
    check_option(covariance_type, "covariance_type", COVARIANCE_TYPES)
    return shapes[covariance_type]


def checked_parameters(
    weights: Any, means: Any, covariances: Any, covariance_type: str, *, names: str = "{}"
) -> Parameters:
    """Float64 copies of the parameters, after checks of their shapes and values."""
    means = np.array(means, dtype=np.float64)
    if means.ndim != 2:
        msg = f"`{names.format('means')}` is (n_components, n_features), but its shape is {means.shape}."
        raise ValueError(msg)
    expected = {
        "weights": (np.array(weights, dtype=np.float64), means.shape[:1]),
        "means": (means, means.shape),
        "covariances": (np.array(covariances, dtype=np.float64), covariance_shape(covariance_type, *means.shape)),
    }
    for name, (values, shape) in expected.items():
        if values.shape != shape:
            msg = f"`{names.format(name)}` has shape {shape} ({covariance_type} covariance), not {values.shape}."
            raise ValueError(msg)
        if not np.isfinite(values).all():
            msg = f"`{names.format(name)}` contains NaN or infinity."
            raise ValueError(msg)
    checked = Parameters(covariance_type, *(values for values, _ in expected.values()))
    total = checked.weights.sum()
    if (checked.weights < 0).any() or abs(total - 1) > 1e-4:
        msg = f"`{names.format('weights')}` are non-negative and sum to 1, but these sum to {total:.6g}."
        raise ValueError(msg)
    return checked


def check_size(shape: tuple[int, int], n_components: int, covariance_type: str) -> None:
    """Refuse too few rows, advise against too many features; the caller is what the user has called."""
    n_rows, n_dims = shape
    if n_rows < n_components:
        msg = f"`X` has {n_rows} rows, fewer than `n_components`={n_components}: use fewer components."
        raise ValueError(msg)
    if covariance_type == "full" and n_dims > _MANY_DIMENSIONS:
        msg = (
            f"A full covariance of {n_dims} features has {n_dims * (n_dims + 1) // 2} parameters a component: "
            "covariance_type='diag', or PCA to fewer features first, is faster and usually fits better."
        )
        warn(msg)
