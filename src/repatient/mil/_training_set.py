"""What predictors that take no gradient steps learn from: real bags, and bags that were made of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from repatient.mil import _inputs

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from repatient.mil._augment import Augmenter
    from repatient.mil._bags import Bags

OUTCOMES = ("class", "ordinal", "continuous")
# Bags drawn from an augmenter, as many for each real one within these bounds.
DRAWN_A_BAG, FEWEST_DRAWN, MOST_DRAWN = 4, 64, 256


@dataclass(frozen=True)
class TrainingSet:
    """Checked bags with their targets.

    Parameters
    ----------
    real
        Real bags.
    y
        Code of each, (real bags,).
    groups
        Donor of each.
    drawn
        Generated bags, or bags that an augmenter made; None without any.
    targets
        Probability of each code for each of these, (drawn bags, codes).
    classes
        Class or grade of each code; for values, the values themselves.
    outcome
        What is predicted.
    """

    real: Bags
    y: NDArray[np.int64]
    groups: NDArray[Any]
    drawn: Bags | None
    targets: NDArray[np.float64]
    classes: NDArray[Any]
    outcome: str

    @classmethod
    def of(cls, outcome: str, given: _inputs.Given, rng: np.random.Generator) -> Self:
        """Check what ``fit`` is given, and draw from the augmenter."""
        cohort = given.checked(outcome)
        n = len(cohort.classes)
        drawn, targets = None, np.zeros((0, n))
        if len(cohort.generated):
            drawn, targets = cohort.generated, np.eye(n)[cohort.generated_y]
        if given.augment is not None:
            drawn, targets = _draw(given.augment, cohort, rng)
        return cls(cohort.real, cohort.y, cohort.groups, drawn, targets, cohort.classes, outcome)

    @property
    def parts(self) -> list[Bags]:
        """Real bags, then those drawn, which may be over another array."""
        return [self.real] if self.drawn is None else [self.real, self.drawn]

    def mass(self, *, balanced: bool = True) -> NDArray[np.float64]:
        """Weight of each bag as one of each code, (all bags, codes).

        The weights sum to the number of real bags, all classes weigh the same where this is wished, and where a class has
        both real and drawn bags, either kind has half of its weight.
        """
        n = len(self.classes)
        real = np.eye(n)[self.y]
        if self.outcome == "continuous":
            share = 0.5 if len(self.targets) else 1.0
            drawn = self.targets * (0.5 * len(real) / max(len(self.targets), 1))
            return np.concatenate([share * real, drawn])
        of_real, of_drawn = real.sum(axis=0), self.targets.sum(axis=0)
        present = (of_real > 0) | (of_drawn > 1e-6)
        wanted = present / present.sum() if balanced else (of_real + of_drawn) / (of_real + of_drawn).sum()
        wanted = wanted * len(real)
        half = np.where((of_real > 0) & (of_drawn > 1e-6), 0.5, 1.0)
        parts = [
            part * np.divide(wanted * half, total, out=np.zeros(n), where=total > 1e-6)
            for part, total in ((real, of_real), (self.targets, of_drawn))
        ]
        return np.concatenate(parts)

    def without(self, groups: NDArray[Any]) -> Self:
        """The real bags of other donors alone."""
        kept = ~np.isin(self.groups, groups)
        nothing = np.zeros((0, len(self.classes)))
        return replace(
            self, real=self.real.take(kept), y=self.y[kept], groups=self.groups[kept], drawn=None, targets=nothing
        )


def _draw(
    augment: Augmenter, cohort: _inputs.TrainingBags, rng: np.random.Generator
) -> tuple[Bags, NDArray[np.float64]]:
    """A number of bags from the augmenter, which is told that no cell has any attention yet."""
    sampler = augment.bind(cohort.real, cohort.y, cohort.classes, cohort.groups)
    n = len(cohort.real)
    wanted = int(np.clip(DRAWN_A_BAG * n, FEWEST_DRAWN, MOST_DRAWN))
    chosen = np.concatenate([rng.permutation(n) for _ in range(-(-wanted // n))])[:wanted]
    bags, targets = sampler(chosen, rng, lambda some: np.zeros(len(some.rows), dtype=np.float32))
    _inputs.check_drawn(bags, targets, cohort.real, len(cohort.classes))
    return bags, targets.astype(np.float64)
