"""Bad input raises at once, names the argument and what was found, and leaves the object as it was."""

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


@pytest.fixture
def refused(untouched):
    """Call with bad input; the error says the given words, such as the argument in backticks, and nothing is written."""

    def call(data, error, words, function, *args, **kwargs):
        with untouched(data), pytest.raises(error) as caught:
            function(data, *args, **{name: of(data) if callable(of) else of for name, of in kwargs.items()})
        missing = [
            word for word in ([words] if isinstance(words, str) else words) if str(word) not in str(caught.value)
        ]
        assert not missing, str(caught.value)

    return call


@pytest.mark.parametrize(
    ("error", "words", "kwargs"),
    [
        (KeyError, ["`use_rep`", "'X_scVI'", "['X_pca', 'X_umap', 'X']"], {"use_rep": "X_scVI"}),
        (TypeError, ["`use_rep`", "int"], {"use_rep": 3}),
        (KeyError, ["`mask_obs`", "'trian'", "'patient'"], {"mask_obs": "trian"}),
        (ValueError, "`mask_obs`", {"mask_obs": lambda data: np.zeros(data.n_obs, dtype=bool)}),
        (ValueError, ["`mask_obs`", "(3,)"], {"mask_obs": np.array([True] * 3)}),
        (TypeError, ["`mask_obs`", "int"], {"mask_obs": lambda data: np.ones(data.n_obs, dtype=int)}),
        (TypeError, "`mask_obs`", {"mask_obs": "patient"}),
        (
            ValueError,
            "`mask_obs`",
            {"mask_obs": lambda data: np.ma.array(np.ones(data.n_obs, bool), mask=data.X.getnnz(1) > 0)},
        ),
        (ValueError, "`n_components`", {"n_components": 0}),
        (TypeError, "`n_components`", {"n_components": 2.5}),
        (TypeError, "`n_components`", {"n_components": True}),
        (TypeError, "`n_components`", {"n_components": "30"}),
        (ValueError, "`n_components`", {"n_components": []}),
        (ValueError, "`n_components`", {"n_components": lambda data: data.n_obs + 1}),
        (ValueError, "covariance_type", {"covariance_type": "spherical"}),
        (ValueError, ["`key_added`", "'a/b'"], {"key_added": "a/b"}),
        (ValueError, ["`key_added`", "'_index'"], {"key_added": "_index"}),
        (ValueError, ["`key_added`", "'..'"], {"key_added": ".."}),
        (TypeError, "`key_added`", {"key_added": 1}),
        (TypeError, "`random_state`", {"random_state": "seed"}),
        (ValueError, "`random_state`", {"random_state": -1}),
    ],
)
def test_gmm(plain, refused, error, words, kwargs):
    refused(plain, error, words, rp.tl.gmm, **kwargs)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite(generated, refused, value):
    cells = [3, 500, 501, generated.n_obs - 1]
    generated.obsm["X_pca"][cells] = value
    n = generated.obs["patient"].iloc[cells].nunique()
    words = ["'X_pca'", f"{len(cells)} of {generated.n_obs} cells", f"{n} patients (`obs['patient']`)"]
    for function, args, kwargs in [
        (rp.tl.gmm, (3,), {}),
        (rp.tl.assign, (generated.copy(),), {}),
        (rp.tl.mil, (), TRAIN),
    ]:
        refused(generated, ValueError, words, function, *args, **kwargs)


