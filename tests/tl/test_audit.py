from __future__ import annotations

import warnings

import mudata as md
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import repatient as rp

FAST = {"n_permutations": 19, "n_repeats": 1}


def audit(data, **kwargs):
    return rp.tl.audit(data, **FAST, **kwargs)


def patient_table(adata):
    return adata.obs.drop_duplicates("patient").set_index("patient")["label"].astype(str)


def replace(adata, bags, labels):
    """Put multisets of rows in the place of the generated patients."""
    counts = np.stack([np.bincount(rows, minlength=adata.n_obs) for rows in bags], axis=1)
    adata.obsm["generated"] = sp.csc_matrix(counts.astype(np.int32))
    adata.uns["generated"]["patients"] = pd.DataFrame(
        {"label": pd.Categorical(labels)}, index=pd.Index([f"g{i}" for i in range(len(labels))], name="patient")
    )


def copies(adata, sources, seed=0):
    """Bootstrap the cells of one real patient each, three times as many as it has."""
    rng = np.random.default_rng(seed)
    codes = adata.obs["patient"].astype(str).to_numpy()
    bags = [rng.choice(np.flatnonzero(codes == name), size=3 * (codes == name).sum()) for name in sources]
    replace(adata, bags, patient_table(adata)[sources].to_list())


@pytest.fixture(scope="session")
def _apart():
    adata, _ = rp.datasets.pbmc_cohort(n_patients=20, n_cells=60)
    adata.obsm["X_pca"] = adata.obsm["X_pca"][:, :6].copy()
    codes = adata.obs["patient"].cat.codes.to_numpy()
    offsets = np.random.default_rng(0).normal(size=(codes.max() + 1, adata.obsm["X_pca"].shape[1]))
    adata.obsm["X_pca"] = adata.obsm["X_pca"] + (2 * offsets[codes]).astype(np.float32)
    rp.tl.gmm(adata, 6)
    rp.tl.recipes(adata, patient_key="patient", label_key="label")
    rp.tl.generate(adata, 3)
    return adata


@pytest.fixture
def apart(_apart):
    """The cohort with an offset of its own for each patient, as donors have."""
    return _apart.copy()


def test_one_row_a_class_stored_as_returned(generated):
    table = audit(generated)
    assert list(table.index) == ["healthy", "disease"]
    pd.testing.assert_frame_equal(table, generated.uns["audit"]["measures"])
    assert (table[["n_real", "n_generated"]] == [8, 7]).all(axis=None)
    assert (table["reference"] == "seen").all()
    numbers = table.select_dtypes("number").drop(columns="membership_auroc")
    assert np.isfinite(numbers).all(axis=None)
    roles = generated.uns["audit"]["patients"]["role"].value_counts()
    assert roles.to_dict() == {"pool": 16, "generated": 14, "known": 0, "held out": 0}


