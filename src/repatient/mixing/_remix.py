"""ReMix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from repatient._checks import check_integer, check_number, check_option
from repatient.mil import Bags, Sampler
from repatient.mixing._arrangement import bag_of_entries, bags_of_classes
from repatient.mixing._bound import BoundSampler
from repatient.mixing._prototypes import ReducedBags, reduce

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from repatient.mixing._bound import Score, Step

MODES = ("replace", "append", "interpolate", "covary", "joint")


@dataclass(frozen=True)
class ReMix:
    """Bags reduced to prototypes, which borrow from the prototypes of other bags of the class :cite:p:`Yang2022`.

    The cells of each bag are replaced by the means of ``n_prototypes`` clusters (K-means). At each step a bag meets a
    random bag of its class (which may be itself), and each of its prototypes, with probability ``rate``, the most
    similar prototype there. Labels stay certain.

    Parameters
    ----------
    mode
        What a prototype does with the one that it meets:

        ``"replace"``
            It gives way to it.
        ``"append"``
            It takes it into the bag.
        ``"interpolate"``
            It takes a point between both into the bag.
        ``"covary"``
            It takes into the bag itself, moved by a draw from the covariance of the other's cluster.
        ``"joint"``
            All of them one after the other, each with probability ``rate``; the authors recommend 0.1 to 0.2 here.
    n_prototypes
        Prototypes a bag; fewer, if it has fewer different cells.
    rate
        Probability of each of the above for each prototype.
    random_state
        Seed of K-means.

    Notes
    -----
    How far an interpolated or moved prototype goes is drawn uniformly from 0 to 1, once for each bag. Training is on
    prototypes and prediction on all cells, as in the authors' code, from which the defaults are.
    """

    needs_classes: ClassVar[bool] = True

    mode: str = "covary"
    n_prototypes: int = 8
    rate: float = 0.5
    random_state: int = 0

    def __post_init__(self) -> None:
        check_option(self.mode, "mode", MODES)
        check_integer(self.n_prototypes, "n_prototypes")
        check_number(self.rate, "rate", minimum=0, maximum=1)
        check_integer(self.random_state, "random_state", minimum=0)

    def bind(self, bags: Bags, y: NDArray[np.int64], classes: NDArray[Any], groups: NDArray[Any]) -> Sampler:
        """Prepare for one training, see :class:`repatient.mil.Augmenter`."""
        del groups
        return _ReMixSampler(bags, y, len(classes), self, reduce(bags, self.n_prototypes, self.random_state))


@dataclass
class _ReMixSampler(BoundSampler):
    settings: ReMix
    prototypes: ReducedBags

    def __call__(self, chosen: NDArray[np.int64], rng: np.random.Generator, score: Score) -> Step:
        del score
        own = self.prototypes.bags.take(chosen)
        partners = bags_of_classes(self.y[chosen], self.y, rng)
        bag = bag_of_entries(own)
        met = self.prototypes.closest(own.rows, partners[bag])
        strength = rng.random(len(chosen))[bag, None]
        return _assembled(self._mix(own.rows, met, strength, rng), bag, len(chosen)), self.targets(chosen)

    def _mix(
        self, own: NDArray[np.int64], met: NDArray[np.int64], strength: NDArray[np.float64], rng: np.random.Generator
    ) -> list[tuple[NDArray[Any], NDArray[np.bool_]]]:
        """Vectors beside the prototypes (entries, d), each with which of them are in the bags (entries,)."""
        centres = self.prototypes.bags.X
        happens = {mode: self._does(mode) & (rng.random(len(own)) < self.settings.rate) for mode in MODES[:-1]}
        other = centres[met]
        current = np.where(happens["replace"][:, None], other, centres[own])
        shift = np.zeros_like(current)
        shift[happens["covary"]] = self.prototypes.shifts(met[happens["covary"]], rng)
        return [
            (current, np.ones(len(own), dtype=bool)),
            (other, happens["append"]),
            ((1 - strength) * current + strength * other, happens["interpolate"]),
            (current + strength * shift, happens["covary"]),
        ]

    def _does(self, mode: str) -> bool:
        return self.settings.mode in (mode, "joint")


def _assembled(parts: list[tuple[NDArray[Any], NDArray[np.bool_]]], bag: NDArray[np.int64], n_bags: int) -> Bags:
    """Bags of those vectors that are in them."""
    vectors = np.concatenate([part[there] for part, there in parts])
    of_bag = np.concatenate([bag[there] for _, there in parts])
    return Bags.from_codes(vectors, of_bag, n_bags)
