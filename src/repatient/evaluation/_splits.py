"""Splits of patients by donors, many at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_CANDIDATES = 64
_MOST_ROUNDS = 40


def group_splits(
    y: NDArray[np.int64],
    groups: NDArray[np.int64],
    *,
    n_splits: int,
    test_fraction: float,
    random_state: int,
    least_train: int = 1,
) -> NDArray[np.bool_]:
    """Draw repeated splits of patients by whole donors, each class in proportion.

    Donors are laid out by which classes they have patients of and how many, in random order among their like, and every
    ``1 / test_fraction``-th is taken, from a random start: systematic sampling, under which the share of each kind of
    donor is met up to one donor.

    Parameters
    ----------
    y
        Class of each patient, from 0, (patients,).
    groups
        Donor of each patient, from 0, (patients,). A donor may have patients of several classes.
    n_splits
        Number of splits.
    test_fraction
        Share of the donors to hold out, between 0 and 1.
    random_state
        Seed. Split ``i`` does not depend on how many are drawn.
    least_train
        Fewest patients of each class outside the test set.

    Returns
    -------
    Whether a patient is in the test set of a split, (n_splits, patients). Each class has a patient in every test set and
    ``least_train`` outside it.

    Raises
    ------
    ValueError
        If no such splits are found.

    Examples
    --------
    >>> import numpy as np
    >>> y, donors = np.array([0, 0, 0, 0, 1, 1, 1, 1]), np.array([0, 1, 2, 3, 3, 4, 5, 6])
    >>> test = group_splits(y, donors, n_splits=2, test_fraction=0.3, random_state=0)
    >>> bool((test[:, 3] == test[:, 4]).all())
    True
    """
    profiles = _profiles(y, groups)
    kept: list[NDArray[np.bool_]] = []
    n_kept = 0
    for turn in range(_MOST_ROUNDS):
        rng = np.random.default_rng([random_state, turn])
        held_out = _systematic(profiles, test_fraction, rng)
        in_test = held_out @ profiles
        feasible = ((in_test > 0) & (profiles.sum(axis=0) - in_test >= least_train)).all(axis=1)
        kept.append(held_out[feasible][:, groups])
        n_kept += int(feasible.sum())
        if n_kept >= n_splits:
            return np.concatenate(kept)[:n_splits]
    donors = [int(np.count_nonzero(profiles[:, c])) for c in range(profiles.shape[1])]
    patients = np.bincount(y).tolist()
    msg = (
        f"`test_fraction`: of {_MOST_ROUNDS * _CANDIDATES} splits that hold out {test_fraction:g} of the donors, {n_kept} "
        f"have every class in the test set and {least_train} or more patients of it outside, and {n_splits} are needed. "
        f"The classes have {patients} patients of {donors} donors."
    )
    raise ValueError(msg)


def draw_per_class(
    y: NDArray[np.int64], available: NDArray[np.bool_], n_patients: int, random_state: int
) -> NDArray[np.bool_]:
    """Draw the same number of patients of each class in every split.

    Parameters
    ----------
    y
        Class of each patient, (patients,).
    available
        Which patients may be drawn in a split, (splits, patients); ``n_patients`` or more of each class.
    n_patients
        Patients of each class to draw.
    random_state
        Seed. A split does not depend on how many there are.

    Returns
    -------
    Whether a patient was drawn, (splits, patients).
    """
    keys = np.random.default_rng([random_state, _MOST_ROUNDS]).random(available.shape)
    keys[~available] = np.inf
    drawn = np.zeros_like(available)
    for c in range(int(y.max()) + 1):
        members = np.flatnonzero(y == c)
        chosen = np.argsort(keys[:, members], axis=1)[:, :n_patients]
        np.put_along_axis(drawn, members[chosen], values=True, axis=1)
    return drawn


def _profiles(y: NDArray[np.int64], groups: NDArray[np.int64]) -> NDArray[np.int64]:
    """Patients of each donor and class, (donors, classes)."""
    n_classes = int(y.max()) + 1
    return np.bincount(groups * n_classes + y, minlength=(int(groups.max()) + 1) * n_classes).reshape(-1, n_classes)


def _systematic(profiles: NDArray[np.int64], fraction: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Donors held out in some candidate splits, (candidates, donors)."""
    n_donors = len(profiles)
    has = profiles > 0
    kinds = np.unique(np.column_stack([has, profiles]), axis=0, return_inverse=True)[1].ravel()
    order = np.argsort(kinds + rng.random((_CANDIDATES, n_donors)), axis=1)
    steps = np.floor(rng.random((_CANDIDATES, 1)) + fraction * np.arange(n_donors + 1))
    held_out = np.empty((_CANDIDATES, n_donors), dtype=bool)
    np.put_along_axis(held_out, order, np.diff(steps, axis=1) > 0, axis=1)
    return held_out
