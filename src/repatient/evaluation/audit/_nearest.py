"""How close generated patients and their cells lie to real ones, beside how close real ones of other donors lie."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.spatial.distance import cdist

from repatient.evaluation._grouped_auroc import TooFewPatientsError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MOST_QUERIES = 1000
_MOST_CELLS = 20_000
_BLOCK = 256


def nearest_patient_ratio(
    generated: NDArray[np.floating], real: NDArray[np.floating], donors: NDArray[Any], random_state: int = 0
) -> float:
    """Distance from a generated patient to the nearest real one over that from a real one to that of another donor.

    Parameters
    ----------
    generated, real
        Patients as points, (G, d) and (P, d).
    donors
        Donor of each real patient, (P,).
    random_state
        Seed of the patients that are looked at, where there are more than 1,000 of a kind.

    Returns
    -------
    Ratio of the medians: 0 for copies, 1 if generated patients are to real ones what these are to each other.

    Raises
    ------
    TooFewPatientsError
        If there is no generated patient, or fewer than two donors.
    """
    if not len(generated) or len(np.unique(donors)) < 2:
        msg = f"a nearest patient of another donor needs 2 donors, found {len(np.unique(donors))}"
        raise TooFewPatientsError(msg)
    donors = _numbered(donors)
    rng = np.random.default_rng(random_state)
    some = at_random(len(real), _MOST_QUERIES, rng)
    between = np.median(_nearest(real[some], donors[some], real, donors))
    queries = generated[at_random(len(generated), _MOST_QUERIES, rng)]
    return float(np.median(_nearest(queries, None, real, donors)) / between) if between > 0 else np.nan


def nearest_cell_ratio(
    points: NDArray[np.floating], cells: NDArray[np.floating], donors: NDArray[Any], random_state: int
) -> float:
    """Distance from a generated cell to the nearest real one over that from a real one to that of another donor.

    Parameters
    ----------
    points
        Generated cells, (n, d).
    cells
        Real cells, (m, d).
    donors
        Donor of each real cell, (m,).
    random_state
        Seed of the cells that are looked at, where there are many.

    Returns
    -------
    Ratio of the medians.

    Raises
    ------
    TooFewPatientsError
        If the real cells are of fewer than two donors.
    """
    rng = np.random.default_rng(random_state)
    kept = rng.choice(len(cells), size=min(len(cells), _MOST_CELLS), replace=False)
    cells, donors = cells[kept].astype(np.float64), _numbered(donors[kept])
    if len(np.unique(donors)) < 2:
        msg = f"a nearest cell of another donor needs 2 donors, found {len(np.unique(donors))}"
        raise TooFewPatientsError(msg)
    requested = rng.choice(len(cells), size=min(len(cells), _MOST_QUERIES), replace=False)
    between = np.median(_nearest(cells[requested], donors[requested], cells, donors))
    drawn = points[rng.choice(len(points), size=min(len(points), _MOST_QUERIES), replace=False)]
    return float(np.median(_nearest(drawn, None, cells, donors)) / between) if between > 0 else np.nan


def at_random(n: int, most: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """All numbers below ``n``, or so many random ones of them, rising."""
    return np.arange(n) if n <= most else np.sort(rng.choice(n, size=most, replace=False))


def _numbered(names: NDArray[Any]) -> NDArray[np.int64]:
    return np.unique(names.astype(str), return_inverse=True)[1]


def _nearest(
    points: NDArray[np.floating], own: NDArray[Any] | None, others: NDArray[np.floating], donors: NDArray[Any]
) -> NDArray[np.float64]:
    """Distance from each point to the nearest of the others, not of the donor that it has itself."""
    found = []
    for start in range(0, len(points), _BLOCK):
        block = slice(start, start + _BLOCK)
        distances = cdist(points[block].astype(np.float64), others)
        if own is not None:
            distances[own[block][:, None] == donors] = np.inf
        found.append(distances.min(axis=1))
    return np.concatenate(found)
