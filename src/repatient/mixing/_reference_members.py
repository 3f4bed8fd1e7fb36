"""What a reference allows to predict by: a predictor for each of its statistics, models and cells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from repatient.mil import Bags, Cells, Likelihood, Linear, Moved, make_predictor
from repatient.mixing._aligned import Aligned, moved
from repatient.mixing._counterfactual import Counterfactual
from repatient.mixing._trust import adapted

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from repatient.mixing._reference import Reference

HERE, BOTH = "patients here and counterfactual ones", "patients of both"
# Members that learn from the patients here and from counterfactual ones, and from the patients of both cohorts.
WITH_COUNTERFACTUAL: list[tuple[str, Any]] = [
    ("mean", Linear(("mean",))),
    ("kernel mean", Linear(("kernel_mean",), C=0.1)),
    ("cells", Cells()),
]
OF_BOTH: list[tuple[str, Any]] = [("mean", Linear(("mean",))), ("kernel mean", Linear(("kernel_mean",), C=0.1))]
# Donors a class that a reference of which only a model is known counts as.
UNKNOWN_DONORS = 10


def reference_members(
    part: Reference,
    place: Aligned,
    bags: Bags,
    y: NDArray[np.int64],
    names: NDArray[np.str_],
    groups: NDArray[Any],
    missing: list[str],
    model: Any,
    shared: dict[str, Any],
) -> list[tuple[str, Any]]:
    """What a reference allows, by name; those that learn from this cohort's patients begin with "here"."""
    seed = shared["random_state"]
    at = {} if place.move is None else {"matrix": place.move.matrix, "shift": place.move.offset}
    members: list[tuple[str, Any]] = []
    if part.recipes is not None and part.mixture is not None:
        of_means = None if model is not None else _of_means(part, names, seed)
        # A class without a patient here is told apart best by what is known without any training.
        if model is not None or not missing or (of_means is None and part.offsets is not None):
            members += _counterfactual(part, place, bags, y, names, groups, missing, model, shared)
        if set(names) <= set(part.recipes.classes) and model is None:
            recipes, mildness = adapted(part, place, bags, names[y])
            likelihood = Likelihood.of_recipes(
                recipes,
                part.mixture.components,
                classes=names,
                centre=part.mixture.centre,
                scale=part.mixture.scale,
                n_donors=part.n_donors or {},
                mildness=mildness,
                random_state=seed,
            )
            members.append(("likelihood ratio of its recipes", Moved.of(likelihood, names, **at)))
        if of_means is not None:
            members.append(("regression on its mean cells", Moved.of(of_means, names, **at)))
    if model is not None:
        return members
    for name, fitted in part.models:
        if len(set(names) & {str(c) for c in fitted.classes_}) > 1:
            members.append((f"its model, {name}", Moved.of(fitted, names, **at)))
    if part.bags is not None and part.labels is not None and set(names) <= {*part.labels, *names[np.unique(y)]}:
        members += _of_both(part, place, bags, names[y], names, groups, shared, at)
    return members


def _of_means(part: Reference, names: NDArray[np.str_], seed: int) -> Any:
    """What a regression on mean cells would be there, from their moments; offsets and moments travel together."""
    spread = part.spread
    if spread is None or part.moments is None or part.offsets is None or not set(names) <= set(spread.classes):
        return None
    rows = [spread.classes.index(name) for name in names]
    centre, covariance = part.moments.over(names.tolist())
    scale = np.sqrt(np.clip(np.diag(covariance), 0, None))
    scale = np.where(scale > 0, scale, 1.0)
    n = spread.n_donors[rows].tolist()
    if sum(n) - len(n) < 1:
        return None
    return Linear.of_moments(
        spread.means[rows],
        spread.covariances[rows],
        n,
        classes=names,
        centre=centre,
        scale=scale,
        C=0.3,
        random_state=seed,
    )


def _counterfactual(
    part: Reference,
    place: Aligned,
    bags: Bags,
    y: NDArray[np.int64],
    names: NDArray[np.str_],
    groups: NDArray[Any],
    missing: list[str],
    model: Any,
    shared: dict[str, Any],
) -> list[tuple[str, Any]]:
    """Members that are trained on the patients here and on counterfactual ones."""
    known = set() if part.recipes is None else set(part.recipes.classes)
    if not known & {str(names[c]) for c in np.unique(y)} or not set(missing) <= known:
        return []
    augment = Counterfactual(part, align="raw" if place.move is None else "moments")
    members = []
    for name, member in WITH_COUNTERFACTUAL if model is None else [(type(model).__name__, model)]:
        fitted = make_predictor(member, **shared)
        fitted.fit(bags, names[y], groups=groups, augment=augment, classes=names)
        members.append((f"{HERE}, {member if isinstance(member, str) else name}", fitted))
    return members


def _of_both(
    part: Reference,
    place: Aligned,
    bags: Bags,
    labels: NDArray[np.str_],
    names: NDArray[np.str_],
    groups: NDArray[Any],
    shared: dict[str, Any],
    at: dict[str, Any],
) -> list[tuple[str, Any]]:
    """Models of the patients of both cohorts together, where the reference's lie."""
    own = bags if place.move is None else moved(bags, place.move)
    theirs = part.bags
    if theirs is None or part.labels is None or part.donors is None:
        return []
    X = np.concatenate([own.X[own.rows], theirs.X[theirs.rows]])
    both = Bags(X, np.arange(len(X)), np.concatenate([own.indptr, theirs.indptr[1:] + own.indptr[-1]]))
    of_donors = np.concatenate([groups, part.donors])
    members = []
    for name, member in OF_BOTH:
        fitted = make_predictor(member, **shared)
        fitted.fit(both, np.concatenate([labels, part.labels]), groups=of_donors, classes=names)
        members.append((f"{BOTH}, {name}", Moved.of(fitted, names, **at)))
    return members
