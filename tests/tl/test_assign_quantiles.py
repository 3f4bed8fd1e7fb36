from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest

import repatient as rp


def bent(adata):
    """Every feature stretched by a function of its own."""
    moved = adata.copy()
    X = moved.obsm["X_pca"]
    z = X / X.std(axis=0)
    moved.obsm["X_pca"] = (np.sinh(np.linspace(0.5, 1.0, X.shape[1]) * z) + 1) * X.std(axis=0)
    return moved


def test_bent_features_are_straightened(target, external, keys):
    moved = bent(external)
    with pytest.warns(UserWarning, match="align='moments'` \\(or 'quantiles', or 'ot'\\)"):
        rp.tl.assign(moved, target, **keys)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rp.tl.assign(moved, target, align="quantiles", **keys)
    found = moved.uns["gmm"]["reference"]
    assert found["alignment"] == "quantiles"
    assert found["use_rep"] == "X_pca_aligned"
    assert found["coverage"] > 0.95 > 0.8 > found["coverage_raw"]
    assert (found["shift"]["mmd"] < 0.02).all()
    plainly = rp.tl.assign(external, target, align="quantiles", **keys, copy=True)
    np.testing.assert_allclose(moved.obsm["X_pca_aligned"], plainly.obsm["X_pca_aligned"], atol=1.0)
    assert (moved.obs["gmm"].astype(str) == plainly.obs["gmm"].astype(str)).mean() > 0.98
    assert moved.obsm["X_pca_aligned"].dtype == moved.obsm["X_pca"].dtype


def test_same_seed_same_bits_and_masks_keep_cells_out(target, external, keys):
    moved = bent(external)
    train = ~moved.obs["patient"].isin(moved.obs["patient"].cat.categories[:2]).to_numpy()
    changed = moved.copy()
    changed.obsm["X_pca"][~train] *= 7
    results = []
    for adata in (moved, moved.copy(), changed):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            rp.tl.assign(adata, target, align="quantiles", mask_obs=train, **keys)
        results.append(adata.obsm["X_pca_aligned"][train])
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


def test_needs_cells(target, external, keys, tmp_path, untouched):
    rp.tl.recipes(target, **keys)
    rp.io.write_recipes(target, tmp_path / "target.recipes.h5")
    with untouched(external), pytest.raises(ValueError, match="`align='quantiles'` needs the reference's cells"):
        rp.tl.assign(external, tmp_path / "target.recipes.h5", align="quantiles", **keys)


def test_donors_are_what_is_exchanged(target, external, keys, untouched):
    """Samples of one donor resemble each other: exchanged one by one, they make every donor look like a shift."""
    rng, n_donors = np.random.default_rng(0), 4
    for adata in (target, external):
        adata.obs["label"] = "healthy"
        patients = adata.obs["patient"].astype("category").cat.remove_unused_categories()
        adata.obs["person"] = pd.Categorical.from_codes(patients.cat.codes % n_donors, list("abcd"))
        offsets = rng.normal(size=(n_donors, adata.obsm["X_pca"].shape[1]))
        adata.obsm["X_pca"] = adata.obsm["X_pca"] + 3 * offsets[adata.obs["person"].cat.codes]
    rp.tl.gmm(target, 6)
    tables = {}
    for donor_key in (None, "person"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            rp.tl.assign(external, target, **keys, donor_key=donor_key)
        assert external.uns["gmm"]["params"].get("donor_key") == donor_key
        tables[donor_key] = external.uns["gmm"]["reference"]["shift"].loc["healthy"]
    assert tables[None]["p_value"] <= 0.05
    assert tables["person"]["p_value"] > 0.05
    assert tables["person"]["n_patients"] == tables[None]["n_patients"] == 8
    target.obs = target.obs.rename(columns={"person": "donor"})
    rp.tl.assign(external, target, **keys, donor_key="person", reference_donor_key="donor")
    pd.testing.assert_series_equal(external.uns["gmm"]["reference"]["shift"].loc["healthy"], tables["person"])
    with untouched(external):
        with pytest.raises(ValueError, match="needed beside `donor_key`"):
            rp.tl.assign(external, target, patient_key="patient", donor_key="person")
        with pytest.raises(KeyError, match="no column 'person' .* This is the reference, .*`reference_donor_key`"):
            rp.tl.assign(external, target, **keys, donor_key="person")
