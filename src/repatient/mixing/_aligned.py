"""How a cohort's cells come to where those of a reference lie."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats

from repatient._checks import check_option, listed
from repatient.mil import Bags
from repatient.sampling import class_moments, donor_spread, moment_map

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from repatient.mixing._reference import Reference
    from repatient.sampling import AffineMap, Spread

# Probability of as large a shift between cohorts without one, at or below which their cells are aligned.
SHIFTED = 0.01


@dataclass(frozen=True)
class Aligned:
    """How a cohort's cells come to where those of a reference lie.

    Parameters
    ----------
    move
        The map; ``None`` where cells stay.
    p_value
        Probability of as large a shift as before it between as many donors of one cohort; NaN where it is not known.
    shared
        Classes that both have.
    """

    move: AffineMap | None
    p_value: float
    shared: list[str]


def alignment(
    bags: Bags, labels: NDArray[Any], donors: NDArray[Any] | None, reference: Reference, align: str = "auto"
) -> Aligned:
    """Fit the map of a cohort's cells to where a reference's lie, by the moments of the classes that both have.

    Parameters
    ----------
    bags, labels, donors
        The cohort's patients, their classes by name, and their donors.
    reference
        The reference; without moments there is no map.
    align
        ``"moments"``, ``"raw"`` for none, or ``"auto"``: moments where the mean cells of the donors tell the cohorts
        apart (p ≤ .01), as the moments of few patients move cells that need not be moved.

    Returns
    -------
    The map, and how sure a shift is.
    """
    check_option(align, "align", ("auto", "raw", "moments"))
    moments = reference.moments
    shared = [] if moments is None else [name for name in np.unique(labels).tolist() if name in moments.classes]
    if moments is None or not shared:
        if align == "moments":
            msg = f"`align='moments'`: {reference.name!r} has no moments of a class that is here, {listed(np.unique(labels))}."
            raise ValueError(msg)
        return Aligned(None, np.nan, [])
    bag = np.repeat(np.arange(len(bags)), bags.sizes)
    position = np.array([shared.index(name) if name in shared else -1 for name in labels])[bag]
    cells = bags.X[bags.rows]
    codes = np.arange(len(bags)) if donors is None else np.unique(donors, return_inverse=True)[1]
    p_value = np.nan
    if reference.spread is not None:
        ours = donor_spread(cells, position, codes[bag], shared)
        p_value = shift_p_value(ours, reference.spread, shared)
    if align == "raw" or (align == "auto" and not p_value <= SHIFTED):
        return Aligned(None, p_value, shared)
    return Aligned(moment_map(class_moments(cells, position, bag, shared), moments, shared), p_value, shared)


def shift_p_value(ours: Spread, theirs: Spread, shared: Sequence[str]) -> float:
    """Probability of as large a distance of two cohorts, on average over classes, between as many donors of one.

    The non-exact test of Dempster (1958), see :func:`repatient.sampling.mean_shift`, of what the classes' differences
    have in common. One donor on one side is enough where the other has more; NaN where no class has two on a side.
    """
    sides = [[part.classes.index(name) for name in shared] for part in (ours, theirs)]
    n = np.stack([part.n_donors[rows] for part, rows in zip((ours, theirs), sides, strict=True)])
    weights = np.maximum(n - 1, 0)
    degrees = int(weights.sum())
    if degrees == 0:
        return np.nan
    pooled = sum(
        np.einsum("c,cij->ij", w, part.covariances[rows])
        for w, part, rows in zip(weights, (ours, theirs), sides, strict=True)
    )
    pooled = np.asarray(pooled) / degrees
    unit = np.sqrt(np.clip(np.diag(pooled), 0, None))
    unit = np.where(unit > 0, unit, 1.0)
    pooled = pooled / np.outer(unit, unit)
    difference = (ours.means[sides[0]] - theirs.means[sides[1]]).mean(axis=0) / unit
    expected = float(np.trace(pooled)) * float((1 / n).sum()) / len(shared) ** 2
    if expected <= 0:
        return 0.0 if np.any(difference) else 1.0
    r = float(np.trace(pooled) ** 2 / np.square(pooled).sum())
    return float(stats.f.sf(float(difference @ difference) / expected, r, r * degrees))


def moved(bags: Bags, move: AffineMap) -> Bags:
    """The same bags with their cells moved; rows of other bags stay."""
    used = np.unique(bags.rows)
    X = bags.X.astype(np.result_type(bags.X.dtype, np.float32), copy=True)
    X[used] = move(bags.X[used])
    return Bags(X, bags.rows, bags.indptr)
