"""Recipes of several cohorts as one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from repatient._checks import listed
from repatient.recipe._composition import from_log_ratios, log_ratios
from repatient.recipe._offsets import Pooled, common_classes, named, random_effects
from repatient.recipe._recipes import Recipes
from repatient.recipe._transfer import smoothed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_DRAWS = 4000


def pool_recipes(
    parts: Sequence[Recipes],
    names: Sequence[str],
    *,
    n_donors: Sequence[Mapping[str, int]],
    base: str | None = None,
) -> Pooled:
    """Pool the recipes of several cohorts: the log-ratios of each class to one that all have, by random effects.

    Parameters
    ----------
    parts
        Recipes of the cohorts, of one kind and one mixture, without covariates.
    names
        Names of the cohorts.
    n_donors
        Donors of each class in each cohort: the fewer, the larger the error of its mean composition.
    base
        Class that the others are compared with in each cohort. ``None``: the first that all of them have.

    Returns
    -------
    The pooled recipes. A class has the mean that is its pooled difference from the base, on top of the base's mean over
    the cohorts, and the spread that it has in the cohort of the most weight among those with that class.

    Raises
    ------
    ValueError
        If the cohorts have no class in common, or recipes of different kinds, mixtures or with covariates.
    """
    base, every = common_classes([part.classes for part in parts], names, base)
    if len({(part.kind, part.mean.shape[1]) for part in parts}) > 1 or any(part.design is not None for part in parts):
        found = [(part.kind, part.mean.shape[1], part.design is not None) for part in parts]
        msg = f"`parts`: recipes of one kind and mixture without covariates are needed, not {listed(found)}."
        raise ValueError(msg)
    others = [name for name in every if name != base]
    n_ratios = parts[0].mean.shape[1] - 1
    values, errors = (np.zeros((len(parts), len(others), 1, n_ratios)) for _ in range(2))
    present = np.zeros((len(parts), len(others), 1), dtype=bool)
    of_base = np.zeros((len(parts), n_ratios))
    for h, part in enumerate(parts):
        centres = log_ratios(smoothed(part.mean))
        error = {name: _spread(part, name) / max(n_donors[h].get(name, 1), 1) for name in part.classes}
        of_base[h] = centres[part.classes.index(base)]
        for g, name in enumerate(others):
            if name in part.classes:
                values[h, g, 0] = centres[part.classes.index(name)] - of_base[h]
                errors[h, g, 0], present[h, g] = error[name] + error[base], True
    pooled, _, between, weights, discrepancy, limit = random_effects(values, errors, present, names)
    centre = weights @ of_base
    parameters: list[dict[str, np.ndarray]] = []
    for g, name in enumerate(every):
        having = [h for h, part in enumerate(parts) if name in part.classes]
        model = parts[max(having, key=lambda h: weights[h])].take([name])
        wanted = from_log_ratios((centre + (pooled[g - 1, 0] if g else 0.0))[None])[0]
        parameters += model.shifted(wanted / smoothed(model.mean[0])).parameters
    recipes = Recipes(parts[0].kind, tuple(every), tuple(parameters))
    tau = np.concatenate([np.zeros((1, n_ratios)), between[:, 0]])
    return Pooled(recipes, tau, named(names, weights), named(names, discrepancy), limit)


def _spread(recipes: Recipes, name: str) -> np.ndarray:
    """Variance of a patient's log-ratios, (K - 1,)."""
    draws = recipes.sample(name, _DRAWS, np.random.default_rng(0))
    return log_ratios(smoothed(draws)).var(axis=0)
