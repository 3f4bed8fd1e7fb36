from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import repatient as rp
from repatient.mixture import GaussianMixture


def test_writes_what_the_estimator_finds(plain):
    rp.tl.gmm(plain, 5, store_proba=True)
    X = plain.obsm["X_pca"]
    mixture = GaussianMixture(5).fit(X)
    assert list(plain.obs["gmm"].cat.categories) == list("01234")
    np.testing.assert_array_equal(plain.obs["gmm"].astype(int), mixture.predict(X))
    np.testing.assert_allclose(plain.obs["gmm_log_density"], mixture.score_samples(X), rtol=1e-4)
    assert plain.obs["gmm_log_density"].dtype == np.float32
    np.testing.assert_allclose(plain.obsm["gmm_proba"], mixture.predict_proba(X), atol=1e-5)
    entry = plain.uns["gmm"]
    np.testing.assert_array_equal(entry["means"], mixture.means_)
    assert entry["covariances"].shape == (5, 10, 10)
    assert entry["bic"] == pytest.approx(mixture.bic(X))
    assert entry["params"]["use_rep"] == "X_pca"
    assert entry["params"]["version"] == rp.__version__


def test_mask_fits_on_a_part_and_assigns_all(plain):
    train = plain.obs["patient"].isin(plain.obs["patient"].cat.categories[:10]).to_numpy()
    plain.obs["train"] = train
    rp.tl.gmm(plain, 4, mask_obs="train")
    alone = GaussianMixture(4).fit(plain.obsm["X_pca"][train])
    np.testing.assert_array_equal(plain.uns["gmm"]["means"], alone.means_)
    assert plain.obs["gmm"].notna().all()
    by_array = rp.tl.gmm(plain, 4, mask_obs=train, copy=True)
    np.testing.assert_array_equal(by_array.uns["gmm"]["means"], alone.means_)


def test_cells_outside_the_mask_do_not_matter(plain):
    train = plain.obs["patient"].isin(plain.obs["patient"].cat.categories[:10]).to_numpy()
    rp.tl.gmm(plain, 4, mask_obs=train)
    other = plain.copy()
    other.obsm["X_pca"][~train] += 100
    rp.tl.gmm(other, 4, mask_obs=train)
    np.testing.assert_array_equal(plain.uns["gmm"]["covariances"], other.uns["gmm"]["covariances"])


def test_a_sequence_selects_over_patients():
    rng = np.random.default_rng(0)
    import anndata as ad

    centres = 6 * rng.standard_normal((4, 3))
    states = rng.integers(4, size=2000)
    adata = ad.AnnData(
        obs=pd.DataFrame(
            {"patient": pd.Categorical(rng.integers(20, size=2000).astype(str))}, index=np.arange(2000).astype(str)
        )
    )
    adata.obsm["X_pca"] = (centres[states] + rng.standard_normal((2000, 3))).astype(np.float32)
    rp.tl.gmm(adata, [1, 2, 4, 7], patient_key="patient")
    assert len(adata.uns["gmm"]["weights"]) == 4
    curve = adata.uns["gmm"]["selection"]
    assert curve["n_components"].tolist() == [1, 2, 4, 7]
    assert curve["log_likelihood"].argmax() == 2
    with pytest.raises(ValueError, match="patient_key"):
        rp.tl.gmm(adata, [2, 3])


def test_few_patients_are_as_many_folds_and_one_is_refused(untouched):
    import anndata as ad

    rng, centres = np.random.default_rng(0), 8 * np.eye(3)
    obs = pd.DataFrame({"patient": np.repeat(["a", "b", "c"], 200), "one": "a"}, index=np.arange(600).astype(str))
    adata = ad.AnnData(obs=obs)
    adata.obsm["X_pca"] = (centres[rng.integers(3, size=600)] + rng.standard_normal((600, 3))).astype(np.float32)
    rp.tl.gmm(adata, [1, 3], patient_key="patient")
    assert len(adata.uns["gmm"]["weights"]) == 3
    for key, mask in (("one", None), ("patient", adata.obs["patient"].to_numpy() == "b")):
        with untouched(adata), pytest.raises(ValueError, match=f"all cells are of one patient by '{key}'"):
            rp.tl.gmm(adata, [1, 3], patient_key=key, mask_obs=mask)


def test_use_rep_x_and_keys(plain):
    plain.layers["keep"] = plain.X.copy()
    dense = plain[:, :8].copy()
    dense.X = dense.X.toarray()
    rp.tl.gmm(dense, 3, use_rep="X", covariance_type="diag", key_added="other")
    assert {"other", "other_log_density"} <= set(dense.obs)
    assert dense.uns["other"]["covariances"].shape == (3, 8)
    assert "gmm" not in dense.uns


def test_stale_responsibilities_go(plain):
    rp.tl.gmm(plain, 4, store_proba=True)
    rp.tl.gmm(plain, 3)
    assert "gmm_proba" not in plain.obsm


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_float_types(plain, dtype):
    plain.obsm["X_pca"] = plain.obsm["X_pca"].astype(dtype)
    rp.tl.gmm(plain, 3)
    assert np.isfinite(plain.uns["gmm"]["log_likelihood"])


def test_data_frame_as_embedding(plain):
    reference = rp.tl.gmm(plain, 3, copy=True)
    plain.obsm["frame"] = pd.DataFrame(
        plain.obsm["X_pca"], index=plain.obs_names, columns=[f"pc{i}" for i in range(10)]
    )
    rp.tl.gmm(plain, 3, use_rep="frame")
    np.testing.assert_array_equal(plain.uns["gmm"]["means"], reference.uns["gmm"]["means"])


def test_interrupted_fit_leaves_the_object(plain, untouched, monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(GaussianMixture, "fit", stop)
    with untouched(plain), pytest.raises(KeyboardInterrupt):
        rp.tl.gmm(plain, 3)
