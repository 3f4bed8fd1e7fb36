"""What another cohort knows: a missing class, and few patients here, by what may travel.

python benchmarks/another_cohort.py [--data FOLDER] [--splits 20] [--jobs 2] [--parity odd] [--parts missing few warnings privacy]

Kidney cohort: in every split its patients are halved at random into a target and another cohort. Melanoma: samples after
therapy are the target, those before therapy the other cohort, and nobody tested on gives one of these. Mass cytometry of
blood (healthy against melanoma): one run of the instrument is the target, the other the other cohort, in both directions;
a real batch shift. A quarter of the target's donors is tested on. Either class is missing in turn; or the target has one
or three patients a class.

"recipes", "offsets" (recipes, offsets and moments), "model" (the same with its models) and "cells" (everything) travel;
"model alone" is its models without any statistics but the moments that align them; "wrong" is everything but cells with
the classes exchanged among the other cohort's patients. Choices were made on splits of even number; those of odd number
are reported. In the tables, differences are from the predictor with nothing missing (average of four: mean, kernel mean,
quantiles and cells), and from "auto" without another cohort.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import anndata as ad
import joblib
import numpy as np
import pandas as pd
from cohorts import Report, parser, read_cohort
from sklearn.metrics import roc_auc_score

from repatient.evaluation import (
    Cohort,
    FittedFold,
    Method,
    Plan,
    Scenario,
    Travels,
    make_folds,
    run,
    statistics_membership,
)
from repatient.mil import Cells, Ensemble, Linear, register_predictor

if TYPE_CHECKING:
    from argparse import Namespace
    from pathlib import Path

    from numpy.typing import NDArray

KRIEG = "krieg_antipd1_cytof.h5ad"
COHORTS = ("igan", "melanoma", "krieg into Data29", "krieg into Data23")
FOUR = [
    ("kernel mean", Linear(("kernel_mean",), C=0.1)),
    ("mean", Linear(("mean",))),
    ("quantiles", Linear(("quantiles",), C=0.1)),
    ("cells", Cells()),
]
MODEL = {"method": "travels", "name": "model alone", "what": ["model"]}
RUNGS = [
    {"method": f"{what}_travel{s}", "name": what}
    for what, s in (("recipes", ""), ("offsets", ""), ("model", "s"), ("cells", ""))
]
WRONG = {"method": "travels", "name": "wrong", "what": ["recipes", "offsets", "model"], "permuted": True}
MISSING = ({"method": "full", "name": "nothing missing", "predictor": "four"}, *RUNGS, MODEL)
FEW = ("auto", *RUNGS, MODEL, WRONG)
PARTS = ("missing", "few", "warnings", "privacy")


def main() -> None:
    arguments = parser(__doc__, (), n_splits=20)
    arguments.add_argument("--cohorts", nargs="+", choices=COHORTS, default=COHORTS)
    arguments.add_argument("--patients", nargs="+", type=int, default=[1, 3])
    arguments.add_argument("--parity", choices=["even", "odd"], default="odd")
    arguments.add_argument("--parts", nargs="+", choices=PARTS, default=["missing", "few"])
    arguments.add_argument("--test-fraction", type=float, default=0.25)
    given = arguments.parse_args()
    print(f"\n{given.splits} splits of {given.parity} number, seed {given.seed}")
    if "missing" in given.parts:
        print("\n## A class is missing")
        settings = [(name, m, None) for name in given.cohorts for m in (0, 1)]
        report(given, settings, "nothing missing", ("auroc", "balanced_accuracy"))
    for n in given.patients if "few" in given.parts else ():
        print(f"\n## Patients a class here: {n}")
        report(given, [(name, None, n) for name in given.cohorts], "auto", ("auroc",))
    if "warnings" in given.parts:
        warned(given)
    if "privacy" in given.parts:
        privacy(given)


def report(given: Namespace, settings: list[Any], baseline: str, metrics: tuple[str, ...]) -> None:
    numbers = range(given.parity == "odd", 2 * given.splits, 2)
    tasks = [joblib.delayed(one_split)(given, *setting, number) for setting in settings for number in numbers]
    found = joblib.Parallel(n_jobs=given.jobs)(tasks)
    frames = {}
    for i, setting in enumerate(settings):
        frame = pd.concat(found[i * len(numbers) : (i + 1) * len(numbers)], ignore_index=True)
        frame.attrs["test_fraction"] = given.test_fraction
        frames[setting] = frame
    for metric in metrics:
        table = Report(baseline, metric)
        for (name, missing, _), frame in frames.items():
            what = "" if missing is None else f"without {frame['missing'].iloc[0]}"
            table.add(name, what or "few", frame)
        table.average()


def one_split(given: Namespace, name: str, missing: int | None, n: int | None, number: int) -> pd.DataFrame:
    """Values of all methods in one split."""
    # Processes begin without it.
    try:
        register_predictor("four", lambda **settings: Ensemble(FOUR, **settings))
    except ValueError:
        pass
    rng = np.random.default_rng([given.seed, number])
    cohort, scale = read(given.data, name, rng)
    scenario = Scenario("missing_class", missing_class=missing) if n is None else Scenario("low_data", n_patients=n)
    frame = run(
        cohort,
        scenario,
        [Method.of(one) for one in (MISSING if n is None else FEW)],
        Plan(scale=scale),
        n_splits=1,
        test_fraction=given.test_fraction,
        random_state=int(rng.integers(2**31)),
        progress=False,
    ).values
    return frame.assign(split=number, missing="" if missing is None else cohort.classes[missing])


def warned(given: Namespace) -> None:
    """How often recipes and offsets of another run, or of half of the same run, warn, and how well they predict."""
    print("\n## Mass cytometry: warnings of a transfer\n")
    print("| into | missing | AUROC, nothing missing | recipes and offsets | splits that warn |\n|---|---|---|---|---|")
    numbers = range(given.parity == "odd", 2 * given.splits, 2)
    for name in ("krieg into Data29", "krieg into Data23", "halves of Data29", "halves of Data23"):
        for missing in (0, 1):
            tasks = [joblib.delayed(one_warning)(given, name, missing, number) for number in numbers]
            full, found, told = np.transpose(joblib.Parallel(n_jobs=given.jobs)(tasks))
            cells = f"{full.mean():.3f} | {found.mean():.3f} | {int(told.sum())} of {len(told)}"
            print(f"| {name} | {('HD', 'melanoma')[missing]} | {cells} |", flush=True)


def one_warning(given: Namespace, name: str, missing: int, number: int) -> tuple[float, float, bool]:
    """AUROC with nothing missing and with a transfer, and whether that warned."""
    rng = np.random.default_rng([given.seed, number])
    target = name.rpartition(" ")[2]
    alone = name.startswith("halves")
    cohort = read_krieg(given.data, target, alone=alone)
    if alone:
        half = np.zeros(len(cohort.y), dtype=bool)
        for c in (0, 1):
            members = rng.permutation(np.flatnonzero(cohort.y == c))
            half[members[: len(members) // 2]] = True
        cohort = replace(cohort, is_external=half)
    scenario = Scenario("missing_class", missing_class=missing)
    seed = int(rng.integers(2**31))
    (fold,) = make_folds(cohort, scenario, n_splits=1, test_fraction=given.test_fraction, random_state=seed)
    fitted = FittedFold(cohort, scenario, fold, Plan(scale=True))
    travels = Travels(("recipes", "offsets"))
    truth, test = cohort.y[fold.test], fitted.bags.take(fold.test)
    transferred = travels.transferred(fitted)
    whole = np.sort(np.concatenate([fold.train, fold.withheld]))
    full = Ensemble(FOUR, random_state=seed).fit(
        fitted.bags.take(whole), cohort.y[whole], groups=cohort.donors[whole].astype(str)
    )
    p, q = (model.predict_proba(test)[:, 1] for model in (full, transferred.predictor))
    return float(roc_auc_score(truth, p)), float(roc_auc_score(truth, q)), bool(transferred.concerns)


def read(folder: Path, name: str, rng: np.random.Generator) -> tuple[Cohort, bool]:
    """Target and other cohort, and whether features have units of their own."""
    if name.startswith("krieg"):
        return read_krieg(folder, name.rpartition(" ")[2]), True
    shared = read_cohort(folder, name)
    if name == "melanoma":
        external: NDArray[np.bool_] = (shared.table["cohort"] == "Pre").to_numpy()
    else:
        rank = np.empty(len(shared.cohort.y), dtype=np.int64)
        for c in range(len(shared.cohort.classes)):
            members = np.flatnonzero(shared.cohort.y == c)
            rank[members] = rng.permutation(len(members))
        external = rank % 2 == 1
    return replace(shared.cohort, is_external=external), shared.scale


def read_krieg(folder: Path, target: str, *, alone: bool = False) -> Cohort:
    """Healthy and melanoma samples of two runs, of which one is the target, or of that one alone."""
    adata = ad.read_h5ad(folder / KRIEG)
    if alone:
        adata = adata[(adata.obs["batch"].astype(str) == target).to_numpy()]
    obs = adata.obs.astype(str)
    _, first, codes = np.unique(obs["patient"].to_numpy(), return_index=True, return_inverse=True)
    table = obs.iloc[first]
    y = (table["label"] != "HD").to_numpy().astype(np.int64)
    return Cohort(
        X=np.ascontiguousarray(adata.X, dtype=np.float32),
        codes=codes,
        y=y,
        donors=np.arange(len(y)),
        classes=("HD", "melanoma"),
        is_external=(table["batch"] != target).to_numpy(),
    )


def privacy(given: Namespace) -> None:
    """How well a donor is told to be among those that statistics were learnt from."""
    print(
        "\n## Who was in it: AUROC of a membership attack, k = 5\n\n| cohort | recipes | offsets | both |\n|---|---|---|---|"
    )
    for name in given.cohorts:
        cohort, _ = read(given.data, name, np.random.default_rng(given.seed))
        others = np.flatnonzero(cohort.is_external)
        found = statistics_membership(
            cohort.bags.take(others), cohort.y[others].astype(str), cohort.donors[others].astype(str)
        )
        print(f"| {name} | {found['recipes']:.3f} | {found['offsets']:.3f} | {found['both']:.3f} |", flush=True)


if __name__ == "__main__":
    main()
