"""Gaussian mixtures of cells."""

from __future__ import annotations

from repatient.mixture._gaussian_mixture import GaussianMixture
from repatient.mixture._selection import select_n_components

__all__ = ["GaussianMixture", "select_n_components"]
