"""Labels that may mean that there is none: `missing_values`."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import repatient as rp

KEYS = {"patient_key": "patient", "label_key": "label"}
WITHOUT = 3


@pytest.fixture
def cohort():
    """Twelve patients of two classes; three of them are said to be of the class "NA"."""
    adata, _ = rp.datasets.pbmc_cohort(n_patients=6, n_cells=40)
    gone = adata.obs["patient"].isin(sorted(adata.obs["patient"].unique())[:WITHOUT])
    adata.obs["label"] = adata.obs["label"].astype(str).where(~gone, "NA")
    adata.obs["age"] = np.where(gone, -99.0, adata.obs["patient"].cat.codes)
    return adata


def mil(adata, **options):
    return rp.tl.mil(adata, **KEYS, model="mean", **options)


def evaluate(adata, **options):
    return rp.tl.evaluate(adata, **KEYS, methods=["mean"], n_splits=2, progress=False, **options)


@pytest.mark.parametrize("verb", [mil, evaluate])
def test_what_is_predicted_is_asked_about(cohort, verb):
    before = set(cohort.uns)
    with pytest.raises(ValueError, match=r"`label_key`: \['NA'\].*missing_values"):
        verb(cohort)
    assert set(cohort.uns) == before


@pytest.mark.parametrize("verb", [mil, evaluate])
@pytest.mark.parametrize(("answer", "classes"), [(["NA"], 2), (np.array(["NA", "nan", "?"]), 2), ([], 3)])
def test_the_answer_is_followed(cohort, verb, answer, classes):
    verb(cohort, missing_values=answer)
    entry = cohort.uns["mil" if verb is mil else "evaluation"]
    probabilities = [name for name in entry["predictions"] if name.startswith("probability_")]
    assert len(probabilities) == classes


def test_patients_without_a_label_are_predicted_and_not_trained_on(cohort):
    model = mil(cohort, missing_values=["NA"])
    table = cohort.uns["mil"]["predictions"]
    assert table["label"].isna().sum() == WITHOUT
    assert list(model.classes) == ["disease", "healthy"]
    without = cohort[(cohort.obs["label"] != "NA").to_numpy()].copy()
    mil(without)
    expected = without.uns["mil"]["predictions"]["probability_disease"]
    pd.testing.assert_series_equal(table.loc[expected.index, "probability_disease"], expected)


@pytest.mark.parametrize("value", ["NA", 5, [["NA", "nan"]]])
def test_an_answer_without_brackets_is_refused(cohort, value):
    with pytest.raises(TypeError, match="`missing_values` is a list"):
        mil(cohort, missing_values=value)


def test_recipes_say_what_they_take_for_a_class(cohort):
    rp.tl.gmm(cohort, 3, covariance_type="diag")
    with pytest.warns(UserWarning, match=r"missing_values=\['NA'\]"):
        rp.tl.recipes(cohort, **KEYS)
    assert "NA" in cohort.uns["recipes"]["classes"]


def test_what_reads_the_recipes_reads_the_same_patients(cohort, tmp_path, recwarn):
    rp.tl.gmm(cohort, 3, covariance_type="diag")
    rp.tl.recipes(cohort, **KEYS, missing_values=["NA"])
    cohort.write_h5ad(tmp_path / "cohort.h5ad")
    again = ad.read_h5ad(tmp_path / "cohort.h5ad")
    rp.tl.generate(again, 4)
    rp.tl.audit(again)
    rp.io.write_recipes(again, tmp_path / "recipes.h5")
    assert list(again.uns["recipes"]["classes"]) == ["disease", "healthy"]
    assert set(again.uns["audit"]["patients"]["label"]) == {"disease", "healthy"}
    assert rp.get.compositions(again).index.get_level_values("label").isna().sum() == WITHOUT
    assert rp.get.patients(again).obs["label"].isna().sum() == WITHOUT
    drawn = np.unique(again.obsm["generated"].indices)
    assert not (again.obs["label"].iloc[drawn] == "NA").any()
    assert not [str(told.message) for told in recwarn if "NA" in str(told.message)]


def test_other_readers_of_labels_take_the_answer(cohort):
    assert rp.get.bags(cohort, **KEYS, missing_values=pd.Series(["NA"])).classes == ["disease", "healthy"]
    assert rp.io.cohort_table(cohort, missing_values=["NA"]).loc["(unknown)", "patients"] == WITHOUT
    rp.tl.gmm(cohort, 3, covariance_type="diag")
    other = cohort.copy()
    rp.tl.assign(other, cohort, **KEYS, missing_values=["NA"])
    assert "NA" not in other.uns["gmm"]["reference"]["shared_classes"]


def test_grades_and_values_may_be_missing_too(cohort):
    cohort.obs["label"] = pd.Categorical(cohort.obs["label"], ["NA", "healthy", "disease"], ordered=True)
    assert list(mil(cohort, outcome="ordinal", missing_values=["NA"]).classes) == ["healthy", "disease"]
    options = {"patient_key": "patient", "label_key": "age", "outcome": "continuous", "model": "mean"}
    rp.tl.mil(cohort, **options, missing_values=[-99])
    assert cohort.uns["mil"]["predictions"]["label"].isna().sum() == WITHOUT
    with pytest.raises(TypeError, match="`missing_values` holds numbers"):
        rp.tl.mil(cohort, **options, missing_values=["none"])