def test_numbers_are_those_of_their_definitions(generated):
    rp.tl.generate(generated, 9, n_donors=3, n_cells=300)
    table = audit(generated)
    X, codes = generated.obsm["X_pca"].astype(np.float64), generated.obs["patient"].astype(str).to_numpy()
    counts = generated.obsm["generated"].toarray()
    labels = generated.uns["generated"]["patients"]["label"].to_numpy(dtype=str)
    real_labels = patient_table(generated)
    real = pd.DataFrame(X).groupby(codes).mean().loc[real_labels.index].to_numpy()
    means = counts.T @ X / counts.sum(axis=0)[:, None]
    shares = rp.get.compositions(generated, generated_key="generated") + 0.5
    logs = np.log(shares).sub(np.log(shares).mean(axis=1), axis=0)
    for name in table.index:
        of_real, of_generated = real_labels.to_numpy() == name, labels == name
        ratio = np.trace(np.cov(means[of_generated].T)) / np.trace(np.cov(real[of_real].T))
        assert table.loc[name, "variance_ratio_raw"] == pytest.approx(ratio)
        scaled = means[of_generated].var(axis=0, ddof=1), real[of_real].var(axis=0, ddof=1)
        ratio = (scaled[0] / real.var(axis=0)).sum() / (scaled[1] / real.var(axis=0)).sum()
        assert table.loc[name, "variance_ratio"] == pytest.approx(ratio)
        of_class = logs.xs(name, level="label")
        spread = [of_class.xs(key, level="is_generated").var().sum() for key in (True, False)]
        assert table.loc[name, "variance_ratio_composition"] == pytest.approx(spread[0] / spread[1])
        donors = pd.DataFrame(counts[:, of_generated]).groupby(codes).sum() / 300
        assert table.loc[name, "donor_share_max"] == pytest.approx(donors.max().max())
        assert table.loc[name, "donor_share_median"] == pytest.approx(donors.max().median())
        assert table.loc[name, "effective_donors"] == pytest.approx((1 / (donors**2).sum()).median())
        repeated = np.maximum(counts[:, of_generated] - 1, 0).sum() / (300 * 9)
        assert table.loc[name, "repeated_cells"] == pytest.approx(repeated)
        sizes = generated.obs["patient"].value_counts()[real_labels.index].to_numpy()
        assert table.loc[name, "size_auroc_generated"] == pytest.approx((sizes[of_real] < 300).mean())
        pairs = sizes[of_real][:, None] - sizes[~of_real]
        assert table.loc[name, "size_auroc_class"] == pytest.approx((np.sign(pairs) / 2 + 0.5).mean())


def test_bootstrapped_patients_look_real_and_betray_their_source(apart):
    names = patient_table(apart).index
    copies(apart, np.repeat(names, 5))
    table = audit(apart)
    assert (table["reidentification"] > 0.95).all()
    assert (table["reidentification_chance"] < 0.2).all()
    assert (table["donor_share_max"] == 1).all()
    assert (table["effective_donors"] == 1).all()
    assert table["variance_ratio"].between(0.8, 1.25).all()
    assert table["generated_auroc"].between(0.35, 0.65).all()
    assert (table["mmd_moments_p"] > 0.05).all()


def test_draws_over_all_donors_are_too_alike_and_told(apart):
    rng = np.random.default_rng(0)
    replace(apart, rng.integers(apart.n_obs, size=(60, 120)), ["healthy"] * 30 + ["disease"] * 30)
    table = audit(apart)
    assert (table["variance_ratio"] < 0.4).all()
    assert (table["generated_auroc"] > 0.9).all()
    assert (table["mmd_mean_p"] == 0.05).all()
    assert (table["donor_share_max"] < 0.25).all()
    assert (table["reidentification"] < 0.4).all()


def test_one_donor_a_patient_is_closer_to_real_ones_than_all_donors(apart):
    rp.tl.generate(apart, 30, donor_effects=False)
    of_all = audit(apart)
    rp.tl.generate(apart, 30, n_donors=1)
    of_one = audit(apart)
    assert (of_one["variance_ratio"] > 2 * of_all["variance_ratio"]).all()
    assert (of_one["energy_mean"] < of_all["energy_mean"]).all()
    assert (of_one["reidentification"] > 4 * of_one["reidentification_chance"]).all()


def test_another_embedding(generated):
    assert (
        audit(generated)["variance_ratio_raw"].iloc[0]
        != audit(generated, use_rep="X_umap")["variance_ratio_raw"].iloc[0]
    )
    assert generated.uns["audit"]["params"]["use_rep"] == "X_umap"


def test_axes_are_those_of_the_real_patients(generated):
    audit(generated)
    table, explained = generated.uns["audit"]["patients"], generated.uns["audit"]["explained"]
    real = table.loc[table["role"] != "generated", ["axis_1", "axis_2"]].to_numpy()
    np.testing.assert_allclose(real.mean(axis=0), 0, atol=1e-10)
    # Each of ten standardised dimensions has variance 1.
    np.testing.assert_allclose(real.var(axis=0), 10 * explained)
    assert np.corrcoef(real.T)[0, 1] == pytest.approx(0, abs=1e-9)


