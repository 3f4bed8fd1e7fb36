"""Oversampling of the rarer classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from repatient.mixing._arrangement import bags_of_classes
from repatient.mixing._bound import BoundSampler

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from repatient.mil import Bags, Sampler
    from repatient.mixing._bound import Score, Step


@dataclass(frozen=True)
class Oversampling:
    """Real bags, drawn so that every class comes up equally often.

    The control of all methods that make new bags: it changes how often a bag is seen, and nothing else.
    """

    needs_classes: ClassVar[bool] = True

    def bind(self, bags: Bags, y: NDArray[np.int64], classes: NDArray[Any], groups: NDArray[Any]) -> Sampler:
        """Prepare for one training, see :class:`repatient.mil.Augmenter`."""
        del groups
        return _OversamplingSampler(bags, y, len(classes))


@dataclass
class _OversamplingSampler(BoundSampler):
    @property
    def class_shares(self) -> NDArray[np.float64]:
        present = super().class_shares > 0
        return present / present.sum()

    def __call__(self, chosen: NDArray[np.int64], rng: np.random.Generator, score: Score) -> Step:
        del score
        present = np.unique(self.y)
        # As equal as the number of bags allows, the classes that get one more being random.
        wanted = np.resize(rng.permutation(present), len(chosen))
        # Bags of one class are balanced as they are.
        drawn = chosen if len(present) == 1 else bags_of_classes(wanted, self.y, rng)
        return self.bags.take(drawn), self.targets(drawn)
