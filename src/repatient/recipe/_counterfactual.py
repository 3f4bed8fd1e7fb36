"""Patients of one class as patients of another, and the recipes as a classifier."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import gammaln, xlogy

from repatient._checks import check_number, listed
from repatient.recipe._composition import proportions, smoothed_proportions
from repatient.recipe._transfer import SMOOTHING, smoothed

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from repatient.recipe._recipes import Recipes

    Array = NDArray[np.float64]


def counterfactual_compositions(
    counts: ArrayLike,
    labels: ArrayLike,
    wanted: ArrayLike,
    recipes: Recipes,
    rng: np.random.Generator,
    *,
    noise: bool = True,
    smoothing: float = SMOOTHING,
) -> Array:
    r"""Compositions that patients would have if they were of another class.

    That of a patient i of class :math:`y_i` in class c is proportional to
    :math:`P_i\, \pi(c) / \pi(y_i)`, the ratio being that of the mean compositions of the recipes, and is then drawn from
    a Dirichlet distribution around it with the concentration of class c. What is peculiar to the patient stays.

    Parameters
    ----------
    counts
        Cells of each patient in each component, (patients, K). Half a cell a component is added, spread as in the
        recipe of the patient's class, so that a component which the patient has no cell of can come up.
    labels
        Class of each patient, (patients,).
    wanted
        Class that each is moved to, (patients,), or one for all. Of the own class, there is the noise only.
    recipes
        Recipes of all of these classes, learnt in one cohort: what the cohort does to all its patients cancels.
    rng
        Source of the noise.
    noise
        Whether patients vary around what they are moved to.
    smoothing
        Share of the uniform composition that is mixed into the means before their ratio is taken.

    Returns
    -------
    Compositions, (patients, K), rows summing to one.

    Raises
    ------
    ValueError
        If the shapes do not fit, or a class has no recipe.
    """
    counts = _check_counts(counts, recipes)
    own, other = (
        _positions(names, recipes, len(counts), what) for names, what in ((labels, "labels"), (wanted, "wanted"))
    )
    check_number(smoothing, "smoothing", minimum=0, maximum=1)
    mean = smoothed(recipes.mean, smoothing)
    moved = proportions(smoothed_proportions(counts, mean[own]) * mean[other] / mean[own])
    concentration = recipes.concentration[other]
    varied = np.isfinite(concentration) if noise else np.zeros(len(moved), dtype=bool)
    # A Dirichlet draw is of independent gamma variables over their sum; those of tiny shape may all be 0.
    alpha = np.maximum(concentration[varied, None] * moved[varied], 1e-3)
    moved[varied] = proportions(np.maximum(rng.standard_gamma(alpha), np.finfo(float).tiny))
    return moved


def log_likelihood(
    counts: ArrayLike, recipes: Recipes, *, concentration: float | None = None, smoothing: float = SMOOTHING
) -> Array:
    """Log-likelihood of patients' counts in each class, Dirichlet-multinomial with one concentration for all classes.

    Differences between columns are log-likelihood ratios: the recipes as a classifier, without any training. With a
    concentration of its own each class would be told by how much its patients vary, which few patients do not say.

    Parameters
    ----------
    counts
        Cells of each patient in each component, (patients, K).
    recipes
        Recipes of the classes, of any kind.
    concentration
        The one concentration, infinite for multinomial counts. ``None``: the geometric mean of those of the classes.
    smoothing
        Share of the uniform composition that is mixed into the mean compositions.

    Returns
    -------
    Log-likelihoods, (patients, classes), up to the multinomial coefficient, which all classes share.

    Raises
    ------
    ValueError
        If the counts are none, or of another number of components than the recipes.
    """
    counts = _check_counts(counts, recipes)
    check_number(smoothing, "smoothing", minimum=0, maximum=1)
    mean = smoothed(recipes.mean, smoothing)
    if concentration is None:
        concentration = float(np.exp(np.log(recipes.concentration).mean()))
    if not np.isfinite(concentration):
        return xlogy(counts[:, None], mean).sum(axis=2)
    alpha = check_number(concentration, "concentration", above=0) * mean
    sizes = counts.sum(axis=1)[:, None]
    # A component of mean 0 adds nothing without a cell, and makes one with a cell impossible.
    with np.errstate(invalid="ignore"):
        parts = gammaln(counts[:, None] + alpha) - gammaln(alpha)
    parts = np.where(alpha > 0, parts, np.where(counts[:, None] > 0, -np.inf, 0.0))
    return parts.sum(axis=2) + gammaln(concentration) - gammaln(concentration + sizes)


def _check_counts(counts: Any, recipes: Recipes) -> Array:
    counts = np.asarray(counts, dtype=np.float64)
    n_components = recipes.mean.shape[1]
    if counts.ndim != 2 or counts.shape[1] != n_components:
        msg = f"`counts` has shape {counts.shape}; the recipes are of {n_components} components."
        raise ValueError(msg)
    if not np.isfinite(counts).all() or (counts < 0).any() or (counts.sum(axis=1) == 0).any():
        msg = "`counts` are numbers of cells, 0 or more, and every patient has a cell."
        raise ValueError(msg)
    return counts


def _positions(names: Any, recipes: Recipes, n_patients: int, what: str) -> NDArray[np.int64]:
    of = {name: i for i, name in enumerate(recipes.classes)}
    names = [str(name) for name in np.broadcast_to(np.asarray(names, dtype=object), n_patients)]
    if unknown := sorted({name for name in names if name not in of}):
        msg = f"`{what}`: there are no recipes of {listed(unknown)}; there are those of {listed(of)}."
        raise ValueError(msg)
    return np.array([of[name] for name in names], dtype=np.int64)
