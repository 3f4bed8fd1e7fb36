from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import cross_val_predict

import repatient as rp


def shares(adata, values):
    """Share of each value of a column among the cells of each generated patient."""
    codes = pd.Categorical(values)
    one_hot = pd.get_dummies(codes).to_numpy(dtype=float)
    counts = adata.obsm["generated"].T @ one_hot
    return counts / counts.sum(axis=1, keepdims=True)


def components(adata):
    return np.asarray(adata.obsm["generated"].T @ pd.get_dummies(adata.obs["gmm"]).to_numpy(dtype=int))


def test_composition_follows_a_recipe_without_spread(generated, keys):
    rp.tl.recipes(generated, **keys, kind="mean")
    rp.tl.generate(generated, 200)
    drawn = components(generated)
    labels = generated.uns["generated"]["patients"]["label"].to_numpy()
    for name in ("healthy", "disease"):
        total = drawn[labels == name].sum(axis=0)
        expected = generated.uns["recipes"]["mean"].loc[name].to_numpy()
        assert stats.chisquare(total, expected / expected.sum() * total.sum()).pvalue > 0.01
        sizes = drawn[labels == name].sum(axis=1, keepdims=True)
        by_patient = ((drawn[labels == name] - sizes * expected) ** 2 / (sizes * expected)).sum()
        assert stats.chi2.sf(by_patient, 200 * (len(expected) - 1)) > 0.01


def test_composition_follows_a_dirichlet_multinomial(generated):
    rp.tl.generate(generated, 200, n_cells=300)
    drawn = components(generated)
    labels = generated.uns["generated"]["patients"]["label"].to_numpy()
    entry = generated.uns["recipes"]
    for name, concentration in zip(entry["classes"], entry["concentration"], strict=True):
        mean = entry["mean"].loc[name].to_numpy()
        # Patients differ, which multiplies the variance of the counts by this (Mosimann 1962).
        inflation = (300 + concentration) / (1 + concentration)
        total = drawn[labels == name].sum(axis=0)
        statistic = ((total - 200 * 300 * mean) ** 2 / (200 * 300 * mean)).sum() / inflation
        assert stats.chi2.sf(statistic, len(mean) - 1) > 0.01
        by_patient = ((drawn[labels == name] - 300 * mean) ** 2 / (300 * mean)).sum() / inflation
        assert 0.8 < by_patient / (200 * (len(mean) - 1)) < 1.25


def test_size_does_not_tell_the_class(plain, keys):
    # Real patients of one class are three times larger here.
    rng = np.random.default_rng(0)
    small = (plain.obs["label"] == "disease").to_numpy() & (rng.random(plain.n_obs) < 0.67)
    plain = plain[~small].copy()
    real = plain.obs.groupby("patient", observed=True).agg(n=("label", "size"), label=("label", "first"))
    assert roc_auc_score(real["label"] == "healthy", real["n"]) > 0.95
    rp.tl.gmm(plain, 5)
    rp.tl.recipes(plain, **keys)
    rp.tl.generate(plain, 300)
    patients = plain.uns["generated"]["patients"]
    sizes, y = patients[["n_cells"]].to_numpy(dtype=float), (patients["label"] == "healthy").to_numpy()
    scores = cross_val_predict(LogisticRegression(), sizes / sizes.mean(), y, cv=5, method="predict_proba")[:, 1]
    assert 0.45 < roc_auc_score(y, scores) < 0.55
    assert set(patients["n_cells"]) <= set(real["n"])


@pytest.mark.parametrize("n_donors", [1, 2, 5])
def test_n_donors(generated, n_donors):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rp.tl.generate(generated, 20, n_donors=n_donors)
    donors = (shares(generated, generated.obs["patient"]) > 0).sum(axis=1)
    assert (donors == n_donors).all()
    np.testing.assert_array_equal(donors, generated.uns["generated"]["patients"]["n_donors"])


