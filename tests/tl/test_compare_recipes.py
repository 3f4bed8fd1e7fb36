from __future__ import annotations

import mudata as md
import numpy as np
import pandas as pd
import pytest
from scipy import stats

import repatient as rp
from repatient.recipe import mean_posteriors, moderated_p_values, p_values_of_both

EFFECTS = ("difference", "log2_fold_change", "clr_difference")


def with_classes(adata, names):
    """The cohort with its patients in other classes, by turns."""
    patients = adata.obs["patient"].cat.categories
    of = {name: names[i % len(names)] for i, name in enumerate(patients)}
    adata.obs["label"] = pd.Categorical(adata.obs["patient"].astype(str).map(of), categories=names)
    rp.tl.recipes(adata, patient_key="patient", label_key="label")
    return adata


def test_the_table(generated):
    table = rp.tl.compare_recipes(generated)
    assert list(table["component"]) == [str(k) for k in range(6)]
    entry = generated.uns["recipes"]
    reference, other = list(entry["classes"])
    assert set(table["reference"]) == {reference}
    assert set(table["class"]) == {other}
    shares = entry["counts"].div(entry["counts"].sum(axis=1), axis=0)
    labels = entry["patients"]["label"].astype(str)
    means = shares.groupby(labels.to_numpy()).mean()
    np.testing.assert_allclose(table["proportion"], means.loc[other], atol=0.03)
    np.testing.assert_allclose(table["proportion_reference"], means.loc[reference], atol=0.03)
    for name in EFFECTS:
        assert (table[f"{name}_low"] < table[name]).all()
        assert (table[name] < table[f"{name}_high"]).all()
    np.testing.assert_allclose(table["difference"], table["proportion"] - table["proportion_reference"], atol=0.01)
    np.testing.assert_allclose(table["q_value"], stats.false_discovery_control(table["p_value"]))
    np.testing.assert_array_equal(table["significant"], table["q_value"] <= 0.1)
    pd.testing.assert_frame_equal(
        generated.uns["compare_recipes"]["results"].reset_index(drop=True), table, check_index_type=False
    )


def test_the_components_of_disease_are_found(plain, keys):
    """The cohort's disease has more and fewer of some states: the components that hold them."""
    rp.tl.gmm(plain, 6)
    rp.tl.recipes(plain, **keys)
    table = rp.tl.compare_recipes(plain).set_index("component")
    entry = plain.uns["recipes"]
    shares = entry["counts"].div(entry["counts"].sum(axis=1), axis=0)
    labels = entry["patients"]["label"].astype(str).to_numpy()
    other, reference = table["class"].iloc[0], table["reference"].iloc[0]
    t_test = stats.ttest_ind(np.sqrt(shares[labels == other]), np.sqrt(shares[labels == reference]), equal_var=False)
    clear = t_test.pvalue < 1e-3
    assert clear.any()
    assert table["significant"][clear].all()
    assert (np.sign(table["difference"])[clear] == np.sign(t_test.statistic)[clear]).all()


