"""A class without training patients: its recipe from another cohort against its real patients, on the shared cohorts.

python benchmarks/missing_class.py [--data FOLDER] [--splits 20] [--jobs 2] [--methods full recipe external null]

Kidney cohort: in every split its patients are halved at random into a target and an external cohort. Melanoma: samples
after therapy are the target, those before therapy external, and nobody tested on gives one of these. A quarter of the
target's donors is tested on; either class is missing in turn. With --shift, the cells of the external cohort are moved
as another batch might be ("affine": a gain and an offset for each feature; "nonlinear": each feature saturates on one
side, too), and methods with "align" bring them back by the class that both cohorts have.

The components of "recipe" are those of the target's training cells; "mixture of both cohorts" has components of these and
of the external cells. It was chosen after trials on the splits of seed 0, where it is flattered by that.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import joblib
import numpy as np
import pandas as pd
from cohorts import FILES, checkpoint, parser, plan_of, print_tables, read_cohort

from repatient.evaluation import Method, Scenario, run

if TYPE_CHECKING:
    from argparse import Namespace

    from cohorts import Shared
    from numpy.typing import NDArray

    from repatient.evaluation import Cohort

OF_BOTH = {"method": "recipe", "name": "recipe, mixture of both cohorts", "mixture": "both"}
METHODS = ("full", "recipe", OF_BOTH, "external", "null", "size_only")
UNDER_SHIFT = (
    "full",
    *(
        {"method": method, "name": f"{method}, {align}", "align": align}
        for method in ("recipe", "external")
        for align in ("raw", "moments", "quantiles")
    ),
)
COHORTS = ("igan", "melanoma")
SHIFTS = ("none", "affine", "nonlinear")


def main() -> None:
    arguments = parser(__doc__, METHODS, n_splits=20)
    arguments.add_argument("--cohorts", nargs="+", choices=COHORTS, default=COHORTS)
    arguments.add_argument("--test-fraction", type=float, default=0.25)
    arguments.add_argument("--components", type=int, default=40, help="for methods that do not set n_components")
    arguments.add_argument("--shift", choices=SHIFTS, default="none")
    arguments.add_argument("--baseline", default="full")
    given = arguments.parse_args()
    if given.shift != "none" and given.methods is arguments.get_default("methods"):
        given.methods = [Method.of(method) for method in UNDER_SHIFT]
    print_tables(given, frames(given))


def frames(given: Namespace) -> dict[tuple[str, str], pd.DataFrame]:
    """Values of all methods, by cohort and missing class."""
    result = {}
    for name in given.cohorts:
        if not (given.data / FILES[name]).is_file():
            print(f"{FILES[name]} is not in {given.data}: left out.")
            continue
        shared = read_cohort(given.data, name)
        for missing, label in enumerate(shared.cohort.classes):
            tasks = [joblib.delayed(one_split)(given, name, shared, missing, split) for split in range(given.splits)]
            frame = pd.concat(joblib.Parallel(n_jobs=given.jobs)(tasks), ignore_index=True)
            frame.attrs["test_fraction"] = given.test_fraction
            result[name, f"without {label}"] = frame
    return result


def one_split(given: Namespace, name: str, shared: Shared, missing: int, split: int) -> pd.DataFrame:
    """Values of all methods in one split, with halves and a shift of its own."""
    rng = np.random.default_rng([given.seed, split])
    divided = replace(shared.cohort, is_external=is_external(name, shared, rng))
    divided = replace(divided, X=shifted(divided, given.shift, rng))
    frame = run(
        divided,
        Scenario("missing_class", missing_class=missing),
        given.methods,
        plan_of(given, scale=shared.scale),
        n_splits=1,
        test_fraction=given.test_fraction,
        random_state=int(rng.integers(2**31)),
        checkpoint=checkpoint(given.checkpoints, f"missing_{name}_{given.shift}_{missing}_{split}"),
    ).values
    return frame.assign(split=split)


def is_external(name: str, shared: Shared, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Which patients are of the external cohort."""
    if name == "melanoma":
        return (shared.table["cohort"] == "Pre").to_numpy()
    # Halves of each class.
    y = shared.cohort.y
    ranks = np.empty(len(y), dtype=np.int64)
    for c in range(len(shared.cohort.classes)):
        members = np.flatnonzero(y == c)
        ranks[members] = rng.permutation(len(members))
    return ranks % 2 == 1


def shifted(cohort: Cohort, shift: str, rng: np.random.Generator) -> NDArray[np.float32]:
    """The cells, those of the external cohort moved."""
    if shift == "none":
        return cohort.X
    moved = cohort.X.astype(np.float64)
    rows = np.flatnonzero(np.append(cohort.is_external, False)[cohort.codes])
    mean, sd = moved[rows].mean(axis=0), moved[rows].std(axis=0)
    z = (moved[rows] - mean) / sd
    gain, offset = np.exp(0.3 * rng.standard_normal(len(sd))), rng.standard_normal(len(sd))
    if shift == "nonlinear":
        # Saturates on one side of each feature and stretches the other.
        bend = 0.4 * rng.choice([-1.0, 1.0], size=len(sd))
        z = np.expm1(bend * np.clip(z, -5, 5)) / bend
    moved[rows] = mean + sd * (gain * z + offset)
    return moved.astype(np.float32)


if __name__ == "__main__":
    main()
