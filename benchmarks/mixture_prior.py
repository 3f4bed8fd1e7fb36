"""Held-out log-likelihood over patients of the default mixture beside scikit-learn's: a Markdown table on standard output.

``python benchmarks/mixture_prior.py ../shared/data/*.h5ad``

With ``--rows 100000 1000000`` instead of files: as many simulated rows, on which the prior is to change nothing.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from pathlib import Path
from typing import NamedTuple

import anndata as ad
import numpy as np
from mixture_rows import N_COMPONENTS, draw
from sklearn.mixture import GaussianMixture as Reference

from repatient.mixture import GaussianMixture, default_n_components

REGULARISATIONS = (1e-6, 1e-4, 1e-3, 1e-2, 1e-1)
# What the prior and its choices are was decided on the first; the page tells of the others.
CHOSEN_ON, REPORTED_ON = range(3), range(3, 12)
MOST_TESTED = 5_000


class Halves(NamedTuple):
    """Cells of 70 % of the donors, whose they are, and cells of the other donors."""

    train: np.ndarray
    donors: np.ndarray
    test: np.ndarray


def halves(path: Path, n_cells: int, seed: int) -> Halves:
    """At most so many cells to learn from, and at most 5,000 to test on."""
    adata, rng = ad.read_h5ad(path), np.random.default_rng(seed)
    X = np.asarray(adata.obsm["X_pca"] if "X_pca" in adata.obsm else adata.X, dtype=np.float32)
    donors = adata.obs["donor" if "donor" in adata.obs else "patient"].astype(str).to_numpy()
    names = rng.permutation(np.unique(donors))
    inside = np.isin(donors, names[: int(0.7 * len(names))])
    train, test = (rng.permutation(np.flatnonzero(part)) for part in (inside, ~inside))
    train = np.sort(train[:n_cells])
    return Halves(X[train], donors[train], X[np.sort(test[:MOST_TESTED])])


def references(cells: Halves, n_components: int) -> dict[str, float]:
    """Held-out log-likelihood of every fit of scikit-learn; minus infinity where one fails."""
    found = {}
    for kind in ("full", "tied", "diag"):
        for reg_covar in REGULARISATIONS:
            mixture = Reference(n_components, covariance_type=kind, reg_covar=reg_covar, random_state=0)
            try:
                found[f"{kind}, {reg_covar:g}"] = float(mixture.fit(cells.train).score(cells.test))
            except ValueError:
                found[f"{kind}, {reg_covar:g}"] = -np.inf
    return found


def many_rows(numbers: list[int], n_seeds: int) -> None:
    """Held-out log-likelihood with the default prior and without one, from the same seeds."""
    print(
        "| rows x 32 | without a prior, mean and sd over seeds | with | largest difference of a seed |\n|---|---|---|---|"
    )
    for n_rows in numbers:
        rows, _ = draw(n_rows + MOST_TESTED * 20, 32, 5)
        train, test = rows[:n_rows], rows[n_rows:]
        none, auto = (
            np.array(
                [
                    GaussianMixture(N_COMPONENTS, prior=prior, random_state=seed, progress=False).fit(train).score(test)
                    for seed in range(n_seeds)
                ]
            )
            for prior in (0.0, "auto")
        )
        print(
            f"| {n_rows:,} | {none.mean():.4f} ± {none.std():.4f} | {auto.mean():.4f} ± {auto.std():.4f} "
            f"| {np.abs(auto - none).max():.4f} |",
            flush=True,
        )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("paths", nargs="*", type=Path)
    parser.add_argument("--rows", nargs="+", type=int)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--cells", nargs="+", type=int, default=[1000])
    parser.add_argument("--most-dimensions", type=int, default=1000)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    if arguments.rows:
        many_rows(arguments.rows, arguments.seeds)
        return
    print(
        "| cohort | cells x d | K | repatient | scikit-learn, chosen on other splits | best of it on these | with | s |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for path in arguments.paths:
        if not {"donor", "patient"} & set(ad.read_h5ad(path, backed="r").obs):
            print(f"{path.name} has no patients: left out.", file=sys.stderr)
            continue
        for n_cells in arguments.cells:
            ours, peers, others, seconds, shape, n_components = [], [], [], 0.0, (0, 0), 0
            for seed in (*CHOSEN_ON, *REPORTED_ON):
                cells = halves(path, n_cells, seed)
                shape, n_components = cells.train.shape, default_n_components(*cells.train.shape)
                if shape[1] > arguments.most_dimensions:
                    break
                (others if seed in CHOSEN_ON else peers).append(references(cells, n_components))
                if seed in REPORTED_ON:
                    start = time.process_time()
                    mixture = GaussianMixture(n_components, progress=False).fit(cells.train, groups=cells.donors)
                    seconds += time.process_time() - start
                    ours.append(mixture.score(cells.test))
            if not ours:
                continue
            means = {name: float(np.mean([peer[name] for peer in peers])) for name in peers[0]}
            known = {name: float(np.mean([peer[name] for peer in others])) for name in others[0]}
            chosen, best = (max(scores, key=lambda name, of=scores: of[name]) for scores in (known, means))
            print(
                f"| {path.stem} | {' x '.join(map(str, shape))} | {n_components} | {np.mean(ours):.2f} | "
                f"{means[chosen]:.2f} | {means[best]:.2f} | {best} | {seconds / len(ours):.1f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
