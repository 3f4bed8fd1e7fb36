from __future__ import annotations

import warnings

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import repatient as rp
from repatient.recipe import KINDS, fit_recipes

VALUES = {"patient_key": "patient", "label_key": "score"}


def generate(adata, n, **options):
    with warnings.catch_warnings():
        # One patient may have more cells of a component than the pool has.
        warnings.simplefilter("ignore")
        rp.tl.generate(adata, n, recipes_key="value_recipes", key_added="valued", **options)
    return adata.uns["valued"]["patients"]


def test_a_recipe_of_a_value_is_one_class_with_the_value_as_its_covariate(valued):
    entry = valued.uns["value_recipes"]
    scores = valued.obs.groupby("patient", observed=True)["score"].first()
    assert list(entry["classes"]) == ["score"]
    assert entry["params"]["outcome"] == "continuous"
    np.testing.assert_array_equal(entry["patients"]["label"], scores.loc[entry["patients"].index])
    expected = fit_recipes(
        entry["counts"].to_numpy(), np.repeat("score", 16), covariates={"label": entry["patients"]["label"].to_numpy()}
    )
    np.testing.assert_array_equal(entry["effects"][0], expected.parameters[0]["effects"])
    np.testing.assert_array_equal(entry["mean"].to_numpy()[0], expected.mean[0])
    assert entry["effects"][0, 0].argmax() == 0
    assert rp.get.recipes(valued, recipes_key="value_recipes")["class"].unique().tolist() == ["score"]


def test_patients_have_the_composition_of_the_values_that_are_asked_for(valued, first_share):
    low, high = valued.obs["score"].min(), valued.obs["score"].max()
    asked = np.linspace(low, high, 30)
    table = generate(valued, 30, covariates={"score": asked})
    np.testing.assert_array_equal(table["label"], asked)
    assert np.corrcoef(first_share(valued), asked)[0, 1] > 0.6
    shares = []
    for value in (low, high):
        table = generate(valued, {"score": 20}, covariates={"score": value})
        assert (table["label"] == value).all()
        shares.append(first_share(valued).mean())
    assert shares[1] > shares[0] + 0.05


def test_without_values_those_around_real_patients_are_drawn(valued, first_share):
    real = valued.obs.groupby("patient", observed=True)["score"].first()
    table = generate(valued, 200)
    drawn = table["label"].to_numpy()
    assert table["label"].dtype == np.float64
    assert len(np.unique(drawn)) > 150
    assert real.min() <= drawn.min() < drawn.max() <= real.max()
    np.testing.assert_allclose(np.quantile(drawn, [0.25, 0.5, 0.75]), np.quantile(real, [0.25, 0.5, 0.75]), rtol=0.1)
    assert np.corrcoef(first_share(valued), drawn)[0, 1] > 0.3


def test_values_beside_covariates(valued):
    sex = np.where(np.arange(16) % 2, "female", "male")
    of_patient = dict(zip(valued.obs["patient"].cat.categories, sex, strict=True))
    valued.obs["sex"] = valued.obs["patient"].map(of_patient).astype(str)
    rp.tl.recipes(valued, **VALUES, outcome="continuous", covariates=["sex"], key_added="value_recipes")
    entry = valued.uns["value_recipes"]
    assert entry["covariates"]["covariate"].tolist() == ["label", "sex", "sex"]
    assert entry["params"]["covariates"].tolist() == ["sex"]
    table = generate(valued, 20, covariates={"score": 300, "sex": "male"})
    assert (table["label"] == 300).all()
    assert (table["sex"] == "male").all()
    assert generate(valued, 40, covariates={"label": 300})["sex"].nunique() == 2
    with pytest.raises(ValueError, match="'score' is the value that the recipe goes with already"):
        rp.tl.recipes(valued, **VALUES, outcome="continuous", covariates=["score"])


