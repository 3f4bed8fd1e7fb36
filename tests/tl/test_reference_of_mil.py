from __future__ import annotations

import logging

import anndata as ad
import numpy as np
import pytest

import repatient as rp

KEYS = {"patient_key": "patient", "label_key": "label"}


def cohort(seed: int, n_patients: int = 8) -> ad.AnnData:
    adata, _ = rp.datasets.pbmc_cohort(n_patients=n_patients, n_cells=100, random_state=seed)
    adata.obsm["X_pca"] = adata.obsm["X_pca"][:, :10].copy()
    return adata


@pytest.fixture(scope="module")
def there() -> ad.AnnData:
    adata = cohort(1)
    rp.tl.gmm(adata, n_components=6, covariance_type="tied")
    rp.tl.recipes(adata, **KEYS)
    return adata


@pytest.fixture(scope="module")
def sick() -> ad.AnnData:
    both = cohort(0)
    return both[both.obs["label"] == "disease"].copy()


@pytest.fixture(scope="module")
def references(there, tmp_path_factory):
    folder = tmp_path_factory.mktemp("there")
    rp.io.write_recipes(there, folder / "there.recipes.h5")
    model = rp.tl.mil(there.copy(), **KEYS, model="mean")
    model.save(folder / "model")
    return {
        "object": there,
        "file": folder / "there.recipes.h5",
        "content": rp.io.read_recipes(folder / "there.recipes.h5"),
        "model": model,
        "folder": str(folder / "model"),
        "file and model": [folder / "there.recipes.h5", folder / "model"],
    }


def test_what_is_wrong_with_a_reference_is_said_of_it(there, sick, untouched):
    wrong = there.copy()
    wrong.obsm["X_pca"][3, 2] = np.nan
    with untouched(sick), pytest.raises(ValueError, match="^`reference`: .*'X_pca'"):
        rp.tl.mil(sick, **KEYS, reference=wrong)
    with untouched(sick), pytest.raises(ValueError, match="^`reference` 2: .*'X_pca'"):
        rp.tl.mil(sick, **KEYS, reference=[there, wrong])
    del wrong.obs["label"]
    with untouched(sick), pytest.raises(KeyError, match="`reference`.*'label'"):
        rp.tl.mil(sick, **KEYS, reference=wrong)


@pytest.mark.parametrize("kind", ["object", "file", "content", "model", "folder", "file and model"])
def test_a_missing_class_from_whatever_there_is(references, sick, kind, tmp_path, caplog):
    adata = sick.copy()
    with caplog.at_level(logging.INFO, logger="repatient"):
        model = rp.tl.mil(adata, **KEYS, reference=references[kind])
    assert model.classes == ["disease", "healthy"]
    stored = adata.uns["mil"]["reference"]
    assert stored["summary"] in caplog.text
    scores = model.predict(new := cohort(2))
    truth = new.obs.drop_duplicates("patient").set_index("patient")["label"].reindex(scores.index)
    assert (scores["predicted"].astype(str) == truth.astype(str)).mean() >= (
        0.6 if kind in ("model", "folder") else 0.75
    )
    adata.write_h5ad(tmp_path / "a.h5ad")
    again = ad.read_h5ad(tmp_path / "a.h5ad").uns["mil"]["reference"]
    assert again["summary"] == stored["summary"]
    assert list(again["check"].columns) == list(stored["check"].columns)


def test_the_same_seed_and_the_same_model_from_a_folder(references, sick, tmp_path):
    scores = []
    for _ in range(2):
        model = rp.tl.mil(sick.copy(), **KEYS, reference=references["file"])
        scores.append(model.predict(sick)["probability_healthy"].to_numpy())
    np.testing.assert_array_equal(*scores)
    model.save(tmp_path / "model")
    again = rp.tl.load_model(tmp_path / "model").predict(sick)["probability_healthy"].to_numpy()
    np.testing.assert_array_equal(again, scores[0])


def test_another_predictor_learns_from_counterfactual_patients(references, sick):
    model = rp.tl.mil(sick.copy(), **KEYS, reference=references["file"], model="mean")
    assert model.classes == ["disease", "healthy"]
    rare = cohort(0)
    names = rare.obs.loc[rare.obs["label"] == "healthy", "patient"].unique()[2:]
    rare = rare[~rare.obs["patient"].isin(names)].copy()
    rp.tl.mil(rare, **KEYS, model="mean", augment="counterfactual")
    assert rare.uns["mil"]["params"]["augment"] == "counterfactual"


def test_rungs_in_every_scenario(there):
    adata = cohort(0)
    options = {**KEYS, "reference": there, "n_splits": 2, "n_steps": 4, "n_components": 3, "progress": False}
    for scenario, more in (
        ("missing_class", {"missing_class": "healthy"}),
        ("low_data", {"n_patients": 2}),
        ("rare_class", {"n_patients": 1}),
    ):
        frame = rp.tl.evaluate(adata, scenario=scenario, travels=["recipes", "offsets"], **more, **options)
        assert {"recipes_travel", "offsets_travel"} <= set(frame["method"])
        assert set(adata.uns["evaluation"]["predictions"]["method"]) == set(frame["method"])


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"reference": 3}, TypeError, "`reference`"),
        ({"reference": []}, ValueError, "`reference`"),
        ({"reference": "nowhere.h5"}, FileNotFoundError, "nowhere"),
        ({"reference": "object", "augment": "psemix"}, ValueError, "`reference`"),
        ({"reference": "object", "outcome": "ordinal"}, ValueError, "`reference`"),
        ({"reference": "wide"}, ValueError, "`reference`"),
    ],
)
def test_refusals_leave_the_object_alone(there, sick, arguments, error, match):
    wide = there.copy()
    wide.obsm["X_pca"] = np.hstack([wide.obsm["X_pca"]] * 2)
    given = arguments["reference"]
    arguments = {
        **arguments,
        "reference": {"object": there, "wide": wide}.get(given, given) if isinstance(given, str) else given,
    }
    adata = sick.copy()
    if arguments.get("outcome") == "ordinal":
        adata.obs["label"] = adata.obs["label"].cat.as_ordered()
    with pytest.raises(error, match=match):
        rp.tl.mil(adata, **KEYS, **arguments)
    assert "mil" not in adata.uns


def test_travels_needs_another_cohort():
    with pytest.raises(ValueError, match="`travels`"):
        rp.tl.evaluate(cohort(0), **KEYS, travels=["recipes"])
    with pytest.raises(ValueError, match="`travels`"):
        rp.tl.evaluate(cohort(0), **KEYS, travels=["everything"], cohort_key="label")


def test_the_patients_of_a_reference_are_scored_where_they_are_there(references, sick):
    adata = sick.copy()
    rp.tl.mil(adata, **KEYS, reference=references["object"], model="mean")
    table = adata.uns["mil"]["reference"]["patients"]
    assert table["class"].tolist() == ["disease", "healthy"]
    assert table["n_patients"].tolist() == [8, 8]
    assert (table["share_recognised"] >= 0.75).all()
    rp.tl.mil(adata, **KEYS, reference=references["file"], model="mean")
    assert "patients" not in adata.uns["mil"]["reference"]
