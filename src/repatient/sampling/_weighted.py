"""Rows with the offsets of real patients, drawn by weights from many donors."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from repatient._threads import one_thread
from repatient.sampling._allocation import elsewhere
from repatient.sampling._candidates import LEAST, PER_CELL, candidates
from repatient.sampling._distinct import positions_within
from repatient.sampling._donor_effects import exponential
from repatient.sampling._draw import Draw, check_enough, most_per_donor
from repatient.sampling._pool import Pool
from repatient.sampling._streams import PatientStreams, patient_keys

if TYPE_CHECKING:
    from collections.abc import Iterator

    from repatient.sampling._donor_effects import DonorEffects

_BLOCK = 128
_WEIGHTS = 2**22
# Rows that a patient has already come after all others of their component.
_LAST = 1e6


class _Cells(NamedTuple):
    """Cells drawn for some patients: for whom, of which component and which row, (cells,) each."""

    patients: np.ndarray
    components: np.ndarray
    rows: np.ndarray


def draw_with_effects(
    counts: np.ndarray,
    components: np.ndarray,
    effects: DonorEffects,
    donors: np.ndarray | None = None,
    *,
    max_donor_share: float | None = None,
    strength: float = 1.0,
    seed: int,
    first_patient: int = 0,
) -> tuple[Draw, np.ndarray]:
    """Draw the rows of generated patients so that each has the offsets of a real patient within components.

    Parameters
    ----------
    counts
        Cells of each component in each patient, (patients, K) integers.
    components
        Component of each row of the pool, (rows,); -1 keeps a row out.
    effects
        Offsets of the real patients of the pool, see :func:`repatient.sampling.fit_donor_effects`.
    donors
        Donor of each row, (rows,), needed by ``max_donor_share``; -1 keeps a row out.
    max_donor_share
        Largest share of a patient's cells that one donor may give.
    strength
        Part of the offset that a patient gets, from 0 (none, rows are uniform within their component) to 1.
    seed
        Seed, not negative.
    first_patient
        Number of the first patient, where ``counts`` are a part of a longer table.

    Returns
    -------
    The rows with what could not be drawn as asked, and the real patient (as numbered in the fit of ``effects``) whose
    offsets each patient has, (patients,).

    Raises
    ------
    ValueError
        If the pool is empty, or its donors are too few for ``max_donor_share``.

    Notes
    -----
    Rows of a component are drawn without replacement as long as they last, by the exponential race: the first rows of
    those that arrive after exponential times at rates equal to their weights (Efraimidis and Spirakis 2006). Where a
    donor has given more than its share, cells of it, picked at random, are drawn again from the other donors by the
    same weights.

    Where a component has more than 4,096 rows, and more than 64 to 128 for each cell that a patient draws of it, the
    patient draws from so many of them, picked at random: the work grows with the number of patients, and not with its
    product with that of rows. Likewise its offsets are those of one of 4,096 real patients where there are more.

    References
    ----------
    P. S. Efraimidis and P. G. Spirakis. Weighted random sampling with a reservoir. Information Processing Letters 97,
    181 (2006).
    """
    counts = counts.astype(np.int64, copy=False)
    if max_donor_share is not None and donors is None:
        msg = "`donors`: none are given, and `max_donor_share` needs the donor of each row."
        raise ValueError(msg)
    pool = Pool(components, None if max_donor_share is None else donors, counts.shape[1])
    of_donor = np.zeros(len(components), dtype=np.int64) if max_donor_share is None or donors is None else donors
    sizes = counts.sum(axis=1)
    share = 1.0 if max_donor_share is None else max_donor_share
    check_enough(sizes, pool, None, share)
    keys = patient_keys(seed, first_patient, len(counts))
    # No more than are looked at for one patient.
    largest = min(int(pool.available.sum(axis=1).max(initial=1)), max(LEAST, 2 * PER_CELL * int(counts.max(initial=1))))
    step = max(min(_BLOCK, _WEIGHTS // max(largest, 1)), 1)
    rows, moved, repeated = [np.zeros(0, dtype=np.int32)], np.zeros_like(counts), np.zeros_like(counts)
    references = np.zeros(len(counts), dtype=np.int64)
    with one_thread():
        for first in range(0, len(counts), step):
            block = slice(first, min(first + step, len(counts)))
            words = PatientStreams(keys[block])
            numbers = np.arange(first_patient + block.start, first_patient + block.stop)
            references[block] = _references(counts[block], effects, words, seed, numbers)
            race = _Race(pool, of_donor, effects, references[block], strength, words, seed, numbers)
            cells, moved[block] = _draw_block(counts[block], race, most_per_donor(sizes[block], share))
            rows.append(cells.rows.astype(np.int32))
            repeated[block] = _repeats(cells, counts.shape[1], len(counts[block]))
    indptr = np.concatenate([[0], np.cumsum(sizes)])
    wide = indptr[-1] > np.iinfo(np.int32).max
    return Draw(np.concatenate(rows), indptr if wide else indptr.astype(np.int32), moved, repeated), references


class _Race:
    """Weighted draws for the patients of a block."""

    def __init__(
        self,
        pool: Pool,
        donors: np.ndarray,
        effects: DonorEffects,
        references: np.ndarray,
        strength: float,
        words: PatientStreams,
        seed: int,
        numbers: np.ndarray,
    ) -> None:
        self._seed, self._numbers, self._turn = seed, numbers, 0
        self.pool, self.donors, self.words = pool, donors, words
        self._effects, self._references, self._strength = effects, references, strength
        ends = np.cumsum(pool.available.sum(axis=1))
        self._members = np.split(pool.order, ends[:-1])

    def run(self, counts: np.ndarray, closed: np.ndarray, used: _Cells) -> _Cells:
        """Draw ``counts`` (patients, K) rows from donors that are not ``closed`` (patients, donors)."""
        drawn = [used]
        for k in np.flatnonzero(counts.any(axis=0)).tolist():
            patients = np.flatnonzero(counts[:, k])
            drawn += self._from_candidates(k, patients, counts[patients, k], closed, used)
        self._turn += 1
        cells = _Cells(*(np.concatenate(parts) for parts in zip(*drawn, strict=True)))
        order = np.argsort(cells.patients, kind="stable")
        return _Cells(*(part[order] for part in cells))

    def _from_candidates(
        self, component: int, patients: np.ndarray, counts: np.ndarray, closed: np.ndarray, used: _Cells
    ) -> Iterator[_Cells]:
        """Cells of a component for some patients; those whose candidates do not suffice look at all of its rows."""
        members = self._members[component]
        key = (self._seed, component, self._turn)
        short = []
        for chosen, elements in candidates(len(members), counts, self._numbers[patients], *key):
            rows = members if elements is None else members[elements]
            enough = np.ones(len(chosen), dtype=bool)
            if elements is not None and closed.any():
                n_open = (~closed[patients[chosen]][:, self.donors[rows]]).sum(axis=1)
                enough = n_open >= PER_CELL // 4 * counts[chosen]
            short.append(chosen[~enough])
            if enough.any():
                yield self._first(component, rows, patients[chosen[enough]], counts[chosen[enough]], closed, used)
        late = np.sort(np.concatenate(short))
        if len(late):
            yield self._first(component, members, patients[late], counts[late], closed, used)

    def _first(
        self,
        component: int,
        rows: np.ndarray,
        patients: np.ndarray,
        counts: np.ndarray,
        closed: np.ndarray,
        used: _Cells,
    ) -> _Cells:
        """Those of some rows of a component that come first; from the beginning again where they are fewer than asked."""
        weights = self._effects.log_weights(component, rows, self._references[patients], self._strength)
        numbers = np.zeros(len(self.words), dtype=np.int64)
        numbers[patients] = len(rows)
        times = np.log(exponential(self.words.take(numbers))).reshape(len(patients), len(rows)) - weights
        # Only differences between the rows of one patient count; the penalty of used rows must stay above them.
        times -= times.min(axis=1, keepdims=True)
        place = np.full(len(closed), -1)
        place[patients] = np.arange(len(patients))
        again = (used.components == component) & (place[used.patients] >= 0)
        if again.any():
            again &= np.isin(used.rows, rows)
            order = np.argsort(rows)
            columns = order[np.searchsorted(rows, used.rows[again], sorter=order)]
            times[place[used.patients[again]], columns] += _LAST
        n_open = np.full(len(patients), len(rows))
        if closed.any():
            times[closed[patients][:, self.donors[rows]]] = np.inf
            n_open = np.isfinite(times).sum(axis=1)
        most = min(int(counts.max()), len(rows))
        front = np.argpartition(times, most - 1, axis=1)[:, :most]
        front = np.take_along_axis(front, np.argsort(np.take_along_axis(times, front, axis=1), axis=1), axis=1)
        whom = np.repeat(np.arange(len(patients)), counts)
        drawn = rows[front[whom, positions_within(counts) % n_open[whom]]]
        return _Cells(patients[whom], np.full(len(drawn), component), drawn)


def _references(
    counts: np.ndarray, effects: DonorEffects, words: PatientStreams, seed: int, numbers: np.ndarray
) -> np.ndarray:
    """The real patient whose offsets each patient has, (patients,)."""
    found = np.empty(len(counts), dtype=np.int64)
    for chosen, real in candidates(len(effects.roots), np.ones(len(counts)), numbers, seed):
        found[chosen] = effects.choose(counts, words, chosen, real)
    return found


def _draw_block(counts: np.ndarray, race: _Race, cap: np.ndarray) -> tuple[_Cells, np.ndarray]:
    """Cells of some patients, patient after patient, and how many had to be of other components, (patients, K)."""
    empty = np.zeros(0, dtype=np.int64)
    cells = _Cells(empty, empty, empty)
    moved, pending = np.zeros_like(counts), counts
    closed = np.zeros((len(counts), race.pool.n_donors), dtype=bool)
    # Every turn closes at least one more donor of each patient that still has cells to place.
    while pending.any():
        possible = ~closed @ (race.pool.available.T > 0)
        stuck = np.where(possible, 0, pending)
        moved += stuck
        pending = pending - stuck + elsewhere(stuck.sum(axis=1), np.where(possible, counts + 1e-9, 0), race.words)
        cells = race.run(pending, closed, cells)
        cells, pending = _without_excess(cells, cap, race, counts.shape)
        per_donor = np.zeros(closed.shape, dtype=np.int64)
        np.add.at(per_donor, (cells.patients, race.donors[cells.rows]), 1)
        closed = per_donor >= cap[:, None]
    return cells, moved


def _without_excess(cells: _Cells, cap: np.ndarray, race: _Race, shape: tuple[int, ...]) -> tuple[_Cells, np.ndarray]:
    """Cells without those, picked at random, by which a donor exceeds ``cap``, and what was taken away of each patient."""
    pairs = cells.patients * race.pool.n_donors + race.donors[cells.rows]
    per_pair = np.bincount(pairs, minlength=shape[0] * race.pool.n_donors)
    taken = np.zeros(shape, dtype=np.int64)
    if not (per_pair > np.repeat(cap, race.pool.n_donors)).any():
        return cells, taken
    lots = race.words.take(np.bincount(cells.patients, minlength=shape[0]))
    order = np.lexsort([lots, pairs])
    rank = np.empty(len(pairs), dtype=np.int64)
    rank[order] = positions_within(per_pair)
    out = rank >= cap[cells.patients]
    np.add.at(taken, (cells.patients[out], cells.components[out]), 1)
    return _Cells(*(part[~out] for part in cells)), taken


def _repeats(cells: _Cells, n_components: int, n_patients: int) -> np.ndarray:
    """Draws of a row that the patient already has, (patients, K)."""
    order = np.lexsort([cells.rows, cells.patients])
    patients, rows = cells.patients[order], cells.rows[order]
    twice = np.flatnonzero((patients[1:] == patients[:-1]) & (rows[1:] == rows[:-1])) + 1
    result = np.zeros((n_patients, n_components), dtype=np.int64)
    np.add.at(result, (patients[twice], cells.components[order][twice]), 1)
    return result
