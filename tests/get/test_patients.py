from __future__ import annotations

import anndata as ad
import mudata as md
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
from scipy.spatial.distance import pdist, squareform

import repatient as rp


@pytest.fixture
def known(generated):
    """The cohort with covariates of patients, and columns that are none."""
    codes = generated.obs["patient"].cat.codes.to_numpy()
    generated.obs["sex"] = np.where(codes % 2, "f", "m")
    generated.obs["age"] = codes.astype(np.int64) + 20
    generated.obs["treated"] = codes > 7
    generated.obs["batch"] = np.where(np.arange(generated.n_obs) % 2, "1", "2")
    return generated


def test_rows_are_patients_and_columns_components(generated, untouched):
    with untouched(generated):
        p = rp.get.patients(generated)
    counts = generated.uns["recipes"]["counts"]
    assert list(p.obs_names) == list(counts.index)
    assert list(p.var_names) == list(counts.columns)
    np.testing.assert_array_equal(p.layers["counts"], counts)
    np.testing.assert_allclose(p.X.sum(axis=1), 1)
    np.testing.assert_allclose(p.X, counts.div(counts.sum(axis=1), axis=0))
    np.testing.assert_array_equal(p.var["weight"], generated.uns["gmm"]["weights"])
    cells = pd.DataFrame(generated.obsm["X_pca"].astype(float)).groupby(
        generated.obs["patient"].to_numpy(), observed=True
    )
    np.testing.assert_allclose(p.obsm["X_mean"], cells.mean().loc[p.obs_names], atol=1e-6)
    sizes = generated.obs["patient"].value_counts()
    np.testing.assert_array_equal(p.obs["n_cells"], sizes.loc[p.obs_names])
    assert (p.obs["patient"].astype(str) == p.obs_names).all()
    of_cells = generated.obs.groupby("patient", observed=True)["label"].first()
    assert (p.obs["label"].astype(str) == of_cells.loc[p.obs_names].astype(str).to_numpy()).all()


def test_log_ratios_and_their_distances(generated):
    assert not rp.get.patients(generated).obsp
    p = rp.get.patients(generated, distances=True)[3:9]
    smoothed = p.layers["counts"] + 0.5
    geometric_mean = np.exp(np.log(smoothed).mean(axis=1, keepdims=True))
    np.testing.assert_allclose(p.obsm["X_clr"], np.log(smoothed / geometric_mean))
    np.testing.assert_allclose(p.obsp["X_clr_distances"], squareform(pdist(p.obsm["X_clr"])), atol=1e-6)


def test_scanpy_makes_a_map_of_patients(known):
    p = rp.get.patients(known, generated_key="generated")
    # Neither compiles anything, as the default of the one and UMAP would for half a minute.
    sc.pp.neighbors(p, use_rep="X_clr", n_neighbors=5, method="gauss")
    sc.tl.diffmap(p, n_comps=3)
    assert p.obsm["X_diffmap"].shape == (30, 3)
    sc.pl.diffmap(p, color=["label", "3", "sex", "age", "treated", "is_generated", "n_cells"], show=False)


def test_covariates_are_what_patients_have_one_of(known):
    p = rp.get.patients(known)
    assert {"sex", "age", "treated"} <= set(p.obs)
    assert not {"batch", "state", "gmm", "gmm_log_density"} & set(p.obs)
    assert p.obs["age"].dtype == np.int64
    assert p.obs["treated"].dtype == bool
    of_cells = known.obs.groupby("patient", observed=True)[["sex", "age", "treated"]].first().loc[p.obs_names]
    for name in of_cells:
        assert list(p.obs[name]) == list(of_cells[name])
    assert list(rp.get.patients(known, covariates=["sex"]).obs) == ["patient", "label", "n_cells", "sex"]
    with pytest.raises(ValueError, match="`covariates`.*'batch'.*16"):
        rp.get.patients(known, covariates=["batch"])
    with pytest.raises(ValueError, match="'n_cells'"):
        rp.get.patients(known, covariates=["n_cells"])
    with pytest.raises(TypeError, match="`covariates`"):
        rp.get.patients(known, covariates="sex")
    with pytest.raises(KeyError, match="`covariates`"):
        rp.get.patients(known, covariates=["nothing"])


