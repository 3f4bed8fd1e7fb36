"""Bags that are made anew for every gradient step, and how training asks for them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, Self

import numpy as np
import torch

from repatient.mil._batches import Batch, orders_of_epoch
from repatient.mil._embedding import embedding_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from repatient.mil._bags import Bags
    from repatient.mil._batches import LabelledBags
    from repatient.mil._embedding import Embedding
    from repatient.mil._network import GatedAttentionNetwork

CELLS_SCORED_AT_ONCE = 4096


class Sampler(Protocol):
    """Maker of the bags of one gradient step.

    Attributes
    ----------
    class_shares
        Expected share of each class in the bags of a step, shape (classes,), from which class weights follow.
    """

    @property
    def class_shares(self) -> NDArray[np.float64]:
        """Expected share of each class in the bags of a step."""

    def __call__(
        self,
        chosen: NDArray[np.int64],
        rng: np.random.Generator,
        score: Callable[[Bags], NDArray[np.float32]],
    ) -> tuple[Bags, NDArray[np.float32]]:
        """Bags of one gradient step.

        Parameters
        ----------
        chosen
            Indices of the real training bags that the order of the epoch put into the step.
        rng
            Source of all randomness.
        score
            What gives the current attention scores, before the softmax, of each entry of some bags.

        Returns
        -------
        bags
            Bags, none empty, over the ``X`` that was bound (rows of the bound bags only), or over an array of their
            own in the same scale.
        targets
            Probability of each class for each of them, shape (bags, classes).
        """


class Augmenter(Protocol):
    """What :meth:`repatient.mil.MILClassifier.fit` takes as ``augment``.

    One that needs several bags of a class says so by an attribute ``needs_classes``; values have none to give.
    """

    def bind(self, bags: Bags, y: NDArray[np.int64], classes: NDArray[Any], groups: NDArray[Any]) -> Sampler:
        """Prepare for one training.

        Parameters
        ----------
        bags
            The real training bags, without those of validation donors.
        y
            Class of each of them, from 0 to ``len(classes) - 1``.
        classes
            Labels of the classes, some of which may have no bag.
        groups
            Donor of each bag.
        """


@dataclass(frozen=True)
class Augmented:
    """A sampler, and what turns its bags into what the network reads.

    Parameters
    ----------
    sampler
        The sampler, bound to the training bags.
    X
        The array that it was bound over.
    places
        Where each row of ``X`` stands among the standardised cells; -1 for rows that training must not see.
    cells
        The standardised cells, of validation bags too.
    standardize
        What turns rows in the scale of ``X`` into the input of the network.
    rng
        Source of the sampler's randomness.
    real
        The real training bags over the standardised cells.
    class_weights
        Weight of each class in the loss, (classes,).
    """

    sampler: Sampler
    X: NDArray[Any]
    places: NDArray[np.int64]
    cells: NDArray[np.float32]
    standardize: Callable[[NDArray[Any]], NDArray[np.float32]]
    rng: np.random.Generator
    real: LabelledBags
    class_weights: NDArray[np.float32]

    @classmethod
    def of(
        cls,
        sampler: Sampler,
        bags: Bags,
        real: LabelledBags,
        standardize: Callable[[NDArray[Any]], NDArray[np.float32]],
        *,
        balanced: bool,
        rng: np.random.Generator,
    ) -> Self:
        """What a sampler makes of training bags, which are given over their own array and over standardised cells."""
        shares = np.asarray(sampler.class_shares, dtype=np.float64)
        places = np.full(len(bags.X), -1)
        places[bags.rows] = real.bags.rows
        weights = (weights_of_classes(shares) if balanced else np.ones(len(shares))).astype(np.float32)
        return cls(sampler, bags.X, places, real.cells, standardize, rng, real, weights)

    def batches(
        self,
        network: GatedAttentionNetwork,
        embed: Embedding,
        batch_size: int,
        n_steps: int | None,
        generator: torch.Generator,
    ) -> Iterator[Batch]:
        """The batches of one epoch, each made when the step before it is done."""
        device = network.head.weight.device
        for chosen in orders_of_epoch(len(self.real.bags), batch_size, n_steps, generator):
            bags, targets = self.sampler(chosen, self.rng, partial(self._score, network))
            self._check(bags, targets)
            rows, own = self._read(bags)
            yield Batch(
                embed=embed if own is None else embedding_of(network, torch.from_numpy(own).to(device)),
                rows=rows,
                indptr=bags.indptr,
                targets=torch.from_numpy(targets.astype(np.float32, copy=False)).to(device),
                weights=torch.from_numpy(targets.astype(np.float32) @ self.class_weights).to(device),
            )

    def _read(self, bags: Bags) -> tuple[NDArray[np.int64], NDArray[np.float32] | None]:
        """Rows of the standardised cells, or rows and cells of bags that have an array of their own."""
        if bags.X is not self.X:
            return bags.rows, self.standardize(bags.X)
        rows = self.places[bags.rows]
        if len(rows) and rows.min() < 0:
            msg = (
                f"augment: the sampler gave {np.count_nonzero(rows < 0)} rows of X that are in no training bag, the "
                f"first is row {bags.rows[rows < 0][0]}; it may use rows of the bags that it was bound to only."
            )
            raise ValueError(msg)
        return rows, None

    @torch.no_grad()
    def _score(self, network: GatedAttentionNetwork, bags: Bags) -> NDArray[np.float32]:
        """Attention scores of each entry of some bags under the network as it is now."""
        rows, own = self._read(bags)
        cells, device = self.cells if own is None else own, network.head.weight.device
        parts = np.split(rows, range(CELLS_SCORED_AT_ONCE, len(rows), CELLS_SCORED_AT_ONCE))
        scores = [network.encode(torch.from_numpy(cells[part]).to(device))[1].cpu().numpy() for part in parts]
        return np.concatenate(scores)

    def _check(self, bags: Bags, targets: NDArray[np.float32]) -> None:
        wanted = (len(bags), len(self.class_weights))
        if targets.shape != wanted or len(bags) == 0 or np.any(bags.sizes == 0):
            msg = (
                f"augment: the sampler must give bags, none of them empty, with targets (bags, classes) {wanted}; "
                f"found targets {targets.shape} and {np.count_nonzero(bags.sizes == 0)} empty bags."
            )
            raise ValueError(msg)
        if bags.X.shape[1] != self.X.shape[1]:
            msg = f"augment: the sampler gave bags of {bags.X.shape[1]} features, X has {self.X.shape[1]}."
            raise ValueError(msg)


def weights_of_classes(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weights inverse to the share of each class, with mean 1 over the bags; 0 for a class that has none."""
    present = shares > 0
    weights = np.zeros(len(shares))
    weights[present] = shares.sum() / (np.count_nonzero(present) * shares[present])
    return weights
