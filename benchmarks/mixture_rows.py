"""Rows that mixtures are measured on: realistic ones, and a single Gaussian."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from repatient.mixture._parameters import Parameters

N_COMPONENTS = 24


class Drawn(NamedTuple):
    rows: np.ndarray
    truth: Parameters


def draw(n_rows: int, n_dims: int, seed: int) -> Drawn:
    """Overlapping states of unequal size with heavy tails (Student t, 6 degrees of freedom), and their moments."""
    rng = np.random.default_rng(seed)
    weights = np.sort(rng.dirichlet(np.full(N_COMPONENTS, 3.0)))[::-1]
    scales = np.geomspace(3.0, 0.3, n_dims)
    means = rng.normal(size=(N_COMPONENTS, n_dims)) * 4.5 / np.sqrt(n_dims)
    factors = rng.normal(size=(N_COMPONENTS, n_dims, n_dims)) * (0.5 / np.sqrt(n_dims)) + 0.8 * np.eye(n_dims)
    labels = rng.choice(N_COMPONENTS, size=n_rows, p=weights)
    noise = rng.normal(size=(n_rows, n_dims)) / np.sqrt(rng.chisquare(6, size=(n_rows, 1)) / 6)
    rows = np.empty((n_rows, n_dims), np.float32)
    for k in range(N_COMPONENTS):
        own = labels == k
        rows[own] = (means[k] + noise[own] @ factors[k].T) * scales
    covariances = 1.5 * factors @ np.swapaxes(factors, 1, 2) * np.outer(scales, scales)
    return Drawn(rows, Parameters("full", weights, means * scales, covariances))


def as_type(truth: Parameters, covariance_type: str) -> Parameters:
    """The true parameters with covariances of another type."""
    full = truth.covariances
    covariances = {
        "full": lambda: full,
        "tied": lambda: np.tensordot(truth.weights, full, axes=1),
        "diag": lambda: np.ascontiguousarray(np.diagonal(full, axis1=1, axis2=2)),
    }[covariance_type]()
    return Parameters(covariance_type, truth.weights, truth.means, covariances)


def draw_blob(n_rows: int, n_dims: int, seed: int) -> np.ndarray:
    """One Gaussian whose features spread as those of ``draw``."""
    noise = np.random.default_rng(seed).standard_normal((n_rows, n_dims))
    return (noise * np.geomspace(3.0, 0.3, n_dims)).astype(np.float32)
