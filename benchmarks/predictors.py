"""AUROC of predictors of patients on the shared cohorts, few patients a class.

Predictors are named as in ``repatient.mil.PREDICTORS``, or given as JSON of ``{"name": …, "model": …}`` and settings.
Splits with even numbers are for choosing, those with odd numbers for reporting. A predictor that is a member of an average
in the same run, with the same settings and seed, is not trained twice.
"""

from __future__ import annotations

import argparse
import json
import os
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import anndata as ad
import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.metrics import log_loss, roc_auc_score

from repatient.evaluation import corrected_interval
from repatient.evaluation._splits import draw_per_class, group_splits
from repatient.mil import PREDICTORS, Bags, make_predictor

DEFAULT_FOLDER = Path(os.environ.get("REPATIENT_COHORTS", Path(__file__).resolve().parents[2] / "shared" / "data"))
TEST_FRACTION = 0.3


class Task(NamedTuple):
    """File of a cohort, the classes that are told apart, and what a patient and a donor are."""

    file: str
    classes: tuple[str, ...] | None = None
    sample: tuple[str, ...] = ("patient",)
    donor: str = "patient"


TASKS = {
    "igan": Task("igan_glomeruli_pathomics.h5ad", ("eGFR<30", "eGFR>60")),
    "melanoma": Task("melanoma_icb_scrna.h5ad", sample=("patient", "cohort", "label")),
    "aml": Task("aml_flowcap2_tube4.h5ad"),
    "musk1": Task("musk1.h5ad"),
    "elephant": Task("elephant.h5ad"),
    "krieg_nr_r": Task("krieg_antipd1_cytof.h5ad", ("NR", "R")),
    "krieg_hd_nr": Task("krieg_antipd1_cytof.h5ad", ("HD", "NR")),
    "t1d": Task("t1d_pancreas_imc_neighbourhoods.h5ad", donor="donor"),
    "ucsb": Task("ucsb_breast_tiles.h5ad"),
}


class Patients(NamedTuple):
    """Bags with classes and donors as codes."""

    bags: Bags
    y: np.ndarray
    donors: np.ndarray


def read_task(folder: Path, name: str) -> Patients:
    """Patients of a task; features in units of their own are scaled by nothing, predictors do that."""
    task = TASKS[name]
    adata = ad.read_h5ad(folder / task.file)
    if task.classes is not None:
        adata = adata[adata.obs["label"].isin(task.classes).to_numpy()]
    sample = adata.obs[list(task.sample)].astype(str).agg("|".join, axis=1).to_numpy(dtype=str)
    names, first, codes = np.unique(sample, return_index=True, return_inverse=True)
    X = np.ascontiguousarray(adata.obsm["X_pca"] if "X_pca" in adata.obsm else adata.X, dtype=np.float32)
    table = adata.obs.iloc[first].astype(str)
    y = np.unique(table["label"].to_numpy(dtype=str), return_inverse=True)[1]
    donors = np.unique(table[task.donor].to_numpy(dtype=str), return_inverse=True)[1]
    return Patients(Bags.from_codes(X, codes, len(names)), y, donors)