def test_a_value_that_some_cells_lack_varies(known):
    known.obs["part"] = known.obs["sex"].where(known.obs["batch"] == "1")
    known.obs["some"] = known.obs["age"].where(known.obs["sex"] == "f")
    p = rp.get.patients(known)
    assert "part" not in p.obs
    assert (p.obs["some"].isna() == (p.obs["sex"] == "m")).all()


def test_predictions_come_along(trained):
    adata, _ = trained
    p = rp.get.patients(adata, generated_key="generated", selected=False)
    stored = adata.uns["mil"]["predictions"]
    real = p.obs[~p.obs["is_generated"]]
    np.testing.assert_array_equal(real["mil_uncertainty"], stored.loc[real.index, "uncertainty"])
    assert (real["mil_predicted"].astype(str) == stored.loc[real.index, "predicted"].astype(str)).all()
    assert p.obs["mil_uncertainty"][p.obs["is_generated"]].isna().all()
    assert "mil_label" not in p.obs
    with pytest.raises(KeyError, match="`mil_key`"):
        rp.get.patients(adata, mil_key="other")
    adata.obs["sample"] = adata.obs["patient"]
    rp.tl.recipes(adata, patient_key="sample", label_key="label")
    assert not any(name.startswith("mil_") for name in rp.get.patients(adata).obs)
    with pytest.raises(ValueError, match="'sample'"):
        rp.get.patients(adata, mil_key="mil")


def test_generated_patients(known):
    p = rp.get.patients(known, generated_key="generated")
    table = known.uns["generated"]["patients"]
    new = p[p.obs["is_generated"].to_numpy()]
    assert list(new.obs_names) == list(table.index)
    expected = rp.get.compositions(known, generated_key="generated").xs(key=True, level="is_generated")
    np.testing.assert_array_equal(new.layers["counts"], expected)
    cells = rp.get.generated(known)
    means = pd.DataFrame(cells.obsm["X_pca"].astype(float)).groupby(cells.obs["patient"].astype(str).to_numpy()).mean()
    np.testing.assert_allclose(new.obsm["X_mean"], means.loc[new.obs_names], atol=1e-6)
    assert new.obs[["sex", "age", "treated"]].isna().all(axis=None)
    real = rp.get.patients(known)
    np.testing.assert_array_equal(p[: real.n_obs].X, real.X)


def test_covariates_that_patients_were_generated_at(known):
    rp.tl.recipes(known, patient_key="patient", label_key="label", covariates=["age", "sex"])
    rp.tl.generate(known, {"disease": 3})
    p = rp.get.patients(known, generated_key="generated")
    table = known.uns["generated"]["patients"]
    new = p.obs[p.obs["is_generated"]]
    np.testing.assert_allclose(new["age"], table["age"])
    assert list(new["sex"].astype(str)) == list(table["sex"].astype(str))


def test_gaussian_patients(generated):
    rp.tl.generate(generated, {"disease": 3}, draw="gaussian", key_added="points")
    p = rp.get.patients(generated, generated_key="points")
    cells = generated.uns["points"]["cells"]
    patient = np.repeat(np.arange(3), np.diff(cells["indptr"]))
    expected = pd.crosstab(patient, cells["component"]).reindex(columns=range(6), fill_value=0)
    np.testing.assert_array_equal(p.layers["counts"][16:], expected)
    means = pd.DataFrame(cells["embedding"].astype(float)).groupby(patient).mean()
    np.testing.assert_allclose(p.obsm["X_mean"][16:], means, atol=1e-6)


