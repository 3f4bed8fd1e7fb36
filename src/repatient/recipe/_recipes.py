"""The recipes of all classes of a cohort: fitting, drawing, exchanging."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from repatient.recipe import _dirichlet, _dirichlet_multinomial, _empirical, _logistic_normal, _mean
from repatient.recipe._concentration import pool_classes

if TYPE_CHECKING:
    from collections.abc import Sequence

_KINDS: dict[str, Any] = {
    "dirichlet_multinomial": _dirichlet_multinomial,
    "dirichlet": _dirichlet,
    "logistic_normal": _logistic_normal,
    "empirical": _empirical,
    "mean": _mean,
}
KINDS = tuple(_KINDS)


@dataclass(frozen=True)
class Recipes:
    """Distribution of a patient's composition over K components, one for each class.

    Parameters
    ----------
    kind
        One of ``"dirichlet_multinomial"``, ``"dirichlet"``, ``"logistic_normal"``, ``"empirical"``,
        ``"mean"``.
    classes
        Names of the classes.
    parameters
        One dictionary of arrays a class, in the order of ``classes``. Every kind has ``mean`` (K,);
        the Dirichlet kinds ``concentration`` (), ``logistic_normal`` has ``location`` (K - 1,) and
        ``covariance`` (K - 1, K - 1), ``empirical`` has ``compositions`` (patients, K).
    """

    kind: str
    classes: tuple[str, ...]
    parameters: tuple[dict[str, np.ndarray], ...]

    @property
    def mean(self) -> np.ndarray:
        """Mean composition of each class, (classes, K)."""
        return np.stack([parameters["mean"] for parameters in self.parameters])

    def sample(self, name: str, n_patients: int, rng: np.random.Generator) -> np.ndarray:
        """Draw the compositions of new patients of one class, (n_patients, K), rows summing to one."""
        return _KINDS[self.kind].sample(self.parameters[self.classes.index(name)], n_patients, rng)

    def take(self, names: Sequence[str]) -> Recipes:
        """Return the recipes of some of the classes."""
        positions = [self.classes.index(name) for name in names]
        return Recipes(self.kind, tuple(names), tuple(self.parameters[i] for i in positions))

    def join(self, other: Recipes) -> Recipes:
        """Put the recipes of another cohort beside these; both must be of one kind and without common classes."""
        if other.kind != self.kind:
            msg = (
                f"The reference's recipes are of kind {other.kind!r} and these of kind {self.kind!r}; "
                f"refit one of them with kind={other.kind!r} or kind={self.kind!r}."
            )
            raise ValueError(msg)
        common = sorted(set(self.classes) & set(other.classes))
        if common:
            msg = f"Both cohorts have recipes of {common}; take those of one cohort."
            raise ValueError(msg)
        return Recipes(self.kind, self.classes + other.classes, self.parameters + other.parameters)


def fit_recipes(
    counts: np.ndarray,
    labels: np.ndarray,
    *,
    kind: str = "dirichlet_multinomial",
    shrinkage: float = 1.0,
    random_state: int = 0,
) -> Recipes:
    """Learn the recipe of every class from its patients' compositions.

    Parameters
    ----------
    counts
        Cells of each patient in each component, (patients, K), no row all zero.
    labels
        Class of each patient, (patients,).
    kind
        Family of the distribution.
    shrinkage
        Weight of the pooled patients of all classes in each class's recipe, in patients: empirical-Bayes
        shrinkage of the mean and of the spread. ``0`` takes each class for itself.
    random_state
        Seed of the draws that give the mean composition of a logistic-normal recipe.

    Returns
    -------
    The recipes, classes in sorted order.
    """
    if kind not in _KINDS:
        msg = f"Unknown kind of recipe {kind!r}; choose one of {list(KINDS)}."
        raise ValueError(msg)
    if not (np.isfinite(shrinkage) and shrinkage >= 0):
        msg = f"`shrinkage` is a number of patients, 0 or more, not {shrinkage!r}."
        raise ValueError(msg)
    counts = np.asarray(counts, dtype=np.float64)
    if (counts.sum(axis=1) == 0).any():
        msg = f"{int((counts.sum(axis=1) == 0).sum())} patients have no cell in any component."
        raise ValueError(msg)
    pool = pool_classes(counts, labels)
    fit = _KINDS[kind].fit
    if kind == "logistic_normal":
        covariance = _logistic_normal.pooled_covariance(counts, labels, pool)
        fit = partial(fit, covariance=covariance, random_state=random_state)
    classes = np.unique(labels)
    parameters = tuple(fit(counts[labels == name], pool, shrinkage) for name in classes)
    return Recipes(kind, tuple(str(name) for name in classes), parameters)
