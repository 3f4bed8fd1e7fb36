"""Cutting a batch of bags into pieces of rows that are encoded together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

# Rows: few enough that a piece stays in the cache, enough that the calls for each piece cost little.
MAX_ROWS = 4096
# Small bags share a piece; with many more of them, pooling them jointly would cost more than encoding their rows.
MAX_BAGS = 16


@dataclass(frozen=True)
class Piece:
    """Rows ``start`` to ``stop`` of a batch: some whole bags, or a part of one."""

    start: int
    stop: int
    bags: slice

    @property
    def n_rows(self) -> int:
        """Rows of the piece."""
        return self.stop - self.start

    def view(self, memory: Tensor) -> Tensor:
        """Part of a matrix (features, rows of the batch) that is stored piece after piece, each contiguous."""
        width = memory.shape[0]
        return memory.view(-1)[width * self.start : width * self.stop].view(width, self.n_rows)

    def weights_of_bags(self, attention: Tensor, indptr: NDArray[np.int64]) -> Tensor:
        """The attention of the rows (of the batch) as a matrix, bags of the piece by its rows, 0 in other bags."""
        own = attention[self.start : self.stop]
        n_bags = self.bags.stop - self.bags.start
        if n_bags == 1:
            return own[None]
        sizes = np.diff(indptr[self.bags.start : self.bags.stop + 1])
        bag = torch.from_numpy(np.repeat(np.arange(n_bags), sizes))
        return own.new_zeros((n_bags, len(own))).scatter_(0, bag[None], own[None])


def cut(indptr: NDArray[np.int64], *, max_rows: int = MAX_ROWS, max_bags: int = MAX_BAGS) -> list[Piece]:
    """Pieces of the bags ``indptr[b]`` to ``indptr[b + 1]``: large bags in even parts, small ones several together."""
    bounds, n_bags = indptr.tolist(), len(indptr) - 1
    pieces: list[Piece] = []
    first = 0
    while first < n_bags:
        last = first + 1
        while last < n_bags and last - first < max_bags and bounds[last + 1] - bounds[first] <= max_rows:
            last += 1
        start, size = bounds[first], bounds[last] - bounds[first]
        n_parts = -(-size // max_rows)
        ends = [start + size * part // n_parts for part in range(n_parts + 1)]
        pieces += [Piece(a, b, slice(first, last)) for a, b in zip(ends[:-1], ends[1:], strict=True)]
        first = last
    return pieces
