from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest

import repatient as rp
from repatient.recipe import KINDS


@pytest.fixture
def cohort(generated):
    """Patients with an age, and a sex that goes with the first component."""
    obs = generated.obs
    names = obs["patient"].cat.categories
    rng = np.random.default_rng(0)
    share = pd.crosstab(obs["patient"], obs["gmm"], normalize="index").loc[names, "0"]
    generated.obs["age"] = (
        obs["patient"].map(dict(zip(names, rng.uniform(20, 80, len(names)), strict=True))).astype(float)
    )
    sex = np.where(share.rank() % 2 == 0, "female", "male")
    generated.obs["sex"] = pd.Categorical(obs["patient"].map(dict(zip(names, sex, strict=True))).astype(str))
    return generated


COVARIATES = ["age", "sex"]


def set_effects(adata):
    """Edit the recipes so that women have many more cells of component 3, and age brings component 1."""
    effects = np.zeros_like(adata.uns["recipes"]["effects"])
    effects[:, 1, 3] = 3.0
    effects[:, 0, 1] = 0.08
    adata.uns["recipes"]["effects"] = effects


def share(adata, component):
    counts = rp.get.compositions(adata, generated_key="generated")
    counts = counts[counts.index.get_level_values("is_generated").astype(bool)] if counts.index.nlevels > 1 else counts
    return (counts.to_numpy()[:, component] / counts.to_numpy().sum(axis=1)).mean()


def test_what_is_stored(cohort, keys):
    rp.tl.recipes(cohort, **keys, covariates=COVARIATES)
    entry = cohort.uns["recipes"]
    assert entry["covariates"]["covariate"].tolist() == ["age", "sex", "sex"]
    assert entry["covariates"]["level"].tolist() == ["", "female", "male"]
    assert entry["effects"].shape == (2, 3, 6)
    ages = cohort.obs.groupby("patient", observed=True)["age"].first()
    np.testing.assert_array_equal(entry["patients"]["age"], ages.loc[entry["patients"].index])
    np.testing.assert_allclose(entry["covariate_low"][:, 0], ages.min())
    assert entry["params"]["covariates"].tolist() == COVARIATES


def test_patients_at_asked_values(cohort, keys):
    rp.tl.recipes(cohort, **keys, covariates=COVARIATES)
    set_effects(cohort)
    found = {}
    for age, sex in ((30, "female"), (30, "male"), (70, "male")):
        with warnings.catch_warnings():
            # One patient may have more cells of a component than the pool has.
            warnings.simplefilter("ignore")
            rp.tl.generate(cohort, 40, covariates={"age": age, "sex": sex})
        table = cohort.uns["generated"]["patients"]
        assert (table["age"] == age).all()
        assert (table["sex"] == sex).all()
        found[age, sex] = [share(cohort, component) for component in (1, 3)]
    assert found[30, "female"][1] > found[30, "male"][1] + 0.1
    assert found[70, "male"][0] > found[30, "male"][0] + 0.1


def test_without_values_those_of_real_patients_are_drawn_together(cohort, keys):
    rp.tl.recipes(cohort, **keys, covariates=COVARIATES)
    rp.tl.generate(cohort, 60)
    real, table = cohort.uns["recipes"]["patients"], cohort.uns["generated"]["patients"]
    for name in ("healthy", "disease"):
        pairs = set(zip(*(real.loc[real["label"] == name, key] for key in COVARIATES), strict=True))
        drawn = set(zip(*(table.loc[table["label"] == name, key] for key in COVARIATES), strict=True))
        assert drawn <= pairs
        assert len(drawn) > 5
    rp.tl.generate(cohort, 30, covariates={"sex": "male"})
    table = cohort.uns["generated"]["patients"]
    assert (table["sex"] == "male").all()
    assert table["age"].nunique() > 5


@pytest.mark.parametrize(("suffix", "kind"), [*(("h5ad", kind) for kind in KINDS), ("zarr", "empirical")])
def test_round_trip_of_the_object(cohort, keys, kind, suffix, read_back, same_content):
    cohort = cohort[:, :5].copy()
    rp.tl.recipes(cohort, **keys, covariates=COVARIATES, kind=kind)
    rp.tl.generate(cohort, 4, covariates={"age": 50})
    back = read_back(cohort, suffix)
    same_content(cohort, back)
    rp.tl.generate(back, 4, covariates={"age": 50})
    same_content(cohort, back)


def test_recipes_file(cohort, keys, tmp_path):
    rp.tl.recipes(cohort, **keys, covariates=COVARIATES)
    rp.io.write_recipes(cohort, tmp_path / "a.h5")
    target = cohort[cohort.obs["label"] == "healthy"].copy()
    rp.tl.assign(target, tmp_path / "a.h5")
    rp.tl.recipes(target, **keys, covariates=COVARIATES, reference=tmp_path / "a.h5")
    np.testing.assert_array_equal(target.uns["recipes"]["effects"][1], cohort.uns["recipes"]["effects"][0])
    rp.tl.generate(target, {"disease": 3}, covariates={"age": 60, "sex": "female"})
    with pytest.raises(ValueError, match=r"'disease' has no patient here to draw from; give values of \['age'\]"):
        rp.tl.generate(target, {"disease": 3}, covariates={"sex": "female"})
    with pytest.raises(ValueError, match="learn both with the same `covariates`"):
        rp.tl.recipes(target, **keys, reference=tmp_path / "a.h5")


