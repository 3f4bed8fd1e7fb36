"""The generator of patients: cells of a pool, or points of the components' Gaussians, by the recipe of a class."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from repatient._checks import check_integer, check_number, listed
from repatient._messages import warn
from repatient.sampling import (
    Draw,
    GaussianDraw,
    draw_gaussians,
    draw_patients,
    draw_with_effects,
    fit_donor_effects,
    most_per_donor,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

    from repatient.mil import Augmenter, Bags
    from repatient.recipe import Recipes
    from repatient.sampling import DonorEffects

_NEGLIGIBLE_SHARE = 1e-3
_MOST_MISSING = 0.5


class Gaussians(NamedTuple):
    """Components that points are drawn from, as a mixture has them.

    Parameters
    ----------
    means
        Of the components, (K, d).
    covariances, covariance_type
        As :func:`repatient.sampling.draw_gaussians` takes them.
    """

    means: NDArray[np.float64]
    covariances: NDArray[np.float64]
    covariance_type: str


class DrawnPatients(NamedTuple):
    """Generated patients.

    Parameters
    ----------
    draw
        Rows of the pool, or points of Gaussians, patient after patient.
    targets
        Part of each patient that is of each class, (patients, classes).
    values
        Covariates of the patients of each class that occurs, classes rising; empty where recipes have none.
    references
        Real patient whose offsets each has, (patients,); ``None`` where none are borrowed.
    """

    draw: Draw | GaussianDraw
    targets: NDArray[np.float32]
    values: list[Any]
    references: NDArray[np.int64] | None

    @property
    def rows(self) -> NDArray[np.integer]:
        """Rows of the pool; points have none."""
        return self.draw.rows if isinstance(self.draw, Draw) else np.zeros(0, dtype=np.int64)


@dataclass(frozen=True, kw_only=True, eq=False)
class PatientGenerator:
    """Recipes, and the cells that they draw from.

    What is drawn follows from the seed of the generator of random numbers: for the patients of one call, sizes, then
    covariates and compositions class by class, then cells of each component, then the cells themselves.

    Parameters
    ----------
    recipes
        The recipe of each class, one class each.
    sizes
        Sizes that patients may have.
    components
        Component of each cell of the pool, -1 for cells that are not drawn, (cells,).
    donors
        Donor of each cell, (cells,), needed by ``n_donors`` and ``max_donor_share``.
    n_donors
        How many donors give to a patient; ``None`` for any number.
    max_donor_share
        Largest share of a patient's cells that one donor gives.
    n_cells
        Size of all patients; ``None`` draws from ``sizes``.
    labels
        Class of each cell, (cells,), needed by ``pools``.
    pools
        Class whose cells the patients of each class are drawn from, (classes,); ``None``: cells of all.
    label_mixing
        Share of the patients that lie between two classes.
    embedding, patients
        Coordinates (cells, d) and patient (cells,) of each cell, needed with ``strengths``.
    strengths
        Part of a real patient's offsets within components that the patients of each class get, (classes,); ``None``: none.
    values
        Draws the covariates of a number of patients of a class, given its name; ``None`` where recipes have none.
    gaussians
        Components to draw points from, in place of cells.
    """

    recipes: list[Recipes]
    sizes: NDArray[np.int64]
    components: NDArray[np.int64]
    donors: NDArray[np.int64] | None = None
    n_donors: int | None = None
    max_donor_share: float | None = None
    n_cells: int | None = None
    labels: NDArray[np.int64] | None = None
    pools: Sequence[int] | None = None
    label_mixing: float = 0.0
    embedding: Any = None
    patients: NDArray[np.int64] | None = None
    strengths: Sequence[float] | None = None
    values: Callable[[str, int, np.random.Generator], Any] | None = None
    gaussians: Gaussians | None = None
    _effects: dict[Any, DonorEffects] = field(default_factory=dict, init=False, repr=False)

    def check(self, classes: Iterable[int]) -> None:
        """Refuse what the pool cannot give to patients of some classes, and say which part of a recipe it lacks.

        Raises
        ------
        ValueError
            If donors are too few for ``n_donors`` or ``max_donor_share``, or most of a recipe is of components without
            a cell.

        Warns
        -----
        UserWarning
            If more than a thousandth of a recipe is of components without a cell, whose part the others take.
        """
        if self.gaussians is not None:
            return
        for c in classes:
            components = self.pool_of(c)
            self._donors_at_disposal(components)
            name, mean = self.recipes[c].classes[0], self.recipes[c].mean[0]
            has_cells = _has_cells(components, len(mean))
            missing = float(mean[~has_cells].sum())
            what = (
                f"`pool`: {missing:.1%} of the recipe of {name!r} is of components without a cell in the pool, "
                f"{listed(np.flatnonzero(~has_cells))}"
            )
            if missing > _MOST_MISSING:
                msg = f"{what}: such patients cannot be made. Draw from more cells, or fit fewer components."
                raise ValueError(msg)
            if missing > _NEGLIGIBLE_SHARE:
                warn(f"{what}; the other components take their share.")

    def pool_of(self, c: int) -> NDArray[np.int64]:
        """Component of each cell that may be drawn for a patient of class ``c``, -1 elsewhere, (cells,)."""
        return self.components if self.pools is None else np.where(self.labels == self.pools[c], self.components, -1)

    def generate(self, y: NDArray[np.int64], rng: np.random.Generator) -> DrawnPatients:
        """Patients of classes ``y``, in their order; classes with a pool or strength of their own, one after another."""
        keys = [self._key(c) for c in range(len(self.recipes))]
        kinds = list(dict.fromkeys(keys[c] for c in np.unique(y)))
        if len(kinds) <= 1:
            return self._generate(y, rng)
        of_patients = np.array([kinds.index(key) if key in kinds else -1 for key in keys])[y]
        batches = [np.flatnonzero(of_patients == kind) for kind in range(len(kinds))]
        return _joined([self._generate(y[some], rng) for some in batches], np.argsort(np.concatenate(batches)))

    def _key(self, c: int) -> tuple[int, float]:
        return -1 if self.pools is None else int(self.pools[c]), self._strength(c)

    def _strength(self, c: int) -> float:
        return 0.0 if self.strengths is None else float(self.strengths[c])

    def _generate(self, y: NDArray[np.int64], rng: np.random.Generator) -> DrawnPatients:
        """Patients of classes that share a pool."""
        sizes = rng.choice(self.sizes, size=len(y)) if self.n_cells is None else np.full(len(y), self.n_cells)
        if self.gaussians is not None:
            compositions, targets, values = self._compositions(y, rng)
            counts = rng.multinomial(sizes, compositions / compositions.sum(axis=1, keepdims=True))
            points = draw_gaussians(counts, *self.gaussians, seed=int(rng.integers(2**63)))
            return DrawnPatients(points, targets, values, None)
        components = self.pool_of(y[0])
        sizes = self._feasible(sizes, self._donors_at_disposal(components))
        compositions, targets, values = self._compositions(y, rng)
        counts = rng.multinomial(sizes, self._possible(compositions, y, components))
        seed, cap, strength = int(rng.integers(2**63)), self.max_donor_share, self._strength(y[0])
        if not strength:
            draw = draw_patients(
                counts, components, self.donors, n_donors=self.n_donors, max_donor_share=cap, seed=seed
            )
            return DrawnPatients(draw, targets, values, None)
        key, patients = self._key(y[0])[0], np.asarray(self.patients)
        if key not in self._effects:
            self._effects[key] = fit_donor_effects(self.embedding, components, patients, counts.shape[1])
        draw, references = draw_with_effects(
            counts, components, self._effects[key], self.donors, max_donor_share=cap, strength=strength, seed=seed
        )
        return DrawnPatients(draw, targets, values, references)

    def _compositions(
        self, y: NDArray[np.int64], rng: np.random.Generator
    ) -> tuple[NDArray[np.float64], NDArray[np.float32], list[Any]]:
        """Compositions (patients, K), targets (patients, classes) and covariates of the classes."""
        n_classes = len(self.recipes)
        compositions, values = self._of_classes(y, rng)
        targets = np.eye(n_classes, dtype=np.float32)[y]
        if self.label_mixing > 0:
            mixed = np.flatnonzero(rng.random(len(y)) < self.label_mixing)
            other = (y[mixed] + rng.integers(1, n_classes, size=len(mixed))) % n_classes
            share = rng.random((len(mixed), 1))
            compositions[mixed] = (1 - share) * compositions[mixed] + share * self._of_classes(other, rng)[0]
            targets[mixed] = (1 - share) * targets[mixed] + share * np.eye(n_classes)[other]
        return compositions, targets, values

    def _of_classes(self, y: NDArray[np.int64], rng: np.random.Generator) -> tuple[NDArray[np.float64], list[Any]]:
        compositions, values = np.empty((len(y), self.recipes[0].mean.shape[1])), []
        for c in np.unique(y):
            own, recipe = np.flatnonzero(y == c), self.recipes[c]
            name = recipe.classes[0]
            of_class = None if self.values is None else self.values(name, len(own), rng)
            compositions[own] = recipe.sample(name, len(own), rng, of_class)
            values += [] if of_class is None else [of_class]
        return compositions, values

    def _possible(
        self, compositions: NDArray[np.float64], y: NDArray[np.int64], components: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """Compositions over the components that the pool has cells of."""
        has_cells = _has_cells(components, compositions.shape[1])
        kept = np.where(has_cells, compositions, 0)
        total = kept.sum(axis=1, keepdims=True)
        possible = kept / np.maximum(total, np.finfo(float).tiny)
        # A patient all of whose drawn composition is missing gets the mean one.
        for i in np.flatnonzero(total == 0):
            mean = self.recipes[y[i]].mean[0]
            possible[i] = np.where(has_cells, mean, 0) / (1 - float(mean[~has_cells].sum()))
        return possible

    def _donors_at_disposal(self, components: NDArray[np.int64]) -> int:
        """Number of donors that each patient may have cells of, if they can give what is asked; 0 where it is free."""
        if self.n_donors is None and self.max_donor_share is None:
            return 0
        of_pool = np.zeros(0, dtype=np.int64) if self.donors is None else self.donors[components >= 0]
        at_disposal = len(np.unique(of_pool))
        if self.n_donors is not None:
            check_integer(self.n_donors, "n_donors", minimum=1)
            if self.n_donors > at_disposal:
                msg = f"`n_donors`: {self.n_donors} donors were asked for and the pool has {at_disposal}."
                raise ValueError(msg)
            at_disposal = self.n_donors
        if self.max_donor_share is not None:
            share = check_number(self.max_donor_share, "max_donor_share", above=0, maximum=1)
            if share * at_disposal < 1 - 1e-9:
                msg = (
                    f"`max_donor_share`: {at_disposal} donors of at most {share:g} each make less than a patient; "
                    f"allow {1 / at_disposal:.3g} or more, or more donors."
                )
                raise ValueError(msg)
        return at_disposal

    def _feasible(self, sizes: NDArray[np.int64], n_donors: int) -> NDArray[np.int64]:
        """Sizes that the donors can give without one exceeding its share: the next below, or else above, what was drawn.

        A share of half of an odd number of cells, for instance, is no whole number of cells.
        """
        share = self.max_donor_share
        if share is None:
            return sizes
        candidates = np.arange(1, int(max(sizes.max(), np.ceil(2 * n_donors / share))) + 1)
        feasible = candidates[most_per_donor(candidates, share) * n_donors >= candidates]
        adapted = feasible[np.maximum(np.searchsorted(feasible, sizes, side="right") - 1, 0)]
        if self.n_cells is not None and (adapted != sizes).any():
            msg = (
                f"`n_cells`: {n_donors} donors of at most {share:g} each cannot give exactly {sizes[0]} cells; "
                f"the nearest number that they can give is {adapted[0]}."
            )
            raise ValueError(msg)
        return adapted


def draw_by(augmenter: Augmenter, bags: Bags, n_patients: int, n_components: int, rng: np.random.Generator) -> Draw:
    """Patients that an augmenter of training makes of the bags of one class, each bag as often as the others.

    Parameters
    ----------
    augmenter
        One that makes multisets of cells with the class of their bags, such as :class:`repatient.mixing.Oversampling`.
    bags
        Real patients of one class.
    n_patients
        Number of patients to make.
    n_components
        Number of components, of which none is short.
    rng
        Generator of random numbers.

    Returns
    -------
    Rows of ``bags.X``.
    """
    n = len(bags)
    sampler = augmenter.bind(bags, np.zeros(n, dtype=np.int64), np.array(["0"]), np.arange(n))
    rounds = [rng.permutation(n) for _ in range(-(-n_patients // n))]
    made, _ = sampler(np.concatenate(rounds)[:n_patients], rng, lambda some: np.zeros(len(some.rows), np.float32))
    nothing = np.zeros((n_patients, n_components), dtype=np.int64)
    return Draw(made.rows, made.indptr, nothing, nothing)


def _has_cells(components: NDArray[np.int64], n_components: int) -> NDArray[np.bool_]:
    return np.bincount(components[components >= 0], minlength=n_components) > 0


def _joined(parts: Sequence[DrawnPatients], order: NDArray[np.int64]) -> DrawnPatients:
    """Patients of several calls in the order of their numbers, which are those of cells of one pool."""
    draws = [part.draw for part in parts]
    sizes = np.concatenate([np.diff(draw.indptr) for draw in draws])
    starts, indptr = np.cumsum(sizes) - sizes, np.concatenate([[0], np.cumsum(sizes[order])])
    entries = np.arange(indptr[-1]) + np.repeat(starts[order] - indptr[:-1], sizes[order])
    rows, moved, repeated = (
        np.concatenate([getattr(draw, name) for draw in draws]) for name in ("rows", "moved", "repeated")
    )
    references = [np.full(len(part.targets), -1) if part.references is None else part.references for part in parts]
    return DrawnPatients(
        Draw(rows[entries], indptr, moved[order], repeated[order]),
        np.concatenate([part.targets for part in parts])[order],
        [values for part in parts for values in part.values],
        np.concatenate(references)[order] if any(part.references is not None for part in parts) else None,
    )
