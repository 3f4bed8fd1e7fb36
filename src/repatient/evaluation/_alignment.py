"""External cells brought to where the training cells of a fold lie."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from repatient.sampling import Cells, class_moments, moment_map, quantile_map, transport_map

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from repatient.mil import Bags

ALIGNMENTS = ("raw", "moments", "quantiles", "ot")

_CELLS_OF_A_TRANSPORT = 1000


def aligned(
    bags: Bags,
    y: NDArray[np.int64],
    train: NDArray[np.int64],
    external: NDArray[np.int64],
    align: str,
    random_state: int,
) -> NDArray[Any]:
    """Copy of the cells with those of the external patients moved.

    Parameters
    ----------
    bags
        All patients.
    y
        Their classes.
    train, external
        Training and external patients; the classes that both have are matched.
    align
        ``"moments"``: by the mean and the covariance; ``"quantiles"``: by those of each feature before; ``"ot"``: by
        optimal transport after.
    random_state
        Seed of the cells that the transport is fitted on.

    Returns
    -------
    Cells by features, as ``bags.X``.

    Raises
    ------
    ValueError
        If the alignment is unknown, or no class is shared.
    """
    if align not in ALIGNMENTS:
        msg = f"`methods`: 'align' is one of {list(ALIGNMENTS)}, not {align!r}."
        raise ValueError(msg)
    shared = np.intersect1d(y[train], y[external])
    if len(shared) == 0:
        msg = f"`methods`: 'align' {align!r} needs a class that training and external patients have, and there is none."
        raise ValueError(msg)
    names = [str(c) for c in shared]
    ours, theirs = (_Side(bags, y, patients, shared) for patients in (train, external))
    move: Any
    if align == "quantiles":
        move = quantile_map(theirs.cells, ours.cells, names)
    else:
        move = moment_map(theirs.moments(names), ours.moments(names), names)
    if align == "ot":
        rng = np.random.default_rng(random_state)
        most = _CELLS_OF_A_TRANSPORT // len(shared)
        move = transport_map(theirs.sample(most, rng), ours.sample(most, rng), move)
    moved = bags.X.copy()
    rows = bags.take(external).rows
    moved[rows] = move(bags.X[rows])
    return moved


class _Side:
    """Cells of the shared classes of one cohort."""

    def __init__(
        self, bags: Bags, y: NDArray[np.int64], patients: NDArray[np.int64], shared: NDArray[np.int64]
    ) -> None:
        some = patients[np.isin(y[patients], shared)]
        part = bags.take(some)
        of_cells = np.repeat(some, part.sizes)
        self.cells = Cells(bags.X[part.rows], np.searchsorted(shared, y[of_cells]), of_cells)

    def moments(self, names: list[str]) -> Any:
        return class_moments(*self.cells, names)

    def sample(self, most: int, rng: np.random.Generator) -> NDArray[np.float64]:
        """Random cells, at most so many of each class."""
        classes = self.cells.classes
        order = rng.permutation(len(classes))
        chosen = [order[classes[order] == c][:most] for c in np.unique(classes)]
        return self.cells.rows[np.concatenate(chosen)].astype(np.float64)