def test_numbers_outside_the_range_are_said(cohort, keys):
    rp.tl.recipes(cohort, **keys, covariates=COVARIATES)
    with pytest.warns(UserWarning, match=r"`covariates\['age'\]`: 110 lies outside .* extrapolated") as caught:
        rp.tl.generate(cohort, 3, covariates={"age": 110})
    assert {record.filename for record in caught} == {__file__}


@pytest.mark.parametrize(
    ("covariates", "error", "match"),
    [
        ({"sex": "other"}, ValueError, r"no patient had the level 'other'; there are \['female', 'male'\]"),
        ({"weight": 70}, ValueError, r"do not know \['weight'\]; they were learnt with \['age', 'sex'\]"),
        ({"age": "old"}, ValueError, "finite number, not 'old'"),
        ({"age": np.nan}, ValueError, "finite number, not nan"),
        ({"age": True}, ValueError, "finite number, not True"),
        (["age"], TypeError, "a mapping of covariates to values, not list"),
    ],
)
def test_values_that_cannot_be(cohort, keys, untouched, covariates, error, match):
    rp.tl.recipes(cohort, **keys, covariates=COVARIATES)
    with untouched(cohort), pytest.raises(error, match=match):
        rp.tl.generate(cohort, 3, covariates=covariates)


def test_recipes_without_covariates(generated):
    with pytest.raises(ValueError, match="learnt without"):
        rp.tl.generate(generated, 3, covariates={"age": 60})


def test_columns_that_cannot_be(cohort, keys, untouched):
    first = cohort.obs["patient"].cat.categories[0]
    of_first = (cohort.obs["patient"] == first).to_numpy()
    cohort.obs["lost"] = cohort.obs["age"].where(~of_first)
    cohort.obs["twice"] = np.where(np.arange(cohort.n_obs) == np.flatnonzero(of_first)[0], 1.0, cohort.obs["age"])
    cohort.obs["one"] = 5
    cohort.obs["endless"] = np.where(of_first, np.inf, cohort.obs["age"])
    cohort.obs["n_cells"] = cohort.obs["age"]
    for columns, error, match in (
        (["lost"], ValueError, rf"1 labelled patients have no value of 'lost': \['{first}'\]"),
        (["twice"], ValueError, "`covariates`: 1 patients have more than one value of 'twice'"),
        (["one"], ValueError, "'one' has one value in all labelled patients"),
        (["endless"], ValueError, "'endless' has infinite values"),
        (["n_cells"], ValueError, "'n_cells' is a column of the table of patients"),
        (["nothing"], KeyError, "no column 'nothing'"),
        ("age", TypeError, r"write \['age'\]"),
        ([], ValueError, "`covariates` is empty"),
    ):
        with untouched(cohort), pytest.raises(error, match=match):
            rp.tl.recipes(cohort, **keys, covariates=columns)


def test_patients_without_a_label_need_no_value(cohort, keys):
    first = cohort.obs["patient"].cat.categories[0]
    of_first = cohort.obs["patient"] == first
    cohort.obs["label"] = cohort.obs["label"].where(~of_first)
    for key in COVARIATES:
        cohort.obs[key] = cohort.obs[key].where(~of_first)
    rp.tl.recipes(cohort, **keys, covariates=COVARIATES)
    patients = cohort.uns["recipes"]["patients"]
    assert patients.loc[first, COVARIATES].isna().all()
    assert patients["age"].notna().sum() == 15


def test_age_in_a_real_cohort(read_cohort):
    adata = read_cohort("igan_glomeruli_pathomics.h5ad")
    adata = adata[adata.obs["patient"].astype("category").cat.codes % 3 == 0].copy()
    adata.obs["sex"] = adata.obs["sex"].map({1: "first", 2: "second"})
    rp.tl.gmm(adata, 8, use_rep="X")
    rp.tl.recipes(adata, patient_key="patient", label_key="label", covariates=COVARIATES)
    effects = adata.uns["recipes"]["effects"][0]
    patients, counts = adata.uns["recipes"]["patients"], adata.uns["recipes"]["counts"].to_numpy()
    grows, falls = effects[0].argmax(), effects[0].argmin()
    balance = np.log((counts[:, grows] + 0.5) / (counts[:, falls] + 0.5))
    within = patients.groupby("label", observed=True)["age"].transform(lambda age: age - age.mean())
    assert np.corrcoef(balance, within)[0, 1] > 0
    rp.tl.generate(adata, 5, covariates={"age": 60, "sex": "first"})
    assert (adata.uns["generated"]["patients"]["age"] == 60).all()
