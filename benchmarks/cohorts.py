"""The shared cohorts as arrays, and how the benchmarks over them report."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import anndata as ad
import numpy as np

from repatient.evaluation import (
    Cohort,
    Interval,
    Method,
    Plan,
    average_interval,
    by_split,
    corrected_interval,
    method_names,
)

if TYPE_CHECKING:
    import pandas as pd

DEFAULT_FOLDER = Path(os.environ.get("REPATIENT_COHORTS", Path(__file__).resolve().parents[2] / "shared" / "data"))
FILES = {
    "melanoma": "melanoma_icb_scrna.h5ad",
    "igan": "igan_glomeruli_pathomics.h5ad",
    "aml": "aml_flowcap2_tube4.h5ad",
    "musk1": "musk1.h5ad",
    "elephant": "elephant.h5ad",
}
ALL_FILES = FILES | {
    "krieg": "krieg_antipd1_cytof.h5ad",
    "covid": "covid_pbmc_scrna_stephenson20.h5ad",
    "t1d": "t1d_pancreas_imc_neighbourhoods.h5ad",
    "ucsb": "ucsb_breast_tiles.h5ad",
}


class Shared(NamedTuple):
    """Patients of a cohort, a table of them, and whether features are in units of their own."""

    cohort: Cohort
    table: pd.DataFrame
    scale: bool


def read_cohort(folder: Path, name: str) -> Shared:
    """Read a cohort.

    Of the kidney cohort the two extreme classes are read. A melanoma sample is what one person gave at one time with one
    outcome; four people gave samples of both outcomes, and the person is the donor.
    """
    adata = ad.read_h5ad(folder / FILES[name])
    if name == "igan":
        adata = adata[adata.obs["label"].isin(["eGFR<30", "eGFR>60"]).to_numpy()]
    obs = adata.obs.astype({"patient": str, "label": str})
    sample = (
        obs[["patient", "cohort", "label"]].astype(str).agg("|".join, axis=1) if name == "melanoma" else obs["patient"]
    )
    patients, first, codes = np.unique(sample.to_numpy(dtype=str), return_index=True, return_inverse=True)
    table = obs.iloc[first].set_index(patients)
    classes, y = np.unique(table["label"].to_numpy(dtype=str), return_inverse=True)
    donors = np.unique(table["patient"].to_numpy(dtype=str), return_inverse=True)[1]
    X = adata.obsm["X_pca"] if "X_pca" in adata.obsm else adata.X
    cohort = Cohort(
        X=np.ascontiguousarray(X, dtype=np.float32),
        codes=codes,
        y=y,
        donors=donors,
        classes=tuple(classes.tolist()),
        is_external=np.zeros(len(y), dtype=bool),
    )
    return Shared(cohort, table, scale="X_pca" not in adata.obsm)


def parser(description: str | None, methods: tuple[Any, ...], n_splits: int) -> argparse.ArgumentParser:
    """Arguments that the benchmarks share."""
    result = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    result.add_argument("--data", type=Path, default=DEFAULT_FOLDER, metavar="FOLDER", help="folder of the cohorts")
    result.add_argument("--splits", type=int, default=n_splits)
    result.add_argument("--jobs", type=int, default=1)
    result.add_argument("--seed", type=int, default=0)
    result.add_argument("--steps", type=int, help="gradient steps of every network (default: those of the predictor)")
    result.add_argument("--models", type=int, default=1, help="trainings of every method, of which the mean is taken")
    result.add_argument(
        "--classifier", type=json.loads, default={}, metavar="JSON", help="parameters of the classifier, as JSON"
    )
    result.add_argument(
        "--methods",
        type=as_method,
        nargs="+",
        default=[Method.of(method) for method in methods],
        metavar="METHOD",
        help=f"names or JSON objects of 'method', 'name' and settings; there are {', '.join(method_names())}, and predictors joined to augmenters by +",
    )
    result.add_argument("--checkpoints", type=Path, metavar="FOLDER", help="keep finished splits, and go on from them")
    result.add_argument("--metrics", nargs="+", default=["auroc"], metavar="METRIC")
    return result


def plan_of(given: argparse.Namespace, *, scale: bool) -> Plan:
    """How methods are trained in a fold, as the command line says."""
    return Plan(given.components, n_steps=given.steps, scale=scale, classifier=given.classifier, n_models=given.models)


def print_tables(given: argparse.Namespace, frames: dict[tuple[str, str], pd.DataFrame]) -> None:
    """A table a metric: the values of all methods, by cohort and setting, and their averages."""
    models = "" if given.models == 1 else f", mean of {given.models} models"
    print(f"\n{given.splits} splits, {given.steps or 'the default of'} gradient steps, seed {given.seed}{models}")
    for metric in given.metrics:
        report = Report(given.baseline, metric)
        for (cohort, setting), frame in frames.items():
            report.add(cohort, setting, frame)
        report.average()


def as_method(text: str) -> Method:
    """A method from its name or from JSON."""
    return Method.of(json.loads(text) if text.startswith("{") else text)


def checkpoint(folder: Path | None, name: str) -> Path | None:
    """File for the finished splits of one setting."""
    if folder is None:
        return None
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{name}.json"


class Report:
    """Markdown tables of settings, of cohorts, and of their average.

    Settings of one cohort share patients and splits, so that their differences are averaged split by split before an
    interval is drawn; cohorts are independent of each other.
    """

    def __init__(self, baseline: str, metric: str) -> None:
        self.baseline, self.metric = baseline, metric
        self.tables: dict[str, list[pd.DataFrame]] = {}
        self.fractions: dict[str, float] = {}
        print(f"\n| setting | method | {metric}, mean ± sd | difference from {baseline} |")
        print("|---|---|---|---|")

    def add(self, cohort: str, setting: str, frame: pd.DataFrame) -> None:
        """Print the rows of a setting."""
        table = by_split(frame, self.metric)
        self.fractions[cohort] = frame.attrs["test_fraction"]
        self.tables.setdefault(cohort, []).append(table)
        for name in table:
            values = table[name]
            self._row(
                f"{cohort}, {setting}", name, f"{values.mean():.3f} ± {values.std(ddof=1):.3f}", [(cohort, [table])]
            )

    def average(self) -> None:
        """Print the average of each cohort, and that over cohorts."""
        methods = list(next(iter(self.tables.values()))[0])
        for cohort, tables in self.tables.items():
            for name in methods:
                self._row(f"*{cohort}*", name, f"{np.mean([t[name].mean() for t in tables]):.3f}", [(cohort, tables)])
        for name in methods:
            mean = np.mean([np.mean([t[name].mean() for t in tables]) for tables in self.tables.values()])
            self._row("**average of cohorts**", name, f"{mean:.3f}", list(self.tables.items()))

    def _row(self, setting: str, name: str, text: str, tables: list[tuple[str, list[pd.DataFrame]]]) -> None:
        difference = ""
        if name != self.baseline:
            intervals = [
                corrected_interval(
                    np.mean([(t[name] - t[self.baseline]).to_numpy() for t in of_cohort], axis=0),
                    self.fractions[cohort],
                )
                for cohort, of_cohort in tables
            ]
            difference = describe(average_interval(intervals))
        print(f"| {setting} | {name} | {text} | {difference} |", flush=True)


def describe(interval: Interval) -> str:
    """Mean with its corrected two-sided interval and both one-sided bounds."""
    lower, upper = interval.bounds(0.95)
    one_sided = f"one-sided ≥ {interval.lower(0.95):+.3f}, ≤ {interval.upper(0.95):+.3f}"
    return f"{interval.mean:+.3f} ({lower:+.3f} to {upper:+.3f}; {one_sided})"
