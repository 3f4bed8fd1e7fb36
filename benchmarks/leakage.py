"""Labels that mean nothing: what every method makes of permuted labels, on the shared cohorts.

python benchmarks/leakage.py [--data FOLDER] [--splits 100] [--cohorts melanoma igan] [--methods none recipe ...]

Every split has labels of its own, permuted among the donors, so that nothing can be learnt about a test patient: a mean
AUROC apart from .5 would come from what a method should not have seen. A donor of melanoma with samples of both labels
passes both on to another donor. A few gradient steps (--steps) show a leak as well as many do. The standard error is that of splits whose labels are independent of each other.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from cohorts import FILES, parser, read_cohort
from missing_class import is_external

from repatient.evaluation import DEFAULTS, Plan, Scenario, run
from repatient.evaluation._training import FOR_ALL_CLASSES, FOR_MISSING_CLASS

if TYPE_CHECKING:
    from argparse import Namespace

    from cohorts import Shared
    from numpy.typing import NDArray

    from repatient.evaluation import Cohort, Method

METHODS = tuple(dict.fromkeys([*DEFAULTS["low_data"], *DEFAULTS["missing_class"]]))
COHORTS = ("melanoma", "igan", "musk1")
N_PATIENTS = 5


def main() -> None:
    arguments = parser(__doc__, METHODS, n_splits=100)
    arguments.add_argument("--cohorts", nargs="+", choices=list(FILES), default=COHORTS)
    arguments.add_argument("--test-fraction", type=float, default=0.25)
    given = arguments.parse_args()
    print("\n| cohort | scenario | method | auroc, mean ± standard error | farther than .05 from .5 |")
    print("|---|---|---|---|---|")
    for name in given.cohorts:
        shared = read_cohort(given.data, name)
        for scenario in scenarios(name):
            for method, values in aurocs(given, name, shared, scenario).items():
                mean, error = np.mean(values), np.std(values, ddof=1) / np.sqrt(len(values))
                apart = "yes" if abs(mean - 0.5) > 0.05 else "no"
                print(f"| {name} | {scenario.name} | {method} | {mean:.3f} ± {error:.3f} | {apart} |", flush=True)


def scenarios(name: str) -> list[Scenario]:
    """The missing class only where a benchmark has it."""
    two = [Scenario("full"), Scenario("low_data", n_patients=N_PATIENTS)]
    return [*two, Scenario("missing_class", missing_class=1)] if name in ("melanoma", "igan") else two


def aurocs(given: Namespace, name: str, shared: Shared, scenario: Scenario) -> dict[str, list[float]]:
    """Values of the methods that the scenario has, one a permutation."""
    methods = [method for method in given.methods if fits(method, scenario)]
    values: dict[str, list[float]] = {method.name: [] for method in methods}
    for split in range(given.splits):
        rng = np.random.default_rng([given.seed, split])
        cohort = permuted(shared.cohort, rng)
        if scenario.name == "missing_class":
            cohort = replace(cohort, is_external=is_external(name, shared._replace(cohort=cohort), rng))
        frame = run(
            cohort,
            scenario,
            methods,
            Plan(40 if scenario.name == "missing_class" else 5, n_steps=given.steps, scale=shared.scale),
            n_splits=1,
            test_fraction=given.test_fraction,
            random_state=int(rng.integers(2**31)),
            n_jobs=given.jobs,
            progress=False,
        )
        found = frame[frame["metric"] == "auroc"].set_index("method")["value"]
        for method in values:
            values[method].append(float(found[method]))
    return values


def fits(method: Method, scenario: Scenario) -> bool:
    """Whether a method is one of the scenario."""
    if scenario.name == "missing_class":
        return method.method in FOR_MISSING_CLASS and method.method != "none"
    return method.method in FOR_ALL_CLASSES


def permuted(cohort: Cohort, rng: np.random.Generator) -> Cohort:
    """The same patients with labels that were exchanged between donors.

    Within donors of as many patients, so that every patient gets one and a donor's patients stay together.
    """
    y = cohort.y.copy()
    numbers = np.bincount(cohort.donors)
    for number in np.unique(numbers[numbers > 0]):
        members = _members(cohort.donors, np.flatnonzero(numbers == number))
        y[members] = cohort.y[members[rng.permutation(len(members))]]
    return replace(cohort, y=y)


def _members(donors: NDArray[np.int64], some: NDArray[np.int64]) -> NDArray[np.int64]:
    """Patients of each of these donors, one donor a row."""
    order = np.argsort(donors, kind="stable")
    return order[np.isin(donors[order], some)].reshape(len(some), -1)


if __name__ == "__main__":
    main()
