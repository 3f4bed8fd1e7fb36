"""The recipes that a cohort was dealt by are found again."""

from __future__ import annotations

import numpy as np
import pytest

import repatient as rp


@pytest.mark.parametrize(("n_components", "seed"), [(10, 0), (20, 1)])
def test_recipes_of_fifty_patients_a_class(keys, n_components, seed):
    adata, truth = rp.datasets.pbmc_cohort(n_patients=50, random_state=seed)
    adata.obsm["X_pca"] = adata.obsm["X_pca"][:, :20].copy()
    rp.tl.gmm(adata, n_components)
    rp.tl.recipes(adata, **keys)
    entry = adata.uns["recipes"]
    expected = truth.over_components(adata)
    distance = np.abs(entry["mean"].loc[expected.index] - expected).sum(axis=1)
    assert (distance < 0.05).all()
    assert (entry["concentration"] > truth.concentration / 1.5).all()
    assert (entry["concentration"] < truth.concentration * 1.5).all()
