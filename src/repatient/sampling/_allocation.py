"""From which donors the cells of a generated patient come."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from repatient.sampling._distinct import draw_distinct

if TYPE_CHECKING:
    from repatient.sampling._streams import PatientStreams

_CANDIDATES = 32


def choose_donors(counts: np.ndarray, available: np.ndarray, n_donors: int, words: PatientStreams) -> np.ndarray:
    """Random donors of each patient, those of several random sets that can give most of its cells.

    Parameters
    ----------
    counts
        Cells requested of each component, (patients, K).
    available
        Cells of each component and donor, (K, donors).
    n_donors
        Size of a set.
    words
        Random words of the patients.

    Returns
    -------
    Donor indices in rising order, (patients, n_donors).
    """
    donors = np.flatnonzero(available.sum(axis=0))
    requested = counts.sum(axis=1)
    best = np.zeros((len(counts), n_donors), dtype=np.intp)
    best_covered = np.full(len(counts), -1)
    for _ in range(_CANDIDATES):
        # A patient that has what it needs takes no more words, so that it does not depend on the others.
        incomplete = best_covered < requested
        keys = words.take(np.where(incomplete, len(donors), 0)).reshape(-1, len(donors))
        chosen = donors[np.argpartition(keys, n_donors - 1, axis=1)[:, :n_donors]]
        covered = (counts[incomplete] * (available.T[chosen].sum(axis=1) > 0)).sum(axis=1)
        better = covered > best_covered[incomplete]
        improved = np.flatnonzero(incomplete)[better]
        best[improved], best_covered[improved] = chosen[better], covered[better]
        if (best_covered >= requested).all():
            break
    return np.sort(best, axis=1)


def allocate(
    counts: np.ndarray, available: np.ndarray, cap: np.ndarray, words: PatientStreams
) -> tuple[np.ndarray, np.ndarray]:
    """Share the cells of each patient out over its donors.

    Parameters
    ----------
    counts
        Cells requested of each component, (patients, K).
    available
        Cells that each donor of each patient has of each component, (patients, K, donors).
    cap
        Most cells that one donor may give a patient, (patients,); times the donors at least the patient's
        size.
    words
        Random words of the patients.

    Returns
    -------
    Cells of each patient, component and donor, and the cells (patients, K) that the donors could not give
    of the component requested and that other components gave instead.
    """
    patients = np.arange(len(counts))
    result = np.zeros(available.shape, dtype=np.int64)
    moved = np.zeros_like(counts)
    pending, open_cells = counts, available
    # Every turn fills at least one more donor of each patient that still has cells to place.
    while pending.any():
        possible = open_cells.sum(axis=2) > 0
        stuck = np.where(possible, 0, pending)
        moved += stuck
        pending = pending - stuck + elsewhere(stuck.sum(axis=1), np.where(possible, counts + 1e-9, 0), words)
        # Cells that were not drawn yet go first; all of them again once those are used up.
        fresh = np.maximum(open_cells - result, 0)
        enough = fresh.sum(axis=2) >= pending
        result += _split(pending, np.where(enough[..., None], fresh, open_cells), patients, words)
        taken = _excess(result, cap, words)
        result -= taken
        pending = taken.sum(axis=2)
        open_cells = available * (result.sum(axis=1) < cap[:, None])[:, None, :]
    return result, moved


def _split(wanted: np.ndarray, available: np.ndarray, patients: np.ndarray, words: PatientStreams) -> np.ndarray:
    """Split ``wanted`` (B, K) over the donors of ``available`` (B, K, D) by drawing that many of their cells.

    Without replacement as long as the cells last: whole rounds through all of them first, then the rest.
    """
    total = available.sum(axis=2)
    rounds, rest = np.divmod(wanted, np.maximum(total, 1))
    ends = np.cumsum(available)
    drawn = draw_distinct(
        rest.ravel(),
        total.ravel(),
        np.repeat(patients, wanted.shape[1]),
        words,
        first=np.cumsum(total) - total.ravel(),
    )
    of_donor = np.bincount(np.searchsorted(ends, drawn, side="right"), minlength=len(ends))
    return rounds[..., None] * available + of_donor.reshape(available.shape)


def _excess(allocated: np.ndarray, cap: np.ndarray, words: PatientStreams) -> np.ndarray:
    """Cells to take back, at random, from the donors that give a patient more than ``cap`` (B,)."""
    per_donor = allocated.transpose(0, 2, 1)
    over = np.maximum(per_donor.sum(axis=2) - cap[:, None], 0)
    patients, donors = np.nonzero(over)
    taken = np.zeros_like(per_donor)
    taken[patients, donors] = _split(
        over[patients, donors][:, None], per_donor[patients, donors][:, None, :], patients, words
    )[:, 0]
    return taken.transpose(0, 2, 1)


def elsewhere(n_cells: np.ndarray, weights: np.ndarray, words: PatientStreams) -> np.ndarray:
    """Spread cells of each patient (B,) over the components in proportion to ``weights`` (B, K)."""
    n_components = weights.shape[1]
    patients = np.repeat(np.arange(len(n_cells)), n_cells)
    uniform = (words.take(n_cells) >> np.uint64(11)) * 2.0**-53
    total = weights.sum(axis=1, keepdims=True)
    shares = np.divide(weights, total, where=total > 0, out=np.full_like(weights, 1.0 / n_components))
    above = uniform[:, None] >= np.cumsum(shares, axis=1)[patients]
    last = n_components - 1 - np.argmax(shares[:, ::-1] > 0, axis=1)
    # Shares may add up to a little less than 1.
    components = np.minimum(above.sum(axis=1), last[patients])
    spread = np.bincount(patients * n_components + components, minlength=weights.size)
    return spread.reshape(weights.shape)
