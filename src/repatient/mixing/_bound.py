"""What every sampler knows of the bags it is bound to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from repatient.mixing._arrangement import one_hot, shares_of_classes

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    import numpy as np
    from numpy.typing import NDArray

    from repatient.mil import Bags

    Score: TypeAlias = "Callable[[Bags], NDArray[np.float32]]"
    Step: TypeAlias = "tuple[Bags, NDArray[np.float32]]"


@dataclass
class BoundSampler:
    """A sampler whose bags have, in expectation, the classes of the real ones.

    Parameters
    ----------
    bags
        The real training bags.
    y
        Class of each of them.
    n_classes
        Number of classes.
    """

    bags: Bags
    y: NDArray[np.int64]
    n_classes: int

    @property
    def class_shares(self) -> NDArray[np.float64]:
        """Expected share of each class in the bags of a step, (classes,)."""
        return shares_of_classes(self.y, self.n_classes)

    def targets(self, chosen: NDArray[np.int64]) -> NDArray[np.float32]:
        """Certain targets of real bags, (bags, classes)."""
        return one_hot(self.y[chosen], self.n_classes)
