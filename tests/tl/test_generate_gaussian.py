"""Patients whose cells are points of Gaussians, and who reads them."""

from __future__ import annotations

import warnings

import anndata as ad
import mudata as md
import numpy as np
import pandas as pd
import pytest

import repatient as rp


@pytest.fixture(scope="session")
def _gaussian(_plain):
    adata = _plain[:, :5].copy()
    # Dimensions of very different scales, which a mixture in other units would not reproduce.
    adata.obsm["X_pca"] = adata.obsm["X_pca"][:, :4] * np.array([1, 1000, 0.01, 1], dtype=np.float32) + 7
    rp.tl.gmm(adata, 4)
    rp.tl.recipes(adata, patient_key="patient", label_key="label")
    rp.tl.generate(adata, 7, draw="gaussian")
    return adata


@pytest.fixture
def gaussian(_gaussian):
    """The cohort with 7 patients a class drawn as Gaussians of four dimensions."""
    return _gaussian.copy()


def cells(adata):
    return adata.uns["generated"]["cells"]


def test_sizes_and_compositions_are_those_of_cells(gaussian):
    drawn = rp.get.compositions(gaussian, generated_key="generated")
    table = gaussian.uns["generated"]["patients"]
    assert "generated" not in gaussian.obsm
    assert cells(gaussian)["embedding"].shape == (table["n_cells"].sum(), 4)
    rp.tl.generate(gaussian, 7)
    pd.testing.assert_frame_equal(drawn, rp.get.compositions(gaussian, generated_key="generated"))
    again = gaussian.uns["generated"]["patients"]
    pd.testing.assert_frame_equal(table[["label", "n_cells", "recipe"]], again[["label", "n_cells", "recipe"]])
    assert (table[["n_donors", "n_moved", "n_repeated"]] == 0).all(axis=None)
    assert "cells" not in gaussian.uns["generated"]


@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag"])
def test_points_lie_where_the_mixture_does_in_units_of_the_embedding(gaussian, covariance_type):
    rp.tl.gmm(gaussian, 3, covariance_type=covariance_type)
    rp.tl.recipes(gaussian, patient_key="patient", label_key="label", kind="mean")
    rp.tl.generate(gaussian, 60, n_cells=200, draw="gaussian")
    points, mixture = cells(gaussian), gaussian.uns["gmm"]
    for k in range(3):
        own = points["embedding"][points["component"] == k].astype(np.float64)
        expected = {
            "full": lambda k: np.diag(mixture["covariances"][k]),
            "tied": lambda _: np.diag(mixture["covariances"]),
            "diag": lambda k: mixture["covariances"][k],
        }[covariance_type](k)
        error = np.sqrt(expected / len(own))
        assert (np.abs(own.mean(axis=0) - mixture["means"][k]) < 5 * error).all()
        np.testing.assert_allclose(own.var(axis=0), expected, rtol=6 * np.sqrt(2 / len(own)))
    real = gaussian.obsm["X_pca"]
    np.testing.assert_allclose(points["embedding"].std(axis=0), real.std(axis=0), rtol=0.3)


def test_no_cell_is_a_real_one_and_the_seed_decides_the_bits(gaussian):
    points = cells(gaussian)["embedding"].copy()
    both = np.concatenate([gaussian.obsm["X_pca"], points])
    assert len(np.unique(both, axis=0)) == len(np.unique(gaussian.obsm["X_pca"], axis=0)) + len(points)
    rp.tl.generate(gaussian, 7, draw="gaussian")
    np.testing.assert_array_equal(cells(gaussian)["embedding"], points)
    rp.tl.generate(gaussian, 7, draw="gaussian", random_state=1)
    assert cells(gaussian)["embedding"].shape != points.shape or (cells(gaussian)["embedding"] != points).any()


@pytest.mark.parametrize("storage", ["h5ad", "zarr", "part"])
def test_they_survive_files_and_parts_of_the_object(gaussian, storage, read_back, same_content):
    if storage == "part":
        back = gaussian[::3].copy()
        np.testing.assert_array_equal(cells(back)["embedding"], cells(gaussian)["embedding"])
        assert rp.get.generated(back).n_obs == len(cells(gaussian)["embedding"])
        return
    back = read_back(gaussian, storage)
    same_content(back, gaussian)
    expected = rp.get.generated(gaussian)
    np.testing.assert_array_equal(rp.get.generated(back).obsm["X_pca"], expected.obsm["X_pca"])


def test_mudata(gaussian, keys, tmp_path):
    mdata = md.MuData({"rna": gaussian.copy()})
    mdata.obsm["X_joint"] = gaussian.obsm["X_pca"]
    for column in ("patient", "label"):
        mdata.obs[column] = gaussian.obs[column]
    rp.tl.gmm(mdata, 4, use_rep="X_joint")
    rp.tl.recipes(mdata, **keys)
    rp.tl.generate(mdata, 3, draw="gaussian")
    mdata.write_h5mu(tmp_path / "cohort.h5mu")
    back = md.read_h5mu(tmp_path / "cohort.h5mu")
    np.testing.assert_array_equal(cells(back)["embedding"], cells(mdata)["embedding"])
    rp.tl.mil(back, **keys, generated_key="generated", model=rp.mil.Attention(n_steps=2, validation_fraction=0.2))
    with pytest.raises(TypeError, match="not a MuData"):
        rp.get.generated(back)