def test_selection(generated):
    table = generated.uns["generated"]["patients"]
    table["selected"] = np.arange(len(table)) < 5
    assert rp.get.patients(generated, generated_key="generated").n_obs == 16 + 5
    assert rp.get.patients(generated, generated_key="generated", selected=False).n_obs == 16 + 14


def test_names_of_components(generated):
    var = rp.get.patients(generated, annotation_key="state").var
    counts = pd.crosstab(generated.obs["gmm"], generated.obs["state"])
    assert list(var["state"].astype(str)) == list(counts.idxmax(axis=1).loc[var.index])
    np.testing.assert_allclose(var["state_share"], (counts.max(axis=1) / counts.sum(axis=1)).loc[var.index])


def test_classes_keep_their_colours(generated):
    rp.pl.recipes(generated)
    assert list(rp.get.patients(generated).uns["label_colors"]) == list(generated.uns["label_colors"])


def test_patients_that_no_recipe_was_learnt_from_are_there(plain, keys):
    train = plain.obs["patient"].isin(plain.obs["patient"].cat.categories[4:]).to_numpy()
    plain.obs["train"] = train
    rp.tl.gmm(plain, 4, mask_obs="train")
    rp.tl.recipes(plain, **keys, mask_obs="train")
    p = rp.get.patients(plain)
    assert p.n_obs == 16
    assert p.obs["train"].sum() == 12
    assert rp.get.patients(plain, mask_obs="train").n_obs == 12


@pytest.mark.parametrize("storage", ["h5ad", "zarr"])
def test_round_trip(known, read_back, storage, same_content):
    p = rp.get.patients(known, generated_key="generated", annotation_key="state", distances=True)
    same_content(read_back(p, storage), p)


def test_lazy_and_mudata(generated, tmp_path):
    generated = generated[:, :2].copy()
    expected = rp.get.patients(generated)
    generated.write_h5ad(tmp_path / "a.h5ad")
    lazy = rp.get.patients(ad.experimental.read_lazy(tmp_path / "a.h5ad"))
    np.testing.assert_array_equal(lazy.layers["counts"], expected.layers["counts"])
    np.testing.assert_allclose(lazy.obsm["X_mean"], expected.obsm["X_mean"])
    mdata = md.MuData({"rna": generated})
    rp.tl.gmm(mdata, 6, use_rep="rna:X_pca")
    rp.tl.recipes(mdata, patient_key="rna:patient", label_key="rna:label", donor_key="rna:patient")
    p = rp.get.patients(mdata)
    np.testing.assert_array_equal(p.layers["counts"], expected.layers["counts"])
    assert list(p.obs["rna:label"].astype(str)) == list(expected.obs["label"].astype(str))


def test_bad_arguments(generated, untouched):
    with untouched(generated):
        with pytest.raises(KeyError, match="`recipes_key`"):
            rp.get.patients(generated, recipes_key="none")
        with pytest.raises(KeyError, match="`generated_key`"):
            rp.get.patients(generated, generated_key="none")
        with pytest.raises(KeyError, match="`use_rep`"):
            rp.get.patients(generated, use_rep="none")
        with pytest.raises(KeyError, match="`annotation_key`"):
            rp.get.patients(generated, annotation_key="none")
    rp.tl.gmm(generated, 3)
    with pytest.raises(ValueError, match="refitted"):
        rp.get.patients(generated)


def test_recipes_of_a_value(known):
    rp.tl.recipes(known, patient_key="patient", label_key="age", outcome="continuous")
    rp.tl.generate(known, 3)
    p = rp.get.patients(known, generated_key="generated")
    assert p.obs["age"].dtype == np.float64
    np.testing.assert_allclose(p.obs["age"][16:], known.uns["generated"]["patients"]["label"])
    np.testing.assert_array_equal(p.obs["age"][:16], known.obs.groupby("patient", observed=True)["age"].first())
    assert p.obs["label"][:16].notna().all()
