"""Labels that mean nothing: what every method makes of permuted labels, on the shared cohorts.

python benchmarks/leakage.py [--data FOLDER] [--splits 200] [--error 0.02] [--cohorts melanoma igan]

Every split has labels of its own, permuted among the donors, so that nothing can be learnt about a test patient: a mean
AUROC apart from .5 would come from what a method should not have seen. A donor's labels mostly go to one donor. Half of
the donors are tested on. The standard error is that of splits whose labels are independent of each other; labels are
permuted until that of every method is below --error, 20 to --splits times.

The row "a leak" shows whether these settings would see one: a training without augmentation whose training patients are
those of the row "none" (of a missing class "full") and the test patients themselves. So that it learns them in the time,
patients have some of their cells (--cells), and the network may fit closely (--classifier). With all of the kidney
cohort's patients in training it does not: there the other rows say little of leaks of this kind.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from cohorts import FILES, parser, read_cohort
from missing_class import is_external
from repatient.evaluation._fitted_fold import FittedFold

from repatient.evaluation import DEFAULTS, SCENARIOS, Plan, Scenario
from repatient.evaluation._fold import make_folds
from repatient.evaluation._metrics import score
from repatient.evaluation._training import FOR_ALL_CLASSES, FOR_MISSING_CLASS

if TYPE_CHECKING:
    from argparse import Namespace

    from cohorts import Shared

    from repatient.evaluation import Cohort, Method

METHODS = tuple(dict.fromkeys([*DEFAULTS["low_data"], *DEFAULTS["missing_class"]]))
COHORTS = ("melanoma", "igan", "musk1")
N_PATIENTS = 5
FEWEST = 20
LEAK = "*a leak*"


def main() -> None:
    arguments = parser(__doc__, METHODS, n_splits=200)
    arguments.set_defaults(steps=30, classifier={"learning_rate": 0.02, "dropout": 0, "weight_decay": 0})
    arguments.add_argument("--error", type=float, default=0.02, help="standard error to reach")
    arguments.add_argument(
        "--cells", type=float, default=60, help="cells of a patient on average, where there are more"
    )
    arguments.add_argument("--cohorts", nargs="+", choices=list(FILES), default=COHORTS)
    arguments.add_argument("--scenarios", nargs="+", choices=SCENARIOS, default=SCENARIOS)
    arguments.add_argument("--test-fraction", type=float, default=0.5)
    given = arguments.parse_args()
    print(f"\n{given.steps} gradient steps, classifier {json.dumps(given.classifier)}, seed {given.seed}")
    print("\n| cohort | scenario | permutations | method | auroc, mean ± standard error | farther than .05 from .5 |")
    print("|---|---|---|---|---|---|")
    for name in given.cohorts:
        shared = read_cohort(given.data, name)
        for scenario in (one for one in scenarios(name) if one.name in given.scenarios):
            for method, values in aurocs(given, name, shared, scenario).items():
                mean, error = np.mean(values), standard_error(values)
                apart = "yes" if abs(mean - 0.5) > 0.05 else "no"
                start = f"| {name} | {scenario.name} | {len(values)} | {method} |"
                print(f"{start} {mean:.3f} ± {error:.3f} | {apart} |", flush=True)


def scenarios(name: str) -> list[Scenario]:
    """The missing class only where a benchmark has it."""
    two = [Scenario("full"), Scenario("low_data", n_patients=N_PATIENTS)]
    return [*two, Scenario("missing_class", missing_class=1)] if name in ("melanoma", "igan") else two


def aurocs(given: Namespace, name: str, shared: Shared, scenario: Scenario) -> dict[str, list[float]]:
    """Values of the methods that the scenario has, one a permutation, and those of a leak."""
    methods = [method for method in given.methods if fits(method, scenario)]
    values: dict[str, list[float]] = {name: [] for name in [*(method.name for method in methods), LEAK]}
    for split in range(given.splits):
        rng = np.random.default_rng([given.seed, split])
        cohort = permuted(thinned(shared.cohort, given.cells, rng), rng)
        if scenario.name == "missing_class":
            cohort = replace(cohort, is_external=is_external(name, shared._replace(cohort=cohort), rng))
        for method, value in one_permutation(given, cohort, scenario, methods, scale=shared.scale, rng=rng).items():
            values[method].append(value)
        if split + 1 >= FEWEST and max(map(standard_error, values.values())) < given.error:
            break
    return values


def one_permutation(
    given: Namespace,
    cohort: Cohort,
    scenario: Scenario,
    methods: list[Method],
    *,
    scale: bool,
    rng: np.random.Generator,
) -> dict[str, float]:
    """The AUROC of each method in one split."""
    seed = int(rng.integers(2**31))
    fold = make_folds(cohort, scenario, n_splits=1, test_fraction=given.test_fraction, random_state=seed)[0]
    components = 40 if scenario.name == "missing_class" else 5
    plan = Plan(components, n_steps=given.steps, scale=scale, classifier=given.classifier)
    fitted, y = FittedFold(cohort, scenario, fold, plan), cohort.y[fold.test]
    values = {method.name: score(y, method.predict(fitted))["auroc"] for method in methods}
    told = fitted.train(np.concatenate([fold.train, fold.withheld, fold.test]))
    return {**values, LEAK: score(y, fitted.predict(told))["auroc"]}


def standard_error(values: list[float]) -> float:
    """Of the mean of independent values."""
    return float(np.std(values, ddof=1) / np.sqrt(len(values)))


def fits(method: Method, scenario: Scenario) -> bool:
    """Whether a method is one of the scenario."""
    if scenario.name == "missing_class":
        return method.method in FOR_MISSING_CLASS and method.method != "none"
    return method.method in FOR_ALL_CLASSES


def permuted(cohort: Cohort, rng: np.random.Generator) -> Cohort:
    """The same patients with labels that were exchanged between donors.

    The labels of all donors are laid out in random order, with a random start, and dealt to the donors in another
    order: those of a donor mostly stay together, whatever the number of patients of who gets them. Labels exchanged
    between donors of as many patients only would keep what that number tells of the label.
    """
    given = np.argsort(rng.permutation(int(cohort.donors.max()) + 1)[cohort.donors], kind="stable")
    received = np.argsort(rng.permutation(int(cohort.donors.max()) + 1)[cohort.donors], kind="stable")
    y = np.empty_like(cohort.y)
    y[received] = np.roll(cohort.y[given], rng.integers(len(y)))
    return replace(cohort, y=y)


def thinned(cohort: Cohort, n_cells: float, rng: np.random.Generator) -> Cohort:
    """The same patients with a random part of their cells, ``n_cells`` of a patient on average."""
    share = n_cells * len(cohort.y) / np.count_nonzero(cohort.codes >= 0)
    kept = rng.random(len(cohort.codes)) < share
    kept[np.unique(cohort.codes, return_index=True)[1]] = True
    return replace(cohort, X=cohort.X[kept], codes=cohort.codes[kept])


if __name__ == "__main__":
    main()
