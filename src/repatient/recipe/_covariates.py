"""How compositions go with age, sex or whatever else is known of a patient: regression of log-ratios.

The model is written out in :mod:`repatient.recipe`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.linalg import helmert
from scipy.optimize import minimize_scalar

from repatient.recipe._composition import log_ratios, proportions, smoothed_proportions

if TYPE_CHECKING:
    from collections.abc import Mapping

_LOG_RATIO_BOUNDS = (-15.0, 6.0)


@dataclass(frozen=True)
class Design:
    """Columns of numbers that covariates are turned into.

    Parameters
    ----------
    names
        Covariate of each column.
    levels
        Level that a column is the indicator of, ``None`` for a numeric covariate.
    """

    names: tuple[str, ...]
    levels: tuple[str | None, ...]

    @property
    def covariates(self) -> dict[str, list[str] | None]:
        """Levels of each covariate, ``None`` for numeric ones."""
        found: dict[str, list[str] | None] = {}
        for name, level in zip(self.names, self.levels, strict=True):
            found[name] = None if level is None else [*(found.get(name) or []), level]
        return found

    def matrix(self, values: Mapping[str, Any]) -> np.ndarray:
        """Numbers of patients with these values, (patients, columns)."""
        columns = [
            np.asarray(values[name], dtype=np.float64)
            if level is None
            else (np.asarray(values[name]).astype(str) == level).astype(np.float64)
            for name, level in zip(self.names, self.levels, strict=True)
        ]
        return np.stack(columns, axis=1)


def design_of(values: Mapping[str, np.ndarray]) -> Design:
    """Columns for covariates: one for numbers, one a level for all else."""
    columns: list[tuple[str, str | None]] = []
    for name, column in values.items():
        if np.asarray(column).dtype.kind in "iuf":
            columns.append((name, None))
        else:
            columns += [(name, str(level)) for level in np.unique(np.asarray(column).astype(str))]
    return Design(tuple(name for name, _ in columns), tuple(level for _, level in columns))


def fit_effects(counts: np.ndarray, codes: np.ndarray, x: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """Effect of each column of covariates on the logarithms of a composition, (columns, K), rows summing to 0.

    Parameters
    ----------
    counts
        Cells of each patient in each component, (patients, K).
    codes
        Class of each patient, (patients,).
    x
        Covariates, (patients, columns), see :meth:`Design.matrix`.
    centre
        Composition that zeros are smoothed towards, (K,).
    """
    binary = np.isin(x, (0.0, 1.0)).all(axis=0)
    scale = np.where(binary, 1.0, np.maximum(x.std(axis=0), np.finfo(float).tiny))
    y = _within_classes(log_ratios(smoothed_proportions(counts, centre)), codes)
    left, spread, right = np.linalg.svd(_within_classes(x / scale, codes), full_matrices=False)
    kept = spread > 1e-9 * max(spread[0], 1.0)
    left, spread, right = left[:, kept], spread[kept], right[kept]
    along = left.T @ y
    ratio = _variance_ratio(spread**2, along, (y**2).sum() - (along**2).sum(), len(y) - len(np.unique(codes)))
    slopes = right.T @ (along * (ratio * spread / (1 + ratio * spread**2))[:, None])
    return slopes @ helmert(counts.shape[1]) / scale[:, None]


def _within_classes(values: np.ndarray, codes: np.ndarray) -> np.ndarray:
    sums = np.zeros((codes.max() + 1, values.shape[1]))
    np.add.at(sums, codes, values)
    return values - (sums / np.maximum(np.bincount(codes), 1)[:, None])[codes]


def _variance_ratio(eigenvalues: np.ndarray, along: np.ndarray, rest: float, degrees: int) -> float:
    """Variance of slopes over that of residuals which maximises the marginal likelihood."""
    if not len(eigenvalues) or degrees < 1:
        return 0.0
    squared, n_ratios = (along**2).sum(axis=1), along.shape[1]

    def loss(log_ratio: float) -> float:
        inflated = 1 + np.exp(log_ratio) * eigenvalues
        total = (squared / inflated).sum() + rest
        return 0.5 * n_ratios * (np.log(inflated).sum() + degrees * np.log(max(total, np.finfo(float).tiny)))

    return float(np.exp(minimize_scalar(loss, bounds=_LOG_RATIO_BOUNDS, method="bounded").x))


def moved(compositions: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """Compositions whose logarithms are moved by ``shift`` (patients, K); what is 0 stays 0."""
    return proportions(compositions * np.exp(shift - shift.max(axis=1, keepdims=True)))


def without_effects(counts: np.ndarray, codes: np.ndarray, x: np.ndarray, effects: np.ndarray) -> np.ndarray:
    """Counts (not whole numbers) that patients with the mean covariates of their class would have."""
    sizes = counts.sum(axis=1, keepdims=True)
    return sizes * moved(counts / sizes, -_within_classes(x, codes) @ effects)
