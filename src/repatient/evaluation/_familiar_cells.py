"""Where the cells of training patients lie."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture as Sklearn

from repatient._files._scratch import blocks
from repatient.mixture import GaussianMixture

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

TINY = 1e-9
# Cells that the density is fitted to, components and axes that they are spent on.
_MOST_CELLS, _MOST_COMPONENTS, _MOST_AXES, _CELLS_OF_A_COMPONENT = 5_000, 8, 20, 50
_EM_STEPS = 30
# Features of which a few axes are found quicker without all of them, in so many rounds.
_FEW_FEATURES, _POWER_STEPS = 256, 2
# Standard deviations, so that one wild value does not decide.
_CLIP = 8.0
# Share of the training cells on the far side of each of the two thresholds of a cell.
_OUTSIDE = 0.025


def fit_density(
    X: NDArray[Any], codes: NDArray[np.int64], seed: int
) -> tuple[dict[str, NDArray[Any]], NDArray[np.int64]]:
    """A mixture of a few Gaussians over the principal axes of some cells of each patient, and which cells these are.

    The arrays are ``location`` and ``scale`` (d,) of the features; ``center`` (d,), ``axes`` (q, d) and ``axis_scale`` (q,);
    ``weights``, ``means`` and ``covariances`` of the mixture; and ``thresholds``, the log-density and the squared distance
    from the axes between which a cell is inside.
    """
    n_patients = int(codes.max()) + 1
    n_cells = np.bincount(codes, minlength=n_patients)
    location, scale = moments(X, 1 / n_cells[codes] / n_patients)
    arrays: dict[str, Any] = {"location": location, "scale": scale, "n_cells": n_cells}
    chosen = some_cells(codes, n_cells, max(_MOST_CELLS // n_patients, 20), seed)
    Z = standardised(arrays, X[chosen])
    n, d = Z.shape
    n_components = max(1, min(_MOST_COMPONENTS, n // _CELLS_OF_A_COMPONENT))
    n_axes = min(d, n - 1, _MOST_AXES, max(2, n // (10 * n_components)))
    solver = "randomized" if d > _FEW_FEATURES else "covariance_eigh" if n >= d else "full"
    rotation = PCA(n_axes, svd_solver=solver, iterated_power=_POWER_STEPS, random_state=seed).fit(Z)
    A = rotation.transform(Z).astype(np.float64, copy=False)
    full = n >= 5 * n_components * n_axes * (n_axes + 3) // 2
    # Quicker on some thousand cells than the mixture of this package; how well it converged is no matter.
    mixture = Sklearn(
        n_components,
        covariance_type="full" if full else "diag",
        reg_covar=max(1e-3 * float(A.var(axis=0).mean()), TINY),
        max_iter=_EM_STEPS,
        init_params="k-means++",
        random_state=seed,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        mixture.fit(A)
    covariances = mixture.covariances_ if full else np.stack([np.diag(row) for row in mixture.covariances_])
    arrays |= {"center": rotation.mean_, "axes": rotation.components_}
    arrays |= {"weights": mixture.weights_, "means": mixture.means_, "covariances": covariances}
    density, rest, _ = log_densities(arrays, Z, A)
    arrays["axis_scale"] = np.maximum(A.std(axis=0), TINY)
    arrays["thresholds"] = np.array([np.quantile(density, _OUTSIDE), np.quantile(rest, 1 - _OUTSIDE) + TINY * d])
    return arrays, chosen


def standardised(arrays: Mapping[str, NDArray[Any]], X: NDArray[Any]) -> NDArray[np.floating]:
    """Features in standard deviations from their mean, wild ones clipped, (n, d), in the precision that suits them."""
    dtype = _precision(X)
    Z: NDArray[np.floating] = np.subtract(X, arrays["location"].astype(dtype), dtype=dtype)
    Z /= arrays["scale"].astype(dtype)
    return np.clip(Z, -_CLIP, _CLIP, out=Z)


def in_axes(arrays: Mapping[str, NDArray[Any]], Z: NDArray[np.floating]) -> NDArray[np.float64]:
    """Standardised cells in the principal axes, (n, q)."""
    center, axes = arrays["center"].astype(Z.dtype), arrays["axes"].astype(Z.dtype)
    return ((Z - center) @ axes.T).astype(np.float64, copy=False)


def _precision(X: NDArray[Any]) -> type[np.floating]:
    """Single where features are many: passes over them are what takes time, and what is learnt are sums over them."""
    return np.float32 if X.dtype == np.float32 and X.shape[1] > _FEW_FEATURES else np.float64


def log_densities(
    arrays: Mapping[str, NDArray[Any]], Z: NDArray[np.floating], A: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Log-density in the axes, squared distance from them, and component of each cell."""
    mixture = GaussianMixture.from_parameters(arrays["weights"], arrays["means"], arrays["covariances"])
    components, density = mixture.predict_with_density(A)[:2]
    rest = np.maximum(((Z - arrays["center"].astype(Z.dtype)) ** 2).sum(axis=1) - (A**2).sum(axis=1), 0)
    return density, rest, components


def moments(X: NDArray[Any], weight: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation of each feature, cells with weights (n,) that sum to 1."""
    dtype, d = _precision(X), X.shape[1]
    location, variance = np.zeros(d), np.zeros(d)
    for part in blocks(len(X), width=d):
        location += weight[part].astype(dtype) @ X[part].astype(dtype, copy=False)
    for part in blocks(len(X), width=d):
        with np.errstate(over="ignore"):
            rest = X[part] - location.astype(dtype)
            squares = weight[part].astype(dtype) @ np.square(rest, out=rest)
        if not np.isfinite(squares).all():
            # Finite values may have squares that overflow in single precision.
            squares = weight[part] @ (X[part].astype(np.float64) - location) ** 2
        variance += squares
    # What does not vary beyond rounding has no unit of its own.
    still = variance <= (1e-6 * np.abs(location)) ** 2
    return location, np.where(still, np.maximum(np.abs(location), 1) * 1e-3, np.sqrt(variance))


def pooled(X: NDArray[Any], inside: NDArray[np.bool_]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation of each feature, every cell inside of equal weight."""
    return moments(X, inside / inside.sum())


def some_cells(codes: NDArray[np.int64], n_cells: NDArray[np.int64], most: int, seed: int) -> NDArray[np.int64]:
    """At most so many random cells of each patient."""
    order = np.random.default_rng(seed).permutation(len(codes))
    order = order[np.argsort(codes[order], kind="stable")]
    starts = np.concatenate([[0], np.cumsum(n_cells)[:-1]])
    return np.sort(order[np.arange(len(codes)) - starts[codes[order]] < most])
