"""Uniform draws without replacement from many sets at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from repatient.sampling._streams import PatientStreams

MOST_ELEMENTS = 2**32
# Keys that are sorted together where sets are small: a sort takes several times as long per key from 512 keys on.
SHORT_RUN = 256
_HALF = np.uint64(32)


def draw_distinct(
    n_draws: np.ndarray,
    sizes: np.ndarray,
    patients: np.ndarray,
    words: PatientStreams,
    *,
    first: np.ndarray | None = None,
) -> np.ndarray:
    """Draw ``n_draws[i]`` distinct integers of ``first[i] … first[i] + sizes[i] - 1``, for every set ``i``.

    Every subset of a set is equally likely: what is done to an element never depends on which one it is.

    Parameters
    ----------
    n_draws
        How many, (sets,), none above its size.
    sizes
        Sizes of the sets, (sets,), less than 2**32 together.
    patients
        Whose words each set is drawn by, (sets,), never falling.
    words
        Source of randomness.
    first
        Smallest element of each set, (sets,); 0 if ``None``.

    Returns
    -------
    The draws, set after set and in no particular order inside, (n_draws.sum(),) uint32.
    """
    # Of a set that is mostly used up, it is quicker to draw what stays.
    fewer = np.minimum(n_draws, sizes - n_draws)
    begins = np.cumsum(sizes) - sizes
    keys = _Sets(fewer, sizes, patients, words).draw()
    if (fewer < n_draws).any():
        keys = _with_complements(keys, fewer, n_draws, sizes)
    shift = -begins if first is None else first - begins
    keys += np.repeat(shift.astype(np.uint32), n_draws)
    return keys


def positions_within(lengths: np.ndarray) -> np.ndarray:
    """``0 … lengths[i] - 1`` for every ``i``, one after another."""
    return np.arange(int(lengths.sum())) - np.repeat(np.cumsum(lengths) - lengths, lengths)


class _Sets:
    """Sets laid end to end, so that one key names both a set and an element."""

    def __init__(self, n_draws: np.ndarray, sizes: np.ndarray, patients: np.ndarray, words: PatientStreams) -> None:
        self.n_draws = n_draws
        self.ends = np.cumsum(n_draws)
        self.sizes = sizes.astype(np.uint64)
        self.begins = np.cumsum(self.sizes, dtype=np.uint64) - self.sizes
        self.unfair = np.uint64(MOST_ELEMENTS) % np.maximum(self.sizes, np.uint64(1))
        self.patients = patients
        self.words = words

    def draw(self) -> np.ndarray:
        """As many different keys of every set as asked, set after set."""
        keys = self._keys()
        self._sort(keys)
        twice = _repeats(keys)
        if len(twice):
            keys[twice] = self._others(keys, twice)
        return keys

    def _sort(self, keys: np.ndarray) -> None:
        """Sort in place, run by run of sets: all keys of a set come before those of the next, and short sorts are quick."""
        lengths = np.bincount((self.ends - self.n_draws) // SHORT_RUN, self.n_draws).astype(np.int64)
        lengths = lengths[lengths > 0]
        # Runs of about one length are the rows of one table.
        kinds = np.ceil(np.log2(np.maximum(lengths / (2 * SHORT_RUN), 1.0)))
        for kind in np.unique(kinds):
            of_kind = kinds == kind
            where = np.repeat(of_kind, lengths)
            inside = np.arange(lengths[of_kind].max()) < lengths[of_kind, None]
            table = np.full(inside.shape, MOST_ELEMENTS - 1, dtype=keys.dtype)
            table[inside] = keys[where]
            table.sort(axis=1)
            keys[where] = table[inside]

    def _others(self, keys: np.ndarray, slots: np.ndarray) -> np.ndarray:
        """Keys for ``slots`` that are neither among the sorted ``keys`` nor twice among themselves, sorted."""
        others = keys[:0]
        while len(slots):
            drawn = np.sort(self._drawn_for(slots))
            known = _contains(keys, drawn) | _contains(others, drawn)
            known[_repeats(drawn)] = True
            others = np.sort(np.concatenate([others, drawn[~known]]))
            slots = slots[known]
        return others

    def _keys(self) -> np.ndarray:
        """A key for every draw, each element of its set equally likely."""
        # A word of 32 bits times the size of the set: the upper half of the product is the element.
        products = np.repeat(self.sizes, self.n_draws)
        products *= self.words.take_short(self._per_patient(self.patients, self.n_draws))
        lower = products.astype(np.uint32)
        suspects = np.flatnonzero(lower < self.unfair.max(initial=0).astype(np.uint32))
        products >>= _HALF
        keys = products.astype(np.uint32)
        keys += np.repeat(self.begins.astype(np.uint32), self.n_draws)
        unfair = suspects[lower[suspects] < self.unfair[self._sets_of(suspects)]]
        keys[unfair] = self._drawn_for(unfair)
        return keys

    def _drawn_for(self, slots: np.ndarray) -> np.ndarray:
        """Random keys of the sets that some draws, in rising order, belong to."""
        keys = np.empty(len(slots), dtype=np.uint32)
        sets, pending = self._sets_of(slots), np.arange(len(slots))
        while len(pending):
            words = self.words.take(self._per_patient(self.patients[sets])) >> _HALF
            products = words * self.sizes[sets]
            keys[pending] = self.begins[sets] + (products >> _HALF)
            # A word that would favour some elements is passed over.
            unfair = products.astype(np.uint32) < self.unfair[sets]
            sets, pending = sets[unfair], pending[unfair]
        return keys

    def _per_patient(self, patients: np.ndarray, numbers: np.ndarray | None = None) -> np.ndarray:
        return np.bincount(patients, numbers, minlength=len(self.words)).astype(np.int64)

    def _sets_of(self, slots: np.ndarray) -> np.ndarray:
        return np.searchsorted(self.ends, slots, side="right")


def _repeats(sorted_keys: np.ndarray) -> np.ndarray:
    return np.flatnonzero(sorted_keys[1:] == sorted_keys[:-1]) + 1


def _contains(sorted_keys: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """Which of ``keys`` are among ``sorted_keys``."""
    if not len(sorted_keys):
        return np.zeros(len(keys), dtype=bool)
    places = np.minimum(np.searchsorted(sorted_keys, keys), len(sorted_keys) - 1)
    return sorted_keys[places] == keys


def _with_complements(keys: np.ndarray, drawn: np.ndarray, n_draws: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Replace the keys of every set of which too few were drawn by the keys that were not drawn."""
    few = drawn < n_draws
    begins = (np.cumsum(sizes) - sizes)[few]
    begins_of_few = np.cumsum(sizes[few]) - sizes[few]
    stays = np.ones(int(sizes[few].sum()), dtype=bool)
    stays[keys[np.repeat(few, drawn)] - np.repeat(begins - begins_of_few, drawn[few])] = False
    of_few = np.repeat(few, n_draws)
    result = np.empty(len(of_few), dtype=np.uint32)
    result[of_few] = np.flatnonzero(stays) + np.repeat(begins - begins_of_few, n_draws[few])
    result[~of_few] = keys[~np.repeat(few, drawn)]
    return result