def test_same_seed_same_numbers(generated):
    pd.testing.assert_frame_equal(audit(generated), audit(generated))
    numbers = ["mmd_mean_p", "generated_auroc", "component_auroc"]
    assert (audit(generated, random_state=1)[numbers] != audit(generated)[numbers]).any(axis=None)


def test_copy_leaves_the_object(generated, untouched):
    with untouched(generated):
        table, written = audit(generated, copy=True)
    pd.testing.assert_frame_equal(written.uns["audit"]["measures"], table)


@pytest.mark.parametrize("storage", ["h5ad", "zarr"])
def test_round_trip(generated, storage, read_back, same_content):
    generated = generated[:, :5].copy()
    audit(generated, key_added="checked")
    back = read_back(generated, storage)
    same_content(back, generated)
    pd.testing.assert_frame_equal(audit(back), generated.uns["checked"]["measures"], check_dtype=False)


def test_mudata(generated):
    expected = audit(generated)
    mdata = md.MuData({"rna": generated[:, :5].copy()})
    for column in ("patient", "label", "gmm"):
        mdata.obs[column] = generated.obs[column]
    mdata.obsm["generated"] = generated.obsm["generated"]
    mdata.uns.update({name: generated.uns[name] for name in ("gmm", "recipes", "generated")})
    pd.testing.assert_frame_equal(audit(mdata, use_rep="rna:X_pca"), expected)


@pytest.mark.parametrize(
    ("error", "match", "kwargs"),
    [
        (KeyError, "rp.tl.generate", {"generated_key": "nowhere"}),
        (KeyError, "no embedding 'X_scVI'", {"use_rep": "X_scVI"}),
        (KeyError, "no column 'trian'", {"mask_obs": "trian"}),
        (ValueError, "`n_permutations`", {"n_permutations": 0}),
        (ValueError, "`n_repeats`", {"n_repeats": 0}),
        (ValueError, "`random_state`", {"random_state": -1}),
        (ValueError, "`key_added`.*without '/'", {"key_added": "a/b"}),
        (KeyError, "`selected`: no selection was made", {"selected": True}),
    ],
)
def test_errors(generated, untouched, error, match, kwargs):
    with untouched(generated), pytest.raises(error, match=match):
        rp.tl.audit(generated, **kwargs)


def test_what_cannot_be_audited(generated, untouched):
    generated.obs["label"] = generated.obs["label"].cat.add_categories(["none"])
    one = generated.obs["patient"] == generated.obs["patient"].iloc[0]
    unlabelled = generated.copy()
    unlabelled.obs.loc[one, "label"] = np.nan
    with untouched(unlabelled), pytest.raises(ValueError, match="`mask_obs`: none of its 1 patients has a label"):
        audit(unlabelled, mask_obs=one.to_numpy())
    unlabelled.obs["label"] = pd.Categorical([None] * generated.n_obs, categories=["a"])
    with pytest.raises(ValueError, match="no real patient has a label"):
        audit(unlabelled)
    rp.tl.gmm(generated, 4)
    with untouched(generated), pytest.raises(ValueError, match="refitted since"):
        audit(generated)


def test_no_warning(generated):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        audit(generated)


def test_draws_of_a_real_cohort_are_seen_to_be_too_alike_without_donor_effects(read_cohort):
    adata = read_cohort("melanoma_icb_scrna.h5ad")
    adata.obs["sample"] = adata.obs[["patient", "cohort", "label"]].astype(str).agg("|".join, axis=1)
    rp.tl.gmm(adata, 10, n_init=1, max_iter=30, tol=1e-2)
    rp.tl.recipes(adata, patient_key="sample", label_key="label", donor_key="patient")
    rp.tl.generate(adata, 40, donor_effects=False)
    table = audit(adata)
    assert (table["variance_ratio"] < 0.5).all()
    assert (table["generated_auroc"] > 0.8).all()
    assert (table["component_auroc"] > 0.5).all()
    rp.tl.generate(adata, 40)
    table = audit(adata)
    assert table["variance_ratio"].between(0.6, 1.4).all()
    assert (table["generated_auroc"] < 0.8).all()
