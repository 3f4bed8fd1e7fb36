"""Augmenters that see features of unit variance, whatever the units that the classifier is given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sklearn.preprocessing import StandardScaler

from repatient.mil import Bags

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from repatient.mil import Augmenter, Sampler
    from repatient.mixing._bound import Score, Step


@dataclass(frozen=True)
class Standardized:
    """An augmenter that is bound to standardised features: right for features that have units of their own.

    Distances between cells decide what mixtures, phenotypes and prototypes are; without this, the feature of the largest
    unit decides alone. Coordinates of an embedding are taken as they are.

    Parameters
    ----------
    augmenter
        What makes the bags. Mean and variance are those of the cells of the bags that it is bound to.
    """

    augmenter: Augmenter

    @property
    def needs_classes(self) -> bool:
        """Whether it mixes bags of one class, which values do not have."""
        return bool(getattr(self.augmenter, "needs_classes", False))

    def bind(self, bags: Bags, y: NDArray[np.int64], classes: NDArray[Any], groups: NDArray[Any]) -> Sampler:
        """Prepare for one training, see :class:`repatient.mil.Augmenter`."""
        scaler = StandardScaler().fit(bags.X[bags.rows])
        scaled = Bags(scaler.transform(bags.X), bags.rows, bags.indptr)
        return _StandardizedSampler(self.augmenter.bind(scaled, y, classes, groups), bags.X, scaled.X, scaler)


@dataclass
class _StandardizedSampler:
    sampler: Sampler
    X: NDArray[Any]
    scaled: NDArray[Any]
    scaler: StandardScaler

    @property
    def class_shares(self) -> NDArray[np.float64]:
        return self.sampler.class_shares

    def __call__(self, chosen: NDArray[np.int64], rng: np.random.Generator, score: Score) -> Step:
        bags, targets = self.sampler(chosen, rng, lambda made: score(self._back(made)))
        return self._back(bags), targets

    def generate(self, n: int, rng: np.random.Generator) -> Step | None:
        """What is generated, in the units of the features."""
        generate = getattr(self.sampler, "generate", None)
        made = None if generate is None else generate(n, rng)
        return None if made is None else (self._back(made[0]), made[1])

    def _back(self, bags: Bags) -> Bags:
        """The same bags in the units of the features."""
        X = self.X if bags.X is self.scaled else self.scaler.inverse_transform(bags.X).astype(self.X.dtype)
        return Bags(X, bags.rows, bags.indptr)
