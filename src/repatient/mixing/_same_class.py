"""Mixing of two bags of one class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from repatient.mixing._arrangement import bags_of_classes, draw, unite
from repatient.mixing._bound import BoundSampler

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from repatient.mil import Bags, Sampler
    from repatient.mixing._bound import Score, Step


@dataclass(frozen=True)
class SameClassMixing:
    """Each bag exchanges a random share of its cells for cells of another bag of its class; labels stay certain.

    A bag keeps a uniformly drawn share of its cells, and its partner, a random bag of the class, gives the rest of its
    own. The only bag of a class stays as it is.
    """

    needs_classes: ClassVar[bool] = True

    def bind(self, bags: Bags, y: NDArray[np.int64], classes: NDArray[Any], groups: NDArray[Any]) -> Sampler:
        """Prepare for one training, see :class:`repatient.mil.Augmenter`."""
        del groups
        return _SameClassSampler(bags, y, len(classes))


@dataclass
class _SameClassSampler(BoundSampler):
    def __call__(self, chosen: NDArray[np.int64], rng: np.random.Generator, score: Score) -> Step:
        del score
        partners = bags_of_classes(self.y[chosen], self.y, rng)
        # A bag that met itself keeps all of its cells.
        kept = np.where(partners == chosen, 1.0, rng.random(len(chosen)))
        own, other = self.bags.take(chosen), self.bags.take(partners)
        n_own = np.maximum(np.round(kept * own.sizes), 1).astype(np.int64)
        n_other = np.round((1 - kept) * other.sizes).astype(np.int64)
        return unite(draw(own, n_own, rng), draw(other, n_other, rng)), self.targets(chosen)
