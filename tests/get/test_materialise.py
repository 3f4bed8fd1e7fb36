from __future__ import annotations

import mudata as md
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import repatient as rp


def test_each_drawn_cell_is_a_copy_of_its_source(generated):
    generated.layers["log"] = generated.X.copy()
    cells = rp.get.generated(generated)
    counts = generated.obsm["generated"]
    assert cells.n_obs == counts.sum()
    source = generated[cells.obs["source_cell"].to_numpy()]
    assert (cells.X != source.X).nnz == 0
    assert (cells.layers["log"] != source.X).nnz == 0
    np.testing.assert_array_equal(cells.obsm["X_pca"], source.obsm["X_pca"])
    assert (cells.obs["state"].astype(str).to_numpy() == source.obs["state"].astype(str).to_numpy()).all()
    assert (cells.obs["source_patient"].astype(str).to_numpy() == source.obs["patient"].astype(str).to_numpy()).all()
    table = generated.uns["generated"]["patients"]
    sizes = cells.obs["patient"].value_counts()
    np.testing.assert_array_equal(sizes.loc[table.index], table["n_cells"])
    assert (
        cells.obs["label"].astype(str).to_numpy() == table["label"].astype(str).loc[cells.obs["patient"]].to_numpy()
    ).all()
    drawn = pd.crosstab(cells.obs["source_cell"], cells.obs["patient"]).reindex(index=generated.obs_names, fill_value=0)
    np.testing.assert_array_equal(drawn[table.index].to_numpy(), counts.toarray())


def test_augmented_is_the_real_cells_then_the_generated(generated, untouched, same_content):
    generated.obsp["graph"] = sp.eye_array(generated.n_obs, format="csr")
    generated.uns["neighbors"] = {"connectivities_key": "graph", "params": {}}
    generated.raw = generated.copy()
    with untouched(generated):
        whole = rp.get.augmented(generated)
    assert whole.obs_names.is_unique
    assert whole.n_obs == generated.n_obs + generated.obsm["generated"].sum()
    real = whole[~whole.obs["is_generated"].to_numpy(dtype=bool)]
    assert list(real.obs_names) == list(generated.obs_names)
    assert (real.X != generated.X).nnz == 0
    for column in generated.obs:
        assert (real.obs[column].astype(str) == generated.obs[column].astype(str)).all()
    assert list(real.obs["source_cell"]) == list(real.obs_names)
    assert "generated" not in whole.obsm
    assert "generated" not in whole.uns
    assert "neighbors" not in whole.uns
    assert whole.raw.shape == whole.shape
    pd.testing.assert_frame_equal(whole.var, generated.var)


def test_what_is_handed_out_is_not_shared(generated, same_content):
    before = generated.copy()
    whole = rp.get.augmented(generated)
    whole.uns["recipes"]["mean"].iloc[:] = 0
    whole.uns["gmm"]["means"][:] = 0
    same_content(generated, before)


def test_cohort_without_matrix(generated):
    bare = generated[:, :0].copy()
    bare.X = None
    assert rp.get.augmented(bare).n_obs > bare.n_obs


def test_donors_of_generated_patients_are_themselves(plain, keys):
    plain.obs["donor"] = plain.obs["patient"].astype(str).str[-1]
    rp.tl.gmm(plain, 4)
    rp.tl.recipes(plain, **keys, donor_key="donor")
    rp.tl.generate(plain, 2)
    cells = rp.get.generated(plain)
    assert (cells.obs["donor"].astype(str) == cells.obs["patient"].astype(str)).all()


def test_column_that_is_gone(generated):
    del generated.obs["label"]
    with pytest.raises(KeyError, match="label_key.*'label'"):
        rp.get.generated(generated)


def test_variables_of_one_name_in_two_modalities(generated):
    mdata = md.MuData({"rna": generated.copy(), "again": generated[:, :5].copy()})
    for part in ("obs", "uns", "obsm"):
        for key in list(getattr(generated, part)):
            getattr(mdata, part)[key] = getattr(generated, part)[key]
    with pytest.raises(ValueError, match="var_names_make_unique"):
        rp.get.augmented(mdata)
