"""Which cells the generated patients of a class have: by its recipe, or as a rival mixes real patients."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import scipy.sparse as sp

from repatient._checks import check_option, listed
from repatient.sampling import Draw, draw_patients, draw_with_effects, fit_donor_effects
from repatient.tl._generate_plan import check_donors, feasible_sizes, renormalise

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import pandas as pd

    from repatient.recipe import Recipes
    from repatient.sampling import DonorEffects
    from repatient.tl._generate_pool import Pool

METHODS = ("recipe", "oversampling", "same_class")


class Drawn(NamedTuple):
    """Rows of the generated patients of one class, and what else the table says of them."""

    draw: Draw
    columns: dict[str, Any]


class CellPatients(NamedTuple):
    """Generated patients of all classes.

    Parameters
    ----------
    counts
        How many times each cell is in each patient, (n_obs, patients).
    draws
        Draws of each class.
    columns
        What else the table says of the patients of each class.
    """

    counts: sp.csc_matrix
    draws: list[Draw]
    columns: list[dict[str, Any]]

    @classmethod
    def draw(
        cls,
        draw_class: Callable[[str, int, np.random.Generator], Drawn],
        numbers: Mapping[str, int],
        rng: np.random.Generator,
        n_obs: int,
    ) -> CellPatients:
        """Draw some patients of each class."""
        drawn = [draw_class(name, number, rng) for name, number in numbers.items()]
        draws = [part.draw for part in drawn]
        counts = sp.hstack([draw.counts(n_obs) for draw in draws], format="csc", dtype=np.int32)
        return cls(counts, draws, [part.columns for part in drawn])

    def measures(self, donors: np.ndarray) -> dict[str, np.ndarray]:
        """Sizes, donors, and cells that could not be drawn as asked, of each patient."""
        entries = self.counts.tocoo()
        of_patients = np.unique(np.stack([entries.col, donors[entries.row]]), axis=1)[0]
        return {
            "n_cells": np.asarray(self.counts.sum(axis=0)).ravel(),
            "n_donors": np.bincount(of_patients, minlength=self.counts.shape[1]),
            "n_moved": np.concatenate([draw.moved.sum(axis=1) for draw in self.draws]),
            "n_repeated": np.concatenate([draw.repeated.sum(axis=1) for draw in self.draws]),
        }


@dataclass(frozen=True)
class RecipeRows:
    """Rows by the recipe of a class.

    Parameters
    ----------
    recipes, source
        Recipes of all classes, and the cells that may be drawn.
    embedding
        Embedding of all cells, where offsets of patients are borrowed.
    pool, n_donors, n_cells, max_donor_share
        As in :func:`repatient.tl.generate`.
    strengths
        Part of a real patient's offsets that a generated one of each class gets; 0 for none.
    values
        Draws the covariates of a number of patients of a class: a table, or ``None`` where recipes have none.
    """

    recipes: Recipes
    source: Pool
    embedding: Any
    pool: str
    n_donors: int | None
    n_cells: int | None
    max_donor_share: float | None
    strengths: Mapping[str, float]
    values: Callable[[str, int, np.random.Generator], pd.DataFrame | None]
    _fitted: dict[str, DonorEffects] = field(default_factory=dict, repr=False)

    def __call__(self, name: str, number: int, rng: np.random.Generator) -> Drawn:
        """Draw ``number`` patients of class ``name``."""
        components = self.source.components_of(self.pool, name)
        donors = check_donors(self.n_donors, self.max_donor_share, self.source.donors, components)
        sizes = rng.choice(self.source.sizes, size=number) if self.n_cells is None else np.full(number, self.n_cells)
        sizes = feasible_sizes(sizes, donors, self.max_donor_share, exact=self.n_cells is not None)
        values = self.values(name, number, rng)
        columns = {} if values is None else {key: values[key].array for key in values}
        compositions = self.recipes.sample(name, number, rng, values)
        compositions = renormalise(compositions, components, self.recipes.take([name]))
        counts, seed = rng.multinomial(sizes, compositions), int(rng.integers(2**63))
        if not self.strengths[name]:
            draw = draw_patients(
                counts,
                components,
                self.source.donors,
                n_donors=self.n_donors,
                max_donor_share=self.max_donor_share,
                seed=seed,
            )
            return Drawn(draw, columns)
        draw, references = draw_with_effects(
            counts,
            components,
            self._effects(name, components, counts.shape[1]),
            self.source.donors,
            max_donor_share=self.max_donor_share,
            strength=self.strengths[name],
            seed=seed,
        )
        return Drawn(draw, {**columns, "reference": self.source.patient_names[references]})

    def _effects(self, name: str, components: np.ndarray, n_components: int) -> DonorEffects:
        pool = name if self.pool == "same" else self.pool
        if pool not in self._fitted:
            self._fitted[pool] = fit_donor_effects(self.embedding, components, self.source.patients, n_components)
        return self._fitted[pool]


@dataclass(frozen=True)
class RivalRows:
    """Rows of real patients of the class, whole or two of them mixed.

    Parameters
    ----------
    source
        The cells that may be drawn.
    method
        ``"oversampling"`` or ``"same_class"``.
    n_components
        Number of components.
    """

    source: Pool
    method: str
    n_components: int

    def __call__(self, name: str, number: int, rng: np.random.Generator) -> Drawn:
        """Draw ``number`` patients of class ``name``."""
        cells = self._cells(name)
        if self.method == "oversampling":
            bags = [cells[i] for i in _in_turn(len(cells), number, rng)]
        else:
            bags = [_mixed(cells[a], cells[b], rng) for a, b in self._pairs(name, cells, number, rng)]
        nothing = np.zeros((number, self.n_components), dtype=np.int64)
        indptr = np.concatenate([[0], np.cumsum([len(bag) for bag in bags])])
        return Drawn(Draw(np.concatenate(bags).astype(np.int32), indptr, nothing, nothing), {})

    def _cells(self, name: str) -> list[np.ndarray]:
        """Rows of each real patient of the class."""
        inside = np.flatnonzero(self.source.components_of("same", name) >= 0)
        order = inside[np.argsort(self.source.patients[inside], kind="stable")]
        return np.split(order, np.flatnonzero(np.diff(self.source.patients[order])) + 1)

    def _pairs(self, name: str, cells: list[np.ndarray], number: int, rng: np.random.Generator) -> np.ndarray:
        if len(cells) < 2:
            msg = f"`method='same_class'` mixes two patients of a class, and {name!r} has {len(cells)} here."
            raise ValueError(msg)
        return np.stack([rng.choice(len(cells), size=2, replace=False) for _ in range(number)])


def check_rival(method: str, **options: Any) -> None:
    """Refuse options of recipes for a method that mixes whole patients."""
    given = [name for name, value in options.items() if value not in (None, False, "all")]
    if given:
        msg = (
            f"`method={method!r}` takes whole patients of the class as they are; {listed(given)} need "
            "`method='recipe'`."
        )
        raise ValueError(msg)


def check_method(method: Any) -> None:
    """Accept the methods that yield patients of one class."""
    if method in ("psemix", "mixup", "rankmix", "remix", "insmix"):
        msg = (
            f"`method={method!r}` mixes patients of several classes, features, or labels: what it makes is no multiset of "
            f"cells of one class. It is in `repatient.mixing`, for training. Here `method` is one of {listed(METHODS)}."
        )
        raise ValueError(msg)
    check_option(method, "method", METHODS)


def _in_turn(n: int, number: int, rng: np.random.Generator) -> np.ndarray:
    """Indices below ``n`` in random order, each as often as the others as far as ``number`` allows."""
    rounds = -(-number // n)
    return np.concatenate([rng.permutation(n) for _ in range(rounds)])[:number]


def _mixed(first: np.ndarray, second: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A random share of one patient's cells, at least one, and the rest of a patient's worth of the other's."""
    share = rng.random()
    n_first = max(round(share * len(first)), 1)
    n_second = round((1 - share) * len(second))
    return np.concatenate([rng.choice(first, n_first, replace=False), rng.choice(second, n_second, replace=False)])
