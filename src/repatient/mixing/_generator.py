"""Generated patients from the recipes of all classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from repatient.sampling import Draw, draw_patients, draw_with_effects

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from repatient.recipe import Recipes
    from repatient.sampling import DonorEffects


@dataclass(frozen=True)
class PatientGenerator:
    """Recipes, and the cells that they draw from.

    Parameters
    ----------
    recipes
        The recipe of each class.
    components
        Component of each cell of the pool, (cells,).
    donors
        Donor of each cell, or None where any number of donors may give to a patient.
    n_donors
        How many donors give to a patient.
    labels
        Class of each cell, or None where cells are drawn whatever their class.
    sizes
        Sizes that patients may have.
    label_mixing
        Share of the patients that lie between two classes.
    effects
        Offsets of the real patients within components, or None where they are not borrowed.
    strength
        Part of these offsets that a patient gets.
    """

    recipes: list[Recipes]
    components: NDArray[np.int64]
    donors: NDArray[np.int64] | None
    n_donors: int | None
    labels: NDArray[np.int64] | None
    sizes: NDArray[np.int64]
    label_mixing: float
    effects: DonorEffects | None = None
    strength: float = 1.0

    def generate(
        self, y: NDArray[np.int64], rng: np.random.Generator
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
        """Patients of classes ``y``.

        Returns
        -------
        Cells of the pool, patient after patient, where each patient ends (patients + 1,), and the targets (patients,
        classes).
        """
        compositions, targets = self._compositions(y, rng)
        sizes = rng.choice(self.sizes, size=len(y))
        if self.labels is None:
            rows, indptr = self._draw(compositions, sizes, y, self.components, rng)
            return rows, indptr, targets
        # Class by class, then back into the order that was asked for.
        order = np.argsort(y, kind="stable")
        drawn = []
        for c in np.unique(y):
            some = order[y[order] == c]
            own = np.where(self.labels == c, self.components, -1)
            drawn.append(self._draw(compositions[some], sizes[some], y[some], own, rng))
        parts = [part for rows, indptr in drawn for part in np.split(rows, indptr[1:-1])]
        rows = np.concatenate([parts[place] for place in np.argsort(order)])
        return rows, np.concatenate([[0], np.cumsum(sizes)]), targets

    def _compositions(
        self, y: NDArray[np.int64], rng: np.random.Generator
    ) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
        """Compositions (patients, K) and targets (patients, classes)."""
        n_classes = len(self.recipes)
        compositions, targets = self._of_classes(y, rng), np.eye(n_classes, dtype=np.float32)[y]
        mixed = np.flatnonzero(rng.random(len(y)) < self.label_mixing)
        if len(mixed):
            other = (y[mixed] + rng.integers(1, n_classes, size=len(mixed))) % n_classes
            share = rng.random((len(mixed), 1))
            compositions[mixed] = (1 - share) * compositions[mixed] + share * self._of_classes(other, rng)
            targets[mixed] = (1 - share) * targets[mixed] + share * np.eye(n_classes)[other]
        return compositions, targets

    def _of_classes(self, y: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.float64]:
        compositions = np.empty((len(y), self.recipes[0].mean.shape[1]))
        for c, recipe in enumerate(self.recipes):
            own = np.flatnonzero(y == c)
            compositions[own] = recipe.sample(recipe.classes[0], len(own), rng)
        return compositions

    def _draw(
        self,
        compositions: NDArray[np.float64],
        sizes: NDArray[np.int64],
        y: NDArray[np.int64],
        components: NDArray[np.int64],
        rng: np.random.Generator,
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        there = np.bincount(components[components >= 0], minlength=compositions.shape[1]) > 0
        # A component without a cell leaves its part to the others, in proportion to the mean where nothing else is left.
        means = np.stack([recipe.mean[0] for recipe in self.recipes])[y]
        possible = np.where(there, compositions + 1e-9 * means, 0.0)
        possible /= possible.sum(axis=1, keepdims=True)
        draw = self._draw_rows(rng.multinomial(sizes, possible), components, int(rng.integers(2**63)))
        return draw.rows.astype(np.int64), draw.indptr.astype(np.int64)

    def _draw_rows(self, counts: NDArray[np.int64], components: NDArray[np.int64], seed: int) -> Draw:
        if self.effects is None:
            return draw_patients(counts, components, self.donors, n_donors=self.n_donors, seed=seed)
        return draw_with_effects(counts, components, self.effects, strength=self.strength, seed=seed)[0]
