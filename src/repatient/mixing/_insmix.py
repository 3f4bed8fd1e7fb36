"""Mixing of two bags by single cells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from repatient._checks import check_number
from repatient.mixing._arrangement import draw, soft, unite
from repatient.mixing._bound import BoundSampler

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from repatient.mil import Bags, Sampler
    from repatient.mixing._bound import Score, Step


@dataclass(frozen=True)
class InsMix:
    """Random cells of one bag together with random cells of another, labelled by how many there are of each.

    This is the mixing of instances that Liu et al. :cite:p:`Liu2024` compare PseMix with: CutMix :cite:p:`Yun2019`
    with cells in the place of pixels. (The InsMix of Lin et al., MICCAI 2022, pastes nuclei into images for their
    segmentation, and is not defined on bags.)

    Parameters
    ----------
    alpha
        The share of the first bag is drawn from Beta(alpha, alpha), once for all bags of a step.
    """

    alpha: float = 1.0

    def __post_init__(self) -> None:
        check_number(self.alpha, "alpha", above=0)

    def bind(self, bags: Bags, y: NDArray[np.int64], classes: NDArray[Any], groups: NDArray[Any]) -> Sampler:
        """Prepare for one training, see :class:`repatient.mil.Augmenter`."""
        del groups
        return _InsMixSampler(bags, y, len(classes), self)


@dataclass
class _InsMixSampler(BoundSampler):
    settings: InsMix

    def __call__(self, chosen: NDArray[np.int64], rng: np.random.Generator, score: Score) -> Step:
        del score
        kept = rng.beta(self.settings.alpha, self.settings.alpha)
        partners = rng.permutation(chosen)
        own, other = self.bags.take(chosen), self.bags.take(partners)
        n_own, n_other = (kept * own.sizes).astype(np.int64), ((1 - kept) * other.sizes).astype(np.int64)
        # Two bags of one cell each would both give none.
        n_own = np.where(n_own + n_other == 0, own.sizes, n_own)
        mixed = unite(draw(own, n_own, rng), draw(other, n_other, rng))
        return mixed, soft(self.targets(chosen), self.targets(partners), n_other / mixed.sizes)
