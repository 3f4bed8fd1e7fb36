"""Fewer components, each of enough cells of enough donors: what may leave a hospital."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from repatient.recipe._covariates import Design
from repatient.recipe._recipes import Recipes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]


def too_small(counts: Integers, min_cells: int, min_donors: int) -> Integers:
    """Components of fewer cells or donors than asked for.

    Parameters
    ----------
    counts
        Cells of each donor in each component, (donors, K).
    min_cells, min_donors
        Cells that a component has to have, and donors with a cell in it.

    Returns
    -------
    Positions of the components that have not.
    """
    return np.flatnonzero((counts.sum(axis=0) < min_cells) | ((counts > 0).sum(axis=0) < min_donors))


def groups_of_enough(counts: Integers, means: Floats, min_cells: int, min_donors: int) -> Integers:
    """Merge small components into their nearest neighbours until each has cells and donors enough.

    Parameters
    ----------
    counts
        Cells of each donor in each component, (donors, K).
    means
        Where the components lie, (K, d), in units that make the dimensions comparable.
    min_cells, min_donors
        What a component has to have.

    Returns
    -------
    The component that each becomes part of, (K,), numbered from 0 by their first parts. There may be one left, and even
    that too small.
    """
    groups = np.arange(counts.shape[1])
    centres, sizes = means.copy(), counts.sum(axis=0).astype(np.float64)
    while len(sizes) > 1:
        joined = counts @ np.eye(len(sizes), dtype=np.int64)[groups]
        small = too_small(joined, min_cells, min_donors)
        if not len(small):
            break
        smallest = small[joined.sum(axis=0)[small].argmin()]
        distance = ((centres - centres[smallest]) ** 2).sum(axis=1)
        distance[smallest] = np.inf
        kept, gone = sorted((int(smallest), int(distance.argmin())))
        weights = np.maximum(sizes[[kept, gone]], 0.5)
        centres[kept] = weights @ centres[[kept, gone]] / weights.sum()
        sizes[kept] += sizes[gone]
        centres, sizes = np.delete(centres, gone, axis=0), np.delete(sizes, gone)
        groups = np.where(groups == gone, kept, groups)
        groups -= groups > gone
    return groups


def merged_gaussians(
    weights: Floats, means: Floats, covariances: Floats, groups: Integers
) -> tuple[Floats, Floats, Floats]:
    """Gaussians that have the moments of groups of Gaussians.

    Parameters
    ----------
    weights, means
        Of the Gaussians, (K,) and (K, d).
    covariances
        Theirs, full (K, d, d), diagonal (K, d), or one for all (d, d), which stays.
    groups
        Group of each, (K,), numbered from 0.

    Returns
    -------
    Weights, means and covariances of the groups.
    """
    member = np.eye(int(groups.max()) + 1)[groups].T
    share = member * np.maximum(weights, np.finfo(float).tiny)
    share /= share.sum(axis=1, keepdims=True)
    centres = share @ means
    if covariances.shape == (means.shape[1], means.shape[1]) and covariances.shape != means.shape:
        return member @ weights, centres, covariances
    around = means - centres[groups]
    outer = around**2 if covariances.ndim == 2 else around[:, :, None] * around[:, None, :]
    spread = (covariances + outer).reshape(len(means), -1)
    return member @ weights, centres, (share @ spread).reshape(len(centres), *covariances.shape[1:])


def coarsened(recipes: Recipes, x: Floats, labels: NDArray[Any], donors: NDArray[Any], n_donors: int) -> Recipes:
    """Recipes whose covariates tell of no fewer than so many donors.

    The ends of a range become means of the donors nearest to them, all of them where there are no more; a class of fewer
    donors stands at the mean covariates of all, to which its recipe is moved; levels of fewer donors are left out.

    Parameters
    ----------
    recipes
        Recipes with covariates.
    x
        Covariates of the patients that they were learnt from, (patients, columns).
    labels
        Their classes. Recipes of other classes stay.
    donors
        Their donors: several samples of one are no more than one.
    n_donors
        How many donors a number has to be of.

    Returns
    -------
    The recipes with coarser covariates.
    """
    design = recipes.design if recipes.design is not None else Design((), ())
    codes = np.unique(donors, return_inverse=True)[1]
    of_donors = np.stack([np.bincount(codes, column) for column in x.T], axis=1) / np.bincount(codes)[:, None]
    ordered = np.sort(of_donors, axis=0)
    least = min(n_donors, len(ordered))
    ends = {"covariate_low": ordered[:least].mean(axis=0), "covariate_high": ordered[-least:].mean(axis=0)}
    numeric = np.array([level is None for level in design.levels])
    kept = numeric | ((of_donors > 0).sum(axis=0) >= n_donors)
    parameters = []
    for name, part in zip(recipes.classes, recipes.parameters, strict=True):
        inside = labels == name
        coarse = dict(part)
        if inside.any():
            coarse |= {end: np.where(numeric, value, part[end]) for end, value in ends.items()}
        if inside.any() and len(np.unique(codes[inside])) < n_donors:
            move = (x.mean(axis=0) - part["covariate_mean"]) @ part["effects"]
            coarse = recipes.family.shift(coarse, np.exp(move - move.max()))
            coarse["covariate_mean"] = x.mean(axis=0)
        for of_columns in ("effects", "covariate_mean", *ends):
            coarse[of_columns] = coarse[of_columns][kept]
            if not kept.any():
                del coarse[of_columns]
        parameters.append(coarse)
    columns = [
        (covariate, level) for covariate, level, keep in zip(design.names, design.levels, kept, strict=True) if keep
    ]
    left = Design(*map(tuple, zip(*columns, strict=True))) if columns else None
    return Recipes(recipes.kind, recipes.classes, tuple(parameters), left)
