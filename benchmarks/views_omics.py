"""Where synthetic proteins pay: a map over depth, panel, labels and pairs of CITE-seq.

python benchmarks/views_omics.py [--data FOLDER] [--depths 1.0 0.1 0.01] [--panels 30 200] [--seeds 6] [--first-seed 0]

6,855 PBMCs of one donor with RNA and 14 surface proteins (10x Genomics). Panels are the genes that vary most beside those that
the links name, since a clinic that has a panel chooses them; depth is the share of the UMIs of every cell that are kept. A random
half of the cells is trained on, another one for every seed; the modalities are treated as unpaired, and proteins are linked to
the genes that encode them, CD45RA and CD45RO to markers of naive and memory T cells, as in views_cite. Labels are gates on the
measured proteins, which favours whatever has seen protein. What is run is `rp.tl.evaluate_views(scenario="map")`, whose sentence
is printed: the representation to take at each number of labels, with one-sided bounds at 95 % that hold together.

"spi" is what is handed on: an encoder taught by synthetic proteins, with these beside it where it loses some; "authentic_n" are
encoders taught by n measured pairs alone, at the best of two budgets chosen on the test cells; "authentic_all" has all of them.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import warnings
from pathlib import Path

import mudata as md
import numpy as np
import pandas as pd
from views_cite import FILE, KEY, fit_translator, read_cells

import repatient as rp

# Genes that encode the 14 proteins, and the markers that stand for the two isoforms.
LINKED = (
    *(
        "CD3D",
        "CD3E",
        "CD3G",
        "CD4",
        "CD8A",
        "CD8B",
        "CD14",
        "CD19",
        "FUT4",
        "FCGR3A",
        "IL2RA",
        "IL7R",
        "NCAM1",
        "PDCD1",
        "TIGIT",
    ),
    *("CCR7", "S100A4"),
)


def main() -> None:
    arguments = parse_arguments()
    start = time.perf_counter()
    for depth in arguments.depths:
        cells = read_cells(arguments.data / FILE, depth)
        for n_genes in arguments.panels:
            compare(with_panel(cells, n_genes), depth, n_genes, arguments)
    seeds = f"{arguments.seeds} seeds from {arguments.first_seed} on"
    print(f"\n{seeds}, {arguments.steps} steps, {time.perf_counter() - start:.0f} s")


def parse_arguments() -> argparse.Namespace:
    beside_repository = Path(__file__).resolve().parents[2] / "shared" / "data"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", type=Path, default=Path(os.environ.get("REPATIENT_COHORTS", beside_repository)), metavar="FOLDER"
    )
    parser.add_argument("--depths", type=float, nargs="+", default=[1.0, 0.1, 0.01])
    parser.add_argument("--panels", type=int, nargs="+", default=[30, 200])
    parser.add_argument("--labels", type=int, nargs="+", default=[20, 100, 400])
    parser.add_argument("--pairs", type=int, nargs="+", default=[20, 100, 600])
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=300, help="of every encoder")
    arguments = parser.parse_args()
    if not (arguments.data / FILE).is_file():
        parser.error(f"{arguments.data} has no {FILE}; give --data or set REPATIENT_COHORTS.")
    return arguments


def with_panel(cells: md.MuData, n_genes: int) -> md.MuData:
    """The genes that links name and those that vary most, as a clinic's panel would be chosen; labels play no part."""
    rna, proteins = cells["rna"], cells["prot"]
    shares = rna.X.multiply(1e4 / np.maximum(np.asarray(rna.X.sum(axis=1)), 1)).tocsc()
    shares.data = np.log1p(shares.data)
    spread = np.asarray(shares.power(2).mean(axis=0)).ravel() - np.asarray(shares.mean(axis=0)).ravel() ** 2
    order = rna.var_names[np.argsort(-spread, kind="stable")]
    named = [name for name in order if name in LINKED]
    chosen = [*named, *(name for name in order if name not in named)][:n_genes]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return md.MuData({"rna": rna[:, chosen].copy(), "prot": proteins.copy()})


def compare(cells: md.MuData, depth: float, n_genes: int, arguments: argparse.Namespace) -> None:
    """Errors at one depth and panel, and what to take."""
    frames, foscttm = [], []
    for seed in range(arguments.first_seed, arguments.first_seed + arguments.seeds):
        training = np.random.default_rng(seed).random(cells["rna"].n_obs) < 0.5
        translator = fit_translator(cells, training, random_state=seed)
        foscttm.append(float(cells["rna"].uns[KEY]["fidelity"]["foscttm"]))
        frames.append(
            rp.tl.evaluate_views(
                cells,
                "rna",
                "prot",
                label_key="gate",
                scenario="map",
                translator=translator,
                pairs="obs_names",
                mask_obs=training,
                n_pairs=arguments.pairs,
                n_labels=arguments.labels,
                budgets=(0.3, 1.0),
                n_seeds=1,
                encoder={"n_steps": arguments.steps, "branches": 2},
                random_state=seed,
                progress=False,
            )
        )
        print(f"depth {depth}, {n_genes} genes, seed {seed}", file=sys.stderr, flush=True)
    results = pd.concat(frames, ignore_index=True)
    print(f"\n## {depth:.0%} of the UMIs, {n_genes} genes, FOSCTTM {np.mean(foscttm):.3f}\n")
    ratios = rp.views.error_ratios(results, reference="spi")
    metrics = list(dict.fromkeys(ratios["metric"]))
    print(
        "| arm | "
        + " | ".join(
            f"{'all labels' if m == 'linear' else m.removeprefix('linear_') + ' labels'}: error | / SPI"
            for m in metrics
        )
        + " |"
    )
    print("|---" * (1 + 2 * len(metrics)) + "|")
    for arm, of_arm in ratios.groupby("arm", sort=False):
        of_metric = of_arm.set_index("metric").loc[metrics]
        cells_of = [
            f"{row['error']:.3f} | {row['ratio']:.2f} ({row['lower']:.2f} to {row['upper']:.2f})"
            for _, row in of_metric.iterrows()
        ]
        print(f"| {arm} | {' | '.join(cells_of)} |")
    print()
    for metric in metrics:
        advice = rp.views.advise(results, metric, n_comparisons=3 * len(metrics))
        print(f"- {'All' if metric == 'linear' else metric.removeprefix('linear_')} labels: {advice.sentence}")


if __name__ == "__main__":
    main()
