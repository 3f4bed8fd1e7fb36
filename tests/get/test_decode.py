"""Generated cells with an expression of their own, drawn by a small model of scvi-tools."""

from __future__ import annotations

import warnings
from importlib.util import find_spec

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import repatient as rp

pytestmark = pytest.mark.skipif(find_spec("scvi") is None, reason="scvi-tools is not installed")


def new_model(adata, setup=None, **kwargs):
    # Imported by the tests that need it: it takes seconds, which everybody who collects tests would wait for.
    import scvi

    scvi.model.SCVI.setup_anndata(adata, batch_key="batch", **setup or {})
    return scvi.model.SCVI(adata, n_latent=5, n_hidden=32, gene_likelihood="nb", **kwargs)


@pytest.fixture(scope="session")
def _decodable():
    import scvi

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scvi.settings.seed = 0
        adata = scvi.data.synthetic_iid(batch_size=200, n_genes=40, n_proteins=1)
        adata = ad.AnnData(sp.csr_matrix(adata.X.astype(np.float32)), obs=adata.obs)
        # Cell types that differ in half of the genes, which the data of the function do not.
        high = (adata.obs["labels"] == "label_0").to_numpy()
        adata.X[high, :20] = 5 * adata.X[high, :20]
        patients = [f"{batch}_{i % 4}" for i, batch in enumerate(adata.obs["batch"])]
        adata.obs["patient"] = pd.Categorical(patients)
        adata.obs["label"] = pd.Categorical(["ill" if name[-1] in "01" else "well" for name in patients])
        model = new_model(adata)
        model.train(max_epochs=60, accelerator="cpu", enable_progress_bar=False, logger=False, plan_kwargs={"lr": 1e-2})
    adata.obsm["X_scVI"] = model.get_latent_representation()
    rp.tl.gmm(adata, 3, use_rep="X_scVI")
    rp.tl.recipes(adata, patient_key="patient", label_key="label")
    rp.tl.generate(adata, 6)
    rp.tl.generate(adata, 6, draw="gaussian", key_added="points")
    return adata, model


@pytest.fixture
def decodable(_decodable):
    """A cohort with patients generated from cells and as Gaussians, and the model of its latent space."""
    return _decodable[0].copy(), _decodable[1]


KEYS = ["generated", "points"]


@pytest.mark.parametrize("key", KEYS)
def test_counts_and_expected_expression(decodable, key):
    adata, model = decodable
    cells = rp.get.generated(adata, generated_key=key, model=model, decode=True)
    assert cells.n_obs == adata.uns[key]["patients"]["n_cells"].sum()
    assert isinstance(cells.X, sp.csr_matrix)
    assert cells.X.dtype == cells.layers["normalized"].dtype == np.float32
    assert (cells.X.data > 0).all()
    np.testing.assert_array_equal(cells.X.data, np.round(cells.X.data))
    np.testing.assert_allclose(cells.layers["normalized"].sum(axis=1), 1, rtol=1e-5)
    assert list(cells.obsm) == ["X_scVI"]
    # Counts are drawn around what is expected of a cell of its size.
    total = np.asarray(cells.X.sum(axis=0)).ravel()
    sizes = np.asarray(cells.X.sum(axis=1)).ravel()
    np.testing.assert_allclose(total, sizes @ cells.layers["normalized"], rtol=0.25)
    assert set(cells.obs["batch"]) <= {"batch_0", "batch_1"}
    with pytest.raises(AssertionError):
        np.testing.assert_array_equal(cells.X[:100].toarray(), adata.X[:100].toarray())


@pytest.mark.parametrize("key", KEYS)
def test_components_have_the_mean_expression_of_real_cells(decodable, key):
    adata, model = decodable
    whole = rp.get.augmented(adata, generated_key=key, model=model, decode=True)
    is_generated = whole.obs["is_generated"].to_numpy(dtype=bool)
    assert (whole[~is_generated].X != adata.X).nnz == 0
    for k in whole.obs["gmm"].cat.categories:
        of_component = (whole.obs["gmm"] == k).to_numpy()
        real, drawn = (
            np.asarray(whole.X[of_component & chosen].mean(axis=0)).ravel() for chosen in (~is_generated, is_generated)
        )
        assert np.corrcoef(real, drawn)[0, 1] > 0.8
        assert drawn.sum() == pytest.approx(real.sum(), rel=0.15)
    # What the model expects of real cells agrees with what it tells itself.
    own = model.get_normalized_expression(n_samples=30, return_numpy=True)
    np.testing.assert_allclose(whole.layers["normalized"][~is_generated].mean(axis=0), own.mean(axis=0), rtol=0.05)


@pytest.mark.parametrize("key", KEYS)
def test_the_seed_decides_and_nothing_else(decodable, key):
    import torch

    adata, model = decodable
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    threads = torch.get_num_threads()
    first = rp.get.generated(adata, generated_key=key, model=model, decode="counts")
    torch.testing.assert_close(torch.rand(3), expected)
    assert torch.get_num_threads() == threads
    assert not first.layers
    again = rp.get.generated(adata, generated_key=key, model=model, decode=True)
    assert (first.X != again.X).nnz == 0
    other = rp.get.generated(adata, generated_key=key, model=model, decode=True, random_state=1)
    assert (first.X != other.X).nnz > 0
    np.testing.assert_array_equal(again.obsm["X_scVI"], other.obsm["X_scVI"])


