"""What the cells of a real patient have in common within a component, as offsets that generated patients borrow.

The model is written out in :mod:`repatient.sampling`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp

from repatient._files._scratch import blocks, filled, is_in_file
from repatient._threads import one_thread

if TYPE_CHECKING:
    from repatient.sampling._streams import PatientStreams

_MOST_AXES = 20
_CELLS_AN_AXIS = 5
_CHUNK = 1024
# Patients of whom the nearest is looked for: more tell the median no better, and the time would grow with their square.
_MOST_NEIGHBOURED = 2_000


@dataclass(frozen=True)
class DonorEffects:
    """Offsets of real patients within components, and what is needed to draw cells that have them.

    Parameters
    ----------
    coordinates
        Canonical coordinates of each row from the mean of its component, (rows, axes).
    offsets
        Offset of each real patient in each component, (K, patients, axes).
    precision
        Inverse covariance of the cells of each component, (K, axes, axes).
    gain
        What a cell's patient adds to it: inverse covariance within patients less ``precision``, positive
        semi-definite, (K, axes, axes).
    roots
        Square roots of the compositions of the real patients, (patients, K).
    bandwidth
        Squared distance of roots at which a real patient is taken e times less often than one of equal composition.
    variances
        Variance of the offsets along each axis, in units of that within patients, (axes,).
    """

    coordinates: np.ndarray
    offsets: np.ndarray
    precision: np.ndarray
    gain: np.ndarray
    roots: np.ndarray
    bandwidth: float
    variances: np.ndarray

    def choose(
        self,
        counts: np.ndarray,
        words: PatientStreams,
        chosen: np.ndarray | None = None,
        real: np.ndarray | None = None,
    ) -> np.ndarray:
        """Real patient to borrow the offsets of, one with a composition near that of a generated one.

        Offsets go with compositions, as the components are pieces of one continuum. Asked for are the ``chosen`` of the
        patients with compositions ``counts`` (patients, K), who have the ``words``; ``real`` are the real patients among
        whom they choose. Both are all by default.
        """
        chosen = np.arange(len(counts)) if chosen is None else chosen
        real = np.arange(len(self.roots)) if real is None else real
        roots = np.sqrt(counts[chosen] / np.maximum(counts[chosen].sum(axis=1, keepdims=True), 1))
        closeness = (2 * roots @ self.roots[real].T - 2) / self.bandwidth
        numbers = np.zeros(len(counts), dtype=np.int64)
        numbers[chosen] = len(real)
        races = exponential(words.take(numbers)).reshape(len(chosen), len(real))
        return real[np.argmin(np.log(races) - closeness, axis=1)]

    def log_weights(self, component: int, rows: np.ndarray, chosen: np.ndarray, strength: float) -> np.ndarray:
        """Log-weights of rows of one component, (patients, rows), under which they have the chosen offsets.

        The weights are the ratio of a Gaussian around the offset to that of all cells of the component.
        """
        z = self.coordinates[rows]
        gain = strength**2 * self.gain[component]
        slopes = strength * self.offsets[component, chosen] @ (self.precision[component] + gain)
        return slopes @ z.T - 0.5 * ((z @ gain) * z).sum(axis=1)


def exponential(words: np.ndarray) -> np.ndarray:
    """Exponential variates of random words of 64 bits."""
    return -np.log(((words >> np.uint64(11)) + 0.5) * 2.0**-53)


def fit_donor_effects(X: np.ndarray, components: np.ndarray, patients: np.ndarray, n_components: int) -> DonorEffects:
    """Measure how far the cells of each real patient lie from the middle of their components.

    Parameters
    ----------
    X
        Embedding, (rows, d), read in blocks; where it is mapped from a file, so are the coordinates.
    components
        Component of each row, (rows,); -1 keeps a row out.
    patients
        Real patient of each row, (rows,), 0 to P - 1; -1 keeps a row out.
    n_components
        Number of components.

    Returns
    -------
    The offsets of all P patients. At most 20 axes of the embedding, those of most variance, are kept, and fewer where
    cells are few.

    Raises
    ------
    ValueError
        If fewer than two patients have cells, or no patient has several cells in one component.
    """
    inside, n_patients, groups, sizes = _groups(components, patients, n_components)
    degrees = len(inside) - int((sizes > 0).sum())
    if not _suffice(inside, sizes, n_components):
        msg = (
            "`donor_effects`: offsets of patients need two patients or more, with several cells in a component each; "
            f"the pool has {len(inside)} cells of {len(np.unique(patients[inside]))} patients in "
            f"{int((sizes > 0).sum())} pairs of patient and component. Use fewer components, or no donor effects."
        )
        raise ValueError(msg)
    with one_thread():
        z = _principal(X, inside, components[inside], n_components, degrees)
        _turn(z, _whitening(_scatter_within(z, groups, sizes) / degrees))
        counts = sizes.reshape(n_components, n_patients)
        raw = _group_means(z, groups, sizes).reshape(n_components, n_patients, -1)
        variances, rotation = np.linalg.eigh(_between(raw, counts))
        _turn(z, rotation)
        raw, variances = raw @ rotation, np.maximum(variances, 0)
        precision, gain = _precisions(z, raw.reshape(len(sizes), -1), groups, components[inside], counts, variances)
        roots = np.sqrt(counts.T / np.maximum(counts.sum(axis=0), 1)[:, None])
        bandwidth = _bandwidth(roots)
    offsets = _shrunk(raw, counts, variances, _common(raw, counts, variances))
    return DonorEffects(_spread(z, inside, len(X)), offsets, precision, gain, roots, bandwidth, variances)


def can_fit_donor_effects(components: np.ndarray, patients: np.ndarray, n_components: int) -> bool:
    """Whether there are cells enough for :func:`fit_donor_effects`.

    Parameters
    ----------
    components
        Component of each cell, (n,); -1 for cells outside the pool.
    patients
        Patient of each cell, (n,); -1 for cells of none.
    n_components
        Number of components K.

    Returns
    -------
    Whether two patients or more have cells, and several in a component.
    """
    inside, _, _, sizes = _groups(components, patients, n_components)
    return _suffice(inside, sizes, n_components)


def _groups(
    components: np.ndarray, patients: np.ndarray, n_components: int
) -> tuple[np.ndarray, int, np.ndarray, np.ndarray]:
    """Rows of the pool, number of patients, and the group (component and patient) of each of these rows with its size."""
    inside = np.flatnonzero((components >= 0) & (patients >= 0))
    n_patients = int(patients.max(initial=-1)) + 1
    groups = components[inside].astype(np.int64) * n_patients + patients[inside]
    return inside, n_patients, groups, np.bincount(groups, minlength=n_components * n_patients)


def _suffice(inside: np.ndarray, sizes: np.ndarray, n_components: int) -> bool:
    """Whether two patients or more have cells, and several in a component."""
    n_patients = int((sizes.reshape(n_components, -1).sum(axis=0) > 0).sum())
    return n_patients >= 2 and len(inside) - int((sizes > 0).sum()) >= _CELLS_AN_AXIS


def _group_sums(z: np.ndarray, groups: np.ndarray, n_groups: int) -> np.ndarray:
    ones = np.ones(len(groups))
    return sp.csr_matrix((ones, (groups, np.arange(len(groups)))), shape=(n_groups, len(groups))) @ z


def _group_means(z: np.ndarray, groups: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Mean of each group, 0 where it is empty."""
    return _group_sums(z, groups, len(sizes)) / np.maximum(sizes, 1)[:, None]


