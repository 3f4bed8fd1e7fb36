from __future__ import annotations

import warnings

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

import repatient as rp


def test_writes_predictions_history_and_attention(trained):
    adata, model = trained
    entry = adata.uns["mil"]
    predictions = entry["predictions"]
    assert set(predictions.index) == set(adata.obs["patient"].cat.categories)
    probabilities = predictions[["probability_disease", "probability_healthy"]].to_numpy()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    assert (np.array(["disease", "healthy"])[probabilities.argmax(axis=1)] == predictions["predicted"]).all()
    assert (predictions["epistemic"] <= predictions["uncertainty"] + 1e-9).all()
    assert {"epoch", "train_loss", "validation_loss"} <= set(entry["history"])
    attention = adata.obs["mil_attention"].groupby(adata.obs["patient"], observed=True).sum()
    np.testing.assert_allclose(attention, 1, rtol=1e-4)
    assert adata.obs["mil_attention"].dtype == np.float32
    assert entry["params"]["n_generated"] == 14
    assert isinstance(model.classifier, rp.mil.Attention)


@pytest.mark.parametrize("model", ["mean", "composition", "likelihood", "attention", "auto"])
def test_learns_the_classes(plain, keys, model):
    train = plain.obs["patient"].isin(plain.obs["patient"].cat.categories[::2])
    plain.obs["train"] = train
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rp.tl.mil(plain, **keys, model=model, mask_obs="train")
    predictions = plain.uns["mil"]["predictions"]
    unseen = predictions[predictions["split"] == "not trained on"]
    assert len(unseen) == 8
    assert roc_auc_score(unseen["label"] == "disease", unseen["probability_disease"]) > 0.7
    assert plain.uns["mil"]["params"]["model"] == model
    assert np.isfinite(plain.obs["mil_contribution"]).all()
    assert ("mil_attention" in plain.obs) == (model in ("attention", "auto"))


def test_cells_outside_the_mask_do_not_matter(plain, keys):
    train = plain.obs["patient"].isin(plain.obs["patient"].cat.categories[:12]).to_numpy()
    rp.tl.mil(plain, **keys, mask_obs=train, model=rp.mil.Attention(n_steps=6, validation_fraction=0.2))
    other = plain.copy()
    other.obsm["X_pca"][~train] *= -7
    other.obs["label"] = other.obs["label"].where(train)
    rp.tl.mil(other, **keys, mask_obs=train, model=rp.mil.Attention(n_steps=6, validation_fraction=0.2))
    pd.testing.assert_frame_equal(plain.uns["mil"]["history"], other.uns["mil"]["history"])


def test_generated_cells_from_outside_the_mask_are_refused(generated, keys, untouched):
    train = generated.obs["patient"].isin(generated.obs["patient"].cat.categories[:12]).to_numpy()
    with untouched(generated), pytest.raises(ValueError, match="outside `mask_obs`"):
        rp.tl.mil(generated, **keys, mask_obs=train, generated_key="generated")


def test_the_average_says_that_it_leaves_generated_patients_out(generated, keys, tmp_path):
    rp.tl.mil(generated, **keys, key_added="alone", n_steps=4)
    with pytest.warns(UserWarning, match="`generated_key`.*model='attention'"):
        rp.tl.mil(generated, **keys, generated_key="generated", n_steps=4)
    with pytest.warns(UserWarning, match="`augment`.*model='attention'"):
        rp.tl.mil(generated, **keys, augment="psemix", key_added="mixed", n_steps=4)
    alone, entry = generated.uns["alone"], generated.uns["mil"]
    pd.testing.assert_frame_equal(entry["predictions"], alone["predictions"])
    assert entry["params"]["n_generated"] == 0
    assert any("no generated patients" in reason for reason in entry["reasons"])
    generated.write_h5ad(tmp_path / "cohort.h5ad")
    assert list(ad.read_h5ad(tmp_path / "cohort.h5ad").uns["mil"]["reasons"]) == list(entry["reasons"])
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*does not learn from generated patients.*")
        rp.tl.mil(generated, **keys, generated_key="generated", model="mean")


def test_validation_patients_give_no_cell_to_the_training(generated, keys, monkeypatch):
    seen = {}
    original = rp.mil.Attention.fit

    def spy(self, bags, y, **kwargs):
        fitted = original(self, bags, y, **kwargs)
        seen.update(kwargs, y=np.asarray(y), validation=fitted.validation_bags_)
        return fitted

    monkeypatch.setattr(rp.mil.Attention, "fit", spy)
    rp.tl.mil(generated, **keys, generated_key="generated", model=rp.mil.Attention(n_steps=4, validation_fraction=0.2))
    assert len(seen["validation"]) == 4
    split = generated.uns["mil"]["predictions"]["split"]
    assert (split == "validation").sum() == 4
    np.testing.assert_array_equal(seen["source_groups"], generated.obs["patient"].astype(str))
    assert set(seen["groups"][seen["validation"]]) == set(split.index[split == "validation"])


