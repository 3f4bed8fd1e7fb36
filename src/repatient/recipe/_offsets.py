"""How far the cells of one class lie from those of another inside a component, over donors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse
from scipy.stats import chi2

from repatient._checks import listed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]

# A mean over fewer cells is a cell.
FEWEST_CELLS_OF_A_DONOR = 2
FEWEST_DONORS = 2
_BLOCK_ROWS = 1 << 16


@dataclass(frozen=True)
class Offsets:
    """Where the cells of each class lie in each component, over donors.

    Parameters
    ----------
    classes
        Names of the classes, C of them.
    means
        Mean over donors of a donor's mean cell, (C, K, d); 0 where there is no donor.
    variances
        Variance of the donors' mean cells, unbiased, (C, K, d); 0 where there are fewer than two donors.
    n_donors
        Donors with two cells or more of the component, (C, K); others do not count.
    n_cells
        Cells of these donors, (C, K).
    """

    classes: tuple[str, ...]
    means: Floats
    variances: Floats
    n_donors: Integers
    n_cells: Integers

    def known(self, of: str, to: str) -> NDArray[np.bool_]:
        """Components with two donors or more in either class, (K,)."""
        donors = self.n_donors[[self._position(of), self._position(to)]]
        return np.asarray((donors >= FEWEST_DONORS).all(axis=0))

    def standard_errors(self, of: str, to: str) -> Floats:
        """Squared standard error of the difference of two classes, (K, d)."""
        rows = [self._position(of), self._position(to)]
        return (self.variances[rows] / np.maximum(self.n_donors[rows], 1)[..., None]).sum(axis=0)

    def delta(self, of: str, to: str, *, shrink: bool = True) -> Floats:
        r"""What moves a cell of one class to where those of another lie, (K, d).

        .. math::

            \delta_k = \max\Bigl(0,\; 1 - \frac{\overline{V_k / n_k + V'_k / n'_k}}{\overline{(M'_k - M_k)^2}}\Bigr)
            \,(M'_k - M_k)

        with means M, variances V and numbers n of the donors of either class, the bars being means over the d features.
        What a cohort does to all its cells cancels in the difference. It is 0 where either class has fewer than two
        donors.

        Parameters
        ----------
        of, to
            Class that the cells are of, and class that they are moved to.
        shrink
            Whether to shrink the difference by its own standard error over donors.
        """
        difference = self.means[self._position(to)] - self.means[self._position(of)]
        difference = np.where(self.known(of, to)[:, None], difference, 0.0)
        if not shrink:
            return difference
        error, size = self.standard_errors(of, to).mean(axis=1), (difference**2).mean(axis=1)
        kept = np.where(size > 0, np.maximum(0.0, 1 - error / np.where(size > 0, size, 1.0)), 0.0)
        return difference * kept[:, None]

    def take(self, names: Sequence[str]) -> Offsets:
        """Those of some classes."""
        rows = [self._position(name) for name in names]
        return Offsets(tuple(names), self.means[rows], self.variances[rows], self.n_donors[rows], self.n_cells[rows])

    def only_of(self, min_donors: int, min_cells: int) -> Offsets:
        """The same without the components of classes that have fewer donors or cells: they have none."""
        kept = (self.n_donors >= min_donors) & (self.n_cells >= min_cells)
        numbers = (np.where(kept, part, 0) for part in (self.n_donors, self.n_cells))
        places = (np.where(kept[..., None], part, 0.0) for part in (self.means, self.variances))
        return Offsets(self.classes, *places, *numbers)

    def _position(self, name: str) -> int:
        if name not in self.classes:
            msg = f"There are no offsets of the class {name!r}; there are those of {listed(self.classes)}."
            raise ValueError(msg)
        return self.classes.index(name)


def fit_offsets(
    X: Any,
    components: Integers,
    donors: Integers,
    labels: Integers,
    classes: Sequence[str],
    n_components: int,
) -> Offsets:
    """Measure where the cells of each class lie in each component.

    Parameters
    ----------
    X
        Cells (n, d): an array, or anything with row slices, which is read in blocks.
    components
        Component of each cell, (n,), -1 for cells to leave out.
    donors
        Donor of each cell, (n,), integers; a donor with cells of two classes is one in both.
    labels
        Class of each cell as a position in ``classes``, -1 for cells to leave out, (n,).
    classes
        Names of the classes.
    n_components
        Number of components.

    Returns
    -------
    The offsets.
    """
    n_classes, n_dims = len(classes), X.shape[1]
    inside = np.flatnonzero((components >= 0) & (labels >= 0))
    if not len(inside):
        empty, none = np.zeros((n_classes, n_components, n_dims)), np.zeros((n_classes, n_components), dtype=np.int64)
        return Offsets(tuple(classes), empty, empty.copy(), none, none.copy())
    triples = np.stack([labels[inside], components[inside], donors[inside]])
    groups, of_cells = np.unique(triples, axis=1, return_inverse=True)
    codes = np.full(len(components), -1)
    codes[inside] = of_cells.ravel()
    n_cells = np.bincount(of_cells.ravel(), minlength=groups.shape[1])
    # Sums around one of the cells, as those around zero lose digits where the cells are far from it.
    pilot = np.asarray(X[inside[0] : inside[0] + 1], dtype=np.float64)[0]
    sums = np.zeros((len(n_cells), n_dims))
    for start in range(0, X.shape[0], _BLOCK_ROWS):
        code = codes[start : start + _BLOCK_ROWS]
        rows = np.flatnonzero(code >= 0)
        if len(rows):
            block = np.asarray(X[start : start + _BLOCK_ROWS], dtype=np.float64)[rows] - pilot
            sums += (
                sparse.csr_array((np.ones(len(rows)), (code[rows], np.arange(len(rows)))), (len(sums), len(rows)))
                @ block
            )
    counted = n_cells >= FEWEST_CELLS_OF_A_DONOR
    cell = groups[0, counted] * n_components + groups[1, counted]
    means = sums[counted] / n_cells[counted, None]
    n_places = n_classes * n_components
    n_donors = np.bincount(cell, minlength=n_places)
    member = sparse.csr_array((np.ones(len(cell)), (cell, np.arange(len(cell)))), (n_places, len(cell)))
    centres = (member @ means) / np.maximum(n_donors, 1)[:, None]
    squares = member @ (means - centres[cell]) ** 2
    variances = squares / np.maximum(n_donors - 1, 1)[:, None]
    centres[n_donors > 0] += pilot
    shape = (n_classes, n_components)
    return Offsets(
        tuple(classes),
        centres.reshape(*shape, n_dims),
        variances.reshape(*shape, n_dims),
        n_donors.reshape(shape),
        np.bincount(cell, weights=n_cells[counted], minlength=n_places).astype(np.int64).reshape(shape),
    )


@dataclass(frozen=True)
class Pooled:
    """What several cohorts say together.

    Parameters
    ----------
    value
        Recipes or offsets, as those of one cohort.
    between
        Variance between the cohorts, (classes, K, d) for offsets and (classes, K - 1) for recipes, of their log-ratios.
    weights
        Weight of each cohort, on average over classes and components; they sum to 1.
    discrepancy
        Squared distance of each cohort from the others in units of what their errors and the variance between the
        cohorts make likely, 1 on average where it agrees. A cohort of more than 1 is weighted down by it.
    limit
        Discrepancy from which on a cohort counts as disagreeing: what one in a hundred exceeds, and twice what is likely
        at least.
    """

    value: Any
    between: Floats
    weights: dict[str, float]
    discrepancy: dict[str, float]
    limit: float

    @property
    def disagreeing(self) -> list[str]:
        """Cohorts that lie farther from the others than chance explains."""
        return [name for name, found in self.discrepancy.items() if found >= self.limit]


def random_effects(
    values: Floats, errors: Floats, present: NDArray[np.bool_], names: Sequence[str]
) -> tuple[Floats, Floats, Floats, Floats, Floats, float]:
    """Pool estimates of several cohorts by random effects (DerSimonian and Laird 1986, Control. Clin. Trials 7, 177).

    A cohort that lies farther from the others than its error and the variance between cohorts make likely has its
    variance inflated by the ratio of the two (Birge 1932, Phys. Rev. 40, 207).

    Parameters
    ----------
    values, errors
        Estimates and their squared standard errors, (cohorts, classes, K, d).
    present
        Whether a cohort has an estimate, (cohorts, classes, K).

    Returns
    -------
    Pooled estimates and squared standard errors and variance between cohorts (classes, K, d), weights and discrepancies
    (cohorts,), and the limit of the latter.
    """
    here = np.broadcast_to(present[..., None], values.shape)
    floor = 1e-12 + 1e-6 * np.where(here, errors, 0).max(initial=0.0)
    errors = np.maximum(errors, floor)
    between = _between(values, errors, here)
    discrepancy = np.ones(len(names))
    if len(names) > 1:
        for h in range(len(names)):
            others = here & (np.arange(len(names)) != h)[:, None, None, None]
            centre, error = _weighted(values, errors, others, between=(tau := _between(values, errors, others)))
            compared = here[h] & others.any(axis=0)
            if compared.any():
                likely = errors[h] + tau + error
                discrepancy[h] = float(((values[h] - centre) ** 2 / likely)[compared].mean())
    inflated = np.maximum(discrepancy, 1.0)[:, None, None, None]
    pooled, error = _weighted(values, (errors + between) * inflated, here)
    weight = np.where(here, 1 / ((errors + between) * inflated), 0.0)
    share = (weight / np.maximum(weight.sum(axis=0), np.finfo(float).tiny)).sum(axis=(1, 2, 3))
    share = share if share.sum() > 0 else np.ones(len(names))
    number = max(int(here.any(axis=0).sum()), 1)
    limit = max(2.0, float(chi2.ppf(0.99, number)) / number)
    return pooled, error, between, share / share.sum(), discrepancy, limit


def _weighted(values: Floats, errors: Floats, here: NDArray[np.bool_], between: Any = 0.0) -> tuple[Floats, Floats]:
    weight = np.where(here, 1 / (errors + between), 0.0)
    total = weight.sum(axis=0)
    any_at_all = total > 0
    safe = np.where(any_at_all, total, 1.0)
    return (weight * values).sum(axis=0) / safe, np.where(any_at_all, 1 / safe, 0.0)


def _between(values: Floats, errors: Floats, here: NDArray[np.bool_]) -> Floats:
    """Variance between cohorts by the method of moments, one for all features of a component."""
    weight = np.where(here, 1 / errors, 0.0)
    centre, _ = _weighted(values, errors, here)
    q = (weight * (values - centre) ** 2).sum(axis=0).mean(axis=-1, keepdims=True)
    total = weight.sum(axis=0)
    room = total - (weight**2).sum(axis=0) / np.where(total > 0, total, 1.0)
    room = room.mean(axis=-1, keepdims=True)
    degrees = here.sum(axis=0).mean(axis=-1, keepdims=True) - 1
    tau = np.where(room > 0, np.maximum(0.0, (q - degrees) / np.where(room > 0, room, 1.0)), 0.0)
    return np.broadcast_to(tau, values.shape[1:]).copy()


def pool_offsets(parts: Sequence[Offsets], names: Sequence[str], *, base: str | None = None) -> Pooled:
    """Pool the offsets of several cohorts: each cohort's differences from one class, by random effects.

    Parameters
    ----------
    parts
        Offsets of the cohorts, of one mixture and embedding.
    names
        Names of the cohorts.
    base
        Class that the others are compared with in each cohort. ``None``: the first that all of them have.

    Returns
    -------
    The pooled offsets with the class ``base`` at 0, so that only their differences mean something; the variances are such
    that a difference from the base has the standard error of random effects. Numbers of donors and cells are added up.

    Raises
    ------
    ValueError
        If the cohorts have no class in common, or are of different mixtures.
    """
    base, every = common_classes([part.classes for part in parts], names, base)
    if len({part.means.shape[1:] for part in parts}) > 1:
        shapes = [part.means.shape[1:] for part in parts]
        msg = f"`parts`: offsets of different mixtures, of (components, dimensions) {listed(shapes)}."
        raise ValueError(msg)
    others = [name for name in every if name != base]
    shape = (len(parts), len(others), *parts[0].means.shape[1:])
    values, errors, present = np.zeros(shape), np.zeros(shape), np.zeros(shape[:3], dtype=bool)
    n_donors, n_cells = (np.zeros((len(every), shape[2]), dtype=np.int64) for _ in range(2))
    for h, part in enumerate(parts):
        for g, name in enumerate(others):
            if name in part.classes:
                values[h, g] = part.delta(base, name, shrink=False)
                errors[h, g], present[h, g] = part.standard_errors(base, name), part.known(base, name)
        for g, name in enumerate(every):
            if name in part.classes:
                n_donors[g] += part.n_donors[part.classes.index(name)]
                n_cells[g] += part.n_cells[part.classes.index(name)]
    pooled, error, between, weights, discrepancy, limit = random_effects(values, errors, present, names)
    known = present.any(axis=0)
    n_donors[1:][~known] = n_cells[1:][~known] = 0
    means, variances, tau = (np.zeros((len(every), *shape[2:])) for _ in range(3))
    means[1:], variances[1:], tau[1:] = pooled, error * n_donors[1:, :, None], between
    result = Offsets((base, *others), means, variances, n_donors, n_cells)
    return Pooled(result, tau, named(names, weights), named(names, discrepancy), limit)


def named(names: Sequence[str], numbers: Floats) -> dict[str, float]:
    """Numbers of cohorts by their names."""
    return dict(zip(names, map(float, numbers), strict=True))


def common_classes(classes: Sequence[Sequence[str]], names: Sequence[str], base: str | None) -> tuple[str, list[str]]:
    """The class that all cohorts have and that others are compared with, and all classes, that one first."""
    if not classes or len(classes) != len(names) or len(set(names)) < len(names):
        msg = f"`names`: one name of its own for each of {len(classes)} cohorts (at least one), not {listed(names)}."
        raise ValueError(msg)
    shared = [name for name in classes[0] if all(name in part for part in classes)]
    if base is None and shared:
        base = shared[0]
    if base not in shared:
        have = "; ".join(f"{name}: {listed(part)}" for name, part in zip(names, classes, strict=True))
        msg = f"`base`: a class that all cohorts have is needed to compare the others with, not {base!r}; {have}."
        raise ValueError(msg)
    every = dict.fromkeys([str(base), *(name for part in classes for name in part)])
    return str(base), list(every)
