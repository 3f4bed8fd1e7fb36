"""Mixup of bags."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from repatient._checks import check_number
from repatient.mil import Bags, Sampler
from repatient.mixing._arrangement import blend, shuffle, soft
from repatient.mixing._bound import BoundSampler

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from repatient.mixing._bound import Score, Step


@dataclass(frozen=True)
class Mixup:
    """Bags interpolated cell by cell, and their labels with them :cite:p:`Zhang2018`.

    Bags have no order and different sizes, so that each cell of a bag meets a random cell of the other: all of them
    equally often, as far as the sizes go. The new bag has the size of the first.

    Parameters
    ----------
    alpha
        The weight of the other bag is drawn from Beta(alpha, alpha), once for all bags of a step. The paper recommends
        0.1 to 0.4.
    """

    alpha: float = 0.2

    def __post_init__(self) -> None:
        check_number(self.alpha, "alpha", above=0)

    def bind(self, bags: Bags, y: NDArray[np.int64], classes: NDArray[Any], groups: NDArray[Any]) -> Sampler:
        """Prepare for one training, see :class:`repatient.mil.Augmenter`."""
        del groups
        return _MixupSampler(bags, y, len(classes), self)


@dataclass
class _MixupSampler(BoundSampler):
    settings: Mixup

    def __call__(self, chosen: NDArray[np.int64], rng: np.random.Generator, score: Score) -> Step:
        del score
        share = rng.beta(self.settings.alpha, self.settings.alpha)
        partners = rng.permutation(chosen)
        # A bag that met itself stays as it is.
        own, other = self.bags.take(chosen), shuffle(self.bags.take(partners), rng, partners != chosen)
        mixed = blend(own, _resized(other, own.sizes), share)
        return mixed, soft(self.targets(chosen), self.targets(partners), share)


def _resized(bags: Bags, sizes: NDArray[np.int64]) -> Bags:
    """Bags of other sizes: the first entries, or all of them again and again."""
    indptr = np.concatenate([[0], np.cumsum(sizes)])
    position = np.arange(indptr[-1]) - np.repeat(indptr[:-1], sizes)
    entries = np.repeat(bags.indptr[:-1], sizes) + position % np.repeat(bags.sizes, sizes)
    return Bags(bags.X, bags.rows[entries], indptr)
