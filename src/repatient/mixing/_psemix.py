"""PseMix."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from repatient._checks import check_integer, check_number
from repatient.mixing._arrangement import bag_of_entries, keep, soft, unite
from repatient.mixing._bound import BoundSampler
from repatient.mixing._phenotypes import phenotypes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from repatient.mil import Bags, Sampler
    from repatient.mixing._bound import Score, Step


@dataclass(frozen=True)
class PseMix:
    """Bags mixed by pseudo-bags, small images of the whole :cite:p:`Liu2024`.

    The cells of a bag are grouped into phenotypes by their cosine with the mean of the bag and then with the means of
    the groups; each pseudo-bag gets its part of every phenotype. A mixed bag has some pseudo-bags of one bag and those
    that are missing of another, and is labelled in these proportions. Other bags keep their label, and the pseudo-bags
    that were drawn for them.

    Parameters
    ----------
    n_pseudo_bags
        Pseudo-bags a bag; a bag of fewer cells has one for each.
    n_phenotypes
        Phenotypes a bag.
    mixing_probability
        Probability that a bag is mixed.
    alpha
        The share of the first bag is drawn from Beta(alpha, alpha), once for all bags of a step.
    n_iterations
        Passes over the cells that refine the phenotypes.

    Notes
    -----
    Defaults, and pseudo-bags that are drawn once a training, are those of the authors' code. Two things differ, both for
    bags of few cells: cells are dealt out phenotype after phenotype without starting anew, so that no pseudo-bag is
    empty while others have two cells more, and bags of different numbers of pseudo-bags are labelled by the shares
    that they give.
    """

    n_pseudo_bags: int = 30
    n_phenotypes: int = 8
    mixing_probability: float = 0.4
    alpha: float = 1.0
    n_iterations: int = 8

    def __post_init__(self) -> None:
        check_integer(self.n_pseudo_bags, "n_pseudo_bags")
        check_integer(self.n_phenotypes, "n_phenotypes")
        check_number(self.mixing_probability, "mixing_probability", minimum=0, maximum=1)
        check_number(self.alpha, "alpha", above=0)
        check_integer(self.n_iterations, "n_iterations", minimum=0)

    def bind(self, bags: Bags, y: NDArray[np.int64], classes: NDArray[Any], groups: NDArray[Any]) -> Sampler:
        """Prepare for one training, see :class:`repatient.mil.Augmenter`."""
        del groups
        found = phenotypes(bags, self.n_phenotypes, self.n_iterations)
        return _PseMixSampler(bags, y, len(classes), self, found)


@dataclass
class _PseMixSampler(BoundSampler):
    settings: PseMix
    phenotypes: NDArray[np.int64]
    pseudo_bags: NDArray[np.int64] | None = None

    def __call__(self, chosen: NDArray[np.int64], rng: np.random.Generator, score: Score) -> Step:
        del score
        settings = self.settings
        if self.pseudo_bags is None:
            self.pseudo_bags = divide(self.bags, self.phenotypes, settings.n_pseudo_bags, rng)
        of_entries = partial(_slices, self.pseudo_bags, self.bags.indptr)
        kept = rng.beta(settings.alpha, settings.alpha)
        partners = rng.permutation(chosen)
        mixes = rng.random(len(chosen)) < settings.mixing_probability
        # From 0 to all pseudo-bags, every number equally probable at alpha = 1.
        n_own = self._number(kept, chosen)
        n_other = self._n_pseudo_bags(partners) - self._number(kept, partners)
        # Where nothing is taken from the bag itself there is nothing else to train on than its partner.
        n_other = np.where(mixes | (n_own == 0), n_other, 0)
        mixed = unite(
            self._fetch(chosen, of_entries(chosen), n_own, rng),
            self._fetch(partners, of_entries(partners), n_other, rng),
        )
        own, other = n_own / self._n_pseudo_bags(chosen), n_other / self._n_pseudo_bags(partners)
        return mixed, soft(self.targets(chosen), self.targets(partners), other / (own + other))

    def _n_pseudo_bags(self, chosen: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.minimum(self.bags.sizes[chosen], self.settings.n_pseudo_bags)

    def _number(self, share: float, chosen: NDArray[np.int64]) -> NDArray[np.int64]:
        available = self._n_pseudo_bags(chosen)
        return np.minimum((share * (available + 1)).astype(np.int64), available)

    def _fetch(
        self,
        chosen: NDArray[np.int64],
        pseudo_bags: NDArray[np.int64],
        numbers: NDArray[np.int64],
        rng: np.random.Generator,
    ) -> Bags:
        """The cells of ``numbers`` random pseudo-bags of each chosen bag."""
        keys = rng.random((len(chosen), self.settings.n_pseudo_bags))
        keys[np.arange(keys.shape[1]) >= self._n_pseudo_bags(chosen)[:, None]] = np.inf
        ranks = np.argsort(np.argsort(keys, axis=1), axis=1)
        bags = self.bags.take(chosen)
        return keep(bags, (ranks < numbers[:, None])[bag_of_entries(bags), pseudo_bags])


def _slices(values: NDArray[np.int64], indptr: NDArray[np.int64], chosen: NDArray[np.int64]) -> NDArray[np.int64]:
    """The values of some bags, one bag after the other."""
    return np.concatenate([values[indptr[b] : indptr[b + 1]] for b in chosen])


def divide(bags: Bags, strata: NDArray[np.int64], n: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Pseudo-bag of each entry: the cells of a bag dealt out in turn, stratum after stratum, in random order."""
    bag = bag_of_entries(bags)
    order = np.lexsort((rng.random(len(bag)), strata, bag))
    position = np.arange(len(bag)) - np.repeat(bags.indptr[:-1], bags.sizes)
    pseudo_bags = np.empty(len(bag), dtype=np.int64)
    pseudo_bags[order] = position % np.minimum(bags.sizes, n)[bag]
    return pseudo_bags
