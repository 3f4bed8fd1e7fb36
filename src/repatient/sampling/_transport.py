"""Bring the cells of one cohort to where those of another lie, by optimal transport."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.spatial.distance import cdist
from scipy.special import softmax

from repatient._threads import one_thread

if TYPE_CHECKING:
    from types import ModuleType

    from numpy.typing import NDArray

    from repatient.sampling._alignment import AffineMap

_BLOCK_ENTRIES = 1 << 22
_ITERATIONS = 500
_TOLERANCE = 1e-6


@dataclass(frozen=True)
class TransportPlan:
    """Entropic plan from the source to ``points``, as far as its map needs it: log scalings (m,), points (m, d)."""

    points: NDArray[np.float64]
    log_scalings: NDArray[np.float64]
    regularisation: float

    def __call__(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """Where the mass of each row goes on average, (n, d)."""
        return softmax(self.log_scalings - cdist(rows, self.points, "sqeuclidean") / self.regularisation, axis=1) @ (
            self.points
        )


@dataclass(frozen=True)
class TransportMap:
    """Affine map, followed by the displacement of an entropic optimal transport.

    Parameters
    ----------
    affine
        The first step, which takes off what moments can.
    scale
        Standard deviations of the target's features, (d,): the unit of the transport's cost.
    forth, within
        Plans to the target's cells and to the (moved) source's own.
    """

    affine: AffineMap
    scale: NDArray[np.float64]
    forth: TransportPlan
    within: TransportPlan

    def __call__(self, X: NDArray[Any]) -> NDArray[np.float64]:
        """Move rows (n, d)."""
        step = max(_BLOCK_ENTRIES // len(self.forth.points), 1)
        moved = self.affine(X)
        with one_thread():
            for start in range(0, len(moved), step):
                rows = moved[start : start + step] / self.scale
                moved[start : start + step] = self.scale * (rows + self.forth(rows) - self.within(rows))
        return moved


def transport_map(
    source: NDArray[np.float64], target: NDArray[np.float64], affine: AffineMap, *, regularisation: float = 0.1
) -> TransportMap:
    r"""Fit an optimal transport from the cells of one cohort to those of another.

    Parameters
    ----------
    source, target
        Cells of the classes that both have, (n, d) and (m, d), of equal weight.
    affine
        Map to apply first, see :func:`moment_map`.
    regularisation
        Entropy of the plan, in mean squared distances between source and target: how smooth the map is.

    Returns
    -------
    The map, defined for every cell: cells far from those that it was fitted on, such as those of a class that the
    target does not have, are displaced as their nearest are, and not pulled in.

    Raises
    ------
    ImportError
        If POT is not installed.

    Notes
    -----
    The map is :math:`x + T_{\text{target}}(x) - T_{\text{source}}(x)` with the entropic maps of Pooladian &
    Niles-Weed (2021), Entropic estimation of optimal transport maps, eq. 5; the second one, from the source to itself,
    takes off the contraction that entropy brings (Pooladian, Cuturi & Niles-Weed 2022).
    """
    ot = _import_pot()
    scale = target.std(axis=0)
    scale[scale == 0] = 1.0
    with one_thread():
        moved, points = affine(source) / scale, target / scale
        unit = regularisation * float(cdist(moved, points, "sqeuclidean").mean())
        return TransportMap(affine, scale, _plan(ot, moved, points, unit), _plan(ot, moved, moved, unit))


def _plan(
    ot: ModuleType, rows: NDArray[np.float64], points: NDArray[np.float64], regularisation: float
) -> TransportPlan:
    """Entropic plan between rows and points of equal weights, by Sinkhorn's iterations."""
    costs = cdist(rows, points, "sqeuclidean")
    # Constants of a row or column move the scalings alone; without them no outlier's exponentials are all zero.
    costs -= costs.min(axis=1, keepdims=True)
    constants = costs.min(axis=0)
    _, log = ot.sinkhorn(
        np.full(len(rows), 1 / len(rows)),
        np.full(len(points), 1 / len(points)),
        costs - constants,
        regularisation,
        numItermax=_ITERATIONS,
        stopThr=_TOLERANCE,
        warn=False,
        log=True,
    )
    return TransportPlan(points, np.log(log["v"]) + constants / regularisation, regularisation)


def _import_pot() -> ModuleType:
    try:
        import ot
    except ImportError as error:
        msg = 'Optimal transport needs POT: `pip install "repatient[ot]"`, or align by moments, `align="moments"`.'
        raise ImportError(msg) from error
    return ot