def test_patients_without_a_value_are_not_learnt_from(valued):
    first = valued.obs["patient"].cat.categories[0]
    unknown = (valued.obs["patient"] == first).to_numpy()
    valued.obs["score"] = valued.obs["score"].where(~unknown)
    rp.tl.recipes(valued, **VALUES, outcome="continuous", key_added="value_recipes")
    patients = valued.uns["value_recipes"]["patients"]
    assert patients["label"].isna().sum() == 1
    generate(valued, 20)
    assert valued.obsm["valued"][np.flatnonzero(unknown)].sum() == 0


def test_values_outside_the_range_are_said(valued):
    with pytest.warns(UserWarning, match=r"`covariates\['score'\]`: .* the values \['9999'\] outside") as caught:
        rp.tl.generate(valued, 2, recipes_key="value_recipes", covariates={"score": [9999, 350]}, n_cells=20)
    assert {record.filename for record in caught} == {__file__}


@pytest.mark.parametrize("kind", KINDS)
def test_recipes_of_every_kind_go_with_a_value(valued, first_share, kind):
    rp.tl.recipes(valued, **VALUES, outcome="continuous", kind=kind, key_added="value_recipes")
    shares = []
    for value in (valued.obs["score"].min(), valued.obs["score"].max()):
        generate(valued, 15, covariates={"score": value})
        shares.append(first_share(valued).mean())
    assert shares[1] > shares[0] + 0.03


def test_round_trip_of_the_object(valued, tmp_path, same_content):
    generate(valued, 4, covariates={"score": [250.0, 300.0, 350.0, 400.0]})
    valued.write_h5ad(tmp_path / "a.h5ad")
    back = ad.read_h5ad(tmp_path / "a.h5ad")
    same_content(valued, back)
    generate(back, 4, covariates={"score": [250.0, 300.0, 350.0, 400.0]})
    same_content(valued, back)


def test_gaussian_patients_at_values(valued):
    table = generate(valued, 5, covariates={"score": 300}, draw="gaussian")
    assert (table["label"] == 300).all()
    assert valued.uns["valued"]["params"]["outcome"] == "continuous"


def test_real_and_generated_values_in_one_object(valued, tmp_path):
    joined = rp.get.augmented(valued, generated_key="valued")
    assert joined.obs["score"].dtype == np.float64
    of_patients = joined.obs.groupby("patient", observed=True)["score"].agg(["first", "nunique"])
    assert (of_patients["nunique"] == 1).all()
    table = valued.uns["valued"]["patients"]
    np.testing.assert_array_equal(of_patients.loc[table.index, "first"], table["label"])
    joined.write_h5ad(tmp_path / "joined.h5ad")


def test_a_recipes_file_holds_no_patient_of_its_own(valued, keys, tmp_path):
    rp.io.write_recipes(valued, tmp_path / "values.h5", recipes_key="value_recipes")
    content = rp.io.read_recipes(tmp_path / "values.h5")
    assert list(content["cohort"]["classes"]) == ["score"]
    assert list(content["recipes"]["classes"]) == ["score"]
    assert "patients" not in content["recipes"]
    with pytest.raises(ValueError, match="its recipe is of a value, and has no classes to give"):
        rp.tl.recipes(valued, **keys, reference=tmp_path / "values.h5", labels=["score"])


def test_an_audit_takes_patients_with_values_as_one_class(valued):
    table = rp.tl.audit(valued, generated_key="valued", n_permutations=9, n_repeats=1)
    assert table.index.tolist() == ["score"]
    assert table.loc["score", ["n_real", "n_generated"]].tolist() == [16, 25]


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"covariates": {"score": [300.0, 310.0]}}, ValueError, "has 2 values for 3 patients"),
        ({"covariates": {"score": np.nan}}, ValueError, "finite number, or one for each generated patient, not nan"),
        ({"covariates": {"score": "high"}}, ValueError, "finite number, or one for each generated patient, not 'high'"),
        ({"covariates": {"score": True}}, ValueError, "finite number"),
        ({"covariates": {"weight": 3}}, ValueError, r"do not know \['weight'\]"),
        ({"covariates": [3]}, TypeError, "a mapping of covariates to values, not list"),
        ({"n_patients": "balance"}, ValueError, "balances classes, and recipes of a value have none"),
        ({"method": "same_class"}, ValueError, "mixes patients of a class, and recipes of a value have none"),
        ({"n_patients": {"disease": 3}}, ValueError, r"no recipe of the classes \['disease'\]"),
    ],
)
def test_what_cannot_be_generated(valued, untouched, options, error, match):
    with untouched(valued), pytest.raises(error, match=match):
        rp.tl.generate(valued, **({"n_patients": 3, "recipes_key": "value_recipes"} | options))


