"""A missing class from a cohort with a batch shift: raw transfer, aligned transfer and real external patients.

python benchmarks/transfer.py [--data FOLDER] [--splits 20] [--components 40] [--seed 0]

Kidney cohort, eGFR below 30 against above 60. In every split half of the patients are the external cohort; of the
other half, the target, every second patient is tested on. The target's training patients of the class that is missing
serve only "full". The external cohort's cells are shifted in units of each feature's standard deviation: "affine" scales
features by .7 to 1.4 and moves them by about one; "sinh" stretches the tails of every feature; "warp" stretches the tails
of half of the features and compresses those of the others. The shift is another one in every split. Alignment by
quantiles was found on the splits of seeds 0 to 5; on splits of others, and with the classifier of the package, it is in
missing_class.py.

The classifier is a logistic regression on the means of the patients' cells, with one setting for all rows. "warns" is
the share of splits in which `rp.tl.assign` warned, p the median of the permutation p-value of the shared class.
"""

from __future__ import annotations

import argparse
import os
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import anndata as ad
import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import repatient as rp

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FILE = "igan_glomeruli_pathomics.h5ad"
SHARED, MISSING = "eGFR>60", "eGFR<30"
KEYS = {"patient_key": "patient", "label_key": "label"}
FULL = "all real target patients"
SHIFTS = ("none", "affine", "sinh", "warp")


class Split(NamedTuple):
    """Target patients to train and to test on, and the external cohort."""

    training: ad.AnnData
    test: ad.AnnData
    external: ad.AnnData


class Row(NamedTuple):
    """AUROC of a method and, where cells were assigned, what was found of the shift."""

    shift: str
    method: str
    auroc: float
    warns: float = np.nan
    coverage: float = np.nan
    p_value: float = np.nan


def main() -> None:
    arguments = parse_arguments()
    cohort = read_cohort(arguments.data / FILE)
    print(f"{MISSING} missing, {arguments.splits} splits, {arguments.components} components, seed {arguments.seed}\n")
    rows = [
        row
        for i in range(arguments.splits)
        for row in evaluate(cohort, arguments.components, arguments.generated, seed=arguments.seed + i)
    ]
    report(pd.DataFrame(rows))


def parse_arguments() -> argparse.Namespace:
    beside_repository = Path(__file__).resolve().parents[2] / "shared" / "data"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", type=Path, default=Path(os.environ.get("REPATIENT_COHORTS", beside_repository)), metavar="FOLDER"
    )
    parser.add_argument("--splits", type=int, default=20)
    parser.add_argument("--components", type=int, default=40)
    parser.add_argument("--generated", type=int, default=60, help="patients to generate of the missing class")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    if not (arguments.data / FILE).is_file():
        parser.error(f"{arguments.data} has no {FILE}; give --data or set REPATIENT_COHORTS.")
    return arguments


def read_cohort(path: Path) -> ad.AnnData:
    """Cells of the two classes, features in their own units."""
    adata = ad.read_h5ad(path)
    adata = adata[adata.obs["label"].isin([SHARED, MISSING])].copy()
    adata.X = np.asarray(adata.X, dtype=np.float64)
    adata.obs = adata.obs[["patient", "label"]].astype(str)
    return adata


def evaluate(cohort: ad.AnnData, n_components: int, n_generated: int, *, seed: int) -> Iterator[Row]:
    """All methods under all shifts of one split."""
    split = split_cohort(cohort, np.random.default_rng(seed))
    target = split.training[split.training.obs["label"] == SHARED].copy()
    rp.tl.gmm(target, n_components, use_rep="X", n_init=1, tol=1e-3, random_state=seed, progress=False)
    test = patients(split.test)
    full = auroc(patients(split.training), test)
    for name in SHIFTS:
        yield Row(name, FULL, full)
        external = split.external.copy()
        external.X = shift(name, np.random.default_rng([seed, 1]), cohort.X, external.X)
        for align in ("raw", "moments", "quantiles", *(["ot"] if find_spec("ot") else [])):
            yield from transfers(name, align, target, external, test, n_generated, seed)


