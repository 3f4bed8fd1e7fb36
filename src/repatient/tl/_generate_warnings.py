"""Say, with numbers, where the pool could not give what the recipes asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from repatient._checks import listed
from repatient._messages import warn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from repatient.sampling import Draw


def warn_of_shortage(draws: Sequence[Draw], components: np.ndarray) -> None:
    """Warn of cells that were repeated in a patient or replaced by those of other components."""
    n_drawn = sum(len(draw.rows) for draw in draws)
    moved = np.sum([draw.moved.sum(axis=0) for draw in draws], axis=0)
    repeated = np.sum([draw.repeated.sum(axis=0) for draw in draws], axis=0)
    if moved.any():
        msg = (
            f"{moved.sum()} of {n_drawn} drawn cells ({moved.sum() / n_drawn:.1%}) are of other components than their "
            f"recipe asked for, because the donors of the patient had none of {listed(np.flatnonzero(moved))}. "
            "Allow more donors (`n_donors`, `max_donor_share`) or fit fewer components."
        )
        warn(msg)
    if repeated.any():
        sizes = np.bincount(components[components >= 0], minlength=len(repeated))
        small = [f"{k} ({sizes[k]} cells)" for k in np.argsort(-repeated) if repeated[k]]
        msg = (
            f"{repeated.sum()} of {n_drawn} drawn cells ({repeated.sum() / n_drawn:.1%}) repeat a cell of the same "
            f"patient, because components have fewer cells than asked for: {listed(small, 6)}."
        )
        warn(msg)
