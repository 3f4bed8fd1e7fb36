"""How familiar patients are, in numbers and in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from repatient.evaluation._familiar_patients import MEASURES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

# What is doubtful, and what is plainly foreign: p-values after Bonferroni's correction for all measures.
_DOUBTFUL, _FOREIGN, _FOREIGN_AND_LARGE = 1e-3, 1e-5, 1e-2
# Patients that can tell together what one alone may owe to chance.
FEWEST_TOGETHER = 3
# Standard deviations of a shift that is worth a word.
_WORTH_NAMING = 0.5
_LEVELS = {
    "inside": "few of the cells lie where the training cells do",
    "mean": "the mean cell lies elsewhere",
    "composition": "cells fall into other components",
    "spread": "cells vary more, or less, than within training patients",
    "structure": "features go together in another way",
    "coherence": "features vary less together than within training patients, as after a permutation",
}


@dataclass(frozen=True, eq=False)
class FamiliarityScores:
    """How familiar each of some patients is.

    Parameters
    ----------
    patients
        Their names, (P,).
    inside
        Share of each one's cells inside the training density, (P,).
    p_values
        How rare so large a distance is among training patients that the density did not see, (P, 6): of ``MEASURES``.
    p_cohort
        The same of all patients together, (6,): small where they are all a little off, in the same way.
    training_inside
        Smallest and median share of cells inside among held-out training patients.
    shifts
        Mean of each feature over the patients minus that of training, in standard deviations of the training cells, (d,).
    centred
        Whether the mean of all cells is 0 in every feature to four digits, as after a PCA or a scaling of their own.
    unusual
        Share of the patients that are unusual even one by one.
    incoherent
        Whether features vary less than half as much together as in training, over all patients.
    """

    patients: NDArray[Any]
    inside: NDArray[np.float64]
    p_values: NDArray[np.float64]
    p_cohort: NDArray[np.float64]
    training_inside: tuple[float, float]
    shifts: NDArray[np.float64]
    centred: bool = False
    unusual: float = 0.0
    incoherent: bool = False

    @property
    def p(self) -> NDArray[np.float64]:
        """The smallest p-value of each patient, times their number, (P,)."""
        return np.minimum(self.p_values.min(axis=1) * len(MEASURES), 1)

    @property
    def doubtful(self) -> NDArray[np.bool_]:
        """Which patients to warn of: rarer than one in 1,000 training patients, or all of a cohort that is, (P,)."""
        return (self.p < _DOUBTFUL) | (self._cohort_p < _DOUBTFUL)

    @property
    def foreign(self) -> bool:
        """Whether the cells are plainly not of the kind that was trained on.

        All patients together are rarer than one in 100,000, and most of them alone than one in a hundred. Or they are
        rarer together than one in a hundred, and what does not fit is large whatever its probability, which few donors
        cannot make small and patients of few cells not one by one: cells are centred on themselves; features vary less
        than half as much together as in training; or the usual patient has less than half of the cells inside that the
        least familiar training patient has.
        """
        p = np.minimum(self.p_cohort * len(MEASURES), 1)
        return bool(
            self.foreign_whatever_class
            or (self._cohort_p < _FOREIGN and self.unusual > 0.5)
            or (self.incoherent and p[MEASURES.index("coherence")] < _FOREIGN_AND_LARGE)
        )

    @property
    def foreign_whatever_class(self) -> bool:
        """Whether they are so by what no class may differ in: centred on themselves, or outside the training density."""
        p = np.minimum(self.p_cohort * len(MEASURES), 1)
        outside = len(self.inside) >= FEWEST_TOGETHER and np.median(self.inside) < self.training_inside[0] / 2
        return bool(
            (self.centred and self._cohort_p < _FOREIGN_AND_LARGE)
            or (outside and p[MEASURES.index("inside")] < _FOREIGN_AND_LARGE)
        )

    @property
    def _cohort_p(self) -> float:
        return float(min(self.p_cohort.min() * len(MEASURES), 1))

    def reason(self, features: Sequence[str] | NDArray[Any] | None = None) -> str:
        """What does not fit, in words.

        Parameters
        ----------
        features
            Names of the features, (d,), so that the furthest can be named.
        """
        worst = [int(self.p_values.min(axis=0).argmin())]
        if self._cohort_p < _DOUBTFUL:
            worst = np.flatnonzero(self.p_cohort < _DOUBTFUL / len(MEASURES)).tolist()
        what = "; ".join(_LEVELS[MEASURES[i]] for i in sorted(worst, key=lambda i: self.p_cohort[i]))
        low, usual = self.training_inside
        what += (
            f". {np.median(self.inside):.0%} of a patient's cells are inside the training density (training patients: "
            f"{usual:.0%}, at least {low:.0%})"
        )
        far = [i for i in np.argsort(-np.abs(self.shifts))[:3] if np.abs(self.shifts[i]) >= _WORTH_NAMING]
        if far:
            names = features if features is not None else [f"dimension {i}" for i in range(len(self.shifts))]
            shifted = ", ".join(f"{names[i]} by {self.shifts[i]:+.1f}" for i in far)
            what += f"; means are off most in {shifted} standard deviations"
        if self.centred:
            what += "; the mean of all cells is exactly 0, as after a PCA or a scaling of their own"
        return what

    def table(self) -> pd.DataFrame:
        """One row a patient: ``inside``, the p-values ``p_<measure>``, and ``doubtful``."""
        frame = pd.DataFrame(self.p_values, columns=[f"p_{name}" for name in MEASURES], index=pd.Index(self.patients))
        frame.insert(0, "inside", self.inside)
        return frame.assign(doubtful=self.doubtful)