@pytest.mark.parametrize(("key", "extension"), zip(KEYS, ("zarr", "h5ad"), strict=True))
def test_written_to_disk(decodable, key, extension, tmp_path, same_content):
    adata, model = decodable
    del adata.uns["recipes"]
    options = {"generated_key": key, "model": model, "decode": True}
    expected = rp.get.augmented(adata, **options)
    path = rp.get.augmented(adata, **options, to=tmp_path / f"atlas.{extension}", chunk_size=77)
    expected.strings_to_categoricals()
    same_content(expected, ad.read_h5ad(path) if extension == "h5ad" else ad.read_zarr(path))


def test_decoded_from_a_cohort_on_disk(decodable, tmp_path, same_content):
    adata, model = decodable
    adata.write_h5ad(tmp_path / "cohort.h5ad")
    opened = ad.read_h5ad(tmp_path / "cohort.h5ad", backed="r")
    path = rp.get.augmented(opened, model=model, decode=True, to=tmp_path / "atlas.h5ad", chunk_size=150)
    expected = rp.get.augmented(adata, model=model, decode=True)
    expected.strings_to_categoricals()
    same_content(expected, ad.read_h5ad(path))


def test_batch_and_library_size(decodable):
    adata, model = decodable
    sizes = {}
    for batch in (None, "batch_0", "batch_1"):
        cells = rp.get.generated(adata, model=model, decode=True, batch=batch, library_size=1e4)
        source = adata.obs["batch"].astype(str)[cells.obs["source_cell"]].to_numpy()
        np.testing.assert_array_equal(cells.obs["batch"].astype(str), source if batch is None else batch)
        assert np.asarray(cells.X.sum(axis=1)).mean() == pytest.approx(1e4, rel=0.05)
        sizes[batch] = cells.layers["normalized"]
    of_first = source == "batch_0"
    np.testing.assert_array_equal(sizes[None][of_first], sizes["batch_0"][of_first])
    assert (sizes[None][~of_first] != sizes["batch_0"][~of_first]).any()
    points = rp.get.generated(adata, generated_key="points", model=model, decode=True, batch="batch_1")
    assert (points.obs["batch"] == "batch_1").all()
    real = np.asarray(adata.X.sum(axis=1)).mean()
    assert np.asarray(points.X.sum(axis=1)).mean() == pytest.approx(real, rel=0.1)


def test_counts_in_a_layer_and_genes_in_another_order(decodable):
    adata, model = decodable
    expected = rp.get.generated(adata, model=model, decode=True)
    turned = adata[:, ::-1].copy()
    found = rp.get.generated(turned, model=model, decode=True)
    assert (found[:, adata.var_names].X != expected.X).nnz == 0
    layered = adata.copy()
    layered.layers["counts"], layered.X = layered.X.copy(), layered.X.log1p()
    other = new_model(layered, {"layer": "counts"})
    other.train(max_epochs=1, accelerator="cpu", enable_progress_bar=False, logger=False)
    whole = rp.get.augmented(layered, model=other, decode="counts")
    assert not whole.layers
    assert (whole[: adata.n_obs].X != adata.X).nnz == 0


def test_the_result_can_be_set_up_again(decodable):
    adata, model = decodable
    whole = rp.get.augmented(adata, model=model, decode="counts")
    latent = model.get_latent_representation(whole)
    assert latent.shape == (whole.n_obs, 5)


def test_errors(decodable, untouched):
    adata, model = decodable
    set_up = adata.copy()
    with untouched(adata):
        for options, error, message in (
            ({"model": model}, ValueError, "decode=True"),
            ({"decode": True}, ValueError, "no `model`"),
            ({"decode": "all", "model": model}, ValueError, "`decode` is one of"),
            ({"decode": True, "model": "scvi"}, TypeError, "network of SCVI"),
            ({"decode": True, "model": new_model(set_up)}, ValueError, "not trained"),
            ({"decode": True, "model": model, "batch": "batch_7"}, ValueError, "'batch_1'"),
            ({"decode": True, "model": model, "library_size": -1}, ValueError, "above 0"),
            ({"decode": True, "model": model, "random_state": -1}, ValueError, "random_state"),
        ):
            with pytest.raises(error, match=message):
                rp.get.augmented(adata, **options)
        with pytest.raises(ValueError, match="0.*`data`.*1"):
            rp.get.generated(adata[:, 1:], model=model, decode=True)
    unnamed = adata.copy()
    del unnamed.obs["batch"]
    with pytest.raises(KeyError, match="`batch`.*'batch'"):
        rp.get.generated(unnamed, model=model, decode=True)
    assert rp.get.generated(unnamed, model=model, decode=True, batch="batch_0").n_obs
    adata.obs["batch"] = adata.obs["batch"].cat.rename_categories({"batch_1": "new"})
    with pytest.raises(ValueError, match=r"\['new'\]"):
        rp.get.generated(adata, model=model, decode=True)


def test_models_that_cannot_decode_points(decodable):
    adata, model = decodable
    adata.obs["age"] = 3.0
    for setup, options, message in (
        ({"continuous_covariate_keys": ["age"]}, {}, "continuous covariates"),
        ({}, {"dispersion": "gene-label"}, "gene-label"),
    ):
        other = new_model(adata, setup, **options)
        other.is_trained = True
        with pytest.raises(ValueError, match=message):
            rp.get.generated(adata, model=other, decode=True)
    adata.obsm["X_pca"] = adata.obsm["X_scVI"][:, :3]
    rp.tl.gmm(adata, 2)
    rp.tl.recipes(adata, patient_key="patient", label_key="label")
    rp.tl.generate(adata, 2)
    with pytest.raises(ValueError, match="5.*'X_pca'.*3"):
        rp.get.generated(adata, model=model, decode=True)