def split_cohort(cohort: ad.AnnData, rng: np.random.Generator) -> Split:
    """A quarter of each class to train, a quarter to test, half external."""
    label = cohort.obs.groupby("patient", observed=True)["label"].first()
    part = pd.Series(0, index=label.index)
    for name in (SHARED, MISSING):
        of_class = rng.permutation(label.index[label == name])
        part[of_class] = np.array([0, 2, 1, 2])[np.arange(len(of_class)) % 4]
    of_cell = part.loc[cohort.obs["patient"]].to_numpy()
    return Split(*(cohort[of_cell == i].copy() for i in range(3)))


def shift(name: str, rng: np.random.Generator, all_cells: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """The cells as another batch would have measured them."""
    mean, sd = all_cells.mean(axis=0), all_cells.std(axis=0)
    n_features = cells.shape[1]
    shifts: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "none": lambda z: z,
        "affine": lambda z: z * rng.uniform(0.7, 1.4, n_features) + rng.normal(size=n_features),
        "sinh": lambda z: np.sinh(z * rng.uniform(0.5, 1, n_features)),
        "warp": lambda z: np.where(rng.random(n_features) < 0.5, np.sinh(0.7 * z), np.arcsinh(2 * z)),
    }
    return shifts[name]((cells - mean) / sd) * sd + mean


def transfers(
    name: str, align: str, target: ad.AnnData, external: ad.AnnData, test: pd.DataFrame, n_generated: int, seed: int
) -> Iterator[Row]:
    """Generated and real external patients after one alignment."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        rp.tl.assign(external, target, align=align, **KEYS, random_state=seed)
    found = external.uns["gmm"]["reference"]
    measured = (
        float(any("Recipes should not be exchanged" in str(warning.message) for warning in caught)),
        found["coverage"],
        found["shift"].loc[SHARED, "p_value"],
    )
    aligned = external.X if align == "raw" else external.obsm[found["use_rep"]]
    real = patients(external[external.obs["label"] == MISSING], aligned[(external.obs["label"] == MISSING).to_numpy()])
    healthy = patients(target)
    yield Row(name, f"real external patients, {align}", auroc(pd.concat([healthy, real]), test))
    rp.tl.recipes(external, **KEYS)
    for transfer in ("raw", *(["log_ratio"] if align == "raw" else [])):
        rp.tl.recipes(target, **KEYS, reference=external, transfer=transfer)
        with warnings.catch_warnings():
            # Rare components that run out of cells are part of what is measured.
            warnings.simplefilter("ignore", UserWarning)
            rp.tl.generate(target, {MISSING: n_generated}, random_state=seed)
        method = f"generated, {align}" + (", log-ratio" if transfer == "log_ratio" else "")
        yield Row(name, method, auroc(pd.concat([healthy, generated(target)]), test), *measured)


def patients(cells: ad.AnnData, X: np.ndarray | None = None) -> pd.DataFrame:
    """Mean of each patient's cells, the class as the index."""
    values = pd.DataFrame(np.asarray(cells.X if X is None else X))
    return values.groupby([cells.obs["label"].to_numpy(), cells.obs["patient"].to_numpy()]).mean().droplevel(1)


def generated(target: ad.AnnData) -> pd.DataFrame:
    """The same of generated patients."""
    counts = sparse.csc_array(target.obsm["generated"])
    means = (counts.T @ target.X) / counts.sum(axis=0)[:, None]
    return pd.DataFrame(means, index=[MISSING] * counts.shape[1])


def auroc(training: pd.DataFrame, test: pd.DataFrame) -> float:
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, class_weight="balanced", max_iter=1000))
    model.fit(training, training.index == MISSING)
    return float(roc_auc_score(test.index == MISSING, model.decision_function(test)))


def report(rows: pd.DataFrame) -> None:
    print("| shift | trained on | AUROC, mean ± sd | against all real | warns | coverage | p |")
    print("|---|---|---|---|---|---|---|")
    for (name, method), part in rows.groupby(["shift", "method"], sort=False):
        reference = rows[(rows["shift"] == name) & (rows["method"] == FULL)]["auroc"].to_numpy()
        difference = (part["auroc"].to_numpy() - reference).mean()
        line = [name, method, f"{part['auroc'].mean():.3f} ± {part['auroc'].std(ddof=0):.3f}", f"{difference:+.3f}"]
        if part["warns"].notna().any():
            line += [f"{part['warns'].mean():.2f}", f"{part['coverage'].mean():.2f}", f"{part['p_value'].median():.3f}"]
        else:
            line += ["", "", ""]
        print(f"| {' | '.join(line)} |")


if __name__ == "__main__":
    main()
