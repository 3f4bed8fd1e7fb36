"""Held-out log-likelihood over patients of the default mixture beside scikit-learn's: a Markdown table on standard output.

``python benchmarks/mixture_prior.py ../shared/data/*.h5ad``
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path

import anndata as ad
import numpy as np
from sklearn.mixture import GaussianMixture as Reference

from repatient.mixture import GaussianMixture, default_n_components

REGULARISATIONS = (1e-6, 1e-4, 1e-3, 1e-2, 1e-1)


def halves(path: Path, n_cells: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Cells of 70 % of the donors, and at most 5,000 cells of the others."""
    adata, rng = ad.read_h5ad(path), np.random.default_rng(seed)
    X = np.asarray(adata.obsm["X_pca"] if "X_pca" in adata.obsm else adata.X, dtype=np.float32)
    donors = adata.obs["donor" if "donor" in adata.obs else "patient"].astype(str).to_numpy()
    names = rng.permutation(np.unique(donors))
    inside = np.isin(donors, names[: int(0.7 * len(names))])
    train, test = (rng.permutation(np.flatnonzero(part)) for part in (inside, ~inside))
    return X[np.sort(train[:n_cells])], X[np.sort(test[:5000])]


def reference(train: np.ndarray, test: np.ndarray, n_components: int, kind: str, reg_covar: float) -> float:
    """Held-out log-likelihood of one fit; minus infinity where it fails."""
    mixture = Reference(n_components, covariance_type=kind, reg_covar=reg_covar, random_state=0)
    try:
        return float(mixture.fit(train).score(test))
    except ValueError:
        return -np.inf


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("paths", nargs="+", type=Path)
    parser.add_argument("--cells", nargs="+", type=int, default=[1000, 5000])
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    print("| cohort | cells x dimensions | components | repatient | best of scikit-learn | with |")
    print("|---|---|---|---|---|---|")
    for path in arguments.paths:
        for n_cells in arguments.cells:
            train, test = halves(path, n_cells, arguments.seed)
            n_components = default_n_components(*train.shape)
            ours = GaussianMixture(n_components, progress=False).fit(train).score(test)
            peers = {
                f"{kind}, {reg_covar:g}": reference(train, test, n_components, kind, reg_covar)
                for kind in ("full", "tied", "diag")
                for reg_covar in REGULARISATIONS
            }
            best = max(peers, key=lambda name: peers[name])
            shape = " x ".join(map(str, train.shape))
            print(f"| {path.stem} | {shape} | {n_components} | {ours:.2f} | {peers[best]:.2f} | {best} |", flush=True)


if __name__ == "__main__":
    main()
