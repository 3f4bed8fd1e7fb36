"""Validation by patients."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray


MOST_RANGES = 5


@dataclass(frozen=True)
class Strata:
    """What a validation set takes its share of.

    Parameters
    ----------
    codes
        Stratum of each bag, (bags,).
    names
        What the strata are called, some of which may have no bag.
    what
        What a stratum is.
    """

    codes: NDArray[np.int64]
    names: Sequence[Any] | NDArray[Any]
    what: str = "class"


def ranges_of_values(values: NDArray[np.float64], groups: ArrayLike, fraction: float) -> Strata:
    """Ranges between quantiles of the values: the most, up to 5, that each have a group to spare."""
    _, group_codes = np.unique(np.asarray(groups), return_inverse=True)
    # Ranks, as rounding must not move a value over a quantile when the target is measured in another unit.
    _, ranks = np.unique(values, return_inverse=True)
    for n_ranges in range(MOST_RANGES, 0, -1):
        codes = np.searchsorted(np.quantile(ranks, np.arange(1, n_ranges) / n_ranges), ranks)
        pairs = np.unique(np.stack([codes, group_codes]), axis=1)
        if np.bincount(pairs[0], minlength=n_ranges).min() >= groups_needed(fraction):
            break
    inside = [values[codes == code] for code in range(n_ranges)]
    return Strata(codes, [f"{some.min():g} to {some.max():g}" for some in inside], "range of values")


def groups_needed(fraction: float) -> int:
    """Fewest groups of a class that still leave it a validation group: one in ``1 / fraction``."""
    return math.ceil(1.0 / fraction - 1e-9)


def validation_split(
    y: NDArray[np.int64], groups: ArrayLike, fraction: float, rng: np.random.Generator, n_classes: int
) -> NDArray[np.int64]:
    """Hold out whole groups, each class in proportion.

    Parameters
    ----------
    y
        Class of each bag, from 0 to ``n_classes - 1``, shape (B,).
    groups
        Donor of each bag, shape (B,). A donor may have bags of several classes.
    fraction
        Share of the bags of each class to hold out, between 0 and 1.
    rng
        Source of the order in which groups are considered.
    n_classes
        Number of classes, counting those of no bag.

    Returns
    -------
    Indices of the bags held out, rising. Every class is in them and keeps at least one bag outside; where that cannot
    be, because a class has fewer than ``ceil(1 / fraction)`` groups or shares them all, there are none.
    """
    _, group_codes = np.unique(np.asarray(groups), return_inverse=True)
    counts = np.zeros((group_codes.max() + 1, n_classes), dtype=np.int64)
    np.add.at(counts, (group_codes, y), 1)
    nothing = np.empty(0, dtype=np.int64)
    if np.any(np.count_nonzero(counts, axis=0) < groups_needed(fraction)):
        return nothing
    held_out = _choose_groups(counts, fraction, rng.permutation(len(counts)))
    return np.flatnonzero(held_out[group_codes]) if np.all(counts[held_out].sum(axis=0) > 0) else nothing


def _choose_groups(counts: NDArray[np.int64], fraction: float, order: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which groups to hold out, given bags per group and class; the rarest class chooses first."""
    total = counts.sum(axis=0)
    target = np.maximum(1, np.round(fraction * total))
    held_out, held = np.zeros(len(counts), dtype=bool), np.zeros_like(total)
    for c in np.argsort(total, kind="stable"):
        candidates = order[(counts[order, c] > 0) & ~held_out[order]]
        # The last resort comes second: where every group would overshoot, the smallest is still better than none.
        smallest_first = candidates[np.argsort(counts[candidates, c], kind="stable")]
        for group, last_resort in [*((g, False) for g in candidates), *((g, True) for g in smallest_first)]:
            nearer = abs(held[c] + counts[group, c] - target[c]) < abs(held[c] - target[c])
            wanted = held[c] == 0 if last_resort else nearer
            if wanted and not held_out[group] and np.all(held + counts[group] < total):
                held_out[group] = True
                held += counts[group]
    return held_out


def no_validation_message(strata: Strata, fraction: float, n_steps: int) -> str:
    """Why there is no validation set, and what happens instead."""
    counts = np.bincount(strata.codes, minlength=len(strata.names))
    found = ", ".join(f"{label}: {n}" for label, n in zip(strata.names, counts, strict=True))
    return (
        f"No validation set: every {strata.what} needs real bags of at least {groups_needed(fraction)} groups that can "
        f"be held out without emptying a {strata.what} (bags found: {found}). Training takes n_steps={n_steps} "
        "gradient steps without early stopping."
    )