def splits_of(patients: Patients, n: int, rare: int | None, n_splits: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Training and test patients of each split, (splits, patients); ``rare`` patients of one class, in turn, and all others."""
    y = patients.y
    least = n if rare is None else rare
    test = group_splits(
        y, patients.donors, n_splits=n_splits, test_fraction=TEST_FRACTION, random_state=seed, least_train=least
    )
    train = ~test
    few = draw_per_class(y, train, least, seed)
    if rare is None:
        return few, test
    of_class = y == (np.arange(n_splits) // 2 % (y.max() + 1))[:, None]
    return np.where(of_class, few, train), test


def auroc(y: np.ndarray, p: np.ndarray) -> float:
    """Of the second class, or the mean over classes against the rest."""
    if p.shape[1] == 2:
        return roc_auc_score(y, p[:, 1])
    return float(np.mean([roc_auc_score(y == c, p[:, c]) for c in range(p.shape[1])]))


def calibration_error(y: np.ndarray, p: np.ndarray, n_bins: int = 10) -> float:
    """Expected calibration error of the most probable class, in bins of equal width."""
    confidence, right = p.max(axis=1), p.argmax(axis=1) == y
    bins = np.minimum((confidence * n_bins).astype(int), n_bins - 1)
    gaps = [abs(right[bins == b].mean() - confidence[bins == b].mean()) * (bins == b).mean() for b in np.unique(bins)]
    return float(sum(gaps))


def as_model(text: str) -> tuple[str, dict[str, Any]]:
    """Name of a row, and what ``make_predictor`` is given."""
    if not text.startswith("{"):
        return text, {"model": text}
    settings = json.loads(text)
    return settings.pop("name", settings["model"]), settings


def run(given: argparse.Namespace) -> pd.DataFrame:
    """One row a task, number of patients, split and predictor."""
    rows = []
    for name in given.cohorts:
        patients = read_task(given.data, name)
        for n in given.patients:
            train, test = splits_of(patients, n, given.rare, given.splits, given.seed)
            for split in range(given.splits):
                if given.half != "both" and split % 2 != (given.half == "odd"):
                    continue
                real, held = patients.bags.take(train[split]), patients.bags.take(test[split])
                y, truth = patients.y[train[split]], patients.y[test[split]]
                if given.permuted:
                    y = np.random.default_rng(split).permutation(y)
                members: dict[str, Any] = {}
                for row, settings in sorted(given.models, key=lambda model: model[1]["model"] != "auto"):
                    own = {"validation_fraction": 0.0} if settings["model"] == "attention" else {}
                    model = make_predictor(**own | settings, device="cpu", random_state=split, progress=False)
                    known = members.get(repr(clone(model)))
                    model = known or model.fit(real, y, groups=patients.donors[train[split]])
                    # Members that see a wide embedding along its axes are no predictors of patients by themselves.
                    if getattr(model, "axes_", None) is None:
                        members |= {repr(clone(member)): member for _, member in getattr(model, "members_", ())}
                    p = model.predict_proba(held)
                    rows.append(
                        {
                            "cohort": name,
                            "n": given.rare or n,
                            "split": split,
                            "predictor": row,
                            "auroc": auroc(truth, p),
                            "log_loss": log_loss(truth, p, labels=np.arange(p.shape[1])),
                            "truth": truth,
                            "p": p,
                        }
                    )
    return pd.DataFrame(rows)


def report(frame: pd.DataFrame, baselines: list[str], test_fraction: float) -> None:
    """Markdown tables of AUROC, and of differences to the baseline that is best on average."""
    for n, part in frame.groupby("n"):
        table = part.pivot_table(index="predictor", columns="cohort", values="auroc", sort=False)
        table["average"] = table.mean(axis=1)
        by_cohort = part.groupby(["predictor", "cohort"], sort=False)
        calibration = by_cohort[["truth", "p"]].apply(
            lambda rows: calibration_error(np.concatenate(list(rows["truth"])), np.concatenate(list(rows["p"])))
        )
        table["ECE"] = calibration.groupby("predictor").mean()
        table["ECE, worst"] = calibration.groupby("predictor").max()
        table["log loss"] = part.groupby("predictor")["log_loss"].mean()
        print(f"\n### {n} patients a class\n")
        print("| predictor | " + " | ".join(table) + " |\n|" + "---|" * (table.shape[1] + 1))
        for name, values in table.iterrows():
            print(f"| {name} | " + " | ".join(f"{value:.3f}" for value in values) + " |")
        single = table.loc[[name for name in baselines if name in table.index], "average"]
        if single.empty:
            continue
        best = single.idxmax()
        wide = part.pivot_table(index=["cohort", "split"], columns="predictor", values="auroc", sort=False)
        print(
            f"\n| predictor | difference from {best} | one-sided 95 % bound | worst against the best of each cohort |"
        )
        print("|---|---|---|---|")
        names = [column for column in table if column in frame["cohort"].unique()]
        for name in table.index.drop(best):
            # Splits of all cohorts, averaged split by split, share their number only.
            difference = (wide[name] - wide[best]).groupby("split").mean().to_numpy()
            interval = corrected_interval(difference, test_fraction)
            worst = (table.loc[name, names] - table.loc[single.index, names].max()).min()
            print(f"| {name} | {difference.mean():+.3f} | ≥ {interval.lower(0.95):+.3f} | {worst:+.3f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DEFAULT_FOLDER, metavar="FOLDER", help="folder of the cohorts")
    parser.add_argument("--cohorts", nargs="+", default=list(TASKS), choices=list(TASKS))
    parser.add_argument("--patients", type=int, nargs="+", default=[5], help="training patients a class")
    parser.add_argument("--rare", type=int, help="training patients of one class, beside all of the others")
    parser.add_argument("--splits", type=int, default=10)
    parser.add_argument("--half", choices=["both", "even", "odd"], default="both", help="splits to run")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--models", type=as_model, nargs="+", default=[as_model(name) for name in PREDICTORS])
    parser.add_argument(
        "--permuted", action="store_true", help="shuffle the training patients' classes: nothing to learn"
    )
    parser.add_argument("--save", type=Path, metavar="FILE", help="keep every prediction as JSON")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    frame = run(given)
    if given.save is not None:
        given.save.write_text(frame.to_json(orient="records"), encoding="utf-8")
    report(frame, [name for name, settings in given.models if settings["model"] not in ("auto",)], TEST_FRACTION)


if __name__ == "__main__":
    main()
