"""The recipes of all classes of a cohort: fitting, drawing, exchanging."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from repatient.recipe import _dirichlet, _dirichlet_multinomial, _empirical, _logistic_normal, _mean, _subtypes
from repatient.recipe._composition import proportions
from repatient.recipe._concentration import pool_classes
from repatient.recipe._covariates import Design, design_of, fit_effects, moved, without_effects

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

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
        ``covariance`` (K - 1, K - 1), ``empirical`` has ``compositions`` (patients, K). A class with sub-types has
        ``subtype_weight`` (S,), ``subtype_mean`` (S, K) and ``subtype_concentration`` (S,) in place of
        ``concentration``. With covariates there are ``effects`` (columns, K), what a unit of each column adds to the
        logarithm of a composition, and ``covariate_mean``, ``covariate_low`` and ``covariate_high`` (columns,), the
        mean of the class, at which the recipe stands, and the range that was fitted on.
    design
        Columns of the covariates, ``None`` without covariates.
    """

    kind: str
    classes: tuple[str, ...]
    parameters: tuple[dict[str, np.ndarray], ...]
    design: Design | None = None

    @property
    def mean(self) -> np.ndarray:
        """Mean composition of each class, (classes, K)."""
        return np.stack([parameters["mean"] for parameters in self.parameters])

    def sample(
        self, name: str, n_patients: int, rng: np.random.Generator, covariates: Mapping[str, Any] | None = None
    ) -> np.ndarray:
        """Draw the compositions of new patients of one class, (n_patients, K), rows summing to one.

        ``covariates`` are the values of the new patients, (n_patients,) for each covariate of the ``design``;
        ``None`` draws patients with the mean covariates of the class.
        """
        parameters = self.parameters[self.classes.index(name)]
        family = _subtypes if "subtype_weight" in parameters else _KINDS[self.kind]
        compositions = family.sample(parameters, n_patients, rng)
        if covariates is None or self.design is None:
            return compositions
        distance = self.design.matrix(covariates) - parameters["covariate_mean"]
        return moved(compositions, distance @ parameters["effects"])

    def take(self, names: Sequence[str]) -> Recipes:
        """Return the recipes of some of the classes."""
        positions = [self.classes.index(name) for name in names]
        return Recipes(self.kind, tuple(names), tuple(self.parameters[i] for i in positions), self.design)

    def join(self, other: Recipes) -> Recipes:
        """Put the recipes of another cohort beside these: of one kind, without common classes, with the same covariates."""
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
        if other.design != self.design:
            here, there = ({} if part is None else part.covariates for part in (self.design, other.design))
            msg = (
                f"The reference's recipes have the covariates {there} and these {here}; learn both with the same "
                "`covariates`, and with the same levels."
            )
            raise ValueError(msg)
        return Recipes(self.kind, self.classes + other.classes, self.parameters + other.parameters, self.design)


def fit_recipes(
    counts: np.ndarray,
    labels: np.ndarray,
    *,
    kind: str = "dirichlet_multinomial",
    shrinkage: float = 1.0,
    random_state: int = 0,
    n_subtypes: int | str = 1,
    covariates: Mapping[str, np.ndarray] | None = None,
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
        Seed of the draws that give the mean composition of a logistic-normal recipe, and of the start of the
        sub-types.
    n_subtypes
        Sub-types of each class, or ``"auto"`` for the fewest (up to 4, each of 5 patients or more) whose likelihood of
        patients left out is within a standard error of the best. Other than 1 only for ``"dirichlet_multinomial"``.
    covariates
        Values of each patient, (patients,) for each covariate: numbers as they are, all else by its levels.

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
    classes, codes = np.unique(labels, return_inverse=True)
    design: Design | None = None
    extra: list[dict[str, np.ndarray]] = [{} for _ in classes]
    if covariates is not None:
        design = design_of(covariates)
        counts, extra = _without_covariates(counts, codes, design.matrix(covariates))
    pool = pool_classes(counts, labels)
    fit = _fit_of(kind, n_subtypes, random_state)
    if kind == "logistic_normal":
        covariance = _logistic_normal.pooled_covariance(counts, labels, pool)
        fit = partial(fit, covariance=covariance, random_state=random_state)
    parameters = tuple(
        fit(counts[labels == name], pool, shrinkage) | more for name, more in zip(classes, extra, strict=True)
    )
    return Recipes(kind, tuple(str(name) for name in classes), parameters, design)


def _fit_of(kind: str, n_subtypes: int | str, random_state: int) -> Callable[..., dict[str, np.ndarray]]:
    """Fit of one class from its counts, the pool and the shrinkage."""
    if n_subtypes == 1:
        return _KINDS[kind].fit
    if kind != "dirichlet_multinomial":
        msg = f"`n_subtypes`: only recipes of kind 'dirichlet_multinomial' have sub-types, not those of kind {kind!r}."
        raise ValueError(msg)
    if n_subtypes != "auto" and not (isinstance(n_subtypes, int) and n_subtypes >= 1):
        msg = f"`n_subtypes` is a number of 1 or more, or 'auto', not {n_subtypes!r}."
        raise ValueError(msg)
    return partial(_subtypes.fit, n_subtypes=n_subtypes, random_state=random_state)


def _without_covariates(
    counts: np.ndarray, codes: np.ndarray, x: np.ndarray
) -> tuple[np.ndarray, list[dict[str, np.ndarray]]]:
    """Counts at the mean covariates of each class, and what each class has to keep of the covariates."""
    mean = proportions(counts).mean(axis=0) + 0.5 / counts.sum()
    effects = fit_effects(counts, codes, x, mean / mean.sum())
    shared = {"effects": effects, "covariate_low": x.min(axis=0), "covariate_high": x.max(axis=0)}
    extra = [{**shared, "covariate_mean": x[codes == g].mean(axis=0)} for g in range(codes.max() + 1)]
    return without_effects(counts, codes, x, effects), extra
