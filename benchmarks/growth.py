"""How CPU time grows with patients, and with cells: an exponent for every public function that reads a cohort.

python benchmarks/growth.py [--patients 100 1000 10000] [--cells 10000 100000 1000000] [--functions tl.gmm …]

Simulated cohorts of two classes in 10 dimensions: so many patients of 50 cells, and 100 patients of so many cells in all.
Each function is called once at each size, on one thread, with what it needs made beforehand; seconds are those of the
processor. The exponent is the slope of the logarithm of time on that of size between the two largest sizes: 1 is linear.
Below a hundredth of a second it is left out, since there is nothing but overhead to be seen.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anndata as ad
import numpy as np
import pandas as pd

import repatient as rp

if TYPE_CHECKING:
    from collections.abc import Callable

N_DIMS, CELLS_OF_A_PATIENT, PATIENTS, KINDS = 10, 50, 100, 6
KEYS = {"patient_key": "patient", "label_key": "label"}
VISIBLE = 0.01


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patients", type=int, nargs="*", default=[100, 1_000, 10_000])
    parser.add_argument("--cells", type=int, nargs="*", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--functions", nargs="+", choices=list(STEPS), default=list(STEPS))
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    measured(cohort(20, 1_000))  # imports, and what is compiled at the first call
    for title, sizes in (
        ("patients of 50 cells", [(n, n * CELLS_OF_A_PATIENT) for n in given.patients]),
        ("cells of 100 patients", [(PATIENTS, n) for n in given.cells]),
    ):
        found = {name: [] for name in given.functions}
        for n_patients, n_cells in sizes:
            for name, seconds in measured(cohort(n_patients, n_cells)):
                if name in found:
                    found[name].append(seconds)
        names = [f"{patients if 'patients of' in title else cells:,}" for patients, cells in sizes]
        print(f"\n## {title[0].upper()}{title[1:]}\n\nCPU seconds, by number.\n")
        print(f"| function | {' | '.join(names)} | exponent |\n|---|{'---:|' * (len(names) + 1)}")
        for name, seconds in found.items():
            told = [f"{value:.3g}" for value in seconds]
            print(f"| {name} | {' | '.join(told)} | {exponent(seconds, [cells for _, cells in sizes])} |", flush=True)


def exponent(seconds: list[float], sizes: list[int]) -> str:
    """Slope between the two largest sizes."""
    if len(seconds) < 2 or seconds[-2] < VISIBLE:
        return ""
    return f"{np.log(seconds[-1] / seconds[-2]) / np.log(sizes[-1] / sizes[-2]):.2f}"


def cohort(n_patients: int, n_cells: int) -> ad.AnnData:
    """Patients of two classes that differ in their compositions and inside components."""
    rng = np.random.default_rng(0)
    codes = np.sort(np.arange(n_cells) % n_patients)
    centres = np.random.default_rng(1).normal(0, 4, (KINDS, N_DIMS))
    shares = np.stack(
        [rng.dirichlet(np.full(KINDS, 4.0), n_patients), rng.dirichlet(np.arange(1, KINDS + 1), n_patients)]
    )
    shares = np.where((np.arange(n_patients) % 2)[:, None] == 0, shares[0], shares[1])
    kind = (rng.random(n_cells)[:, None] > shares.cumsum(axis=1)[codes]).sum(axis=1).clip(max=KINDS - 1)
    X = centres[kind] + rng.normal(0, 0.3, (n_patients, N_DIMS))[codes] + rng.normal(size=(n_cells, N_DIMS))
    obs = pd.DataFrame(
        {
            "patient": pd.Categorical.from_codes(codes, [f"p{i}" for i in range(n_patients)]),
            "label": pd.Categorical.from_codes(codes % 2, ["control", "case"]),
        },
        index=pd.RangeIndex(n_cells).astype(str),
    )
    X = X.astype(np.float32)
    return ad.AnnData(X, obs=obs, obsm={"X_pca": X})


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    start = time.process_time()
    result = call()
    return time.process_time() - start, result


def measured(adata: ad.AnnData) -> list[tuple[str, float]]:
    """Every function on one cohort, in the order in which they need each other."""
    state: dict[str, Any] = {"adata": adata, "n": adata.obs["patient"].cat.categories.size}
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        state["folder"] = Path(folder)
        for name, step in STEPS.items():
            seconds, state[name] = timed(lambda step=step: step(state))
            rows.append((name, seconds))
    return rows


def some(state: dict[str, Any]) -> dict[str, Any]:
    """As many generated patients as there are real ones."""
    return {"n_patients": state["n"] // 2}


STEPS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "io.cohort_table": lambda s: rp.io.cohort_table(s["adata"], **KEYS),
    "pp.embed": lambda s: rp.pp.embed(s["adata"], "features", n_components=5, key_added="X_five", progress=False),
    "pp.project": lambda s: rp.pp.project(
        s["adata"], s["adata"], use_rep="X_five", key_added="X_again", progress=False
    ),
    "tl.gmm": lambda s: rp.tl.gmm(s["adata"], 6, use_rep="X_pca", progress=False),
    "tl.assign": lambda s: rp.tl.assign(s["adata"], s["adata"], key_added="assigned"),
    "tl.recipes": lambda s: rp.tl.recipes(s["adata"], **KEYS),
    "tl.compare_recipes": lambda s: rp.tl.compare_recipes(s["adata"]),
    "get.recipes": lambda s: rp.get.recipes(s["adata"]),
    "get.compositions": lambda s: rp.get.compositions(s["adata"]),
    "tl.generate": lambda s: rp.tl.generate(s["adata"], **some(s)),
    "tl.generate, no donor effects": lambda s: rp.tl.generate(
        s["adata"], **some(s), donor_effects=False, key_added="without_effects"
    ),
    "tl.generate, counterfactual": lambda s: rp.tl.generate(
        s["adata"], **some(s), method="counterfactual", key_added="counterfactual"
    ),
    "tl.audit": lambda s: rp.tl.audit(s["adata"]),
    "get.generated": lambda s: rp.get.generated(s["adata"]),
    "get.augmented": lambda s: rp.get.augmented(s["adata"]),
    "get.augmented, to a file": lambda s: rp.get.augmented(s["adata"], to=s["folder"] / "a.h5ad"),
    "get.patients": lambda s: rp.get.patients(s["adata"]),
    "get.bags": lambda s: rp.get.bags(s["adata"], **KEYS),
    "tl.mil, mean": lambda s: rp.tl.mil(s["adata"], **KEYS, model="mean", use_rep="X_pca"),
    "tl.mil, attention": lambda s: rp.tl.mil(
        s["adata"], **KEYS, model="attention", use_rep="X_pca", progress=False, key_added="attention"
    ),
    "predict, mean": lambda s: s["tl.mil, mean"].predict(s["adata"]),
    "predict, attention": lambda s: s["tl.mil, attention"].predict(s["adata"]),
    "tl.select": lambda s: rp.tl.select(s["adata"], s["tl.mil, attention"]),
    "tl.explain": lambda s: rp.tl.explain(s["adata"], s["tl.mil, mean"]),
    "io.write_recipes": lambda s: rp.io.write_recipes(s["adata"], s["folder"] / "r.h5"),
    "tl.mil, reference": lambda s: rp.tl.mil(
        s["adata"], **KEYS, reference=str(s["folder"] / "r.h5"), key_added="with_reference", progress=False
    ),
}

if __name__ == "__main__":
    main()
