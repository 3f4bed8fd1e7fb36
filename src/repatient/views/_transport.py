"""Targets for rows without partners, by optimal transport over features that are linked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial.distance import cdist
from sklearn.neighbors import NearestNeighbors

if TYPE_CHECKING:
    from types import ModuleType

    from numpy.typing import NDArray

    from repatient.views._spaces import VectorSpace

_ITERATIONS = 1000
_TOLERANCE = 1e-6
_ROUNDING = 1e-12
_BLOCK_ROWS = 4096


@dataclass(frozen=True)
class LinkedFeatures:
    """Features that both views have, smoothed over neighbours and standardised in each, (n, links) and (m, links)."""

    source: NDArray[np.float64]
    target: NDArray[np.float64]


def linked_features(
    source: NDArray[np.float32],
    target: NDArray[np.float32],
    links: NDArray[np.int64],
    spaces: tuple[VectorSpace, VectorSpace],
    n_neighbors: int,
) -> LinkedFeatures:
    """Mean over neighbours of linked columns; several columns of the source linked to one of the target are averaged.

    Views of few features are less noisy, and so are smoothed over a third as many neighbours.
    """
    k_narrow = max(n_neighbors // 3, 1)
    of_source = source_of_links(source, links, spaces[0])
    of_target = spaces[1].logged(target)[:, np.unique(links[:, 1])].astype(np.float64)
    smoothed = [
        _standardised(_smoothed(values, space.coordinates(view), n_neighbors if len(space.components) else k_narrow))
        for values, view, space in ((of_source, source, spaces[0]), (of_target, target, spaces[1]))
    ]
    return LinkedFeatures(*smoothed)


def source_of_links(source: NDArray[np.float32], links: NDArray[np.int64], space: VectorSpace) -> NDArray[np.float64]:
    """For each linked column of the target, in increasing order, the mean of the source's columns linked to it."""
    logged = space.logged(source)
    columns = [links[links[:, 1] == of, 0] for of in np.unique(links[:, 1])]
    return np.stack([logged[:, chosen].mean(axis=1, dtype=np.float64) for chosen in columns], axis=1)


def barycentric_targets(
    linked: LinkedFeatures, target: NDArray[np.float32], regularisation: float
) -> NDArray[np.float32]:
    r"""Where entropic optimal transport sends each row of the source on average, in the target's features.

    Parameters
    ----------
    linked
        What the cost is computed on: squared distances between linked features.
    target
        Features of the target's rows (m, d).
    regularisation
        Entropy, in mean costs.

    Returns
    -------
    Shape (n, d): :math:`\sum_j P_{ij} y_j / \sum_j P_{ij}` (Cuturi 2013, Sinkhorn Distances; barycentric projection,
    Ferradans et al. 2014).

    Raises
    ------
    ImportError
        If POT is not installed.
    ValueError
        If no linked feature varies.
    FloatingPointError
        If the plan is not finite.
    """
    ot = _import_pot()
    costs = cdist(linked.source, linked.target, "sqeuclidean")
    if not costs.any():
        msg = (
            "`links`: no linked feature varies, once it is smoothed over neighbours, and there is nothing to transport by. "
            "Link others, or lower `n_neighbors`."
        )
        raise ValueError(msg)
    unit = regularisation * float(costs.mean())
    # Constants of a row or column do not move the plan; without them no outlier's exponentials are all zero.
    costs -= costs.min(axis=1, keepdims=True)
    costs -= costs.min(axis=0, keepdims=True)
    n, m = costs.shape
    plan = ot.sinkhorn(
        np.full(n, 1 / n), np.full(m, 1 / m), costs, unit, numItermax=_ITERATIONS, stopThr=_TOLERANCE, warn=False
    )
    mass = plan.sum(axis=1, keepdims=True)
    if not (np.isfinite(plan).all() and (mass > 0).all()):
        msg = f"The transport plan is not finite at regularisation={regularisation}; a larger one helps."
        raise FloatingPointError(msg)
    return ((plan / mass) @ target).astype(np.float32)


def _smoothed(values: NDArray[np.floating], coordinates: NDArray[np.float32], n_neighbors: int) -> NDArray[np.float64]:
    """Mean of each row and its nearest, itself among them."""
    k = min(n_neighbors, len(values))
    search = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(coordinates)
    smoothed = np.empty(values.shape, dtype=np.float64)
    for start in range(0, len(values), _BLOCK_ROWS):
        block = slice(start, start + _BLOCK_ROWS)
        smoothed[block] = values[search.kneighbors(coordinates[block], return_distance=False)].mean(axis=1)
    return smoothed


def _standardised(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of mean 0 and variance 1; what is constant but for the rounding of its means is 0."""
    scale = values.std(axis=0)
    varies = scale > _ROUNDING * np.abs(values).max(axis=0)
    return np.where(varies, (values - values.mean(axis=0)) / np.where(varies, scale, 1.0), 0.0)


def _import_pot() -> ModuleType:
    try:
        import ot
    except ImportError as error:
        msg = 'The generator "ot" needs POT: `pip install "repatient[views]"`, or take generator="cyclegan".'
        raise ImportError(msg) from error
    return ot
