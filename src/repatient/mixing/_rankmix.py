"""RankMix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from repatient._checks import check_integer, check_number
from repatient.mil import Bags, Sampler
from repatient.mixing._arrangement import bag_of_entries, bags_of_classes, blend, head, shuffle, soft
from repatient.mixing._bound import BoundSampler

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from repatient.mixing._bound import Score, Step


@dataclass(frozen=True)
class RankMix:
    """The cells of two bags that the model attends to most, interpolated in the order of their ranks.

    Chen and Lu :cite:p:`Chen2023`: the cells of each bag are ranked by the score that the model in training gives
    them, the highest of both are kept, as many as the smaller bag has, and those of equal rank are interpolated, as
    are the labels. Of the two bags one comes in the order of the epoch and the other from a class drawn uniformly.

    Parameters
    ----------
    alpha, beta
        The weight of the second bag is drawn from Beta(alpha, beta), once for all bags of a step; the defaults are
        those of the authors' code for attention models.
    warm_up
        First steps without mixing. The authors train a model without mixing first, and go on from it.

    Notes
    -----
    The score is the attention before the softmax, where the authors use the instance logits of their models. Before
    a model has learnt to attend all scores are equal and the ranks random.
    """

    alpha: float = 0.1
    beta: float = 1.0
    warm_up: int = 0

    def __post_init__(self) -> None:
        check_number(self.alpha, "alpha", above=0)
        check_number(self.beta, "beta", above=0)
        check_integer(self.warm_up, "warm_up", minimum=0)

    def bind(self, bags: Bags, y: NDArray[np.int64], classes: NDArray[Any], groups: NDArray[Any]) -> Sampler:
        """Prepare for one training, see :class:`repatient.mil.Augmenter`."""
        del groups
        return _RankMixSampler(bags, y, len(classes), self)


@dataclass
class _RankMixSampler(BoundSampler):
    settings: RankMix
    n_steps: int = 0

    @property
    def class_shares(self) -> NDArray[np.float64]:
        real = super().class_shares
        of_second = self.settings.alpha / (self.settings.alpha + self.settings.beta)
        return (1 - of_second) * real + of_second * (real > 0) / np.count_nonzero(real)

    def __call__(self, chosen: NDArray[np.int64], rng: np.random.Generator, score: Score) -> Step:
        self.n_steps += 1
        if self.n_steps <= self.settings.warm_up:
            return self.bags.take(chosen), self.targets(chosen)
        share = rng.beta(self.settings.alpha, self.settings.beta)
        partners = bags_of_classes(rng.choice(np.unique(self.y), len(chosen)), self.y, rng)
        both = _ranked(shuffle(self.bags.take(np.concatenate([chosen, partners])), rng), score)
        first, second = both.take(np.arange(len(chosen))), both.take(np.arange(len(chosen), len(both)))
        sizes = np.minimum(first.sizes, second.sizes)
        mixed = blend(head(first, sizes), head(second, sizes), share)
        return mixed, soft(self.targets(chosen), self.targets(partners), share)


def _ranked(bags: Bags, score: Score) -> Bags:
    """The same bags, the cells of each from the highest score to the lowest; equal scores keep their order."""
    order = np.lexsort((-score(bags), bag_of_entries(bags)))
    return Bags(bags.X, bags.rows[order], bags.indptr)