@pytest.mark.parametrize("kwargs", [{"max_donor_share": 0.1}, {"max_donor_share": 0.5, "n_donors": 2}])
def test_max_donor_share(generated, kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rp.tl.generate(generated, 40, **kwargs)
    assert shares(generated, generated.obs["patient"]).max() <= kwargs["max_donor_share"] + 1e-12


def test_pool(generated):
    label = generated.obs["label"].astype(str)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rp.tl.generate(generated, 10, pool="healthy")
        assert (shares(generated, label)[:, 0] == 0).all()
        rp.tl.generate(generated, 10, pool="same")
        own = pd.get_dummies(generated.uns["generated"]["patients"]["label"])[["disease", "healthy"]].to_numpy()
        np.testing.assert_array_equal(shares(generated, label), own)
    rp.tl.generate(generated, 10)
    assert (shares(generated, label) > 0.2).all()


def test_donor_key_is_the_unit(plain, keys):
    plain.obs["donor"] = (plain.obs["patient"].cat.codes // 2).astype(str)
    rp.tl.gmm(plain, 4)
    rp.tl.recipes(plain, **keys, donor_key="donor")
    rp.tl.generate(plain, 10, n_donors=2)
    assert ((shares(plain, plain.obs["donor"]) > 0).sum(axis=1) == 2).all()
    assert (shares(plain, plain.obs["patient"]) > 0).sum(axis=1).max() > 2


def test_only_cells_of_the_fit_are_drawn(plain, keys):
    plain.obs["train"] = plain.obs["patient"].isin(plain.obs["patient"].cat.categories[4:])
    outside = ~plain.obs["train"].to_numpy()
    rp.tl.gmm(plain, 4, mask_obs="train")
    rp.tl.recipes(plain, **keys, mask_obs="train")
    rp.tl.generate(plain, 10)
    assert plain.obsm["generated"][outside].nnz == 0
    assert plain.uns["generated"]["params"]["mask_obs"] == "train"
    rp.tl.recipes(plain, **keys, mask_obs=plain.obs["train"].to_numpy())
    with pytest.raises(ValueError, match="mask given as an array"):
        rp.tl.generate(plain, 10)
    rp.tl.generate(plain, 10, mask_obs="train")
    assert plain.obsm["generated"][outside].nnz == 0


def test_numbers_of_patients(generated, keys):
    rp.tl.generate(generated, {"disease": 3})
    assert generated.uns["generated"]["patients"]["label"].tolist() == ["disease"] * 3
    with pytest.raises(ValueError, match="all classes have 8 patients already"):
        rp.tl.generate(generated, "balance")
    few = generated[
        ~generated.obs["patient"].isin(generated.obs.loc[generated.obs["label"] == "disease", "patient"].unique()[:5])
    ].copy()
    rp.tl.recipes(few, **keys)
    rp.tl.generate(few, "balance")
    assert few.uns["generated"]["patients"]["label"].tolist() == ["disease"] * 5


def test_counts_are_sparse_columns(generated):
    rp.tl.generate(generated, 6, n_cells=50)
    counts, patients = generated.obsm["generated"], generated.uns["generated"]["patients"]
    assert counts.format == "csc"
    assert counts.dtype == np.int32
    assert counts.shape == (generated.n_obs, 12)
    np.testing.assert_array_equal(counts.sum(axis=0).A1, patients["n_cells"])
    assert (patients["n_cells"] == 50).all()
    assert patients.index.is_unique
    assert not set(patients.index) & set(generated.obs["patient"])


def test_names_avoid_those_of_real_patients(generated, keys):
    renamed = generated.copy()
    renamed.obs["patient"] = renamed.obs["patient"].cat.rename_categories(
        {renamed.obs["patient"].cat.categories[0]: "healthy_generated_0"}
    )
    rp.tl.recipes(renamed, **keys)
    rp.tl.generate(renamed, 2)
    assert "healthy_generated_0" not in renamed.uns["generated"]["patients"].index


def test_shortage_is_said_with_its_number(generated):
    with pytest.warns(UserWarning, match=r"of \d+ drawn cells .* repeat a cell of the same patient.*cells\)"):
        rp.tl.generate(generated, 3, n_cells=3000)
    patients = generated.uns["generated"]["patients"]
    assert (patients["n_repeated"] > 0).all()
    rare = generated.obs["gmm"] == "5"
    one = generated.obs.loc[rare, "patient"].iloc[0]
    generated.obs["keep"] = ~rare | (generated.obs["patient"] == one)
    with pytest.warns(UserWarning, match="other components than their recipe asked for.*'5'"):
        rp.tl.generate(generated, 30, n_donors=2, mask_obs="keep")
    with pytest.warns(UserWarning, match="components without a cell in the pool, .*'5'"):
        rp.tl.generate(generated, 3, mask_obs=~rare.to_numpy())


def test_a_pool_that_cannot_make_the_class(generated):
    mean = generated.uns["recipes"]["mean"].copy()
    mean.loc["disease"] = [0, 0, 0, 0, 0, 1.0]
    generated.uns["recipes"]["mean"] = mean
    without = (generated.obs["gmm"] != "5").to_numpy()
    with pytest.raises(ValueError, match="100.0% of the recipe of 'disease'"):
        rp.tl.generate(generated, 3, mask_obs=without)
