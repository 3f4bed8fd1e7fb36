"""What users wait for, as ratios of the CPU time of another checkout to that of this one.

python benchmarks/waits.py OTHER [--cases evaluate gmm_full ...] [--share 1.0] [--rounds 1]

OTHER is the folder of the other checkout (`git worktree add OTHER COMMIT`). Each case runs in a process of its own on one
thread, in the two checkouts in turn, and prints the CPU seconds of the call alone (of `evaluate_cores`, which may start
other processes, those of the clock), imports and simulated data not counted, and what came out: the mean AUROC of an
evaluation, or the mean log density, in nats, of cells of patients that the mixture has not seen. `--share` scales the number
of cells of a patient, for a first look; ratios of fewer cells are smaller.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

HERE = Path(__file__).resolve().parents[1]
NETWORKS = ["none", "recipe+psemix+insmix", "recipe", "psemix", "insmix", "null"]
KINDS = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("other", type=Path)
    parser.add_argument("--cases", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--share", type=float, default=1.0)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--child", choices=list(CASES), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        print(json.dumps(run(given.child, given.share)))
        return
    print(
        f"Load when started: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores; share of the cells {given.share:g}.\n"
    )
    print("| case | before, s | now, s | times | result before | now |\n|---|---|---|---|---|---|")
    for case in given.cases:
        found = [[measured(folder, case, given.share) for folder in (given.other, HERE)] for _ in range(given.rounds)]
        before, now = (min(round_[side]["seconds"] for round_ in found) for side in (0, 1))
        results = " | ".join(found[0][side]["result"] for side in (0, 1))
        print(
            f"| {case}: {CASES[case].__doc__} | {before:.1f} | {now:.1f} | {before / now:.1f} | {results} |", flush=True
        )


def measured(folder: Path, case: str, share: float) -> dict[str, Any]:
    """CPU seconds and result of a case in a checkout."""
    command = [sys.executable, __file__, str(folder), "--child", case, "--share", str(share)]
    environment = {**os.environ, "PYTHONPATH": str(folder / "src"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def run(case: str, share: float) -> dict[str, Any]:
    warnings.simplefilter("ignore")
    import_all()
    call = CASES[case](share)
    # Other processes have a time of their own.
    clock = time.perf_counter if case == "evaluate_cores" else time.process_time
    start = clock()
    result = call()
    seconds = clock() - start
    return {"seconds": seconds, "result": result() if callable(result) else str(result)}


def import_all() -> None:
    """Import what calls import when they need it: a process does so once, however long it works."""
    for name in ("evaluation", "mil", "mixing", "mixture", "recipe", "sampling", "tl"):
        room = importlib.import_module(f"repatient.{name}")
        for public in dir(room):
            getattr(room, public)
    for name in ("sklearn.cluster", "sklearn.linear_model", "sklearn.decomposition", "joblib", "torch"):
        importlib.import_module(name)


def cohort(n_patients: int, n_cells: int, n_dims: int, seed: int = 0) -> Any:
    """Patients of two classes that differ in the proportions of ten kinds of cells, which have a few axes of their own."""
    import anndata as ad
    import pandas as pd

    rng, kinds = np.random.default_rng(seed), np.random.default_rng(100)
    scales = np.arange(1, n_dims + 1) ** -0.5
    places = 2 * kinds.standard_normal((KINDS, n_dims)) * scales
    axes = kinds.standard_normal((KINDS, 4, n_dims)) * scales
    tilted = 2 * np.exp(0.5 * kinds.standard_normal(KINDS))
    cells, codes = [], np.repeat(np.arange(n_patients), n_cells)
    for patient in range(n_patients):
        kind = rng.choice(KINDS, n_cells, p=rng.dirichlet(tilted if patient % 2 else np.full(KINDS, 2.0)))
        own = np.einsum("na,nad->nd", rng.standard_normal((n_cells, 4)), axes[kind])
        shift = 0.1 * rng.standard_normal(n_dims) * scales
        cells.append((places[kind] + own + shift + rng.standard_normal((n_cells, n_dims)) * scales).astype(np.float32))
    obs = pd.DataFrame(
        {"patient": np.char.mod("p%d", codes), "label": np.where(codes % 2, "case", "control")},
        index=np.char.mod("c%d", np.arange(len(codes))),
    )
    return ad.AnnData(obs=obs, obsm={"X_pca": np.concatenate(cells)})


def evaluate(n_patients: int, n_cells: int, n_dims: int, **settings: Any) -> Callable[[], Any]:
    import repatient as rp

    adata = cohort(n_patients, n_cells, n_dims)

    def call() -> str:
        frame: Any = rp.tl.evaluate(adata, patient_key="patient", label_key="label", progress=False, **settings)
        return f"{frame.loc[frame['metric'] == 'auroc', 'value'].mean():.3f}"

    return call


def gmm(n_patients: int, n_cells: int, n_dims: int, n_components: Any, **settings: Any) -> Callable[[], Any]:
    import repatient as rp
    from repatient.mixture import GaussianMixture

    adata = cohort(n_patients, n_cells, n_dims)
    others = cohort(8, 200, n_dims, seed=7).obsm["X_pca"]

    def call() -> Callable[[], str]:
        rp.tl.gmm(adata, n_components, progress=False, **settings)
        entry = adata.uns["gmm"]
        weights, means, covariances = (entry[name] for name in ("weights", "means", "covariances"))
        fitted = GaussianMixture.from_parameters(weights, means, covariances, settings.get("covariance_type", "full"))
        return lambda: f"{fitted.score(others):.2f}"

    return call


def evaluate_default(share: float) -> Callable[[], Any]:
    """`evaluate`, 100 × 1,000 × 30, all default methods, 2 splits"""
    return evaluate(100, int(1000 * share), 30, n_splits=2)


def evaluate_cores(share: float) -> Callable[[], Any]:
    """`evaluate`, 100 × 1,000 × 30, all default methods, 20 splits, by the clock"""
    return evaluate(100, int(1000 * share), 30, n_splits=20)


def evaluate_networks(share: float) -> Callable[[], Any]:
    """`evaluate`, 100 × 1,000 × 30, six methods of networks, 2 splits"""
    return evaluate(100, int(1000 * share), 30, n_splits=2, methods=NETWORKS)


def evaluate_flow(share: float) -> Callable[[], Any]:
    """`evaluate`, 24 × 5,000 × 12, attention alone and with recipes, 2 splits"""
    return evaluate(24, int(5000 * share), 12, n_splits=2, methods=["none", "recipe"])


def mil_wide(share: float) -> Callable[[], Any]:
    """`mil`, 20 × 5,000 × 1,024"""
    import repatient as rp

    adata = cohort(20, int(5000 * share), 1024)

    def call() -> str:
        rp.tl.mil(adata, patient_key="patient", label_key="label", progress=False)
        return ""

    return call


def gmm_full(share: float) -> Callable[[], Any]:
    """`gmm(10)`, 40 × 500 × 384, full"""
    return gmm(40, int(500 * share), 384, 10)


def gmm_diagonal(share: float) -> Callable[[], Any]:
    """`gmm(10)`, 20 × 5,000 × 1,024, diagonal"""
    return gmm(20, int(5000 * share), 1024, 10, covariance_type="diag")


def gmm_sequence(share: float) -> Callable[[], Any]:
    """`gmm([5, 10, 20, 30])`, 49 × 1,000 × 50"""
    return gmm(49, int(1000 * share), 50, [5, 10, 20, 30], patient_key="patient")


def donor_effects(share: float) -> Callable[[], Any]:
    """`generate` with donor effects, 30,000 patients of 10 cells"""
    import repatient as rp

    adata = cohort(int(30_000 * share), 10, 5)
    rp.tl.gmm(adata, 5, progress=False)
    rp.tl.recipes(adata, patient_key="patient", label_key="label")

    def call() -> str:
        rp.tl.generate(adata, n_patients=20, donor_effects=True)
        return ""

    return call


CASES: dict[str, Callable[[float], Callable[[], Any]]] = {
    case.__name__: case
    for case in (
        evaluate_default,
        evaluate_cores,
        evaluate_networks,
        evaluate_flow,
        mil_wide,
        gmm_full,
        gmm_diagonal,
        gmm_sequence,
        donor_effects,
    )
}


if __name__ == "__main__":
    main()
