"""The alignments that can be chosen by name, and the one place that fits them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from repatient._checks import check_option
from repatient.sampling._alignment import class_moments, moment_map
from repatient.sampling._quantiles import CellsOfClasses, quantile_map
from repatient.sampling._transport import transport_map

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from repatient.sampling._alignment import Moments

ALIGNMENTS = ("raw", "moments", "quantiles", "ot")

_CELLS_OF_A_TRANSPORT, _CELLS_OF_QUANTILES = 1000, 50_000


class AlignmentSide(Protocol):
    """What an alignment asks of one of the two cohorts."""

    def moments(self, names: Sequence[str]) -> Moments:
        """Mean and covariance of the cells of some classes."""

    def cells(self, names: Sequence[str], most: int, rng: np.random.Generator) -> CellsOfClasses:
        """Cells of some classes, at most ``most`` of each."""


class ArraySide:
    """One cohort as arrays.

    Parameters
    ----------
    X
        Its cells, (n, d).
    classes
        Class of each cell as a position in ``names``, (n,).
    patients
        Patient of each cell, (n,).
    names
        Names of the classes.
    """

    def __init__(
        self, X: NDArray[Any], classes: NDArray[np.int64], patients: NDArray[np.int64], names: Sequence[str]
    ) -> None:
        self.X, self.classes, self.patients, self.names = X, classes, patients, list(names)

    def _positions(self, names: Sequence[str]) -> NDArray[np.int64]:
        return np.array([names.index(name) if name in names else -1 for name in self.names])[self.classes]

    def moments(self, names: Sequence[str]) -> Moments:
        """Mean and covariance of the cells of some classes."""
        positions = self._positions(names)
        own = positions >= 0
        return class_moments(self.X[own], positions[own], self.patients[own], names)

    def cells(self, names: Sequence[str], most: int, rng: np.random.Generator) -> CellsOfClasses:
        """Cells of some classes, at most ``most`` of each, at random."""
        positions = self._positions(names)
        order = rng.permutation(len(positions))
        chosen = np.concatenate([order[positions[order] == c][:most] for c in range(len(names))])
        return CellsOfClasses(self.X[chosen].astype(np.float64), positions[chosen], self.patients[chosen])


def fit_alignment(
    align: str, moving: AlignmentSide, target: AlignmentSide, names: Sequence[str], random_state: int
) -> Callable[[NDArray[Any]], NDArray[np.float64]]:
    """Fit the map that brings the cells of one cohort to where those of the same classes lie in another.

    Parameters
    ----------
    align
        ``"moments"``: by mean and covariance; ``"quantiles"``: by those of each feature before; ``"ot"``: by optimal
        transport after.
    moving
        Cohort whose cells are moved.
    target
        Cohort that they are moved to. Cells are asked of either only where moments are not enough.
    names
        Classes to match, one or more.
    random_state
        Seed of the cells that are compared.

    Returns
    -------
    The map of cells (n, d).

    Raises
    ------
    ValueError
        If ``align`` is none of these, or there is no class to match.
    """
    check_option(align, "align", ALIGNMENTS[1:])
    if not names:
        msg = f"`align={align!r}` needs a class that both cohorts have, and there is none."
        raise ValueError(msg)
    rng = np.random.default_rng(random_state)
    if align == "quantiles":
        most = _CELLS_OF_QUANTILES // len(names)
        return quantile_map(moving.cells(names, most, rng), target.cells(names, most, rng), names)
    affine = moment_map(moving.moments(names), target.moments(names), names)
    if align == "moments":
        return affine
    most = _CELLS_OF_A_TRANSPORT // len(names)
    return transport_map(moving.cells(names, most, rng).rows, target.cells(names, most, rng).rows, affine)
