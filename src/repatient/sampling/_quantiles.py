"""Bring the cells of one cohort to where those of another lie, feature by feature and then by their moments."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from repatient.sampling._alignment import class_moments, moment_map, patient_weights

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from repatient.sampling._alignment import AffineMap

_MOST_KNOTS = 200
_CELLS_OF_A_KNOT = 10


class CellsOfClasses(NamedTuple):
    """Cells whose classes and patients are known.

    Parameters
    ----------
    rows
        The cells, (n, d).
    classes
        Class of each as a position in a list of names, (n,).
    patients
        Patient of each, (n,).
    """

    rows: NDArray[Any]
    classes: NDArray[np.int64]
    patients: NDArray[np.int64]


@dataclass(frozen=True)
class MonotoneMap:
    """A map of each feature: linear between knots, and on beyond them as between the last two.

    Parameters
    ----------
    knots, values
        For each feature where it bends, increasing, and what it gives there, (m,) each; m differs between features.
    """

    knots: tuple[NDArray[np.float64], ...]
    values: tuple[NDArray[np.float64], ...]

    def __call__(self, X: NDArray[Any]) -> NDArray[np.float64]:
        """Move rows (n, d)."""
        moved = np.empty(X.shape, dtype=np.float64)
        for j, (knots, values) in enumerate(zip(self.knots, self.values, strict=True)):
            x = np.asarray(X[:, j], dtype=np.float64)
            moved[:, j] = np.interp(x, knots, values)
            for end, beyond in ((slice(None, 2), x < knots[0]), (slice(-2, None), x > knots[-1])):
                rise, run = np.ptp(values[end]), np.ptp(knots[end])
                outer = 0 if end.start is None else -1
                moved[beyond, j] += (rise / run if run > 0 else 1.0) * (x[beyond] - knots[outer])
        return moved


@dataclass(frozen=True)
class QuantileMap:
    """A monotone map of each feature, followed by an affine map.

    Parameters
    ----------
    monotone
        What is done to each feature by itself.
    affine
        What is done to the result.
    """

    monotone: MonotoneMap
    affine: AffineMap

    def __call__(self, X: NDArray[Any]) -> NDArray[np.float64]:
        """Move rows (n, d)."""
        return self.affine(self.monotone(X))


def quantile_map(source: CellsOfClasses, target: CellsOfClasses, names: Sequence[str]) -> QuantileMap:
    """Fit the map that gives the classes ``names`` of the source the quantiles, then the moments, of the target's.

    Parameters
    ----------
    source, target
        Cells of the classes that both have. Every patient counts the same in its class, and every class the same.
    names
        Names of the classes.

    Returns
    -------
    The map. Whatever stretches or bends each feature by itself, without turning its order round, is undone but for the
    noise of the quantiles; :func:`moment_map` then matches the covariance, which quantiles do not see.

    Notes
    -----
    Quantiles are taken at up to 200 places, ten cells or more apart, and ever denser towards both ends, where a map
    bends most and nothing lies beyond to hold it: quantile normalisation within classes, in one dimension the optimal
    transport.
    """
    levels = _levels(min(len(source.rows), len(target.rows)))
    pairs = [
        _distinct(from_, to) for from_, to in zip(_quantiles(source, levels), _quantiles(target, levels), strict=True)
    ]
    monotone = MonotoneMap(*zip(*pairs, strict=True))
    moved = class_moments(monotone(source.rows), source.classes, source.patients, names)
    return QuantileMap(monotone, moment_map(moved, class_moments(target.rows, *target[1:], names), names))


def _levels(n_cells: int) -> NDArray[np.float64]:
    """Probabilities at which quantiles are taken, down to that of a single cell."""
    n_knots = int(np.clip(n_cells // _CELLS_OF_A_KNOT, 2, _MOST_KNOTS))
    tail = 0.5 ** np.arange(1, max(int(np.log2(n_cells / n_knots)), 0) + 1)[::-1] / (2 * n_knots)
    return np.concatenate([tail, (np.arange(n_knots) + 0.5) / n_knots, 1 - tail[::-1]])


def _quantiles(cells: CellsOfClasses, levels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weighted quantiles of each feature, (d, levels)."""
    weights = patient_weights(cells.classes, cells.patients)
    result = np.empty((cells.rows.shape[1], len(levels)))
    for j, x in enumerate(np.asarray(cells.rows, dtype=np.float64).T):
        order = np.argsort(x, kind="stable")
        reached = np.cumsum(weights[order])
        result[j] = np.interp(levels, (reached - 0.5 * weights[order]) / reached[-1], x[order])
    return result


def _distinct(knots: NDArray[np.float64], values: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    """Each knot once, with the mean of its values: equal cells have nowhere else to go."""
    once, code, number = np.unique(knots, return_inverse=True, return_counts=True)
    return once, np.bincount(code, values) / number