def test_embeddings_that_are_not_dense_coordinates(plain, refused):
    plain.obsm["sparse"] = sp.csr_matrix(plain.obsm["X_pca"])
    plain.obsm["integer"] = plain.obsm["X_pca"].astype(int)
    plain.obsm["cube"] = np.zeros((plain.n_obs, 3, 2), dtype=np.float32)
    masked = np.ma.array(plain.obsm["X_pca"], mask=False)
    masked[2, 1] = np.ma.masked
    plain.obsm["masked"] = masked
    plain.obsm["constant"] = np.ones_like(plain.obsm["X_pca"])
    for function, args, kwargs in [(rp.tl.gmm, (3,), {}), (rp.tl.mil, (), TRAIN)]:
        for name in ("sparse", "X", "integer"):
            refused(plain, TypeError, f"'{name}'", function, *args, use_rep=name, **kwargs)
        refused(plain, ValueError, ["'cube'", (plain.n_obs, 3, 2)], function, *args, use_rep="cube", **kwargs)
        words = ["`use_rep`", "'constant'", f"all {plain.n_obs} cells"]
        refused(plain, ValueError, words, function, *args, use_rep="constant", **kwargs)
        refused(
            plain, ValueError, ["'masked'", f"1 of {plain.n_obs} cells"], function, *args, use_rep="masked", **kwargs
        )


def test_no_default_embedding(plain, refused):
    plain.obsm["X_scVI"] = plain.obsm.pop("X_pca")
    refused(plain, KeyError, ["`use_rep`", "['X_umap', 'X_scVI', 'X']"], rp.tl.gmm, 3)


@pytest.mark.parametrize("function", [rp.tl.recipes, rp.tl.mil])
def test_columns(generated, refused, function):
    for argument in ("patient_key", "label_key", "donor_key"):
        words = [f"`{argument}`", "'nowhere'", *map(repr, generated.obs.columns)]
        refused(generated, KeyError, words, function, **(KEYS | {argument: "nowhere"}))
        refused(generated, TypeError, f"`{argument}`", function, **(KEYS | {argument: 7}))
    generated.obs.loc[generated.obs_names[:5], "patient"] = np.nan
    refused(generated, ValueError, ["`patient_key`", "5 cells"], function, **KEYS)


