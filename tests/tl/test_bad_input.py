"""Bad input raises at once, says what is wrong, and leaves the object as it was."""

from __future__ import annotations

import warnings

import anndata as ad
import mudata as md
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import repatient as rp

KEYS = {"patient_key": "patient", "label_key": "label"}
TRAIN = {**KEYS, "model": rp.mil.Attention(n_steps=2, validation_fraction=0.2)}


def check(data, untouched, error, match, function, *args, **kwargs):
    with untouched(data), pytest.raises(error, match=match):
        function(data, *args, **kwargs)


@pytest.mark.parametrize(
    ("error", "match", "kwargs"),
    [
        (KeyError, r"no embedding 'X_scVI'; there are \['X_pca', 'X_umap', 'X'\]", {"use_rep": "X_scVI"}),
        (TypeError, "use_rep.*int", {"use_rep": 3}),
        (KeyError, "no column 'trian'.*'patient'", {"mask_obs": "trian"}),
        (ValueError, "mask_obs.*selects no cell", {"mask_obs": np.zeros(1898, dtype=bool)}),
        (ValueError, r"mask_obs.*shape \(3,\)", {"mask_obs": np.array([True] * 3)}),
        (TypeError, "mask_obs.*boolean, not int", {"mask_obs": np.ones(1898, dtype=int)}),
        (TypeError, "mask_obs.*boolean", {"mask_obs": "patient"}),
        (ValueError, "n_components.*1 or more", {"n_components": 0}),
        (TypeError, "n_components.*integer", {"n_components": 2.5}),
        (TypeError, "n_components.*integer", {"n_components": True}),
        (TypeError, "n_components.*sequence", {"n_components": "30"}),
        (ValueError, "n_components.*empty", {"n_components": []}),
        (ValueError, "n_components.*1898 cells cannot make 2000", {"n_components": 2000}),
        (ValueError, "covariance_type", {"covariance_type": "spherical"}),
        (ValueError, "key_added.*without '/'", {"key_added": "a/b"}),
        (TypeError, "key_added", {"key_added": 1}),
        (TypeError, "random_state", {"random_state": "seed"}),
        (ValueError, "random_state", {"random_state": -1}),
    ],
)
def test_gmm(plain, untouched, error, match, kwargs):
    check(plain, untouched, error, match, rp.tl.gmm, **kwargs)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite(generated, untouched, value):
    generated.obsm["X_pca"][[3, 500, 501, 1500]] = value
    n = generated.obs["patient"].iloc[[3, 500, 501, 1500]].nunique()
    match = rf"'X_pca' has NaN or infinity in 4 of 1898 cells, of {n} patients \(`obs\['patient'\]`\)"
    for function, args, kwargs in [
        (rp.tl.gmm, (3,), {}),
        (rp.tl.assign, (generated.copy(),), {}),
        (rp.tl.mil, (), TRAIN),
    ]:
        check(generated, untouched, ValueError, match, function, *args, **kwargs)


def test_embeddings_that_are_not_dense_coordinates(plain, untouched):
    plain.obsm["sparse"] = sp.csr_matrix(plain.obsm["X_pca"])
    plain.obsm["integer"] = plain.obsm["X_pca"].astype(int)
    plain.obsm["cube"] = np.zeros((plain.n_obs, 3, 2), dtype=np.float32)
    for function, args, kwargs in [(rp.tl.gmm, (3,), {}), (rp.tl.mil, (), TRAIN)]:
        check(plain, untouched, TypeError, "'sparse' is sparse", function, *args, use_rep="sparse", **kwargs)
        check(plain, untouched, TypeError, "'X' is sparse", function, *args, use_rep="X", **kwargs)
        check(plain, untouched, TypeError, "'integer' is of type int", function, *args, use_rep="integer", **kwargs)
        check(
            plain, untouched, ValueError, r"'cube' has shape \(1898, 3, 2\)", function, *args, use_rep="cube", **kwargs
        )


def test_no_default_embedding(plain, untouched):
    plain.obsm["X_scVI"] = plain.obsm.pop("X_pca")
    check(
        plain, untouched, KeyError, r"no 'X_pca' to default to; name one of \['X_umap', 'X_scVI', 'X'\]", rp.tl.gmm, 3
    )


@pytest.mark.parametrize("function", [rp.tl.recipes, rp.tl.mil])
def test_columns(generated, untouched, function):
    run = {"patient_key": "patient", "label_key": "label"}
    for argument in ("patient_key", "label_key", "donor_key"):
        match = f"`{argument}`: no column 'nowhere' in `obs`; there are .*'patient', 'label', 'state'"
        check(generated, untouched, KeyError, match, function, **(run | {argument: "nowhere"}))
        check(generated, untouched, TypeError, argument, function, **(run | {argument: 7}))
    generated.obs.loc[generated.obs_names[:5], "patient"] = np.nan
    check(generated, untouched, ValueError, "5 cells have no patient", function, **run)