def test_donors_are_not_split(plain, keys):
    plain.obs["donor"] = (plain.obs["patient"].cat.codes // 2).astype(str)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rp.tl.mil(plain, **keys, donor_key="donor", model=rp.mil.Attention(n_steps=4, validation_fraction=0.2))
    split = plain.uns["mil"]["predictions"]["split"].astype(str)
    donor = plain.obs.groupby("patient", observed=True)["donor"].first()
    assert (split.groupby(donor.loc[split.index]).nunique() == 1).all()


def test_patients_without_a_label_are_predicted_and_not_trained_on(plain, keys):
    unknown = plain.obs["patient"].cat.categories[:2]
    plain.obs["label"] = plain.obs["label"].where(~plain.obs["patient"].isin(unknown))
    rp.tl.mil(plain, **keys, model=rp.mil.Attention(n_steps=6, validation_fraction=0.2))
    predictions = plain.uns["mil"]["predictions"]
    assert (predictions.loc[unknown, "split"] == "not trained on").all()
    assert predictions.loc[unknown, "label"].isna().all()
    assert predictions.loc[unknown, "predicted"].notna().all()


def test_three_classes(plain):
    third = plain.obs["patient"].cat.categories[::3]
    plain.obs["grade"] = plain.obs["label"].astype(str).where(~plain.obs["patient"].isin(third), "third/class")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = rp.tl.mil(
            plain, patient_key="patient", label_key="grade", model=rp.mil.Attention(n_steps=6, validation_fraction=0.2)
        )
    assert model.classes == ["disease", "healthy", "third/class"]
    assert "probability_third|class" in plain.uns["mil"]["predictions"]


def test_only_selected_patients_are_trained_on(trained, keys):
    adata, model = trained
    rp.tl.select(adata, model, fraction=0.3)
    rp.tl.mil(adata, **keys, generated_key="generated", model=rp.mil.Attention(n_steps=4, validation_fraction=0.2))
    assert adata.uns["mil"]["params"]["n_generated"] == adata.uns["generated"]["patients"]["selected"].sum() == 4


def test_the_embedding_is_that_of_the_mixture(plain, keys):
    plain.obsm["X_scVI"] = plain.obsm["X_pca"][:, :6].copy()
    assert rp.tl.mil(plain, **keys, model=rp.mil.Attention(n_steps=2, validation_fraction=0.2)).use_rep == "X_pca"
    rp.tl.gmm(plain, 4, use_rep="X_scVI")
    assert rp.tl.mil(plain, **keys, model=rp.mil.Attention(n_steps=2, validation_fraction=0.2)).use_rep == "X_scVI"
    assert (
        rp.tl.mil(plain, **keys, use_rep="X_pca", model=rp.mil.Attention(n_steps=2, validation_fraction=0.2)).use_rep
        == "X_pca"
    )
    rp.tl.recipes(plain, **keys)
    rp.tl.generate(plain, 3)
    del plain.obsm["X_pca"]
    model = rp.tl.mil(
        plain, **keys, generated_key="generated", model=rp.mil.Attention(n_steps=2, validation_fraction=0.2)
    )
    rp.tl.select(plain, model)
    assert model.use_rep == "X_scVI"


def test_copy(plain, keys, untouched):
    with untouched(plain):
        model, written = rp.tl.mil(plain, **keys, model=rp.mil.Attention(n_steps=4, validation_fraction=0.2), copy=True)
    assert "mil" in written.uns
    assert model.classes == ["disease", "healthy"]


def test_model_on_a_new_cohort_and_from_disk(trained, tmp_path):
    _, model = trained
    new, _ = rp.datasets.pbmc_cohort(n_patients=3, n_cells=80, random_state=5)
    new.obsm["X_pca"] = new.obsm["X_pca"][:, :10]
    del new.obs["label"]
    new.obs = new.obs.rename(columns={"patient": "sample"})
    frame = model.predict(new, patient_key="sample")
    assert len(frame) == 6
    assert frame["n_cells"].sum() == new.n_obs
    model.save(tmp_path / "model")
    assert not list((tmp_path / "model").glob("*.pkl"))
    loaded = rp.tl.PatientClassifier.load(tmp_path / "model")
    pd.testing.assert_frame_equal(loaded.predict(new, patient_key="sample"), frame)
    with pytest.raises(KeyError, match="'patient'.*'sample'"):
        loaded.predict(new)
    new.obsm["X_pca"] = new.obsm["X_pca"][:, :5]
    with pytest.raises(ValueError, match="5 dimensions; the model was trained on 10"):
        loaded.predict(new, patient_key="sample")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not valid JSON"),
        ("[]", "JSON of something else"),
        ("{}", "not of a patient classifier"),
        ('{"format": "repatient patient classifier", "version": 99}', "version 99"),
        ('{"format": "repatient patient classifier", "version": 1, "use_rep": 3}', "`use_rep`"),
    ],
)
def test_damaged_models(trained, tmp_path, content, message):
    _, model = trained
    model.save(tmp_path / "model")
    (tmp_path / "model" / "cohort.json").write_text(content)
    with pytest.raises(ValueError, match=message):
        rp.tl.PatientClassifier.load(tmp_path / "model")
    with pytest.raises(FileNotFoundError):
        rp.tl.PatientClassifier.load(tmp_path / "nowhere")


def test_settings_are_those_of_the_predictor(plain, keys, untouched):
    model = rp.tl.mil(plain, **keys, model="attention", max_epochs=2, hidden=8, progress=False)
    assert (model.classifier.max_epochs, model.classifier.hidden) == (2, 8)
    with untouched(plain), pytest.raises(ValueError, match="wings"):
        rp.tl.mil(plain, **keys, wings=2)
    with untouched(plain), pytest.raises(ValueError, match="hidden"):
        rp.tl.mil(plain, **keys, hidden=8, reference=plain)


def test_generated_and_real_patients_are_compared(generated, keys):
    for settings in ({"generated_key": "generated"}, {"augment": "recipe"}):
        rp.tl.mil(generated, **keys, **settings, model="mean")
        table = generated.uns["mil"]["generated_check"]
        assert table["class"].tolist() == ["disease", "healthy"]
        assert table["auroc"].between(0, 1).all()
        assert (table["n_generated"] > 1).all()
    rp.tl.mil(generated, **keys, augment="psemix", model="mean")
    assert "generated_check" not in generated.uns["mil"]