def test_columns_that_are_no_values(valued, untouched):
    first = valued.obs["patient"].cat.categories[0]
    of_first = (valued.obs["patient"] == first).to_numpy()
    valued.obs["twice"] = np.where(np.arange(valued.n_obs) == np.flatnonzero(of_first)[0], 1.0, valued.obs["score"])
    valued.obs["one"] = 5
    valued.obs["none"] = np.nan
    valued.obs["endless"] = np.where(of_first, np.inf, valued.obs["score"])
    valued.obs["text"] = valued.obs["score"].astype(str)
    valued.obs["yes"] = valued.obs["score"] > 300
    wrong = (
        ("twice", ValueError, "1 patients have more than one value of 'twice'"),
        ("one", ValueError, "'one' has the value 5 in all of them"),
        ("none", ValueError, "'none' has no value in any of them"),
        ("endless", ValueError, "'endless' has infinite values"),
        ("text", ValueError, r"'text' is of type .*needs numbers.*pd.to_numeric"),
        ("label", ValueError, "'label' is of type category"),
        ("yes", ValueError, "'yes' is of type bool"),
        ("nothing", KeyError, "no column 'nothing'"),
    )
    with untouched(valued):
        for column, error, match in wrong:
            for function in (rp.tl.recipes, rp.tl.mil):
                with pytest.raises(error, match=match):
                    function(valued, patient_key="patient", label_key=column, outcome="continuous")


def test_classes_have_no_place_beside_values(valued, untouched):
    for options in ({"labels": ["healthy"]}, {"reference": valued}):
        with untouched(valued), pytest.raises(ValueError, match="learns one recipe from the patients of this cohort"):
            rp.tl.recipes(valued, **VALUES, outcome="continuous", **options)
    with pytest.raises(ValueError, match="`outcome` is one of"):
        rp.tl.recipes(valued, **VALUES, outcome="number")


def test_recipes_of_grades_are_those_of_classes(valued, keys):
    grades = {"patient_key": "patient", "label_key": "grade"}
    rp.tl.recipes(valued, **grades, outcome="ordinal", key_added="ordered")
    rp.tl.recipes(valued, **grades, key_added="plain")
    pd.testing.assert_frame_equal(valued.uns["ordered"]["mean"], valued.uns["plain"]["mean"])
    assert list(valued.uns["ordered"]["classes"]) == ["none", "mild", "severe"]
    with pytest.raises(ValueError, match="'label' has no order"):
        rp.tl.recipes(valued, **keys, outcome="ordinal")


def test_values_in_a_real_cohort(read_cohort):
    adata = read_cohort("igan_glomeruli_pathomics.h5ad")
    adata = adata[adata.obs["patient"].astype("category").cat.codes % 3 == 0].copy()
    rp.tl.gmm(adata, 6, use_rep="X")
    rp.tl.recipes(adata, patient_key="patient", label_key="age", outcome="continuous")
    assert (np.abs(adata.uns["recipes"]["effects"]) > 1e-4).any()
    rp.tl.generate(adata, 12)
    ages = adata.uns["generated"]["patients"]["label"]
    assert adata.obs["age"].min() <= ages.min() < ages.max() <= adata.obs["age"].max()
    model = rp.tl.mil(
        adata,
        patient_key="patient",
        label_key="age",
        outcome="continuous",
        generated_key="generated",
        use_rep="X",
        model=rp.mil.Attention(n_steps=4, validation_fraction=0.2),
    )
    assert model.outcome == "continuous"