def _principal(
    X: np.ndarray, inside: np.ndarray, components: np.ndarray, n_components: int, degrees: int
) -> np.ndarray:
    """Rows inside, from the mean of their component, on the axes of most variance, as many as the cells can tell."""
    sums, n_cells = np.zeros((n_components, X.shape[1])), np.bincount(components, minlength=n_components)
    for part in blocks(len(inside)):
        sums += _group_sums(X[inside[part]].astype(np.float64), components[part], n_components)
    means = sums / np.maximum(n_cells, 1)[:, None]

    def centred(part: slice) -> np.ndarray:
        return X[inside[part]].astype(np.float64) - means[components[part]]

    values, axes = np.linalg.eigh(sum(rows.T @ rows for rows in map(centred, blocks(len(inside)))) / len(inside))
    told = int((values > values[-1] * 1e-9).sum())
    n_axes = max(min(_MOST_AXES, degrees // _CELLS_AN_AXIS, told), 1)
    kept = axes[:, ::-1][:, :n_axes]
    return filled(lambda part: centred(part) @ kept, (len(inside), n_axes), np.float64, in_file=is_in_file(X))


def _turn(z: np.ndarray, matrix: np.ndarray) -> None:
    """Multiply the rows by a matrix, in place."""
    for part in blocks(len(z)):
        z[part] = z[part] @ matrix


def _scatter_within(z: np.ndarray, groups: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Sum of the squares and products of deviations from the mean of the group."""
    means = _group_means(z, groups, sizes)
    scatter = np.zeros((z.shape[1], z.shape[1]))
    for part in blocks(len(z)):
        within = z[part] - means[groups[part]]
        scatter += within.T @ within
    return scatter


def _spread(z: np.ndarray, inside: np.ndarray, n_rows: int) -> np.ndarray:
    """Rows in their places among all, 0 elsewhere."""
    if len(inside) == n_rows:
        return z

    def rows_of(part: slice) -> np.ndarray:
        rows = np.zeros((part.stop - part.start, z.shape[1]))
        first, last = np.searchsorted(inside, (part.start, part.stop))
        rows[inside[first:last] - part.start] = z[first:last]
        return rows

    return filled(rows_of, (n_rows, z.shape[1]), np.float64, in_file=is_in_file(z))


def _whitening(covariance: np.ndarray) -> np.ndarray:
    values, axes = np.linalg.eigh(covariance)
    return axes / np.sqrt(np.maximum(values, values[-1] * 1e-6))


def _between(raw: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Covariance of the true offsets where that within patients is the identity: weighted moments."""
    scatter = np.einsum("kp,kpi,kpj->ij", counts, raw, raw, optimize=True)
    of_components = counts.sum(axis=1)
    used = of_components > 0
    chance = (counts > 0).sum() - used.sum()
    weight = (of_components[used] - (counts[used] ** 2).sum(axis=1) / of_components[used]).sum()
    return (scatter - chance * np.eye(raw.shape[2])) / max(weight, 1)


def _common(raw: np.ndarray, counts: np.ndarray, variances: np.ndarray) -> np.ndarray:
    """Part of each variance that a patient has in all components: products of offsets of two components."""
    weights = counts.astype(np.float64)
    weighted = weights[..., None] * raw
    products = (weighted.sum(axis=0) ** 2).sum(axis=0) - (weighted**2).sum(axis=(0, 1))
    pairs = (weights.sum(axis=0) ** 2).sum() - (weights**2).sum()
    return np.clip(products / max(pairs, 1), 0, variances)


def _shrunk(raw: np.ndarray, counts: np.ndarray, variances: np.ndarray, common: np.ndarray) -> np.ndarray:
    """Offsets with the variance that the true ones have."""
    n = counts[..., None].astype(np.float64)
    own = variances - common
    information = n / (own * n + 1)
    total = information.sum(axis=0)
    mean = (information * raw).sum(axis=0) / np.maximum(total, np.finfo(float).tiny)
    reliable = common * total / (common * total + 1)
    deviation = np.where(n > 0, raw - mean * reliable, 0)
    return mean * np.sqrt(reliable) + deviation * np.sqrt(own * n / (own * n + 1))


def _precisions(
    z: np.ndarray,
    means: np.ndarray,
    groups: np.ndarray,
    components: np.ndarray,
    counts: np.ndarray,
    variances: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Inverse covariance of each component's cells, and what is added to it within patients.

    Both covariances are moved towards those of all components, which count as two cells an axis.
    """
    n_axes = z.shape[1]
    prior = 2 * n_axes
    precision, gain = np.empty((2, len(counts), n_axes, n_axes))
    order = np.argsort(components, kind="stable")
    ends = np.cumsum(counts.sum(axis=1))
    for k, rows in enumerate(np.split(order, ends[:-1])):
        degrees = len(rows) - (counts[k] > 0).sum()
        total = (z[rows].T @ z[rows] + prior * np.diag(1 + variances)) / (len(rows) + prior)
        within = z[rows] - means[groups[rows]]
        inside = (within.T @ within + prior * np.eye(n_axes)) / (degrees + prior)
        precision[k] = np.linalg.inv(total)
        values, axes = np.linalg.eigh(np.linalg.inv(inside) - precision[k])
        # Weights that rise without bound away from the middle would draw nothing but outliers.
        gain[k] = (axes * np.maximum(values, 0)) @ axes.T
    return precision, gain


def _bandwidth(roots: np.ndarray) -> float:
    """Square of half the median distance of a composition from the one nearest to it."""
    present = roots[roots.any(axis=1)]
    some = np.arange(len(present))
    if len(present) > _MOST_NEIGHBOURED:
        some = np.unique(np.linspace(0, len(present) - 1, _MOST_NEIGHBOURED).astype(np.intp))
    nearest = np.empty(len(some))
    for first in range(0, len(some), _CHUNK):
        chosen = some[first : first + _CHUNK]
        squared = 2 - 2 * present[chosen] @ present.T
        squared[np.arange(len(chosen)), chosen] = np.inf
        nearest[first : first + len(chosen)] = squared.min(axis=1)
    return max(float(np.median(nearest)) / 4, 1e-3)
