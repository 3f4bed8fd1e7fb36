from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import repatient as rp
from repatient.recipe import KINDS


def test_counts_are_a_crosstab(generated):
    expected = pd.crosstab(generated.obs["patient"], generated.obs["gmm"])
    counts = generated.uns["recipes"]["counts"]
    assert list(counts.columns) == [str(k) for k in range(6)]
    np.testing.assert_array_equal(counts, expected.reindex(columns=counts.columns).loc[counts.index])
    patients = generated.uns["recipes"]["patients"]
    np.testing.assert_array_equal(patients["n_cells"], counts.sum(axis=1))
    assert list(patients["donor"].astype(str)) == list(patients.index)


def test_classes_keep_the_order_of_the_categories(plain, keys):
    rp.tl.gmm(plain, 3)
    plain.obs["label"] = plain.obs["label"].cat.reorder_categories(["healthy", "disease"])
    rp.tl.recipes(plain, **keys)
    assert list(plain.uns["recipes"]["classes"]) == ["healthy", "disease"]
    plain.obs["label"] = plain.obs["label"].cat.reorder_categories(["disease", "healthy"])
    rp.tl.recipes(plain, **keys)
    assert list(plain.uns["recipes"]["mean"].index) == ["disease", "healthy"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_class_of_one_patient(plain, keys, kind):
    disease = plain.obs.loc[plain.obs["label"] == "disease", "patient"].unique()[1:]
    few = plain[~plain.obs["patient"].isin(disease)].copy()
    rp.tl.gmm(few, 4)
    rp.tl.recipes(few, **keys, kind=kind)
    assert few.uns["recipes"]["patients"]["label"].value_counts()["disease"] == 1
    rp.tl.generate(few, 3)
    assert (few.uns["generated"]["patients"]["label"] == "disease").sum() == 3


def test_patients_without_a_label_are_counted_but_not_learnt_from(plain, keys):
    rp.tl.gmm(plain, 4)
    unknown = plain.obs["patient"].cat.categories[:3]
    plain.obs["label"] = plain.obs["label"].where(~plain.obs["patient"].isin(unknown))
    rp.tl.recipes(plain, **keys)
    entry = plain.uns["recipes"]
    assert entry["patients"].loc[unknown, "label"].isna().all()
    without = plain[~plain.obs["patient"].isin(unknown)].copy()
    rp.tl.recipes(without, **keys)
    pd.testing.assert_frame_equal(entry["mean"], without.uns["recipes"]["mean"])
    rp.tl.generate(plain, 5)
    drawn = plain.obsm["generated"].sum(axis=1).A1 > 0
    assert not drawn[plain.obs["patient"].isin(unknown).to_numpy()].any()


def test_mask_learns_from_training_patients_alone(plain, keys):
    train = plain.obs["patient"].isin(plain.obs["patient"].cat.categories[4:]).to_numpy()
    plain.obs["train"] = train
    rp.tl.gmm(plain, 4, mask_obs="train")
    rp.tl.recipes(plain, **keys, mask_obs="train")
    alone = rp.tl.recipes(plain[train].copy(), **keys, copy=True)
    pd.testing.assert_frame_equal(plain.uns["recipes"]["mean"], alone.uns["recipes"]["mean"])
    assert set(plain.uns["recipes"]["patients"].index) == set(plain.obs["patient"][train])


def test_donors_are_recorded(plain, keys):
    rp.tl.gmm(plain, 4)
    plain.obs["donor"] = plain.obs["patient"].astype(str).str[-1]
    rp.tl.recipes(plain, **keys, donor_key="donor")
    patients = plain.uns["recipes"]["patients"]
    assert (patients["donor"].astype(str) == patients.index.str[-1]).all()


def test_edited_mean_is_used_and_checked(generated):
    mean = generated.uns["recipes"]["mean"].copy()
    mean.loc["disease"] = [1.0, 0, 0, 0, 0, 0]
    generated.uns["recipes"]["mean"] = mean
    rp.tl.generate(generated, {"disease": 4})
    drawn = generated.obsm["generated"].sum(axis=1).A1 > 0
    assert set(generated.obs["gmm"][drawn]) == {"0"}
    mean.loc["disease"] = 0.5
    generated.uns["recipes"]["mean"] = mean
    with pytest.raises(ValueError, match="'disease'.*not proportions"):
        rp.tl.generate(generated, 4)


def test_numeric_and_boolean_labels(plain):
    rp.tl.gmm(plain, 3)
    plain.obs["number"] = (plain.obs["label"] == "disease").astype(int)
    plain.obs["flag"] = plain.obs["label"] == "disease"
    for key, names in {"number": ["0", "1"], "flag": ["False", "True"]}.items():
        rp.tl.recipes(plain, patient_key="patient", label_key=key)
        assert list(plain.uns["recipes"]["classes"]) == names


def test_reference_of_another_mixture_or_kind(generated, keys):
    other = rp.tl.gmm(generated, 5, copy=True)
    rp.tl.recipes(other, **keys)
    with pytest.raises(ValueError, match="another mixture"):
        rp.tl.recipes(generated, **keys, reference=other)
    with pytest.raises(ValueError, match="kind 'dirichlet_multinomial'"):
        rp.tl.recipes(generated, **keys, reference=generated.copy(), kind="mean")


def test_generated_patients_are_no_donors(generated, keys):
    augmented = rp.get.augmented(generated)
    rp.tl.recipes(generated, **keys)
    with pytest.warns(UserWarning, match="is_generated.*are left out"):
        rp.tl.recipes(augmented, **keys)
    real = augmented.uns["recipes"]
    pd.testing.assert_frame_equal(real["mean"], generated.uns["recipes"]["mean"], check_index_type=False)
    assert len(real["patients"]) == 16
    assert (rp.tl.compare_recipes(augmented)["n_donors"] == 8).all()