def test_shuffled_labels_differ_in_nothing(plain):
    rng = np.random.default_rng(0)
    rp.tl.gmm(plain, 6)
    patients = plain.obs["patient"].cat.categories
    found = []
    for _ in range(10):
        labels = dict(zip(patients, rng.permutation(["a", "b"] * (len(patients) // 2)), strict=True))
        plain.obs["shuffled"] = pd.Categorical(plain.obs["patient"].astype(str).map(labels))
        rp.tl.recipes(plain, patient_key="patient", label_key="shuffled")
        found.append(rp.tl.compare_recipes(plain)["significant"].any())
    assert np.mean(found) <= 0.3


@pytest.mark.parametrize("n_patients", [2, 3])
def test_few_patients_hold_the_level(n_patients):
    """Two groups of patients of one distribution, whose components rise together, seldom differ at .05."""
    rng = np.random.default_rng(n_patients)
    found = 0
    for _ in range(120):
        mixing = rng.standard_normal((4, 4)) / np.sqrt(20)
        compositions = rng.dirichlet(np.full(4, 2.0)) * np.exp(rng.standard_normal((2 * n_patients, 4)) @ mixing)
        counts = rng.multinomial(600, compositions / compositions.sum(axis=1, keepdims=True))
        groups = counts[:n_patients], counts[n_patients:]
        these, those = mean_posteriors(groups)
        above = these.above(those)
        p_values = p_values_of_both(2 * np.minimum(above, 1 - above), moderated_p_values(*groups))
        found += (stats.false_discovery_control(p_values) <= 0.05).any()
    # With a level of .05, more than 12 of 120 have a probability of .01.
    assert found <= 12


@pytest.mark.parametrize("test", ["proportion", "clr"])
def test_moderated_p_values_lie_between_two_t_tests(test):
    """They come to the t-test over donors where the variances say little of each other, and see the same differences."""
    rng = np.random.default_rng(0)
    groups = [rng.multinomial(1000, rng.dirichlet(60 * np.array(mean), size=30)) for mean in ([0.4, 0.35, 0.25],) * 2]
    shares = [(counts + 0.5) / (counts + 0.5).sum(axis=1, keepdims=True) for counts in groups]
    logs = [np.log(share) - np.log(share).mean(axis=1, keepdims=True) for share in shares]
    values = logs if test == "clr" else [np.arcsin(np.sqrt(share)) for share in shares]
    np.testing.assert_allclose(moderated_p_values(*groups, test), stats.ttest_ind(*values).pvalue, atol=0.03)


def test_numbers_and_option_words_are_names_of_classes(generated):
    for names in (["rest", "all", ""], ["1", "2", "the rest"]):
        with_classes(generated, names)
        everyone = rp.tl.compare_recipes(generated)
        assert list(everyone["class"].unique()) == names
        assert (everyone["n_donors"] + everyone["n_donors_reference"] == 16).all()
        assert not set(everyone["reference"]) & set(names)
        table = rp.tl.compare_recipes(generated, reference=names[0])
        assert set(table["reference"]) == {names[0]}
        assert list(table["class"].unique()) == names[1:]
    assert set(rp.tl.compare_recipes(generated, reference=1)["reference"]) == {"1"}


def test_several_classes(generated):
    with_classes(generated, ["c", "a", "b"])
    table = rp.tl.compare_recipes(generated)
    assert len(table) == 18
    assert list(table["class"].unique()) == ["c", "a", "b"]
    assert set(table["reference"]) == {"rest"}
    assert (table["n_donors"] + table["n_donors_reference"] == 16).all()
    table = rp.tl.compare_recipes(generated, reference="a")
    assert list(table["class"].unique()) == ["c", "b"]
    sizes = generated.uns["recipes"]["patients"]["label"].value_counts()
    assert (table["n_donors_reference"] == sizes["a"]).all()


def test_a_class_that_is_called_rest(generated):
    with_classes(generated, ["rest", "ill"])
    table = rp.tl.compare_recipes(generated, reference="rest")
    assert list(table["class"].unique()) == ["ill"]


def test_the_test_of_log_ratios(generated):
    proportions = rp.tl.compare_recipes(generated)
    ratios = rp.tl.compare_recipes(generated, test="clr", fdr=0.5)
    pd.testing.assert_frame_equal(proportions.iloc[:, :20], ratios.iloc[:, :20])
    assert not np.allclose(proportions["tail_probability"], ratios["tail_probability"])
    assert generated.uns["compare_recipes"]["params"]["test"] == "clr"


def test_samples_of_one_donor_are_no_replicates(plain, keys):
    """Every patient split into three samples says what the patient said."""
    rp.tl.gmm(plain, 6)
    rp.tl.recipes(plain, **keys)
    whole = rp.tl.compare_recipes(plain)
    third = pd.Series(np.arange(plain.n_obs) % 3, index=plain.obs_names).astype(str)
    plain.obs["sample"] = plain.obs["patient"].astype(str) + third
    rp.tl.recipes(plain, patient_key="sample", label_key="label", donor_key="patient")
    pd.testing.assert_frame_equal(rp.tl.compare_recipes(plain), whole)
    rp.tl.recipes(plain, patient_key="sample", label_key="label")
    assert (rp.tl.compare_recipes(plain)["n_donors"] == 3 * whole["n_donors"]).all()


def test_a_donor_is_one_in_the_rest(plain):
    """Samples of one donor in two classes are one donor of the patients that a third class is compared with."""
    rp.tl.gmm(plain, 4)
    half = pd.Series(np.where(np.arange(plain.n_obs) % 2, "x", "y"), index=plain.obs_names)
    ill = plain.obs["label"] == "disease"
    plain.obs["sample"] = plain.obs["patient"].astype(str) + half
    plain.obs["stage"] = pd.Categorical(half.where(ill, "healthy"))
    rp.tl.recipes(plain, patient_key="sample", label_key="stage", donor_key="patient")
    table = rp.tl.compare_recipes(plain).set_index("class")
    assert set(table.loc["healthy", "n_donors_reference"]) == {8}
    rp.tl.recipes(plain, patient_key="patient", label_key="label")
    whole = rp.tl.compare_recipes(plain, reference="disease")
    np.testing.assert_allclose(table.loc["healthy", "tail_probability"], whole["tail_probability"], rtol=1e-8)


def test_same_seed_same_bits(generated):
    first, second = rp.tl.compare_recipes(generated), rp.tl.compare_recipes(generated)
    pd.testing.assert_frame_equal(first, second, check_exact=True)
    third = rp.tl.compare_recipes(generated, random_state=1)
    assert (third["difference_low"] != first["difference_low"]).any()
    np.testing.assert_array_equal(third["tail_probability"], first["tail_probability"])
    np.testing.assert_allclose(third["difference_low"], first["difference_low"], atol=0.02)


def test_copy_leaves_the_object(generated, untouched):
    with untouched(generated):
        table, written = rp.tl.compare_recipes(generated, copy=True, key_added="other")
    assert len(written.uns["other"]["results"]) == len(table)


@pytest.mark.parametrize("storage", ["h5ad", "zarr"])
def test_round_trip(generated, read_back, storage, same_content):
    generated = generated[:, :3].copy()
    table = rp.tl.compare_recipes(generated)
    back = read_back(generated, storage)
    same_content(back, generated)
    pd.testing.assert_frame_equal(rp.tl.compare_recipes(back), table)


def test_mudata(generated, tmp_path):
    table = rp.tl.compare_recipes(generated)
    mdata = md.MuData({"rna": generated[:, :3].copy()})
    mdata.uns["recipes"] = generated.uns["recipes"]
    pd.testing.assert_frame_equal(rp.tl.compare_recipes(mdata), table)
    mdata.write_h5mu(tmp_path / "a.h5mu")
    pd.testing.assert_frame_equal(rp.tl.compare_recipes(md.read_h5mu(tmp_path / "a.h5mu")), table)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"reference": "nobody"}, ValueError, "`reference` is one of .*'rest'.*'nobody'"),
        ({"test": "cells"}, ValueError, "`test`"),
        ({"fdr": 0}, ValueError, "`fdr`"),
        ({"interval": 1}, ValueError, "`interval` is a probability below 1"),
        ({"n_draws": 3}, ValueError, "`n_draws`"),
        ({"random_state": -1}, ValueError, "`random_state`"),
        ({"recipes_key": "none"}, KeyError, "rp.tl.recipes"),
        ({"key_added": "a/b"}, ValueError, "`key_added`"),
    ],
)
def test_bad_arguments(generated, untouched, arguments, error, message):
    with untouched(generated), pytest.raises(error, match=message):
        rp.tl.compare_recipes(generated, **arguments)


