"""The bags of training, and the batches of an epoch."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Protocol, Self

import numpy as np
import torch

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
    rows, indptr
        The bags, as rows of those cells.
    targets
        Class codes (bags,), or probabilities of the classes (bags, classes).
    weights
        Weight of each bag in the loss, (bags,).
    """

    embed: Embedding
    rows: NDArray[np.int64]
    indptr: NDArray[np.int64]
    targets: Tensor
    weights: Tensor

    def __len__(self) -> int:
        return len(self.indptr) - 1

    def embeddings(self, some: slice = slice(None)) -> Tensor:
        """Embeddings of the bags, or of some consecutive ones, (bags, hidden)."""
        start, stop, _ = some.indices(len(self))
        indptr = self.indptr[start : stop + 1]
        return self.embed(self.rows[indptr[0] : indptr[-1]], indptr - indptr[0])


class Training(Protocol):
    """Where the batches of training come from."""

    @property
    def cells(self) -> NDArray[np.float32]:
        """Standardised cells of all bags, of validation too."""

    def batches(
        self,
        network: GatedAttentionNetwork,
        embed: Embedding,
        batch_size: int,
        n_steps: int | None,
        generator: torch.Generator,
    ) -> Iterator[Batch]:
        """The batches of one epoch, each made when the step before it is done."""


@dataclass(frozen=True)
class LabelledBags:
    """Bags over standardised cells with their classes (codes) and their weights in the loss."""

    bags: Bags
    y: NDArray[np.int64]
    weights: NDArray[np.float32]

    @classmethod
    def of(cls, bags: Bags, y: NDArray[np.int64], *, n_classes: int, balanced: bool) -> Self:
        """With ``balanced`` a bag weighs inversely to the number of bags of its class; the mean weight is 1."""
        counts = np.bincount(y, minlength=n_classes)
        weights = len(y) / (np.count_nonzero(counts) * counts[y]) if balanced else np.ones(len(y))
        return cls(bags, y, weights.astype(np.float32))

    @property
    def cells(self) -> NDArray[np.float32]:
        """Standardised cells of all bags."""
        return self.bags.X

    def batch(self, chosen: NDArray[np.int64], embed: Embedding, device: torch.device) -> Batch:
        """Some of the bags."""
        bags = self.bags.take(chosen)
        y, weights = torch.from_numpy(self.y[chosen]).to(device), torch.from_numpy(self.weights[chosen]).to(device)
        return Batch(embed, bags.rows, bags.indptr, y, weights)

    def batches(
        self,
        network: GatedAttentionNetwork,
        embed: Embedding,
        batch_size: int,
        n_steps: int | None,
        generator: torch.Generator,
    ) -> Iterator[Batch]:
        """The batches of one epoch."""
        for chosen in orders_of_epoch(len(self.bags), batch_size, n_steps, generator):
            yield self.batch(chosen, embed, network.head.weight.device)


def orders_of_epoch(
    n_bags: int, batch_size: int, n_steps: int | None, generator: torch.Generator
) -> Iterator[NDArray[np.int64]]:
    """Which bags each step of an epoch takes: all of them once in random order, or what ``n_steps`` steps need.

    With ``n_steps``, a step takes ``batch_size`` bags (all, if there are fewer) and an order that is used up is
    followed by another one.
    """
    if n_steps is None:
        order = torch.randperm(n_bags, generator=generator).numpy()
        # Batches of nearly equal size: a last batch of one bag would make a full step on one patient.
        bounds = np.linspace(0, n_bags, -(-n_bags // batch_size) + 1).round().astype(int)
    else:
        bounds = min(batch_size, n_bags) * np.arange(n_steps + 1)
        n_orders = -(-int(bounds[-1]) // n_bags)
        order = torch.cat([torch.randperm(n_bags, generator=generator) for _ in range(n_orders)]).numpy()
    for start, stop in pairwise(bounds.tolist()):
        yield order[start:stop]
