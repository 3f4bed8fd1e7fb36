"""What donors that were left out tell: weights of an ensemble's members, and the folds for that and for temperatures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.optimize import minimize

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from repatient.mil._inputs import TrainingBags

    Array = NDArray[Any]

N_FOLDS = 3
# From how many donors on a temperature is learnt.
DONORS_FOR_TEMPERATURE = 24


def folds_of_donors(
    cohort: TrainingBags, donors: NDArray[np.int64], outcome: str, seed: int | None
) -> NDArray[np.int64] | None:
    """Fold of each patient, whole donors, classes in proportion; None where a class would be missing from a rest."""
    key = cohort.y if outcome != "continuous" else np.zeros_like(cohort.y)
    rng = np.random.default_rng(seed)
    n = int(donors.max()) + 1
    of_donor = np.zeros(n, dtype=np.int64)
    of_donor[donors] = key
    order = np.lexsort((rng.random(n), of_donor))
    fold = np.empty(n, dtype=np.int64)
    fold[order] = np.arange(n) % N_FOLDS
    folds = fold[donors]
    present = np.unique(key)
    if len(present) < (len(cohort.classes) if outcome != "continuous" else 1):
        return None
    enough = all(np.isin(present, key[folds != f]).all() and (folds == f).any() for f in range(N_FOLDS))
    return folds if enough else None


def left_out(folds: NDArray[np.int64], predict: Callable[[NDArray[np.int64], NDArray[np.int64]], Array]) -> Array:
    """What is said of each patient by what has not seen its fold: ``predict`` learns from some, and says it of others."""
    parts = [(np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)) for fold in range(N_FOLDS)]
    order = np.argsort(np.concatenate([left for _, left in parts]), kind="stable")
    return np.concatenate([predict(kept, left) for kept, left in parts])[order]


def stacked(p: Array, cohort: TrainingBags, outcome: str) -> NDArray[np.float64]:
    """Weights, none negative and of sum 1, under which left-out patients are predicted best."""
    n_members = len(p)
    if outcome == "continuous":
        target = cohort.classes[cohort.y]
        loss = lambda w: float(((w @ p - target) ** 2).mean() / target.var())
    else:
        right = p[:, np.arange(p.shape[1]), cohort.y]
        weights = 1.0 / np.bincount(cohort.y)[cohort.y]
        loss = lambda w: float(-(weights @ np.log(np.maximum(w @ right, 1e-12))) / weights.sum())
    start = np.full(n_members, 1 / n_members)
    sum_to_one = {"type": "eq", "fun": lambda w: w.sum() - 1}
    found = minimize(loss, start, method="SLSQP", bounds=[(0, 1)] * n_members, constraints=[sum_to_one]).x
    return np.maximum(found, 0) / np.maximum(found, 0).sum()
