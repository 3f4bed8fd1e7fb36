"""Gaussian mixtures of cells."""

from __future__ import annotations

from repatient.mixture._chunks import masked_rows
from repatient.mixture._components import Components
from repatient.mixture._gaussian_mixture import GaussianMixture
from repatient.mixture._selection import default_n_components, select_n_components

__all__ = ["Components", "GaussianMixture", "default_n_components", "masked_rows", "select_n_components"]
