"""Few patients a class: every method against no augmentation, on the shared cohorts.

python benchmarks/low_data.py [--data FOLDER] [--splits 30] [--jobs 2] [--methods none recipe+psemix+insmix]

In every split a quarter of the donors is tested on, and n patients a class, drawn from the others, are trained on;
everything is fitted on these n. All methods take the same gradient steps from the same weights, and no result decides
on how many.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from cohorts import FILES, checkpoint, parser, plan_of, print_tables, read_cohort

from repatient.evaluation import Scenario, run

if TYPE_CHECKING:
    from argparse import Namespace

    import pandas as pd

METHODS = ("none", "recipe+psemix+insmix", "recipe+psemix", "recipe", "insmix", "psemix")
METHODS += ("same_class_mixing", "oversampling", "remix", "rankmix", "mixup", "null")
NUMBERS = (3, 5, 10)


def main() -> None:
    compare(__doc__, METHODS, n_splits=30, cohorts=list(FILES), numbers=NUMBERS)


def compare(
    description: str | None, methods: tuple[Any, ...], *, n_splits: int, cohorts: list[str], numbers: tuple[int, ...]
) -> None:
    """Read the command line with these defaults, run what it asks for and print the tables."""
    arguments = parser(description, methods, n_splits=n_splits)
    arguments.add_argument("--cohorts", nargs="+", choices=list(FILES), default=cohorts)
    arguments.add_argument("--numbers", type=int, nargs="+", default=numbers, help="training patients a class")
    arguments.add_argument("--test-fraction", type=float, default=0.25)
    arguments.add_argument("--components", type=int, default=5, help="for methods that do not set n_components")
    arguments.add_argument("--baseline", default="none")
    given = arguments.parse_args()
    print_tables(given, frames(given))


def frames(given: Namespace) -> dict[tuple[str, str], pd.DataFrame]:
    """Values of all methods, by cohort and number of patients."""
    result = {}
    for name in given.cohorts:
        if not (given.data / FILES[name]).is_file():
            print(f"{FILES[name]} is not in {given.data}: left out.")
            continue
        cohort, _, scale = read_cohort(given.data, name)
        for number in given.numbers:
            if number > np.bincount(cohort.y).min() * (1 - given.test_fraction):
                print(f"{name} has too few patients to train on {number} a class: left out.")
                continue
            result[name, f"n = {number}"] = run(
                cohort,
                Scenario("low_data", n_patients=number),
                given.methods,
                plan_of(given, scale=scale),
                n_splits=given.splits,
                test_fraction=given.test_fraction,
                random_state=given.seed,
                n_jobs=given.jobs,
                checkpoint=checkpoint(given.checkpoints, f"low_data_{name}_{number}"),
            ).values
    return result


if __name__ == "__main__":
    main()
