"""Real patients moved into another class by what a cohort knows of both classes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from repatient._checks import check_integer, check_number, listed
from repatient.mil import Bags
from repatient.mixing._aligned import alignment
from repatient.mixing._recipe_sampler import RecipeSampler, Stock
from repatient.mixing._reference import Reference, ReferenceMixture, counts_of
from repatient.recipe import counterfactual_compositions, fit_recipes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from repatient.recipe import Offsets, Recipes
    from repatient.sampling import AffineMap

# A patient's own cells of a component serve from so many on; else those of all patients.
FEWEST_OWN = 3


class Moves(NamedTuple):
    """Drawn counterfactual patients.

    Parameters
    ----------
    rows
        Entry of the pool that each cell is, patient after patient, (cells,).
    indptr
        Patient ``i`` is ``rows[indptr[i]:indptr[i + 1]]``.
    sources
        Patient that each started from, (patients,).
    wanted
        Class of each, (patients,).
    """

    rows: NDArray[np.int64]
    indptr: NDArray[np.int64]
    sources: NDArray[np.int64]
    wanted: NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class CounterfactualGenerator:
    """Patients of a pool, and what moves them into other classes.

    Parameters
    ----------
    recipes
        Recipes of all classes, named by their codes.
    movable
        Whether a patient of one class can be moved into another, (classes, classes).
    shifts
        What is added to a cell of each class and component to move it into each other class, (classes, classes, K, d);
        ``None``: nothing.
    components
        Component of each cell of the pool, (cells,).
    patients
        Patient of each, rising, (cells,).
    y
        Class of each patient, (patients,).
    noise
        Whether patients vary around what they are moved to.
    """

    recipes: Recipes
    movable: NDArray[np.bool_]
    shifts: NDArray[np.float32] | None
    components: NDArray[np.int64]
    patients: NDArray[np.int64]
    y: NDArray[np.int64]
    noise: bool = True
    sizes: NDArray[np.int64] = field(init=False)
    counts: NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        n_components = self.recipes.mean.shape[1]
        counts = counts_of(self.patients, self.components, len(self.y), n_components)
        object.__setattr__(self, "counts", counts)
        object.__setattr__(self, "sizes", counts.sum(axis=1))

    def draw(self, wanted: NDArray[np.int64], rng: np.random.Generator, n_cells: int | None = None) -> Moves:
        """Counterfactual patients of some classes, in their order."""
        sources = np.empty(len(wanted), dtype=np.int64)
        for c in np.unique(wanted):
            able = np.flatnonzero(self.movable[self.y, c])
            own = np.flatnonzero(wanted == c)
            # All patients equally often, in turns.
            turns = np.concatenate([rng.permutation(able) for _ in range(-(-len(own) // len(able)))])
            sources[own] = turns[: len(own)]
        names = np.array(self.recipes.classes)
        compositions = counterfactual_compositions(
            self.counts[sources], names[self.y[sources]], names[wanted], self.recipes, rng, noise=self.noise
        )
        compositions = np.where(self.counts.sum(axis=0) > 0, compositions, 0.0)
        compositions /= compositions.sum(axis=1, keepdims=True)
        # Of any real size, whatever the class: else size alone would tell it.
        sizes = rng.choice(self.sizes, size=len(wanted)) if n_cells is None else np.full(len(wanted), n_cells)
        counts = rng.multinomial(sizes, compositions)
        rows = self._rows(counts, sources, rng)
        return Moves(rows, np.concatenate([[0], np.cumsum(sizes)]), sources, wanted)

    def _rows(
        self, counts: NDArray[np.int64], sources: NDArray[np.int64], rng: np.random.Generator
    ) -> NDArray[np.int64]:
        """Entries of the pool, drawn in each component without replacement as long as cells last."""
        n_patients, n_components = len(self.y), counts.shape[1]
        keys = rng.random(len(self.patients))
        own_order = np.lexsort((keys, self.components, self.patients))
        all_order = np.lexsort((keys, self.components))
        own_starts = np.concatenate([[0], np.cumsum(self.counts.ravel())])[:-1].reshape(n_patients, n_components)
        of_all = self.counts.sum(axis=0)
        all_starts = np.concatenate([[0], np.cumsum(of_all)])[:-1]
        own = self.counts[sources] >= FEWEST_OWN
        available = np.where(own, self.counts[sources], of_all)
        starts = np.where(own, own_starts[sources], all_starts)
        firsts = (rng.random(counts.shape) * available).astype(np.int64)
        repeats = counts.ravel()
        group = np.repeat(np.arange(counts.size), repeats)
        rank = np.arange(repeats.sum()) - np.repeat(np.cumsum(repeats) - repeats, repeats)
        place = starts.ravel()[group] + (firsts.ravel()[group] + rank) % available.ravel()[group]
        return np.where(own.ravel()[group], own_order[place], all_order[place])

    def shift_of(self, moves: Moves) -> NDArray[np.float32] | None:
        """What is added to each drawn cell, (cells, d)."""
        if self.shifts is None:
            return None
        wanted = np.repeat(moves.wanted, np.diff(moves.indptr))
        return self.shifts[self.y[self.patients[moves.rows]], wanted, self.components[moves.rows]]


@dataclass(frozen=True, eq=False)
class Counterfactual:
    """Real patients moved into every class, anew at every step, beside real ones.

    A counterfactual patient of class c starts from a training patient of any class y. Its composition is proportional to
    that patient's times the ratio of the mean compositions of c and y in the reference, with the noise of the recipe of c;
    its cells are that patient's own in each component (those of all patients where it has fewer than three), moved by what
    c differs from y inside the component. Donor and batch stay, the class changes: so one that is missing, rare or of few
    patients is learnt without that generated patients give themselves away.

    Parameters
    ----------
    reference
        The cohort that knows the classes. ``None``: the training patients themselves, for rare classes.
    share
        Share of the bags of a step that are counterfactual, every class equally often. ``None``: half of them, and all
        where a class has no bag.
    noise
        Whether patients vary around what they are moved to, as the reference's do.
    shrink
        Whether offsets are shrunk by their standard error over donors.
    align
        How training cells come to where the reference's lie: ``"moments"`` of the shared classes, ``"raw"`` not at all,
        ``"auto"`` the former where donors tell the cohorts apart.
    n_components
        Components of the mixture where there is no reference; ``None``: as many as the patients bear.
    standardize
        Whether that mixture is fitted to features of one variance.
    random_state
        Seed of that mixture.

    Raises
    ------
    TypeError, ValueError
        If a parameter is of another type or out of its range; at binding, if the reference has no recipes, or a class has
        neither a patient here nor a recipe there.
    """

    needs_classes: ClassVar[bool] = True

    reference: Reference | None = field(default=None, repr=False)
    share: float | None = None
    noise: bool = True
    shrink: bool = True
    align: str = "auto"
    n_components: int | None = None
    standardize: bool = True
    random_state: int = 0

    def __post_init__(self) -> None:
        if self.reference is not None and not isinstance(self.reference, Reference):
            msg = f"`reference` is a repatient.mixing.Reference or None, not {type(self.reference).__name__}."
            raise TypeError(msg)
        if self.reference is not None and self.reference.recipes is None:
            msg = f"`reference`: {self.reference.name!r} has no recipes to move patients by."
            raise ValueError(msg)
        if self.share is not None:
            check_number(self.share, "share", minimum=0, maximum=1)
        if self.n_components is not None:
            check_integer(self.n_components, "n_components", minimum=2)

    def bind(
        self, bags: Bags, y: NDArray[np.int64], classes: NDArray[Any], groups: NDArray[Any]
    ) -> CounterfactualSampler:
        """Prepare for one training, see :class:`repatient.mil.Augmenter`."""
        names = np.asarray(classes).astype(str)
        reference, move = self.reference, None
        if reference is None:
            own = Reference.learn(
                bags,
                names[y],
                groups,
                n_components=self.n_components,
                standardize=self.standardize,
                random_state=self.random_state,
            )
            reference = own
        else:
            move = alignment(bags, names[y], groups, reference, self.align).move
        generator = self.generator(bags, y, names, reference, move)
        share = self.share
        if share is None:
            share = 0.5 if len(np.unique(y)) == len(names) else 1.0
        return CounterfactualSampler(bags, y, len(names), share, generator)

    def generator(
        self, bags: Bags, y: NDArray[np.int64], names: NDArray[np.str_], reference: Reference, move: AffineMap | None
    ) -> CounterfactualGenerator:
        """What draws the patients, for a reference and a map to where its cells lie."""
        mixture, recipes = reference.mixture, reference.recipes
        if mixture is None or recipes is None:
            msg = f"`reference`: {reference.name!r} has no recipes to move patients by."
            raise ValueError(msg)
        components = _assigned(bags, mixture, move)
        bag = np.repeat(np.arange(len(bags)), bags.sizes)
        known = np.isin(names, recipes.classes)
        absent = [str(name) for c, name in enumerate(names) if not known[c] and not (y == c).any()]
        if absent:
            msg = f"`reference`: the classes {listed(absent)} have no patient here and no recipe in {reference.name!r}."
            raise ValueError(msg)
        if not known[np.unique(y)].any() and not known.all():
            msg = f"`reference`: {reference.name!r} has recipes of {listed(recipes.classes)}, and no patient here is of one."
            raise ValueError(msg)
        all_recipes = recipes.take(names[known].tolist())
        if not known.all():
            # Classes that the reference does not know vary as they do here, and nobody is moved into them.
            counts = counts_of(bag, components, len(bags), mixture.n_components)
            mine = fit_recipes(counts, names[y], kind=recipes.kind)
            all_recipes = all_recipes.join(mine.take(names[~known].tolist()))
        return CounterfactualGenerator(
            recipes=all_recipes.take(names.tolist()),
            movable=np.outer(known, known) | np.eye(len(names), dtype=bool),
            shifts=_shifts(reference.offsets, names, move, shrink=self.shrink),
            components=components,
            patients=bag,
            y=y,
            noise=self.noise,
        )


def _assigned(bags: Bags, mixture: ReferenceMixture, move: AffineMap | None) -> NDArray[np.int64]:
    """Component of each entry of some bags."""
    used, place = np.unique(bags.rows, return_inverse=True)
    return mixture.assign(bags.X[used], move)[place]


def _shifts(
    offsets: Offsets | None, names: NDArray[np.str_], move: AffineMap | None, *, shrink: bool
) -> NDArray[np.float32] | None:
    """Offsets of all pairs of classes where the cells lie, (classes, classes, K, d)."""
    if offsets is None:
        return None
    n = len(names)
    shifts = np.zeros((n, n, *offsets.means.shape[1:]), dtype=np.float64)
    for a in range(n):
        for b in range(n):
            if a != b and {names[a], names[b]} <= set(offsets.classes):
                shifts[a, b] = offsets.delta(str(names[a]), str(names[b]), shrink=shrink)
    if move is not None:
        shifts = shifts @ np.linalg.pinv(move.matrix).T
    return shifts.astype(np.float32)


@dataclass
class CounterfactualSampler(RecipeSampler):
    """Some of the real bags of a step replaced by counterfactual ones, whose cells are moved."""

    generator: CounterfactualGenerator  # type: ignore[assignment]

    def _made(self, y: NDArray[np.int64], rng: np.random.Generator) -> Stock:
        moves = self.generator.draw(y, rng)
        shift = self.generator.shift_of(moves)
        rows, targets = self.bags.rows[moves.rows], np.eye(self.n_classes, dtype=np.float32)[y]
        if shift is None:
            return Stock(Bags(self.bags.X, rows, moves.indptr), targets)
        X = self.bags.X[rows] + shift.astype(self.bags.X.dtype, copy=False)
        return Stock(Bags(X, np.arange(len(rows)), moves.indptr), targets)
