"""Generated patients whose cells are points of the components' Gaussians."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from repatient._checks import listed
from repatient._messages import warn
from repatient.sampling import GaussianDraw, draw_gaussians

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import pandas as pd

    from repatient.recipe import Recipes

DRAWS = ("cells", "gaussian")


@dataclass(frozen=True)
class RecipeGaussians:
    """Points by the recipe of a class.

    Parameters
    ----------
    recipes
        Recipes of all classes.
    mixture
        The stored mixture.
    sizes
        Sizes of the real patients.
    n_cells
        Size of all patients; ``None`` draws from ``sizes``.
    values
        Draws the covariates of a number of patients of a class: a table, or ``None`` where recipes have none.
    """

    recipes: Recipes
    mixture: dict[str, Any]
    sizes: np.ndarray
    n_cells: int | None
    values: Callable[[str, int, np.random.Generator], pd.DataFrame | None]

    def __call__(self, name: str, number: int, rng: np.random.Generator) -> tuple[GaussianDraw, dict[str, Any]]:
        """Draw ``number`` patients of class ``name``."""
        # Random numbers are asked for in the order of `RecipeRows`: the same seed gives the same sizes and compositions.
        sizes = rng.choice(self.sizes, size=number) if self.n_cells is None else np.full(number, self.n_cells)
        values = self.values(name, number, rng)
        columns = {} if values is None else {key: values[key].array for key in values}
        compositions = self.recipes.sample(name, number, rng, values)
        counts = rng.multinomial(sizes, compositions / compositions.sum(axis=1, keepdims=True))
        draw = draw_gaussians(
            counts,
            np.asarray(self.mixture["means"], dtype=np.float64),
            np.asarray(self.mixture["covariances"], dtype=np.float64),
            str(self.mixture["params"]["covariance_type"]),
            seed=int(rng.integers(2**63)),
        )
        return draw, columns


def check_gaussian(**options: Any) -> None:
    """Refuse what speaks of real cells."""
    given = [name for name, value in options.items() if value not in (None, False, "all", "recipe")]
    if given:
        msg = (
            f"`draw='gaussian'` takes no real cell, so that there is no pool and no donor to choose; {listed(given)} "
            "need `draw='cells'`."
        )
        raise ValueError(msg)


class PointPatients(NamedTuple):
    """Generated patients of all classes.

    Parameters
    ----------
    points
        Their cells.
    columns
        What else the table says of the patients of each class.
    """

    points: GaussianDraw
    columns: list[dict[str, Any]]

    @classmethod
    def draw(cls, recipes: RecipeGaussians, numbers: Mapping[str, int], rng: np.random.Generator) -> PointPatients:
        """Draw some patients of each class."""
        draws, columns = zip(*(recipes(name, number, rng) for name, number in numbers.items()), strict=True)
        sizes = np.concatenate([np.diff(part.indptr) for part in draws])
        points = GaussianDraw(
            np.concatenate([part.embedding for part in draws]),
            np.concatenate([[0], np.cumsum(sizes)]),
            np.concatenate([part.components for part in draws]),
        )
        return cls(points, list(columns))

    def measures(self, donors: np.ndarray) -> dict[str, np.ndarray]:
        """Sizes; and that no cell is of a donor, of another component than asked for, or the same as another."""
        sizes = np.diff(self.points.indptr)
        return {"n_cells": sizes, **dict.fromkeys(("n_donors", "n_moved", "n_repeated"), np.zeros_like(sizes))}


def warn_of_few_cells(mixture: dict[str, Any], components: np.ndarray, drawn: np.ndarray) -> None:
    """Warn of Gaussians that are no wider than the few cells that they were fitted to.

    Parameters
    ----------
    mixture
        The stored mixture. Where it is another cohort's, its numbers of cells are not known here.
    components
        Component of each real cell of the pool, -1 elsewhere.
    drawn
        Component of each drawn point.
    """
    if "reference" in mixture:
        return
    n_components, n_dims = np.asarray(mixture["means"]).shape
    sizes = np.bincount(components[components >= 0], minlength=n_components)
    few = [k for k in np.unique(drawn).tolist() if sizes[k] <= n_dims]
    if few:
        found = [f"{k} ({sizes[k]} cells)" for k in few]
        msg = (
            f"{len(few)} components have no more cells than the {n_dims} dimensions: {listed(found, 6)}. Their "
            "Gaussians lie close around these cells and give them away; fit fewer components."
        )
        warn(msg)
