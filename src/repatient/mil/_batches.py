"""The bags of training, and the batches of an epoch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Protocol, Self

import numpy as np
import torch

from repatient.mil._bags import cumulative

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray
    from torch import Tensor

    from repatient.mil._bags import Bags
    from repatient.mil._embedding import Embedding
    from repatient.mil._network import GatedAttentionNetwork


@dataclass(frozen=True)
class Batch:
    """Bags of one gradient step, with what the loss asks for.

    Parameters
    ----------
    embed
        What embeds bags of rows of some standardised cells.
    rows
        Rows of those cells, of these bags and maybe of others.
    starts, sizes
        Bag ``b`` is ``rows[starts[b] : starts[b] + sizes[b]]``, (bags,).
    targets
        Class codes (bags,), or probabilities of the classes (bags, classes).
    weights
        Weight of each bag in the loss, (bags,).
    n_codes
        Number of classes, grades or values.
    """

    embed: Embedding
    rows: NDArray[np.int64]
    starts: NDArray[np.int64]
    sizes: NDArray[np.int64]
    targets: Tensor
    weights: Tensor
    n_codes: int

    def thinned(self, most: int | None, generator: torch.Generator) -> Batch:
        """The same batch with a random part of each bag that has more than ``most`` cells.

        Such a bag is cut into as many pieces of equal size, of each of which one random cell is taken.
        """
        if most is None or self.sizes.max() <= most:
            return self
        kept = np.minimum(self.sizes, most)
        indptr = cumulative(kept)
        place = np.arange(indptr[-1]) - np.repeat(indptr[:-1], kept)
        drawn = torch.rand(int(indptr[-1]), generator=generator, dtype=torch.float64).numpy()
        inside = np.where(np.repeat(self.sizes > most, kept), drawn, 0.0)
        step = np.repeat(self.sizes / kept, kept)
        rows = self.rows[np.repeat(self.starts, kept) + ((place + inside) * step).astype(np.int64)]
        return replace(self, rows=rows, starts=indptr[:-1], sizes=kept)

    def __len__(self) -> int:
        return len(self.sizes)

    def mass(self) -> NDArray[np.float64]:
        """Weight of each code in the loss, (codes,)."""
        weights, targets = self.weights.cpu().numpy().astype(np.float64), self.targets.cpu().numpy()
        if targets.ndim == 2:
            return weights @ targets
        return np.bincount(targets, weights, minlength=self.n_codes).astype(np.float64)

    def embeddings(self, some: slice = slice(None)) -> Tensor:
        """Embeddings of the bags, or of some consecutive ones, (bags, hidden)."""
        starts, sizes = self.starts[some], self.sizes[some]
        indptr = cumulative(sizes)
        if np.array_equal(starts[1:], starts[:-1] + sizes[:-1]):
            return self.embed(self.rows[starts[0] : starts[0] + indptr[-1]], indptr)
        return self.embed(self.rows[np.repeat(starts - indptr[:-1], sizes) + np.arange(indptr[-1])], indptr)


class TrainingBatches(Protocol):
    """Where the batches of training come from."""

    @property
    def cells(self) -> NDArray[np.float32]:
        """Standardised cells of all bags, of validation too."""

    @property
    def real_bags(self) -> Bags:
        """The bags over these cells that embeddings are standardised by."""

    @property
    def lacks_class(self) -> bool:
        """Whether a class is in the batches and not in these bags."""

    def batches(
        self,
        network: GatedAttentionNetwork,
        embed: Embedding,
        batch_size: int,
        n_steps: int,
        generator: torch.Generator,
    ) -> Iterator[Batch]:
        """The batches of some steps, each made when the step before it is done."""


@dataclass(frozen=True)
class LabelledBags:
    """Bags over standardised cells with their classes (codes) and their weights in the loss."""

    bags: Bags
    y: NDArray[np.int64]
    weights: NDArray[np.float32]
    n_codes: int

    @classmethod
    def of(cls, bags: Bags, y: NDArray[np.int64], *, n_classes: int, balanced: bool) -> Self:
        """With ``balanced`` a bag weighs inversely to the number of bags of its class; the mean weight is 1."""
        counts = np.bincount(y, minlength=n_classes)
        weights = len(y) / (np.count_nonzero(counts) * counts[y]) if balanced else np.ones(len(y))
        return cls(bags, y, weights.astype(np.float32), n_classes)

    @property
    def cells(self) -> NDArray[np.float32]:
        """Standardised cells of all bags."""
        return self.bags.X

    @property
    def real_bags(self) -> Bags:
        """All of them."""
        return self.bags

    @property
    def lacks_class(self) -> bool:
        """All batches are of these bags."""
        return False

    def batch(self, chosen: NDArray[np.int64], embed: Embedding, device: torch.device) -> Batch:
        """Some of the bags."""
        starts = self.bags.indptr[chosen]
        sizes = self.bags.indptr[chosen + 1] - starts
        y, weights = torch.from_numpy(self.y[chosen]).to(device), torch.from_numpy(self.weights[chosen]).to(device)
        return Batch(embed, self.bags.rows, starts, sizes, y, weights, self.n_codes)

    def batches(
        self,
        network: GatedAttentionNetwork,
        embed: Embedding,
        batch_size: int,
        n_steps: int,
        generator: torch.Generator,
    ) -> Iterator[Batch]:
        """The batches of some steps."""
        for chosen in orders_of_steps(len(self.bags), batch_size, n_steps, generator):
            yield self.batch(chosen, embed, network.head.weight.device)


def orders_of_steps(
    n_bags: int, batch_size: int, n_steps: int, generator: torch.Generator
) -> Iterator[NDArray[np.int64]]:
    """Which bags each step takes: ``batch_size`` of a random order (all, if there are fewer), then of another one."""
    bounds = min(batch_size, n_bags) * np.arange(n_steps + 1)
    n_orders = -(-int(bounds[-1]) // n_bags)
    order = torch.cat([torch.randperm(n_bags, generator=generator) for _ in range(n_orders)]).numpy()
    for start, stop in pairwise(bounds.tolist()):
        yield order[start:stop]
