"""From which donors the cells of a generated patient come."""

from __future__ import annotations

import numpy as np

_CANDIDATES = 32


def choose_donors(counts: np.ndarray, available: np.ndarray, n_donors: int, rng: np.random.Generator) -> np.ndarray:
    """Random donors of each patient, those of several random sets that can give most of its cells.

    Parameters
    ----------
    counts
        Cells asked of each component, (patients, K).
    available
        Cells of each component and donor, (K, donors).
    n_donors
        Size of a set.

    Returns
    -------
    Donor indices, (patients, n_donors).
    """
    donors = np.flatnonzero(available.sum(axis=0))
    best = np.zeros((len(counts), n_donors), dtype=np.intp)
    best_covered = np.full(len(counts), -1.0)
    for _ in range(_CANDIDATES):
        keys = rng.random((len(counts), len(donors)))
        chosen = donors[np.argpartition(keys, n_donors - 1, axis=1)[:, :n_donors]]
        covered = (counts * (available.T[chosen].sum(axis=1) > 0)).sum(axis=1)
        better = covered > best_covered
        best[better], best_covered[better] = chosen[better], covered[better]
        if (best_covered >= counts.sum(axis=1)).all():
            break
    return best


def _split(wanted: np.ndarray, available: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Split ``wanted`` (B, K) over the donors of ``available`` (B, K, D) as drawing their cells at random would.

    Without replacement as long as the cells last: whole rounds through all of them first, then the rest.
    """
    total = available.sum(axis=2)
    rounds, rest = np.divmod(wanted, np.maximum(total, 1))
    result = rounds[..., None] * available
    remaining = total.copy()
    for donor in range(available.shape[2]):
        cells = available[:, :, donor]
        remaining -= cells
        drawn = rng.hypergeometric(cells, remaining, np.minimum(rest, cells + remaining))
        result[:, :, donor] += drawn
        rest -= drawn
    return result


def _excess(allocated: np.ndarray, cap: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Cells to take back, at random, from the donors that give a patient more than ``cap`` (B,)."""
    per_donor = allocated.transpose(0, 2, 1)
    over = np.maximum(per_donor.sum(axis=2) - cap[:, None], 0)
    patients, donors = np.nonzero(over)
    taken = np.zeros_like(per_donor)
    taken[patients, donors] = _split(over[patients, donors][:, None], per_donor[patients, donors][:, None, :], rng)[
        :, 0
    ]
    return taken.transpose(0, 2, 1)


def allocate(
    counts: np.ndarray, available: np.ndarray, cap: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Share the cells of each patient out over its donors.

    Parameters
    ----------
    counts
        Cells asked of each component, (patients, K).
    available
        Cells that each donor of each patient has of each component, (patients, K, donors).
    cap
        Most cells that one donor may give a patient, (patients,); times the donors at least the patient's
        size.

    Returns
    -------
    Cells of each patient, component and donor, and the cells (patients, K) that the donors could not give
    of the component asked and that other components gave instead.
    """
    result = np.zeros(available.shape, dtype=np.int64)
    moved = np.zeros_like(counts)
    pending, open_cells = counts, available
    # Every turn fills at least one more donor of each patient that still has cells to place.
    while pending.any():
        possible = open_cells.sum(axis=2) > 0
        stuck = np.where(possible, 0, pending)
        moved += stuck
        pending = pending - stuck + _elsewhere(stuck.sum(axis=1), np.where(possible, counts + 1e-9, 0), rng)
        # Cells that were not drawn yet go first; all of them again once those are used up.
        fresh = np.maximum(open_cells - result, 0)
        enough = fresh.sum(axis=2) >= pending
        result += _split(pending, np.where(enough[..., None], fresh, open_cells), rng)
        taken = _excess(result, cap, rng)
        result -= taken
        pending = taken.sum(axis=2)
        open_cells = available * (result.sum(axis=1) < cap[:, None])[:, None, :]
    return result, moved


def _elsewhere(n_cells: np.ndarray, weights: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Spread cells of each patient (B,) over the components in proportion to ``weights`` (B, K)."""
    total = weights.sum(axis=1, keepdims=True)
    return rng.multinomial(
        n_cells, np.divide(weights, total, where=total > 0, out=np.full_like(weights, 1.0 / weights.shape[1]))
    )