@pytest.mark.parametrize("function", [rp.tl.recipes, rp.tl.mil, rp.get.bags])
@pytest.mark.parametrize("argument", ["patient_key", "label_key"])
def test_columns_that_are_not_one(generated, refused, function, argument):
    twice, mixed = generated[:, :3].copy(), generated[:, :3].copy()
    column = KEYS[argument]
    twice.obs = pd.concat([twice.obs, twice.obs[[column]]], axis=1)
    codes = mixed.obs[column].cat.codes.to_numpy()
    mixed.obs[column] = np.array([str(code // 2) if code % 2 else int(code // 2) for code in codes], dtype=object)
    for data in (twice, mixed):
        refused(data, ValueError, [f"`{argument}`", f"'{column}'"], function, **KEYS)


def test_labels_that_look_missing_are_asked_about(plain):
    plain.obs["label"] = plain.obs["label"].cat.rename_categories({"healthy": "nan"})
    rp.tl.gmm(plain, 3)
    with pytest.warns(UserWarning, match=r"`label_key`: \['nan'\]") as caught:
        rp.tl.recipes(plain, **KEYS)
    assert caught[0].filename == __file__
    assert "nan" in set(plain.uns["recipes"]["classes"])


@pytest.mark.parametrize("function", [rp.tl.recipes, rp.tl.mil])
def test_a_patient_with_two_labels_or_donors(generated, refused, function):
    first, second = generated.obs["patient"].cat.categories[:2]
    generated.obs["label"] = generated.obs["label"].astype(str)
    for name in (first, second):
        cell = generated.obs_names[generated.obs["patient"] == name][0]
        generated.obs.loc[cell, "label"] = "other"
    words = ["`label_key`", "2 patients", f"'{first}'", f"'{second}'", "other"]
    refused(generated, ValueError, words, function, **KEYS)
    generated.obs["donor"] = np.arange(generated.n_obs).astype(str)
    words = ["`donor_key`", f"{generated.obs['patient'].nunique()} patients"]
    refused(generated, ValueError, words, function, patient_key="patient", label_key="patient", donor_key="donor")


def test_a_patient_with_some_cells_unlabelled(generated, refused):
    label = generated.obs["label"].iloc[0]
    generated.obs.loc[generated.obs_names[0], "label"] = np.nan
    refused(generated, ValueError, ["`label_key`", f"(missing, {label})"], rp.tl.recipes, **KEYS)


def test_a_single_class(generated, refused):
    one = generated[generated.obs["label"] == "healthy"].copy()
    refused(one, ValueError, "['healthy']", rp.tl.mil, **TRAIN)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rp.tl.recipes(one, **KEYS)


def test_a_class_with_one_patient(generated):
    disease = generated.obs.loc[generated.obs["label"] == "disease", "patient"].unique()[1:]
    few = generated[~generated.obs["patient"].isin(disease)].copy()
    with pytest.warns(UserWarning, match="disease: 1"):
        rp.tl.mil(few, **TRAIN)
    assert (few.uns["mil"]["predictions"]["split"] == "train").all()


def test_no_labels_at_all(generated, refused):
    generated.obs["label"] = pd.Categorical([None] * generated.n_obs, categories=["a", "b"])
    for function in (rp.tl.recipes, rp.tl.mil):
        refused(generated, ValueError, "`label_key`", function, **KEYS)


def test_unused_categories_are_no_classes(plain):
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
    ("error", "words", "kwargs"),
    [
        (ValueError, ["`n_patients`", "['sick']", "['healthy', 'disease']"], {"n_patients": {"sick": 3}}),
        (ValueError, "`n_patients`", {"n_patients": 0}),
        (ValueError, "`n_patients['disease']`", {"n_patients": {"disease": -2}}),
        (TypeError, "`n_patients`", {"n_patients": 2.5}),
        (ValueError, ["`n_patients`", "balance"], {"n_patients": "equal"}),
        (ValueError, "`n_patients`", {"n_patients": {}}),
        (ValueError, ["`pool`", "'healthy', 'disease'"], {"pool": "nobody"}),
        (ValueError, "`n_donors`", {"n_donors": 0}),
        (ValueError, "`n_donors`", {"n_donors": lambda data: data.obs["patient"].nunique() + 1}),
        (ValueError, "`n_cells`", {"n_cells": 0}),
        (TypeError, "`n_cells`", {"n_cells": "many"}),
        (ValueError, "`max_donor_share`", {"max_donor_share": 0}),
        (ValueError, "`max_donor_share`", {"max_donor_share": 1.5}),
        (ValueError, ["`max_donor_share`", 1 / 2], {"max_donor_share": 0.4, "n_donors": 2}),
        (ValueError, "`n_cells`", {"max_donor_share": 0.5, "n_donors": 2, "n_cells": 5}),
        (KeyError, ["`recipes_key`", "rp.tl.recipes"], {"recipes_key": "nowhere"}),
        (ValueError, "`random_state`", {"random_state": -3}),
        (ValueError, "`mask_obs`", {"mask_obs": lambda data: np.zeros(data.n_obs, dtype=bool)}),
    ],
)
def test_generate(generated, refused, error, words, kwargs):
    refused(generated, error, words, rp.tl.generate, **kwargs)


def test_stale_keys_are_refused(generated, refused):
    model = rp.tl.mil(generated, **TRAIN)
    rp.tl.gmm(generated, 5)
    for function, args, kwargs in [
        (rp.tl.generate, (3,), {}),
        (rp.tl.select, (model,), {}),
        (rp.tl.mil, (), {**TRAIN, "generated_key": "generated"}),
        (rp.get.generated, (), {}),
        (rp.get.augmented, (), {}),
        (rp.get.compositions, (), {"generated_key": "generated"}),
        (rp.io.write_recipes, ("never.h5",), {}),
    ]:
        refused(generated, ValueError, ["`uns['gmm']`", "rp.tl."], function, *args, **kwargs)


def test_refitting_to_the_same_mixture_is_not_stale(generated):
    rp.tl.gmm(generated, 6)
    assert rp.get.generated(generated).n_obs > 0


def test_components_that_are_not_of_the_mixture(generated, refused):
    generated.obs["gmm"] = generated.obs["gmm"].cat.rename_categories({"5": "17"})
    refused(generated, ValueError, ["`obs['gmm']`", "'0' to '5'"], rp.tl.recipes, **KEYS)


def test_missing_results(plain, refused):
    for function, args, kwargs, words in [
        (rp.tl.recipes, (), KEYS, ["`gmm_key`", "rp.tl.gmm"]),
        (rp.tl.mil, (), {**TRAIN, "generated_key": "generated"}, ["`generated_key`", "rp.tl.generate"]),
        (rp.get.recipes, (), {}, ["`recipes_key`", "rp.tl.recipes"]),
        (rp.get.compositions, (), {}, ["`recipes_key`", "rp.tl.recipes"]),
        (rp.io.write_recipes, ("never.h5",), {}, ["`recipes_key`", "rp.tl.recipes"]),
    ]:
        refused(plain, KeyError, words, function, *args, **kwargs)


def test_recipes_options(generated, refused):
    refused(generated, ValueError, ["`kind`", "'empirical'"], rp.tl.recipes, **KEYS, kind="gamma")
    refused(generated, ValueError, "`shrinkage`", rp.tl.recipes, **KEYS, shrinkage=-1)
    refused(generated, TypeError, ["`labels`", "['healthy']"], rp.tl.recipes, **KEYS, labels="healthy")
    refused(generated, ValueError, ["`reference`", "['sick']"], rp.tl.recipes, **KEYS, labels=["sick"])
    one = rp.tl.gmm(generated, 1, copy=True)
    refused(one, ValueError, "one component", rp.tl.recipes, **KEYS)


def test_duplicated_names(plain, refused):
    plain.obs_names = ["same"] * 3 + list(plain.obs_names[3:])
    for function, kwargs in [(rp.tl.gmm, {}), (rp.tl.recipes, KEYS), (rp.tl.mil, KEYS)]:
        refused(plain, ValueError, ["`obs_names`", "['same']"], function, **kwargs)


@pytest.mark.parametrize("data", [None, 3, np.zeros((5, 2)), pd.DataFrame({"a": [1]})])
@pytest.mark.parametrize("function", [rp.tl.gmm, rp.get.augmented])
def test_no_anndata(data, function):
    with pytest.raises(TypeError, match="`data`"):
        function(data)


def test_no_cells(plain):
    with pytest.raises(ValueError, match="`data`"):
        rp.tl.gmm(plain[:0].copy(), 3)


def test_mask_as_series_of_another_order(plain, refused):
    mask = pd.Series(True, index=plain.obs_names[::-1])
    refused(plain, ValueError, ["`mask_obs`", "`obs_names`"], rp.tl.gmm, 3, mask_obs=mask)
    plain.obs["train"] = pd.array([True] * (plain.n_obs - 1) + [pd.NA], dtype="boolean")
    refused(plain, ValueError, "`mask_obs`", rp.tl.gmm, 3, mask_obs="train")


def test_mudata_with_a_partial_modality(plain, refused):
    part = ad.AnnData(np.ones((10, 2), dtype=np.float32), obs=plain.obs.iloc[:10][[]].copy())
    mdata = md.MuData({"rna": plain, "protein": part})
    words = ["`use_rep`", f"{plain.n_obs - part.n_obs} of {plain.n_obs}", "'protein'"]
    refused(mdata, ValueError, words, rp.tl.gmm, 3, use_rep="protein:X")
    refused(mdata, KeyError, ["`use_rep`", "['rna:X_pca', 'rna:X_umap', 'rna:X', 'protein:X']"], rp.tl.gmm, 3)
    for name in ("X", "rna"):
        refused(mdata, KeyError, ["`use_rep`", f"'{name}'"], rp.tl.gmm, 3, use_rep=name)
