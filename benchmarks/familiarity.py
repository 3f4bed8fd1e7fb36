"""What a model notices of new patients: false warnings of right ones, and foreign input that passes.

python benchmarks/familiarity.py [COHORT ...] [--folds N] [--splits N] [--seed N]

Right patients: each patient of a cohort is scored alone by a familiarity that was learnt without them (leave-one-out over
donors; with ``--folds`` that many groups of donors are left out at a time, which is quicker). A patient is warned of where the
smallest p-value times the number of measures is below .001.

Foreign input: on random halves of the donors (``--splits``), the other half is scored as it is and after its features were
permuted (the same way in all cells), shuffled within each patient, replaced by noise, multiplied by 1,000, or by
principal components of its own. Given is in how many of the splits it is refused, or warned of in most patients.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anndata as ad
import numpy as np
from cohorts import ALL_FILES, DEFAULT_FOLDER

from repatient.evaluation import Familiarity

if TYPE_CHECKING:
    from numpy.typing import NDArray


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "cohorts", nargs="*", metavar="COHORT", default=list(ALL_FILES), help=f"of {', '.join(ALL_FILES)}"
    )
    parser.add_argument("--data", type=Path, default=DEFAULT_FOLDER, metavar="FOLDER", help="folder of the cohorts")
    parser.add_argument("--folds", type=int, default=0, help="groups of donors that are left out; 0: each donor")
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    if unknown := set(given.cohorts) - set(ALL_FILES):
        parser.error(f"no cohort {sorted(unknown)}; there are {', '.join(ALL_FILES)}")
    print(f"| cohort | patients | warned of, right | {' | '.join(FOREIGN)} |")
    print(f"| --- | ---: | ---: |{' ---: |' * len(FOREIGN)}")
    for name in given.cohorts:
        X, codes, donors = read(given.data / ALL_FILES[name])
        warned = false_warnings(X, codes, donors, given.folds, given.seed)
        noticed = [noticed_of(X, codes, donors, change, given.splits, given.seed) for change in FOREIGN.values()]
        cells = [f"{warned.mean():.1%} ({int(warned.sum())})", *(f"{refused}/{told}" for refused, told in noticed)]
        print(f"| {name} | {len(donors)} | {' | '.join(cells)} |", flush=True)


def read(path: Path) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]]:
    """Cells, the patient of each, and the donor of each patient."""
    adata = ad.read_h5ad(path)
    X = np.asarray(adata.obsm["X_pca"] if "X_pca" in adata.obsm else adata.X, dtype=np.float32)
    patients, first, codes = np.unique(
        adata.obs["patient"].astype(str).to_numpy(dtype=str), return_index=True, return_inverse=True
    )
    donors = adata.obs["donor"].astype(str).to_numpy(dtype=str)[first] if "donor" in adata.obs else patients
    return X, codes, np.unique(donors, return_inverse=True)[1]


def false_warnings(
    X: NDArray[np.float32], codes: NDArray[np.int64], donors: NDArray[np.int64], n_folds: int, seed: int
) -> NDArray[np.bool_]:
    n_donors = int(donors.max()) + 1
    order = np.random.default_rng(seed).permutation(n_donors)
    fold = (order % n_folds if n_folds else order)[donors]
    warned = np.zeros(len(donors), dtype=bool)
    for k in np.unique(fold):
        out = (fold == k)[codes]
        familiarity = Familiarity.fit(X[~out], codes[~out], groups=donors[codes[~out]], random_state=seed)
        for patient in np.flatnonzero(fold == k):
            cells = X[codes == patient]
            warned[patient] = familiarity.score(cells, np.zeros(len(cells), dtype=np.int64)).doubtful[0]
    return warned


def noticed_of(
    X: NDArray[np.float32], codes: NDArray[np.int64], donors: NDArray[np.int64], change: Any, n_splits: int, seed: int
) -> tuple[int, int]:
    """In how many splits changed patients are refused, and in how many most of them are warned of at least."""
    refused = told = 0
    for split in range(n_splits):
        rng = np.random.default_rng([seed, split])
        train = (rng.permutation(int(donors.max()) + 1) % 2 == 0)[donors][codes]
        key = ("fit", split, seed, X.shape)
        familiarity = _FITTED.get(key) or Familiarity.fit(
            X[train], codes[train], groups=donors[codes[train]], random_state=seed
        )
        _FITTED[key] = familiarity
        new = np.unique(codes[~train], return_inverse=True)[1]
        scores = familiarity.score(change(X[~train], new, rng).astype(np.float32), new)
        refused += scores.foreign
        told += bool(scores.doubtful.mean() > 0.5)
    return refused, told


_FITTED: dict[tuple[Any, ...], Familiarity] = {}


def shuffled(X: NDArray[Any], codes: NDArray[np.int64], rng: np.random.Generator) -> NDArray[Any]:
    """Each feature over the cells of its patient: means and spreads stay."""
    order = np.stack([np.lexsort((rng.random(len(X)), codes)) for _ in range(X.shape[1])], axis=1)
    result = np.empty_like(X)
    result[np.argsort(codes, kind="stable")] = np.take_along_axis(X, order, axis=0)
    return result


def own_components(X: NDArray[Any]) -> NDArray[Any]:
    centred = X - X.mean(axis=0)
    return centred @ np.linalg.eigh(centred.T @ centred)[1][:, ::-1]


FOREIGN = {
    "as it is": lambda X, codes, rng: X,
    "permuted features": lambda X, codes, rng: X[:, rng.permutation(X.shape[1])],
    "shuffled within patients": shuffled,
    "noise": lambda X, codes, rng: rng.normal(size=X.shape) * 100,
    "other units": lambda X, codes, rng: X * 1000,
    "own PCA": lambda X, codes, rng: own_components(X),
}

if __name__ == "__main__":
    main()
