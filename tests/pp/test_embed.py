"""Embeddings are what scanpy and scikit-learn make of the training cells, and new cells find their way into them."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
import scipy.sparse as sp
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

import repatient as rp

TRAIN = 150


@pytest.fixture
def counts():
    rng = np.random.default_rng(0)
    rates = rng.gamma(0.5, 2, size=(3, 80))[rng.integers(3, size=200)] * rng.uniform(0.5, 2, size=(200, 1))
    adata = ad.AnnData(sp.csr_matrix(rng.poisson(rates).astype(np.float32)))
    adata.var_names = [f"g{i}" for i in range(80)]
    adata.obs["train"] = np.arange(200) < TRAIN
    return adata


@pytest.fixture
def features():
    rng = np.random.default_rng(1)
    X = (rng.normal(size=(200, 4)) @ rng.normal(size=(4, 12)) + rng.normal(size=(200, 12)) + 100).astype(np.float32)
    return ad.AnnData(X, obs=pd.DataFrame({"train": np.arange(200) < TRAIN}).rename(str))


@pytest.fixture
def markers():
    rng = np.random.default_rng(2)
    X = np.concatenate(
        [rng.normal(80_000, 9_000, (200, 1)), rng.normal(0, 100, (200, 2)), np.arange(200)[:, None]], axis=1
    )
    X[::2, 1] += rng.lognormal(9, 1, 100)
    adata = ad.AnnData(X.astype(np.float32), obs=pd.DataFrame({"train": np.arange(200) < TRAIN}).rename(str))
    adata.var_names = ["FSC-A", "CD3", "CD19", "Time"]
    return adata


def up_to_signs(a, b):
    signs = np.sign((a * b).sum(axis=0))
    np.testing.assert_allclose(a * signs, b, rtol=0, atol=4e-3 * np.abs(b).max())


def test_counts_as_scanpy_does(counts):
    rp.pp.embed(counts, "counts", n_components=5, n_top_genes=30, mask_obs="train")
    train = counts[counts.obs["train"]].copy()
    sc.pp.normalize_total(train)
    sc.pp.log1p(train)
    sc.pp.highly_variable_genes(train, n_top_genes=30, subset=True)
    sc.pp.scale(train, max_value=10)
    sc.pp.pca(train, n_comps=5, svd_solver="full")
    up_to_signs(counts.obsm["X_embedded"][:TRAIN], train.obsm["X_pca"])
    assert counts.uns["embedding"]["features"].tolist() == counts.var_names.tolist()
    np.testing.assert_allclose(
        counts.uns["embedding"]["params"]["variance_ratio"], train.uns["pca"]["variance_ratio"], atol=1e-4
    )


@pytest.mark.parametrize("scale", [True, False])
def test_features_as_scikit_learn_does(features, scale):
    rp.pp.embed(features, "features", n_components=3, mask_obs="train", scale=scale)
    scaler = StandardScaler(with_std=scale).fit(features.X[:TRAIN])
    pca = PCA(3).fit(scaler.transform(features.X[:TRAIN]))
    up_to_signs(features.obsm["X_embedded"], pca.transform(scaler.transform(features.X)))
    rp.pp.embed(features, "features", n_components=None, mask_obs="train", key_added="X_plain")
    expected = StandardScaler().fit(features.X[:TRAIN]).transform(features.X)
    np.testing.assert_allclose(features.obsm["X_plain"], expected, atol=0.02)
    assert features.uns["X_plain"]["params"]["key_added"] == "X_plain"


def test_wide_features_as_scikit_learn_does():
    rng = np.random.default_rng(4)
    X = (rng.normal(size=(90, 5)) * [9, 7, 5, 4, 3]) @ rng.normal(size=(5, 150)) + rng.normal(size=(90, 150))
    adata = ad.AnnData(X.astype(np.float32))
    rp.pp.embed(adata, "features", n_components=5)
    expected = PCA(5, svd_solver="full").fit_transform(StandardScaler().fit_transform(X))
    # The variance of a sample, not that of scikit-learn's scaler.
    up_to_signs(adata.obsm["X_embedded"], expected * np.sqrt(89 / 90))


def test_intensities_each_by_its_cofactor(markers):
    rp.pp.embed(markers, "intensities", cofactor={"CD3": 500}, mask_obs="train")
    expected = np.column_stack([markers.X[:, 0], np.arcsinh(markers.X[:, 1] / 500), np.arcsinh(markers.X[:, 2] / 150)])
    expected = StandardScaler().fit(expected[:TRAIN]).transform(expected)
    np.testing.assert_allclose(markers.obsm["X_embedded"], expected, atol=0.02)
    mass = markers[:, 2:3].copy()
    rp.pp.embed(mass, "intensities", scale=False)
    np.testing.assert_allclose(mass.obsm["X_embedded"], np.arcsinh(mass.X / 5), rtol=1e-5)
    mass.X = np.arcsinh(mass.X / 5)
    with pytest.warns(UserWarning, match="transformed already"):
        rp.pp.embed(mass, "intensities")


def test_logicle_is_that_of_its_authors(markers):
    transforms = pytest.importorskip("flowutils.transforms")
    rp.pp.embed(markers, "intensities", transform="logicle", scale=False)
    steps = markers.uns["embedding"]["steps"]
    assert steps["linear_width"][2] > 0.3
    for column, i in (("CD3", 1), ("CD19", 2)):
        values = markers[:, column].X.astype(float)
        expected = transforms.logicle(values, None, t=steps["top"][i], w=steps["linear_width"][i], m=4.5, a=0)
        np.testing.assert_allclose(markers.obsm["X_embedded"][:, i], expected[:, 0], atol=1e-5)


def test_new_cells_in_any_order_of_features(counts, markers, features):
    rng = np.random.default_rng(3)
    for data, kind in ((counts, "counts"), (markers, "intensities"), (features, "features")):
        rp.pp.embed(data, kind, mask_obs="train")
        new = data[TRAIN:, rng.permutation(data.n_vars)].copy()
        expected = new.obsm.pop("X_embedded")
        del new.uns["embedding"]
        rp.pp.project(new, data)
        np.testing.assert_allclose(new.obsm["X_embedded"], expected, atol=1e-4)
        assert new.uns["embedding"]["params"]["fingerprint"] == data.uns["embedding"]["params"]["fingerprint"]


def test_missing_features_are_listed_or_taken_as_average(features):
    rp.pp.embed(features, "features", n_components=None, mask_obs="train")
    fewer = features[:, [i for i in range(12) if i != 4]].copy()
    with pytest.raises(ValueError, match=r"1 of 12.*\['4'\].*`allow_missing`"):
        rp.pp.project(fewer, features)
    rp.pp.project(fewer, features, allow_missing=0.1)
    np.testing.assert_array_equal(fewer.obsm["X_embedded"][:, 4], 0)


def test_genes_for_the_totals_may_not_be_missing(counts):
    rp.pp.embed(counts, "counts", n_top_genes=30)
    used = counts.uns["embedding"]["steps"]["used"]
    with pytest.raises(ValueError, match="counts of the training cells"):
        rp.pp.project(counts[:, used].copy(), counts)
    logged = counts.copy()
    sc.pp.log1p(logged)
    with pytest.raises(ValueError, match="raw counts"):
        rp.pp.project(logged, counts)


@pytest.mark.parametrize("suffix", ["h5ad", "zarr"])
def test_stored_and_read_back(suffix, counts, read_back, same):
    rp.pp.embed(counts, "counts", mask_obs="train")
    read = read_back(counts, suffix)
    same(counts.uns["embedding"], read.uns["embedding"])
    new = counts.copy()
    rp.pp.project(new, read)
    np.testing.assert_array_equal(new.obsm["X_embedded"], counts.obsm["X_embedded"])


@pytest.mark.parametrize("kind", ["features", "counts"])
def test_lazy_and_in_memory_are_the_same(kind, features, counts, tmp_path):
    data = features if kind == "features" else counts
    data.write_h5ad(tmp_path / "a.h5ad")
    lazy = ad.experimental.read_lazy(tmp_path / "a.h5ad")
    backed = ad.read_h5ad(tmp_path / "a.h5ad", backed="r")
    for one in (data, lazy, backed):
        rp.pp.embed(one, kind, n_components=4, mask_obs="train")
    np.testing.assert_array_equal(lazy.obsm["X_embedded"], data.obsm["X_embedded"])
    np.testing.assert_array_equal(backed.obsm["X_embedded"], data.obsm["X_embedded"])
    backed.file.close()
    data.write_h5ad(tmp_path / "b.h5ad")
    again, reference = (ad.experimental.read_lazy(tmp_path / f"{name}.h5ad") for name in "ab")
    rp.pp.project(again, reference)
    np.testing.assert_array_equal(again.obsm["X_embedded"], data.obsm["X_embedded"])


def test_it_is_the_default_embedding(features):
    features.obsm["X_pca"] = np.ones((200, 2), dtype=np.float32)
    rp.pp.embed(features, "features", n_components=4)
    rp.tl.gmm(features, 2, n_init=1)
    assert features.uns["gmm"]["params"]["use_rep"] == "X_embedded"


def test_a_model_of_scvi_tools_is_recorded(counts):
    scvi = pytest.importorskip("scvi")
    scvi.model.SCVI.setup_anndata(counts)
    model = scvi.model.SCVI(counts, n_latent=3)
    model.train(max_epochs=1, accelerator="cpu", enable_progress_bar=False)
    rp.pp.embed(counts, model)
    np.testing.assert_array_equal(counts.obsm["X_embedded"], model.get_latent_representation())
    new = counts[:20, ::-1].copy()
    with pytest.raises(ValueError, match="`model`"):
        rp.pp.project(new, counts)
    rp.pp.project(new, counts, model=model)
    np.testing.assert_allclose(new.obsm["X_embedded"], counts.obsm["X_embedded"][:20], atol=1e-5)
    with pytest.raises(ValueError, match=r"`model`.*weights"):
        rp.pp.project(new, counts, model=scvi.model.SCVI(counts, n_latent=3))


@pytest.mark.parametrize(
    ("kind", "change", "error", "name"),
    [
        ("pca", {}, ValueError, "`kind`"),
        (3, {}, TypeError, "`kind`"),
        ("features", {"source": "nothing"}, KeyError, "`source`"),
        ("features", {"n_components": 0}, ValueError, "`n_components`"),
        ("features", {"n_components": 13}, ValueError, "`n_components`"),
        ("features", {"mask_var": "no"}, KeyError, "`mask_var`"),
        ("features", {"mask_obs": "no"}, KeyError, "`mask_obs`"),
        ("counts", {}, ValueError, "raw counts"),
        ("counts", {"target_sum": 0}, ValueError, "`target_sum`"),
        ("intensities", {"cofactor": {"x": 3}}, KeyError, "`cofactor`"),
        ("intensities", {"cofactor": -1}, ValueError, "`cofactor`"),
        ("intensities", {"transform": "log"}, ValueError, "`transform`"),
    ],
)
def test_bad_arguments(kind, change, error, name, features, untouched):
    with untouched(features), pytest.raises(error, match=name):
        rp.pp.embed(features, kind, **change)


def test_nothing_to_project_by(features, plain):
    with pytest.raises(KeyError, match="`use_rep`"):
        rp.pp.project(features, plain)
    with pytest.raises(TypeError, match="`reference`"):
        rp.pp.project(features, 3)
    features.X[3, 2] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        rp.pp.embed(features, "features")
