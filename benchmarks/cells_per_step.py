"""How many cells of a patient a gradient step has to see: AUROC on the shared cohorts.

python benchmarks/cells_per_step.py [--data FOLDER] [--splits 10] [--seed 0] [--most 64 128 256]

Gated attention of default settings, trained with at most so many cells of each patient in a step and with whole patients,
in the same splits from the same first weights; predictions see all cells. The cohorts are those whose patients have
several hundred cells; of smaller ones a step sees all in any case.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import anndata as ad
import numpy as np
from cohorts import ALL_FILES, DEFAULT_FOLDER

import repatient as rp

LARGE = ("melanoma", "aml", "covid", "t1d", "krieg")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DEFAULT_FOLDER, metavar="FOLDER")
    parser.add_argument("--splits", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--most", type=int, nargs="+", default=[64, 128, 256])
    parser.add_argument("--cohorts", nargs="+", choices=LARGE, default=list(LARGE))
    given = parser.parse_args()
    methods = [{"method": "attention", "name": "all", "cells_per_step": None}]
    methods += [{"method": "attention", "name": str(most), "cells_per_step": most} for most in given.most]
    names = [method["name"] for method in methods]
    print(
        f"{given.splits} splits, seed {given.seed}; mean AUROC, and differences from whole patients ± standard error\n"
    )
    print(f"| cohort | cells of a patient, median | all | {' | '.join(names[1:])} | minutes |")
    print("|---|---|---|" + "---|" * len(names))
    differences = []
    for name in given.cohorts:
        start = time.process_time()
        adata = ad.read_h5ad(given.data / ALL_FILES[name])
        obs = adata.obs.astype({"patient": str, "label": str})
        if name == "melanoma":
            # Some people gave samples of both outcomes.
            adata.obs["donor"] = obs["patient"]
            adata.obs["patient"] = obs["patient"] + "|" + obs["cohort"].astype(str) + "|" + obs["label"]
        frame = rp.tl.evaluate(
            adata,
            patient_key="patient",
            label_key="label",
            donor_key="donor" if "donor" in adata.obs else None,
            use_rep="X_pca" if "X_pca" in adata.obsm else "X",
            methods=methods,
            n_splits=given.splits,
            random_state=given.seed,
            progress=False,
        )
        table = rp.evaluation.by_split(frame, "auroc")[names]
        difference = table[names[1:]].sub(table["all"], axis=0)
        differences.append(difference.mean().to_numpy())
        cells = f"{adata.obs['patient'].value_counts().loc[lambda n: n > 0].median():.0f}"
        told = [f"{difference[n].mean():+.3f} ± {difference[n].sem():.3f}" for n in names[1:]]
        minutes = (time.process_time() - start) / 60
        print(f"| {name} | {cells} | {table['all'].mean():.3f} | {' | '.join(told)} | {minutes:.1f} |", flush=True)
    mean = np.mean(differences, axis=0)
    print(f"| mean of the cohorts | | | {' | '.join(f'{value:+.4f}' for value in mean)} | |")


if __name__ == "__main__":
    main()
