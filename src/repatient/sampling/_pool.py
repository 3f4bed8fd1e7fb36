"""The rows that patients are drawn from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from repatient.sampling._distinct import draw_distinct, positions_within

if TYPE_CHECKING:
    from repatient.sampling._streams import PatientStreams

_MOST_ROWS = 2**31 - 1
_CHUNK = 2**15


class Pool:
    """Rows, sorted by component and within it by donor.

    Parameters
    ----------
    components
        Component of each row, (rows,); -1 keeps a row out.
    donors
        Donor of each row, (rows,); -1 keeps a row out. ``None``: all are of one donor.
    n_components
        Number of components.

    Raises
    ------
    ValueError
        If there are more rows than 32-bit indices can name.
    """

    def __init__(self, components: np.ndarray, donors: np.ndarray | None, n_components: int) -> None:
        if len(components) > _MOST_ROWS:
            msg = f"`components`: a pool may have up to {_MOST_ROWS} rows, this one has {len(components)}; mask some."
            raise ValueError(msg)
        self.n_donors = 1 if donors is None else int(donors.max(initial=0)) + 1
        inside = components >= 0 if donors is None else (components >= 0) & (donors >= 0)
        members = np.flatnonzero(inside).astype(np.int32)
        n_groups = n_components * self.n_donors
        # NumPy sorts integers of 16 bits in one pass over them.
        kind = np.uint16 if n_groups <= np.iinfo(np.uint16).max else np.int64
        groups = components[members].astype(np.int64) * self.n_donors
        if donors is not None:
            groups += donors[members]
        self.order = members[np.argsort(groups.astype(kind), kind="stable")]
        self.sizes = np.bincount(groups, minlength=n_groups)
        self.starts = np.cumsum(self.sizes) - self.sizes

    @property
    def available(self) -> np.ndarray:
        """Cells of each component and donor, (K, donors)."""
        return self.sizes.reshape(-1, self.n_donors)

    def draw(self, groups: np.ndarray, counts: np.ndarray, patients: np.ndarray, words: PatientStreams) -> np.ndarray:
        """Draw ``counts`` rows of each of ``groups``, without replacement as long as the group lasts.

        A group that is asked for more than it has gives all its rows, as often as that goes, and then some.

        Parameters
        ----------
        groups
            Which component and donor, ``component * n_donors + donor``, (segments,).
        counts
            How many rows, (segments,).
        patients
            For whom, (segments,), never falling.
        words
            Random words of the patients.

        Returns
        -------
        Positions of the rows in ``order``, segment after segment, (counts.sum(),).
        """
        sizes, starts = self.sizes[groups], self.starts[groups]
        rounds, rest = np.divmod(counts, sizes)
        positions = draw_distinct(rest, sizes, patients, words, first=starts)
        if rounds.any():
            positions = _with_whole_rounds(positions, rest, rounds, sizes, starts)
        return positions

    def look_up(self, positions: np.ndarray) -> None:
        """Replace positions, (draws,) int32, by the rows that are there."""
        for first in range(0, len(positions), _CHUNK):
            chunk = positions[first : first + _CHUNK]
            # All positions exist; NumPy is twice as fast where it may assume so and wrap, as where it clips.
            self.order.take(chunk.astype(np.intp), out=chunk, mode="wrap")


def _with_whole_rounds(
    positions: np.ndarray, rest: np.ndarray, rounds: np.ndarray, sizes: np.ndarray, starts: np.ndarray
) -> np.ndarray:
    """All positions of each segment, ``rounds`` times, in front of those that were drawn."""
    whole = np.repeat(np.arange(len(rounds)), rounds)
    of_all = np.repeat(starts[whole], sizes[whole]) + positions_within(sizes[whole])
    segments = np.concatenate([np.repeat(whole, sizes[whole]), np.repeat(np.arange(len(rest)), rest)])
    return np.concatenate([of_all, positions])[np.argsort(segments, kind="stable")]
