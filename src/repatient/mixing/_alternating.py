"""Augmenters that take turns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from repatient.mil import Augmenter, Bags, Sampler
    from repatient.mixing._bound import Score, Step


class Alternating:
    """Several augmenters that take turns, step by step.

    Parameters
    ----------
    augmenters
        The augmenters, in the order of their turns.

    Raises
    ------
    ValueError
        If there is none.
    """

    def __init__(self, *augmenters: Augmenter) -> None:
        if not augmenters:
            msg = "`augmenters`: none were given; name one or more that take turns."
            raise ValueError(msg)
        self.augmenters = augmenters

    @property
    def needs_classes(self) -> bool:
        """Whether one of them mixes bags of one class, which values do not have."""
        return any(getattr(augmenter, "needs_classes", False) for augmenter in self.augmenters)

    def __repr__(self) -> str:
        return f"Alternating({', '.join(map(repr, self.augmenters))})"

    def bind(self, bags: Bags, y: NDArray[np.int64], classes: NDArray[Any], groups: NDArray[Any]) -> Sampler:
        """Prepare for one training, see :class:`repatient.mil.Augmenter`."""
        return _AlternatingSampler([augmenter.bind(bags, y, classes, groups) for augmenter in self.augmenters])


@dataclass
class _AlternatingSampler:
    samplers: Sequence[Sampler]
    n_steps: int = 0

    @property
    def class_shares(self) -> NDArray[np.float64]:
        return np.mean([sampler.class_shares for sampler in self.samplers], axis=0)

    def __call__(self, chosen: NDArray[np.int64], rng: np.random.Generator, score: Score) -> Step:
        sampler = self.samplers[self.n_steps % len(self.samplers)]
        self.n_steps += 1
        return sampler(chosen, rng, score)

    def generate(self, n: int, rng: np.random.Generator) -> Step | None:
        """Patients of the first augmenter that generates some."""
        able = (sampler for sampler in self.samplers if hasattr(sampler, "generate"))
        return next((made for made in (sampler.generate(n, rng) for sampler in able) if made is not None), None)
