"""The classifier on two classic benchmarks of multiple-instance learning, beside the published gated attention.

python benchmarks/mil_sanity.py [--data FOLDER] [--repeats 3] [--seed 0]

Ten-fold stratified cross-validation over bags, repeated with other shuffles. Scaling, class weights and training happen
inside the training folds; the configuration is one for both data sets and is fixed beforehand, the number of epochs
included, so no test fold chooses anything.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import anndata as ad
import numpy as np
from sklearn.model_selection import StratifiedKFold

from repatient.mil import Bags, MILClassifier

# Accuracy of "Gated-Attention" in table 1 of Ilse, Tomczak and Welling (2018): five repeats of ten folds.
PUBLISHED = {"musk1": 0.900, "elephant": 0.857}
# About a hundred bags: holding a fifth of them back for early stopping costs more than it gives, so that all are trained
# on for the fixed number of epochs. Everything else is the default of the package.
CONFIGURATION = {"validation_fraction": 0.0}
FOLDS = 10


def main() -> None:
    arguments = parse_arguments()
    print(f"`MILClassifier({', '.join(f'{k}={v}' for k, v in CONFIGURATION.items())})`, ", end="")
    print(f"{FOLDS} folds, {arguments.repeats} repeats, seed {arguments.seed}\n")
    print("| data set | bags | accuracy, mean ± sd over folds | sd over repeats | published | difference | seconds |")
    print("|---|---|---|---|---|---|---|")
    for name, published in PUBLISHED.items():
        bags, y = read_bags(arguments.data / f"{name}.h5ad")
        start = time.perf_counter()
        accuracy = np.array([cross_validate(bags, y, arguments.seed + r) for r in range(arguments.repeats)])
        seconds = time.perf_counter() - start
        print(
            f"| {name} | {len(bags)} | {accuracy.mean():.3f} ± {accuracy.std():.3f} "
            f"| {accuracy.mean(axis=1).std():.3f} | {published:.3f} | {accuracy.mean() - published:+.3f} "
            f"| {seconds:.0f} |",
            flush=True,
        )


def parse_arguments() -> argparse.Namespace:
    beside_repository = Path(__file__).resolve().parents[2] / "shared" / "data"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", type=Path, default=Path(os.environ.get("REPATIENT_COHORTS", beside_repository)), metavar="FOLDER"
    )
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    for name in PUBLISHED:
        if not (arguments.data / f"{name}.h5ad").is_file():
            parser.error(f"{arguments.data} has no {name}.h5ad; give --data or set REPATIENT_COHORTS.")
    return arguments


def read_bags(path: Path) -> tuple[Bags, np.ndarray]:
    """Bags of a file of instances, and their labels."""
    adata = ad.read_h5ad(path)
    patients, first, codes = np.unique(adata.obs["patient"].astype(str), return_index=True, return_inverse=True)
    labels = adata.obs["label"].astype(str).to_numpy()
    return Bags.from_codes(np.asarray(adata.X), codes, len(patients)), labels[first]


def cross_validate(bags: Bags, y: np.ndarray, seed: int) -> list[float]:
    """Accuracy in each fold of one shuffle."""
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(y, y)
    return [
        MILClassifier(**CONFIGURATION, random_state=FOLDS * seed + k)
        .fit(bags.take(training), y[training])
        .score(bags.take(test), y[test])
        for k, (training, test) in enumerate(folds)
    ]


if __name__ == "__main__":
    main()
