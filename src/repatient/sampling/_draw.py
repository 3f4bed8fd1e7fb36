"""Generated patients: rows of the pool in the counts that a recipe asks for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from repatient.sampling._allocation import allocate, choose_donors
from repatient.sampling._distinct import draw_distinct, positions_within

_BLOCK = 64


@dataclass(frozen=True)
class Draw:
    """Rows of generated patients.

    Parameters
    ----------
    rows
        Rows of the pool, patient after patient, (cells,).
    indptr
        Where each patient begins and ends in ``rows``, (patients + 1,).
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
        matrix = sp.csc_matrix((ones, self.rows, self.indptr), shape=(n_rows, len(self.indptr) - 1))
        matrix.sum_duplicates()
        return matrix


class _Pool:
    """Rows of the pool, sorted by component and within it by donor."""

    def __init__(self, components: np.ndarray, donors: np.ndarray | None, n_components: int) -> None:
        self.n_donors = 1 if donors is None else int(donors.max(initial=0)) + 1
        groups = components.astype(np.int64) * self.n_donors
        if donors is not None:
            groups = groups + donors
        inside = components >= 0 if donors is None else (components >= 0) & (donors >= 0)
        members = np.flatnonzero(inside)
        self.order = members[np.argsort(groups[members], kind="stable")]
        n_groups = n_components * self.n_donors
        self.sizes = np.bincount(groups[members], minlength=n_groups)
        self.starts = np.concatenate([[0], np.cumsum(self.sizes)[:-1]])

    @property
    def available(self) -> np.ndarray:
        """Cells of each component and donor, (K, donors)."""
        return self.sizes.reshape(-1, self.n_donors)

    def rows(self, groups: np.ndarray, counts: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw ``counts`` rows of each of ``groups``, without replacement as long as the group lasts.

        A group that is asked for more than it has gives all its rows, as often as that goes, and then some.
        """
        sizes = self.sizes[groups]
        rounds, rest = np.divmod(counts, sizes)
        whole = np.repeat(np.arange(len(groups)), rounds)
        segments = np.concatenate([np.repeat(whole, sizes[whole]), np.repeat(np.arange(len(groups)), rest)])
        positions = np.concatenate([positions_within(sizes[whole]), draw_distinct(rest, sizes, rng)])
        rows = self.order[self.starts[groups[segments]] + positions]
        return rows[np.argsort(segments, kind="stable")] if len(whole) else rows


def draw_patients(
    counts: np.ndarray,
    components: np.ndarray,
    donors: np.ndarray | None = None,
    *,
    n_donors: int | None = None,
    max_donor_share: float | None = None,
    rng: np.random.Generator,
) -> Draw:
    """Draw the rows of generated patients.

    Parameters
    ----------
    counts
        Cells of each component in each patient, (patients, K) integers.
    components
        Component of each row of the pool, (rows,); -1 keeps a row out.
    donors
        Donor of each row, (rows,), needed by the next two.
    n_donors
        Each patient draws its rows from this many random donors.
    max_donor_share
        Largest share of a patient's cells that one donor may give, at least ``1 / n_donors``.
    rng
        Source of randomness.

    Returns
    -------
    The rows with what could not be drawn as asked.

    Notes
    -----
    Without donors, rows are uniform within their component. With donors, a patient's cells of one component
    are drawn uniformly from those of its donors, less what ``max_donor_share`` forbids.
    """
    structured = n_donors is not None or max_donor_share is not None
    pool = _Pool(components, donors if structured else None, counts.shape[1])
    blocks = [
        _draw_block(counts[first : first + _BLOCK], pool, n_donors, max_donor_share, rng)
        for first in range(0, len(counts), _BLOCK)
    ]
    sizes = np.concatenate([block.sizes for block in blocks]) if blocks else np.zeros(0, dtype=np.int64)
    return Draw(
        rows=np.concatenate([block.rows for block in blocks]) if blocks else np.zeros(0, dtype=np.int64),
        indptr=np.concatenate([[0], np.cumsum(sizes)]),
        moved=np.concatenate([block.moved for block in blocks]) if blocks else np.zeros_like(counts),
        repeated=np.concatenate([block.repeated for block in blocks]) if blocks else np.zeros_like(counts),
    )


@dataclass(frozen=True)
class _Block:
    rows: np.ndarray
    sizes: np.ndarray
    moved: np.ndarray
    repeated: np.ndarray


def _draw_block(
    counts: np.ndarray,
    pool: _Pool,
    n_donors: int | None,
    max_donor_share: float | None,
    rng: np.random.Generator,
) -> _Block:
    n_patients, n_components = counts.shape
    if n_donors is None:
        chosen = np.broadcast_to(np.arange(pool.n_donors), (n_patients, pool.n_donors))
    else:
        chosen = choose_donors(counts, pool.available, n_donors, rng)
    available = pool.available[:, chosen].transpose(1, 0, 2)
    share = 1.0 if max_donor_share is None else max_donor_share
    allocated, moved = allocate(counts, available, most_per_donor(counts.sum(axis=1), share), rng)

    patient, component, slot = np.nonzero(allocated)
    groups = component * pool.n_donors + chosen[patient, slot]
    drawn = allocated[patient, component, slot]
    rows = pool.rows(groups, drawn, rng)
    repeated = np.zeros((n_patients, n_components), dtype=np.int64)
    np.add.at(repeated, (patient, component), np.maximum(drawn - pool.sizes[groups], 0))
    return _Block(rows, allocated.sum(axis=(1, 2)), moved, repeated)


def most_per_donor(sizes: np.ndarray, max_donor_share: float) -> np.ndarray:
    """Most cells that one donor may give to patients of these sizes; the share is never exceeded."""
    # A share of 1/3 of 300 cells is 100 cells, not the 99 that rounding errors make of it.
    return np.floor(sizes * max_donor_share + 1e-9).astype(np.int64)
