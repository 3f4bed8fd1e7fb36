from __future__ import annotations

import warnings

import numpy as np
import pytest

import repatient as rp


def bag_means(adata, patients):
    one_hot = (patients[:, None] == np.unique(patients)).astype(float)
    return (one_hot / one_hot.sum(axis=0)).T @ adata.obsm["X_pca"]


def generated_means(adata):
    counts = adata.obsm["generated"]
    return (counts.T @ adata.obsm["X_pca"]) / np.asarray(counts.sum(axis=0)).T


@pytest.fixture
def shifted(generated, keys):
    """The cohort with every patient shifted as a whole, by as much as cells differ within components."""
    codes = generated.obs["patient"].cat.codes.to_numpy()
    rng = np.random.default_rng(0)
    residuals = generated.obsm["X_pca"] - generated.uns["gmm"]["means"][generated.obs["gmm"].cat.codes]
    generated.obsm["X_pca"] = generated.obsm["X_pca"] + residuals.std(axis=0) * rng.normal(size=(16, 10))[codes]
    # The shifted cells stay in their components, so that offsets are what patients differ by.
    rp.tl.recipes(generated, **keys, kind="empirical", shrinkage=0.0)
    return generated


def variance(means):
    return np.trace(np.cov(means.T))


def test_generated_patients_differ_as_real_ones_do(shifted):
    real = variance(bag_means(shifted, shifted.obs["patient"].to_numpy().astype(str)))
    ratio = {}
    for effects in (False, 0.5, True):
        rp.tl.generate(shifted, 40, donor_effects=effects)
        ratio[effects] = variance(generated_means(shifted)) / real
    assert ratio[False] < ratio[0.5] < ratio[True]
    assert 0.6 < ratio[True] < 1.4
    assert ratio[False] < 0.7 * ratio[True]


def test_table_names_the_reference(shifted):
    rp.tl.generate(shifted, 6, donor_effects=True)
    entry = shifted.uns["generated"]
    assert set(entry["patients"]["reference"]) <= set(shifted.obs["patient"])
    assert entry["params"]["donor_effects"] == 1.0
    rp.tl.generate(shifted, 6, donor_effects=False)
    assert "reference" not in shifted.uns["generated"]["patients"]


def test_by_default_offsets_are_borrowed_where_they_can_be_measured(shifted):
    def strength(adata, **settings):
        rp.tl.generate(adata, 3, **settings)
        return adata.uns["generated"]["params"]["donor_effects"]

    assert strength(shifted) == 1.0
    assert strength(shifted, n_donors=2) == 0.0
    assert strength(shifted, method="oversampling") == 0.0
    one = (shifted.obs["patient"] == shifted.obs["patient"].iloc[0]).to_numpy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        assert strength(shifted, mask_obs=one) == 0.0
    del shifted.obsm[shifted.uns["gmm"]["params"]["use_rep"]]
    assert strength(shifted) == 0.0
    with pytest.raises(KeyError, match="use_rep"):
        rp.tl.generate(shifted, 3, donor_effects=True)


def test_references_are_patients_of_the_pool(shifted):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rp.tl.generate(shifted, 10, donor_effects=True, pool="same")
    patients = shifted.uns["generated"]["patients"]
    label_of = shifted.obs.groupby("patient", observed=True)["label"].first()
    assert (label_of.loc[patients["reference"]].to_numpy() == patients["label"].to_numpy()).all()


def test_no_cell_outside_the_mask_is_drawn_or_measured(shifted, keys):
    shifted.obs["train"] = shifted.obs["patient"].isin(shifted.obs["patient"].cat.categories[4:])
    rp.tl.recipes(shifted, **keys, mask_obs="train")
    rp.tl.generate(shifted, 10, donor_effects=True)
    before = shifted.obsm["generated"].copy()
    outside = ~shifted.obs["train"].to_numpy()
    assert before[outside].nnz == 0
    assert (
        shifted.obs["patient"].cat.categories[:4].intersection(shifted.uns["generated"]["patients"]["reference"]).empty
    )
    shifted.obsm["X_pca"][outside] = 1e3
    rp.tl.generate(shifted, 10, donor_effects=True)
    assert (shifted.obsm["generated"] != before).nnz == 0


def test_share_of_a_donor_is_kept(shifted):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rp.tl.generate(shifted, 20, donor_effects=True, max_donor_share=0.2)
    counts = shifted.obsm["generated"]
    one_hot = np.stack([shifted.obs["patient"] == name for name in shifted.obs["patient"].cat.categories]).astype(int)
    shares = (one_hot @ counts.toarray()) / np.asarray(counts.sum(axis=0))
    assert shares.max() <= 0.2 + 1e-12


def test_same_seed_same_patients(shifted):
    first, second, other = (
        rp.tl.generate(shifted, 5, donor_effects=True, random_state=seed, copy=True).obsm["generated"]
        for seed in (1, 1, 2)
    )
    assert (first != second).nnz == 0
    assert (first != other).nnz > 0


def test_mudata(shifted):
    import mudata as md

    mdata = md.MuData({"rna": shifted[:, :2].copy()})
    mdata.obs = shifted.obs[["patient", "label"]].copy()
    rp.tl.gmm(mdata, 4, use_rep="rna:X_pca")
    rp.tl.recipes(mdata, patient_key="patient", label_key="label")
    rp.tl.generate(mdata, 3, donor_effects=True)
    assert mdata.obsm["generated"].shape[1] == 6


@pytest.mark.parametrize(
    ("kwargs", "error", "match"),
    [
        ({"donor_effects": True, "n_donors": 2}, ValueError, "`donor_effects` and `n_donors`"),
        ({"donor_effects": 1.5}, ValueError, "above 0 and of at most 1, not 1.5"),
        ({"donor_effects": "yes"}, TypeError, "above 0 and of at most 1, not 'yes'"),
    ],
)
def test_errors(generated, untouched, kwargs, error, match):
    with untouched(generated), pytest.raises(error, match=match):
        rp.tl.generate(generated, 3, **kwargs)


def test_pool_of_one_patient(generated):
    one = (generated.obs["patient"] == generated.obs["patient"].cat.categories[0]).to_numpy()
    with pytest.raises(ValueError, match="two patients or more"):
        rp.tl.generate(generated, 3, donor_effects=True, mask_obs=one)
