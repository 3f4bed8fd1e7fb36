"""Real and generated patients of an audit, as arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

if TYPE_CHECKING:
    from numpy.typing import NDArray

POOL, KNOWN, HELD_OUT = "pool", "known", "held out"


@dataclass(frozen=True, eq=False)
class RealPatients:
    """Real patients and their cells.

    Parameters
    ----------
    names, labels, donors
        Of each patient, (P,).
    classes
        Names of the classes.
    codes
        Patient of each cell, (n_obs,); -1 for cells of none.
    roles
        What each patient was to the generated ones, (P,): ``"pool"`` if its cells could be drawn; ``"known"`` if not,
        but its recipe was learnt or its donor was in the pool; ``"held out"`` otherwise.
    """

    names: NDArray[Any]
    labels: NDArray[Any]
    donors: NDArray[Any]
    classes: list[str]
    codes: NDArray[np.int64]
    roles: NDArray[Any]

    @property
    def counts(self) -> sp.csc_array:
        """Whether each cell is each patient's, (n_obs, P)."""
        cells = np.flatnonzero(self.codes >= 0)
        return sp.csc_array((np.ones(len(cells)), (cells, self.codes[cells])), shape=(len(self.codes), len(self.names)))


@dataclass(frozen=True, eq=False)
class GeneratedPatients:
    """Generated patients.

    Parameters
    ----------
    counts
        How many times each cell is in each patient, (n_obs, G); of points of Gaussians, (points, G).
    labels, names
        Of each patient, (G,).
    points
        Coordinates of the cells that are points of Gaussians, (points, d); ``None`` for real cells.
    components
        Components of the points, as real cells are assigned to them, (points,).
    """

    counts: sp.csc_array
    labels: NDArray[Any]
    names: NDArray[Any]
    points: NDArray[np.floating] | None = None
    components: NDArray[np.int64] | None = None
