from __future__ import annotations

import anndata as ad
import dask.array as da
import h5py
import numpy as np
import pandas as pd
import pytest
import zarr
from anndata.experimental import read_lazy

import repatient as rp

SETTINGS = {"n_init": 2, "store_proba": True}


@pytest.fixture(scope="module")
def _cohort() -> ad.AnnData:
    rng = np.random.default_rng(0)
    centres = 6 * rng.standard_normal((4, 5))
    rows = centres[rng.integers(4, size=24_000)] + rng.standard_normal((24_000, 5))
    patients = pd.Categorical(rng.integers(12, size=24_000).astype(str))
    obs = pd.DataFrame({"patient": patients, "train": rng.random(24_000) < 0.9}, index=[f"c{i}" for i in range(24_000)])
    adata = ad.AnnData(X=rows.astype(np.float32), obs=obs)
    adata.obsm["X_pca"] = adata.X.copy()
    return adata


@pytest.fixture
def cohort(_cohort) -> ad.AnnData:
    """24,000 cells, more than the starts read, of 12 patients in four states."""
    return _cohort.copy()


@pytest.fixture(scope="module")
def fitted(_cohort):
    """The cohort with a mixture of all cells, and of those of the mask, fitted in memory."""
    return {mask: rp.tl.gmm(_cohort, 4, mask_obs=mask, copy=True, **SETTINGS) for mask in (None, "train")}


def in_file(adata: ad.AnnData, folder, kind: str):
    """The cohort as it is read from disk, and the embedding that is not in memory then."""
    if kind == "read_lazy zarr":
        adata.write_zarr(folder / "cohort.zarr")
        return read_lazy(folder / "cohort.zarr"), "X_pca"
    adata.write_h5ad(folder / "cohort.h5ad")
    if kind == "read_lazy h5ad":
        return read_lazy(folder / "cohort.h5ad"), "X_pca"
    return ad.read_h5ad(folder / "cohort.h5ad", backed="r"), "X"


def assert_same_mixture(lazy, plain, key="gmm", rtol=1e-6) -> None:
    for name in ("weights", "means", "covariances", "log_likelihood", "bic"):
        np.testing.assert_allclose(lazy.uns[key][name], plain.uns[key][name], rtol=rtol, atol=1e-6, err_msg=name)
    np.testing.assert_array_equal(np.asarray(lazy.obs[key]).astype(str), plain.obs[key].astype(str))
    np.testing.assert_allclose(lazy.obs[f"{key}_log_density"], plain.obs[f"{key}_log_density"], atol=1e-4)
    np.testing.assert_allclose(lazy.obsm[f"{key}_proba"], plain.obsm[f"{key}_proba"], atol=1e-5)


@pytest.mark.parametrize(
    ("kind", "mask_obs"),
    [("read_lazy zarr", None), ("read_lazy zarr", "train"), ("read_lazy h5ad", "train"), ("backed h5ad", "train")],
)
def test_objects_on_disk_give_what_objects_in_memory_give(cohort, fitted, tmp_path, kind, mask_obs):
    lazy, use_rep = in_file(cohort, tmp_path, kind)
    rp.tl.gmm(lazy, 4, use_rep=use_rep, mask_obs=mask_obs, **SETTINGS)
    assert_same_mixture(lazy, fitted[mask_obs])
    assert list(lazy.obs["gmm"].dtype.categories) == list("0123")


@pytest.mark.parametrize("kind", ["read_lazy zarr", "backed h5ad"])
def test_results_come_along_into_memory_and_to_disk(cohort, tmp_path, kind):
    lazy, use_rep = in_file(cohort, tmp_path, kind)
    rp.tl.gmm(lazy, 4, use_rep=use_rep, **SETTINGS)
    loaded = lazy.to_memory()
    loaded.write_h5ad(tmp_path / "result.h5ad")
    again = ad.read_h5ad(tmp_path / "result.h5ad")
    assert list(again.obs["gmm"].cat.categories) == list("0123")
    np.testing.assert_array_equal(again.obs["gmm"], np.asarray(lazy.obs["gmm"]))
    np.testing.assert_array_equal(again.uns["gmm"]["means"], lazy.uns["gmm"]["means"])
    # What follows reads the components from the object in memory.
    again.obs["label"] = pd.Categorical(np.where(again.obs["patient"].astype(int) < 6, "a", "b"))
    rp.tl.recipes(again, patient_key="patient", label_key="label")


def test_the_number_of_components_is_selected_on_disk(cohort, tmp_path):
    lazy, _ = in_file(cohort, tmp_path, "read_lazy zarr")
    for data in (lazy, cohort):
        rp.tl.gmm(data, [2, 4], patient_key="patient", mask_obs="train", **SETTINGS)
    assert_same_mixture(lazy, cohort)
    curves = [data.uns["gmm"]["selection"]["log_likelihood"] for data in (lazy, cohort)]
    np.testing.assert_allclose(*curves, rtol=1e-6)


