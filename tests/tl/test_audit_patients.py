"""Who is compared with whom in an audit."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import repatient as rp


def audit(data, **kwargs):
    return rp.tl.audit(data, n_permutations=19, n_repeats=1, **kwargs)


def patient_table(adata):
    return adata.obs.drop_duplicates("patient").set_index("patient")["label"].astype(str)


@pytest.fixture(scope="session")
def _halved(_plain):
    adata = _plain.copy()
    labels = patient_table(adata)
    adata.obs["train"] = adata.obs["patient"].isin(labels.groupby(labels).head(4).index)
    rp.tl.gmm(adata, 5, mask_obs="train")
    rp.tl.recipes(adata, patient_key="patient", label_key="label", mask_obs="train")
    rp.tl.generate(adata, 12)
    return adata


@pytest.fixture
def halved(_halved):
    """The cohort with four patients a class held out of mixture, recipes and pool."""
    return _halved.copy()


def test_copies_of_the_pool_betray_membership(halved):
    codes = halved.obs["patient"].astype(str).to_numpy()
    labels = patient_table(halved)[halved.obs.loc[halved.obs["train"], "patient"].unique()]
    halved.obsm["generated"] = sp.csc_matrix((codes[:, None] == labels.index.astype(str).to_numpy()).astype(np.int32))
    copies = pd.Index(labels.index.astype(str) + "-copy", name="patient")
    halved.uns["generated"]["patients"] = pd.DataFrame({"label": labels.to_numpy()}, index=copies)
    table = audit(halved)
    assert (table["reference"] == "held out").all()
    assert (table["n_real"] == 4).all()
    assert (table["membership_auroc"] == 1).all()
    assert (table["reidentification"] == 1).all()
    roles = halved.uns["audit"]["patients"]["role"]
    assert set(roles.index[roles == "pool"]) == set(labels.index)


def test_without_held_out_donors_membership_is_missing_and_says_so(generated):
    table = audit(generated)
    assert table["membership_auroc"].isna().all()
    assert table["notes"].str.contains("2 of donors held out of it, found 8 and 0").all()


def test_another_patient_of_a_donor_of_the_pool_is_not_held_out(halved):
    inside, outside = (halved.obs.loc[halved.obs["train"] == key, "patient"].iloc[0] for key in (True, False))
    halved.obs["donor"] = halved.obs["patient"].astype(str).replace({outside: inside})
    rp.tl.recipes(halved, patient_key="patient", label_key="label", donor_key="donor", mask_obs="train")
    rp.tl.generate(halved, 5)
    table = audit(halved)
    assert sorted(table["n_real"]) == [3, 4]
    assert halved.uns["audit"]["patients"].loc[outside, "role"] == "known"


def test_a_class_that_is_no_pool_was_still_learnt_from(halved):
    rp.tl.generate(halved, 6, pool="healthy")
    audit(halved)
    table = halved.uns["audit"]["patients"]
    roles = pd.crosstab(table["label"], table["role"])
    assert roles.loc["healthy", ["pool", "known", "held out"]].tolist() == [4, 0, 4]
    assert roles.loc["disease", ["pool", "known", "held out"]].tolist() == [0, 4, 4]


def test_recipes_that_are_gone(halved):
    expected = audit(halved)
    del halved.uns["recipes"]
    pd.testing.assert_frame_equal(audit(halved), expected)


def test_a_pool_given_as_array(halved):
    mask = halved.obs["train"].to_numpy()
    expected = audit(halved)
    assert halved.uns["audit"]["params"]["pool_is_recorded"]
    rp.tl.recipes(halved, patient_key="patient", label_key="label", mask_obs=mask)
    rp.tl.generate(halved, 12, mask_obs=mask)
    pd.testing.assert_frame_equal(audit(halved), expected)
    assert not halved.uns["audit"]["params"]["pool_is_recorded"]


def test_patients_asked_for(halved):
    held_out = audit(halved)
    halved.obs["test"] = ~halved.obs["train"]
    asked_for = audit(halved, mask_obs="test")
    assert (asked_for["reference"] == "mask").all()
    pd.testing.assert_frame_equal(asked_for.drop(columns="reference"), held_out.drop(columns="reference"))
    some = halved.obs["test"].to_numpy() & (np.arange(halved.n_obs) % 2 == 0)
    fewer = audit(halved, mask_obs=some)
    assert (fewer["n_real"] == 4).all()
    assert (fewer["variance_ratio"] != held_out["variance_ratio"]).all()
    assert (fewer["membership_auroc"] == held_out["membership_auroc"]).all()


def test_selected_patients(trained):
    adata, model = trained
    everything = audit(adata)
    rp.tl.select(adata, model, fraction=3 / 7)
    assert (audit(adata)["n_generated"] == 3).all()
    pd.testing.assert_frame_equal(audit(adata, selected=False), everything)


def test_few_patients_are_named_and_never_guessed(generated, keys):
    kept = generated.obs.groupby("label", observed=True)["patient"].first()
    few = generated[generated.obs["patient"].isin(kept)].copy()
    rp.tl.recipes(few, **keys)
    rp.tl.generate(few, {"disease": 3})
    table = audit(few)
    assert list(table.index) == ["disease"]
    missing = table.columns[table.isna().any()]
    assert {"mmd_mean", "energy_mean", "generated_auroc", "variance_ratio", "component_auroc"} <= set(missing)
    assert table.loc["disease", "worst_component"] == ""
    notes = table.loc["disease", "notes"]
    for name in missing:
        assert name in notes
    assert "2 real donors and 2 generated patients, found 1 and 3" in notes
    assert table.loc["disease", "donor_share_max"] <= 1


def test_a_class_without_a_real_patient(generated):
    generated.obs["label"] = generated.obs["label"].cat.add_categories(["sick"])
    generated.uns["generated"]["patients"]["label"] = pd.Categorical(["sick"] * 7 + ["disease"] * 7)
    table = audit(generated)
    assert table.loc["sick", "n_real"] == 0
    assert "found 0" in table.loc["sick", "notes"]
    assert np.isfinite(table.loc["sick", ["reidentification", "effective_donors"]].astype(float)).all()


def test_patients_without_a_label_are_left_out(generated):
    expected = audit(generated)
    extra = generated[generated.obs["patient"] == generated.obs["patient"].iloc[0]].copy()
    extra.obs["patient"], extra.obs["label"] = "unknown", np.nan
    extra.obs_names = extra.obs_names + "-again"
    extra.obsm["generated"] = sp.csc_matrix(extra.obsm["generated"].shape, dtype=np.int32)
    joined = ad.concat([generated, extra], uns_merge="first")
    pd.testing.assert_frame_equal(audit(joined), expected)
