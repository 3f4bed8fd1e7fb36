"""The main job on real cohorts."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import repatient as rp


@pytest.mark.parametrize(
    ("name", "use_rep", "n_components"),
    [("aml_flowcap2_tube4.h5ad", "X", 10), ("covid_pbmc_scrna_stephenson20.h5ad", "X_pca", 8)],
)
def test_main_job(read_cohort, keys, name, use_rep, n_components):
    adata = read_cohort(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rp.tl.gmm(adata, n_components, use_rep=use_rep, n_init=1, tol=1e-3)
        rp.tl.recipes(adata, **keys)
        rp.tl.generate(adata, 10)
        model = rp.tl.mil(
            adata,
            **keys,
            generated_key="generated",
            use_rep=use_rep,
            model=rp.mil.Attention(n_steps=20, validation_fraction=0.2),
        )
        rp.tl.select(adata, model)
    predictions = adata.uns["mil"]["predictions"]
    assert (predictions["predicted"].astype(str) == predictions["label"].astype(str)).mean() > 0.7
    fakes = rp.get.compositions(adata, generated_key="generated").xs(key=True, level="is_generated")
    shares = fakes.div(fakes.sum(axis=1), axis=0).groupby("label").mean()
    mean = adata.uns["recipes"]["mean"]
    assert np.abs(shares.loc[mean.index] - mean).sum(axis=1).max() < 0.35


def test_samples_of_one_person_with_two_labels_are_named(read_cohort, keys):
    adata = read_cohort("melanoma_icb_scrna.h5ad")
    rp.tl.gmm(adata, 3, n_init=1, max_iter=30, tol=1e-2)
    with pytest.raises(ValueError, match="4 patients have more than one value of 'label': 'P1'.*'P28'.*'P4'.*'P5'"):
        rp.tl.recipes(adata, **keys)
    sample = adata.obs[["patient", "cohort", "label"]].astype(str).agg("|".join, axis=1)
    adata.obs["sample"] = sample.astype("category")
    rp.tl.recipes(adata, patient_key="sample", label_key="label", donor_key="patient")
    patients = adata.uns["recipes"]["patients"]
    assert patients["donor"].nunique() == 32
    assert (patients.groupby("donor", observed=True)["label"].nunique() == 2).sum() == 4