@pytest.mark.parametrize("kind", ["read_lazy zarr", "backed h5ad"])
def test_lazy_cohorts_are_assigned(cohort, fitted, tmp_path, kind):
    lazy, use_rep = in_file(cohort, tmp_path, kind)
    rp.tl.assign(lazy, fitted[None], use_rep=use_rep, key_added="ref", store_proba=True)
    rp.tl.assign(cohort, fitted[None], key_added="ref", store_proba=True)
    np.testing.assert_array_equal(np.asarray(lazy.obs["ref"]), np.asarray(cohort.obs["ref"]))
    np.testing.assert_allclose(lazy.obsm["ref_proba"], cohort.obsm["ref_proba"], atol=1e-6)
    assert lazy.uns["ref"]["reference"]["coverage"] == cohort.uns["ref"]["reference"]["coverage"]


def test_a_dask_array_in_obsm_stays_lazy(cohort, fitted, monkeypatch):
    cohort.obsm["X_pca"] = da.from_array(cohort.obsm["X_pca"], chunks=(7000, 2))

    def refuse(*_args, **_kwargs):
        msg = "the embedding was read as a whole"
        raise AssertionError(msg)

    monkeypatch.setattr(da.Array, "__array__", refuse)
    rp.tl.gmm(cohort, 4, **SETTINGS)
    assert_same_mixture(cohort, fitted[None])
    assert isinstance(cohort.obsm["X_pca"], da.Array)


@pytest.mark.parametrize("kind", ["dask", "h5py"])
def test_bad_cells_are_counted_piece_by_piece(cohort, tmp_path, kind):
    cohort.X[[5, 1900]] = np.nan
    cohort.X[1901, 2] = np.inf
    n_patients = cohort.obs["patient"].iloc[[5, 1900, 1901]].nunique()
    if kind == "dask":
        lazy = cohort
        lazy.X = da.from_array(cohort.X, chunks=(5000, 5))
    else:
        lazy, _ = in_file(cohort, tmp_path, "backed h5ad")
    message = rf"'X' has NaN or infinity in 3 of 24000 cells, of {n_patients} patients \(`obs\['patient'\]`\): \['c5'"
    with pytest.raises(ValueError, match=message):
        rp.tl.gmm(lazy, 4, use_rep="X")
    assert "gmm" not in lazy.obs


def test_bad_cells_of_an_object_read_lazily(cohort, tmp_path):
    cohort.obsm["X_pca"][[5, 1900]] = np.nan
    lazy, _ = in_file(cohort, tmp_path, "read_lazy zarr")
    with pytest.raises(ValueError, match=r"NaN or infinity in 2 of 24000 cells, of \d patients"):
        rp.tl.gmm(lazy, 4)


def test_lazy_embeddings_of_the_wrong_kind_are_refused(cohort, tmp_path):
    cohort.obsm["counts"] = da.ones((24_000, 3), dtype=np.int64, chunks=(5000, 3))
    with pytest.raises(TypeError, match="'counts' is of type int64"):
        rp.tl.gmm(cohort, 4, use_rep="counts")
    cohort.obsm["cube"] = da.ones((24_000, 3, 2), chunks=(5000, 3, 2))
    with pytest.raises(ValueError, match=r"shape \(24000, 3, 2\)"):
        rp.tl.gmm(cohort, 4, use_rep="cube")


@pytest.mark.parametrize("open_file", [read_lazy, lambda path: ad.read_h5ad(path, backed="r")])
def test_a_sparse_matrix_on_disk_is_refused(cohort, tmp_path, open_file):
    import scipy.sparse as sp

    cohort.X = sp.csr_matrix(cohort.X)
    cohort.write_h5ad(tmp_path / "sparse.h5ad")
    with pytest.raises(TypeError, match="is sparse, 24000 × 5"):
        rp.tl.gmm(open_file(tmp_path / "sparse.h5ad"), 4, use_rep="X")


def test_a_table_in_obsm_is_read(cohort, fitted, tmp_path):
    cohort.obsm["X_table"] = pd.DataFrame(cohort.obsm["X_pca"], index=cohort.obs_names, columns=list("abcde"))
    lazy, _ = in_file(cohort, tmp_path, "read_lazy zarr")
    rp.tl.gmm(lazy, 4, use_rep="X_table", **SETTINGS)
    assert_same_mixture(lazy, fitted[None])


@pytest.mark.parametrize("kind", ["zarr", "h5py"])
def test_stored_arrays_are_recognised_as_lazy(tmp_path, kind):
    from repatient._store import _embedding, _lazy

    rows = np.arange(12.0).reshape(6, 2)
    rows[4, 1] = np.nan
    if kind == "zarr":
        stored = zarr.create_array(tmp_path / "a.zarr", data=rows, chunks=(2, 2))
    else:
        stored = h5py.File(tmp_path / "a.h5", "w").create_dataset("a", data=rows)
    assert _lazy.is_lazy(stored)
    np.testing.assert_array_equal(np.flatnonzero(_embedding._not_finite(stored)), [4])


def test_a_classifier_reads_the_embedding_into_memory(plain):
    keys = {"patient_key": "patient", "label_key": "label"}
    _, expected = rp.tl.mil(plain, **keys, model=rp.mil.Attention(n_steps=4, validation_fraction=0.2), copy=True)
    plain.obsm["X_pca"] = da.from_array(plain.obsm["X_pca"], chunks=(500, -1))
    rp.tl.mil(plain, **keys, model=rp.mil.Attention(n_steps=4, validation_fraction=0.2))
    pd.testing.assert_frame_equal(plain.uns["mil"]["predictions"], expected.uns["mil"]["predictions"])
