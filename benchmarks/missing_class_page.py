"""The guide's page on a missing class, over seeds and over settings of the other cohort's mixture.

python benchmarks/missing_class_page.py [--seeds 10] [--jobs 2]

The page's own code: recipes, offsets and moments of a cohort of ten and ten patients as a file; ten patients with the
disease here; 40 new patients, half of them healthy, of whom training has seen none. First with the page's settings, over
seeds of all three cohorts; then for 5 to 40 components in 10 to 50 dimensions, of one covariance and of one each, with the
page's seed. Each line of the second table says whether a warning named a cause.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
import warnings
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

import repatient as rp

COMPONENTS, DIMENSIONS, KINDS = (5, 8, 10, 20, 40), (10, 20, 30, 50), ("tied", "full")
KEYS: dict[str, Any] = {"patient_key": "patient", "label_key": "label"}
# Without a warning, a model is to rank real patients of both classes as well as this.
WELL = 0.9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--jobs", type=int, default=2)
    given = parser.parse_args()
    parallel = joblib.Parallel(n_jobs=given.jobs)
    found = parallel(joblib.delayed(page)(8, 10, "tied", seed) for seed in range(given.seeds))
    auroc, accuracy, _ = zip(*found, strict=True)
    print(f"## The page, seeds 0 to {given.seeds - 1}\n\n| | lowest | mean | sd |\n|---|---|---|---|")
    for name, values in (("AUROC", auroc), ("balanced accuracy", accuracy)):
        print(f"| {name} | {min(values):.3f} | {np.mean(values):.3f} | {np.std(values):.3f} |")
    settings = list(itertools.product(KINDS, COMPONENTS, DIMENSIONS))
    found = parallel(joblib.delayed(page)(K, d, kind, 0) for kind, K, d in settings)
    print("\n## Settings\n\n| covariances | components | dimensions | AUROC | balanced accuracy | warned of |")
    print("|---|---|---|---|---|---|")
    for (kind, K, d), (auc, acc, told) in zip(settings, found, strict=True):
        print(f"| {kind} | {K} | {d} | {auc:.3f} | {acc:.3f} | {'; '.join(told)} |")
    silent = sum(auc < WELL and not told for auc, _, told in found)
    print(f"\n{len(settings)} settings, {silent} of them below {WELL} without a warning.")


def page(n_components: int, n_dims: int, kind: str, seed: int) -> tuple[float, float, list[str]]:
    """AUROC and balanced accuracy on new patients of both classes, and what was warned of."""
    external, here, new = (
        rp.datasets.pbmc_cohort(n_patients=n, n_cells=200, random_state=3 * seed + part)[0]
        for n, part in ((10, 1), (10, 0), (20, 2))
    )
    for adata in (external, here, new):
        adata.obsm["X_pca"] = adata.obsm["X_pca"][:, :n_dims].copy()
    here = here[here.obs["label"] == "disease"].copy()
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        path = Path(folder, "external.recipes.h5")
        rp.tl.gmm(external, n_components=n_components, covariance_type=kind, progress=False)
        rp.tl.recipes(external, **KEYS)
        rp.io.write_recipes(external, path)
        model: Any = rp.tl.mil(here, **KEYS, reference=path, progress=False)
        scores = model.predict(new)
    truth = new.obs.drop_duplicates("patient").set_index("patient")["label"].astype(str).reindex(scores.index)
    auroc = roc_auc_score(truth == "healthy", scores["probability_healthy"])
    accuracy = balanced_accuracy_score(truth, scores["predicted"].astype(str))
    told = dict.fromkeys(_first(warning.message) for warning in caught if issubclass(warning.category, UserWarning))
    return float(auroc), float(accuracy), list(told)


def _first(message: Any) -> str:
    """The first sentence of a warning."""
    return str(message).partition(". ")[0].partition("\n")[0][:160].replace("|", "/")


if __name__ == "__main__":
    main()
