"""The recipes of all classes of a cohort: fitting, drawing, exchanging."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from repatient._checks import check_integer, check_number, check_option
from repatient.recipe._composition import proportions
from repatient.recipe._concentration import pool_classes
from repatient.recipe._covariates import Design, design_of, fit_effects, moved, without_effects
from repatient.recipe._dirichlet import Dirichlet, DirichletMultinomial
from repatient.recipe._empirical import Empirical, MeanComposition
from repatient.recipe._kinds import KINDS, Kind, Learning, register_kind
from repatient.recipe._logistic_normal import LogisticNormal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

for _kind in (DirichletMultinomial(), Dirichlet(), LogisticNormal(), Empirical(), MeanComposition()):
    register_kind(_kind)


@dataclass(frozen=True)
class Recipes:
    """Distribution of a patient's composition over K components, one for each class.

    Parameters
    ----------
    kind
        One of :data:`repatient.recipe.KINDS`.
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

    @property
    def family(self) -> Kind:
        """How recipes of this kind are drawn from and moved."""
        return KINDS[self.kind]

    @property
    def concentration(self) -> np.ndarray:
        """Concentration of the Dirichlet distribution of each class's variance, (classes,); infinite without spread."""
        return np.array([self.family.concentration(parameters) for parameters in self.parameters])

    def sample(
        self, name: str, n_patients: int, rng: np.random.Generator, covariates: Mapping[str, Any] | None = None
    ) -> np.ndarray:
        """Draw the compositions of new patients of one class, (n_patients, K), rows summing to one.

        ``covariates`` are the values of the new patients, (n_patients,) for each covariate of the ``design``;
        ``None`` draws patients with the mean covariates of the class.
        """
        parameters = self.parameters[self.classes.index(name)]
        compositions = self.family.sample(parameters, n_patients, rng)
        if covariates is None or self.design is None:
            return compositions
        distance = self.design.matrix(covariates) - parameters["covariate_mean"]
        return moved(compositions, distance @ parameters["effects"])

    def take(self, names: Sequence[str]) -> Recipes:
        """Return the recipes of some of the classes."""
        positions = [self.classes.index(name) for name in names]
        return replace(self, classes=tuple(names), parameters=tuple(self.parameters[i] for i in positions))

    def shifted(self, factor: np.ndarray) -> Recipes:
        """The recipes of patients whose every composition was multiplied by ``factor`` (K,) and renormalised."""
        return replace(self, parameters=tuple(self.family.shift(part, factor) for part in self.parameters))

    def merged(self, groups: np.ndarray) -> Recipes:
        """The recipes over fewer components, component k being part of component ``groups[k]`` of 0, 1, …"""
        groups = np.asarray(groups)
        member = np.eye(int(groups.max()) + 1)[groups]
        parameters = []
        for part in self.parameters:
            merged = self.family.merge(part, groups)
            if "effects" in part:
                # The derivative of the logarithm of a sum, at the mean composition.
                merged["effects"] = (part["effects"] * part["mean"]) @ member / (part["mean"] @ member)
            parameters.append(merged)
        return replace(self, parameters=tuple(parameters))

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
    check_option(kind, "kind", KINDS)
    if n_subtypes != "auto":
        check_integer(n_subtypes, "n_subtypes")
    if n_subtypes != 1 and not KINDS[kind].has_subtypes:
        able = [name for name, family in KINDS.items() if family.has_subtypes]
        msg = f"`n_subtypes`: only recipes of kind {' or '.join(able)!r} have sub-types, not those of kind {kind!r}."
        raise ValueError(msg)
    check_number(shrinkage, "shrinkage", minimum=0)
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
    learning = Learning(counts, labels, pool_classes(counts, labels), shrinkage, random_state, n_subtypes)
    parameters = tuple(
        KINDS[kind].fit(counts[labels == name], learning) | more for name, more in zip(classes, extra, strict=True)
    )
    return Recipes(kind, tuple(str(name) for name in classes), parameters, design)


def _without_covariates(
    counts: np.ndarray, codes: np.ndarray, x: np.ndarray
) -> tuple[np.ndarray, list[dict[str, np.ndarray]]]:
    """Counts at the mean covariates of each class, and what each class has to keep of the covariates."""
    mean = proportions(counts).mean(axis=0) + 0.5 / counts.sum()
    effects = fit_effects(counts, codes, x, mean / mean.sum())
    shared = {"effects": effects, "covariate_low": x.min(axis=0), "covariate_high": x.max(axis=0)}
    extra = [{**shared, "covariate_mean": x[codes == g].mean(axis=0)} for g in range(codes.max() + 1)]
    return without_effects(counts, codes, x, effects), extra
