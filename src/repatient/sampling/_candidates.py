"""Random parts of large sets, from which patients draw by weights, so that the time does not grow with the sets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

# Sets of up to so many elements are looked at whole. Weights of donor effects leave a hundredth of the elements or more in
# play: 64 for each cell that is drawn keep some of them to choose from.
LEAST, PER_CELL = 4096, 64
# Patients, numbered one after another, that have their candidates in common.
_TOGETHER = 32


def candidates(
    n_elements: int, n_draws: np.ndarray, numbers: np.ndarray, *key: int
) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
    """Patients that draw from the same elements of a set, and which elements these are.

    Parameters
    ----------
    n_elements
        Size of the set.
    n_draws
        Cells that each patient draws, (patients,).
    numbers
        The number of each patient, (patients,): which elements it gets depends on this, on ``n_draws`` and on ``key``
        alone, and not on who else draws.
    key
        Seed, and whatever else is to change the elements.

    Yields
    ------
    Positions among the patients, and elements in rising order, ``None`` for all of them.
    """
    widths = np.maximum(LEAST, PER_CELL * 2 ** np.ceil(np.log2(np.maximum(n_draws, 1))).astype(np.int64))
    whole = np.flatnonzero(widths >= n_elements)
    if len(whole):
        yield whole, None
    for width in np.unique(widths[widths < n_elements]).tolist():
        of_width = np.flatnonzero(widths == width)
        groups = numbers[of_width] // _TOGETHER
        for group in np.unique(groups).tolist():
            rng = np.random.default_rng([*key, width, group])
            elements = rng.choice(n_elements, width, replace=False, shuffle=False)
            yield of_width[groups == group], np.sort(elements)
