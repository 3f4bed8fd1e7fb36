from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scanpy as sc

import repatient as rp


def test_cells_are_scanpys(same_content):
    adata, truth = rp.datasets.pbmc_cohort(n_patients=4, n_cells=60)
    cells = sc.datasets.pbmc68k_reduced()
    known = {row.tobytes() for row in cells.raw.X.toarray().astype(np.float32)}
    assert all(row.tobytes() in known for row in adata.X.toarray())
    assert list(adata.var_names) == list(cells.raw.var_names)
    assert adata.obs["patient"].nunique() == 8
    assert truth.recipes.sum(axis=1).to_numpy() == pytest.approx(1)
    again, _ = rp.datasets.pbmc_cohort(n_patients=4, n_cells=60)
    same_content(adata, again)


def test_patients_follow_the_truth():
    adata, truth = rp.datasets.pbmc_cohort(n_patients=200, n_cells=200, concentration=50)
    states = pd.crosstab(adata.obs["patient"], adata.obs["state"], normalize="index")[truth.recipes.columns]
    label = adata.obs.groupby("patient", observed=True)["label"].first().loc[states.index].astype(str)
    for name, recipe in truth.recipes.iterrows():
        found = states[(label == name).to_numpy()]
        np.testing.assert_allclose(found.mean(), recipe, atol=0.015)
        # The spread between patients, and that of counting some 200 cells.
        variance = recipe * (1 - recipe) * (1 / 51 + 50 / 51 / 190)
        np.testing.assert_allclose(found.var(), variance, rtol=0.5)
    sizes = adata.obs["patient"].value_counts()
    by_class = sizes.groupby(label.loc[sizes.index]).mean()
    assert by_class.max() / by_class.min() < 1.1


def test_donor_effect_moves_a_patient_as_a_whole():
    def spread(effect):
        adata, _ = rp.datasets.pbmc_cohort(n_patients=10, n_cells=400, donor_effect=effect)
        frame = pd.DataFrame(adata.obsm["X_pca"][:, :5])
        within = frame - frame.groupby(adata.obs["state"].to_numpy()).transform("mean")
        return within.groupby(adata.obs["patient"].to_numpy()).mean().std().mean()

    assert spread(1.0) > 3 * spread(0.0)


def test_truth_over_components(plain):
    rp.tl.gmm(plain, 3)
    _, truth = rp.datasets.pbmc_cohort(n_patients=2, n_cells=20)
    plain.obs["gmm"] = pd.Categorical((plain.obs["state"] == "B").astype(int).astype(str), categories=list("012"))
    over = truth.over_components(plain)
    np.testing.assert_allclose(over["1"], truth.recipes["B"])
    np.testing.assert_allclose(over.sum(axis=1), 1)


@pytest.mark.parametrize("kwargs", [{"n_patients": 0}, {"n_cells": -1}, {"concentration": 0}, {"donor_effect": np.nan}])
def test_errors(kwargs):
    with pytest.raises(ValueError, match=next(iter(kwargs))):
        rp.datasets.pbmc_cohort(**kwargs)
