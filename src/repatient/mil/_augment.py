"""Bags that are made anew for every gradient step, and how training asks for them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, Self

import numpy as np
import torch

from repatient.mil._batches import Batch, orders_of_steps
from repatient.mil._embedding import embedding_of
from repatient.mil._inputs import check_drawn

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
    bound
        The bags that it was bound to.
    places
        Where each row of their ``X`` stands among the standardised cells; -1 for rows that training must not see.
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
    bound: Bags
    places: NDArray[np.int64]
    cells: NDArray[np.float32]
    standardize: Callable[[NDArray[Any]], NDArray[np.float32]]
    rng: np.random.Generator
    real: LabelledBags
    class_weights: NDArray[np.float32]

    @property
    def real_bags(self) -> Bags:
        """The real training bags."""
        return self.real.bags

    @property
    def lacks_class(self) -> bool:
        """Whether a class has no real bag."""
        return len(np.unique(self.real.y)) < len(self.class_weights)

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
        return cls(sampler, bags, places, real.cells, standardize, rng, real, weights)

    def batches(
        self,
        network: GatedAttentionNetwork,
        embed: Embedding,
        batch_size: int,
        n_steps: int,
        generator: torch.Generator,
    ) -> Iterator[Batch]:
        """The batches of some steps, each made when the step before it is done."""
        device = network.head.weight.device
        for chosen in orders_of_steps(len(self.real.bags), batch_size, n_steps, generator):
            bags, targets = self.sampler(chosen, self.rng, partial(self._score, network))
            check_drawn(bags, targets, self.bound, len(self.class_weights))
            rows, own = self._read(bags)
            yield Batch(
                embed=embed if own is None else embedding_of(network, torch.from_numpy(own).to(device)),
                rows=rows,
                starts=bags.indptr[:-1],
                sizes=bags.sizes,
                targets=torch.from_numpy(targets.astype(np.float32, copy=False)).to(device),
                weights=torch.from_numpy(targets.astype(np.float32) @ self.class_weights).to(device),
                n_codes=len(self.class_weights),
            )

    def _read(self, bags: Bags) -> tuple[NDArray[np.int64], NDArray[np.float32] | None]:
        """Rows of the standardised cells, or rows and cells of bags that have an array of their own."""
        if bags.X is not self.bound.X:
            return bags.rows, self.standardize(bags.X)
        return self.places[bags.rows], None

    @torch.no_grad()
    def _score(self, network: GatedAttentionNetwork, bags: Bags) -> NDArray[np.float32]:
        """Attention scores of each entry of some bags under the network as it is now."""
        rows, own = self._read(bags)
        cells, device = self.cells if own is None else own, network.head.weight.device
        parts = np.split(rows, range(CELLS_SCORED_AT_ONCE, len(rows), CELLS_SCORED_AT_ONCE))
        scores = [network.encode(torch.from_numpy(cells[part]).to(device))[1].cpu().numpy() for part in parts]
        return np.concatenate(scores)


def weights_of_classes(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weights inverse to the share of each class, with mean 1 over the bags; 0 for a class that has none."""
    present = shares > 0
    weights = np.zeros(len(shares))
    weights[present] = shares.sum() / (np.count_nonzero(present) * shares[present])
    return weights