@pytest.mark.parametrize("function", [rp.tl.recipes, rp.tl.mil])
def test_a_patient_with_two_labels_or_donors(generated, untouched, function):
    first, second = generated.obs["patient"].cat.categories[:2]
    generated.obs["label"] = generated.obs["label"].astype(str)
    for name in (first, second):
        cell = generated.obs_names[generated.obs["patient"] == name][0]
        generated.obs.loc[cell, "label"] = "other"
    match = rf"2 patients have more than one value of 'label': '{first}' \(.*other.*\), '{second}'"
    check(generated, untouched, ValueError, match, function, **KEYS)
    generated.obs["donor"] = np.arange(generated.n_obs).astype(str)
    check(
        generated,
        untouched,
        ValueError,
        "`donor_key`: 16 patients",
        function,
        patient_key="patient",
        label_key="patient",
        donor_key="donor",
    )


def test_a_patient_with_some_cells_unlabelled(generated, untouched):
    generated.obs.loc[generated.obs_names[0], "label"] = np.nan
    check(generated, untouched, ValueError, r"\(missing, (disease|healthy)\)", rp.tl.recipes, **KEYS)


def test_a_single_class(generated, untouched):
    one = generated[generated.obs["label"] == "healthy"].copy()
    check(one, untouched, ValueError, r"classes \['healthy'\] among the patients", rp.tl.mil, **TRAIN)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rp.tl.recipes(one, **KEYS)


def test_a_class_with_one_patient(generated):
    disease = generated.obs.loc[generated.obs["label"] == "disease", "patient"].unique()[1:]
    few = generated[~generated.obs["patient"].isin(disease)].copy()
    with pytest.warns(UserWarning, match="No validation set.*disease: 1"):
        rp.tl.mil(few, **TRAIN)
    assert (few.uns["mil"]["predictions"]["split"] == "train").all()


def test_no_labels_at_all(generated, untouched):
    generated.obs["label"] = pd.Categorical([None] * generated.n_obs, categories=["a", "b"])
    check(generated, untouched, ValueError, "no patient has a label", rp.tl.recipes, **KEYS)
    check(generated, untouched, ValueError, "two or more", rp.tl.mil, **TRAIN)


def test_unused_categories_are_no_classes(plain, same_content):
    expected = rp.tl.gmm(plain, 4, copy=True)
    rp.tl.recipes(expected, **KEYS)
    plain.obs["label"] = plain.obs["label"].cat.add_categories(["phantom"])
    plain.obs["patient"] = plain.obs["patient"].cat.add_categories(["nobody"])
    rp.tl.gmm(plain, 4)
    rp.tl.recipes(plain, **KEYS)
    pd.testing.assert_frame_equal(plain.uns["recipes"]["mean"], expected.uns["recipes"]["mean"])
    assert list(plain.uns["recipes"]["counts"].index) == list(expected.uns["recipes"]["counts"].index)
    assert rp.tl.mil(plain, **TRAIN).classes == ["disease", "healthy"]


@pytest.mark.parametrize(
    ("error", "match", "kwargs"),
    [
        (
            ValueError,
            r"no recipe of the classes \['sick'\]; there are \['healthy', 'disease'\]",
            {"n_patients": {"sick": 3}},
        ),
        (ValueError, "n_patients.*1 or more, not 0", {"n_patients": 0}),
        (ValueError, r"n_patients\['disease'\].*not -2", {"n_patients": {"disease": -2}}),
        (TypeError, "n_patients.*integer", {"n_patients": 2.5}),
        (ValueError, "n_patients.*balance", {"n_patients": "equal"}),
        (ValueError, "n_patients", {"n_patients": {}}),
        (ValueError, r"pool.*\['all', 'same', 'healthy', 'disease'\]", {"pool": "nobody"}),
        (ValueError, "n_donors.*1 or more", {"n_donors": 0}),
        (ValueError, "n_donors.*17 donors were asked for and the pool has 16", {"n_donors": 17}),
        (ValueError, "n_cells.*1 or more", {"n_cells": 0}),
        (TypeError, "n_cells", {"n_cells": "many"}),
        (ValueError, "max_donor_share", {"max_donor_share": 0}),
        (ValueError, "max_donor_share", {"max_donor_share": 1.5}),
        (ValueError, "max_donor_share.*allow 0.5 or more", {"max_donor_share": 0.4, "n_donors": 2}),
        (ValueError, "n_cells.*cannot give exactly 5 cells", {"max_donor_share": 0.5, "n_donors": 2, "n_cells": 5}),
        (KeyError, "rp.tl.recipes", {"recipes_key": "nowhere"}),
        (ValueError, "random_state", {"random_state": -3}),
        (ValueError, "selects no cell", {"mask_obs": np.zeros(1898, dtype=bool)}),
    ],
)
def test_generate(generated, untouched, error, match, kwargs):
    check(generated, untouched, error, match, rp.tl.generate, **kwargs)


