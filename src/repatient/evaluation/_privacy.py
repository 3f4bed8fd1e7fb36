"""What generated patients give away of the donors that their cells come from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from scipy.spatial.distance import cdist

from repatient.evaluation._grouped_auroc import TooFewPatientsError, auroc

if TYPE_CHECKING:
    from numpy.typing import NDArray

_BLOCK_ENTRIES = 1 << 22


class Reidentification(NamedTuple):
    """How often generated patients can be traced to a donor.

    Parameters
    ----------
    rate
        Share of them whose nearest real patient is of their main donor.
    chance
        What this share would be were main donors exchanged between them.
    """

    rate: float
    chance: float


def donor_shares(counts: sp.spmatrix | sp.sparray, donors: NDArray[np.int64], n_donors: int) -> NDArray[np.float64]:
    """Share of each donor in each generated patient.

    Parameters
    ----------
    counts
        How many times each cell is in each generated patient, (n, G), sparse.
    donors
        Donor of each cell, (n,), from 0; -1 for cells of none.
    n_donors
        Number of donors.

    Returns
    -------
    Shares, (G, n_donors), rows summing to 1 where all cells have a donor.
    """
    known = np.flatnonzero(donors >= 0)
    membership = sp.csr_array((np.ones(len(known)), (donors[known], known)), shape=(n_donors, len(donors)))
    counts = sp.csc_array(counts)
    per_donor = np.asarray((membership @ counts).todense()).T
    return per_donor / np.asarray(counts.sum(axis=0)).reshape(-1, 1)


def effective_donors(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Number of donors of equal shares that would be as concentrated: the inverse Simpson index, (G,).

    Parameters
    ----------
    shares
        What :func:`donor_shares` returned, (G, donors).

    Returns
    -------
    One number a generated patient, from 1 to the number of donors.
    """
    return 1 / (shares**2).sum(axis=1)


def repeated_share(counts: sp.spmatrix | sp.sparray) -> float:
    """Share of all drawn cells that repeat a cell which the generated patient has already.

    Parameters
    ----------
    counts
        How many times each cell is in each generated patient, (n, G), sparse.

    Returns
    -------
    The share, from 0 to below 1.
    """
    times = sp.csc_array(counts).data.astype(np.int64)
    return float((times - (times > 0)).sum() / times.sum())


def reidentification(
    generated: NDArray[np.floating],
    real: NDArray[np.floating],
    main_donors: NDArray[Any],
    donors: NDArray[Any],
) -> Reidentification:
    """How often the real patient nearest to a generated one is its main donor's.

    Parameters
    ----------
    generated, real
        Embeddings of the patients, (G, d) and (P, d).
    main_donors
        Donor of most cells of each generated patient, (G,).
    donors
        Donor of each real patient of the pool, (P,).

    Returns
    -------
    The rate, and the rate that there would be if main donors were exchanged between the generated patients: above
    1 / P where some donors are both the main one and the nearest one of many.

    Raises
    ------
    TooFewPatientsError
        If there are fewer than two generated or real patients.
    """
    if min(len(generated), len(real)) < 2:
        msg = f"a nearest patient needs 2 generated and 2 real ones to mean something, found {len(generated)} and {len(real)}"
        raise TooFewPatientsError(msg)
    nearest, _ = _nearest(generated, real)
    _, codes = np.unique(np.concatenate([donors.astype(str), main_donors.astype(str)]), return_inverse=True)
    found, main = codes[: len(donors)][nearest], codes[len(donors) :]
    hits = int((found == main).sum())
    number = codes.max() + 1
    all_pairs = int(np.bincount(found, minlength=number) @ np.bincount(main, minlength=number))
    n = len(generated)
    return Reidentification(hits / n, (all_pairs - hits) / (n * (n - 1)))


def membership_auroc(
    members: NDArray[np.floating], outsiders: NDArray[np.floating], generated: NDArray[np.floating]
) -> float:
    """How well the distance to the nearest generated patient tells whose cells were in the pool.

    Parameters
    ----------
    members, outsiders
        Embeddings of the real patients whose cells could be drawn, and of those held out, (P, d) and (Q, d).
    generated
        Embeddings of the generated patients, (G, d).

    Returns
    -------
    AUROC of membership; .5 if nothing can be told, 1 if every member has a generated patient closer to it than any
    outsider has.

    Raises
    ------
    TooFewPatientsError
        If there are fewer than two members or outsiders.
    """
    if min(len(members), len(outsiders)) < 2:
        msg = f"membership needs 2 patients of the pool and 2 of donors held out of it, found {len(members)} and {len(outsiders)}"
        raise TooFewPatientsError(msg)
    _, distance = _nearest(np.concatenate([members, outsiders]), generated)
    return auroc(-distance, np.arange(len(distance)) < len(members))


def _nearest(
    points: NDArray[np.floating], others: NDArray[np.floating]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Which of the others is nearest to each point, and how far it is."""
    index = np.empty(len(points), dtype=np.int64)
    distance = np.empty(len(points))
    step = max(_BLOCK_ENTRIES // len(others), 1)
    for start in range(0, len(points), step):
        block = cdist(points[start : start + step], others)
        index[start : start + step] = block.argmin(axis=1)
        distance[start : start + step] = block.min(axis=1)
    return index, distance
