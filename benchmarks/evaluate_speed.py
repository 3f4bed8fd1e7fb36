"""How long an evaluation takes: 100 patients of 1,000 cells, six methods, 20 splits, two processes

python benchmarks/evaluate_speed.py [--patients 100] [--cells 1000] [--splits 20] [--jobs 2]

Simulated patients of two classes that differ in the proportions of ten kinds of cells, 30 dimensions. Wall time of
`rp.tl.evaluate` with its default number of gradient steps; wanted are less than ten minutes for each scenario.
"""

from __future__ import annotations

import argparse
import os
import time

import anndata as ad
import numpy as np
import pandas as pd

import repatient as rp

N_KINDS, N_DIMS = 10, 30
SCENARIOS = {
    "full": {"methods": ["none", "recipe+psemix+insmix", "recipe", "psemix", "insmix", "null"]},
    "low_data": {"methods": ["none", "recipe+psemix+insmix", "recipe", "psemix", "insmix", "null"], "n_patients": 5},
    "missing_class": {
        "methods": ["full", "recipe", "recipe_fixed", "external", "null", "size_only"],
        "cohort_key": "cohort",
        "target": "target",
        "missing_class": "case",
    },
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patients", type=int, default=100)
    parser.add_argument("--cells", type=int, default=1000)
    parser.add_argument("--splits", type=int, default=20)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--scenarios", nargs="+", choices=list(SCENARIOS), default=list(SCENARIOS))
    given = parser.parse_args()
    adata = simulate(given.patients, given.cells)
    print(f"{given.patients} patients of {given.cells:,} cells, {N_DIMS} dimensions, {given.splits} splits, ", end="")
    print(f"{given.jobs} processes of one thread on {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}.\n")
    print("| scenario | methods | minutes | AUROC, mean of the splits |")
    print("|---|---|---|---|")
    for name in given.scenarios:
        settings = SCENARIOS[name]
        start = time.perf_counter()
        rp.tl.evaluate(
            adata,
            patient_key="patient",
            label_key="label",
            use_rep="X_simulated",
            scenario=name,
            n_splits=given.splits,
            n_jobs=given.jobs,
            progress=False,
            **settings,
        )
        minutes = (time.perf_counter() - start) / 60
        frame = adata.uns["evaluation"]["results"]
        of_method = frame[frame["metric"] == "auroc"].groupby("method")["value"].mean()
        values = ", ".join(f"{method} {of_method[method]:.3f}" for method in settings["methods"])
        print(f"| {name} | {len(settings['methods'])} | {minutes:.1f} | {values} |", flush=True)


def simulate(n_patients: int, n_cells: int) -> ad.AnnData:
    """Patients of two classes in two cohorts, whose cells are of a few kinds."""
    rng = np.random.default_rng(0)
    places = 2.0 * rng.standard_normal((N_KINDS, N_DIMS))
    is_case = np.arange(n_patients) % 2 == 1
    base = np.full(N_KINDS, 2.0)
    tilted = base * np.exp(0.5 * rng.standard_normal(N_KINDS))
    mixes = np.array([rng.dirichlet(tilted if case else base) for case in is_case])
    kinds = (mixes.cumsum(axis=1)[:, None, :] < rng.random((n_patients, n_cells, 1))).sum(axis=2).clip(max=N_KINDS - 1)
    cells = places[kinds.ravel()] + rng.standard_normal((n_patients * n_cells, N_DIMS))
    patients = np.repeat(np.arange(n_patients), n_cells)
    obs = pd.DataFrame(
        {
            "patient": [f"p{i}" for i in patients],
            "label": np.where(is_case, "case", "control")[patients],
            "cohort": np.where(patients // 2 % 2, "external", "target"),
        },
        index=[f"c{i}" for i in range(len(patients))],
    )
    return ad.AnnData(obs=obs, obsm={"X_simulated": cells.astype(np.float32)})


if __name__ == "__main__":
    main()
