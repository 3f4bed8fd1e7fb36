from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import repatient as rp


def patients_of(adata):
    """Cells of each real patient in each generated one."""
    one_hot = pd.get_dummies(adata.obs["patient"]).to_numpy(dtype=int)
    return np.asarray(adata.obsm["generated"].T @ one_hot)


def labels(adata):
    return adata.obs.groupby("patient", observed=True)["label"].first().to_numpy().astype(str)


def test_oversampling_repeats_whole_patients_of_the_class(generated):
    rp.tl.generate(generated, {"disease": 19}, method="oversampling")
    drawn, sizes = patients_of(generated), generated.obs["patient"].value_counts(sort=False).to_numpy()
    assert ((drawn > 0).sum(axis=1) == 1).all()
    assert (generated.obsm["generated"].data == 1).all()
    which = drawn.argmax(axis=1)
    np.testing.assert_array_equal(drawn.sum(axis=1), sizes[which])
    assert (labels(generated)[which] == "disease").all()
    times = np.bincount(which, minlength=16)[labels(generated) == "disease"]
    assert sorted(set(times)) == [2, 3]
    table = generated.uns["generated"]["patients"]
    assert set(table["recipe"]) == {"oversampling (cohort)"}
    assert (table["n_donors"] == 1).all()


def test_same_class_mixes_two_patients_of_the_class(generated):
    rp.tl.generate(generated, 60, method="same_class")
    drawn, table = patients_of(generated), generated.uns["generated"]["patients"]
    sizes = generated.obs["patient"].value_counts(sort=False).to_numpy()
    of_class = labels(generated)
    donors = (drawn > 0).sum(axis=1)
    assert set(donors) <= {1, 2}
    # A partner may be the patient itself, one of eight.
    assert (donors == 2).mean() == pytest.approx(7 / 8, abs=0.1)
    assert (generated.obsm["generated"].data == 1).all()
    shares = []
    for row, label in zip(drawn[donors == 2], table["label"][donors == 2], strict=True):
        pair = np.flatnonzero(row)
        assert (of_class[pair] == label).all()
        assert sizes[pair].min() - 1 <= row.sum() <= sizes[pair].max() + 1
        shares.append(row[pair[0]] / row.sum())
    # The share of the first of two patients is uniform.
    assert np.std(shares) == pytest.approx(np.sqrt(1 / 12), rel=0.2)


@pytest.mark.parametrize("method", ["oversampling", "same_class"])
def test_reproducible_and_readable(generated, method):
    first, second = (rp.tl.generate(generated, 5, method=method, copy=True) for _ in "12")
    assert (first.obsm["generated"] != second.obsm["generated"]).nnz == 0
    assert first.uns["generated"]["params"]["method"] == method
    assert rp.get.generated(first).n_obs == first.uns["generated"]["patients"]["n_cells"].sum()


@pytest.mark.parametrize(
    "kwargs",
    [
        {"pool": "same"},
        {"n_donors": 2},
        {"donor_effects": True},
        {"covariates": {"age": 3}},
        {"n_cells": 10},
        {"max_donor_share": 0.2},
    ],
)
def test_options_of_recipes(generated, kwargs):
    with pytest.raises(ValueError, match=rf"\['{next(iter(kwargs))}'\] need `method='recipe'`"):
        rp.tl.generate(generated, 3, method="oversampling", **kwargs)


def test_methods_without_a_class(generated):
    with pytest.raises(ValueError, match="no multiset of cells of one class.*repatient.mixing"):
        rp.tl.generate(generated, 3, method="psemix")
    with pytest.raises(ValueError, match="`method`"):
        rp.tl.generate(generated, 3, method="smote")


def test_classes_that_cannot_be_mixed(plain, keys):
    disease = plain.obs.loc[plain.obs["label"] == "disease", "patient"].unique()[1:]
    few = plain[~plain.obs["patient"].isin(disease)].copy()
    rp.tl.gmm(few, 3)
    rp.tl.recipes(few, **keys)
    with pytest.raises(ValueError, match="'disease' has 1 here"):
        rp.tl.generate(few, 3, method="same_class")
    healthy = few[few.obs["label"] == "healthy"].copy()
    rp.tl.recipes(healthy, **keys, reference=few)
    with pytest.raises(ValueError, match="'disease' has 0 here"):
        rp.tl.generate(healthy, {"disease": 3}, method="oversampling")
