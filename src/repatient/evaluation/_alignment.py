"""External cells brought to where the training cells of a fold lie."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.preprocessing import StandardScaler

from repatient._checks import check_option
from repatient.sampling import ALIGNMENTS, ArraySide, fit_alignment

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from repatient.mil import Bags


def aligned(
    bags: Bags,
    y: NDArray[np.int64],
    train: NDArray[np.int64],
    external: NDArray[np.int64],
    align: str,
    random_state: int,
    *,
    scale: bool = False,
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
        One of :data:`repatient.sampling.ALIGNMENTS`.
    random_state
        Seed of the cells that are compared.
    scale
        Whether distances between cells are those of features of one variance over the training cells.

    Returns
    -------
    Cells by features, as ``bags.X``.

    Raises
    ------
    ValueError
        If the alignment is unknown, or no class is shared.
    """
    check_option(align, "align", ALIGNMENTS)
    shared = np.intersect1d(y[train], y[external])
    if len(shared) == 0:
        msg = f"`align={align!r}` needs a class that training and external patients have, and there is none."
        raise ValueError(msg)
    scaler = StandardScaler(with_mean=scale, with_std=scale).fit(bags.X[bags.take(train).rows])
    names = [str(c) for c in shared]

    def side(patients: NDArray[np.int64]) -> ArraySide:
        some = patients[np.isin(y[patients], shared)]
        part = bags.take(some)
        of_cells = np.repeat(some, part.sizes)
        return ArraySide(scaler.transform(bags.X[part.rows]), np.searchsorted(shared, y[of_cells]), of_cells, names)

    move = fit_alignment(align, side(external), side(train), names, random_state)
    moved = bags.X.copy()
    rows = bags.take(external).rows
    moved[rows] = scaler.inverse_transform(move(scaler.transform(bags.X[rows])))
    return moved