def test_stale_keys_are_refused(generated, untouched):
    model = rp.tl.mil(generated, **TRAIN)
    rp.tl.gmm(generated, 5)
    match = "refitted since"
    check(generated, untouched, ValueError, match, rp.tl.generate, 3)
    check(generated, untouched, ValueError, match, rp.tl.select, model)
    check(generated, untouched, ValueError, match, rp.tl.mil, **TRAIN, generated_key="generated")
    check(generated, untouched, ValueError, match, rp.get.generated)
    check(generated, untouched, ValueError, match, rp.get.augmented)
    check(generated, untouched, ValueError, match, rp.get.compositions, generated_key="generated")
    check(generated, untouched, ValueError, match, rp.io.write_recipes, "never.h5")


def test_refitting_to_the_same_mixture_is_not_stale(generated):
    rp.tl.gmm(generated, 6)
    assert rp.get.generated(generated).n_obs > 0


def test_components_that_are_not_of_the_mixture(generated, untouched):
    generated.obs["gmm"] = generated.obs["gmm"].cat.rename_categories({"5": "17"})
    check(generated, untouched, ValueError, r"obs\['gmm'\]` does not hold components '0' to '5'", rp.tl.recipes, **KEYS)


def test_missing_results(plain, untouched):
    check(plain, untouched, KeyError, "'gmm' in `uns`; it is written by `rp.tl.gmm`", rp.tl.recipes, **KEYS)
    check(plain, untouched, KeyError, "rp.tl.generate", rp.tl.mil, **TRAIN, generated_key="generated")
    check(plain, untouched, KeyError, "rp.tl.recipes", rp.get.recipes)
    check(plain, untouched, KeyError, "rp.tl.recipes", rp.get.compositions)
    check(plain, untouched, KeyError, "rp.tl.recipes", rp.io.write_recipes, "never.h5")


def test_recipes_options(generated, untouched):
    check(generated, untouched, ValueError, "kind.*'empirical'", rp.tl.recipes, **KEYS, kind="gamma")
    check(generated, untouched, ValueError, "shrinkage", rp.tl.recipes, **KEYS, shrinkage=-1)
    check(generated, untouched, TypeError, r"labels.*\['healthy'\]", rp.tl.recipes, **KEYS, labels="healthy")
    match = r"classes \['sick'\] have no patient here.*no `reference` was given"
    check(generated, untouched, ValueError, match, rp.tl.recipes, **KEYS, labels=["sick"])
    one = rp.tl.gmm(generated, 1, copy=True)
    check(one, untouched, ValueError, "one component", rp.tl.recipes, **KEYS)


def test_duplicated_names(plain, untouched):
    plain.obs_names = ["same"] * 3 + list(plain.obs_names[3:])
    for function, kwargs in [(rp.tl.gmm, {}), (rp.tl.recipes, KEYS), (rp.tl.mil, KEYS)]:
        check(plain, untouched, ValueError, r"1 names occur more than once, \['same'\]", function, **kwargs)


@pytest.mark.parametrize("data", [None, 3, np.zeros((5, 2)), pd.DataFrame({"a": [1]})])
def test_no_anndata(data):
    with pytest.raises(TypeError, match="AnnData or a MuData"):
        rp.tl.gmm(data)
    with pytest.raises(TypeError, match="AnnData or a MuData"):
        rp.get.augmented(data)


def test_no_cells(plain):
    with pytest.raises(ValueError, match="no observations"):
        rp.tl.gmm(plain[:0].copy(), 3)


def test_mask_as_series_of_another_order(plain, untouched):
    mask = pd.Series(True, index=plain.obs_names[::-1])
    check(plain, untouched, ValueError, "index is not `obs_names`", rp.tl.gmm, 3, mask_obs=mask)
    plain.obs["train"] = pd.array([True] * (plain.n_obs - 1) + [pd.NA], dtype="boolean")
    check(plain, untouched, ValueError, "1 missing values", rp.tl.gmm, 3, mask_obs="train")


def test_mudata_with_a_partial_modality(plain, untouched):
    part = ad.AnnData(np.ones((10, 2), dtype=np.float32), obs=plain.obs.iloc[:10][[]].copy())
    mdata = md.MuData({"rna": plain, "protein": part})
    check(
        mdata,
        untouched,
        ValueError,
        "1888 of 1898 observations are not in modality 'protein'",
        rp.tl.gmm,
        3,
        use_rep="protein:X",
    )
    check(mdata, untouched, KeyError, r"\['rna:X_pca', 'rna:X_umap', 'rna:X', 'protein:X'\]", rp.tl.gmm, 3)
    check(mdata, untouched, KeyError, "no embedding 'X'", rp.tl.gmm, 3, use_rep="X")
    check(mdata, untouched, KeyError, "no embedding", rp.tl.gmm, 3, use_rep="rna")