@pytest.mark.parametrize(
    "options",
    [
        {"n_donors": 2},
        {"donor_effects": True},
        {"max_donor_share": 0.5},
        {"pool": "same"},
        {"method": "oversampling"},
    ],
)
def test_what_speaks_of_real_cells_is_refused(gaussian, options, untouched):
    with untouched(gaussian), pytest.raises(ValueError, match=rf"draw='gaussian'.*{next(iter(options))}"):
        rp.tl.generate(gaussian, 2, draw="gaussian", **options)


def test_other_errors_and_the_warning_of_few_cells(gaussian, keys):
    with pytest.raises(ValueError, match="`draw` is one of"):
        rp.tl.generate(gaussian, 2, draw="normal")
    rp.tl.gmm(gaussian, 4, random_state=1)
    with pytest.raises(ValueError, match="refitted since"):
        rp.get.generated(gaussian)
    far = gaussian[:3].copy()
    far.obs_names = ["a", "b", "c"]
    far.obsm["X_pca"] = far.obsm["X_pca"] + 1e5 * np.eye(3, 4)[::-1].sum(axis=0)
    joined = ad.concat([gaussian, far])
    rp.tl.gmm(joined, 5)
    rp.tl.recipes(joined, **keys)
    with pytest.warns(UserWarning, match=r"no more cells than the 4 dimensions: \['\d \(3 cells\)'\]"):
        rp.tl.generate(joined, 30, draw="gaussian")


def test_points_that_lost_their_table_are_refused(gaussian):
    gaussian.uns["generated"]["patients"] = gaussian.uns["generated"]["patients"].iloc[:3]
    with pytest.raises(ValueError, match="3 patients in 4 dimensions"):
        rp.get.generated(gaussian)


def test_a_classifier_learns_from_them_and_selects_among_them(gaussian, keys):
    # Classes far apart in the embedding: a classifier that reads the points tells them apart.
    sick = (gaussian.obs["label"] == "disease").to_numpy()
    gaussian.obsm["X_pca"][sick, 0] += 60
    rp.tl.gmm(gaussian, 4)
    rp.tl.recipes(gaussian, **keys)
    rp.tl.generate(gaussian, 10, draw="gaussian")
    training = ~sick | (gaussian.obs["patient"].cat.codes % 2 == 0).to_numpy()
    model = rp.tl.mil(
        gaussian,
        **keys,
        generated_key="generated",
        mask_obs=training,
        model=rp.mil.Attention(n_steps=60, validation_fraction=0.2),
    )
    predictions = gaussian.uns["mil"]["predictions"]
    assert (predictions["predicted"].astype(str) == predictions["label"].astype(str)).all()
    assert gaussian.uns["mil"]["params"]["n_generated"] == 20
    rp.tl.select(gaussian, model, fraction=0.5)
    table = gaussian.uns["generated"]["patients"]
    assert (table["predicted"].astype(str) == table["label"].astype(str)).all()
    assert table["selected"].sum() == 10
    chosen = rp.get.generated(gaussian)
    assert set(chosen.obs["patient"]) == set(table.index[table["selected"]])
    whole = rp.get.generated(gaussian, selected=False)
    own = whole[whole.obs["patient"].isin(chosen.obs["patient"].unique()).to_numpy()]
    np.testing.assert_array_equal(own.obsm["X_pca"], chosen.obsm["X_pca"])
    assert len(rp.pl.uncertainty(gaussian).collections) == 4


def test_a_missing_class_is_learnt_from_points_alone(gaussian, keys):
    sick = (gaussian.obs["label"] == "disease").to_numpy()
    gaussian.obsm["X_pca"][sick, 0] += 60
    rp.tl.gmm(gaussian, 4)
    rp.tl.recipes(gaussian, **keys)
    rp.tl.generate(gaussian, {"disease": 8}, draw="gaussian")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rp.tl.mil(
            gaussian,
            **keys,
            generated_key="generated",
            mask_obs=~sick,
            model=rp.mil.Attention(n_steps=60, validation_fraction=0.2),
        )
    predictions = gaussian.uns["mil"]["predictions"]
    assert (predictions.loc[predictions["label"] == "disease", "predicted"].astype(str) == "disease").all()


def test_other_embeddings_are_refused(gaussian, keys):
    gaussian.obsm["X_other"] = gaussian.obsm["X_pca"].copy()
    with pytest.raises(ValueError, match="points in 'X_pca'"):
        rp.tl.mil(gaussian, **keys, generated_key="generated", use_rep="X_other")
    model = rp.tl.mil(gaussian, **keys, use_rep="X_other", model=rp.mil.Attention(n_steps=2, validation_fraction=0.2))
    with pytest.raises(ValueError, match="points in 'X_pca'"):
        rp.tl.select(gaussian, model)
    with pytest.raises(ValueError, match="points in 'X_pca'"):
        rp.tl.audit(gaussian, use_rep="X_other")


def test_figures_of_cells_say_that_points_are_on_no_map(gaussian):
    with pytest.raises(ValueError, match="not on the map"):
        rp.pl.embedding(gaussian, basis="X_pca", density="disease_generated_0")
    with pytest.raises(KeyError, match="'nobody' is no class"):
        rp.pl.embedding(gaussian, basis="X_pca", density="nobody")
    rp.pl.embedding(gaussian, basis="X_pca", density="disease")
