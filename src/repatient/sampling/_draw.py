"""Generated patients: rows of the pool in the counts that a recipe asks for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from repatient.sampling._allocation import allocate, choose_donors
from repatient.sampling._distinct import MOST_ELEMENTS
from repatient.sampling._pool import Pool
from repatient.sampling._streams import PatientStreams, patient_keys

_BLOCK = 128


@dataclass(frozen=True)
class Draw:
    """Rows of generated patients.

    Parameters
    ----------
    rows
        Rows of the pool, patient after patient, (cells,) int32.
    indptr
        Where each patient begins and ends in ``rows``, (patients + 1,); int32 where that is wide enough.
    moved
        Cells asked of a component that its donors could not give, and that other components gave, (patients, K).
    repeated
        Draws that repeat a cell already in the patient, (patients, K): a component had fewer cells than asked.
    """

    rows: np.ndarray
    indptr: np.ndarray
    moved: np.ndarray
    repeated: np.ndarray

    def counts(self, n_rows: int) -> sp.csc_matrix:
        """How many times each row of the pool is in each patient, (n_rows, patients)."""
        ones = np.ones(len(self.rows), dtype=np.int32)
        matrix = sp.csc_matrix((ones, self.rows, self.indptr), shape=(n_rows, len(self.indptr) - 1), copy=True)
        matrix.sum_duplicates()
        return matrix


def draw_patients(
    counts: np.ndarray,
    components: np.ndarray,
    donors: np.ndarray | None = None,
    *,
    n_donors: int | None = None,
    max_donor_share: float | None = None,
    seed: int,
    first_patient: int = 0,
) -> Draw:
    """Draw the rows of generated patients.

    Parameters
    ----------
    counts
        Cells of each component in each patient, (patients, K) integers.
    components
        Component of each row of the pool, (rows,); -1 keeps a row out.
    donors
        Donor of each row, (rows,), needed by the next two; -1 keeps a row out.
    n_donors
        Each patient draws its rows from this many random donors.
    max_donor_share
        Largest share of a patient's cells that one donor may give, at least ``1 / n_donors``.
    seed
        Seed, not negative.
    first_patient
        Number of the first patient, where ``counts`` are a part of a longer table.

    Returns
    -------
    The rows with what could not be drawn as asked.

    Raises
    ------
    ValueError
        If the pool is empty or has 2**31 rows or more, or its donors are too few for ``n_donors`` or for
        ``max_donor_share``.

    Notes
    -----
    Without donors, rows are uniform within their component. With donors, a patient's cells of one component
    are drawn uniformly from those of its donors, less what ``max_donor_share`` forbids.

    What is drawn for a patient depends on its counts, the pool, ``seed`` and the patient's number, and not on
    the patients before and after it.
    """
    counts = counts.astype(np.int64, copy=False)
    structured = n_donors is not None or max_donor_share is not None
    _check_donors_given(donors, structured=structured)
    pool = Pool(components, donors if structured else None, counts.shape[1])
    sizes = counts.sum(axis=1)
    share = 1.0 if max_donor_share is None else max_donor_share
    check_enough(sizes, pool, n_donors, share)

    indptr = np.concatenate([[0], np.cumsum(sizes)])
    rows = np.empty(indptr[-1], dtype=np.int32)
    moved, repeated = np.zeros_like(counts), np.zeros_like(counts)
    keys = patient_keys(seed, first_patient, len(counts))
    # The positions of a block, (patient, row), are numbered in 32 bits.
    step = min(_BLOCK, MOST_ELEMENTS // max(len(components), 1))
    for first in range(0, len(counts), step):
        block = slice(first, min(first + step, len(counts)))
        words = PatientStreams(keys[block])
        rows[indptr[block.start] : indptr[block.stop]], moved[block], repeated[block] = _draw_block(
            counts[block], pool, n_donors, most_per_donor(sizes[block], share), words
        )
    pool.look_up(rows)
    wide = indptr[-1] > np.iinfo(np.int32).max
    return Draw(rows, indptr if wide else indptr.astype(np.int32), moved, repeated)


def most_per_donor(sizes: np.ndarray, max_donor_share: float) -> np.ndarray:
    """Most cells that one donor may give to a patient; the share is never exceeded.

    Parameters
    ----------
    sizes
        Cells of each patient, (n,).
    max_donor_share
        Largest share of a patient's cells that may come from one donor.

    Returns
    -------
    Number of cells for each patient, (n,).
    """
    # A share of 1/3 of 300 cells is 100 cells, not the 99 that rounding errors make of it.
    return np.floor(sizes * max_donor_share + 1e-9).astype(np.int64)


def _draw_block(
    counts: np.ndarray, pool: Pool, n_donors: int | None, cap: np.ndarray, words: PatientStreams
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows of some patients, cells moved and cells repeated (both (patients, K))."""
    if n_donors is None:
        chosen = np.broadcast_to(np.arange(pool.n_donors), (len(counts), pool.n_donors))
    else:
        chosen = choose_donors(counts, pool.available, n_donors, words)
    if pool.n_donors == 1 and not counts[:, pool.sizes == 0].any():
        allocated, moved = counts[..., None], np.zeros_like(counts)
    else:
        allocated, moved = allocate(counts, pool.available[:, chosen].transpose(1, 0, 2), cap, words)

    patients, components, slots = np.nonzero(allocated)
    groups = components * pool.n_donors + chosen[patients, slots]
    drawn = allocated[patients, components, slots]
    repeated = np.zeros_like(counts)
    np.add.at(repeated, (patients, components), np.maximum(drawn - pool.sizes[groups], 0))
    return pool.draw(groups, drawn, patients, words), moved, repeated


def _check_donors_given(donors: np.ndarray | None, *, structured: bool) -> None:
    if structured and donors is None:
        msg = "`donors`: none are given, and `n_donors` and `max_donor_share` need the donor of each row."
        raise ValueError(msg)


def check_enough(sizes: np.ndarray, pool: Pool, n_donors: int | None, share: float) -> None:
    """Refuse what no draw can fulfil."""
    available = int((pool.available.sum(axis=0) > 0).sum())
    if sizes.any() and not available:
        msg = "`components`: no row is of a component of 0 or more (and has a donor); there is nothing to draw from."
        raise ValueError(msg)
    if n_donors is not None and not 1 <= n_donors <= available:
        msg = f"`n_donors`: {n_donors} donors were asked for; give a number from 1 to {available}, those of the pool."
        raise ValueError(msg)
    at_disposal = available if n_donors is None else n_donors
    short = sizes > most_per_donor(sizes, share) * at_disposal
    if short.any():
        size = sizes[short][0]
        msg = (
            f"`max_donor_share`: {at_disposal} donors of at most {share:g} each cannot give a patient of {size} cells; "
            "allow a larger share, or more donors."
        )
        raise ValueError(msg)
