"""Bring the cells of one cohort to where those of another lie, by the moments of the classes that both have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from repatient._threads import one_thread

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_BLOCK_ROWS = 1 << 16
_ENOUGH_CELLS = 10
_NEGLIGIBLE_VARIANCE = 1e-7
_ROUNDING = 1e-7


@dataclass(frozen=True)
class Moments:
    """Mean and covariance of the cells of each class, every patient counting the same.

    Parameters
    ----------
    classes
        Names of the classes.
    means
        Mean of each class, (classes, d).
    covariances
        Covariance of each class, (classes, d, d).
    n_cells
        Number of cells of each class, (classes,).
    """

    classes: tuple[str, ...]
    means: NDArray[np.float64]
    covariances: NDArray[np.float64]
    n_cells: NDArray[np.int64]

    def over(self, names: Sequence[str]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean (d,) and covariance (d, d) of some classes together, every class counting the same.

        Equal weights keep apart what differs between cohorts: where the cells of a class lie, and how many patients of
        each class there are.
        """
        rows = self._rows(names)
        mean = self.means[rows].mean(axis=0)
        between = self.means[rows] - mean
        return mean, self.covariances[rows].mean(axis=0) + between.T @ between / len(rows)

    def uncertainty(self, names: Sequence[str]) -> float:
        """From 0, where the classes have ten or more cells a dimension, towards 1 without cells."""
        return max(0.0, 1 - float(self.n_cells[self._rows(names)].sum()) / (_ENOUGH_CELLS * self.means.shape[1]))

    def _rows(self, names: Sequence[str]) -> list[int]:
        return [self.classes.index(name) for name in names]


@dataclass(frozen=True)
class AffineMap:
    """``x -> matrix @ x + offset``.

    Parameters
    ----------
    matrix
        (d, d).
    offset
        (d,).
    """

    matrix: NDArray[np.float64]
    offset: NDArray[np.float64]

    def __call__(self, X: NDArray[Any]) -> NDArray[np.float64]:
        """Move rows (n, d)."""
        with one_thread():
            return np.asarray(X, dtype=np.float64) @ self.matrix.T + self.offset

    def inverted(self) -> AffineMap:
        """The way back; of directions that the map flattens, the shortest."""
        matrix: NDArray[np.float64] = np.linalg.pinv(self.matrix).astype(np.float64)
        return AffineMap(matrix, -matrix @ self.offset)


def class_moments(X: Any, classes: NDArray[np.int64], patients: NDArray[np.int64], names: Sequence[str]) -> Moments:
    """Measure the moments of each class.

    Parameters
    ----------
    X
        Cells (n, d): an array, or anything with row slices, which is read in blocks.
    classes
        Class of each cell as a position in ``names``, -1 for cells to leave out, (n,).
    patients
        Patient of each cell, (n,).
    names
        Names of the classes, each with at least one cell.

    Returns
    -------
    The moments. The covariance is that of the cells around the mean of their class; it includes what differs between
    patients.

    Raises
    ------
    ValueError
        If a class has no cell.
    """
    n_classes = len(names)
    empty = [name for i, name in enumerate(names) if not (classes == i).any()]
    if empty:
        msg = f"`classes`: there is no cell of {empty} to measure."
        raise ValueError(msg)
    weights = patient_weights(classes, patients)
    n_dims = X.shape[1]
    # Sums of squares around one of the cells, as those around zero lose digits where the cells are far from it.
    amid = int((classes >= 0).argmax())
    pilot = np.asarray(X[amid : amid + 1], dtype=np.float64)[0]
    firsts, seconds = np.zeros((n_classes, n_dims)), np.zeros((n_classes, n_dims, n_dims))
    with one_thread():
        for start in range(0, X.shape[0], _BLOCK_ROWS):
            block = slice(start, start + _BLOCK_ROWS)
            rows = np.asarray(X[block], dtype=np.float64) - pilot
            for i in range(n_classes):
                inside = classes[block] == i
                weighted = rows[inside] * weights[block][inside, None]
                firsts[i] += weighted.sum(axis=0)
                seconds[i] += weighted.T @ rows[inside]
    covariances = seconds - firsts[:, :, None] * firsts[:, None, :]
    return Moments(tuple(names), firsts + pilot, covariances, np.bincount(classes[classes >= 0], minlength=n_classes))


def patient_weights(classes: NDArray[np.int64], patients: NDArray[np.int64]) -> NDArray[np.float64]:
    """Weight of each cell such that the patients of a class count the same and sum to one, (n,); 0 for class -1."""
    weights = np.zeros(len(classes))
    inside = classes >= 0
    _, codes, sizes = np.unique(
        np.stack([classes[inside], patients[inside]]), axis=1, return_inverse=True, return_counts=True
    )
    n_patients = np.bincount(np.unique(np.stack([classes[inside], codes.ravel()]), axis=1)[0])
    weights[inside] = 1 / (sizes[codes.ravel()] * n_patients[classes[inside]])
    return weights


def moment_map(source: Moments, target: Moments, names: Sequence[str]) -> AffineMap:
    """Affine map that gives the classes ``names`` of the source the mean and covariance of those of the target.

    Parameters
    ----------
    source, target
        Moments of the two cohorts.
    names
        Classes to match, in both.

    Returns
    -------
    The map. A change of units or gain of each feature, with an offset, is undone exactly.

    Notes
    -----
    Features are scaled to unit variance in each cohort, and the optimal transport between two Gaussians of the
    resulting correlations R and Q, the matrix :math:`Q^{1/2} (Q^{1/2} R Q^{1/2})^{-1/2} Q^{1/2}` of Knott & Smith
    (1984), is applied in between: of all linear maps that match the covariance it moves cells least. Where features are
    collinear in the target the inverse is the pseudo-inverse, so that moved cells fulfil the same relation; a mixture
    leaves no room around it. The correlations of classes with fewer than ten cells a dimension are moved towards those
    of the other cohort.
    """
    (mean, covariance), (target_mean, target_covariance) = source.over(names), target.over(names)
    scale, target_scale = _scale(mean, covariance), _scale(target_mean, target_covariance)
    correlation = covariance / np.outer(scale, scale)
    target_correlation = target_covariance / np.outer(target_scale, target_scale)
    difference = target_correlation - correlation
    with one_thread():
        turn = _gaussian_transport(
            correlation + source.uncertainty(names) * difference,
            target_correlation - target.uncertainty(names) * difference,
        )
    matrix = target_scale[:, None] * turn / scale
    return AffineMap(matrix, target_mean - matrix @ mean)


def _scale(mean: NDArray[np.float64], covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Standard deviations, 1 for features that are constant but for rounding."""
    variances = np.diag(covariance)
    constant = variances <= np.square(_ROUNDING * mean)
    return np.sqrt(np.where(constant, 1.0, variances))


def _gaussian_transport(source: NDArray[np.float64], target: NDArray[np.float64]) -> NDArray[np.float64]:
    root = _power(target, 0.5)
    return root @ _power(root @ source @ root, -0.5, _NEGLIGIBLE_VARIANCE**2) @ root


def _power(
    matrix: NDArray[np.float64], exponent: float, negligible: float = _NEGLIGIBLE_VARIANCE
) -> NDArray[np.float64]:
    """Power of a positive semi-definite matrix on the directions that have variance."""
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    kept = values > negligible * values.max()
    return (vectors[:, kept] * values[kept] ** exponent) @ vectors[:, kept].T
