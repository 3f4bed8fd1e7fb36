"""Real and newly generated patients of each step."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from repatient.mil import Bags
from repatient.mixing._bound import BoundSampler

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from repatient.mixing._bound import Score, Step
    from repatient.mixing._generator import PatientGenerator

# Patients are generated ahead, as preparing the pool takes longer than drawing a few of them.
CELLS_AHEAD, PATIENTS_AHEAD = 2**18, 128


@dataclass
class Stock:
    """Generated patients that no step has used yet."""

    bags: Bags
    targets: NDArray[np.float32]
    n_used: int = 0

    @property
    def n_left(self) -> int:
        return len(self.bags) - self.n_used


@dataclass
class RecipeSampler(BoundSampler):
    """Some of the real bags of a step replaced by generated ones.

    Parameters
    ----------
    bags
        The real training bags.
    y
        Class of each of them, from 0.
    n_classes
        Number of classes.
    share
        Share of the generated bags.
    generator
        What generates them.
    """

    share: float
    generator: PatientGenerator
    stock: Stock | None = field(default=None, init=False, repr=False)

    @property
    def class_shares(self) -> NDArray[np.float64]:
        """Expected share of each class in the bags of a step, (classes,)."""
        return (1 - self.share) * super().class_shares + self.share / self.n_classes

    def __call__(self, chosen: NDArray[np.int64], rng: np.random.Generator, score: Score) -> Step:
        """Bags of one step, see :class:`repatient.mil.Sampler`."""
        del score
        # A random number of the two next to the share, so that it is met on average in batches of any size.
        n_generated = min(int(self.share * len(chosen) + rng.random()), len(chosen))
        real = chosen[n_generated:]
        if n_generated == 0:
            return self.bags.take(real), self.targets(real)
        generated, targets = self._take(n_generated, rng)
        return _joined(self.bags.take(real), generated), np.concatenate([self.targets(real), targets])

    def generate(self, n: int, rng: np.random.Generator) -> Step | None:
        """``n`` patients or more that no step gets, every class as often."""
        stock = self._generate(n, rng)
        return stock.bags, stock.targets

    def _take(self, n: int, rng: np.random.Generator) -> Step:
        """The next ``n`` generated patients."""
        if self.stock is None or self.stock.n_left < n:
            self.stock = self._generate(n, rng)
        some = np.arange(self.stock.n_used, self.stock.n_used + n)
        self.stock.n_used += n
        return self.stock.bags.take(some), self.stock.targets[some]

    def _generate(self, n: int, rng: np.random.Generator) -> Stock:
        ahead = min(int(CELLS_AHEAD / self.bags.sizes.mean()), PATIENTS_AHEAD)
        # Whole turns of n patients, and all classes in every few of them.
        n_patients = n * max(ahead // n, 1)
        n_rounds = -(-n_patients // self.n_classes)
        y = rng.permuted(np.tile(np.arange(self.n_classes), (n_rounds, 1)), axis=1).ravel()[:n_patients]
        return self._made(y, rng)

    def _made(self, y: NDArray[np.int64], rng: np.random.Generator) -> Stock:
        """Generated patients of some classes."""
        made = self.generator.generate(y, rng)
        return Stock(Bags(self.bags.X, self.bags.rows[made.rows], made.draw.indptr), made.targets)


def _joined(real: Bags, generated: Bags) -> Bags:
    """Both, over the array of the real ones, or over one that holds no more than their cells."""
    if generated.X is real.X:
        return Bags.concatenate(real, generated)
    X = np.concatenate([real.X[real.rows], generated.X[generated.rows]])
    return Bags(X, np.arange(len(X)), np.concatenate([real.indptr, generated.indptr[1:] + real.indptr[-1]]))
