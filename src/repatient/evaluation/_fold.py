"""Which patients each split trains and tests on, in each scenario."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from repatient.evaluation._splits import draw_per_class, group_splits

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from repatient.evaluation._cohort import Cohort

SCENARIOS = ("full", "low_data", "rare_class", "missing_class")


@dataclass(frozen=True)
class Scenario:
    """What is scarce.

    Parameters
    ----------
    name
        ``"full"``: nothing, all patients outside the test set are trained on; ``"low_data"``: patients, of which
        ``n_patients`` a class are trained on; ``"rare_class"``: patients of one class, of which ``n_patients`` are trained
        on, and all of the others; ``"missing_class"``: the target cohort's training patients lack a class, which only
        the external cohort has.
    n_patients
        Training patients a class in ``"low_data"``, and of the rare one in ``"rare_class"``.
    missing_class
        Code of the class that ``"missing_class"`` takes away.
    rare_class
        Code of the class that ``"rare_class"`` thins out; ``None``: each in turn, split by split.
    """

    name: str = "full"
    n_patients: int | None = None
    missing_class: int | None = None
    rare_class: int | None = None


@dataclass(frozen=True)
class Fold:
    """Patients of one split, as rising indices into those of the cohort.

    Parameters
    ----------
    number
        Number of the split.
    seed
        Seed of everything random that is fitted in it.
    train
        Patients to learn from.
    withheld
        Training patients of the missing class, which only the control ``"full"`` may see.
    external
        Patients of the external cohort, none of a test donor.
    test
        Patients to predict.
    """

    number: int
    seed: int
    train: NDArray[np.int64]
    withheld: NDArray[np.int64]
    external: NDArray[np.int64]
    test: NDArray[np.int64]


def make_folds(
    cohort: Cohort, scenario: Scenario, *, n_splits: int, test_fraction: float, random_state: int
) -> list[Fold]:
    """Split the target cohort again and again by donors.

    Parameters
    ----------
    cohort
        The patients.
    scenario
        What is scarce.
    n_splits
        Number of splits; a split does not depend on how many there are.
    test_fraction
        Share of the target cohort's donors that are tested on.
    random_state
        Seed.

    Returns
    -------
    The folds. No donor is on both sides of one, donors of external patients included.

    Raises
    ------
    ValueError
        If the classes have too few donors, or the external cohort has no patient left of the missing class.
    """
    target = cohort.target
    y = cohort.y[target]
    _, donors = np.unique(cohort.donors[target], return_inverse=True)
    test = group_splits(
        y,
        donors,
        n_splits=n_splits,
        test_fraction=test_fraction,
        random_state=random_state,
        least_train=scenario.n_patients or 1,
    )
    train = ~test
    if scenario.n_patients is not None:
        drawn = draw_per_class(y, train, scenario.n_patients, random_state)
        if scenario.name == "rare_class":
            given, in_turn = scenario.rare_class, np.arange(n_splits) % len(cohort.classes)
            rare = in_turn if given is None else np.full(n_splits, given)
            drawn = np.where(y == rare[:, None], drawn, train)
        train = drawn
    withheld = train & (y == scenario.missing_class)
    train &= ~withheld
    return [
        _fold(
            cohort,
            number,
            random_state,
            scenario,
            target[train[number]],
            target[withheld[number]],
            target[test[number]],
        )
        for number in range(n_splits)
    ]


def _fold(
    cohort: Cohort,
    number: int,
    random_state: int,
    scenario: Scenario,
    train: NDArray[np.int64],
    withheld: NDArray[np.int64],
    test: NDArray[np.int64],
) -> Fold:
    external = np.flatnonzero(cohort.is_external & ~np.isin(cohort.donors, cohort.donors[test]))
    if scenario.missing_class is not None and not (cohort.y[external] == scenario.missing_class).any():
        msg = (
            f"The external cohort has no patient of the class {cohort.classes[scenario.missing_class]!r} whose donor is "
            f"not tested on in split {number}; its recipe cannot be learnt."
        )
        raise ValueError(msg)
    seed = int(np.random.SeedSequence([random_state, number]).generate_state(1)[0])
    return Fold(number, seed, train, withheld, external, test)
