"""Synthetic privileged information on CITE-seq: proteins of the cells that teach an encoder of RNA.

python benchmarks/views_cite.py [--data FOLDER] [--seeds 3] [--steps 1000] [--share 0.1] [--labels 40] [--pairs 200]

6,855 PBMCs of one donor with RNA and 14 surface proteins (10x Genomics). A random half of the cells is trained on; as the
modalities are treated as unpaired, the translator, optimal transport between linked features, is given the cells' RNA and
proteins without saying which belong together. Encoders then learn from the synthetic proteins; the other half tests them.
"share" is the share of the UMIs that is kept of every cell. Labels are gates on the measured proteins, which favours
whatever has seen protein. "authentic_few" has some measured pairs, at the best of three budgets chosen on the test cells,
which flatters it; "authentic_all" has all of the training cells. "ratio" is how many times the error of "synthetic" an arm
has.
"""

from __future__ import annotations

import argparse
import os
import time
import warnings
from pathlib import Path

import mudata as md
import numpy as np
import pandas as pd

import repatient as rp

FILE = "pbmc10k_cite.h5mu"
NOT_GATED = "NA"


def main() -> None:
    arguments = parse_arguments()
    start = time.perf_counter()
    cells = read_cells(arguments.data / FILE, arguments.share)
    for branches in (2, 3):
        frames = [run(cells, seed, branches, arguments) for seed in range(arguments.seeds)]
        print(f"\n## {branches} branches\n")
        ratios = rp.views.error_ratios(pd.concat(frames, ignore_index=True))
        print(ratios.set_index(["metric", "arm"]).round(3).to_string(), flush=True)
    print(f"\n{arguments.seeds} seeds, {arguments.steps} steps, {time.perf_counter() - start:.0f} s")


def parse_arguments() -> argparse.Namespace:
    beside_repository = Path(__file__).resolve().parents[2] / "shared" / "data"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", type=Path, default=Path(os.environ.get("REPATIENT_COHORTS", beside_repository)), metavar="FOLDER"
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=1000, help="of every encoder")
    parser.add_argument("--share", type=float, default=0.1, help="of the UMIs that are kept")
    parser.add_argument("--labels", type=int, default=40)
    parser.add_argument("--pairs", type=int, default=200)
    arguments = parser.parse_args()
    if not (arguments.data / FILE).is_file():
        parser.error(f"{arguments.data} has no {FILE}; give --data or set REPATIENT_COHORTS.")
    return arguments


def read_cells(path: Path, share: float) -> md.MuData:
    """RNA with some of its UMIs, proteins, and gates where there are any."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cells = md.read_h5mu(path)
    rna = cells["rna"]
    rna.X = rna.X.astype(np.float32)
    if share < 1:
        rna.X.data = np.random.default_rng(0).binomial(rna.X.data.astype(np.int64), share).astype(np.float32)
        rna.X.eliminate_zeros()
    gate = (rna.obs if "gate" in rna.obs else cells.obs)["gate"].reindex(rna.obs_names).astype(str)
    rna.obs["gate"] = gate.where(gate != NOT_GATED)
    return cells


def run(cells: md.MuData, seed: int, branches: int, arguments: argparse.Namespace) -> pd.DataFrame:
    """One translator and all arms, on one half of the cells."""
    rna = cells["rna"]
    training = np.random.default_rng(seed).random(rna.n_obs) < 0.5
    settings = {"links": "names", "mask_obs": training, "target_mask_obs": training, "random_state": seed}
    translator = rp.tl.synthesize(cells, "rna", "prot", evaluation_pairs="obs_names", progress=False, **settings)
    fidelity = rna.uns["X_prot_synthetic"]["fidelity"]
    print(f"seed {seed}, {branches} branches: FOSCTTM {float(fidelity['foscttm']):.3f}", flush=True)
    return rp.tl.evaluate_views(
        cells,
        "rna",
        "prot",
        label_key="gate",
        translator=translator,
        pairs="obs_names",
        mask_obs=training,
        n_pairs=arguments.pairs,
        n_labels=arguments.labels,
        n_seeds=1,
        encoder={"n_steps": arguments.steps, "branches": branches},
        random_state=seed,
    )


if __name__ == "__main__":
    main()
