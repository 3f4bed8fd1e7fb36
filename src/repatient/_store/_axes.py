"""Principal axes, and how much of their variance there is in cells that they were not learnt from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import eigh
from scipy.sparse.linalg import eigsh

from repatient._threads import one_thread

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

# Of so many times more features than axes, the leading ones are found by Lanczos' method.
_LANCZOS = 8
_LEAST_KEPT = 0.05


def leading_axes(covariance: NDArray[np.float64], n_axes: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Largest eigenvalues in falling order, and their eigenvectors in columns."""
    width = len(covariance)
    with one_thread():
        if n_axes < width // _LANCZOS:
            variances, axes = eigsh(covariance, n_axes, v0=np.random.default_rng(0).normal(size=width))
        else:
            variances, axes = eigh(covariance, subset_by_index=[width - n_axes, width - 1])
    order = np.argsort(-variances)
    return variances[order], np.ascontiguousarray(axes[:, order])


def kept_variance(halves: Sequence[NDArray[np.float64]], n_axes: int, n_half: int, n_cells: int) -> NDArray[np.float64]:
    r"""Share of the variance along each principal axis that cells have which the axes were not learnt from, (n_axes,).

    Axes are those of the largest variance in the cells that they are learnt from, by chance, too: of pure noise in p
    dimensions n cells show up to :math:`(1 + g)^2` of its variance, :math:`g = \sqrt{p / n}` (Marchenko and Pastur 1967), and
    others show it once. What axes of one half of the cells keep in the other half says what g is there.

    Parameters
    ----------
    halves
        Covariances (p, p) of two halves of the cells.
    n_axes
        Axes, the leading ones.
    n_half, n_cells
        Cells of a half, and those that the axes in use are learnt from.
    """
    one, other = halves
    ranks = max(min(n_axes, n_half - 1, len(one)), 1)
    ratios = np.zeros(ranks)
    for first, second in ((one, other), (other, one)):
        variances, axes = leading_axes(first, ranks)
        found = np.einsum("ij,ij->j", axes, second @ axes)
        ratios += found / np.maximum(variances, np.finfo(float).tiny) / 2
    ratios = np.clip(ratios, _LEAST_KEPT, 1.0)
    gap = (1 / np.sqrt(ratios) - 1) * np.sqrt(n_half / n_cells)
    return np.append(1 / (1 + gap) ** 2, np.full(n_axes - ranks, 1 / (1 + gap[-1]) ** 2))