def test_too_few_to_compare(plain, keys, untouched):
    rp.tl.gmm(plain, 4)
    one = plain[plain.obs["label"] == "disease"].copy()
    rp.tl.recipes(one, **keys)
    with untouched(one), pytest.raises(ValueError, match=r"\['disease'\] have patients in this cohort; two or more"):
        rp.tl.compare_recipes(one)
    firsts = plain.obs.groupby("label", observed=True)["patient"].first()
    pair = plain[plain.obs["patient"].isin(firsts)].copy()
    rp.tl.recipes(pair, **keys)
    with pytest.raises(ValueError, match="no class of .* has two donors"):
        rp.tl.compare_recipes(pair)


def test_a_class_of_one_patient_borrows_the_spread_of_the_others(plain, keys):
    rp.tl.gmm(plain, 4)
    first = plain.obs.loc[plain.obs["label"] == "disease", "patient"].iloc[0]
    few = plain[(plain.obs["label"] != "disease") | (plain.obs["patient"] == first)].copy()
    rp.tl.recipes(few, **keys)
    one = rp.tl.compare_recipes(few, reference="healthy")
    rp.tl.recipes(plain, **keys)
    eight = rp.tl.compare_recipes(plain, reference="healthy")
    width = one["log2_fold_change_high"] - one["log2_fold_change_low"]
    assert (width > eight["log2_fold_change_high"] - eight["log2_fold_change_low"]).all()


def test_real_cohort(read_cohort):
    """What is found agrees with the cell types of the study, of which monocytes are rarer in these patients."""
    adata = read_cohort("covid_pbmc_scrna_stephenson20.h5ad")
    adata.obsm["X_pca"] = adata.obsm["X_pca"][:, :12].copy()
    rp.tl.gmm(adata, 12)
    rp.tl.recipes(adata, patient_key="patient", label_key="label")
    table = rp.tl.compare_recipes(adata, reference="healthy").set_index("component")
    types = pd.crosstab(adata.obs["gmm"], adata.obs["type"]).idxmax(axis=1)
    monocytes = table[types.loc[table.index].to_numpy() == "CD14"]
    assert monocytes["significant"].any()
    assert (monocytes["log2_fold_change"] < 0).all()
    shares = pd.crosstab(adata.obs["patient"], adata.obs["type"], normalize="index")
    labels = adata.obs.groupby("patient", observed=True)["label"].first()
    change = shares[labels == "covid"].mean() - shares[labels == "healthy"].mean()
    found = table.index[table["significant"]]
    assert (np.sign(change.loc[types.loc[found]]).to_numpy() == np.sign(table.loc[found, "difference"])).all()


def test_recipes_of_a_value_have_no_classes(generated):
    generated.obs["age"] = generated.obs["patient"].cat.codes.astype(float)
    rp.tl.recipes(generated, patient_key="patient", label_key="age", outcome="continuous")
    with pytest.raises(ValueError, match="one recipe that goes with the values of 'age'; classes to compare"):
        rp.tl.compare_recipes(generated)
