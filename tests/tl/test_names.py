"""Names are data, missing values have none, and what was stored is told from what the object has become."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import repatient as rp

KEYS = {"patient_key": "patient", "label_key": "label"}


@pytest.fixture
def cells():
    """Eight patients of two classes whose cells lie in three clusters far apart, without labels."""
    rng = np.random.default_rng(0)
    patients = np.repeat(np.arange(8), 20)
    clusters = (rng.random(len(patients)) * (2 + patients % 2)).astype(int)
    obs = pd.DataFrame({"patient": [f"P{i}" for i in patients]}, index=[f"c{i}" for i in range(len(patients))])
    adata = ad.AnnData(rng.poisson(1.0, (len(patients), 2)).astype(np.float32), obs=obs)
    adata.obsm["X_pca"] = (8 * np.eye(3)[clusters] + rng.normal(size=(len(patients), 3))).astype(np.float32)
    adata.uns["number"] = patients
    return adata


def labelled(adata, first="a", second="b"):
    adata.obs["label"] = np.where(adata.uns["number"] % 2, second, first)
    return adata


def with_recipes(adata, **options):
    rp.tl.gmm(adata, 3)
    rp.tl.recipes(adata, **KEYS, **options)
    return adata


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA])
def test_a_class_called_nan_takes_nothing_of_patients_without_a_label(cells, missing):
    labelled(cells, "nan", "<NA>")
    cells.obs["label"] = cells.obs["label"].astype(object)
    cells.obs.loc[cells.uns["number"] >= 6, "label"] = missing
    cells.obs["age"] = np.where(cells.uns["number"] >= 6, 90.0, 20.0 + cells.uns["number"])
    with pytest.warns(UserWarning, match="missing_values"):
        with_recipes(cells, covariates=["age"])
    rp.tl.generate(cells, 30)
    table = cells.uns["generated"]["patients"]
    assert set(table["label"]) == {"nan", "<NA>"}
    assert table["age"].max() < 30


def test_names_of_single_precision_are_those_of_the_numbers(cells):
    cells.obs["label"] = (0.1 + 0.2 * (cells.uns["number"] % 2)).astype(np.float16)
    with_recipes(cells)
    assert [str(name) for name in cells.uns["recipes"]["classes"]] == ["0.1", "0.3"]
    rp.tl.generate(cells, {0.1: 2}, pool=0.1)


@pytest.mark.parametrize("name", ["all", "same"])
def test_a_class_called_like_an_option_may_be_the_pool(cells, name):
    with_recipes(labelled(cells, name, "other"))
    rp.tl.generate(cells, 2, pool=("class", name))
    rows = np.unique(cells.obsm["generated"].indices)
    assert set(cells.obs["label"].iloc[rows]) == {name}
    assert list(cells.uns["generated"]["params"]["pool"]) == ["class", name]
    with pytest.raises(ValueError, match=r"`pool`.*\('class', name\)"):
        rp.tl.generate(cells, 2, pool=("patient", "P0"))


def test_classes_that_differ_in_a_slash_have_columns_of_their_own(cells):
    labelled(cells, "a/b", "a|b")
    rp.tl.mil(cells, model="mean", **KEYS)
    predictions = cells.uns["mil"]["predictions"]
    assert predictions.columns.is_unique
    np.testing.assert_allclose(predictions[["probability_a|b_", "probability_a|b"]].sum(axis=1), 1, rtol=1e-5)


def test_a_class_called_all_is_not_the_whole_cohort(cells):
    labelled(cells, "all", "(unknown)")
    cells.obs["label"] = cells.obs["label"].astype(object)
    cells.obs.loc[cells.uns["number"] == 0, "label"] = None
    table = rp.io.cohort_table(cells, **KEYS)
    assert table["patients"].to_dict() == {"(unknown)": 4, "all": 3, "((unknown))": 1, "(all)": 8}


RENAMED = {
    "both renamed": {"a": "A", "b": "B"},
    "one renamed": {"b": "B"},
    "swapped": {"a": "b", "b": "a"},
}


@pytest.mark.parametrize("renamed", RENAMED)
def test_classes_that_were_renamed_make_recipes_and_generated_patients_stale(cells, renamed):
    with_recipes(labelled(cells))
    rp.tl.generate(cells, 2)
    cells.obs["label"] = cells.obs["label"].replace(RENAMED[renamed])
    for function in (rp.tl.generate, rp.get.compositions, rp.get.augmented, rp.get.patients, rp.tl.audit):
        with pytest.raises(ValueError, match=r"`label_key`: .* are stale: [48] patients have another value"):
            function(cells)
    rp.tl.recipes(cells, **KEYS)
    if renamed != "swapped":
        with pytest.raises(ValueError, match=r"`generated_key`: .*'b'\], which neither"):
            rp.get.augmented(cells)
    rp.tl.generate(cells, 2)
    assert set(rp.get.augmented(cells).obs["label"]) == set(cells.obs["label"])


def test_patients_who_were_renamed_are_said_to_be(cells):
    with_recipes(labelled(cells))
    cells.obs["patient"] = "Q" + cells.obs["patient"].astype(str)
    with pytest.raises(ValueError, match="`recipes_key`: none of the patients .* renamed since"):
        rp.tl.generate(cells)


def test_recipes_that_joining_left_in_parts_are_recognised(cells):
    with_recipes(labelled(cells))
    other = cells.copy()
    other.obs_names = "d" + other.obs_names
    other.obs["patient"] = "Q" + other.obs["patient"].astype(str)
    rp.tl.recipes(other, **KEYS)
    joined = ad.concat([cells, other], uns_merge="same")
    for function in (rp.tl.generate, rp.get.recipes, rp.get.patients):
        with pytest.raises(ValueError, match=r"`recipes_key`: .* is not what `rp.tl.recipes` wrote"):
            function(joined)


def test_a_result_does_not_take_the_place_of_what_it_is_made_from(cells):
    labelled(cells)
    with pytest.raises(ValueError, match="`key_added`.*'patient'"):
        rp.tl.gmm(cells, 3, patient_key="patient", key_added="patient")
    with_recipes(cells)
    with pytest.raises(ValueError, match="`key_added`.*'gmm'"):
        rp.tl.recipes(cells, key_added="gmm", **KEYS)
    for key in ("X_pca", "gmm", "recipes"):
        with pytest.raises(ValueError, match=f"`key_added`.*'{key}'"):
            rp.tl.generate(cells, 2, key_added=key)


def test_covariates_in_bins_are_names(cells, tmp_path):
    labelled(cells).obs["age"] = pd.cut(pd.Series(20.0 + cells.uns["number"], index=cells.obs_names), 2)
    with_recipes(cells, covariates=["age"])
    rp.tl.generate(cells, 2, covariates={"age": cells.obs["age"].iloc[0]})
    patients = rp.get.patients(cells, generated_key="generated")
    assert set(patients.obs["age"][patients.obs["is_generated"]]) == {str(cells.obs["age"].iloc[0])}
    patients.write_h5ad(tmp_path / "patients.h5ad")
    with pytest.raises(TypeError, match="'age' of `obs` holds interval"):
        rp.get.augmented(cells, to=tmp_path / "augmented.h5ad")


@pytest.mark.parametrize("dtype", ["Float64", "double[pyarrow]", "int64[pyarrow]", "bool[pyarrow]"])
def test_files_hold_nullable_and_arrow_columns_of_augmented_cohorts(cells, dtype, tmp_path):
    with_recipes(labelled(cells)).obs["x"] = pd.Series(cells.uns["number"] % 2, index=cells.obs_names).astype(dtype)
    rp.tl.generate(cells, 1)
    back = ad.read_h5ad(rp.get.augmented(cells, to=tmp_path / "augmented.h5ad"))
    np.testing.assert_array_equal(back.obs["x"].iloc[: cells.n_obs].to_numpy(dtype=float), cells.uns["number"] % 2)


def test_masked_values_are_no_numbers():
    rows = np.ma.array(np.random.default_rng(0).normal(size=(60, 2)), mask=np.arange(120).reshape(60, 2) == 7)
    for make in (rp.mixture.GaussianMixture(2).fit, lambda X: rp.mil.Bags.from_codes(X, np.arange(60) % 3, 3)):
        with pytest.raises(ValueError, match="`X` has 1 masked values"):
            make(rows)
    plain = np.ma.array(rows.data, mask=False)
    np.testing.assert_array_equal(
        rp.mixture.GaussianMixture(2).fit(plain).means_, rp.mixture.GaussianMixture(2).fit(rows.data).means_
    )
