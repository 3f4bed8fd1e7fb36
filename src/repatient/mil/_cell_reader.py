"""Cells of bags as linear predictors read them: standardised, block by block."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from repatient._files._scratch import blocks
from repatient.mil._inputs import apply_scaler

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from repatient.mil._bags import Bags

    Array = NDArray[Any]

# Cells that something is learnt from, where all of them would tell no more.
MOST_CELLS = 20_000
# Entries of padded bags, and values of them, that are sorted at a time.
SORTED_AT_ONCE, VALUES_AT_ONCE = 2**16, 2**24


class CellReader:
    """Standardised cells of bags, block by block.

    Parameters
    ----------
    bags
        The bags.
    mean, scale
        Of each feature over the training cells.
    """

    def __init__(self, bags: Bags, mean: NDArray[np.float64], scale: NDArray[np.float64]) -> None:
        self.bags, self.mean, self.scale = bags, mean, scale

    def read(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Standardised values of some rows of ``X``, (rows, d)."""
        X, first = self.bags.X, rows[0] if len(rows) else 0
        in_order = len(rows) > 0 and rows[-1] - first == len(rows) - 1 and bool(np.all(rows[1:] - rows[:-1] == 1))
        return apply_scaler(X[first : first + len(rows)] if in_order else X[rows], self.mean, self.scale, clip=True)

    def mean_of(self, values: Callable[[NDArray[np.float32]], Array], width: int) -> NDArray[np.float64]:
        """Mean over the cells of each bag of what ``values`` makes of cells, (B, width)."""
        bags, total = self.bags, np.zeros((len(self.bags), width))
        for part in blocks(len(bags.rows), width=max(bags.X.shape[1], width)):
            n = part.stop - part.start
            indptr = np.clip(bags.indptr - part.start, 0, n)
            touched = np.flatnonzero(np.diff(indptr))
            first, last = touched[0], touched[-1] + 1
            shape = (last - first, n)
            members = sparse.csr_array((np.ones(n, np.float32), np.arange(n), indptr[first : last + 1]), shape=shape)
            total[first:last] += members @ values(self.read(bags.rows[part]))
        return total / bags.sizes[:, None]

    def each(
        self, values: Callable[[NDArray[np.float32]], Array], width: int, *, widest: int = 1
    ) -> NDArray[np.float64]:
        """What ``values`` makes of every entry of ``bags.rows``, (m, width), by way of arrays ``widest`` wide."""
        result = np.empty((len(self.bags.rows), width))
        for part in blocks(len(result), width=max(self.bags.X.shape[1], width, widest)):
            result[part] = values(self.read(self.bags.rows[part]))
        return result

    @property
    def parts(self) -> tuple[Any, ...]:
        """All that the cells depend on."""
        return self.bags, self.mean, self.scale

    def bag_of_entries(self) -> NDArray[np.int64]:
        """Bag of each entry."""
        return np.repeat(np.arange(len(self.bags)), self.bags.sizes)

    def sample(self, rng: np.random.Generator, most: int = MOST_CELLS) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Random cells, as many of every bag as it has up to an equal share of ``most``, and the bag of each."""
        sizes = self.bags.sizes
        kept, bag = np.minimum(sizes, max(1, most // len(sizes))), self.bag_of_entries()
        order = np.lexsort((rng.random(len(bag)), bag))
        place = np.arange(len(bag)) - np.repeat(self.bags.indptr[:-1], sizes)
        chosen = np.sort(order[place < np.repeat(kept, sizes)])
        return self.read(self.bags.rows[chosen]), bag[chosen]

    def padded(self) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]]:
        """Bags of like sizes together: their numbers, their sizes, and cells (bags, d, most cells), infinity beyond."""
        sizes, order = self.bags.sizes, np.argsort(self.bags.sizes, kind="stable")
        first, most = 0, min(SORTED_AT_ONCE, VALUES_AT_ONCE // self.bags.X.shape[1])
        while first < len(order):
            last = first + 1
            while last < len(order) and sizes[order[last]] * (last + 1 - first) <= most:
                last += 1
            some = order[first:last]
            bags = self.bags.take(some)
            values = np.full((len(some), self.bags.X.shape[1], sizes[some[-1]]), np.inf, dtype=np.float32)
            bag = np.repeat(np.arange(len(some)), bags.sizes)
            values[bag, :, np.arange(len(bag)) - np.repeat(bags.indptr[:-1], bags.sizes)] = self.read(bags.rows)
            yield some, sizes[some], values
            first = last
